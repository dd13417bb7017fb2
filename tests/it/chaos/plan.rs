//! What happens at the company, round by round, from the seed alone: so that it can happen again on a quiet server.

use crate::support::dice::Dice;
use chrono::{DateTime, Duration, NaiveDate, TimeZone, Utc};
use std::collections::BTreeMap;

/// Affiliates; the last one gets clicks without end, and no signups.
pub const PARTNERS: usize = 6;
/// The one that staff suspend for two rounds out of five.
const RESTING: usize = 4;
/// Days between two rounds: a month is closed in every third.
const DAYS_APART: i64 = 10;
/// Clicks in a round from which signups come.
const VISITS: usize = 20;
const EVENTS: usize = 20;
const PLANS: [&str; 4] = ["performance", "growth", "connect", "unheard_of"];
/// Reports about an account, in spellings that are accepted, and one that is ignored.
const KINDS: [&str; 8] =
    ["activated", "suspended", "canceled", "plan_changed", "paused", "resumed", "activated", "upgraded"];

/// What a client does; all deeds of a round may be done in any order and at once.
#[derive(Debug, Clone)]
pub enum Deed {
    Visit(Visit),
    Signup(Signup),
    Event(Event),
    Act(Act),
}

/// Somebody follows an affiliate's link.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    pub visitor: usize,
    pub partner: usize,
    /// The browser asked ahead of the click.
    pub prefetches: bool,
    /// The browser keeps the cookie that it had, so that only the recorded visit shows this click.
    pub forgets: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Evidence {
    Click(usize),
    Cookie(usize),
    Code(usize),
    /// The token of a visitor's click, and the code of another affiliate.
    ClickAndCode(usize, usize),
    Nothing,
}

/// A new account is reported, or reported otherwise than before.
#[derive(Debug, Clone)]
pub struct Signup {
    pub account: String,
    pub plan: &'static str,
    pub at: DateTime<Utc>,
    pub active: bool,
    pub evidence: Evidence,
    /// With the e-mail of this affiliate, so that it is held.
    pub email_of: Option<usize>,
    /// It contradicts what was reported in an earlier round.
    pub contradicts: bool,
    /// It is sent to all nodes at once.
    pub copies: bool,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub account: String,
    pub id: String,
    pub kind: &'static str,
    pub plan: Option<&'static str>,
    pub at: DateTime<Utc>,
    pub copies: bool,
}

/// Something that staff do.
#[derive(Debug, Clone)]
pub enum Act {
    Hold(String),
    Release(String),
    Credit(String, usize),
    Suspend(usize),
    Reinstate(usize),
}

/// The deeds of a day.
#[derive(Debug, Default)]
pub struct Round {
    pub deeds: Vec<Deed>,
}

/// Everything, with one round more at the beginning, in which nothing fails.
#[derive(Debug)]
pub struct Plan {
    pub rounds: Vec<Round>,
}

/// The day of a round.
pub fn day(round: usize) -> NaiveDate {
    let first = NaiveDate::from_ymd_opt(2025, 2, 1).expect("a date");
    first + Duration::days(DAYS_APART * i64::try_from(round).expect("few"))
}
fn at(round: usize, hour: u32, minute: u32) -> DateTime<Utc> {
    Utc.from_utc_datetime(&day(round).and_hms_opt(hour, minute, 0).expect("a time"))
}
/// The night before a round's day, which folds in all rounds before it.
pub fn night_before(round: usize) -> DateTime<Utc> {
    at(round, 9, 15)
}
/// When the clients of a round do their deeds.
pub fn noon(round: usize) -> DateTime<Utc> {
    at(round, 14, 0)
}
/// A night after all months of a plan.
pub fn last_night(rounds: usize) -> DateTime<Utc> {
    night_before(rounds) + Duration::days(40)
}

/// Makes a plan.
struct Planner {
    dice: Dice,
    round: usize,
    visitors: usize,
    /// What later rounds may report about: the account, when it signed up, and how many events it has.
    accounts: BTreeMap<String, (DateTime<Utc>, usize)>,
    /// Credited to somebody in any case; whether they are held.
    referred: Vec<(String, bool)>,
    /// Visitors of the round before, with what they keep.
    came: Vec<(usize, bool)>,
    signups: Vec<Signup>,
}

impl Plan {
    pub fn of(dice: &Dice, rounds: usize) -> Self {
        let mut planner = Planner {
            dice: dice.clone(),
            round: 0,
            visitors: 0,
            accounts: BTreeMap::new(),
            referred: Vec::new(),
            came: Vec::new(),
            signups: Vec::new(),
        };
        Self { rounds: (0..=rounds).map(|round| planner.round(round)).collect() }
    }
    /// Visitors in all.
    pub fn visitors(&self) -> usize {
        let visits = self.deeds().filter_map(|deed| match deed {
            Deed::Visit(visit) => Some(visit.visitor + 1),
            _ => None,
        });
        visits.max().unwrap_or(0)
    }
    pub fn deeds(&self) -> impl Iterator<Item = &Deed> {
        self.rounds.iter().flat_map(|round| &round.deeds)
    }
}

impl Planner {
    fn round(&mut self, round: usize) -> Round {
        self.round = round;
        let mut deeds = self.acts();
        let contradictions = self.contradictions();
        let signups = self.signups();
        deeds.extend(self.visits());
        deeds.extend(self.events());
        deeds.extend(contradictions.into_iter().chain(signups).map(Deed::Signup));
        self.dice.shuffle(&mut deeds);
        Round { deeds }
    }

    /// Nobody clicks on the link of one who is suspended in a round: whether that counts depends on who is first.
    fn partner(&mut self) -> usize {
        let is_resting = self.round % 5 >= 2;
        let partner = self.dice.index(PARTNERS - 1);
        if is_resting && partner == RESTING { 0 } else { partner }
    }

    /// A third of those who come had come in the round before, through another link.
    fn visits(&mut self) -> Vec<Deed> {
        let mut visits = Vec::new();
        let mut came = Vec::new();
        for _ in 0..VISITS {
            let back = self.came.pop_if(|_| self.dice.once_in(3));
            let (visitor, forgets) = match back {
                Some((visitor, _)) => (visitor, self.dice.once_in(2)),
                None => (self.visitors, false),
            };
            self.visitors = self.visitors.max(visitor + 1);
            let (partner, prefetches) = (self.partner(), self.dice.once_in(4));
            visits.push(Deed::Visit(Visit { visitor, partner, prefetches, forgets }));
            came.push((visitor, forgets));
        }
        self.dice.shuffle(&mut came);
        self.came = came;
        visits
    }

    /// Most of those who came in the round before sign up; some by a code.
    fn signups(&mut self) -> Vec<Signup> {
        let mut signups = Vec::new();
        let staying = self.came.len() / 3;
        let by_click: Vec<_> = self.came.drain(staying..).collect();
        for (visitor, forgets) in by_click {
            let evidence = match self.dice.below(4) {
                _ if forgets => Evidence::Cookie(visitor),
                0 => Evidence::Cookie(visitor),
                1 => Evidence::ClickAndCode(visitor, self.dice.index(PARTNERS - 1)),
                _ => Evidence::Click(visitor),
            };
            signups.push(self.signup(evidence));
        }
        for _ in 0..3 {
            let evidence = Evidence::Code(self.dice.index(PARTNERS - 1));
            signups.push(self.signup(evidence));
        }
        signups.push(self.signup(Evidence::Nothing));
        self.signups.clone_from(&signups);
        signups
    }

    fn signup(&mut self, evidence: Evidence) -> Signup {
        let account = format!("acct-{}-{}", self.round, self.accounts.len());
        // After the clicks of the round before, and before those of this one.
        let minutes = i64::try_from(self.dice.below(10 * 24 * 60 - 8 * 60)).expect("few");
        let at = at(self.round, 12, 0)
            - Duration::minutes(if self.dice.once_in(3) { minutes } else { minutes % 150 });
        self.accounts.insert(account.clone(), (at, 0));
        let email_of = self.dice.once_in(12).then(|| self.dice.index(PARTNERS - 1));
        if !matches!(evidence, Evidence::Nothing | Evidence::Code(_)) && email_of.is_none() {
            self.referred.push((account.clone(), false));
        }
        Signup {
            account,
            plan: if self.dice.once_in(20) { PLANS[3] } else { PLANS[self.dice.index(3)] },
            at,
            active: !self.dice.once_in(6),
            evidence,
            email_of,
            contradicts: false,
            copies: self.dice.once_in(3),
        }
    }

    fn contradictions(&mut self) -> Vec<Signup> {
        let mut some = self.signups.clone();
        some.retain(|_| self.dice.once_in(8));
        let otherwise = |signup: Signup| Signup {
            plan: if signup.plan == PLANS[0] { PLANS[1] } else { PLANS[0] },
            contradicts: true,
            evidence: Evidence::Code(0),
            ..signup
        };
        some.into_iter().map(otherwise).collect()
    }

    /// Events of any account, also one that is about to be reported; some are dated long ago.
    fn events(&mut self) -> Vec<Deed> {
        let mut names: Vec<String> = self.accounts.keys().cloned().collect();
        self.dice.shuffle(&mut names);
        let mut events = Vec::new();
        let now = at(self.round, 12, 0);
        for account in names.into_iter().take(EVENTS) {
            let (signed_up_at, count) = self.accounts.get_mut(&account).expect("it is known");
            *count += 1;
            let id = format!("e{count}");
            let since = (now - *signed_up_at).num_minutes().clamp(60, 60 * 24 * 60);
            let since = if self.dice.once_in(3) { since } else { since.min(8 * 24 * 60) };
            let ago = self.dice.below(since.unsigned_abs() + 60);
            let kind = self.dice.one_of(&KINDS);
            let plan = (kind == "plan_changed").then(|| self.dice.one_of(&PLANS[..3]));
            let at = now - Duration::minutes(i64::try_from(ago).expect("few"));
            events.push(Deed::Event(Event { account, id, kind, plan, at, copies: self.dice.once_in(3) }));
        }
        events
    }

    /// On accounts of earlier rounds, one act an account.
    fn acts(&mut self) -> Vec<Deed> {
        let mut acts = match self.round % 5 {
            2 => vec![Act::Suspend(RESTING)],
            4 => vec![Act::Reinstate(RESTING)],
            _ => Vec::new(),
        };
        let mut referred = std::mem::take(&mut self.referred);
        self.dice.shuffle(&mut referred);
        for (account, is_held) in referred.iter_mut().take(3) {
            let account = account.clone();
            if *is_held {
                acts.push(Act::Release(account));
                *is_held = false;
            } else if self.dice.once_in(2) {
                acts.push(Act::Hold(account));
                *is_held = true;
            } else {
                acts.push(Act::Credit(account, self.dice.index(PARTNERS - 2)));
            }
        }
        self.referred = referred;
        acts.into_iter().map(Deed::Act).collect()
    }
}
