//! An affiliate's referrals as the affiliate may see them: the state of each, when it qualified, what it earned.
//!
//! The state is the present one. Earnings are those of the statements: closed statements are final, open ones are
//! as of the last nightly run. All counts of qualifications use [`ReferralSummary::crossed_on`], which is
//! determined here.

use super::layout::{affiliate_partition, all_partitions, referrals_index, statements_index};
use super::work::decode;
use super::{App, ReadError, StatementDoc};
use crate::domain::account::Account;
use crate::domain::attribution::Attribution;
use crate::domain::calendar::Month;
use crate::domain::history::{History, Progress, Standing};
use crate::domain::id::{AccountId, AffiliateId, LinkId, Plan};
use crate::domain::mark::Marks;
use crate::domain::money::Money;
use crate::domain::outcome::Via;
use crate::store::{Partition, Result};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join_all;
use serde::Serialize;
use std::collections::HashMap;

/// The state of a referral, as its affiliate may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferralState {
    /// In good standing, before or after its qualification.
    Active,
    /// Signed up, but not started yet.
    NotYetActive,
    /// Not in good standing: days don't count.
    Suspended,
    /// Canceled by the customer.
    Canceled,
    /// Held for review.
    InReview,
    /// Not accepted by staff.
    Rejected,
}

/// The state of an account, as the company may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// It has events, but no signup yet.
    Waiting,
    /// Its signup is being decided.
    Deciding,
    /// Credited to nobody.
    Unattributed,
    /// Credited, in good standing.
    Active,
    /// Credited, but not in good standing: a trial, suspended, or canceled.
    Inactive,
    /// Credited, but held for review: it counts in no month that closes meanwhile.
    Held,
    /// Rejected: it never counts.
    Rejected,
}

impl AccountState {
    fn of(account: &Account, standing: Option<Standing>) -> Self {
        match () {
            () if account.signup.is_none() && account.claim.is_some() => Self::Deciding,
            () if account.signup.is_none() => Self::Waiting,
            () if account.credited_to.is_none() => Self::Unattributed,
            () if account.standing.rejected_since.is_some() => Self::Rejected,
            () if account.is_held() => Self::Held,
            () if standing == Some(Standing::Active) => Self::Active,
            () => Self::Inactive,
        }
    }
}

/// An account's state and its progress to a commission. The API and all pages use this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountStatus {
    /// Its state.
    pub state: AccountState,
    /// Active days through the last full day.
    pub active_days: u32,
    /// Active days that make up the qualifying period.
    pub mark_days: u32,
    /// The day on which it qualified; `None` for a rejected account.
    pub crossed_on: Option<NaiveDate>,
    /// The day on which it will qualify if nothing changes.
    pub expected_on: Option<NaiveDate>,
}

/// A referral, as its affiliate may see it: no personal data.
#[derive(Debug, Clone, Serialize)]
pub struct ReferralSummary {
    /// The account.
    pub account_id: AccountId,
    /// Its present plan.
    pub plan: Plan,
    /// When it signed up.
    pub signed_up_at: DateTime<Utc>,
    /// The day of the signup, in the program's time zone.
    pub signed_up_on: NaiveDate,
    /// Its state.
    pub state: ReferralState,
    /// Active days so far.
    pub active_days: u32,
    /// Active days that make up the qualifying period.
    pub mark_days: u32,
    /// The day on which it qualified.
    pub crossed_on: Option<NaiveDate>,
    /// The day on which it will qualify if nothing changes; `None` for a plan that earns nothing.
    pub expected_on: Option<NaiveDate>,
    /// Whether the program has a rate for its plan.
    pub has_rate: bool,
    /// What it has earned so far, including adjustments; `None`: no statement mentions it yet.
    pub earned: Option<Money>,
    /// What the commission is for; `None`: no line of a statement is in effect.
    pub earned_for: Option<EarnedFor>,
    /// Which evidence named the affiliate.
    pub via: Option<Via>,
    /// When the click that led to the signup was made.
    pub clicked_at: Option<DateTime<Utc>>,
    /// The link that led to the signup.
    pub link_id: Option<LinkId>,
    /// Whether it is among the active accounts that choose the tier.
    pub counts_for_tier: bool,
}

/// What a commission is for, as its line says; the present plan may be another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EarnedFor {
    /// The plan of the line.
    pub plan: Plan,
    /// The least number of active accounts of the tier.
    pub tier_from: u32,
}

impl App {
    /// An affiliate's statements, newest first.
    pub async fn statements_of(
        &self,
        affiliate: AffiliateId,
    ) -> std::result::Result<Vec<StatementDoc>, ReadError> {
        let partition = affiliate_partition(affiliate, self.store.partitions());
        let prefix = format!("statement:{affiliate}:");
        let lists = self.store.load_indexed(partition, &[statements_index(affiliate)], &prefix).await?;
        let docs = lists.into_iter().flatten().map(|doc| decode("statement", &doc?.body));
        let mut docs = docs.collect::<Result<Vec<StatementDoc>>>()?;
        docs.retain(|doc| !doc.withdrawn);
        docs.sort_by_key(|doc| std::cmp::Reverse(doc.statement.month));
        Ok(docs)
    }

    /// An affiliate's referrals, newest first, with what `statements` say about them.
    pub async fn referrals_of(
        &self,
        affiliate: AffiliateId,
        statements: &[StatementDoc],
    ) -> std::result::Result<Vec<ReferralSummary>, ReadError> {
        let accounts = self.accounts_of(&[affiliate]).await?.into_iter().flatten();
        let mut referrals = self.referral_summaries(accounts, statements);
        referrals.sort_by(|one, other| {
            (other.signed_up_at, &other.account_id).cmp(&(one.signed_up_at, &one.account_id))
        });
        Ok(referrals)
    }

    /// How many accounts came through each of an affiliate's links.
    pub async fn signups_by_link(&self, affiliate: AffiliateId) -> Result<HashMap<LinkId, usize>> {
        let mut signups = HashMap::new();
        for account in self.accounts_of(&[affiliate]).await?.into_iter().flatten() {
            if let Some(link) = decided(&account).and_then(|decided| decided.link_id) {
                *signups.entry(link).or_default() += 1;
            }
        }
        Ok(signups)
    }

    /// Accounts as their affiliate may see them, with what its statements say about them.
    pub(super) fn referral_summaries(
        &self,
        accounts: impl IntoIterator<Item = Account>,
        statements: &[StatementDoc],
    ) -> Vec<ReferralSummary> {
        let (stated, view) = (StatedReferrals::of(statements), ReferralView::new(self));
        accounts.into_iter().filter_map(|account| view.summary(&account, &stated)).collect()
    }

    /// The states of some accounts, in their order.
    pub fn statuses_of<'a>(&self, accounts: impl IntoIterator<Item = &'a Account>) -> Vec<AccountStatus> {
        let view = ReferralView::new(self);
        accounts.into_iter().map(|account| view.status(account)).collect()
    }

    /// The state of an account.
    pub fn status_of(&self, account: &Account) -> AccountStatus {
        ReferralView::new(self).status(account)
    }

    /// The accounts credited to each of these affiliates.
    pub(super) async fn accounts_of(&self, affiliates: &[AffiliateId]) -> Result<Vec<Vec<Account>>> {
        let indexes: Vec<String> = affiliates.iter().copied().map(referrals_index).collect();
        let hashed =
            all_partitions(self.store.partitions()).filter(|partition| *partition != Partition::Directory);
        let reads = hashed.map(|partition| self.store.load_indexed(partition, &indexes, "account:"));
        let mut all: Vec<Vec<Account>> = affiliates.iter().map(|_| Vec::new()).collect();
        for lists in try_join_all(reads).await? {
            for ((affiliate, accounts), docs) in affiliates.iter().zip(&mut all).zip(lists) {
                for doc in docs {
                    let account: Account = decode("account", &doc?.body)?;
                    if account.credited_to == Some(*affiliate) {
                        accounts.push(self.with_all_events(account).await?);
                    }
                }
            }
        }
        Ok(all)
    }

    /// One of an affiliate's referrals; `None`: there is no such account, or it is another affiliate's.
    pub async fn referral_of(
        &self,
        affiliate: AffiliateId,
        id: &AccountId,
        statements: &[StatementDoc],
    ) -> std::result::Result<Option<(Account, ReferralSummary)>, ReadError> {
        let account = self.account(id).await?.filter(|account| account.credited_to == Some(affiliate));
        Ok(account.and_then(|account| {
            let summary = ReferralView::new(self).summary(&account, &StatedReferrals::of(statements))?;
            Some((account, summary))
        }))
    }
}

/// Whether staff credited the account to its affiliate.
fn is_by_hand(account: &Account) -> bool {
    account.effective_actions().any(|action| action.credited_since == account.credited_to)
}

/// The decision that credited the account, unless staff credited it.
fn decided(account: &Account) -> Option<&Attribution> {
    account.attribution.as_ref().filter(|_| !is_by_hand(account))
}

/// What statements say about each account.
#[derive(Default)]
struct StatedReferrals<'a>(HashMap<&'a AccountId, StatedReferral>);

/// What statements say about an account.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct StatedReferral {
    /// Its lines; those of the newest statement come first.
    lines: Vec<StatedLine>,
    /// Each adjustment's amount, and the month that it is for.
    adjusted: Vec<(Month, Money)>,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StatedLine {
    month: Month,
    crossed_on: NaiveDate,
    amount: Money,
    earned_for: EarnedFor,
}

impl StatedReferral {
    fn earned(&self) -> Money {
        let adjusted = self.adjusted.iter().map(|(_, amount)| *amount);
        self.lines.iter().map(|line| line.amount).chain(adjusted).sum()
    }
    /// The line that is in effect. Late facts undo a line by adjustments that add up to minus its amount.
    fn standing(&self) -> Option<&StatedLine> {
        self.lines.iter().find(|line| {
            let of_month = |(month, _): &&(Month, Money)| *month == line.month;
            let adjusted = || self.adjusted.iter().filter(of_month).map(|(_, amount)| *amount);
            adjusted().next().is_none() || !(line.amount + adjusted().sum()).is_zero()
        })
    }
}

impl<'a> StatedReferrals<'a> {
    fn of(statements: &'a [StatementDoc]) -> Self {
        let mut stated: HashMap<&AccountId, StatedReferral> = HashMap::new();
        for doc in statements {
            for line in &doc.statement.lines {
                let stated_of = stated.entry(&line.account_id).or_default();
                stated_of.lines.push(StatedLine {
                    month: doc.statement.month,
                    crossed_on: line.crossed_on,
                    amount: line.amount,
                    earned_for: EarnedFor { plan: line.plan.clone(), tier_from: doc.statement.tier_from },
                });
            }
            for adjustment in &doc.statement.adjustments {
                let stated_of = stated.entry(&adjustment.account_id).or_default();
                stated_of.adjusted.push((adjustment.for_month, adjustment.amount));
            }
        }
        Self(stated)
    }
}

/// Determines how the affiliate may see a referral.
struct ReferralView<'a> {
    app: &'a App,
    now: DateTime<Utc>,
    /// The last full day.
    through: NaiveDate,
    end: DateTime<Utc>,
    marks: Marks,
}

impl<'a> ReferralView<'a> {
    fn new(app: &'a App) -> Self {
        let now = app.now();
        let through = app.zone().last_full_day(now);
        Self { app, now, through, end: app.zone().end_of(through), marks: app.marks() }
    }

    fn status(&self, account: &Account) -> AccountStatus {
        let Some(referral) = account.referral() else {
            let (state, mark_days) = (AccountState::of(account, None), self.marks.of_open().days);
            return AccountStatus { state, active_days: 0, mark_days, crossed_on: None, expected_on: None };
        };
        let history = History::of(&referral);
        let progress = Progress::of(&referral, &self.marks, self.through);
        let counts = !referral.rejected;
        // A plan without a rate earns nothing, so no qualification is expected.
        let has_rate = self.app.settings().rules.has_rate(history.plan_before(self.now));
        AccountStatus {
            state: AccountState::of(account, Some(history.standing())),
            active_days: progress.active_days,
            mark_days: progress.mark_days,
            crossed_on: progress.crossed_on.filter(|_| counts),
            // With everything known now: an account that signed up today has its first day too.
            expected_on: history
                .crossing(&self.marks)
                .filter(|day| has_rate && counts && *day > self.through),
        }
    }

    fn summary(&self, account: &Account, stated: &StatedReferrals<'_>) -> Option<ReferralSummary> {
        let referral = account.referral()?;
        let history = History::of(&referral);
        let status = self.status(account);
        let judged = account.is_held() || referral.rejected;
        let by_end = History::before(&referral, self.end);
        let stated = stated.0.get(&account.id);
        let plan = history.plan_before(self.now).clone();
        let has_rate = self.app.settings().rules.has_rate(&plan);
        let line = stated.and_then(StatedReferral::standing);
        let decided = decided(account);
        Some(ReferralSummary {
            account_id: account.id.clone(),
            plan,
            has_rate,
            signed_up_at: referral.signed_up_at,
            signed_up_on: self.app.zone().date_of(referral.signed_up_at),
            state: match history.standing() {
                _ if referral.rejected => ReferralState::Rejected,
                _ if account.is_held() => ReferralState::InReview,
                Standing::Active => ReferralState::Active,
                Standing::NotYetActive => ReferralState::NotYetActive,
                Standing::Suspended => ReferralState::Suspended,
                Standing::Canceled => ReferralState::Canceled,
            },
            active_days: status.active_days,
            mark_days: status.mark_days,
            // A month that closed under other rules says when the account qualified by those rules. A
            // qualification that became known late has no line, and an undone one has a line that is not in
            // effect.
            crossed_on: line.map(|line| line.crossed_on).or(status.crossed_on),
            expected_on: status.expected_on,
            earned: stated.map(StatedReferral::earned),
            earned_for: line.map(|line| line.earned_for.clone()),
            via: if is_by_hand(account) { Some(Via::Hand) } else { decided.and_then(|decided| decided.via) },
            clicked_at: decided.and_then(|decided| decided.clicked_at),
            link_id: decided.and_then(|decided| decided.link_id),
            counts_for_tier: !judged && by_end.is_some_and(|history| history.active_at_end(self.end)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account;
    use crate::domain::account::{Origin, Reservation};
    use crate::domain::fact::{Evidence, Signup};
    use crate::domain::id::NodeId;

    #[test]
    fn an_account_is_in_one_state() {
        let now: DateTime<Utc> = "2026-06-01T12:00:00Z".parse().expect("a literal");
        let origin = Origin { at: now, node: NodeId::from_bits(1), position: 1 };
        let mut account = Account::new("acct_81".parse().expect("a literal"));
        let signup = Signup {
            account_id: account.id.clone(),
            plan: "growth".parse().expect("a literal"),
            signed_up_at: now,
            active: true,
            evidence: Evidence::default(),
            delivery: None,
            warnings: Vec::new(),
        };
        let claim = Some(Reservation { origin, claimed_at: now, signup });
        let state = |account: &Account| AccountState::of(account, Some(Standing::Active));
        assert_eq!(state(&account), AccountState::Waiting);
        account.claim.clone_from(&claim);
        assert_eq!(state(&account), AccountState::Deciding);
        (account.claim, account.signup) = (None, claim);
        assert_eq!(state(&account), AccountState::Unattributed);
        account.credited_to = Some(AffiliateId::from_bits(1));
        assert_eq!(state(&account), AccountState::Active);
        assert_eq!(AccountState::of(&account, Some(Standing::Suspended)), AccountState::Inactive);
        account.standing = account::Standing { held_since: Some(now), ..account::Standing::default() };
        assert_eq!(state(&account), AccountState::Held);
        account.standing.rejected_since = Some(now);
        assert_eq!(state(&account), AccountState::Rejected);
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }
    fn month(text: &str) -> Month {
        text.parse().expect("a month")
    }

    #[test]
    fn a_line_is_in_effect_unless_adjustments_leave_nothing_of_it() {
        let cents = Money::from_cents;
        let (april, may) = (month("2026-04"), month("2026-05"));
        let earned_for = EarnedFor { plan: "growth".parse().expect("a plan"), tier_from: 0 };
        let on = |month, crossed_on: &str, amount| StatedLine {
            month,
            crossed_on: day(crossed_on),
            amount: cents(amount),
            earned_for: earned_for.clone(),
        };
        let line = || on(april, "2026-04-20", 9_900);
        let table: [(&str, StatedReferral, Option<&str>, i64); 6] = [
            ("plain", StatedReferral { lines: vec![line()], adjusted: vec![] }, Some("2026-04-20"), 9_900),
            (
                "undone",
                StatedReferral { lines: vec![line()], adjusted: vec![(april, cents(-9_900))] },
                None,
                0,
            ),
            (
                "less",
                StatedReferral { lines: vec![line()], adjusted: vec![(april, cents(-5_000))] },
                Some("2026-04-20"),
                4_900,
            ),
            ("late", StatedReferral { lines: vec![], adjusted: vec![(april, cents(9_900))] }, None, 9_900),
            (
                "no rate",
                StatedReferral { lines: vec![on(april, "2026-04-20", 0)], adjusted: vec![] },
                Some("2026-04-20"),
                0,
            ),
            (
                "moved to another month",
                StatedReferral {
                    lines: vec![on(may, "2026-05-02", 9_900), line()],
                    adjusted: vec![(april, cents(-9_900))],
                },
                Some("2026-05-02"),
                9_900,
            ),
        ];
        for (what, stated_of, crossed_on, earned) in table {
            let stands = stated_of.standing().map(|line| line.crossed_on);
            assert_eq!((stands, stated_of.earned()), (crossed_on.map(day), cents(earned)), "{what}");
        }
    }
}
