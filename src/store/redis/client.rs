//! Finds the server of a partition: the only one, or the cluster's master that owns the slot.
//!
//! Every call concerns one partition, and so one slot that is known beforehand. So the slot table of a
//! cluster has only 17 entries, and a general cluster client could only add waiting and retries, which we
//! decide elsewhere.

use super::address::{Address, elsewhere, host_and_port};
use super::keys;
use super::lane::{Failure, Lane};
use super::script::{Call, Script};
use crate::store::{Partition, Result, StoreError};
use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use futures_util::future::select_ok;
use redis::{Cmd, ConnectionInfo, RedisError, Value, cmd};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a cluster is asked for its slots at most, however many calls fail.
const REFRESH_EVERY: Duration = Duration::from_millis(100);

/// The purpose of a call. Each has a connection of its own, so that neither long reads nor large batches of
/// clicks delay a fact.
#[derive(Debug, Clone, Copy)]
pub enum Lanes {
    /// Batches of clicks.
    Clicks,
    /// Commits, leases, fences.
    Facts,
    /// The rest.
    Reads,
}

/// One server.
pub struct Server {
    info: ConnectionInfo,
    clicks: Lane,
    facts: Lane,
    reads: Lane,
}

impl Server {
    fn new(info: ConnectionInfo, timeout: Duration) -> std::result::Result<Arc<Self>, RedisError> {
        let lane = || Lane::new(&info, timeout);
        Ok(Arc::new(Self { clicks: lane()?, facts: lane()?, reads: lane()?, info }))
    }
    fn lane(&self, lane: Lanes) -> &Lane {
        match lane {
            Lanes::Clicks => &self.clicks,
            Lanes::Facts => &self.facts,
            Lanes::Reads => &self.reads,
        }
    }
    /// Its address, for people.
    pub fn name(&self) -> String {
        let (host, port) = host_and_port(&self.info);
        format!("{host}:{port}")
    }
    /// Sends it a command that concerns no partition.
    pub async fn ask(&self, command: &Cmd) -> Result<Value> {
        self.reads.call(command).await.map_err(StoreError::from)
    }
}

/// The owner of each partition, in the order of `keys::partitions()`.
type Owners = Vec<Arc<Server>>;

enum Servers {
    Single(Arc<Server>),
    Cluster(Arc<Cluster>),
}

struct Cluster {
    seeds: Vec<Arc<Server>>,
    timeout: Duration,
    owners: ArcSwapOption<Owners>,
    refreshing: tokio::sync::Mutex<()>,
    /// When a refresh in the background last began.
    sought: Mutex<Option<Instant>>,
}

/// All servers.
pub struct Client(Servers);

impl Client {
    /// Keeps the addresses; connects when it is first used.
    pub fn new(address: Address, timeout: Duration) -> Result<Self> {
        let open = |info| Server::new(info, timeout);
        let seeds = address.seeds.into_iter().map(open).collect::<std::result::Result<Vec<_>, _>>();
        let mut seeds = seeds.map_err(|error| StoreError::Unavailable(error.category().to_owned()))?;
        if address.cluster {
            return Ok(Self(Servers::Cluster(Arc::new(Cluster {
                seeds,
                timeout,
                owners: ArcSwapOption::empty(),
                refreshing: tokio::sync::Mutex::default(),
                sought: Mutex::default(),
            }))));
        }
        let only = seeds.pop().ok_or_else(|| StoreError::Unavailable("no server is named".to_owned()))?;
        Ok(Self(Servers::Single(only)))
    }

    /// Sends a command to the owner of a partition.
    pub async fn command(&self, partition: Partition, lane: Lanes, command: &Cmd) -> Result<Value> {
        self.call(partition, lane, command).await.map_err(StoreError::from)
    }

    /// Runs a script at the owner of a partition.
    pub async fn script(
        &self,
        partition: Partition,
        lane: Lanes,
        script: &Script,
        call: &Call,
    ) -> Result<Value> {
        match self.call(partition, lane, &script.by_hash(call)).await {
            Err(Failure::NoScript) => self.command(partition, lane, &script.by_source(call)).await,
            other => Ok(other?),
        }
    }

    /// The servers that own any partition.
    pub async fn masters(&self) -> Result<Vec<Arc<Server>>> {
        match &self.0 {
            Servers::Single(only) => Ok(vec![Arc::clone(only)]),
            Servers::Cluster(cluster) => {
                let mut masters = Vec::clone(&*cluster.owners().await?);
                masters.sort_by_key(|server| server.name());
                masters.dedup_by_key(|server| server.name());
                Ok(masters)
            }
        }
    }

    async fn call(
        &self,
        partition: Partition,
        lane: Lanes,
        command: &Cmd,
    ) -> std::result::Result<Value, Failure> {
        let cluster = match &self.0 {
            Servers::Single(only) => return only.lane(lane).call(command).await,
            Servers::Cluster(cluster) => cluster,
        };
        let owner = cluster.owner(partition).await?;
        match owner.lane(lane).call(command).await {
            // The server did nothing: the slot is elsewhere, or its cluster has a problem.
            Err(Failure::Misplaced(_)) => {
                cluster.refresh().await?;
                cluster.owner(partition).await?.lane(lane).call(command).await
            }
            Err(lost @ Failure::Lost(_)) => {
                cluster.refresh_soon();
                Err(lost)
            }
            other => other,
        }
    }
}

impl Cluster {
    async fn owners(&self) -> std::result::Result<Arc<Owners>, Failure> {
        if let Some(owners) = self.owners.load_full() {
            return Ok(owners);
        }
        self.refresh().await?;
        self.owners.load_full().ok_or_else(|| Failure::Lost("the cluster's slots are not known".to_owned()))
    }

    async fn owner(&self, partition: Partition) -> std::result::Result<Arc<Server>, Failure> {
        // `owners` has an entry for each partition: `read_slots` makes nothing else.
        Ok(Arc::clone(&self.owners().await?[keys::place(partition)]))
    }

    /// Asks all servers at once who owns which slots, and takes the answer of the first that is connected to
    /// its cluster.
    async fn refresh(&self) -> std::result::Result<(), Failure> {
        let before = self.owners.load_full();
        let _turn = self.refreshing.lock().await;
        let others_did = match (&before, &self.owners.load_full()) {
            (Some(before), Some(now)) => !Arc::ptr_eq(before, now),
            (before, now) => before.is_some() != now.is_some(),
        };
        if others_did {
            return Ok(());
        }
        let known = self.known();
        let questions = known.values().map(|server| self.ask_slots(server, &known).boxed());
        let (owners, _rest) = select_ok(questions).await?;
        self.owners.store(Some(Arc::new(owners)));
        Ok(())
    }

    /// Looks for the new owners of lost partitions in the background.
    fn refresh_soon(self: &Arc<Self>) {
        let mut sought = self.sought.lock().unwrap_or_else(PoisonError::into_inner);
        if sought.is_some_and(|last| last.elapsed() < REFRESH_EVERY) {
            return;
        }
        *sought = Some(Instant::now());
        let cluster = Arc::clone(self);
        // A failure is noticed by the next call, whose owner is still lost.
        tokio::spawn(async move { cluster.refresh().await.ok() });
    }

    fn known(&self) -> BTreeMap<String, Arc<Server>> {
        let owners = self.owners.load_full();
        let owners = owners.iter().flat_map(|owners| owners.iter());
        self.seeds.iter().chain(owners).map(|server| (server.name(), Arc::clone(server))).collect()
    }

    async fn ask_slots(
        &self,
        server: &Arc<Server>,
        known: &BTreeMap<String, Arc<Server>>,
    ) -> std::result::Result<Owners, Failure> {
        let state = server.reads.call(cmd("CLUSTER").arg("INFO")).await?;
        let state: String = redis::from_redis_value(state).unwrap_or_default();
        if !state.contains("cluster_state:ok") {
            return Err(Failure::Refused(format!("{} is not in touch with its cluster", server.name())));
        }
        let slots = server.reads.call(cmd("CLUSTER").arg("SLOTS")).await?;
        self.read_slots(&slots, server, known)
            .ok_or_else(|| Failure::Refused(format!("{} does not know who owns every slot", server.name())))
    }

    fn read_slots(
        &self,
        slots: &Value,
        asked: &Arc<Server>,
        known: &BTreeMap<String, Arc<Server>>,
    ) -> Option<Owners> {
        let Value::Array(ranges) = slots else { return None };
        let ranges: Vec<_> = ranges.iter().filter_map(|range| read_range(range, &asked.info)).collect();
        let mut made: BTreeMap<String, Arc<Server>> = BTreeMap::new();
        keys::partitions()
            .map(|partition| {
                let slot = i64::from(keys::slot(partition));
                let (.., info) = ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot))?;
                let (host, port) = host_and_port(info);
                let name = format!("{host}:{port}");
                if let Some(server) = known.get(&name).or_else(|| made.get(&name)) {
                    return Some(Arc::clone(server));
                }
                let server = Server::new(info.clone(), self.timeout).ok()?;
                made.insert(name, Arc::clone(&server));
                Some(server)
            })
            .collect()
    }
}

/// `first, last, (host, port, …), replicas…`; without a host, it is the server that was asked.
fn read_range(range: &Value, asked: &ConnectionInfo) -> Option<(i64, i64, ConnectionInfo)> {
    let Value::Array(range) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() && host != b"?" => {
            String::from_utf8(host.clone()).ok()?
        }
        _ => host_and_port(asked).0.to_owned(),
    };
    Some((*first, *last, elsewhere(asked, &host, u16::try_from(*port).ok()?)))
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lost(text) | Failure::Refused(text) | Failure::Misplaced(text) => {
                Self::Unavailable(text)
            }
            Failure::NoScript => Self::Unavailable("the server forgot a script at once".to_owned()),
            Failure::Corrupt(text) => Self::Corrupt(text),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = match &self.0 {
            Servers::Single(only) => vec![only.name()],
            Servers::Cluster(cluster) => cluster.seeds.iter().map(|server| server.name()).collect(),
        };
        out.debug_tuple("Client").field(&names).finish()
    }
}
