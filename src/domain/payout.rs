//! When an affiliate's earnings are paid, and why they would wait. Nothing here knows what was paid: payouts
//! are made elsewhere.

use super::affiliate::{Affiliate, Status};
use super::calendar::{Month, Zone};
use super::money::Money;
use chrono::{DateTime, NaiveDate, Utc};

/// A statement's part in a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The month of the statement.
    pub month: Month,
    /// The statement's total.
    pub total: Money,
    /// Whether it is final.
    pub closed: bool,
}

/// Why what is due is carried to a later payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// The address to pay to is not known.
    NoPaypalEmail,
    /// The affiliate is suspended.
    Suspended,
    /// An address was changed: payouts are held until then.
    AddressChanged(DateTime<Utc>),
    /// The sum of what is due is zero or less.
    NotAboveZero,
    /// The sum of what is due is less than the minimum.
    BelowMinimum,
}

/// How far a statement is from being paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payment {
    /// Its total is 0.00: there is nothing to pay.
    Nothing,
    /// It may still change.
    Open,
    /// It is final, and will be paid with the next payout.
    Unpaid,
    /// It is final and below zero: the next payout sets it off against other months.
    SetOff,
    /// It is final, and the next payout carries it to a later one.
    Carried,
}

/// An affiliate's next payout, by what is known now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The day of the payout.
    pub on: NaiveDate,
    /// What is due on that day.
    pub sum: Money,
    /// Whether anything is due on that day, even a negative amount.
    pub any: bool,
    /// Whether a part of it may still change.
    pub has_open: bool,
    /// Why it would be carried to a later payout; empty: it will be paid.
    pub carried: Vec<Carried>,
}

impl Outlook {
    /// The next payout of an affiliate with these statements, seen from now.
    pub fn of(
        affiliate: &Affiliate,
        parts: impl IntoIterator<Item = Part>,
        minimum: Money,
        zone: &Zone,
        now: DateTime<Utc>,
    ) -> Self {
        let today = zone.date_of(now);
        let on = Month::of(today).last_day();
        let parts = parts.into_iter().filter(|part| !part.total.is_zero() && part.month.batch(today) == on);
        let parts: Vec<Part> = parts.collect();
        let (sum, any) = (parts.iter().map(|part| part.total).sum(), !parts.is_empty());
        let carried = if any { carried(affiliate, sum, minimum, zone, now, on) } else { Vec::new() };
        Self { on, sum, any, has_open: parts.iter().any(|part| !part.closed), carried }
    }

    /// How far a statement is from being paid.
    pub fn payment(&self, part: &Part) -> Payment {
        match part {
            _ if part.total.is_zero() => Payment::Nothing,
            _ if !part.closed => Payment::Open,
            _ if !self.carried.is_empty() => Payment::Carried,
            _ if part.total < Money::ZERO => Payment::SetOff,
            _ => Payment::Unpaid,
        }
    }
}

/// Why a sum would not be paid on a day, by what is known now.
fn carried(
    affiliate: &Affiliate,
    sum: Money,
    minimum: Money,
    zone: &Zone,
    now: DateTime<Utc>,
    on: NaiveDate,
) -> Vec<Carried> {
    let held_until = affiliate.payouts_held_until().filter(|until| now < *until && zone.date_of(*until) > on);
    let small = match sum {
        _ if sum <= Money::ZERO => Some(Carried::NotAboveZero),
        // The balance of an affiliate that left is paid even below the minimum.
        _ if sum < minimum && affiliate.status() != Status::Closed => Some(Carried::BelowMinimum),
        _ => None,
    };
    let reasons = [
        affiliate.profile.paypal_email.is_none().then_some(Carried::NoPaypalEmail),
        (affiliate.status() == Status::Suspended).then_some(Carried::Suspended),
        held_until.map(Carried::AddressChanged),
        small,
    ];
    reasons.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::affiliate::{Addresses, Profile, StatusChange};
    use crate::domain::id::{AffiliateId, LinkId};
    use Carried::{AddressChanged, BelowMinimum, NoPaypalEmail, NotAboveZero, Suspended};

    const ZONE: &str = "America/New_York";

    /// A name, whose statements, their sum, why they are carried, the payment of the first of them.
    type Case<'a> = (&'a str, Affiliate, &'a [Part], i64, &'a [Carried], Payment);

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect(text)
    }
    fn affiliate(status: Status, paypal: bool, changed: Option<&str>) -> Affiliate {
        Affiliate {
            id: AffiliateId::from_bits(7),
            profile: Profile { paypal_email: paypal.then(|| "pay@b.example".into()), ..Profile::default() },
            code: "some-code".parse().expect("a code"),
            default_link: LinkId::from_bits(7),
            history: vec![StatusChange { at: DateTime::UNIX_EPOCH, status, reason: None }],
            exempt_from_holds: false,
            signatures: Vec::new(),
            addresses: Addresses { held_since: changed.map(at), ..Addresses::default() },
        }
    }
    fn part(month: &str, cents: i64, closed: bool) -> Part {
        Part { month: month.parse().expect(month), total: Money::from_cents(cents), closed }
    }

    #[test]
    fn what_nobody_paid_is_due_at_the_next_payout_or_carried_with_its_reason() {
        let final_ones = [part("2026-04", 3_900, true), part("2026-09", 9_900, true)];
        let table: [Case<'_>; 9] = [
            ("unpaid", affiliate(Status::Active, true, None), &final_ones, 13_800, &[], Payment::Unpaid),
            (
                "no address",
                affiliate(Status::Active, false, None),
                &final_ones,
                13_800,
                &[NoPaypalEmail],
                Payment::Carried,
            ),
            (
                "suspended, without an address",
                affiliate(Status::Suspended, false, None),
                &final_ones,
                13_800,
                &[NoPaypalEmail, Suspended],
                Payment::Carried,
            ),
            (
                "another address since yesterday",
                affiliate(Status::Active, true, Some("2026-10-27T12:00:00Z")),
                &final_ones,
                13_800,
                &[AddressChanged(at("2026-11-03T12:00:00Z"))],
                Payment::Carried,
            ),
            (
                "another address, soon enough",
                affiliate(Status::Active, true, Some("2026-10-22T12:00:00Z")),
                &final_ones,
                13_800,
                &[],
                Payment::Unpaid,
            ),
            (
                "small",
                affiliate(Status::Active, true, None),
                &[part("2026-09", 2_499, true)],
                2_499,
                &[BelowMinimum],
                Payment::Carried,
            ),
            (
                "small, of one that left",
                affiliate(Status::Closed, true, None),
                &[part("2026-09", 2_499, true)],
                2_499,
                &[],
                Payment::Unpaid,
            ),
            (
                "below zero in all",
                affiliate(Status::Active, true, None),
                &[part("2026-08", -5_000, true), part("2026-09", 4_000, true)],
                -1_000,
                &[NotAboveZero],
                Payment::Carried,
            ),
            (
                "below zero, but not in all",
                affiliate(Status::Active, true, None),
                &[part("2026-08", -5_000, true), part("2026-09", 9_900, true)],
                4_900,
                &[],
                Payment::SetOff,
            ),
        ];
        for (name, affiliate, parts, sum, carried, first) in table {
            let zone = ZONE.parse().expect("a zone");
            let minimum = Money::from_cents(2_500);
            let outlook =
                Outlook::of(&affiliate, parts.iter().copied(), minimum, &zone, at("2026-10-28T12:00:00Z"));
            assert_eq!(outlook.on, "2026-10-31".parse().expect("a day"), "{name}");
            assert_eq!((outlook.sum, outlook.any), (Money::from_cents(sum), true), "{name}");
            assert_eq!(outlook.carried, carried, "{name}");
            assert_eq!(outlook.payment(&parts[0]), first, "{name}");
        }
    }

    #[test]
    fn what_is_not_final_or_nothing_is_no_debt() {
        let zone = ZONE.parse().expect("a zone");
        let ann = affiliate(Status::Active, false, None);
        let parts = [part("2026-10", 9_900, false), part("2026-09", 0, true)];
        let outlook = Outlook::of(&ann, parts, Money::ZERO, &zone, at("2026-10-28T12:00:00Z"));
        assert_eq!((outlook.any, outlook.carried.len()), (false, 0), "October is for the payout of November");
        let payments = parts.map(|part| outlook.payment(&part));
        assert_eq!(payments, [Payment::Open, Payment::Nothing]);
        // In the first days of a month the one before is still open, and it belongs to the next payout.
        let outlook = Outlook::of(&ann, parts, Money::ZERO, &zone, at("2026-11-02T12:00:00Z"));
        assert_eq!((outlook.any, outlook.has_open, &*outlook.carried), (true, true, &[NoPaypalEmail][..]));
    }
}
