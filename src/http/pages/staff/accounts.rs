//! Accounts: who is credited and why, in plain words; holds, releases, and corrections by hand.

use super::words::{self, Words};
use super::{Act, Staff, Visit, csv_of_pages, done, not_found_if_foreign, reason, show_list};
use crate::app::people::ActError;
use crate::app::{AccountList, AccountStatus, Directory};
use crate::domain::account::{Account, Refusal};
use crate::domain::attribution::{Attribution, Considered};
use crate::domain::fact::{Credit, Fact, Review, ReviewAction};
use crate::domain::history::History;
use crate::domain::id::{AccountId, AffiliateId, Plan};
use crate::domain::input;
use crate::domain::outcome::Reason;
use crate::domain::person::Permission;
use crate::http::pages::payout;
use crate::http::pages::table::{self, Cell, Head, List, Pages, Query, ROWS};
use crate::http::pages::{CSV, Form, PageError, PageState, download};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

const PATH: &str = "/admin/accounts";
const AT_ONCE: usize = 500;
/// So many accounts are sorted at most.
const SORTED: usize = 5_000;

/// The page of an account.
pub fn path(id: &AccountId) -> String {
    format!("{PATH}/{}", utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC))
}

/// The name of who is credited.
pub fn name_of(directory: &Directory, id: Option<AffiliateId>) -> String {
    let name = |id: AffiliateId| directory.affiliate(id).map(|one| one.profile.name.clone());
    id.map(|id| name(id).unwrap_or_else(|| id.to_string())).unwrap_or_default()
}

/// The accounts of a list, at most so many, and whether there are more.
pub async fn all_of(
    state: &PageState,
    list: AccountList,
    most: usize,
) -> Result<(Vec<Account>, bool), PageError> {
    let (all, next) = read(state, list, "", None, most).await?;
    Ok((all, next.is_some()))
}

/// Who is credited, with a link to their page.
pub fn credited(directory: &Directory, account: &Account) -> Cell {
    account.credited_to.map_or_else(words::none, |id| {
        let name = name_of(directory, Some(id));
        Cell::link(name, format!("/admin/affiliates/{id}")).export(id.to_string())
    })
}

/// The filter that chooses one of the store's lists.
const LIST: &str = "list";

fn accounts<'a>(state: &'a PageState, directory: &'a Directory) -> List<'a, (Account, AccountStatus)> {
    type Column<'a> = table::Column<'a, (Account, AccountStatus)>;
    let words = Words::of(state);
    let signup = |account: &Account| account.signup.as_ref().map(|claim| claim.signup.clone());
    let signed_up_at = move |account: &Account| signup(account).map(|signup| signup.signed_up_at);
    let columns = vec![
        Column::text("account_id", "Account", |(account, _)| {
            let id = Cell::link(account.id.as_str(), path(&account.id)).mono();
            match account.conflicts.len() {
                0 => id,
                1 => id.note("1 report contradicted what stands"),
                some => id.note(format!("{some} reports contradicted what stands")),
            }
        })
        .sort_by(|(account, _)| account.id.clone()),
        Column::text("state", "State", |(_, status)| {
            let (stands, tone) = words::account_state(status.state);
            Cell::mark(stands, tone)
        })
        .sort_by(|(_, status)| words::account_state(status.state).0),
        Column::text("affiliate", "Credited to", |(account, _)| credited(directory, account))
            .sort_by(|(account, _)| name_of(directory, account.credited_to).to_lowercase()),
        Column::text("plan", "Plan at signup", move |(account, _)| {
            signup(account).map_or_else(words::none, |signup| Cell::text(signup.plan.to_string()))
        })
        .sort_by(move |(account, _)| signup(account).map(|signup| signup.plan)),
        Column::text("signed_up", "Signed up", move |(account, _)| words.when_any(signed_up_at(account)))
            .sort_by(move |(account, _)| signed_up_at(account)),
        Column::text("progress", "Progress", |(account, status)| match account.credited_to {
            Some(_) => Cell::text(words::progress(status)).whole(),
            None => words::none(),
        })
        .sort_by(|(account, status)| {
            account.credited_to.map(|_| (status.crossed_on.is_some(), status.active_days))
        }),
    ];
    let lists = [
        ("", "All"),
        ("held", "Held for review"),
        ("conflict", "With contradicting reports"),
        ("waiting", "Events, but no signup yet"),
    ];
    // The store has chosen and searched already.
    List::new(PATH, "Accounts", "No account yet. They come with the signup flow's callbacks.", columns)
        .search("The beginning of an id", |(account, _)| account.id.to_string())
        .choice(LIST, "Which", lists, |_, _| true)
}

/// Accounts, each with where it stands.
fn measured(state: &PageState, accounts: Vec<Account>) -> Vec<(Account, AccountStatus)> {
    let statuses = state.app.statuses_of(&accounts);
    accounts.into_iter().zip(statuses).collect()
}

pub async fn list(visit: Visit<Staff>) -> Result<Response, PageError> {
    let directory = visit.app.directory();
    let list = accounts(&visit, &directory);
    let query = list.read(visit.raw.as_deref())?;
    let which = match query.filter(LIST) {
        "held" => AccountList::Held,
        "conflict" => AccountList::Conflict,
        "waiting" => AccountList::Waiting,
        _ => AccountList::All,
    };
    if query.is_sorted() {
        return sorted(&visit, &list, &query, which).await;
    }
    if query.csv {
        let heads = list.heads();
        return export_all(&visit, &heads, query.search, which).await;
    }
    let (accounts, next) = read(&visit, which, &query.search, query.after.clone(), ROWS).await?;
    let list = list.page(&measured(&visit, accounts), &Pages::from_store(next), &query);
    show_list(&visit, "accounts", "Accounts", INTRO, &query, list)
}

/// The whole list in the store's order, as CSV.
async fn export_all(
    visit: &Visit<Staff>,
    heads: &[Head],
    search: String,
    which: AccountList,
) -> Result<Response, PageError> {
    visit.who.need(Permission::Export)?;
    let state = visit.state.clone();
    let page = move |cursor: Option<String>| {
        let (state, search) = (state.clone(), search.clone());
        async move {
            let page = state.app.accounts_named(which, &search, cursor.as_deref(), AT_ONCE).await;
            let page = page.map_err(not_found_if_foreign)?;
            let directory = state.app.directory();
            let list = accounts(&state, &directory);
            let rows = measured(&state, page.data).iter().map(|one| list.row(one)).collect();
            Ok((rows, page.next_cursor))
        }
    };
    Ok(download(CSV, "accounts.csv", csv_of_pages(heads, page).await?))
}

const INTRO: &str = "Every account that the signup flow reported, in the store's order. A search looks for the beginning of an id; upper and lower case differ.";

/// Accounts from a cursor on, at most so many; and where the next ones start.
async fn read(
    state: &PageState,
    which: AccountList,
    beginning: &str,
    mut cursor: Option<String>,
    most: usize,
) -> Result<(Vec<Account>, Option<String>), PageError> {
    let mut all = Vec::new();
    loop {
        let at_once = AT_ONCE.min(most - all.len());
        let page = state.app.accounts_named(which, beginning, cursor.as_deref(), at_once).await;
        let page = page.map_err(not_found_if_foreign)?;
        all.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() || all.len() >= most {
            return Ok((all, cursor));
        }
    }
}

/// The list in an order that the store does not have: of a bounded number of accounts.
async fn sorted(
    visit: &Visit<Staff>,
    list: &List<'_, (Account, AccountStatus)>,
    query: &Query,
    which: AccountList,
) -> Result<Response, PageError> {
    let (accounts, next) = read(visit, which, &query.search, None, SORTED).await?;
    let mut list = list.show(measured(visit, accounts), query);
    list.more = next.is_some();
    let intro = if list.more {
        format!(
            "There are more than {SORTED} of these accounts: the first {SORTED} in the store's order are sorted. Narrow the list by its choice or by the beginning of an id, or export all of it unsorted."
        )
    } else {
        INTRO.to_owned()
    };
    show_list(visit, "accounts", "Accounts", &intro, query, list)
}

pub async fn page(visit: Visit<Staff, AccountId>) -> Result<Response, PageError> {
    let account = visit.app.account(&visit.at).await?.ok_or(PageError::NotFound)?;
    show(&visit, &account, &Form::default()).await
}

async fn show(
    visit: &Visit<Staff, AccountId>,
    account: &Account,
    form: &Form,
) -> Result<Response, PageError> {
    let state = &visit.state;
    let (words, directory) = (Words::of(state), state.app.directory());
    let account_status = state.app.status_of(account);
    let (stands, tone) = words::account_state(account_status.state);
    let affiliate = |id: Option<AffiliateId>| {
        id.map(|id| {
            json!({"id": id, "name": name_of(&directory, Some(id)),
            "status": directory.affiliate(id).map(|one| words::status(one.status()).0)})
        })
    };
    let signup = account.signup.as_ref().map(|claim| &claim.signup);
    let signup = signup.map(|signup| {
        json!({"plan": signup.plan, "at": words.at(signup.signed_up_at), "active": signup.active,
            "code": signup.evidence.code, "domain": signup.evidence.email_domain})
    });
    let holds: Vec<String> = account.standing.hold_reasons.iter().map(|hold| words::hold(*hold)).collect();
    let statements = match account.credited_to {
        Some(id) => state.app.statements_of(id).await?,
        None => Vec::new(),
    };
    let stated: Vec<Value> = payout::stated(&statements, &account.id)
        .iter()
        .map(|one| {
            json!({"month": one.month, "name": words.month(one.month), "what": one.what,
            "earned_for": one.earned_for, "amount": words.money(one.amount)})
        })
        .collect();
    let corrected = account.effective_actions().any(|action| action.action == "credit");
    let content = json!({
        "id": account.id, "path": path(&account.id), "state": stands, "tone": tone, "signup": signup,
        "affiliate": affiliate(account.credited_to), "corrected": corrected,
        "decision": account.attribution.as_ref().map(|decided| decision(&words, &directory, decided)),
        "progress": {"days": account_status.active_days, "mark": account_status.mark_days,
            "crossed": account_status.crossed_on.map(|day| words.day(day)),
            "expected": account_status.expected_on.map(|day| words.day(day))},
        "without_rate": plan_without_rate(state, account).filter(|_| account_status.crossed_on.is_none()),
        "held": account.is_held(), "holds": holds,
        "held_since": account.standing.held_since.map(|at| words.at(at)),
        "rejected_since": account.standing.rejected_since.map(|at| words.at(at)),
        "history": history(state, account), "stated": stated,
        "conflicts": account.conflicts.iter().map(|one| json!({"at": words.at(one.origin.at), "what": contradiction(&one.what)}))
            .collect::<Vec<_>>(),
        "form": form,
    });
    Ok(visit.page_with(form.status, "staff/account.html", "accounts", content))
}

/// The account's plan now, if it is credited to somebody and earns nothing.
fn plan_without_rate(state: &PageState, account: &Account) -> Option<Plan> {
    let referral = account.referral()?;
    let plan = History::of(&referral).plan_before(state.app.now()).clone();
    (!state.app.settings().rules.has_rate(&plan)).then_some(plan)
}

fn contradiction(what: &str) -> String {
    match what.split_once(':') {
        Some((_, event)) => format!("Another report of the event {event} said something else"),
        None => "Another report of the signup said something else".to_owned(),
    }
}

/// The decision with its whole trace.
fn decision(words: &Words<'_>, directory: &Directory, decided: &Attribution) -> Value {
    let click = |click: &Considered| {
        let won = click.click_id.is_some() && click.click_id == decided.click_id;
        let via: Vec<String> = click.via.iter().map(|via| words::via(*via)).collect();
        json!({"won": won, "dropped": click.dropped.is_some(),
            "at": click.clicked_at.map(|at| words.at(at)), "id": click.click_id,
            "affiliate": click.affiliate_id, "name": name_of(directory, click.affiliate_id),
            "via": via.join(", "), "words": words::judgement(click, won, decided.model)})
    };
    let code = decided.code.map(|code| match code {
        Reason::Attributed => "The typed code was tried, and credited its affiliate.",
        Reason::UnknownCode => "The typed code belongs to nobody.",
        Reason::AffiliateNotActive => "The typed code's affiliate was not active at the signup.",
        other => other.sentence(),
    });
    json!({
        "credited": decided.affiliate_id, "name": name_of(directory, decided.affiliate_id),
        "sentence": decided.reason.sentence(), "via": decided.via.map(words::via),
        "model": words::chosen(decided),
        "clicks": decided.considered.iter().map(click).collect::<Vec<_>>(),
        "code": code, "tie_break": decided.tie_break,
        "holds": decided.holds.iter().map(|hold| words::hold(*hold)).collect::<Vec<_>>(),
    })
}

/// What happened, newest first: the company's events and what staff did.
fn history(state: &PageState, account: &Account) -> Vec<Value> {
    let (words, directory) = (Words::of(state), state.app.directory());
    let events = account.events.iter().map(|kept| {
        let event = &kept.event;
        (
            event.occurred_at,
            json!({"at": words.at(event.occurred_at), "what": words::event(&event.change),
            "by": "", "note": format!("event {}", event.event_id)}),
        )
    });
    let actions = account.effective_actions().map(|action| {
        let what = match action.action.as_str() {
            "hold" => "Put on hold".to_owned(),
            "release" => "Released".to_owned(),
            "reject" => "Rejected".to_owned(),
            _ => match action.credited_since {
                Some(id) => format!("Credited by hand to {}", name_of(&directory, Some(id))),
                None => format!("The credit was taken from {}", name_of(&directory, action.credited_before)),
            },
        };
        (action.origin.at, json!({"at": words.at(action.origin.at), "what": what, "by": state.app.name_of(&action.by), "note": action.reason}))
    });
    let signup = account.signup.iter().map(|claim| {
        let what = if claim.signup.active { "Signed up" } else { "Signed up, as a trial" };
        let at = claim.signup.signed_up_at;
        (at, json!({"at": words.at(at), "what": what, "by": "", "note": format!("plan {}", claim.signup.plan)}))
    });
    let mut all: Vec<_> = signup.chain(events).chain(actions).collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all.into_iter().map(|(_, said)| said).collect()
}

pub async fn judge(Act { visit, mut form }: Act<AccountId>) -> Result<Response, PageError> {
    let (action, code) = match form.text("judgement") {
        "hold" => (ReviewAction::Hold, "held"),
        "release" => (ReviewAction::Release, "released"),
        "reject" => (ReviewAction::Reject, "referral-rejected"),
        _ => return Err(PageError::BadRequest),
    };
    let reason = reason(&mut form);
    let fact = reason.map(|reason| Review { account_id: visit.at.clone(), action, reason: reason.into() });
    take(&visit, form, fact, code).await
}

pub async fn credit(Act { visit, mut form }: Act<AccountId>) -> Result<Response, PageError> {
    let text = form.text("affiliate").to_owned();
    let affiliate_id = if text == "nobody" { None } else { find_affiliate(&visit, &text) };
    if affiliate_id.is_none() && text != "nobody" {
        let sentence = "Please give the id, the e-mail or the code of an affiliate, or the word nobody.";
        form.wrong("affiliate", sentence);
    }
    let reason: Option<input::Reason> =
        form.need("credit_reason", "Please say why, for those who ask later.");
    let fact = reason.map(|reason| Credit {
        account_id: visit.at.clone(),
        affiliate_id,
        reason: reason.into(),
        claim_id: None,
        ends_judgement: true,
    });
    take(&visit, form, fact, "credited").await
}

/// An affiliate by its id, its e-mail or its code.
pub fn find_affiliate(state: &PageState, text: &str) -> Option<AffiliateId> {
    let directory = state.app.directory();
    let by_id = || text.parse().ok().and_then(|id| directory.affiliate(id).cloned());
    let by_code = || text.parse().ok().and_then(|code| directory.by_code(&code).cloned());
    let email = text.to_lowercase();
    let by_email =
        || directory.affiliates().into_iter().find(|one| one.profile.email.to_lowercase() == email);
    by_id().or_else(by_code).or_else(by_email).map(|one| one.id)
}

async fn take(
    visit: &Visit<Staff, AccountId>,
    mut form: Form,
    fact: Option<impl Into<Fact>>,
    code: &str,
) -> Result<Response, PageError> {
    let account = visit.app.account(&visit.at).await?.ok_or(PageError::NotFound)?;
    if let Some(fact) = fact.filter(|_| form.is_good()) {
        let sentence = match visit.app.act(&visit.actor(), fact).await {
            Err(ActError::Refused(Refusal::UnknownAccount)) => {
                "The account's signup has not been reported yet."
            }
            Err(ActError::Refused(Refusal::NotReferred)) => {
                "The account is credited to nobody: there is no referral to judge."
            }
            Err(ActError::Refused(Refusal::NeverActive)) => {
                "This affiliate has never been active, so they can't be credited. Accounts are credited to affiliates who have signed the agreement."
            }
            Err(ActError::Refused(_)) => "The account has changed meanwhile. Please look at it again.",
            ended => return done(ended, &path(&visit.at), code),
        };
        form.wrong("form", sentence);
    }
    show(visit, &account, &form).await
}
