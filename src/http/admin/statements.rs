//! Statements: what affiliates earned.

use super::paging::Paging;
use crate::app::StatementDoc;
use crate::domain::by_hand::LineByHand;
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::domain::payout::{ItemStatus, Ledger, Payment, PayoutId};
use crate::domain::statement::{Adjustment, Line};
use crate::http::answer::{List, ok};
use crate::http::error::Problem;
use crate::http::fields::Params;
use crate::http::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use serde::Serialize;

/// Lists statements, of a month or of an affiliate or both, by (month, affiliate).
#[utoipa::path(
    get, path = "/v1/statements", tag = "statements",
    params(
        ("month" = Option<String>, Query, description = "Only of this month", pattern = "^20[0-9]{2}-(0[1-9]|1[0-2])$", example = "2026-04"),
        ("affiliate_id" = Option<String>, Query, description = "Only of this affiliate", pattern = "^aff_[0-9a-z]{13}$", example = "aff_0a1b2c3d4e5f6"),
        Paging,
    ),
    responses((status = 200, body = List<StatementView>, description = "A page"))
)]
pub async fn list(State(state): State<ApiState>, mut params: Params) -> Result<Response, Problem> {
    let month: Option<Month> = params.optional("month")?;
    let affiliate: Option<AffiliateId> = params.optional("affiliate_id")?;
    let page = params.page()?;
    params.done()?;
    let page = state.app.statements(month, affiliate, page.cursor.as_deref(), page.limit).await?;
    let affiliates: Vec<AffiliateId> = page.data.iter().map(|doc| doc.statement.affiliate_id).collect();
    let ledgers = state.app.ledgers(&affiliates).await?;
    let views = page.data.into_iter().zip(&ledgers).map(|(doc, ledger)| StatementView::of(doc, ledger));
    Ok(ok(&List { data: views.collect(), next_cursor: page.next_cursor }))
}

/// What an affiliate earned in a month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StatementView {
    /// Whose.
    #[schema(value_type = String)]
    pub affiliate_id: AffiliateId,
    /// Which month.
    #[schema(value_type = String, example = "2026-04")]
    pub month: Month,
    /// A closed one never changes; an open one is what it would say if the month ended now.
    pub status: StatementStatus,
    /// The payout that pays it; null: none does, so far.
    pub payout: Option<StatementPayout>,
    /// Its referrals active at the month's end, neither held nor rejected.
    pub active_accounts: u32,
    /// The tier that these reached.
    pub tier_from: u32,
    /// One line a referral that qualified in the month.
    pub lines: Vec<Line>,
    /// Corrections of closed months.
    pub adjustments: Vec<Adjustment>,
    /// Bonuses and claw-backs that finance added, the oldest first; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<LineByHand>,
    /// Lines plus adjustments plus lines by hand.
    #[schema(value_type = String, example = "99.00")]
    pub total: Money,
    /// ISO 4217 code.
    pub currency: String,
    /// SHA-256 of the canonical JSON of what it says.
    pub hash: String,
    /// The `hash` of the affiliate's latest earlier statement.
    pub previous: Option<String>,
    /// SHA-256 of the rules that it was computed by.
    pub rules_hash: String,
    /// SHA-256 of the facts that it was computed from.
    pub facts_hash: String,
}

/// The payout that pays a statement.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StatementPayout {
    /// The batch; null: it was paid before payouts were made here.
    #[schema(value_type = Option<String>, example = "pay_2026-04-1")]
    pub id: Option<PayoutId>,
    /// Where the affiliate's item of the batch is.
    pub status: ItemStatus,
    /// The day on which it was paid, in the program's zone.
    pub paid_at: Option<NaiveDate>,
}

impl StatementPayout {
    fn of(payment: Payment) -> Option<Self> {
        let (id, status, paid_at) = match payment {
            Payment::UnderWay(id, status) => (Some(id), status, None),
            Payment::Paid(id, on) => (Some(id), ItemStatus::Paid, on),
            Payment::PaidElsewhere => (None, ItemStatus::Paid, None),
            Payment::Nothing | Payment::Open | Payment::Unpaid | Payment::SetOff | Payment::Carried => {
                return None;
            }
        };
        Some(Self { id, status, paid_at })
    }
}

/// Whether a statement may still change.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatementStatus {
    /// It is a projection.
    Open,
    /// It never changes.
    Closed,
}

impl StatementView {
    fn of(doc: StatementDoc, ledger: &Ledger) -> Self {
        let closed = doc.is_closed();
        let pays = closed && !doc.statement.total.is_zero();
        let payment = if pays { ledger.payment_of(doc.statement.month) } else { None };
        let says = doc.statement;
        Self {
            affiliate_id: says.affiliate_id,
            month: says.month,
            status: if closed { StatementStatus::Closed } else { StatementStatus::Open },
            payout: payment.and_then(StatementPayout::of),
            active_accounts: says.active_accounts,
            tier_from: says.tier_from,
            lines: says.lines,
            adjustments: says.adjustments,
            by_hand: says.by_hand,
            total: says.total,
            currency: says.currency,
            hash: says.hash,
            previous: says.previous,
            rules_hash: says.rules_hash,
            facts_hash: says.facts_hash,
        }
    }
}
