//! Backfill: signups and events as lines, in and out as streams.
//!
//! Lines are worked on side by side, but those of one account one after the other; results come in the
//! order of the lines. However long the file, memory is bounded by the lines in flight: a client must read
//! results while it sends, or the server stops reading.

use super::callbacks::{Reading, read_event, read_signup};
use super::error::Problem;
use super::fields::{Fields, Params, parsed};
use super::lines::{Line, Lines};
use super::state::ApiState;
use crate::app::actor::Actor;
use crate::domain::account::{Account, Apart, Origin, SignupOutcome};
use crate::domain::fact::{self, Fact};
use crate::domain::id::{AccountId, NodeId};
use crate::domain::outcome::FactOutcome;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, stream};
use http::header::CONTENT_TYPE;
use serde::Serialize;
use std::collections::HashMap;
use std::convert::Infallible;
use tokio::sync::oneshot;

/// Lines that are worked on at a time.
const IN_FLIGHT: usize = 256;
/// The media type of lines of JSON.
const NDJSON: &str = "application/x-ndjson";

/// Brings in signups and events from another system.
///
/// One JSON object a line, `{"kind": "signup"|"event", …}` with the fields of the callbacks (an event names its
/// `account_id` too). Answers a result a line, in order, while lines still come: read while you send. Lines of
/// one account act in their order. Sending a file again changes nothing.
#[utoipa::path(
    post, path = "/v1/import", tag = "import",
    params(("dry_run" = Option<bool>, Query, description = "Only report what would happen; lines are compared with what is kept, not with each other")),
    request_body(content = String, content_type = "application/x-ndjson", description = "One JSON object a line, each at most 64 KiB",
        example = "{\"kind\":\"signup\",\"account_id\":\"acct_81\",\"plan\":\"growth\",\"signed_up_at\":\"2026-01-01T10:00:00-05:00\"}\n"),
    responses((status = 200, body = LineResult, content_type = "application/x-ndjson", description = "One result a line"))
)]
pub async fn import(
    State(state): State<ApiState>,
    Extension(actor): Extension<Actor>,
    mut params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let dry_run = params.optional("dry_run")?.unwrap_or(false);
    params.done()?;
    let job = Job { state, actor, dry_run };
    let results = Body::from_stream(results(job, Lines::new(request.into_body())));
    Ok(([(CONTENT_TYPE, NDJSON)], results).into_response())
}

/// What became of a line.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LineResult {
    /// The line's number, from 1; blank lines are counted and have no result.
    pub line: u64,
    /// What became of it.
    pub status: LineStatus,
    /// Why, for `conflict`, `invalid` and `failed`: the code that the callback would have had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<&'static str>,
    /// The account, where the line named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    pub account_id: Option<AccountId>,
    /// What the sender may want to correct, as a callback's answer would say it; absent: nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineStatus {
    /// Taken in.
    Created,
    /// Known already.
    Replayed,
    /// Other facts stand; nothing changed.
    Conflict,
    /// On disk; applied when the store is back.
    Deferred,
    /// An event of a type that is ignored: kept, without effect.
    Ignored,
    /// Not what a line must be; nothing was kept.
    Invalid,
    /// Not taken in for a reason of ours: nothing was kept, send the line again.
    Failed,
}

type Ending = Result<LineStatus, Problem>;

/// The result of a line that ended so.
fn result_of(line: u64, account_id: Option<AccountId>, ending: Ending, warnings: Vec<String>) -> LineResult {
    let status = match ending {
        Ok(status) => status,
        Err(problem) if problem.status() == 409 => LineStatus::Conflict,
        Err(problem) if problem.status() >= 500 || problem == Problem::RequestTimeout => LineStatus::Failed,
        Err(_) => LineStatus::Invalid,
    };
    LineResult { line, status, code: ending.err().map(Problem::code), account_id, warnings }
}

struct Job {
    state: ApiState,
    actor: Actor,
    dry_run: bool,
}

fn results(job: Job, lines: Lines) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let job = std::sync::Arc::new(job);
    let work = stream::unfold((lines, Turns::default()), move |(mut lines, mut turns)| {
        let job = job.clone();
        async move {
            let line = lines.next().await?;
            let number = line.number;
            let read = job.read(line);
            let turn = read.as_ref().ok().map(|read| turns.take(&read.id));
            let task = async move {
                Ok(text_of(&match read {
                    Ok(Read { id, fact, warnings }) => {
                        let ending = turn_of(turn, job.put(&id, fact)).await;
                        result_of(number, Some(id), ending, warnings)
                    }
                    Err((id, problem)) => result_of(number, id, Err(problem), Vec::new()),
                }))
            };
            Some((task, (lines, turns)))
        }
    });
    work.buffered(IN_FLIGHT)
}

fn text_of(result: &LineResult) -> Bytes {
    // A result is plain data: numbers, codes and an account's name.
    let mut text = serde_json::to_vec(result).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

/// What a line says.
struct Read {
    id: AccountId,
    fact: Fact,
    warnings: Vec<String>,
}

impl Job {
    /// Reads a line; a line at fault names its account too, if that could be read.
    fn read(&self, line: Line) -> Result<Read, (Option<AccountId>, Problem)> {
        let fields =
            line.text.and_then(|text| Fields::read_report(&text)).map_err(|problem| (None, problem))?;
        let account_id: Option<AccountId> = fields.peek("account_id").and_then(parsed);
        self.read_fact(fields).map_err(|problem| (account_id, problem))
    }

    fn read_fact(&self, mut fields: Fields) -> Result<Read, Problem> {
        let kind = fields.required("kind", |kind| kind.as_str().map(str::to_owned))?;
        let reading = Reading::of(&self.state);
        match kind.as_str() {
            "signup" => {
                let signup = read_signup(fields, None, &reading)?;
                let (id, warnings) = (signup.account_id.clone(), signup.warnings.clone());
                Ok(Read { id, fact: Fact::Signup(signup), warnings })
            }
            "event" => {
                let id: AccountId = fields.required("account_id", parsed)?;
                let (event, warnings) = read_event(fields, &reading)?;
                let fact = Fact::Event(fact::Event { account_id: id.clone(), event, delivery: None });
                Ok(Read { id, fact, warnings })
            }
            _ => Err(Problem::InvalidKind),
        }
    }

    /// Takes a fact in, or says what would come of it.
    async fn put(&self, id: &AccountId, fact: Fact) -> Ending {
        if self.dry_run {
            let account = self.state.app.account(id).await?.unwrap_or_else(|| Account::new(id.clone()));
            return foresee(account, &fact, self.state.app.now());
        }
        let submitted = self.state.app.submit(&self.actor, fact).await?;
        match submitted.outcome {
            FactOutcome::Refused => Err(submitted.refusal.map_or(Problem::Conflict, Problem::from)),
            outcome => ending_of(outcome),
        }
    }
}

/// What would become of a fact about an account.
fn foresee(mut account: Account, fact: &Fact, now: DateTime<Utc>) -> Ending {
    match fact {
        Fact::Signup(signup) => {
            // No record comes of it, so any origin will do.
            let origin = Origin { at: now, node: NodeId::from_bits(0), position: 0 };
            match account.report_signup(signup, None, origin, origin.at) {
                SignupOutcome::Claimed => Ok(LineStatus::Created),
                SignupOutcome::Pending | SignupOutcome::Replayed => Ok(LineStatus::Replayed),
                SignupOutcome::Conflict => Err(Problem::Conflict),
            }
        }
        Fact::Event(fact::Event { event, .. }) => {
            ending_of(account.report_event(event, None, &mut Apart::default()))
        }
        // Lines are signups or events.
        _ => Err(Problem::InvalidKind),
    }
}

fn ending_of(outcome: FactOutcome) -> Ending {
    match outcome {
        FactOutcome::New => Ok(LineStatus::Created),
        FactOutcome::Replayed => Ok(LineStatus::Replayed),
        FactOutcome::Ignored => Ok(LineStatus::Ignored),
        FactOutcome::Deferred => Ok(LineStatus::Deferred),
        FactOutcome::Conflict | FactOutcome::Refused => Err(Problem::Conflict),
    }
}

/// Whose turn it is: lines of one account wait for the one before.
#[derive(Default)]
struct Turns {
    last: HashMap<AccountId, oneshot::Receiver<()>>,
}

/// A line's turn: it comes when `before` ends, and ends when `done` is dropped.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    done: oneshot::Sender<()>,
}

impl Turns {
    fn take(&mut self, id: &AccountId) -> Turn {
        if self.last.len() >= 2 * IN_FLIGHT {
            // Those whose sender is gone are done; at most the lines in flight are not.
            self.last.retain(|_, turn| matches!(turn.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        }
        let (done, end) = oneshot::channel();
        Turn { before: self.last.insert(id.clone(), end), done }
    }
}

async fn turn_of(turn: Option<Turn>, work: impl Future<Output = Ending>) -> Ending {
    let Some(Turn { before, done }) = turn else { return work.await };
    if let Some(before) = before {
        // It ends with an error, as nobody sends: the other line's turn is over.
        let _ = before.await;
    }
    let ending = work.await;
    drop(done);
    ending
}

#[cfg(test)]
mod tests;
