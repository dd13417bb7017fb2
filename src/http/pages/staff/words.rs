//! Facts in plain words, as the staff's pages say them.

use crate::app::{AccountState, AccountStatus, ReferralState};
use crate::domain::affiliate::{Affiliate, Link, Status};
use crate::domain::attribution::{Attribution, Considered};
use crate::domain::calendar::{Month, Zone};
use crate::domain::money::Money;
use crate::domain::outcome::{HoldReason, Reason, Via};
use crate::domain::program::Model;
use crate::domain::statement::Change;
use crate::http::pages::PageState;
use crate::http::pages::table::{Cell, Tone};
use crate::http::pages::view;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::sync::Arc;

/// How times and amounts are said on a page.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    zone: &'a Zone,
    now: DateTime<Utc>,
    currency: &'a str,
}

impl<'a> Words<'a> {
    /// The words of a page that is made now.
    pub fn of(state: &'a PageState) -> Self {
        Self { zone: state.app.zone(), now: state.app.now(), currency: &state.app.config().program.currency }
    }
    /// An instant on the wall of the program's zone.
    pub fn at(&self, at: DateTime<Utc>) -> String {
        view::in_zone(at, self.zone)
    }
    /// How long ago.
    pub fn ago(&self, at: DateTime<Utc>) -> String {
        view::ago(self.now, at)
    }
    /// A date.
    #[expect(clippy::unused_self, reason = "stands beside its siblings")]
    pub fn day(&self, day: NaiveDate) -> String {
        view::show_day(day)
    }
    /// A month.
    #[expect(clippy::unused_self, reason = "stands beside its siblings")]
    pub fn month(&self, month: Month) -> String {
        view::month_in_words(month)
    }
    /// An amount with its currency.
    pub fn money(&self, amount: Money) -> String {
        view::money(&amount.to_string(), self.currency)
    }
    /// A cell of an instant.
    pub fn when(&self, at: DateTime<Utc>) -> Cell {
        let time = self.zone.wall_time(at).format("%H:%M").to_string();
        Cell::text(self.day(self.zone.date_of(at))).whole().note(time).export(export(at))
    }
    /// A cell of an instant that may be missing.
    pub fn when_any(&self, at: Option<DateTime<Utc>>) -> Cell {
        at.map_or_else(none, |at| self.when(at))
    }
    /// A cell of an age, with its instant below.
    pub fn age(&self, at: DateTime<Utc>) -> Cell {
        Cell::text(self.ago(at)).whole().note(self.at(at)).export(export(at))
    }
    /// A cell of an amount.
    pub fn amount(&self, amount: Money) -> Cell {
        Cell::text(self.money(amount)).whole().export(amount.to_string())
    }
}

/// An instant as exports say it.
pub fn export(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A cell of nothing.
pub fn none() -> Cell {
    Cell::mark("–", Tone::Quiet).export("")
}

/// Answers that take longer than promised.
pub const PROMISED: TimeDelta = TimeDelta::hours(48);

/// An affiliate's status with its tone.
pub const fn status(status: Status) -> (&'static str, Tone) {
    match status {
        Status::Applied => ("Applied", Tone::Warn),
        Status::Approved => ("Approved", Tone::Info),
        Status::Activated => ("Activated", Tone::Info),
        Status::Active => ("Active", Tone::Good),
        Status::Suspended => ("Suspended", Tone::Bad),
        Status::Rejected => ("Rejected", Tone::Info),
        Status::Closed => ("Closed", Tone::Info),
    }
}

/// What the status of an affiliate with these links means, for people.
pub fn status_sentence(status: Status, links: &[Arc<Link>]) -> String {
    let off = links.iter().filter(|link| link.switch.is_off()).count();
    let sentence = match status {
        Status::Applied => "Waits for review.",
        Status::Approved => "Was accepted; has yet to set a password by the link in the mail.",
        Status::Activated => {
            "Has a password; has yet to sign the agreement. Their link does not earn before."
        }
        Status::Active if off == 0 => "Signed; their links earn.",
        Status::Active if off == links.len() => {
            "Signed, but their links are switched off: new clicks earn nothing."
        }
        Status::Active => {
            return format!(
                "Signed. {off} of their {} links {} off; what is on earns.",
                links.len(),
                if off == 1 { "is" } else { "are" }
            );
        }
        Status::Suspended => {
            "Their links redirect but do not earn; payouts wait. Earlier referrals go on earning."
        }
        Status::Rejected => "Was not accepted.",
        Status::Closed => "Left for good; what they earned until then is due with the next payout.",
    };
    sentence.to_owned()
}

/// When an affiliate applied.
pub fn applied_at(affiliate: &Affiliate) -> DateTime<Utc> {
    affiliate.history.first().map_or_else(DateTime::default, |change| change.at)
}

/// Where an account stands.
pub const fn account_state(state: AccountState) -> (&'static str, Tone) {
    match state {
        AccountState::Waiting => ("No signup yet", Tone::Warn),
        AccountState::Deciding => ("Deciding", Tone::Info),
        AccountState::Unattributed => ("Not referred", Tone::Info),
        AccountState::Active => ("Active", Tone::Good),
        AccountState::Inactive => ("Inactive", Tone::Info),
        AccountState::Held => ("Held", Tone::Warn),
        AccountState::Rejected => ("Rejected", Tone::Bad),
    }
}

/// Where a referral stands.
pub const fn referral_state(state: ReferralState) -> (&'static str, Tone) {
    match state {
        ReferralState::Active => ("Active", Tone::Good),
        ReferralState::NotYetActive | ReferralState::Suspended | ReferralState::Canceled => {
            ("Inactive", Tone::Info)
        }
        ReferralState::InReview => ("Held", Tone::Warn),
        ReferralState::Rejected => ("Rejected", Tone::Bad),
    }
}

/// How far it is: "day 63 of 90".
pub fn progress(status: &AccountStatus) -> String {
    match status.crossed_on {
        _ if status.state == AccountState::Rejected => "does not count".to_owned(),
        Some(day) => format!("qualified {}", view::show_day(day)),
        None => format!("day {} of {}", status.active_days.min(status.mark_days), status.mark_days),
    }
}

/// An event in words.
pub fn event(change: &Change) -> String {
    match change {
        Change::Activated => "Activated: in good standing from then on".to_owned(),
        Change::Suspended => "Suspended: not in good standing from then on".to_owned(),
        Change::Canceled => "Canceled: left".to_owned(),
        Change::PlanChanged { plan } => format!("Changed to the plan {plan}"),
        Change::Unknown { name } => format!("“{name}”: unknown here, without effect"),
    }
}

/// A sentence of the domain within another one.
fn within(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Evidence within a sentence.
pub fn via(via: Via) -> String {
    within(via.sentence())
}

/// A hold's reason within a sentence.
pub fn hold(reason: HoldReason) -> String {
    within(reason.sentence())
}

/// Why a click was kept or dropped, in words.
pub fn judgement(click: &Considered, won: bool, model: Model) -> String {
    match (click.dropped, won) {
        (None, true) => format!("Eligible, and {}: credited", chosen_by(model)),
        (None, false) => format!("Eligible, but another click was {}", chosen_by(model)),
        // The sentence of a signup does not know of links that are off.
        (Some(Reason::UnknownLink), _) => "Dropped: its link is unknown, or was switched off".to_owned(),
        (Some(reason), _) => format!("Dropped: {}", within(reason.sentence())),
    }
}

/// How one of several clicks was chosen, where that decided.
pub fn chosen(decided: &Attribution) -> Option<&'static str> {
    let by_click = matches!(decided.via, Some(Via::Click | Via::Cookie | Via::Visits));
    let eligible = decided.considered.iter().filter(|click| click.dropped.is_none()).count();
    (by_click && eligible > 1).then_some(match decided.model {
        Model::LastClick => "the latest eligible click is credited",
        Model::FirstClick => "the earliest eligible click is credited",
    })
}

const fn chosen_by(model: Model) -> &'static str {
    match model {
        Model::LastClick => "the latest",
        Model::FirstClick => "the earliest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(dropped: Option<Reason>) -> Considered {
        Considered {
            via: vec![Via::Click],
            click_id: None,
            affiliate_id: None,
            link_id: None,
            clicked_at: None,
            dropped,
        }
    }

    #[test]
    fn every_rule_is_said_in_words() {
        for reason in Reason::ALL {
            let said = judgement(&click(Some(reason)), false, Model::LastClick);
            assert!(said.starts_with("Dropped: ") && !said.contains('_'), "{said}");
        }
        assert_eq!(judgement(&click(None), true, Model::LastClick), "Eligible, and the latest: credited");
        let lost = judgement(&click(None), false, Model::FirstClick);
        assert_eq!(lost, "Eligible, but another click was the earliest");
    }
}
