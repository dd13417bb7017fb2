//! Months: open, closing, closed; their totals and due dates; the statements of one, and one statement.

use super::accounts::{self, name_of};
use super::payouts::{batch_state, path as payout_path};
use super::words::{self, Words};
use super::{Staff, Visit, show_list};
use crate::app::{Directory, StatementDoc};
use crate::domain::calendar::Month;
use crate::domain::id::AffiliateId;
use crate::domain::money::Money;
use crate::domain::payout::{Batch, BatchStatus};
use crate::domain::statement::{Note, verify_hash};
use crate::http::pages::payout;
use crate::http::pages::table::{self, Cell, List, Tone, csv_file};
use crate::http::pages::{PageError, PageState};
use axum::response::Response;
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

const PATH: &str = "/admin/months";
const AT_ONCE: usize = 500;
/// The list adds up months of at most so many statements; a larger one is added up on its own page.
const ADDED_UP: usize = 2_000;
/// So many months back an open month is looked for.
const LOOK_BACK: usize = 14;

/// Where a month stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Due,
    Closing,
    Closed,
}

impl Stage {
    fn of(state: &PageState, month: Month) -> Self {
        let directory = state.app.directory();
        let doc = directory.months().find(|doc| doc.month == month).cloned();
        match doc {
            Some(doc) if doc.closed => Self::Closed,
            Some(_) => Self::Closing,
            None => {
                let through = state.app.zone().last_full_day(state.app.now());
                let delay = state.app.config().program.close_delay_days;
                if month.is_due(through, delay) { Self::Due } else { Self::Open }
            }
        }
    }
    const fn said(self) -> (&'static str, &'static str, Tone) {
        match self {
            Self::Open => ("open", "Open", Tone::Info),
            Self::Due => ("due", "Due to close", Tone::Warn),
            Self::Closing => ("closing", "Closing", Tone::Warn),
            Self::Closed => ("closed", "Closed", Tone::Good),
        }
    }
}

/// A month with what it adds up to.
struct Summary {
    month: Month,
    stage: Stage,
    statements: usize,
    total: Money,
    /// There are more statements than were added up.
    more: bool,
}

/// Statements of a month, at most so many; whether there are more.
async fn statements(
    state: &PageState,
    month: Month,
    most: usize,
) -> Result<(Vec<StatementDoc>, bool), PageError> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    while all.len() < most {
        let page = state.app.statements(Some(month), None, cursor.as_deref(), AT_ONCE).await?;
        all.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok((all, false));
        }
    }
    Ok((all, true))
}

/// All months that anything is known of, newest first.
fn known(state: &PageState) -> Vec<Month> {
    let directory = state.app.directory();
    let this = state.app.zone().month_of(state.app.now());
    let mut months: Vec<Month> = directory.months().map(|doc| doc.month).collect();
    let first = months
        .iter()
        .max()
        .copied()
        .map_or_else(|| (0..LOOK_BACK).fold(this, |month, _| month.previous()), Month::next);
    months.extend(first.through(this));
    months.sort_unstable();
    months.dedup();
    months.reverse();
    months
}

impl Summary {
    /// A month that is not added up yet.
    fn of(state: &PageState, month: Month) -> Self {
        Self { month, stage: Stage::of(state, month), statements: 0, total: Money::ZERO, more: false }
    }
    async fn add_up(self, state: &PageState) -> Result<Self, PageError> {
        let (docs, more) = statements(state, self.month, ADDED_UP).await?;
        let total = docs.iter().map(|doc| doc.statement.total).sum();
        Ok(Self { statements: docs.len(), total, more, ..self })
    }
}

/// The months that should be closed by now, in words.
pub async fn due(pages: &PageState) -> Result<Vec<Value>, PageError> {
    let mut found = Vec::new();
    for month in known(pages) {
        let stage = Stage::of(pages, month);
        let waits = stage == Stage::Closing
            || (stage == Stage::Due
                && !pages.app.statements(Some(month), None, None, 1).await?.data.is_empty());
        if waits {
            found.push(
                json!({"month": month, "name": Words::of(pages).month(month), "state": stage.said().1}),
            );
        }
    }
    Ok(found)
}

/// When a month may be closed: the day after the delay.
fn closes_on(state: &PageState, month: Month) -> Option<NaiveDate> {
    let delay = u64::from(state.app.config().program.close_delay_days);
    month.last_day().checked_add_days(Days::new(delay + 1))
}

/// A cell of a day that may be missing.
fn day_cell(words: Words<'_>, day: Option<NaiveDate>) -> Cell {
    day.map_or_else(words::none, |day| Cell::text(words.day(day)).export(day.to_string()))
}

fn months(state: &PageState) -> List<'_, Summary> {
    type Column<'a> = table::Column<'a, Summary>;
    let words = Words::of(state);
    let today = state.app.zone().date_of(state.app.now());
    let columns = vec![
        Column::text("month", "Month", move |one| {
            Cell::link(words.month(one.month), format!("{PATH}/{}", one.month)).export(one.month.to_string())
        })
        .sort_first_down_by(|one| one.month),
        Column::text("state", "State", |one| {
            let (_, stands, tone) = one.stage.said();
            Cell::mark(stands, tone)
        })
        .sort_by(|one| one.stage.said().1),
        Column::number("statements", "Statements", |one| {
            Cell::text(format!("{}{}", one.statements, if one.more { "+" } else { "" }))
        })
        .sort_by(|one| one.statements),
        Column::number("total", "Total", move |one| {
            if one.more {
                Cell::mark("see the month", Tone::Quiet).export("")
            } else {
                words.amount(one.total)
            }
        })
        .sort_by(|one| one.total),
        Column::text("closes", "Closes", move |one| day_cell(words, closes_on(state, one.month)))
            .sort_by(|one| one.month),
        Column::text("to_be_paid", "To be paid", move |one| {
            // One that was not added up has something to pay.
            let pays = one.more || one.total > Money::ZERO;
            day_cell(words, pays.then(|| one.month.batch(today)))
        }),
    ];
    let stages = [Stage::Open, Stage::Due, Stage::Closing, Stage::Closed].map(|stage| {
        let (code, name, _) = stage.said();
        (code, name)
    });
    List::new(PATH, "Months", "No month yet.", columns)
        .search("2026-04", move |one| format!("{}\n{}", one.month, words.month(one.month)))
        .filter("state", "State", stages, |one, code| one.stage.said().0 == code)
}

pub async fn list(visit: Visit<Staff>) -> Result<Response, PageError> {
    let list = months(&visit);
    let query = list.read(visit.raw.as_deref())?;
    let mut found = Vec::new();
    // What is not asked for is not added up.
    for month in known(&visit).into_iter().map(|month| Summary::of(&visit, month)) {
        if list.is_asked(&month, &query) {
            let summary = month.add_up(&visit).await?;
            // Before the first referral there are months without anything.
            if summary.statements > 0 || summary.stage != Stage::Due {
                found.push(summary);
            }
        }
    }
    let list = list.show(found, &query);
    let intro = "An open month is a projection that every nightly run makes anew. Once closed it never changes; what comes later is an adjustment in an open month.";
    show_list(&visit, "months", "Months", intro, &query, list)
}

fn statements_of<'a>(words: Words<'a>, directory: &'a Directory, month: Month) -> List<'a, StatementDoc> {
    type Column<'a> = table::Column<'a, StatementDoc>;
    let name = move |doc: &StatementDoc| name_of(directory, Some(doc.statement.affiliate_id));
    let columns = vec![
        Column::text("affiliate", "Affiliate", move |doc| {
            let id = doc.statement.affiliate_id;
            Cell::link(name(doc), format!("{PATH}/{month}/{id}")).export(id.to_string())
        })
        .sort_first_by(move |doc| name(doc).to_lowercase()),
        Column::number("active_accounts", "Active accounts", |doc| {
            Cell::text(doc.statement.active_accounts.to_string())
        })
        .sort_by(|doc| doc.statement.active_accounts),
        Column::text("tier", "Tier", |doc| Cell::text(payout::tier(doc.statement.tier_from))),
        Column::number("crossings", "Qualified", |doc| Cell::text(doc.statement.lines.len().to_string()))
            .sort_by(|doc| doc.statement.lines.len()),
        Column::number("adjustments", "Adjustments", move |doc| words.amount(doc.statement.adjusted()))
            .sort_by(|doc| doc.statement.adjusted()),
        Column::number("by_hand", "By hand", move |doc| words.amount(doc.statement.added_by_hand()))
            .sort_by(|doc| doc.statement.added_by_hand()),
        Column::number("total", "Total", move |doc| words.amount(doc.statement.total))
            .sort_by(|doc| doc.statement.total),
        Column::text("state", "State", |doc| {
            if doc.is_closed() { Cell::mark("Closed", Tone::Good) } else { Cell::mark("Open", Tone::Info) }
        }),
    ];
    let caption = format!("Statements of {}", words.month(month));
    let empty = "No affiliate has a statement for this month.";
    List::new(format!("{PATH}/{month}"), caption, empty, columns).search(
        "Affiliate's name, e-mail, id",
        move |doc| {
            let id = doc.statement.affiliate_id;
            let email = directory.affiliate(id).map(|one| one.profile.email.as_str()).unwrap_or_default();
            [&name(doc), email, &id.to_string()].join("\n")
        },
    )
}

pub async fn month(visit: Visit<Staff, Month>) -> Result<Response, PageError> {
    let (words, directory, month) = (Words::of(&visit), visit.app.directory(), visit.at);
    let list = statements_of(words, &directory, month);
    let query = list.read(visit.raw.as_deref())?;
    let (all, _) = statements(&visit, month, usize::MAX).await?;
    let total: Money = all.iter().map(|doc| doc.statement.total).sum();
    let lines: usize = all.iter().map(|doc| doc.statement.lines.len()).sum();
    let adjusted: Money = all.iter().map(|doc| doc.statement.adjusted()).sum();
    let by_hand: Money = all.iter().map(|doc| doc.statement.added_by_hand()).sum();
    let statements = all.len();
    let list = list.show(all, &query);
    if query.csv {
        return super::export(&visit.who, &format!("statements-{month}"), list.to_csv());
    }
    let (_, stands, tone) = Stage::of(&visit, month).said();
    let doc = directory.months().find(|doc| doc.month == month).cloned();
    let batches = visit.app.payouts().await?;
    let is_live = |batch: &&Batch| batch.id.month == month && batch.status != BatchStatus::Discarded;
    let payout = batches.iter().find(is_live).map(|batch| {
        let (word, tone, _) = batch_state(batch.status);
        json!({"path": payout_path(batch.id), "word": word, "tone": tone})
    });
    let content = json!({
        "month": month, "name": words.month(month), "state": stands, "tone": tone,
        "previous": month.previous(), "next": month.next(),
        "total": words.money(total), "statements": statements, "crossings": lines, "adjusted": words.money(adjusted),
        "by_hand": (!by_hand.is_zero()).then(|| words.money(by_hand)),
        "closes": closes_on(&visit, month).map(|day| words.day(day)),
        "to_be_paid": (total > Money::ZERO).then(|| words.day(month.batch(visit.app.zone().date_of(visit.app.now())))),
        "rules": doc.as_ref().map(|doc| doc.rules.hash()),
        "closing_at": doc.as_ref().map(|doc| words.at(doc.closing_at)),
        "payout": payout, "list": super::for_role(&visit.who, list),
    });
    Ok(visit.page("staff/month.html", "months", content))
}

/// One statement of an affiliate.
pub async fn statement(visit: Visit<Staff, (Month, AffiliateId)>) -> Result<Response, PageError> {
    let (month, id) = visit.at;
    let affiliate = visit.app.directory().affiliate(id).cloned().ok_or(PageError::NotFound)?;
    let all = visit.app.statements_of(id).await?;
    let doc = all.iter().find(|doc| doc.statement.month == month).ok_or(PageError::NotFound)?;
    let payment = payout::standing(&visit, &visit.app.payout_outlook(&affiliate, &all).await?, doc);
    let (words, directory, says) = (Words::of(&visit), visit.app.directory(), &doc.statement);
    let line = |line: &crate::domain::statement::Line| {
        let note = line.note.map(|note| match note {
            Note::NoRate => "no rate for this plan",
            Note::SettledElsewhere => "settled elsewhere",
        });
        json!({"account": line.account_id, "path": accounts::path(&line.account_id), "plan": line.plan,
            "crossed": words.day(line.crossed_on), "amount": words.money(line.amount), "note": note})
    };
    let adjustment = |one: &crate::domain::statement::Adjustment| {
        json!({"month": words.month(one.for_month), "account": one.account_id, "path": accounts::path(&one.account_id),
            "stated": words.money(one.stated), "now": words.money(one.now), "amount": words.money(one.amount)})
    };
    let by_hand = |one: &crate::domain::by_hand::LineByHand| {
        json!({"at": words.at(one.at), "by": visit.app.name_of(&one.by), "reason": one.reason,
            "amount": words.money(one.amount)})
    };
    if visit.raw.as_deref() == Some("format=csv") {
        let name = format!("statement-{month}-{id}");
        return super::export(&visit.who, &name, csv_file(&payout::statement_lines(says)));
    }
    let content = json!({
        "month": month, "name": words.month(month), "id": id, "affiliate": name_of(&directory, Some(id)),
        "closed": doc.is_closed(), "closed_at": doc.closed_at.map(|at| words.at(at)),
        "payment": payment, "active_accounts": says.active_accounts, "tier": payout::tier(says.tier_from), "total": words.money(says.total),
        "lines": says.lines.iter().map(line).collect::<Vec<_>>(),
        "adjustments": says.adjustments.iter().map(adjustment).collect::<Vec<_>>(),
        "by_hand": says.by_hand.iter().map(by_hand).collect::<Vec<_>>(),
        "hash": says.hash, "previous": says.previous, "rules": says.rules_hash, "facts": says.facts_hash,
        "proven": verify_hash(says),
    });
    Ok(visit.page("staff/statement.html", "months", content))
}
