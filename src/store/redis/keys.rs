//! Every Redis key that Counterfoil uses, and only here.
//!
//! A key begins with the tag of its partition, `{cf3kf}`, so that a whole partition is in one cluster slot
//! and one script may change it. The tags were chosen so that the slots of the 16 hashed partitions are
//! evenly spread: any cluster whose masters own equal ranges gets equal shares.
//!
//! Most visitors never come back, and a key for each would cost four times as much time and memory. So a new
//! visitor is stored in the *moment* in which its id was made: about a second, known from the id, which
//! begins with its time. When the visitor comes back, its later visits get a key of their own, and its
//! moment, with everyone in it, is kept as long as that key.
//!
//! | key | type | TTL | costs |
//! | --- | --- | --- | --- |
//! | `{tag}m` + moment, 5 bytes | string: records of a new visitor, 16 bytes, and its visit, 33 | the window | 49 to 100 bytes per visitor; 190 if only one comes in a second |
//! | `{tag}v` + visitor, 16 bytes | string: up to 64 visits of 33 bytes, the later ones of a visitor who came back | the window | 190 bytes and 33 per visit |
//! | `{tag}c` + affiliate, 8 bytes + day, 4 bytes | hash: counter → clicks | none | about 150 bytes and 20 per counter |
//! | `{tag}d:` + name | string: version, 8 bytes, then the body | none | the body and about 120 bytes |
//! | `{tag}i:` + index | sorted set, all scores 0 | none | about 100 bytes per member |
//! | `{tag}s:` + stream | stream, one field `b` | none | the body and about 20 bytes |
//! | `{tag}w:` + window | sorted set: member by time in ms | the window | about 100 bytes per member |
//! | `{tag}cursors` | hash: node, 8 bytes + log, 1 byte → epoch, position | none | 40 bytes per node |
//! | `{tag}fence` | integer | none | 100 bytes |
//! | `{cfdirectory}lease:` + name | string: holder, with the lease's TTL | the lease | 100 bytes |
//! | `{cfdirectory}token:` + name | integer: the last fencing token | none | 100 bytes |
//! | `{cfdirectory}nodes` | hash: node → JSON | none | 300 bytes per node |
//! | `{cfdirectory}meta` | string: JSON | none | 300 bytes |

use crate::domain::id::{AffiliateId, NodeId, VisitorId};
use crate::store::{Log, Partition};
use chrono::{Datelike, NaiveDate};

/// Hashed partitions of a Redis store, and their tags. Their number and order can never change.
const TAGS: [&str; 16] = [
    "{cf0hf}", "{cf1if}", "{cf2jf}", "{cf3kf}", "{cf4d3}", "{cf5e3}", "{cf6f3}", "{cf7g3}", "{cf84j}",
    "{cf95j}", "{cfa3z}", "{cfb9q}", "{cfcdp}", "{cfd0p}", "{cfe7z}", "{cffyy}",
];
const DIRECTORY_TAG: &str = "{cfdirectory}";

/// A moment is 1,024 ms long: short enough to be searched at once, long enough to be shared.
const MOMENT_BITS: u32 = 10;

/// The number of hashed partitions.
pub const PARTITIONS: u16 = 16;

/// All partitions, the directory last.
pub fn partitions() -> impl Iterator<Item = Partition> {
    (0..PARTITIONS).map(Partition::Hashed).chain([Partition::Directory])
}

/// The tag of a partition. Partitions beyond the last, which do not occur, share the existing tags.
pub fn tag(partition: Partition) -> &'static str {
    match partition {
        Partition::Hashed(number) => TAGS[usize::from(number % PARTITIONS)],
        Partition::Directory => DIRECTORY_TAG,
    }
}

/// The index of a partition in `partitions()`.
pub fn place(partition: Partition) -> usize {
    match partition {
        Partition::Hashed(number) => usize::from(number % PARTITIONS),
        Partition::Directory => usize::from(PARTITIONS),
    }
}

/// The cluster slot of a partition: CRC16 (XMODEM) of the text within the braces, as the Redis Cluster
/// specification says.
pub fn slot(partition: Partition) -> u16 {
    let crc = tag(partition).trim_matches(['{', '}']).bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16_384
}

fn key(partition: Partition, parts: &[&[u8]]) -> Vec<u8> {
    let tag = tag(partition).as_bytes();
    let mut key = Vec::with_capacity(tag.len() + parts.iter().map(|part| part.len()).sum::<usize>());
    key.extend_from_slice(tag);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The moment in which a visitor's id was made: its first 48 bits are Unix milliseconds.
pub fn moment_of(visitor: VisitorId) -> u64 {
    let (first, _) = visitor.0.as_u64_pair();
    (first >> 16) >> MOMENT_BITS
}
/// The first visits of visitors who were new in a moment.
pub fn moment(partition: Partition, moment: u64) -> Vec<u8> {
    key(partition, &[b"m", &moment.to_be_bytes()[3..]])
}
/// The later visits of a visitor who came back.
pub fn visits(partition: Partition, visitor: VisitorId) -> Vec<u8> {
    key(partition, &[b"v", visitor.0.as_bytes()])
}
/// The counts of an affiliate's day.
pub fn counts(partition: Partition, affiliate: AffiliateId, day: NaiveDate) -> Vec<u8> {
    key(partition, &[b"c", &affiliate.bits().to_be_bytes(), &day.num_days_from_ce().to_be_bytes()])
}
/// A document, named by a prefix and a name.
pub fn document(partition: Partition, prefix: &str, name: &str) -> Vec<u8> {
    key(partition, &[b"d:", prefix.as_bytes(), name.as_bytes()])
}
/// A sorted set of names.
pub fn index(partition: Partition, index: &str) -> Vec<u8> {
    key(partition, &[b"i:", index.as_bytes()])
}
/// A stream.
pub fn stream(partition: Partition, stream: &str) -> Vec<u8> {
    key(partition, &[b"s:", stream.as_bytes()])
}
/// A counting window.
pub fn window(partition: Partition, name: &str) -> Vec<u8> {
    key(partition, &[b"w:", name.as_bytes()])
}
/// How far each node's journals have been applied in the partition.
pub fn cursors(partition: Partition) -> Vec<u8> {
    key(partition, &[b"cursors"])
}
/// The field of a node's journal in `cursors`.
pub fn cursor_field(node: NodeId, log: Log) -> [u8; 9] {
    let mut field = [0; 9];
    field[..8].copy_from_slice(&node.bits().to_be_bytes());
    field[8] = match log {
        Log::Clicks => b'c',
        Log::Facts => b'f',
    };
    field
}
/// The lowest fencing token that may write in the partition.
pub fn fence(partition: Partition) -> Vec<u8> {
    key(partition, &[b"fence"])
}
/// The holder of a lease.
pub fn lease(name: &str) -> Vec<u8> {
    key(Partition::Directory, &[b"lease:", name.as_bytes()])
}
/// The last fencing token given for a lease.
pub fn token(name: &str) -> Vec<u8> {
    key(Partition::Directory, &[b"token:", name.as_bytes()])
}
/// What nodes report to each other.
pub fn nodes() -> Vec<u8> {
    key(Partition::Directory, &[b"nodes"])
}
/// What is known about the store as a whole.
pub fn meta() -> Vec<u8> {
    key(Partition::Directory, &[b"meta"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn slots_are_those_of_the_specification() {
        // As `CLUSTER KEYSLOT` answers.
        assert_eq!(slot(Partition::Hashed(3)), 3_584);
        assert_eq!(slot(Partition::Hashed(15)), 15_857);
        assert_eq!(slot(Partition::Directory), 12_104);
    }

    #[test]
    fn partitions_are_shared_evenly_by_the_masters_of_any_cluster() {
        for masters in 1..=16_usize {
            let mut shares = vec![0; masters];
            for partition in (0..PARTITIONS).map(Partition::Hashed) {
                shares[usize::from(slot(partition)) * masters / 16_384] += 1;
            }
            let fair = 16 / masters;
            assert!(shares.iter().all(|&share| (fair..=fair + 1).contains(&share)), "{masters}: {shares:?}");
        }
    }

    #[test]
    fn keys_have_these_bytes_permanently() {
        let first = Partition::Hashed(0);
        let visitor = VisitorId(Uuid::from_bytes(*b"0123456789abcdef"));
        let day = NaiveDate::from_ymd_opt(2026, 4, 1).expect("a literal");
        let affiliate = AffiliateId::from_bits(0x4142_4344_4546_4748);
        assert_eq!(visits(first, visitor), b"{cf0hf}v0123456789abcdef");
        assert_eq!(moment_of(visitor), 0x3031_3233_3435 >> 10);
        assert_eq!(moment(first, 0x41_4243_4445), b"{cf0hf}mABCDE");
        assert_eq!(counts(first, affiliate, day), b"{cf0hf}cABCDEFGH\x00\x0b\x49\x7b");
        assert_eq!(document(first, "account:", "x"), b"{cf0hf}d:account:x");
        assert_eq!(index(first, "all"), b"{cf0hf}i:all");
        assert_eq!(stream(first, "feed"), b"{cf0hf}s:feed");
        assert_eq!(window(first, "burst"), b"{cf0hf}w:burst");
        assert_eq!(cursors(first), b"{cf0hf}cursors");
        assert_eq!(fence(first), b"{cf0hf}fence");
        assert_eq!(lease("night"), b"{cfdirectory}lease:night");
        assert_eq!(token("night"), b"{cfdirectory}token:night");
        assert_eq!(nodes(), b"{cfdirectory}nodes");
        assert_eq!(meta(), b"{cfdirectory}meta");
        assert_eq!(cursor_field(NodeId::from_bits(0x4142_4344_4546_4748), Log::Facts), *b"ABCDEFGHf");
    }
}
