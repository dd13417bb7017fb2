//! Every way an event can end: a stable code, a metric label and a sentence in one place.

use super::named::named;

named! {
    /// What a click was judged to be, when it was made.
    pub enum Verdict {
        Human = "human": "A person followed a link that earns",
        UnknownLink = "unknown_link": "A person followed a validly signed link that this node does not know yet",
        Bot = "bot": "A program followed the link",
        Assistant = "assistant": "An AI assistant fetched the link to answer somebody",
        Prefetch = "prefetch": "A browser fetched the link ahead of a person, and was refused",
        Head = "head": "Only the headers were asked for",
        Subresource = "subresource": "The link was loaded as a part of a page, not followed",
        Flood = "flood": "Too many clicks came from this address in a minute",
        AffiliateNotActive = "affiliate_not_active": "The link's affiliate was not active",
        LinkDisabled = "link_disabled": "The link was switched off",
    }
}

impl Verdict {
    /// Whether a person clicked, on a link that may earn: the click gets a token and, unless the browser
    /// objects, a cookie.
    pub const fn is_human(self) -> bool {
        matches!(self, Self::Human | Self::UnknownLink)
    }
    /// The verdict's number in records, below 128; never reused.
    pub const fn number(self) -> u8 {
        match self {
            Self::Human => 0,
            Self::UnknownLink => 1,
            Self::Bot => 2,
            Self::Prefetch => 3,
            Self::Head => 4,
            Self::Subresource => 5,
            Self::Flood => 6,
            Self::AffiliateNotActive => 7,
            Self::LinkDisabled => 8,
            Self::Assistant => 9,
        }
    }
    /// The verdict with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|verdict| verdict.number() == number)
    }
}

named! {
    /// Why a click that arrived is not in the journal. Its prospect was redirected all the same.
    pub enum ClickDrop {
        BadLink = "bad_link": "The link is not one of ours, or was altered",
        JournalBusy = "journal_busy": "The disk did not take the record at once",
        JournalFailed = "journal_failed": "The disk refused the record",
        BacklogFull = "backlog_full": "The store has been away so long that the cap on waiting clicks was reached",
    }
}

named! {
    /// Why a sub id of a followed link was not kept. It is kept whole or not at all; the click is kept without it.
    pub enum SubDrop {
        /// The sub id has more than 512 bytes.
        TooLong = "too_long",
        /// The sub id has a line break or another control character.
        ControlCharacter = "control_character",
        /// The sub id is not UTF-8 once its escapes are undone.
        NotUtf8 = "not_utf8",
        /// The sub id is the name of a value that nobody put in its place, such as {gclid}.
        UnfilledMacro = "unfilled_macro",
        /// The sub id came a second time, with another value.
        Repeated = "repeated",
    }
}

named! {
    /// Why a signup was credited, or was not.
    pub enum Reason {
        Attributed = "attributed": "The signup is credited to the affiliate",
        BadSignature = "bad_signature": "The evidence was altered or is not ours",
        UnknownLink = "unknown_link": "The click's link does not exist",
        NotHuman = "not_human": "The click was not made by a person",
        AffiliateNotActive = "affiliate_not_active": "The affiliate was not active at the click or at the signup",
        OutsideWindow = "outside_window": "The click was too long before the signup, or after it",
        UnknownCode = "unknown_code": "The referral code belongs to nobody",
        NoEvidence = "no_evidence": "The signup came without a click, a cookie or a code",
    }
}

named! {
    /// Which evidence named the winner.
    pub enum Via {
        Click = "click": "The click token of the landing page",
        Cookie = "cookie": "The visitor's cookie",
        Visits = "visits": "The visitor's recorded visits",
        Code = "code": "A typed referral code",
        Hand = "hand": "A member of staff, by hand",
    }
}

named! {
    /// Why a credited referral waits for review.
    pub enum HoldReason {
        SelfReferral = "self_referral": "The signup's e-mail is the affiliate's own",
        SameDomain = "same_domain": "The signup's mail domain is the affiliate's own",
        TooFast = "too_fast": "The signup followed the click faster than a person could",
        PaidAd = "paid_ad": "The credited click came from a paid ad",
        Burst = "burst": "The affiliate brought too many signups within an hour",
        Staff = "staff": "A member of staff put it on hold",
    }
}

named! {
    /// How a reported fact ended.
    pub enum FactOutcome {
        /// Taken in.
        New = "new",
        /// Known already; nothing changed.
        Replayed = "replayed",
        /// Another fact stands under this name; nothing changed.
        Conflict = "conflict",
        /// Of a type that has no effect; kept.
        Ignored = "ignored",
        /// The state of the thing does not allow it; nothing changed.
        Refused = "refused",
        /// Journaled; to be decided when the store is back.
        Deferred = "deferred",
    }
}
