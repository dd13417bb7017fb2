//! When an affiliate's earnings are paid, and why they would wait.

use super::id::PayoutId;
use super::item::ItemStatus;
use super::ledger::{Ledger, PartOf};
use super::plan::{Carried, Terms, why_carried};
use crate::domain::affiliate::Affiliate;
use crate::domain::calendar::{Month, Zone};
use crate::domain::money::Money;
use chrono::{DateTime, NaiveDate, Utc};

/// A statement, as far as its payment depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The month of the statement.
    pub month: Month,
    /// The statement's total.
    pub total: Money,
    /// Whether it is final.
    pub closed: bool,
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
    /// It is in a payout that is not over.
    UnderWay(PayoutId, ItemStatus),
    /// It was paid in a payout, on a day.
    Paid(PayoutId, Option<NaiveDate>),
    /// It was paid before payouts were made here.
    PaidElsewhere,
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
    /// Until when payouts are held because an address was changed.
    pub held_until: Option<DateTime<Utc>>,
    /// What payouts did already.
    pub ledger: Ledger,
}

impl Outlook {
    /// The next payout of an affiliate with these statements, seen from `terms.at`. `is_shared`: another affiliate has
    /// its PayPal e-mail too.
    pub fn of(
        affiliate: &Affiliate,
        ledger: Ledger,
        statements: impl IntoIterator<Item = Due>,
        is_shared: bool,
        zone: &Zone,
        terms: Terms,
    ) -> Self {
        let today = zone.date_of(terms.at);
        let on = Month::of(today).last_day();
        let is_due =
            |one: &Due| !one.total.is_zero() && one.month.batch(today) == on && !ledger.has_month(one.month);
        let due: Vec<Due> = statements.into_iter().filter(is_due).collect();
        let corrections: Vec<Money> = ledger.free_parts(&[]).iter().map(|part| part.amount).collect();
        let any = !due.is_empty() || !corrections.is_empty();
        let sum = due.iter().map(|one| one.total).chain(corrections).sum();
        // An address that was changed holds payouts if it still does on that day.
        let then = Terms { at: terms.at.max(zone.end_of(on)), ..terms };
        let carried = if any { why_carried(affiliate, &ledger, sum, is_shared, then) } else { Vec::new() };
        let held_until = affiliate.payouts_held_until();
        Self { on, sum, any, has_open: due.iter().any(|one| !one.closed), carried, held_until, ledger }
    }

    /// How far a statement is from being paid.
    pub fn payment(&self, one: &Due) -> Payment {
        match self.ledger.payment_of(one.month) {
            _ if one.total.is_zero() => Payment::Nothing,
            _ if !one.closed => Payment::Open,
            Some(known) => known,
            None if !self.carried.is_empty() => Payment::Carried,
            None if one.total < Money::ZERO => Payment::SetOff,
            None => Payment::Unpaid,
        }
    }
}

impl Ledger {
    /// What payouts did about the closed statement of a month; `None`: nothing that lasts.
    pub fn payment_of(&self, month: Month) -> Option<Payment> {
        if self.paid_elsewhere.is_some_and(|last| month <= last) {
            return Some(Payment::PaidElsewhere);
        }
        let is_it = |of: &PartOf| matches!(of, PartOf::Statement { month: one, .. } if *one == month);
        let mut items = self.items.iter().filter(|item| item.has_its_parts());
        let item = items.find(|item| item.parts.iter().any(|part| is_it(&part.of)))?;
        Some(match item.status {
            ItemStatus::Paid => Payment::Paid(item.payout_id, item.paid_on),
            status => Payment::UnderWay(item.payout_id, status),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::affiliate::{Addresses, Profile, Status, StatusChange};
    use crate::domain::id::{AffiliateId, LinkId};
    use Carried::{AddressChanged, BelowMinimum, NoPaypalEmail, NotAboveZero, Suspended};

    const ZONE: &str = "America/New_York";

    /// A name, whose statements, their sum, why they are carried, the payment of the first of them.
    type Case<'a> = (&'a str, Affiliate, &'a [Due], i64, &'a [Carried], Payment);

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect(text)
    }
    fn terms(now: &str) -> Terms {
        Terms { minimum: Money::from_cents(2_500), item_limit: Money::from_cents(2_000_000), at: at(now) }
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
    fn due(month: &str, cents: i64, closed: bool) -> Due {
        Due { month: month.parse().expect(month), total: Money::from_cents(cents), closed }
    }

    #[test]
    fn what_nobody_paid_is_due_at_the_next_payout_or_carried_with_its_reason() {
        let final_ones = [due("2026-04", 3_900, true), due("2026-09", 9_900, true)];
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
                &[AddressChanged],
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
                &[due("2026-09", 2_499, true)],
                2_499,
                &[BelowMinimum],
                Payment::Carried,
            ),
            (
                "small, of one that left",
                affiliate(Status::Closed, true, None),
                &[due("2026-09", 2_499, true)],
                2_499,
                &[],
                Payment::Unpaid,
            ),
            (
                "below zero in all",
                affiliate(Status::Active, true, None),
                &[due("2026-08", -5_000, true), due("2026-09", 4_000, true)],
                -1_000,
                &[NotAboveZero],
                Payment::Carried,
            ),
            (
                "below zero, but not in all",
                affiliate(Status::Active, true, None),
                &[due("2026-08", -5_000, true), due("2026-09", 9_900, true)],
                4_900,
                &[],
                Payment::SetOff,
            ),
        ];
        for (name, affiliate, parts, sum, carried, first) in table {
            let zone = ZONE.parse().expect("a zone");
            let terms = terms("2026-10-28T12:00:00Z");
            let outlook =
                Outlook::of(&affiliate, Ledger::default(), parts.iter().copied(), false, &zone, terms);
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
        let parts = [due("2026-10", 9_900, false), due("2026-09", 0, true)];
        let outlook =
            Outlook::of(&ann, Ledger::default(), parts, false, &zone, terms("2026-10-28T12:00:00Z"));
        assert_eq!((outlook.any, outlook.carried.len()), (false, 0), "October is for the payout of November");
        let payments = parts.map(|part| outlook.payment(&part));
        assert_eq!(payments, [Payment::Open, Payment::Nothing]);
        // In the first days of a month the one before is still open, and it belongs to the next payout.
        let outlook =
            Outlook::of(&ann, Ledger::default(), parts, false, &zone, terms("2026-11-02T12:00:00Z"));
        assert_eq!((outlook.any, outlook.has_open, &*outlook.carried), (true, true, &[NoPaypalEmail][..]));
    }
}
