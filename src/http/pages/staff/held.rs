//! Held referrals: credited, but kept out of months not yet closed until somebody looks.

use super::words::{self, Words};
use super::{Staff, accounts, show_list};
use crate::app::AccountList;
use crate::domain::account::Account;
use crate::domain::outcome::HoldReason;
use crate::http::pages::table::{Cell, Column, Filter, List, Query, Row, Spec};
use crate::http::pages::{Fault, PageState};
use axum::extract::{RawQuery, State};
use axum::response::Response;

const PATH: &str = "/admin/held";
/// So many are read to be sorted and searched; of more the page says so.
const MOST: usize = 5_000;

const INTRO: &str = "They are credited, but stay out of months not yet closed. Open one to release or reject it; a release adds the months missed.";

fn spec() -> Spec {
    let reasons = [
        ("", "All"),
        (HoldReason::SelfReferral.code(), "Affiliate's own e-mail"),
        (HoldReason::SameDomain.code(), "Affiliate's own domain"),
        (HoldReason::TooFast.code(), "Too fast"),
        (HoldReason::Burst.code(), "Too many at once"),
        (HoldReason::Staff.code(), "By staff"),
    ];
    Spec {
        columns: vec![
            Column::text("account_id", "Account").sortable(),
            Column::text("affiliate", "Affiliate").sortable(),
            Column::text("reasons", "Why"),
            Column::text("held_since", "Held").sortable(),
            Column::text("signed_up", "Signed up").sortable(),
        ],
        filters: vec![Filter::of("reason", "Why", &reasons)],
        search: Some("Account or affiliate"),
        order: "held_since",
    }
}

pub async fn list(
    State(state): State<PageState>,
    who: Staff,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let (spec, words) = (spec(), Words::of(&state));
    let query = Query::read(raw.as_deref(), &spec)?;
    let directory = state.app.directory();
    let name_of = |account: &Account| accounts::name_of(&directory, account.credited_to);
    let (all, more) = accounts::all_of(&state, AccountList::Held, MOST).await?;
    let mut held: Vec<(Account, String)> = all
        .into_iter()
        .map(|account| {
            let name = name_of(&account);
            (account, name)
        })
        .collect();
    held.retain(|(account, name)| {
        let reasons = &account.standing.hold_reasons;
        let affiliate = account.credited_to.map(|id| id.to_string()).unwrap_or_default();
        query.filter("reason").is_none_or(|code| reasons.iter().any(|reason| reason.code() == code))
            && query.matches(&[account.id.as_str(), name, &affiliate])
    });
    let signed_up = |account: &Account| account.signup.as_ref().map(|claim| claim.signup.signed_up_at);
    query.arrange(&mut held, |key, (one, name), (other, other_name)| match key {
        "account_id" => one.id.cmp(&other.id),
        "affiliate" => name.to_lowercase().cmp(&other_name.to_lowercase()),
        "signed_up" => signed_up(one).cmp(&signed_up(other)),
        _ => one.standing.held_since.cmp(&other.standing.held_since),
    });
    let (held, mut pages) = query.cut(held);
    pages.more = more;
    let row = |(account, name): &(Account, String)| {
        let reasons: Vec<&str> =
            account.standing.hold_reasons.iter().map(|reason| words::hold(*reason)).collect();
        let affiliate = account.credited_to.map_or_else(words::none, |id| {
            Cell::link(name, format!("/admin/affiliates/{id}")).export(id.to_string())
        });
        Row::from(vec![
            Cell::link(account.id.as_str(), accounts::path(&account.id)).mono(),
            affiliate,
            Cell::text(reasons.join("; ")),
            account.standing.held_since.map_or_else(words::none, |at| words.age(at)),
            words.when_any(signed_up(account)),
        ])
    };
    let rows = held.iter().map(row).collect();
    let empty = "Nothing is held. Suspicious signups wait here, credited, until somebody looks.";
    let list = List::new(PATH, "Held referrals", empty, spec, &query, (rows, pages));
    let longer = format!(
        " More than {MOST} are held: the first {MOST} in the store's order are searched and sorted here."
    );
    let intro = format!("{INTRO}{}", if more { &longer } else { "" });
    show_list(&state, &who, "held", "Held referrals", &intro, &query, list)
}
