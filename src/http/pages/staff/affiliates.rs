//! Affiliates: found, looked at, changed, suspended, closed.

mod lines;
mod links;
mod list;
mod page;
mod payouts;
mod referrals;

pub use lines::{add as add_line, take_back as take_back_line};
pub use links::{ask_off, create as new_link, off, on};
pub use list::list;
pub use page::page;
pub use payouts::{clear, paid_elsewhere};
pub use referrals::list as referrals;

use super::{Act, Staff, Visit, done, reason};
use crate::app::people::{ActError, ChangedAffiliate};
use crate::domain::account::Refusal;
use crate::domain::affiliate::{Affiliate, Profile, Step};
use crate::domain::fact::{AffiliateChange, AffiliateChanged, AffiliateStep};
use crate::domain::id::{AffiliateId, ReferralCode};
use crate::domain::person::Person;
use crate::http::admin::affiliates::StepName;
use crate::http::pages::{Form, PageError, PageState, see_other};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;

const PATH: &str = "/admin/affiliates";

pub async fn step(Act { visit, mut form }: Act<(AffiliateId, StepName)>) -> Result<Response, PageError> {
    let (id, name) = visit.at;
    let (step, code) = match name {
        StepName::Suspend => (Step::Suspend, "suspended"),
        StepName::Reinstate => (Step::Reinstate, "reinstated"),
        StepName::Close => (Step::Close, "closed"),
        StepName::Approve => return Err(PageError::NotFound),
    };
    let reason = match step {
        Step::Reinstate => form.take("reason"),
        _ => reason(&mut form),
    };
    if step == Step::Close && !form.has("sure") {
        form.wrong("sure", "Please confirm: an affiliate that was closed can't come back.");
    }
    let affiliate = visit.app.directory().affiliate(id).cloned().ok_or(PageError::NotFound)?;
    if !form.is_good() {
        return page::show(&visit, &affiliate, &form).await;
    }
    let step = AffiliateStep { affiliate_id: id, step, reason: reason.map(String::from) };
    done(visit.app.act(&visit.actor(), step).await, &path(id), code)
}

fn path(id: AffiliateId) -> String {
    format!("{PATH}/{id}")
}

pub async fn mail(Act { visit, .. }: Act<AffiliateId>) -> Result<Response, PageError> {
    let id = visit.affiliate()?.id;
    done(visit.app.send_activation(&visit.actor(), id).await, &path(id), "mailed")
}

pub async fn sign_out(Act { visit, .. }: Act<AffiliateId>) -> Result<Response, PageError> {
    let id = visit.affiliate()?.id;
    done(visit.app.sign_out_everywhere(&visit.actor(), Person::Affiliate(id)).await, &path(id), "out")
}

pub async fn note(Act { visit, mut form }: Act<AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    let Some(text) = form.need("note", "Please write something.") else {
        return page::show(&visit, &affiliate, &form).await;
    };
    done(visit.app.add_note(&visit.actor(), visit.at, text).await, &path(visit.at), "noted")
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
        let profile = change.profile.as_ref().is_some_and(|typed| {
            let mut all = fields(&self.profile).into_iter().zip(fields(typed)).zip(fields(&present.profile));
            all.any(|((shown, typed), now)| shown != typed && shown != now && typed != now)
        });
        let code =
            change.code.as_ref().is_some_and(|typed| self.code != present.code && *typed != present.code);
        profile || code
    }
}

pub async fn edit(visit: Visit<Staff, AffiliateId>) -> Result<Response, PageError> {
    let affiliate = visit.affiliate()?;
    let code = affiliate.code.to_string();
    let was = json!(Shown::of(&affiliate)).to_string();
    let form = Form::with(fields(&affiliate.profile)).or([
        ("code", Some(code.as_str())),
        ("exempt", affiliate.exempt_from_holds.then_some("yes")),
        ("was", Some(was.as_str())),
    ]);
    Ok(edit_form(&visit, &affiliate, &form))
}

/// The fields of a profile, by their names in the form.
fn fields(profile: &Profile) -> [(&'static str, Option<&str>); 7] {
    [
        ("name", Some(&profile.name)),
        ("email", Some(&profile.email)),
        ("company", profile.company.as_deref()),
        ("website", profile.website.as_deref()),
        ("promotion", profile.promotion.as_deref()),
        ("partner_type", profile.partner_type.as_deref()),
        ("paypal_email", profile.paypal_email.as_deref()),
    ]
}

fn edit_form(visit: &Visit<Staff, AffiliateId>, affiliate: &Affiliate, form: &Form) -> Response {
    let types: Vec<(&str, &str)> = std::iter::once(("", "not said"))
        .chain(visit.app.config().program.partner_types.iter().map(|one| (one.as_str(), one.as_str())))
        .collect();
    let content = json!({"id": affiliate.id, "name": affiliate.profile.name, "types": types, "form": form,
        "profile": affiliate.profile, "code": affiliate.code, "exempt": affiliate.exempt_from_holds});
    visit.page_with(form.status, "staff/edit.html", "affiliates", content)
}

pub async fn save(Act { visit, mut form }: Act<AffiliateId>) -> Result<Response, PageError> {
    // Another node may just have taken in what somebody else changed.
    visit.app.follow_directory().await?;
    let present = visit.affiliate()?;
    let shown: Shown = serde_json::from_str(form.text("was")).map_err(|_| PageError::BadRequest)?;
    if let Some(change) = read_change(&visit, &mut form, &shown) {
        if change == AffiliateChange::default() {
            return Ok(see_other(&format!("{}?done=unchanged", path(visit.at))));
        }
        if shown.overwrites(&change, &Shown::of(&present)) {
            return Err(PageError::Conflict);
        }
        match visit.app.act(&visit.actor(), AffiliateChanged { affiliate_id: visit.at, change }).await {
            Err(ActError::Refused(Refusal::EmailTaken)) => {
                form.wrong("email", "Another affiliate has this e-mail.");
            }
            Err(ActError::Refused(Refusal::CodeTaken)) => {
                form.wrong("code", "Another affiliate has this code.");
            }
            ended => return done(ended, &path(visit.at), "changed"),
        }
    }
    Ok(edit_form(&visit, &present, &form))
}

/// What the form changes of what it showed. Of the two parts of the form the one that a member may not change is not
/// there, and stays as it is.
fn read_change(state: &PageState, form: &mut Form, shown: &Shown) -> Option<AffiliateChange> {
    let mut changed = ChangedAffiliate::default();
    if form.has("email") {
        changed.email = form.need("email", "Please give an e-mail address.");
    }
    if form.has("paypal_email") {
        changed.paypal_email = Some(form.take("paypal_email"));
    }
    if form.has("name") {
        changed.name = form.need("name", "Please give a name.");
        changed.company = Some(form.take("company"));
        changed.website = Some(form.take("website"));
        changed.promotion = Some(form.take("promotion"));
        let partner_type = form.text("partner_type").to_owned();
        changed.partner_type = Some(Some(partner_type).filter(|one| !one.is_empty()));
        let code: Option<ReferralCode> = form.text("code").parse().ok();
        if code.is_none() {
            form.wrong("code", "A code has 3 to 32 letters, digits and dashes.");
        }
        changed.code = code.filter(|code| *code != shown.code);
        changed.exempt_from_holds = Some(form.has("exempt")).filter(|exempt| *exempt != shown.exempt);
    }
    let change = changed.made_to(&shown.profile, &state.app.config().program.partner_types);
    let change = change.map_err(|faults| form.wrong_as(faults)).ok();
    change.filter(|_| form.is_good())
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
