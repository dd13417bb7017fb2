//! The bytes of visits, counters and cursors, the same in every store. `StoreMeta::format` is their version.

use super::{Counter, Cursor, MAX_VISITS, Result, StoreError};
use crate::domain::attribution::Visit;
use crate::domain::id::{AffiliateId, ClickId, LinkId};
use crate::domain::outcome::Verdict;
use crate::domain::token::Click;
use uuid::Uuid;

/// A visit: click id 16, affiliate 8, link 8, verdict 1, all big-endian. The verdict's highest bit says that the click came
/// from a paid ad.
pub const VISIT_BYTES: usize = 33;
/// The largest size of a visitor's visits.
pub const MAX_VISITS_BYTES: usize = MAX_VISITS * VISIT_BYTES;
/// A cursor: epoch 4, position 8, big-endian, so that the bytes compare as the cursors do.
pub const CURSOR_BYTES: usize = 12;

/// Verdicts have numbers below it.
const PAID_AD: u8 = 0x80;

/// Appends a visit.
pub fn put_visit(visit: &Visit, out: &mut Vec<u8>) {
    out.extend_from_slice(visit.click.id.0.as_bytes());
    out.extend_from_slice(&visit.click.affiliate.bits().to_be_bytes());
    out.extend_from_slice(&visit.click.link.bits().to_be_bytes());
    let paid_ad = if visit.paid_ad { PAID_AD } else { 0 };
    out.push(visit.verdict.number() | paid_ad);
}

/// Reads a visitor's visits.
pub fn read_visits(packed: &[u8]) -> Result<Vec<Visit>> {
    let (visits, rest) = packed.as_chunks::<VISIT_BYTES>();
    if !rest.is_empty() {
        return Err(StoreError::Corrupt(format!("visits of {} bytes", packed.len())));
    }
    visits.iter().map(read_visit).collect()
}

fn read_visit(bytes: &[u8; VISIT_BYTES]) -> Result<Visit> {
    let last = bytes[VISIT_BYTES - 1];
    let number = last & !PAID_AD;
    let verdict = Verdict::from_number(number)
        .ok_or_else(|| StoreError::Corrupt(format!("a visit with verdict number {number}")))?;
    let click = Click {
        id: ClickId(Uuid::from_bytes(array(bytes, 0))),
        affiliate: AffiliateId::from_bits(u64::from_be_bytes(array(bytes, 16))),
        link: LinkId::from_bits(u64::from_be_bytes(array(bytes, 24))),
    };
    Ok(Visit { click, verdict, paid_ad: last & PAID_AD != 0 })
}

/// `N` bytes from `at`; zero beyond the end.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    for (slot, byte) in out.iter_mut().zip(bytes.iter().skip(at)) {
        *slot = *byte;
    }
    out
}

/// Adds visits that are not among a visitor's yet, then keeps the first and the newest.
pub fn add_visits(known: &mut Vec<u8>, more: &[u8]) {
    for visit in more.as_chunks::<VISIT_BYTES>().0 {
        if !known.as_chunks::<VISIT_BYTES>().0.iter().any(|old| old[..16] == visit[..16]) {
            known.extend_from_slice(visit);
            if known.len() > MAX_VISITS_BYTES {
                known.drain(VISIT_BYTES..2 * VISIT_BYTES);
            }
        }
    }
}

/// The name of a counter within an affiliate's day: one byte for the kind, then what it counts.
pub fn counter_field(counter: &Counter) -> Vec<u8> {
    match counter {
        Counter::Verdict(verdict) => vec![b'v', verdict.number()],
        Counter::Unique => vec![b'u'],
        Counter::Link(link) => [&b"l"[..], &link.bits().to_be_bytes()].concat(),
        Counter::LinkOther(link) => [&b"o"[..], &link.bits().to_be_bytes()].concat(),
        Counter::Sub(number, value) => [&[b'0' + number % 10], value.as_bytes()].concat(),
    }
}

/// The name of the counter of a sub id's values that are counted separately; `None` for other counters.
pub fn sub_values_field(counter_field: &[u8]) -> Option<[u8; 2]> {
    match counter_field {
        [digit @ b'0'..=b'9', value @ ..] if value != OTHER => Some([b'#', *digit]),
        _ => None,
    }
}

/// Stands for all values that are not counted separately; it is not counted as one of them.
pub const OTHER: &[u8] = b"other";

/// Reads a counter's name; `None` for the store's own `#` fields.
pub fn read_counter(field: &[u8]) -> Result<Option<Counter>> {
    let unknown = || StoreError::Corrupt(format!("a counter named {field:?}"));
    let link = |rest: &[u8]| {
        let bytes = <[u8; 8]>::try_from(rest).map_err(|_| unknown())?;
        Ok::<_, StoreError>(LinkId::from_bits(u64::from_be_bytes(bytes)))
    };
    let counter = match field {
        [b'#', ..] => return Ok(None),
        [b'v', number] => Counter::Verdict(Verdict::from_number(*number).ok_or_else(unknown)?),
        b"u" => Counter::Unique,
        [b'l', rest @ ..] => Counter::Link(link(rest)?),
        [b'o', rest @ ..] => Counter::LinkOther(link(rest)?),
        [digit @ b'0'..=b'9', value @ ..] => {
            let value = String::from_utf8(value.to_vec()).map_err(|_| unknown())?;
            Counter::Sub(digit - b'0', value)
        }
        _ => return Err(unknown()),
    };
    Ok(Some(counter))
}

/// A cursor's bytes.
pub fn cursor(cursor: Cursor) -> [u8; CURSOR_BYTES] {
    let mut out = [0; CURSOR_BYTES];
    out[..4].copy_from_slice(&cursor.epoch.to_be_bytes());
    out[4..].copy_from_slice(&cursor.position.to_be_bytes());
    out
}

/// Reads a cursor.
pub fn read_cursor(bytes: &[u8]) -> Result<Cursor> {
    if bytes.len() != CURSOR_BYTES {
        return Err(StoreError::Corrupt(format!("a cursor of {} bytes", bytes.len())));
    }
    Ok(Cursor { epoch: u32::from_be_bytes(array(bytes, 0)), position: u64::from_be_bytes(array(bytes, 4)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(number: u8) -> Visit {
        let click = Click {
            id: ClickId(Uuid::from_bytes([number; 16])),
            affiliate: AffiliateId::from_bits(0x0102_0304_0506_0708),
            link: LinkId::from_bits(9),
        };
        Visit { click, verdict: Verdict::Bot, paid_ad: false }
    }

    fn packed(numbers: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &number in numbers {
            put_visit(&visit(number), &mut out);
        }
        out
    }

    #[test]
    fn a_visit_has_these_bytes_permanently() {
        let golden = [&[7; 16][..], &[1, 2, 3, 4, 5, 6, 7, 8], &[0, 0, 0, 0, 0, 0, 0, 9], &[2]].concat();
        assert_eq!(packed(&[7]), golden);
        assert_eq!(read_visits(&golden).expect("golden bytes"), [visit(7)]);
        let (of_ad, mut out) = (Visit { paid_ad: true, ..visit(7) }, Vec::new());
        put_visit(&of_ad, &mut out);
        assert_eq!((&out[..32], out[32]), (&golden[..32], 0x82));
        assert_eq!(read_visits(&out).expect("golden bytes"), [of_ad]);
    }

    #[test]
    fn every_verdict_has_room_beside_the_ad() {
        for (&verdict, paid_ad) in Verdict::ALL.iter().flat_map(|verdict| [(verdict, false), (verdict, true)])
        {
            let (visit, mut out) = (Visit { verdict, paid_ad, ..visit(7) }, Vec::new());
            put_visit(&visit, &mut out);
            assert_eq!(read_visits(&out).expect("a visit"), [visit]);
        }
    }

    #[test]
    fn bytes_that_are_no_visits_are_reported() {
        let mut odd = packed(&[1]);
        odd.push(0);
        assert!(matches!(read_visits(&odd), Err(StoreError::Corrupt(_))));
        odd.truncate(VISIT_BYTES);
        for number in [72, 200] {
            odd[VISIT_BYTES - 1] = number;
            assert!(matches!(read_visits(&odd), Err(StoreError::Corrupt(_))), "{number}");
        }
    }

    #[test]
    fn the_first_and_the_newest_visits_are_kept_and_none_twice() {
        let mut known = packed(&[1]);
        let all: Vec<u8> = (1..=40).collect();
        add_visits(&mut known, &packed(&all));
        add_visits(&mut known, &packed(&[40, 1]));
        let expected: Vec<u8> = std::iter::once(1).chain(10..=40).collect();
        assert_eq!(known, packed(&expected));
    }

    #[test]
    fn counters_have_these_names_permanently() {
        let link = LinkId::from_bits(258);
        for (counter, golden) in [
            (Counter::Verdict(Verdict::LinkDisabled), &b"v\x08"[..]),
            (Counter::Unique, b"u"),
            (Counter::Link(link), b"l\0\0\0\0\0\0\x01\x02"),
            (Counter::LinkOther(link), b"o\0\0\0\0\0\0\x01\x02"),
            (Counter::Sub(2, "é".to_owned()), b"2\xc3\xa9"),
            (Counter::Sub(5, String::new()), b"5"),
        ] {
            assert_eq!(counter_field(&counter), golden);
            assert_eq!(read_counter(golden).expect("golden bytes"), Some(counter));
        }
        assert_eq!(read_counter(b"#2").expect("the store's own"), None);
        assert!(read_counter(b"x").is_err());
        assert_eq!(sub_values_field(b"2a"), Some(*b"#2"));
        assert_eq!(sub_values_field(b"2other"), None);
        assert_eq!(sub_values_field(b"u"), None);
    }

    #[test]
    fn cursors_compare_as_their_bytes_do() {
        let (old, new) = (Cursor { epoch: 1, position: 300 }, Cursor { epoch: 2, position: 1 });
        assert!(cursor(old) < cursor(new));
        assert_eq!(read_cursor(&cursor(old)).expect("a cursor"), old);
        assert!(read_cursor(b"short").is_err());
    }
}
