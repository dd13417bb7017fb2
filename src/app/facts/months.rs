//! Facts of nightly runs: statements, months, and the runs themselves.

use super::{Applied, Audit, Context, Effect, Kind, Subject, by_hand, sentence};
use crate::app::actor::Actor;
use crate::app::layout::{CHANGES, FEED, RUN, RUNS, statement_key, statements_index};
use crate::app::work::Work;
use crate::app::{MonthDoc, RunDoc, StatementDoc};
use crate::domain::account::Refusal;
use crate::domain::calendar::Month;
use crate::domain::fact::{MonthClosed, MonthClosing, RunFinished, StatementClosed};
use crate::domain::statement::{Line, Statement};
use crate::metrics::FactKind;
use crate::store::{IndexChange, Result};
use serde_json::json;

impl Kind for StatementClosed {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = None;

    fn subject(&self) -> Subject<'_> {
        Subject::Statement { affiliate: self.statement.affiliate_id, fence: self.fence }
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        let statement = &self.statement;
        let lines =
            by_hand::documents(statement.affiliate_id, statement.by_hand.iter().map(|line| &line.key));
        [statement_key(statement.affiliate_id, statement.month)].into_iter().chain(lines).collect()
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let statement = &self.statement;
        let key = statement_key(statement.affiliate_id, statement.month);
        let before = work.get::<StatementDoc>(&key)?;
        if let Some(known) = before.as_ref().filter(|known| known.is_closed()) {
            let same = known.statement.hash == statement.hash;
            return if same { Ok(Effect::of(false)) } else { Err(Refusal::AlreadyClosed.into()) };
        }
        by_hand::close(work, statement)?;
        let doc = StatementDoc {
            closed_at: Some(self.read_at),
            withdrawn: false,
            statement: statement.clone(),
            referrals: self.referrals.clone(),
        };
        work.put(&key, &doc)?;
        work.index_all(statement_indexes(statement));
        let shown = before.as_ref().filter(|doc| !doc.withdrawn).map(|doc| &doc.statement);
        for entry in crossing_entries(shown, statement) {
            work.append(FEED, &entry);
        }
        Ok(Effect::of(true))
    }
}

/// The feed entries when a statement's lines change: new qualifications, and those that late facts undid.
pub(crate) fn crossing_entries(before: Option<&Statement>, after: &Statement) -> Vec<serde_json::Value> {
    let old = before.map(|statement| statement.lines.as_slice()).unwrap_or_default();
    let entry = |kind, line: &Line| {
        json!({"kind": kind, "account_id": line.account_id, "affiliate_id": after.affiliate_id,
            "crossed_on": line.crossed_on, "plan": line.plan, "month": after.month})
    };
    let in_it = |lines: &[Line], line: &Line| {
        lines.iter().any(|other| other.account_id == line.account_id && other.crossed_on == line.crossed_on)
    };
    let gone =
        old.iter().filter(|line| !in_it(&after.lines, line)).map(|line| entry("crossing_undone", line));
    let new = after.lines.iter().filter(|line| !in_it(old, line)).map(|line| entry("crossed", line));
    gone.chain(new).collect()
}

/// The indexes in which a statement is listed.
pub(crate) fn statement_indexes(statement: &Statement) -> Vec<IndexChange> {
    let (affiliate, month) = (statement.affiliate_id, statement.month);
    [
        (statements_index(affiliate), month.to_string()),
        ("statements".to_owned(), format!("{month}:{affiliate}")),
    ]
    .map(|(index, member)| IndexChange { index, member, present: true })
    .to_vec()
}

impl Kind for MonthClosing {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|entry| {
        Some(format!("Began to close {}", entry["month"].as_str().unwrap_or_default()))
    });

    fn subject(&self) -> Subject<'_> {
        Subject::Run { fence: self.fence }
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![month_key(self.month)]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        if let Some(known) = work.get::<MonthDoc>(&month_key(self.month))? {
            let same = known.rules == self.rules;
            return if same { Ok(Effect::of(false)) } else { Err(Refusal::AlreadyClosed.into()) };
        }
        let doc = MonthDoc {
            month: self.month,
            rules: self.rules.clone(),
            as_of: self.as_of,
            closing_at: context.at,
            closed: false,
            statements: 0,
        };
        put_month(work, &doc)?;
        Ok(Effect::of(true))
    }
}

impl Kind for MonthClosed {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> =
        Audit::saying(|entry| Some(format!("Closed {}", entry["month"].as_str().unwrap_or_default())));

    fn subject(&self) -> Subject<'_> {
        Subject::Run { fence: self.fence }
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![month_key(self.month)]
    }
    fn apply(&self, work: &mut Work, _: &Context<'_>) -> Applied {
        let mut doc: MonthDoc = work.need(&month_key(self.month), Refusal::AlreadyClosed)?;
        doc.closed = true;
        doc.statements = self.statements;
        put_month(work, &doc)?;
        Ok(Effect::of(true))
    }
}

fn month_key(month: Month) -> String {
    format!("month:{month}")
}
fn put_month(work: &mut Work, doc: &MonthDoc) -> Result<()> {
    work.index("months".to_owned(), doc.month.to_string(), true);
    work.append(CHANGES, &json!({"kind": "month", "id": doc.month}));
    work.put(&month_key(doc.month), doc)
}

impl Kind for RunFinished {
    const METRIC: Option<FactKind> = None;
    const MAILS: usize = 0;
    const AUDIT: Option<Audit> = Audit::saying(|_| sentence("Finished a nightly run"));

    fn subject(&self) -> Subject<'_> {
        Subject::Run { fence: self.fence }
    }
    fn permits(&self, actor: &Actor) -> bool {
        actor.is_server()
    }
    fn documents(&self) -> Vec<String> {
        vec![RUN.to_owned()]
    }
    fn apply(&self, work: &mut Work, context: &Context<'_>) -> Applied {
        let (run, by) = (self.run.clone(), Some(context.by.to_owned()));
        let doc = RunDoc { run, finished_at: context.at, by, took_ms: self.took_ms };
        work.put(RUN, &doc)?;
        work.append(RUNS, &json!(doc));
        work.append(CHANGES, &json!({"kind": "run"}));
        Ok(Effect::of(true))
    }
}
