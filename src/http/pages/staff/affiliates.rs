//! Affiliates: found, looked at, changed, suspended, closed.

mod links;
mod list;
mod page;
mod referrals;

pub use links::{ask_off, create as new_link, off, on};
pub use list::list;
pub use page::page;
pub use referrals::list as referrals;

use super::{Act, Outcome, Staff};
use crate::app::people::ActError;
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Profile, Step};
use crate::domain::fact::{self, AffiliateChange, Fact};
use crate::domain::id::{AffiliateId, ReferralCode};
use crate::domain::person::{Action, Person};
use crate::http::guard::PathId;
use crate::http::pages::form::web_address;
use crate::http::pages::{Fault, FormView, PageState, see_other};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

const PATH: &str = "/admin/affiliates";

pub async fn step(
    State(state): State<PageState>,
    Path((id, step)): Path<(String, String)>,
    mut act: Act,
) -> Result<Response, Fault> {
    let id: AffiliateId = id.parse().map_err(|_| Fault::NotFound)?;
    let (step, action, done) = match step.as_str() {
        "suspend" => (Step::Suspend, Action::ChangeAffiliates, "suspended"),
        "reinstate" => (Step::Reinstate, Action::ChangeAffiliates, "reinstated"),
        "close" => (Step::Close, Action::CloseAffiliates, "closed"),
        _ => return Err(Fault::NotFound),
    };
    act.need(action)?;
    state.app.directory().affiliate(id).ok_or(Fault::NotFound)?;
    let reason = match step {
        Step::Reinstate => act.form.line("reason", 500),
        _ => Some(act.reason()),
    };
    if step == Step::Close && !act.form.ticked("sure") {
        act.form.wrong("sure", "Please confirm: an affiliate that was closed can't come back.");
    }
    if !act.form.is_good() {
        return again(&state, &act, id).await;
    }
    match act
        .submit(&state, Fact::AffiliateStep(fact::AffiliateStep { affiliate_id: id, step, reason }))
        .await?
    {
        Outcome::Done => Ok(back(id, done)),
        Outcome::Later => Ok(back(id, "later")),
        Outcome::Refused(_) => Err(Fault::Conflict),
    }
}

fn back(id: AffiliateId, done: &str) -> Response {
    see_other(&format!("{PATH}/{id}?done={done}"))
}

async fn again(state: &PageState, act: &Act, id: AffiliateId) -> Result<Response, Fault> {
    page::show(state, &act.who, id, None, StatusCode::UNPROCESSABLE_ENTITY, &act.form.view()).await
}

pub async fn mail(
    State(state): State<PageState>,
    PathId(id): PathId<AffiliateId>,
    act: Act,
) -> Result<Response, Fault> {
    act.need(Action::ChangeAffiliates)?;
    state.app.directory().affiliate(id).ok_or(Fault::NotFound)?;
    match state.app.send_activation(&act.who.by(), id).await {
        Ok(()) => Ok(back(id, "mailed")),
        Err(ActError::Deferred) => Ok(back(id, "later")),
        Err(error) => Err(error.into()),
    }
}

pub async fn sign_out(
    State(state): State<PageState>,
    PathId(id): PathId<AffiliateId>,
    act: Act,
) -> Result<Response, Fault> {
    act.need(Action::ChangeAffiliates)?;
    state.app.directory().affiliate(id).ok_or(Fault::NotFound)?;
    match state.app.sign_out_everywhere(&act.who.by(), Person::Affiliate(id)).await {
        Ok(()) => Ok(back(id, "out")),
        Err(ActError::Deferred) => Ok(back(id, "later")),
        Err(error) => Err(error.into()),
    }
}

pub async fn note(
    State(state): State<PageState>,
    PathId(id): PathId<AffiliateId>,
    mut act: Act,
) -> Result<Response, Fault> {
    act.need(Action::WriteNotes)?;
    state.app.directory().affiliate(id).ok_or(Fault::NotFound)?;
    let text = act.form.paragraph("note", 2_000);
    let text = act.form.need("note", text, "Please write something.");
    if !act.form.is_good() {
        return again(&state, &act, id).await;
    }
    match state.app.add_note(&act.who.by(), id, &text).await {
        Ok(()) => Ok(back(id, "noted")),
        Err(ActError::Deferred) => Ok(back(id, "later")),
        Err(error) => Err(error.into()),
    }
}

/// What of an affiliate may be edited, as its form showed it: the form brings it back, so that what others changed
/// meanwhile is not silently put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    profile: Profile,
    code: ReferralCode,
    exempt: bool,
}

impl Shown {
    fn of(affiliate: &Affiliate) -> Self {
        let (profile, code) = (affiliate.profile.clone(), affiliate.code.clone());
        Self { profile, code, exempt: affiliate.exempt_from_holds }
    }
    /// Whether a change of what was shown would overwrite something else than what was shown.
    fn overwrites(&self, change: &AffiliateChange, present: &Self) -> bool {
        let others = |shown: &Option<String>, typed: &Option<String>, now: &Option<String>| {
            shown != typed && shown != now && typed != now
        };
        let (shown, now) = (&self.profile, &present.profile);
        let profile = change.profile.as_ref().is_some_and(|typed| {
            let some = |text: &String| Some(text.clone());
            others(&some(&shown.name), &some(&typed.name), &some(&now.name))
                || others(&some(&shown.email), &some(&typed.email), &some(&now.email))
                || others(&shown.company, &typed.company, &now.company)
                || others(&shown.website, &typed.website, &now.website)
                || others(&shown.promotion, &typed.promotion, &now.promotion)
                || others(&shown.partner_type, &typed.partner_type, &now.partner_type)
                || others(&shown.paypal_email, &typed.paypal_email, &now.paypal_email)
        });
        let code =
            change.code.as_ref().is_some_and(|typed| self.code != present.code && *typed != present.code);
        profile || code
    }
}

/// Whoever may change some of it sees the form; the rest is there to be read.
fn need_either(who: &Staff) -> Result<(), Fault> {
    who.need(Action::ChangeAffiliates).or_else(|_| who.need(Action::ChangeAddresses))
}

pub async fn edit(
    State(state): State<PageState>,
    who: Staff,
    PathId(id): PathId<AffiliateId>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    need_either(&who)?;
    let affiliate = state.app.directory().affiliate(id).cloned().ok_or(Fault::NotFound)?;
    let profile = &affiliate.profile;
    let code = affiliate.code.to_string();
    let was = json!(Shown::of(&affiliate)).to_string();
    let form = FormView::with([
        ("name", Some(profile.name.as_str())),
        ("email", Some(profile.email.as_str())),
        ("company", profile.company.as_deref()),
        ("website", profile.website.as_deref()),
        ("promotion", profile.promotion.as_deref()),
        ("partner_type", profile.partner_type.as_deref()),
        ("paypal_email", profile.paypal_email.as_deref()),
        ("code", Some(code.as_str())),
        ("exempt", affiliate.exempt_from_holds.then_some("yes")),
        ("was", Some(was.as_str())),
    ]);
    Ok(edit_form(&state, &who, &affiliate, raw.as_deref(), StatusCode::OK, &form))
}

fn edit_form(
    state: &PageState,
    who: &Staff,
    affiliate: &Affiliate,
    raw: Option<&str>,
    status: StatusCode,
    form: &FormView,
) -> Response {
    let types: Vec<(&str, &str)> = std::iter::once(("", "not said"))
        .chain(state.app.config().program.partner_types.iter().map(|one| (one.as_str(), one.as_str())))
        .collect();
    let content = json!({"id": affiliate.id, "name": affiliate.profile.name, "types": types, "form": form,
        "profile": affiliate.profile, "code": affiliate.code, "exempt": affiliate.exempt_from_holds});
    state.page_with(status, "staff/edit.html", &who.chrome("affiliates", raw), content)
}

pub async fn save(
    State(state): State<PageState>,
    PathId(id): PathId<AffiliateId>,
    mut act: Act,
) -> Result<Response, Fault> {
    need_either(&act.who)?;
    if ADDRESSES.into_iter().any(|field| act.form.ticked(field)) {
        act.need(Action::ChangeAddresses)?;
    }
    if OTHERS.into_iter().any(|field| act.form.ticked(field)) {
        act.need(Action::ChangeAffiliates)?;
    }
    // Another node may just have taken in what somebody else changed.
    state.app.follow_directory().await?;
    let present = state.app.directory().affiliate(id).cloned().ok_or(Fault::NotFound)?;
    let shown: Shown = serde_json::from_str(act.form.text("was")).map_err(|_| Fault::BadRequest)?;
    let change = read_change(&state, &mut act, &shown);
    if act.form.is_good() {
        if change == AffiliateChange::default() {
            return Ok(back(id, "unchanged"));
        }
        if shown.overwrites(&change, &Shown::of(&present)) {
            return Err(Fault::Conflict);
        }
        match act
            .submit(&state, Fact::AffiliateChanged(fact::AffiliateChanged { affiliate_id: id, change }))
            .await?
        {
            Outcome::Done => return Ok(back(id, "changed")),
            Outcome::Later => return Ok(back(id, "later")),
            Outcome::Refused(Some(Refusal::EmailTaken)) => {
                act.form.wrong("email", "Another affiliate has this e-mail.");
            }
            Outcome::Refused(Some(Refusal::CodeTaken)) => {
                act.form.wrong("code", "Another affiliate has this code.");
            }
            Outcome::Refused(_) => return Err(Fault::Conflict),
        }
    }
    let view = act.form.view();
    Ok(edit_form(&state, &act.who, &present, None, StatusCode::UNPROCESSABLE_ENTITY, &view))
}

/// The fields of those who may change where mail and payouts go, and those of who may change all else.
const ADDRESSES: [&str; 2] = ["email", "paypal_email"];
const OTHERS: [&str; 7] = ["name", "company", "website", "promotion", "partner_type", "code", "exempt"];

fn read_change(state: &PageState, act: &mut Act, shown: &Shown) -> AffiliateChange {
    let (addresses, others) = (act.who.may(Action::ChangeAddresses), act.who.may(Action::ChangeAffiliates));
    let form = &mut act.form;
    let (mut profile, mut code, mut exempt) = (shown.profile.clone(), shown.code.clone(), shown.exempt);
    if addresses {
        let email = form.changed_email("email", 254, Some(&shown.profile.email));
        profile.email = form.need("email", email, "Please give an e-mail address.");
        profile.paypal_email = form.changed_email("paypal_email", 127, shown.profile.paypal_email.as_deref());
    }
    if others {
        let name = form.line("name", 200);
        profile.name = form.need("name", name, "Please give a name.");
        profile.company = form.line("company", 200);
        profile.promotion = form.paragraph("promotion", 2_000);
        profile.website = form.line("website", 2_048).and_then(|text| {
            let address = web_address(&text);
            if address.is_none() {
                form.wrong("website", "This does not look like a web address, such as https://example.com.");
            }
            address
        });
        let partner_type = form.text("partner_type").to_owned();
        profile.partner_type = Some(partner_type).filter(|one| !one.is_empty());
        if let Some(one) = &profile.partner_type
            && !state.app.config().program.partner_types.contains(one)
            && shown.profile.partner_type.as_ref() != Some(one)
        {
            form.wrong("partner_type", "Please choose one of the list.");
        }
        match form.text("code").parse::<ReferralCode>() {
            Ok(typed) => code = typed,
            Err(_) => form.wrong("code", "A code has 3 to 32 letters, digits and dashes."),
        }
        exempt = form.ticked("exempt");
    }
    let profile = (profile != shown.profile).then_some(profile);
    AffiliateChange {
        before: profile.as_ref().map(|_| shown.profile.clone()),
        profile,
        code: Some(code).filter(|code| *code != shown.code),
        exempt_from_holds: (exempt != shown.exempt).then_some(exempt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_changed_meanwhile_is_refused() {
        let profile = Profile { name: "Ann".into(), email: "a@b.example".into(), ..Profile::default() };
        let shown = Shown { profile, code: "code-1".parse().expect("a literal"), exempt: false };
        let paid =
            |to: Option<&str>| Profile { paypal_email: to.map(str::to_owned), ..shown.profile.clone() };
        let change = |profile: Profile| AffiliateChange {
            before: Some(shown.profile.clone()),
            profile: Some(profile),
            ..AffiliateChange::default()
        };
        let named = Profile { name: "Ann Lee".into(), ..shown.profile.clone() };
        let now = |profile: Profile| Shown { profile, ..shown.clone() };
        let table = [
            (paid(Some("x@b.example")), shown.profile.clone(), false),
            (paid(Some("x@b.example")), paid(Some("y@b.example")), true),
            (paid(Some("x@b.example")), paid(Some("x@b.example")), false),
            (named.clone(), paid(Some("y@b.example")), false),
            (named, Profile { name: "Annie".into(), ..shown.profile.clone() }, true),
        ];
        for (typed, present, refused) in table {
            assert_eq!(shown.overwrites(&change(typed.clone()), &now(present)), refused, "{typed:?}");
        }
        let code = |text: &str| text.parse::<ReferralCode>().expect("a literal");
        let recoded = AffiliateChange { code: Some(code("code-2")), ..AffiliateChange::default() };
        assert!(!shown.overwrites(&recoded, &shown));
        assert!(shown.overwrites(&recoded, &Shown { code: code("code-3"), ..shown.clone() }));
    }
}
