//! What an operator should know about the servers: whether they keep all data, and can be relied on.

use super::RedisStore;
use super::client::Server;
use super::reply;
use crate::clock::Clock;
use crate::store::{Finding, Health, Keeping, Result};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::{Value, cmd};
use std::collections::HashMap;

/// Scripts begin with `#!lua`, which an older server does not accept.
const OLDEST_VERSION: u32 = 7;
/// Leases and visits use the server's clock, decisions use ours.
const CLOCK_SKEW_MS: i64 = 1_000;

#[async_trait]
impl Health for RedisStore {
    async fn ping(&self) -> Result<()> {
        let ping = cmd("PING");
        let masters = self.client.masters().await?;
        try_join_all(masters.iter().map(|server| server.ask(&ping))).await?;
        Ok(())
    }

    async fn keeping(&self) -> Result<Keeping> {
        let mut keeping = Keeping::default();
        for master in self.client.masters().await? {
            let info = reply::text(master.ask(&cmd("INFO")).await?)?;
            let info = read_info(&info);
            let finding = eviction(&master.name(), &info);
            if !finding.ok {
                keeping.may_forget.get_or_insert(finding.text);
            }
            let run = info.get("run_id").map_or_else(|| master.name(), |run| (*run).to_owned());
            keeping.evicted.extend(Some(evicted(&info)).filter(|keys| *keys > 0).map(|keys| (run, keys)));
        }
        Ok(keeping)
    }

    async fn inspect(&self) -> Vec<Finding> {
        let masters = match self.client.masters().await {
            Ok(masters) => masters,
            Err(error) => return vec![unreachable(&error.to_string())],
        };
        let mut findings = Vec::new();
        for master in masters {
            findings.extend(findings_of(&master).await);
        }
        findings
    }
}

fn unreachable(why: &str) -> Finding {
    let text =
        format!("Redis does not answer ({why}): see that it runs and that the address and login are right");
    Finding { check: "redis_reachable", ok: false, text }
}

async fn findings_of(server: &Server) -> Vec<Finding> {
    let name = server.name();
    let clock = Clock::system();
    let asked = clock.millis();
    let answers = async {
        let info = reply::text(server.ask(&cmd("INFO")).await?)?;
        let time = reply::array(server.ask(&cmd("TIME")).await?)?;
        Ok::<_, crate::store::StoreError>((info, time))
    };
    let (info, time) = match answers.await {
        Ok(answers) => answers,
        Err(error) => return vec![unreachable(&format!("{name}: {error}"))],
    };
    let answered = clock.millis();
    let info = read_info(&info);
    // A managed Redis may refuse CONFIG; then this setting is not known.
    let appendfsync = server.ask(cmd("CONFIG").arg("GET").arg("appendfsync")).await.ok().and_then(second);
    vec![
        Finding { check: "redis_reachable", ok: true, text: format!("{name} answers") },
        version(&name, &info),
        persistence(&name, &info, appendfsync.as_deref()),
        eviction(&name, &info),
        replicas(&name, &info),
        skew(&name, &time, asked, answered),
    ]
}

type Info<'a> = HashMap<&'a str, &'a str>;

fn read_info(info: &str) -> Info<'_> {
    info.lines().filter_map(|line| line.trim().split_once(':')).collect()
}

/// The second of a list of two strings: `CONFIG GET` answers a name and its value.
fn second(value: Value) -> Option<String> {
    reply::text(reply::array(value).ok()?.into_iter().nth(1)?).ok()
}

fn version(name: &str, info: &Info<'_>) -> Finding {
    let (product, version) = match info.get("valkey_version") {
        Some(version) => ("Valkey", *version),
        None => ("Redis", info.get("redis_version").copied().unwrap_or("unknown")),
    };
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
    let ok = major >= OLDEST_VERSION;
    let advice = if ok { "" } else { ": upgrade to Redis 7.0 or later, or to Valkey" };
    Finding { check: "redis_version", ok, text: format!("{name} runs {product} {version}{advice}") }
}

fn persistence(name: &str, info: &Info<'_>, appendfsync: Option<&str>) -> Finding {
    let aof = info.get("aof_enabled") == Some(&"1");
    let failing = info.get("aof_last_write_status") == Some(&"err");
    let (ok, text) = match (aof, failing, appendfsync) {
        (false, ..) => (
            false,
            "keeps no append-only file: a crash loses what it was told since its last snapshot, and all of it must be \
             replayed from the journals; set `appendonly yes`",
        ),
        (true, true, _) => (false, "can't write its append-only file: see its disk"),
        (true, false, Some("no")) => (
            false,
            "leaves it to the system when its append-only file is written; set `appendfsync everysec`",
        ),
        (true, false, Some(_)) => (true, "keeps an append-only file and syncs it"),
        (true, false, None) => (true, "keeps an append-only file; it does not tell how often it is synced"),
    };
    Finding { check: "redis_persistence", ok, text: format!("{name} {text}") }
}

fn eviction(name: &str, info: &Info<'_>) -> Finding {
    let policy = info.get("maxmemory_policy").copied().unwrap_or("unknown");
    let ok = policy == "noeviction";
    let text = if ok {
        format!("{name} evicts nothing when memory is short")
    } else {
        format!("{name} evicts keys when memory is short ({policy}); set `maxmemory-policy noeviction`")
    };
    Finding { check: "redis_eviction", ok, text }
}

/// How many keys the server has evicted since it started. Which of them are missing is not known here.
fn evicted(info: &Info<'_>) -> u64 {
    info.get("evicted_keys").and_then(|keys| keys.parse().ok()).unwrap_or(0)
}

/// Having no replica is not an error: the journals hold all data.
fn replicas(name: &str, info: &Info<'_>) -> Finding {
    let replicas = info.get("connected_slaves").copied().unwrap_or("0");
    let advice = if replicas == "0" {
        ": while it is down callbacks are answered 202 and nothing is decided; add one if that must be short"
    } else {
        ""
    };
    Finding { check: "redis_replicas", ok: true, text: format!("{name} has {replicas} replicas{advice}") }
}

fn skew(name: &str, time: &[Value], asked: i64, answered: i64) -> Finding {
    let part = |at: usize| time.get(at).cloned().and_then(|part| reply::number(part).ok()).unwrap_or(0);
    let theirs = i64::try_from(part(0) * 1_000 + part(1) / 1_000).unwrap_or(i64::MAX);
    let skew = if theirs < asked { asked - theirs } else { (theirs - answered).max(0) };
    let ok = skew <= CLOCK_SKEW_MS;
    let advice = if ok { "" } else { ": let both be set by NTP" };
    Finding { check: "redis_clock", ok, text: format!("{name} has a clock {skew} ms from ours{advice}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_may_forget_is_reported_with_a_remedy() {
        let debian = read_info("redis_version:7.0.15\r\naof_enabled:0\r\nmaxmemory_policy:allkeys-lru\r\n");
        assert!(version("r", &debian).ok);
        for (finding, remedy) in [
            (persistence("r", &debian, None), "appendonly yes"),
            (eviction("r", &debian), "noeviction"),
            (eviction("r", &read_info("maxmemory_policy:volatile-ttl")), "noeviction"),
            (version("r", &read_info("redis_version:6.2.1")), "upgrade"),
            (persistence("r", &read_info("aof_enabled:1"), Some("no")), "everysec"),
            (skew("r", &[Value::Int(10), Value::Int(0)], 20_000, 20_001), "NTP"),
        ] {
            assert!(!finding.ok && finding.text.contains(remedy), "{finding:?}");
        }
    }

    #[test]
    fn a_server_set_up_well_has_no_fault() {
        let info =
            read_info("valkey_version:9.1.2\naof_enabled:1\nmaxmemory_policy:noeviction\nconnected_slaves:1");
        let time = [Value::Int(20), Value::BulkString(b"500".to_vec())];
        for finding in [
            version("r", &info),
            persistence("r", &info, Some("everysec")),
            eviction("r", &info),
            replicas("r", &info),
            skew("r", &time, 19_999, 20_001),
        ] {
            assert!(finding.ok, "{finding:?}");
        }
    }
}
