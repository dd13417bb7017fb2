//! What states, reasons and deeds are called on an affiliate's pages.

use crate::app::{ReferralState, ReferralSummary};
use crate::domain::affiliate::Link;
use crate::domain::calendar::Zone;
use crate::domain::outcome::Via;
use crate::http::pages::session::sentence;
use crate::http::pages::table::Tone;
use crate::http::pages::view::show_day;

/// What was just done, by its code in the address.
pub const DONE: &[(&str, &str)] = &[
    ("signed", "Thank you for signing. Your link is ready: share it, and it earns from now on."),
    ("link", "Your new link is ready."),
    ("disabled", "The link is switched off. It still leads to our pages, but earns no more."),
    ("claim", "Thank you. We will look into it and write to you."),
    ("profile", "Your profile is saved."),
    (
        "email",
        "We have sent a mail to the new address. The change counts once you have pressed the button it leads to.",
    ),
    (
        "paypal",
        "We have sent a mail to your e-mail address. The change counts once you have pressed the button it leads to.",
    ),
    ("password", "Your password is changed, and all other devices are signed out."),
];

/// A referral's state: its word, how it is to be seen, and what it means.
pub const fn state(state: ReferralState) -> (&'static str, Tone, &'static str) {
    match state {
        ReferralState::Active => ("Active", Tone::Good, "The account is in good standing: its days count."),
        ReferralState::NotYetActive => {
            ("Not started", Tone::Info, "The account has signed up. Its days count from its activation on.")
        }
        ReferralState::Suspended => {
            ("Paused", Tone::Warn, "The account is not in good standing. Its days count again once it is.")
        }
        ReferralState::Canceled => {
            ("Canceled", Tone::Info, "The account was canceled. Should it come back, its days count again.")
        }
        ReferralState::InReview => (
            "In review",
            Tone::Warn,
            "Our staff look at this referral. Its days count meanwhile; what it earns waits.",
        ),
        ReferralState::Rejected => ("Not accepted", Tone::Bad, "After a review this referral does not earn."),
    }
}

/// Since when a link is off, and why; `None`: it is on.
pub fn off(link: &Link, zone: &Zone) -> Option<String> {
    let switch = &link.switch;
    let day = show_day(zone.date_of(switch.disabled_at?));
    Some(match &switch.disabled_reason {
        _ if switch.is_off_by(link.affiliate) => format!("You switched it off on {day}."),
        Some(reason) => format!("Our staff switched it off on {day}. The reason: {}", sentence(reason)),
        None => format!("It was switched off on {day}."),
    })
}

/// How far a referral is: "day 63 of 90".
pub fn progress(referral: &ReferralSummary) -> String {
    if referral.state == ReferralState::Rejected {
        return "does not count".to_owned();
    }
    match referral.crossed_on {
        Some(_) => format!("{} days reached", referral.mark_days),
        None => format!("day {} of {}", referral.active_days.min(referral.mark_days), referral.mark_days),
    }
}

/// How a referral came to be the affiliate's, in a word or two.
pub fn via(referral: &ReferralSummary) -> &'static str {
    match referral.via {
        Some(Via::Click | Via::Cookie | Via::Visits) => "Link",
        Some(Via::Code) => "Referral code",
        Some(Via::Hand) => "By our staff",
        None => "",
    }
}

/// The same, as a sentence.
pub fn why(referral: &ReferralSummary, link: Option<&Link>, clicked_on: Option<chrono::NaiveDate>) -> String {
    let on = clicked_on.map(|day| format!(" on {}", show_day(day))).unwrap_or_default();
    let link = link.and_then(|link| link.label.as_deref());
    let link = link.map_or_else(|| "your link".to_owned(), |label| format!("your link “{label}”"));
    match referral.via {
        Some(Via::Click) => format!("The visitor followed {link}{on} and signed up from the page it led to."),
        Some(Via::Cookie | Via::Visits) => {
            format!("The visitor followed {link}{on} and came back later with the same browser to sign up.")
        }
        Some(Via::Code) => "Your referral code was typed at the signup.".to_owned(),
        Some(Via::Hand) => "Our staff credited this account to you.".to_owned(),
        None => "It was credited to you at its signup.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::affiliate::Switch;
    use crate::domain::id::{AffiliateId, LinkId};

    #[test]
    fn a_link_that_is_off_says_since_when_and_why() {
        let owner = AffiliateId::from_bits(7);
        let at = "2026-04-02T01:30:00Z".parse().expect("a literal");
        let (zone, ours) = ("America/New_York".parse().expect("a zone"), owner.to_string());
        let table = [
            ("ann", Some("spam"), "Our staff switched it off on Apr 1, 2026. The reason: spam."),
            ("ann", Some("Why? Spam!"), "Our staff switched it off on Apr 1, 2026. The reason: Why? Spam!"),
            ("ann", Some(""), "It was switched off on Apr 1, 2026."),
            ("ann", None, "It was switched off on Apr 1, 2026."),
            (ours.as_str(), Some(""), "You switched it off on Apr 1, 2026."),
        ];
        for (by, reason, said) in table {
            let mut switch = Switch::default();
            switch.off(at, by, reason);
            let link = Link {
                id: LinkId::from_bits(1),
                affiliate: owner,
                destination: None,
                label: None,
                created_at: at,
                switch,
            };
            assert_eq!(off(&link, &zone).as_deref(), Some(said));
        }
    }
}
