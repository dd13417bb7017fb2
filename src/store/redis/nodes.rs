//! What nodes agree on: leases, fences, known nodes, what the store is; and counting windows.

use super::RedisStore;
use super::client::Lanes;
use super::keys;
use super::reply;
use super::script::{Call, LEASE, RAISE_FENCE, RELEASE, WINDOW};
use crate::domain::id::NodeId;
use crate::store::{Lease, Leases, NodeState, Nodes, Partition, Result, StoreError, StoreMeta, partition_of};
use async_trait::async_trait;
use redis::{Value, cmd};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[async_trait]
impl Leases for RedisStore {
    async fn lease(&self, name: &'static str, holder: &str, ttl_ms: u64) -> Result<Lease> {
        let mut call = Call::of([keys::lease(name), keys::token(name)]);
        call.arg(holder.as_bytes());
        // Redis refuses a TTL of zero.
        call.number(ttl_ms.max(1));
        match self.client.script(Partition::Directory, Lanes::Facts, &LEASE, &call).await? {
            Value::Nil => Ok(Lease::Held),
            token => Ok(Lease::Granted { token: reply::number(token)? }),
        }
    }

    async fn release(&self, name: &'static str, holder: &str) -> Result<()> {
        let mut call = Call::of([keys::lease(name)]);
        call.arg(holder.as_bytes());
        self.client.script(Partition::Directory, Lanes::Facts, &RELEASE, &call).await?;
        Ok(())
    }

    async fn raise_fence(&self, partition: Partition, token: u64) -> Result<bool> {
        let mut call = Call::of([keys::fence(partition)]);
        call.number(token);
        Ok(self.client.script(partition, Lanes::Facts, &RAISE_FENCE, &call).await? == Value::Int(1))
    }
}

#[async_trait]
impl Nodes for RedisStore {
    async fn put_node(&self, state: &NodeState) -> Result<()> {
        let mut put = cmd("HSET");
        put.arg(keys::nodes()).arg(state.node.to_string()).arg(to_json(state)?);
        self.client.command(Partition::Directory, Lanes::Facts, &put).await?;
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeState>> {
        let mut get = cmd("HVALS");
        get.arg(keys::nodes());
        let states = reply::array(self.client.command(Partition::Directory, Lanes::Reads, &get).await?)?;
        let mut nodes: Vec<NodeState> = states.into_iter().map(from_json).collect::<Result<_>>()?;
        nodes.sort_by_key(|state| state.node);
        Ok(nodes)
    }

    async fn forget_node(&self, node: NodeId) -> Result<()> {
        let mut delete = cmd("HDEL");
        delete.arg(keys::nodes()).arg(node.to_string());
        self.client.command(Partition::Directory, Lanes::Facts, &delete).await?;
        Ok(())
    }

    async fn meta(&self) -> Result<Option<StoreMeta>> {
        let mut get = cmd("GET");
        get.arg(keys::meta());
        match self.client.command(Partition::Directory, Lanes::Facts, &get).await? {
            Value::Nil => Ok(None),
            meta => from_json(meta).map(Some),
        }
    }

    async fn init_meta(&self, meta: &StoreMeta) -> Result<StoreMeta> {
        let mut put = cmd("SET");
        put.arg(keys::meta()).arg(to_json(meta)?).arg("NX").arg("GET");
        match self.client.command(Partition::Directory, Lanes::Facts, &put).await? {
            Value::Nil => Ok(meta.clone()),
            standing => from_json(standing),
        }
    }

    async fn set_meta(&self, meta: &StoreMeta) -> Result<()> {
        let mut put = cmd("SET");
        put.arg(keys::meta()).arg(to_json(meta)?);
        self.client.command(Partition::Directory, Lanes::Facts, &put).await?;
        Ok(())
    }

    async fn clock_ms(&self) -> Result<Option<i64>> {
        let time =
            reply::array(self.client.command(Partition::Directory, Lanes::Reads, &cmd("TIME")).await?)?;
        let [seconds, micros] = <[Value; 2]>::try_from(time)
            .map_err(|time| StoreError::Corrupt(format!("TIME answered {} parts", time.len())))?;
        let millis = reply::number(seconds)? * 1_000 + reply::number(micros)? / 1_000;
        i64::try_from(millis).map(Some).map_err(|error| StoreError::Corrupt(format!("TIME: {error}")))
    }

    async fn count_in_window(&self, name: &str, member: &str, now_ms: i64, window_ms: u64) -> Result<u64> {
        let partition = partition_of(name.as_bytes(), keys::PARTITIONS);
        let mut call = Call::of([keys::window(partition, name)]);
        call.arg(member.as_bytes());
        call.arg(now_ms.to_string().as_bytes());
        // Redis refuses a TTL of zero.
        call.number(window_ms.max(1));
        reply::number(self.client.script(partition, Lanes::Reads, &WINDOW, &call).await?)
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn from_json<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_slice(&reply::bytes(value)?).map_err(|error| StoreError::Corrupt(error.to_string()))
}
