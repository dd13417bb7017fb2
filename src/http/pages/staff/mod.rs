//! Pages of staff, all below `/admin`, on the internal listener.
//!
//! Everyone who is signed in may look at everything. The table of routes says which permission opens the door to what
//! changes something; what each role may do is the table [`Role::may`](crate::domain::person::Role::may). What is done is
//! a fact like those of the API, recorded with the member's id.

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
mod payouts;
mod review;
mod runs;
mod words;

use super::routes::Door::{Open, Permitted, SignedIn};
use super::routes::Routes;
use super::session::{Signed, Staff, Visit};
use super::table::{Head, Listing, Query, Row, csv_file, csv_rows};
use super::{CSV, Form, PageError, download, see_other, sign_in};
use crate::app::ReadError;
use crate::app::people::ActError;
use crate::domain::affiliate::Affiliate;
use crate::domain::id::AffiliateId;
use crate::domain::input::Reason;
use crate::domain::person::Permission;
use axum::body::Body;
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use std::sync::Arc;

/// Their routes.
pub fn routes() -> Routes {
    use Permission::{
        Aggregate, ChangeAddresses, ChangeAffiliates, CloseAffiliates, Credit, DecideClaims, Export,
        JudgeHolds, ManageStaff, Payouts, ReviewApplications, WriteNotes,
    };
    let change = Permitted(&[ChangeAffiliates]);
    let pays = Permitted(&[Payouts]);
    let edit = Permitted(&[ChangeAffiliates, ChangeAddresses]);
    let step = Permitted(&[ChangeAffiliates, CloseAffiliates]);
    Routes::default()
        .get("/admin", SignedIn, home::page)
        .get("/admin/login", Open, sign_in::show::<Staff>)
        .post("/admin/login", Open, sign_in::sign_in::<Staff>)
        .post("/admin/sign-out", SignedIn, sign_in::sign_out::<Staff>)
        .get("/admin/forgot", Open, sign_in::forgot::<Staff>)
        .post("/admin/forgot", Open, sign_in::send_link::<Staff>)
        .get("/admin/activate", Open, sign_in::choose::<Staff>)
        .post("/admin/activate", Open, sign_in::set_password::<Staff>)
        .get("/admin/me", SignedIn, me::me)
        .post("/admin/me", SignedIn, me::change_password)
        .post("/admin/me/sign-out-everywhere", SignedIn, me::out_everywhere)
        .get("/admin/review", SignedIn, review::list)
        .get("/admin/review/{affiliate_id}", SignedIn, review::page)
        .post("/admin/review/{affiliate_id}/approve", Permitted(&[ReviewApplications]), review::approve)
        .post("/admin/review/{affiliate_id}/reject", Permitted(&[ReviewApplications]), review::reject)
        .get("/admin/affiliates", SignedIn, affiliates::list)
        .get("/admin/affiliates/{affiliate_id}", SignedIn, affiliates::page)
        .get("/admin/affiliates/{affiliate_id}/edit", edit, affiliates::edit)
        .post("/admin/affiliates/{affiliate_id}/edit", edit, affiliates::save)
        .get("/admin/affiliates/{affiliate_id}/referrals", SignedIn, affiliates::referrals)
        .post("/admin/affiliates/{affiliate_id}/mail", change, affiliates::mail)
        .post("/admin/affiliates/{affiliate_id}/sign-out", change, affiliates::sign_out)
        .post("/admin/affiliates/{affiliate_id}/notes", Permitted(&[WriteNotes]), affiliates::note)
        .post("/admin/affiliates/{affiliate_id}/links", change, affiliates::new_link)
        .get("/admin/affiliates/{affiliate_id}/links/{link_id}/off", change, affiliates::ask_off)
        .post("/admin/affiliates/{affiliate_id}/links/{link_id}/off", change, affiliates::off)
        .post("/admin/affiliates/{affiliate_id}/links/{link_id}/on", change, affiliates::on)
        .post("/admin/affiliates/{affiliate_id}/lines", Permitted(&[Payouts]), affiliates::add_line)
        .post(
            "/admin/affiliates/{affiliate_id}/lines/{line_key}/take-back",
            Permitted(&[Payouts]),
            affiliates::take_back_line,
        )
        .post("/admin/affiliates/{affiliate_id}/payouts", pays, affiliates::clear)
        .post("/admin/affiliates/{affiliate_id}/paid-elsewhere", pays, affiliates::paid_elsewhere)
        .post("/admin/affiliates/{affiliate_id}/step/{step}", step, affiliates::step)
        .get("/admin/accounts", SignedIn, accounts::list)
        .get("/admin/accounts/{account_id}", SignedIn, accounts::page)
        .post("/admin/accounts/{account_id}/judge", Permitted(&[JudgeHolds]), accounts::judge)
        .post("/admin/accounts/{account_id}/credit", Permitted(&[Credit]), accounts::credit)
        .get("/admin/held", SignedIn, held::list)
        .get("/admin/claims", SignedIn, claims::list)
        .get("/admin/claims/{claim_id}", SignedIn, claims::page)
        .post("/admin/claims/{claim_id}", Permitted(&[DecideClaims]), claims::decide)
        .get("/admin/months", SignedIn, months::list)
        .get("/admin/months/{month}", SignedIn, months::month)
        .get("/admin/months/{month}/{affiliate_id}", SignedIn, months::statement)
        .get("/admin/payouts", SignedIn, payouts::list)
        .post("/admin/payouts", pays, payouts::make)
        .post("/admin/payouts/opening", pays, payouts::opening)
        .get("/admin/payouts/year/{year}", Permitted(&[Export]), payouts::year)
        .get("/admin/payouts/{payout_id}", SignedIn, payouts::batch)
        .get("/admin/payouts/{payout_id}/carried", SignedIn, payouts::carried)
        .get("/admin/payouts/{payout_id}/look-twice", SignedIn, payouts::look_twice)
        .post("/admin/payouts/{payout_id}/approve", pays, payouts::approve)
        .post("/admin/payouts/{payout_id}/discard", pays, payouts::discard)
        .post("/admin/payouts/{payout_id}/export", pays, payouts::export)
        .post("/admin/payouts/{payout_id}/submit", pays, payouts::submit)
        .post("/admin/payouts/{payout_id}/report", pays, payouts::preview_report)
        .post("/admin/payouts/{payout_id}/report/apply", pays, payouts::apply_report)
        .post("/admin/payouts/{payout_id}/paid", pays, payouts::pay)
        .get("/admin/payouts/{payout_id}/items/{item_id}", SignedIn, payouts::item)
        .post("/admin/payouts/{payout_id}/items/{item_id}/withdraw", pays, payouts::withdraw)
        .post("/admin/payouts/{payout_id}/items/{item_id}/paid", pays, payouts::pay_item)
        .post("/admin/payouts/{payout_id}/items/{item_id}/resolve", pays, payouts::resolve)
        .post("/admin/payouts/{payout_id}/items/{item_id}/seen", pays, payouts::seen)
        .get("/admin/runs", SignedIn, runs::page)
        .post("/admin/runs", Permitted(&[Aggregate]), runs::start)
        .get("/admin/figures", SignedIn, figures::page)
        .get("/admin/audit", SignedIn, audit::list)
        .get("/admin/members", SignedIn, members::list)
        .post("/admin/members", Permitted(&[ManageStaff]), members::create)
        .get("/admin/members/{staff_id}", SignedIn, members::page)
        .post("/admin/members/{staff_id}", Permitted(&[ManageStaff]), members::change)
}

impl Staff {
    /// Whether it may do something.
    fn may(&self, action: Permission) -> bool {
        self.member.may(action)
    }
    /// Refuses what it may not do.
    fn need(&self, action: Permission) -> Result<(), PageError> {
        if self.may(action) { Ok(()) } else { Err(PageError::Forbidden) }
    }
}

/// What was just done, by its code in the address.
pub const DONE: &[(&str, &str)] = &[
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
    (
        "line-added",
        "The line is added. The next nightly run puts it on the statement of the earliest open month.",
    ),
    ("line-back", "The line is taken back: it is on no statement from the next nightly run on."),
    ("changed", "The changes are kept."),
    ("unchanged", "Nothing was different: nothing is changed."),
    ("held", "The referral is held: it stays out of months not yet closed."),
    ("released", "The referral is released: the months that it missed are added."),
    ("referral-rejected", "The referral is rejected: it never counts."),
    ("credited", "The credit is corrected, as of the signup."),
    ("granted", "Granted: the account is credited, and the affiliate is told."),
    ("declined", "Declined. The affiliate is told why."),
    ("made", "The payout is made. Look at its payments before you approve it."),
    ("made-before", "The payout of this month was made before: this is it."),
    ("making", "The payout is being made. Load this page again in a moment."),
    ("opening", "What was paid elsewhere is kept."),
    (
        "payout-approved",
        "Approved. Payments to affiliates who were suspended, or whose address was changed meanwhile, were taken out.",
    ),
    ("payout-discarded", "Discarded. Its statements are free for another payout."),
    ("payout-paid", "All payments that were left are marked as paid."),
    ("submitted", "PayPal is called in a moment. Load this page again to see what it answers."),
    ("reported", "What PayPal’s report says is kept."),
    ("seen", "It is kept that you looked at it."),
    ("withdrawn", "Taken out. The sum stays owed."),
    ("item-paid", "The payment is marked as paid."),
    ("resolved", "How the payment ended is kept."),
    ("payouts-released", "It is confirmed. The next payout is made by it."),
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
type Act<At = ()> = Signed<Staff, At>;

impl Visit<Staff, AffiliateId> {
    /// The affiliate in the path.
    fn affiliate(&self) -> Result<Arc<Affiliate>, PageError> {
        self.app.directory().affiliate(self.at).cloned().ok_or(PageError::NotFound)
    }
}

/// The reason that must be given.
fn reason(form: &mut Form) -> Option<Reason> {
    form.need("reason", "Please say why, for those who ask later.")
}

/// The answer to an act: the page that says what was done, or that it will be done when the store is back.
fn done<T>(ended: Result<T, ActError>, path: &str, code: &str) -> Result<Response, PageError> {
    match ended {
        Ok(_) => Ok(see_other(&format!("{path}?done={code}"))),
        Err(ActError::Deferred) => Ok(see_other(&format!("{path}?done=later"))),
        Err(error) => Err(error.into()),
    }
}

/// The address asks a list for something that it doesn't have.
impl From<super::table::BadQuery> for PageError {
    fn from(_: super::table::BadQuery) -> Self {
        Self::BadRequest
    }
}

/// A cursor that is not ours names nothing.
fn not_found_if_foreign(error: ReadError) -> PageError {
    match error {
        ReadError::BadCursor => PageError::NotFound,
        other @ ReadError::Store(_) => other.into(),
    }
}

/// A page that is a list and no more, or its export.
fn show_list<At>(
    visit: &Visit<Staff, At>,
    section: &'static str,
    title: &str,
    intro: &str,
    query: &Query,
    list: Listing,
) -> Result<Response, PageError> {
    if query.csv {
        let name: String =
            title.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        return export(&visit.who, &name, list.to_csv());
    }
    let content = json!({"title": title, "intro": intro, "list": for_role(&visit.who, list)});
    Ok(visit.page("staff/list.html", section, content))
}

/// A list without what the member may not do.
fn for_role(who: &Staff, list: Listing) -> Listing {
    if who.may(Permission::Export) { list } else { list.without_export() }
}

/// A CSV file, for those who may take lists away.
fn export(who: &Staff, name: &str, lines: impl Into<Body>) -> Result<Response, PageError> {
    who.need(Permission::Export)?;
    Ok(download(CSV, &format!("{name}.csv"), lines))
}

/// CSV that is sent page by page as it is read: `page` answers the rows of the page that starts at a cursor, and where the
/// next one does. If the store fails on the way, the download breaks off, and the browser says so: a file is never
/// silently short.
async fn csv_of_pages<F, Read>(heads: &[Head], mut page: F) -> Result<Body, PageError>
where
    F: FnMut(Option<String>) -> Read + Send + 'static,
    Read: Future<Output = Result<(Vec<Row>, Option<String>), PageError>> + Send,
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
                    return Err(PageError::Internal);
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
}
