//! Held referrals: credited, but kept out of months not yet closed until somebody looks.

use super::words::{self, Words};
use super::{Staff, Visit, accounts, show_list};
use crate::app::{AccountList, Directory};
use crate::domain::account::Account;
use crate::domain::outcome::HoldReason;
use crate::http::pages::PageError;
use crate::http::pages::table::{self, Cell, List};
use axum::response::Response;

const PATH: &str = "/admin/held";
/// So many are read to be sorted and searched; of more the page says so.
const MOST: usize = 5_000;

const INTRO: &str = "They are credited, but stay out of months not yet closed. Open one to release or reject it; a release adds the months missed.";

fn held<'a>(words: Words<'a>, directory: &'a Directory) -> List<'a, Account> {
    type Column<'a> = table::Column<'a, Account>;
    let name = move |account: &Account| accounts::name_of(directory, account.credited_to);
    let signed_up = |account: &Account| account.signup.as_ref().map(|claim| claim.signup.signed_up_at);
    let columns = vec![
        Column::text("account_id", "Account", |account| {
            Cell::link(account.id.as_str(), accounts::path(&account.id)).mono()
        })
        .sort_by(|account| account.id.clone()),
        Column::text("affiliate", "Affiliate", move |account| accounts::credited(directory, account))
            .sort_by(move |account| name(account).to_lowercase()),
        Column::text("reasons", "Why", |account| {
            let reasons = account.standing.hold_reasons.iter().map(|reason| words::hold(*reason));
            Cell::text(reasons.collect::<Vec<_>>().join("; "))
        }),
        Column::text("held_since", "Held", move |account| {
            account.standing.held_since.map_or_else(words::none, |at| words.age(at))
        })
        .sort_first_by(|account| account.standing.held_since),
        Column::text("signed_up", "Signed up", move |account| words.when_any(signed_up(account)))
            .sort_by(signed_up),
    ];
    let empty = "Nothing is held. Suspicious signups wait here, credited, until somebody looks.";
    let reasons = [
        (HoldReason::SelfReferral.code(), "Affiliate's own e-mail"),
        (HoldReason::SameDomain.code(), "Affiliate's own domain"),
        (HoldReason::TooFast.code(), "Too fast"),
        (HoldReason::PaidAd.code(), "Paid ad"),
        (HoldReason::Burst.code(), "Too many at once"),
        (HoldReason::Staff.code(), "By staff"),
    ];
    List::new(PATH, "Held referrals", empty, columns)
        .search("Account or affiliate", move |account| {
            let id = account.credited_to.map(|id| id.to_string()).unwrap_or_default();
            [account.id.as_str(), &name(account), &id].join("\n")
        })
        .filter("reason", "Why", reasons, |account, code| {
            account.standing.hold_reasons.iter().any(|reason| reason.code() == code)
        })
}

pub async fn list(visit: Visit<Staff>) -> Result<Response, PageError> {
    let directory = visit.app.directory();
    let list = held(Words::of(&visit), &directory);
    let query = list.read(visit.raw.as_deref())?;
    let (all, more) = accounts::all_of(&visit, AccountList::Held, MOST).await?;
    let mut list = list.show(all, &query);
    list.more = more;
    let longer = format!(
        " More than {MOST} are held: the first {MOST} in the store's order are searched and sorted here."
    );
    let intro = format!("{INTRO}{}", if more { &longer } else { "" });
    show_list(&visit, "held", "Held referrals", &intro, &query, list)
}
