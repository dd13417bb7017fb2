//! A click as the journal keeps it: written by the redirect, read by the drainer, deleted with its segment of
//! the clicks journal.
//!
//! | bytes | meaning |
//! | ---: | --- |
//! | 1 | version: 1, or 2 if there is a long sub id |
//! | 1 | flags: 1 a visitor is named, 2 its id is new with this click, 4 the click is unique, 8 `Sec-GPC`, 16 a paid ad's click; the others are 0 |
//! | 1 | the verdict's number |
//! | 16 | the click's id, which contains its time |
//! | 8, 8 | affiliate and link, big-endian |
//! | 16 | the visitor, if one is named |
//! | 1 | which of `sub1` to `sub5` follow, from the lowest bit |
//! | 1 + n | for each of those, its length and its bytes: a short one has 1 to 64 bytes of printable ASCII |
//! | 2 + n | in version 2: its length, big-endian, and its bytes: UTF-8 of 1 to 512 bytes without control characters |
//!
//! A reader that meets an unknown version stops and reports it: a newer program wrote it.

use super::id::{AffiliateId, ClickId, LinkId, VisitorId};
use super::outcome::Verdict;
use super::query::{MAX_SUB_BYTES, Subs};
use super::token::Click;
use std::borrow::Cow;
use uuid::Uuid;

const VERSION: u8 = 1;
/// A record with at least one long sub id.
const LONG_SUBS: u8 = 2;
/// The longest short sub id, in bytes.
const SHORT: usize = 64;
const NAMED_VISITOR: u8 = 1;
const NEW_VISITOR: u8 = 2;
const UNIQUE: u8 = 4;
const GPC: u8 = 8;
const PAID_AD: u8 = 16;

/// A click as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the record")]
pub struct ClickRecord<'a> {
    /// The click.
    pub click: Click,
    /// Who made it; not known for most programs.
    pub visitor: Option<VisitorId>,
    /// The verdict on it.
    pub verdict: Verdict,
    /// The visitor id is new with this click, so there are no earlier visits.
    pub new_visitor: bool,
    /// A person's click without a valid cookie.
    pub unique: bool,
    /// The browser asked for privacy (`Sec-GPC: 1`) and got no cookie.
    pub gpc: bool,
    /// The link was followed from a paid ad.
    pub paid_ad: bool,
    /// The sub ids that the affiliate put into the link.
    pub subs: Subs<'a>,
}

/// Why bytes are not a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadClickRecord {
    /// A version that this program can't read.
    #[error("read a click of version {0}")]
    UnknownVersion(u8),
    /// No version writes such bytes.
    #[error("read a click: it is damaged")]
    Damaged,
}

impl<'a> ClickRecord<'a> {
    /// Appends the click. A value that may not be a sub id (empty, longer than 512 bytes, with control
    /// characters) is left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.visitor.is_some(), NAMED_VISITOR)
            | flag(self.new_visitor, NEW_VISITOR)
            | flag(self.unique, UNIQUE)
            | flag(self.gpc, GPC)
            | flag(self.paid_ad, PAID_AD);
        let subs = || self.subs.iter().map(|sub| sub.as_deref().filter(|value| is_kept(value)));
        let version = if subs().flatten().all(is_short) { VERSION } else { LONG_SUBS };
        out.extend([version, flags, self.verdict.number()]);
        out.extend(self.click.id.0.as_bytes());
        out.extend(self.click.affiliate.bits().to_be_bytes());
        out.extend(self.click.link.bits().to_be_bytes());
        if let Some(visitor) = self.visitor {
            out.extend(visitor.0.as_bytes());
        }
        let mask = out.len();
        out.push(0);
        for (place, value) in subs().enumerate() {
            if let Some(value) = value {
                out[mask] |= 1 << place;
                // A short sub id has at most 64 bytes, a long one at most 512.
                let len = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
                out.extend(if version == VERSION { &len[1..] } else { &len });
                out.extend(value.as_bytes());
            }
        }
    }

    /// Reads a click; bytes that `encode` would not have written count as damage.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BadClickRecord> {
        match bytes.first() {
            Some(&version @ (VERSION | LONG_SUBS)) => {
                Self::decode_fields(version, &mut Reader(&bytes[1..])).ok_or(BadClickRecord::Damaged)
            }
            Some(&version) => Err(BadClickRecord::UnknownVersion(version)),
            None => Err(BadClickRecord::Damaged),
        }
    }

    fn decode_fields(version: u8, from: &mut Reader<'a>) -> Option<Self> {
        let flags = from.byte()?;
        let verdict = Verdict::from_number(from.byte()?)?;
        let id = ClickId(Uuid::from_bytes(from.array()?));
        let affiliate = from.id()?;
        let click =
            Click { id, affiliate: AffiliateId::from_bits(affiliate), link: LinkId::from_bits(from.id()?) };
        let named = flags & NAMED_VISITOR != 0;
        let visitor = if named { Some(VisitorId(Uuid::from_bytes(from.array()?))) } else { None };
        let subs = from.subs(version)?;
        let known = flags & !(NAMED_VISITOR | NEW_VISITOR | UNIQUE | GPC | PAID_AD) == 0;
        (known && from.0.is_empty()).then_some(Self {
            click,
            visitor,
            verdict,
            new_visitor: flags & NEW_VISITOR != 0,
            unique: flags & UNIQUE != 0,
            gpc: flags & GPC != 0,
            paid_ad: flags & PAID_AD != 0,
            subs,
        })
    }
}

/// The bytes left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    /// An id's 63 bits.
    fn id(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes).filter(|bits| bits >> 63 == 0)
    }
    fn subs(&mut self, version: u8) -> Option<Subs<'a>> {
        let mask = self.byte()?;
        let mut subs = Subs::default();
        for (place, sub) in subs.iter_mut().enumerate() {
            if mask & (1 << place) != 0 {
                let high = if version == VERSION { 0 } else { self.byte()? };
                let len = usize::from(u16::from_be_bytes([high, self.byte()?]));
                let value = std::str::from_utf8(self.take(len)?).ok().filter(|value| is_kept(value))?;
                *sub = Some(Cow::Borrowed(value));
            }
        }
        let all_short = subs.iter().flatten().all(|value| is_short(value));
        (mask >> 5 == 0 && all_short == (version == VERSION)).then_some(subs)
    }
}

fn is_kept(value: &str) -> bool {
    (1..=MAX_SUB_BYTES).contains(&value.len()) && !value.contains(char::is_control)
}

/// Whether the length of a sub id fits one byte, as in the oldest format.
fn is_short(value: &str) -> bool {
    value.len() <= SHORT && value.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::program::hex;
    use proptest::prelude::*;

    fn human() -> ClickRecord<'static> {
        let mut subs = Subs::default();
        subs[0] = Some("news".into());
        subs[4] = Some("x".into());
        ClickRecord {
            click: Click {
                id: ClickId(Uuid::from_u128(0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f)),
                affiliate: AffiliateId::from_bits(0x0123_4567_89ab_cdef),
                link: LinkId::from_bits(42),
            },
            visitor: Some(VisitorId(Uuid::from_u128(7))),
            verdict: Verdict::Human,
            new_visitor: true,
            unique: true,
            gpc: false,
            paid_ad: false,
            subs,
        }
    }

    fn encoded(record: &ClickRecord<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        record.encode(&mut out);
        out
    }

    #[test]
    fn clicks_have_golden_bytes() {
        let human = human();
        let golden = concat!(
            "01",
            "07",
            "00",
            "017f22e279b07cc398c4dc0c0c07398f",
            "0123456789abcdef",
            "000000000000002a",
            "00000000000000000000000000000007",
            "11",
            "046e657773",
            "0178"
        );
        assert_eq!(hex(&encoded(&human)), golden);
        let bot = ClickRecord {
            visitor: None,
            verdict: Verdict::Bot,
            new_visitor: false,
            unique: false,
            gpc: true,
            subs: Subs::default(),
            ..human
        };
        let golden = "010802017f22e279b07cc398c4dc0c0c07398f0123456789abcdef000000000000002a00";
        assert_eq!(hex(&encoded(&bot)), golden);
        assert_eq!(ClickRecord::decode(&encoded(&bot)), Ok(bot.clone()));
        let ad = ClickRecord { paid_ad: true, ..bot };
        let golden = "011802017f22e279b07cc398c4dc0c0c07398f0123456789abcdef000000000000002a00";
        assert_eq!(hex(&encoded(&ad)), golden);
        assert_eq!(ClickRecord::decode(&encoded(&ad)), Ok(ad));
    }

    #[test]
    fn long_sub_ids_have_golden_bytes_and_short_ones_the_old() {
        let mut long = human();
        long.subs[4] = Some("\u{e9}".repeat(200).into());
        let bytes = encoded(&long);
        assert_eq!((bytes[0], &bytes[1..51]), (2, &encoded(&human())[1..51]));
        assert_eq!(hex(&bytes[51..]), format!("1100046e6577730190{}", "c3a9".repeat(200)));
        assert_eq!(ClickRecord::decode(&bytes).as_ref(), Ok(&long));
        // Sub ids that are all short are not written in the long format.
        let mut padded = encoded(&human());
        padded[0] = LONG_SUBS;
        padded.splice(52..53, [0, 4]);
        padded.splice(58..59, [0, 1]);
        assert_eq!(ClickRecord::decode(&padded), Err(BadClickRecord::Damaged));
    }

    #[test]
    fn every_verdict_reads_back() {
        for verdict in Verdict::ALL {
            let record = ClickRecord { verdict, ..human() };
            assert_eq!(ClickRecord::decode(&encoded(&record)).as_ref(), Ok(&record));
        }
    }

    #[test]
    fn what_is_not_a_click_is_named() {
        let good = encoded(&human());
        let changed = |place: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            bytes
        };
        let longer = [good.clone(), vec![0]].concat();
        for damaged in
            [changed(1, 0x27), changed(2, 99), changed(19, 0x80), changed(51, 0x31), changed(52, 0), longer]
        {
            assert_eq!(ClickRecord::decode(&damaged), Err(BadClickRecord::Damaged), "{damaged:?}");
        }
        assert_eq!(ClickRecord::decode(&changed(0, 3)), Err(BadClickRecord::UnknownVersion(3)));
        for len in 0..good.len() {
            assert_eq!(ClickRecord::decode(&good[..len]), Err(BadClickRecord::Damaged), "{len} bytes");
        }
    }

    #[test]
    fn values_that_are_no_sub_ids_are_left_out() {
        let mut record = human();
        record.subs =
            [Some("".into()), Some("a".repeat(513).into()), Some("\n".into()), Some("ok".into()), None];
        let bytes = encoded(&record);
        let subs = ClickRecord::decode(&bytes).expect("a click").subs;
        assert_eq!(subs.map(|sub| sub.map(Cow::into_owned)), [None, None, None, Some("ok".into()), None]);
    }

    proptest! {
        #[test]
        fn any_bytes_that_read_are_what_would_be_written(mut bytes in prop::collection::vec(any::<u8>(), 36..60)) {
            bytes[0] = VERSION + bytes[0] % 2;
            bytes[1] &= 31;
            bytes[2] %= 10;
            if let Ok(record) = ClickRecord::decode(&bytes) {
                prop_assert_eq!(encoded(&record), bytes);
            }
        }
    }
}
