//! "I referred someone who is missing here": affiliates' claims, which staff grant or decline.

use super::accounts::{self, name_of};
use super::words::{self, Words};
use super::{Act, Staff, Visit, done, show_list};
use crate::app::Directory;
use crate::app::people::ActError;
use crate::domain::account::{Account, Refusal};
use crate::domain::id::{AccountId, ClaimId};
use crate::domain::input::Reason;
use crate::domain::person::{ClaimState, MissingReferral};
use crate::http::pages::table::{self, Cell, List, Tone};
use crate::http::pages::{Form, PageError, PageState};
use axum::response::Response;
use serde_json::json;

const PATH: &str = "/admin/claims";

fn claims<'a>(words: Words<'a>, directory: &'a Directory) -> List<'a, MissingReferral> {
    type Column<'a> = table::Column<'a, MissingReferral>;
    let name = move |claim: &MissingReferral| name_of(directory, Some(claim.affiliate_id));
    let columns = vec![
        Column::text("company", "Customer", |claim| {
            Cell::link(&claim.company, format!("{PATH}/{}", claim.id))
        })
        .sort_by(|claim| claim.company.to_lowercase()),
        Column::text("affiliate", "Claimed by", move |claim| {
            let id = claim.affiliate_id;
            Cell::link(name(claim), format!("/admin/affiliates/{id}")).export(id.to_string())
        })
        .sort_by(name),
        Column::text("account", "Account", |claim| {
            claim.account_hint.as_ref().map_or_else(words::none, Cell::id)
        }),
        Column::text("filed", "Filed", move |claim| words.age(claim.filed_at))
            .sort_first_by(|claim| claim.filed_at),
        Column::text("state", "State", |claim| {
            let (_, stands, tone) = said(claim.state);
            Cell::mark(stands, tone)
        })
        .sort_by(|claim| said(claim.state).1),
    ];
    let empty = "No claim waits. Affiliates file them in their portal when a referral is missing.";
    let states = [("", "Open"), ("granted", "Granted"), ("declined", "Declined"), ("all", "All")];
    List::new(PATH, "Claims", empty, columns)
        .search("Customer, affiliate, account", move |claim| {
            [&claim.company, &name(claim), claim.account_hint.as_deref().unwrap_or_default()].join("\n")
        })
        .choice("state", "State", states, |claim, state| state == "all" || said(claim.state).0 == state)
}

const fn said(state: ClaimState) -> (&'static str, &'static str, Tone) {
    match state {
        ClaimState::Open => ("", "Open", Tone::Warn),
        ClaimState::Granted => ("granted", "Granted", Tone::Good),
        ClaimState::Declined => ("declined", "Declined", Tone::Info),
    }
}

pub async fn list(visit: Visit<Staff>) -> Result<Response, PageError> {
    let directory = visit.app.directory();
    let list = claims(Words::of(&visit), &directory);
    let query = list.read(visit.raw.as_deref())?;
    let list = list.show(visit.app.claims(false).await?, &query);
    let intro =
        "Affiliates who miss a referral say so with evidence. Granting a claim credits the account by hand.";
    show_list(&visit, "claims", "Claims", intro, &query, list)
}

pub async fn page(visit: Visit<Staff, ClaimId>) -> Result<Response, PageError> {
    let claim = find(&visit).await?;
    show(&visit, &claim, &Form::default()).await
}

async fn find(visit: &Visit<Staff, ClaimId>) -> Result<MissingReferral, PageError> {
    visit.app.claim(visit.at).await?.ok_or(PageError::NotFound)
}

async fn show(
    visit: &Visit<Staff, ClaimId>,
    claim: &MissingReferral,
    form: &Form,
) -> Result<Response, PageError> {
    let (words, directory) = (Words::of(visit), visit.app.directory());
    let (_, stands, tone) = said(claim.state);
    // The account that was typed, or else the one that the affiliate named.
    let typed = form.has("account").then(|| form.text("account"));
    let named: Option<AccountId> = typed.or(claim.account_hint.as_deref()).and_then(|hint| hint.parse().ok());
    let account: Option<Account> = match &named {
        Some(id) => visit.app.account(id).await?,
        None => None,
    };
    let account = account.map(|account| {
        let (stands, tone) = words::account_state(visit.app.status_of(&account).state);
        let reason = account.attribution.as_ref().map(|decided| decided.reason.sentence());
        json!({"seen": seen(&account), "takes": account.signup.is_some() && takes(&account, claim),
            "held": account.is_held(), "rejected": account.standing.rejected_since.is_some(), "id": account.id, "path": accounts::path(&account.id), "state": stands, "tone": tone,
            "credited": account.credited_to, "name": name_of(&directory, account.credited_to), "reason": reason})
    });
    let mut shown = form.clone();
    // What is shown now is what a tick is about: one that was meant for another account, or another owner, is gone.
    let is_seen = account.as_ref().is_some_and(|one| one["seen"] == form.text("seen"));
    if !is_seen {
        shown.values.remove("take");
    }
    let content = json!({
        "id": claim.id, "company": claim.company, "hint": claim.account_hint, "evidence": claim.evidence,
        "filed": words.at(claim.filed_at), "age": words.ago(claim.filed_at),
        "affiliate": {"id": claim.affiliate_id, "name": name_of(&directory, Some(claim.affiliate_id))},
        "state": stands, "tone": tone, "open": claim.state == ClaimState::Open, "reason": claim.reason,
        "decided_by": claim.decided_by.as_ref().map(|by| visit.app.name_of(by)), "decided_at": claim.decided_at.map(|at| words.at(at)),
        "account": account, "form": shown,
    });
    Ok(visit.page_with(form.status, "staff/claim.html", "claims", content))
}

pub async fn decide(Act { visit, mut form }: Act<ClaimId>) -> Result<Response, PageError> {
    let claim = find(&visit).await?;
    if claim.state != ClaimState::Open {
        return Err(PageError::Conflict);
    }
    let granted = match form.text("decision") {
        "grant" => true,
        "decline" => false,
        _ => return Err(PageError::BadRequest),
    };
    let reason: Option<Reason> = form.need("reason", "Please say why: the affiliate is told.");
    let account = if granted { account_of(&visit, &mut form, &claim).await? } else { None };
    if let Some(reason) = reason.filter(|_| form.is_good()) {
        match visit.app.decide_claim(&visit.actor(), visit.at, granted, &reason, account.as_ref()).await {
            Err(ActError::Refused(Refusal::UnknownAccount)) => form.wrong("account", UNKNOWN),
            Err(ActError::Refused(Refusal::NeverActive)) => form.wrong(
                "form",
                "This affiliate has never been active, so they can't be credited: they have yet to sign the agreement.",
            ),
            ended => {
                let code = if granted { "granted" } else { "declined" };
                return done(ended, &format!("{PATH}/{}", visit.at), code);
            }
        }
    }
    show(&visit, &claim, &form).await
}

const UNKNOWN: &str = "No signup of this account was reported. Its id is what the signup flow calls it.";

/// Whose the account is and where it stands, so that a page that was opened earlier is known by it.
fn seen(account: &Account) -> String {
    let credited = account.credited_to.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
    let state = if account.standing.rejected_since.is_some() {
        "rejected"
    } else if account.is_held() {
        "held"
    } else {
        "free"
    };
    format!("{} {credited} {state}", account.id)
}

/// Whether granting it takes it from somebody, or lifts what staff or the rules put on it.
fn takes(account: &Account, claim: &MissingReferral) -> bool {
    let anothers = account.credited_to.is_some_and(|id| id != claim.affiliate_id);
    anothers || account.is_held() || account.standing.rejected_since.is_some()
}

/// The account that is to be credited; what is in the way is said in the form.
async fn account_of(
    state: &PageState,
    form: &mut Form,
    claim: &MissingReferral,
) -> Result<Option<AccountId>, PageError> {
    let Ok(id) = form.text("account").parse::<AccountId>() else {
        form.wrong("account", UNKNOWN);
        return Ok(None);
    };
    match state.app.account(&id).await?.filter(|account| account.signup.is_some()) {
        None => form.wrong("account", UNKNOWN),
        Some(account) => {
            let shown = form.text("seen") == seen(&account) && form.has("take");
            if takes(&account, claim) && !shown {
                form.wrong("take", "Please look at the account first, and tick this if it is meant.");
            }
        }
    }
    Ok(Some(id))
}
