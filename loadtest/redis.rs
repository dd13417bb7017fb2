//! Redis's own statistics.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// What Redis spent, by its own count.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    pub cpu_micros: f64,
    pub memory_bytes: f64,
}

/// Asks the Redis of a `redis://host:port` address; `None` for any other kind of store.
pub fn spent(store: &str) -> Result<Option<Spent>> {
    let Some(address) = address(store) else { return Ok(None) };
    let cpu = ask(address, "INFO cpu")?;
    let memory = ask(address, "INFO memory")?;
    let seconds = field(&cpu, "used_cpu_user").zip(field(&cpu, "used_cpu_sys"));
    let (user, system) = seconds.context("Redis tells no CPU time")?;
    let memory_bytes = field(&memory, "used_memory").context("Redis tells no memory")?;
    Ok(Some(Spent { cpu_micros: (user + system) * 1e6, memory_bytes }))
}

/// A new server makes new keys, which a store with history refuses: so the store must be empty.
pub fn must_be_empty(store: &str) -> Result<()> {
    let Some(address) = address(store) else { return Ok(()) };
    let keys = ask(address, "DBSIZE")?;
    if keys.trim() != "0" {
        bail!("{store} holds {} keys already; give the load test an empty Redis of its own", keys.trim());
    }
    Ok(())
}

fn address(store: &str) -> Option<&str> {
    let rest = store.strip_prefix("redis://")?;
    rest.split('/').next().filter(|host| !host.contains('@'))
}

fn field(info: &str, name: &str) -> Option<f64> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}

/// Sends one command; the answer is a number or a text.
fn ask(address: &str, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to Redis at {address}"))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let Some(length) = line.strip_prefix('$') else {
        return Ok(line.trim_start_matches(':').to_owned());
    };
    let mut text = vec![0; length.trim().parse().context("read Redis's answer")?];
    reader.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
