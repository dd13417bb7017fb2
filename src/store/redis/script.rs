//! Lua scripts: sent once to each server, then called by their hash.

use redis::Cmd;
use std::sync::LazyLock;

/// A script and its hash.
pub struct Script {
    source: &'static str,
    hash: LazyLock<String>,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)+) => {
        $($(#[$doc])* pub static $name: Script = Script {
            source: include_str!(concat!("scripts/", $file)),
            hash: LazyLock::new(|| redis::Script::new(include_str!(concat!("scripts/", $file))).get_hash().to_owned()),
        };)+
    };
}

scripts! {
    /// A batch of clicks.
    CLICKS = "clicks.lua";
    /// A commit.
    COMMIT = "commit.lua";
    /// Takes a lease.
    LEASE = "lease.lua";
    /// Gives a lease back.
    RELEASE = "release.lua";
    /// Raises a fence.
    RAISE_FENCE = "raise_fence.lua";
    /// Counts into a window.
    WINDOW = "window.lua";
}

/// The keys and arguments of a call: byte strings in one piece of memory.
#[derive(Default)]
pub struct Call {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    keys: usize,
}

impl Call {
    /// A call with these keys, without arguments yet.
    pub fn of(keys: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut call = Self::default();
        keys.into_iter().for_each(|key| call.arg(&key));
        call.keys = call.ends.len();
        call
    }
    /// Adds an argument.
    pub fn arg(&mut self, argument: &[u8]) {
        self.bytes.extend_from_slice(argument);
        self.ends.push(self.bytes.len());
    }
    /// Adds a number as an argument, in digits.
    pub fn number(&mut self, number: u64) {
        self.arg(number.to_string().as_bytes());
    }
    fn add_to(&self, command: &mut Cmd) {
        let mut start = 0;
        for &end in &self.ends {
            command.arg(&self.bytes[start..end]);
            start = end;
        }
    }
}

impl Script {
    /// The call by hash, for a server that knows the script.
    pub fn by_hash(&self, call: &Call) -> Cmd {
        command("EVALSHA", &self.hash, call)
    }
    /// The call with the whole script, which the server then knows.
    pub fn by_source(&self, call: &Call) -> Cmd {
        command("EVAL", self.source, call)
    }
}

fn command(name: &str, script: &str, call: &Call) -> Cmd {
    let mut command = Cmd::with_capacity(3 + call.ends.len(), call.bytes.len() + 12 * call.ends.len() + 64);
    command.arg(name).arg(script).arg(call.keys);
    call.add_to(&mut command);
    command
}
