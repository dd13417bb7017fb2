//! Real servers on free loopback ports, in directories of their own, gone with their handles.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start, or a cluster to form.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which program serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Redis,
    Valkey,
}

impl Program {
    /// Where it is; a test that needs it fails with a remedy when it is not there.
    fn path(self) -> PathBuf {
        let (variable, name, fallback) = match self {
            Self::Redis => ("COUNTERFOIL_REDIS", "redis-server", "/usr/bin/redis-server"),
            Self::Valkey => ("COUNTERFOIL_VALKEY", "valkey-server", "target/test-tools/valkey-server"),
        };
        let path = match std::env::var_os(variable) {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(fallback),
        };
        assert!(
            path.exists(),
            "{name} is not at {}: run `tests/run`, which installs it, or name another with {variable}",
            path.display()
        );
        path
    }
}

/// A server; killed when dropped.
pub struct Server {
    program: Program,
    options: Vec<String>,
    dir: TempDir,
    pub port: u16,
    child: Child,
}

impl Server {
    /// Starts a server that keeps an append-only file and refuses writes rather than to forget.
    pub fn start(program: Program, options: &[&str]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let port = free_port();
        let child = spawn(program, &options, &dir, port);
        let server = Self { program, options, dir, port, child };
        server.wait_until_it_answers();
        server
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // A process that is gone already is what is wanted.
        self.child.kill().ok();
        self.child.wait().expect("the server's end");
    }

    /// Starts it again, with what it had kept.
    pub fn start_again(&mut self) {
        self.child = spawn(self.program, &self.options, &self.dir, self.port);
        self.wait_until_it_answers();
    }

    /// Stops it from running, with its connections left open.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it run again.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill").success());
    }

    /// A connection past the store, for what an operator would do.
    pub fn operator(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("an address");
        client.get_connection().expect("the server answers")
    }

    /// Does something an operator would do.
    pub fn operate<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = self.operator();
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).expect("the server does as told")
    }

    fn wait_until_it_answers(&self) {
        wait_until("the server answers", || {
            let Ok(client) = redis::Client::open(self.url()) else { return false };
            let Ok(mut connection) = client.get_connection_with_timeout(Duration::from_millis(200)) else {
                return false;
            };
            redis::cmd("PING").query::<String>(&mut connection).is_ok()
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: Program, options: &[String], dir: &TempDir, port: u16) -> Child {
    let mut command = Command::new(program.path());
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.args(["--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--dir"]).arg(dir.path());
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the server starts")
}

/// A Redis Cluster on this machine.
pub struct Cluster {
    /// Masters and replicas.
    pub servers: Vec<Server>,
}

impl Cluster {
    /// Starts masters, each with so many replicas, and waits until they have found each other.
    pub fn start(program: Program, masters: usize, replicas: usize) -> Self {
        let start = || {
            let bus = free_port().to_string();
            let options =
                ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-port", &bus];
            Server::start(program, &options)
        };
        let servers: Vec<_> = (0..masters * (1 + replicas)).map(|_| start()).collect();
        let addresses = servers.iter().map(|server| format!("127.0.0.1:{}", server.port));
        let output = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"])
            .output()
            .expect("redis-cli, which `tests/run` installs with redis-server");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { servers };
        for server in &cluster.servers {
            wait_until("the cluster has formed", || {
                let info: String = server.operate(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok")
                    && server.knows_replicas(masters * replicas)
                    && server.is_in_step()
            });
        }
        cluster
    }

    /// Its address, that names all servers.
    pub fn url(&self) -> String {
        let servers: Vec<_> =
            self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis-cluster://{}", servers.join(","))
    }

    /// Its masters, as they see it themselves.
    pub fn masters(&self) -> Vec<&Server> {
        let is_master = |server: &&Server| {
            let role: redis::Value = server.operate(&["ROLE"]);
            matches!(role, redis::Value::Array(role) if role.first() == Some(&redis::Value::BulkString(b"master".to_vec())))
        };
        self.servers.iter().filter(is_master).collect()
    }
}

impl Server {
    /// Whether it has what its master has, if it has one: before that it may not take its place.
    fn is_in_step(&self) -> bool {
        let info: String = self.operate(&["INFO", "replication"]);
        info.contains("role:master") || info.contains("master_link_status:up")
    }

    fn knows_replicas(&self, replicas: usize) -> bool {
        let nodes: String = self.operate(&["CLUSTER", "NODES"]);
        nodes.lines().filter(|line| line.contains("slave")).count() == replicas
    }
}

/// Waits for a condition, and fails when it takes too long.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port of the loopback address that is free now, that this process gave to nobody else, and that the kernel gives to no
/// connection by itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let pid = u16::try_from(std::process::id() % 500).expect("less than 500");
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (pid * 37 + offset) % 18_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
