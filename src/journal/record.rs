//! Records and segment headers as bytes.

use crate::domain::id::NodeId;
use crate::store::Log;
use sha2::{Digest, Sha256};

/// The largest fact: a statement of a month with some thousand lines fits.
pub const MAX_FACT_BYTES: usize = 3 << 20;
/// The largest click: a fixed part and five sub ids of 64 bytes fit eight times.
pub const MAX_CLICK_BYTES: usize = 4 << 10;

/// The version of all formats in this module; a reader refuses any other and names it.
pub(super) const FORMAT: u32 = 1;
pub(super) const HEADER_BYTES: usize = 68;
pub(super) const RECORD_HEAD: usize = 28;
const MAGIC: &[u8; 8] = b"cfoiljnl";
/// Where the header's checksum starts; it covers everything before it.
const CHECKED: usize = HEADER_BYTES - 16;

/// The hash of a record and, through the one before it, of all records before it.
pub(super) type Chain = [u8; 16];

/// The largest payload of a log.
pub(super) const fn limit(log: Log) -> usize {
    match log {
        Log::Clicks => MAX_CLICK_BYTES,
        Log::Facts => MAX_FACT_BYTES,
    }
}

const fn kind(log: Log) -> u32 {
    match log {
        Log::Clicks => 1,
        Log::Facts => 2,
    }
}

/// The first 16 bytes of a SHA-256.
pub(super) fn short_hash(parts: &[&[u8]]) -> Chain {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let full: [u8; 32] = hash.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(&full[..16]);
    short
}

/// The hash before a log's first record: it differs for each node and each log.
pub(super) fn genesis(log: Log, node: NodeId) -> Chain {
    short_hash(&[MAGIC, &kind(log).to_le_bytes(), &node.bits().to_le_bytes()])
}

/// The chain hash of a record.
pub(super) fn link(previous: &Chain, epoch: u32, position: u64, payload: &[u8]) -> Chain {
    let mut head = [0u8; 32];
    head[..16].copy_from_slice(previous);
    head[16..20].copy_from_slice(&length(payload));
    head[20..28].copy_from_slice(&position.to_le_bytes());
    head[28..].copy_from_slice(&epoch.to_le_bytes());
    short_hash(&[&head, payload])
}

fn length(payload: &[u8]) -> [u8; 4] {
    // Callers check payloads against `limit`, far below 4 GiB; a longer one would be refused as torn.
    u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// Appends a record's bytes to `out` and returns its chain hash.
pub(super) fn encode(
    out: &mut Vec<u8>,
    previous: &Chain,
    epoch: u32,
    position: u64,
    payload: &[u8],
) -> Chain {
    let chain = link(previous, epoch, position, payload);
    out.extend_from_slice(&length(payload));
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&chain);
    out.extend_from_slice(payload);
    chain
}

/// The bytes before a record's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub length: usize,
    pub position: u64,
    pub chain: Chain,
}

impl RecordHead {
    pub fn decode(bytes: &[u8; RECORD_HEAD]) -> Self {
        let length = u32::from_le_bytes(part(bytes, 0));
        Self {
            // If a usize is too short for the length, the length is beyond every limit.
            length: usize::try_from(length).unwrap_or(usize::MAX),
            position: u64::from_le_bytes(part(bytes, 4)),
            chain: part(bytes, 12),
        }
    }
}

/// The beginning of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub log: Log,
    pub node: NodeId,
    pub epoch: u32,
    pub first_position: u64,
    pub chain_before: Chain,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&kind(self.log).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.node.bits().to_le_bytes());
        bytes[24..28].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.first_position.to_le_bytes());
        bytes[36..CHECKED].copy_from_slice(&self.chain_before);
        let check = short_hash(&[&bytes[..CHECKED]]);
        bytes[CHECKED..].copy_from_slice(&check);
        bytes
    }

    /// Reads the header of a log's segment; an error says what is wrong with it.
    pub fn decode(bytes: &[u8; HEADER_BYTES], log: Log) -> Result<Self, String> {
        if &bytes[..8] != MAGIC {
            return Err("the header is not a journal's".into());
        }
        let format = u32::from_le_bytes(part(bytes, 8));
        // The checksum is checked before the version, so that a flipped bit is not reported as a newer
        // program.
        if short_hash(&[&bytes[..CHECKED]]) != part::<16>(bytes, CHECKED) {
            return Err("the header's checksum does not match".into());
        }
        if format != FORMAT {
            return Err(format!("format {format} was written by another version; this one reads {FORMAT}"));
        }
        if u32::from_le_bytes(part(bytes, 12)) != kind(log) {
            return Err(format!("the segment is not of the {} log", log.code()));
        }
        Ok(Self {
            log,
            node: NodeId::from_bits(u64::from_le_bytes(part(bytes, 16))),
            epoch: u32::from_le_bytes(part(bytes, 24)),
            first_position: u64::from_le_bytes(part(bytes, 28)),
            chain_before: part(bytes, 36),
        })
    }
}

/// `N` bytes from `start`, which every caller keeps within the slice.
pub(super) fn part<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[start..start + N]);
    out
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(log: Log) -> Header {
        Header {
            log,
            node: NodeId::from_bits(0x0123_4567_89ab_cdef),
            epoch: 3,
            first_position: 1_000,
            chain_before: *b"0123456789abcdef",
        }
    }

    #[test]
    fn headers_have_these_bytes() {
        let facts = "63666f696c6a6e6c0100000002000000efcdab896745230103000000e80300000000000030313233343536373839616263646566";
        let clicks = "63666f696c6a6e6c0100000001000000efcdab896745230103000000e80300000000000030313233343536373839616263646566";
        for (log, body, check) in [
            (Log::Facts, facts, "ac0f6bcf79c3032f91317ebe51b778e2"),
            (Log::Clicks, clicks, "bf357cd3fc0b2dc80ce2027beb20d483"),
        ] {
            let bytes = header(log).encode();
            assert_eq!(hex(&bytes), format!("{body}{check}"));
            assert_eq!(Header::decode(&bytes, log), Ok(header(log)));
        }
    }

    #[test]
    fn records_have_these_bytes() {
        let node = NodeId::from_bits(0x0123_4567_89ab_cdef);
        let mut bytes = Vec::new();
        let first = encode(&mut bytes, &genesis(Log::Facts, node), 1, 1, b"{\"fact\":1}");
        encode(&mut bytes, &first, 2, 2, b"\x00");
        assert_eq!(
            hex(&bytes),
            "0a00000001000000000000003560eac1d24d640d690c4dd4609ec51d7b2266616374223a317d0100000002000000000000009e0aa8dede90b80cea3f0d6f914c563800"
        );
        let head = RecordHead::decode(&part(&bytes, 0));
        assert_eq!(head, RecordHead { length: 10, position: 1, chain: first });
    }

    #[test]
    fn another_log_format_or_bit_is_refused_by_name() {
        let bytes = header(Log::Facts).encode();
        assert!(Header::decode(&bytes, Log::Clicks).is_err_and(|what| what.contains("clicks")));
        let mut newer = bytes;
        newer[8] = 2;
        let check = short_hash(&[&newer[..CHECKED]]);
        newer[CHECKED..].copy_from_slice(&check);
        assert!(Header::decode(&newer, Log::Facts).is_err_and(|what| what.contains("format 2")));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped, Log::Facts).is_err(), "bit {bit}");
        }
    }
}
