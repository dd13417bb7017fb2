//! Pages of staff, all below `/admin`, on the internal listener.
//!
//! Everyone who is signed in may look at everything. What changes something asks [`Act::need`] first: the table of what
//! each role may do is [`Role::may`](crate::domain::person::Role::may). What is done is a fact like those of the API, told by the member's id.

mod accounts;
mod affiliates;
mod audit;
mod claims;
mod figures;
mod held;
mod hints;
mod home;
mod me;
mod members;
mod months;
mod review;
mod runs;
mod words;

use super::session::{Signed, Staff};
use super::table::{Head, Listing, Query, Row, csv_file, csv_rows};
use super::{Chrome, Fault, Form, PageState, Part, download, sign_in};
use crate::app::ReadError;
use crate::domain::account::Refusal;
use crate::domain::fact::Fact;
use crate::domain::outcome::FactOutcome;
use crate::domain::person::{Action, Person};
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::stream::{self, StreamExt};
use serde_json::json;

/// Their routes.
pub fn routes() -> Router<PageState> {
    Router::new()
        .route("/admin", get(home::page))
        .route("/admin/login", get(sign_in::show::<Staff>).post(sign_in::sign_in::<Staff>))
        .route("/admin/sign-out", post(sign_in::sign_out::<Staff>))
        .route("/admin/forgot", get(sign_in::forgot::<Staff>).post(sign_in::send_link::<Staff>))
        .route("/admin/activate", get(sign_in::choose::<Staff>).post(sign_in::set_password::<Staff>))
        .route("/admin/me", get(me::me).post(me::change_password))
        .route("/admin/me/sign-out-everywhere", post(me::out_everywhere))
        .route("/admin/review", get(review::list))
        .route("/admin/review/{affiliate_id}", get(review::page))
        .route("/admin/review/{affiliate_id}/approve", post(review::approve))
        .route("/admin/review/{affiliate_id}/reject", post(review::reject))
        .route("/admin/affiliates", get(affiliates::list))
        .route("/admin/affiliates/{affiliate_id}", get(affiliates::page))
        .route("/admin/affiliates/{affiliate_id}/edit", get(affiliates::edit).post(affiliates::save))
        .route("/admin/affiliates/{affiliate_id}/referrals", get(affiliates::referrals))
        .route("/admin/affiliates/{affiliate_id}/mail", post(affiliates::mail))
        .route("/admin/affiliates/{affiliate_id}/sign-out", post(affiliates::sign_out))
        .route("/admin/affiliates/{affiliate_id}/notes", post(affiliates::note))
        .route("/admin/affiliates/{affiliate_id}/links", post(affiliates::new_link))
        .route(
            "/admin/affiliates/{affiliate_id}/links/{link_id}/off",
            get(affiliates::ask_off).post(affiliates::off),
        )
        .route("/admin/affiliates/{affiliate_id}/links/{link_id}/on", post(affiliates::on))
        .route("/admin/affiliates/{affiliate_id}/step/{step}", post(affiliates::step))
        .route("/admin/accounts", get(accounts::list))
        .route("/admin/accounts/{account_id}", get(accounts::page))
        .route("/admin/accounts/{account_id}/judge", post(accounts::judge))
        .route("/admin/accounts/{account_id}/credit", post(accounts::credit))
        .route("/admin/held", get(held::list))
        .route("/admin/claims", get(claims::list))
        .route("/admin/claims/{claim_id}", get(claims::page).post(claims::decide))
        .route("/admin/months", get(months::list))
        .route("/admin/months/{month}", get(months::month))
        .route("/admin/months/{month}/{affiliate_id}", get(months::statement))
        .route("/admin/runs", get(runs::page).post(runs::start))
        .route("/admin/figures", get(figures::page))
        .route("/admin/audit", get(audit::list))
        .route("/admin/members", get(members::list).post(members::create))
        .route("/admin/members/{staff_id}", get(members::page).post(members::change))
}

impl Staff {
    /// Whether it may do something.
    fn may(&self, action: Action) -> bool {
        self.member.may(action)
    }
    /// Refuses what it may not do.
    fn need(&self, action: Action) -> Result<(), Fault> {
        if self.may(action) { Ok(()) } else { Err(Fault::Forbidden) }
    }
    /// How what it does is recorded.
    fn by(&self) -> String {
        Person::Staff(self.member.id).to_string()
    }
    /// What stands around one of its pages; the address may say what was just done.
    fn chrome(&self, section: &'static str, raw: Option<&str>) -> Chrome {
        let may = Action::ALL.into_iter().filter(|action| self.may(*action)).map(name_of);
        Chrome {
            part: Part::Staff,
            section,
            name: Some(self.member.name.clone()),
            csrf: self.session.csrf.clone(),
            notice: done(raw),
            may: may.collect(),
            ..Chrome::default()
        }
    }
}

/// An action as templates ask for it.
const fn name_of(action: Action) -> &'static str {
    match action {
        Action::ReviewApplications => "review",
        Action::ChangeAffiliates => "change",
        Action::ChangeAddresses => "addresses",
        Action::CloseAffiliates => "close",
        Action::WriteNotes => "note",
        Action::JudgeHolds => "judge",
        Action::DecideClaims => "claims",
        Action::Credit => "credit",
        Action::Aggregate => "aggregate",
        Action::Export => "export",
        Action::Payouts => "payouts",
        Action::ManageStaff => "staff",
    }
}

/// What was just done, in words; an address can choose among these and say nothing else.
fn done(raw: Option<&str>) -> Option<&'static str> {
    let code = raw?.strip_prefix("done=")?;
    DONE.iter().find(|(name, _)| *name == code).map(|(_, words)| *words)
}

const DONE: [(&str, &str); 28] = [
    ("later", "It is written down, and will be done as soon as the store is back."),
    ("approved", "Approved. The applicant is sent a mail with an activation link."),
    ("rejected", "Rejected. The applicant is told by mail."),
    ("suspended", "Suspended. Their links redirect, but do not earn."),
    ("reinstated", "Reinstated. Their links earn again, but for those that are switched off."),
    ("closed", "Closed for good."),
    ("mailed", "The mail with the link is on its way."),
    ("out", "Signed out everywhere. Links that were sent and not used are void, too."),
    ("noted", "The note is kept."),
    ("linked", "The link is made."),
    (
        "link-off",
        "The link is switched off: it redirects, but does not earn. An affiliate who can sign in gets a mail about it.",
    ),
    (
        "link-on",
        "The link is on again: new clicks on it earn. An affiliate who can sign in gets a mail about it.",
    ),
    ("changed", "The changes are kept."),
    ("unchanged", "Nothing was different: nothing is changed."),
    ("held", "The referral is held: it stays out of months not yet closed."),
    ("released", "The referral is released: the months that it missed are added."),
    ("referral-rejected", "The referral is rejected: it never counts."),
    ("credited", "The credit is corrected, as of the signup."),
    ("granted", "Granted: the account is credited, and the affiliate is told."),
    ("declined", "Declined. The affiliate is told why."),
    ("run", "The nightly run is done."),
    ("running", "The nightly run is under way. This page shows how far it is."),
    ("role", "The role is changed."),
    ("disabled", "Disabled: signed out everywhere, and may not sign in."),
    ("enabled", "Enabled: may sign in again."),
    ("password", "The password is changed. All other devices are signed out."),
    ("signed-out", "You are signed out on all other devices too."),
    ("welcome", "Your password is set. Welcome."),
];

/// A form of a member of staff, sent by our own page.
#[derive(Debug)]
pub struct Act {
    /// Who sent it.
    pub who: Staff,
    /// What was typed.
    pub form: Form,
}

impl FromRequest<PageState> for Act {
    type Rejection = Fault;
    async fn from_request(request: Request, state: &PageState) -> Result<Self, Fault> {
        let Signed(who, form) = Signed::<Staff>::from_request(request, state).await?;
        Ok(Self { who, form })
    }
}

/// What became of what somebody wanted.
enum Outcome {
    /// It is done.
    Done,
    /// It is on disk, and will be done when the store is back.
    Later,
    /// The rules don't allow it.
    Refused(Option<Refusal>),
}

impl Act {
    /// Refuses what the member's role may not do.
    fn need(&self, action: Action) -> Result<(), Fault> {
        self.who.need(action)
    }
    /// The reason that must be given.
    fn reason(&mut self) -> String {
        let reason = self.form.line("reason", 500);
        self.form.need("reason", reason, "Please say why, for those who ask later.")
    }
    /// Takes in what the member did.
    async fn submit(&self, state: &PageState, fact: Fact) -> Result<Outcome, Fault> {
        let submitted = state.app.submit(&self.who.by(), fact).await?;
        Ok(match submitted.outcome {
            FactOutcome::Deferred => Outcome::Later,
            FactOutcome::Refused | FactOutcome::Conflict => Outcome::Refused(submitted.refusal),
            _ => Outcome::Done,
        })
    }
}

/// The address asks a list for something that it doesn't have.
impl From<super::table::BadQuery> for Fault {
    fn from(_: super::table::BadQuery) -> Self {
        Self::BadRequest
    }
}

/// A cursor that is not ours names nothing.
fn not_found_if_foreign(error: ReadError) -> Fault {
    match error {
        ReadError::BadCursor => Fault::NotFound,
        other @ ReadError::Store(_) => other.into(),
    }
}

/// A page that is a list and no more, or its export.
fn show_list(
    state: &PageState,
    who: &Staff,
    section: &'static str,
    title: &str,
    intro: &str,
    query: &Query,
    list: Listing,
) -> Result<Response, Fault> {
    if query.csv {
        let name: String =
            title.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        return export(who, &name, &list);
    }
    let content = json!({"title": title, "intro": intro, "list": for_role(who, list)});
    Ok(state.page("staff/list.html", &who.chrome(section, None), content))
}

/// A list without what the member may not do.
fn for_role(who: &Staff, list: Listing) -> Listing {
    if who.may(Action::Export) { list } else { list.without_export() }
}

fn export(who: &Staff, name: &str, list: &Listing) -> Result<Response, Fault> {
    who.need(Action::Export)?;
    Ok(download(CSV, &format!("{name}.csv"), list.to_csv()))
}

fn export_lines(who: &Staff, name: &str, lines: &[Vec<String>]) -> Result<Response, Fault> {
    who.need(Action::Export)?;
    Ok(download(CSV, &format!("{name}.csv"), csv_file(lines)))
}

/// An export of all that the store has.
async fn export_pages<F, Read>(who: &Staff, name: &str, heads: &[Head], page: F) -> Result<Response, Fault>
where
    F: FnMut(Option<String>) -> Read + Send + 'static,
    Read: Future<Output = Result<(Vec<Row>, Option<String>), Fault>> + Send,
{
    who.need(Action::Export)?;
    Ok(download(CSV, &format!("{name}.csv"), csv_of_pages(heads, page).await?))
}

/// CSV that is sent page by page as it is read: `page` answers the rows of the page that starts at a cursor, and where the
/// next one does. If the store fails on the way, the download breaks off, and the browser says so: a file is never
/// silently short.
async fn csv_of_pages<F, Read>(heads: &[Head], mut page: F) -> Result<Body, Fault>
where
    F: FnMut(Option<String>) -> Read + Send + 'static,
    Read: Future<Output = Result<(Vec<Row>, Option<String>), Fault>> + Send,
{
    let (rows, next) = page(None).await?;
    let heads = heads.iter().map(|head| head.key.to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows.iter().map(Row::to_line)).collect();
    let first = stream::iter([Ok::<_, std::io::Error>(csv_file(&lines))]);
    let rest = stream::try_unfold((page, next), async |(mut page, next)| {
        let Some(at) = next else { return Ok(None) };
        let read = page(Some(at)).await;
        let (rows, next) = read.map_err(|_| std::io::Error::other("the store did not answer"))?;
        let lines: Vec<Vec<String>> = rows.iter().map(Row::to_line).collect();
        Ok(Some((csv_rows(&lines), (page, next))))
    });
    Ok(Body::from_stream(first.chain(rest)))
}

const CSV: &str = "text/csv; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::super::table::Cell;
    use super::*;

    #[tokio::test]
    async fn an_export_goes_on_to_the_stores_last_page_or_breaks_off() {
        for (last, whole) in [(3, true), (9, false)] {
            let page = move |cursor: Option<String>| async move {
                let number: u32 = cursor.map_or(1, |cursor| cursor.parse().expect("ours"));
                if number == 5 {
                    return Err(Fault::Internal);
                }
                let row = Row { cells: vec![Cell::text(format!("={number}"))] };
                Ok((vec![row], (number < last).then(|| (number + 1).to_string())))
            };
            let body = csv_of_pages(&[Head { key: "id", title: "Id", number: false }], page)
                .await
                .expect("a first page");
            let read = axum::body::to_bytes(body, usize::MAX).await;
            assert_eq!(read.is_ok(), whole);
            if let Ok(csv) = read {
                assert_eq!(csv, "\u{feff}id\n'=1\n'=2\n'=3\n", "one mark, at the beginning");
            }
        }
    }

    #[test]
    fn an_address_says_only_what_is_known_to_have_been_done() {
        assert!(done(Some("done=approved")).is_some_and(|words| words.starts_with("Approved")));
        for other in ["done=<b>", "done=", "x=approved", "done=approved&x=1"] {
            assert_eq!(done(Some(other)), None, "{other}");
        }
    }
}
