//! What a new batch pays an affiliate, or why it pays nothing.

use super::item::{Item, ItemStatus};
use super::ledger::{ClosedStatement, Ledger, MOST_FAILURES, Part};
use crate::domain::affiliate::{Affiliate, Status};
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::domain::named::named;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

named! {
    /// Why what is due is carried to a later payout.
    pub enum Carried {
        NoPaypalEmail = "no_paypal_email": "The PayPal e-mail is not known.",
        Suspended = "suspended": "The affiliate is suspended.",
        AddressChanged = "address_changed": "The e-mail or PayPal e-mail was changed within seven days.",
        NotAboveZero = "not_above_zero": "What is due adds up to no more than zero.",
        BelowMinimum = "below_minimum": "What is due is less than the minimum of a payout.",
        Blocked = "blocked": "An earlier payment was blocked, refunded or reversed; staff have to release payouts.",
        NeedsChange = "needs_change": "PayPal could not pay to this PayPal e-mail; the affiliate has to change something.",
        TooManyFailures = "too_many_failures": "Several payments in a row failed with the same error.",
        SharedReceiver = "shared_receiver": "Several affiliates have this PayPal e-mail; staff have to confirm it.",
        AboveLimit = "above_limit": "The sum is above the limit for one payment; staff have to confirm it.",
        DoesNotAddUp = "does_not_add_up": "The affiliate's payouts do not add up to its statements; staff have to look.",
    }
}

/// The terms on which payouts are made.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Smaller sums are carried.
    pub minimum: Money,
    /// Larger sums go to a person.
    pub item_limit: Money,
    /// When the payout is made, or would be.
    pub at: DateTime<Utc>,
}

/// What a batch pays an affiliate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewItem {
    /// The affiliate.
    pub affiliate_id: AffiliateId,
    /// The PayPal e-mail that it is paid to.
    pub receiver: String,
    /// The sum of its parts.
    pub amount: Money,
    /// What it pays.
    pub parts: Vec<Part>,
}

/// What a batch leaves to a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedSum {
    /// The affiliate.
    pub affiliate_id: AffiliateId,
    /// What is due.
    pub amount: Money,
    /// Why it is not paid now.
    pub reasons: Vec<Carried>,
}

/// What a batch does about an affiliate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// It pays.
    Pay(NewItem),
    /// It leaves what is due to a later batch.
    Carry(CarriedSum),
    /// Nothing is due.
    Nothing,
}

/// What a batch does about an affiliate with these closed statements. `is_shared`: another affiliate has its PayPal
/// e-mail too.
pub fn plan(
    affiliate: &Affiliate,
    ledger: &Ledger,
    closed: &[ClosedStatement],
    is_shared: bool,
    terms: Terms,
) -> Planned {
    let parts = ledger.free_parts(closed);
    if parts.is_empty() {
        return Planned::Nothing;
    }
    let amount = parts.iter().map(|part| part.amount).sum();
    let mut reasons = why_carried(affiliate, ledger, amount, is_shared, terms);
    if ledger.check(closed).is_err() {
        reasons.push(Carried::DoesNotAddUp);
    }
    let affiliate_id = affiliate.id;
    match &affiliate.profile.paypal_email {
        Some(receiver) if reasons.is_empty() => {
            Planned::Pay(NewItem { affiliate_id, receiver: receiver.clone(), amount, parts })
        }
        _ => Planned::Carry(CarriedSum { affiliate_id, amount, reasons }),
    }
}

/// Why a sum would not be paid to an affiliate now; empty: it would.
pub fn why_carried(
    affiliate: &Affiliate,
    ledger: &Ledger,
    sum: Money,
    is_shared: bool,
    terms: Terms,
) -> Vec<Carried> {
    let receiver = affiliate.profile.paypal_email.as_ref();
    let is_same = |known: &Option<String>| {
        receiver.zip(known.as_ref()).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
    };
    let may_be_small = affiliate.status() == Status::Closed;
    let confirmed = ledger.confirmed_sum.is_some_and(|up_to| sum <= up_to);
    let table = [
        (receiver.is_none(), Carried::NoPaypalEmail),
        (affiliate.status() == Status::Suspended, Carried::Suspended),
        (affiliate.payouts_held_until().is_some_and(|until| terms.at < until), Carried::AddressChanged),
        (sum <= Money::ZERO, Carried::NotAboveZero),
        // The balance of an affiliate that left is paid even below the minimum.
        (sum > Money::ZERO && sum < terms.minimum && !may_be_small, Carried::BelowMinimum),
        (ledger.blocked_by.is_some(), Carried::Blocked),
        (is_same(&ledger.wants_other_receiver), Carried::NeedsChange),
        (ledger.failures >= MOST_FAILURES, Carried::TooManyFailures),
        (is_shared && !is_same(&ledger.shared_receiver), Carried::SharedReceiver),
        (sum > terms.item_limit && !confirmed, Carried::AboveLimit),
    ];
    table.into_iter().filter(|(applies, _)| *applies).map(|(_, why)| why).collect()
}

named! {
    /// Why a person should look at an item twice before approving it.
    pub enum Notice {
        NewReceiver = "new_receiver": "It is the first payment to this PayPal e-mail.",
        AddressChanged = "address_changed": "An address of the affiliate was changed within 60 days.",
        MuchMore = "much_more": "It is more than three times the largest payment before.",
        LargeSum = "large_sum": "It is above the sum that the configuration points out.",
    }
}

/// A change of an address is pointed out for this many days.
const CHANGED_DAYS: i64 = 60;
/// An amount is pointed out above this many times the largest one before.
const MUCH_MORE: i64 = 3;

/// What has changed about an affiliate since it was paid before.
pub fn notices(
    affiliate: &Affiliate,
    ledger: &Ledger,
    item: &Item,
    large_sum: Money,
    now: DateTime<Utc>,
) -> Vec<Notice> {
    let paid = || ledger.items.iter().filter(|one| one.status == ItemStatus::Paid);
    let was_paid_there = paid().any(|one| one.receiver.eq_ignore_ascii_case(&item.receiver));
    let largest = ledger.largest_paid();
    let much_more = !largest.is_zero() && item.amount > (0..MUCH_MORE).map(|_| largest).sum();
    let changed = affiliate.addresses.held_since.is_some_and(|at| now < at + TimeDelta::days(CHANGED_DAYS));
    let table = [
        (!was_paid_there, Notice::NewReceiver),
        (changed, Notice::AddressChanged),
        (much_more, Notice::MuchMore),
        (item.amount > large_sum, Notice::LargeSum),
    ];
    table.into_iter().filter(|(applies, _)| *applies).map(|(_, notice)| notice).collect()
}
