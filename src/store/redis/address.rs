//! The addresses of servers: `redis://` and `rediss://` name one, `redis-cluster://` and `rediss-cluster://`
//! name some of a cluster's.

use crate::store::{Result, StoreError};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::time::Duration;

/// The kernel pings a server after this much silence.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// A connection whose bytes are not acknowledged for this long is closed.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// The servers to start from; without a cluster there is only one.
pub struct Address {
    /// At least one.
    pub seeds: Vec<ConnectionInfo>,
    /// Whether they are of a Redis Cluster.
    pub cluster: bool,
}

impl Address {
    /// Reads a store's address.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(unreadable)?;
        let (cluster, scheme) = match scheme {
            "redis" => (false, "redis"),
            "rediss" => (false, "rediss"),
            "redis-cluster" => (true, "redis"),
            "rediss-cluster" => (true, "rediss"),
            _ => return Err(unreadable()),
        };
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (format!("{login}@"), hosts),
            None => (String::new(), rest),
        };
        let hosts = if cluster { hosts.split(',').collect() } else { vec![hosts] };
        let seeds = hosts
            .into_iter()
            .map(|host| seed(&format!("{scheme}://{login}{host}")))
            .collect::<Result<_>>()?;
        Ok(Self { seeds, cluster })
    }
}

fn seed(url: &str) -> Result<ConnectionInfo> {
    let info = url.into_connection_info().map_err(|_| unreadable())?;
    if host_and_port(&info).0.is_empty() {
        return Err(unreadable());
    }
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))
        .set_user_timeout(UNACKNOWLEDGED);
    Ok(info.set_tcp_settings(tcp))
}

/// The address may hold a password, so it is not repeated.
fn unreadable() -> StoreError {
    StoreError::Unavailable("the address is not of the form redis://user:password@host:port".to_owned())
}

/// The host and port of a connection.
pub fn host_and_port(info: &ConnectionInfo) -> (&str, u16) {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => (host, *port),
        _ => ("", 0),
    }
}

/// The same login and TLS at another host and port.
pub fn elsewhere(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let addr = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host.to_owned(), port),
    };
    info.clone().set_addr(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_of_a_cluster_gets_the_login() {
        let address = Address::parse("redis-cluster://u:p@a:1,b:2,c").expect("an address");
        let seen: Vec<_> = address.seeds.iter().map(host_and_port).collect();
        assert_eq!(seen, [("a", 1), ("b", 2), ("c", 6_379)]);
        assert!(address.cluster);
        for seed in &address.seeds {
            assert_eq!(seed.redis_settings().password(), Some("p"));
        }
    }

    #[test]
    fn a_redirection_keeps_tls_and_login() {
        let address = Address::parse("rediss://u:p@a:1").expect("an address");
        let moved = elsewhere(&address.seeds[0], "b", 2);
        assert!(
            matches!(moved.addr(), ConnectionAddr::TcpTls { host, port: 2, insecure: false, .. } if host == "b")
        );
        assert_eq!(moved.redis_settings().username(), Some("u"));
    }
}
