//! What a reviewer should know of an application before it is approved. Hints never decide.

use crate::app::Directory;
use crate::domain::affiliate::{Affiliate, Profile, Status};
use crate::domain::attribution::domain_of;
use crate::domain::id::AffiliateId;
use crate::domain::mail_domains::is_generic;
use crate::http::pages::table::Tone;
use serde::Serialize;
use std::sync::Arc;

/// Something worth a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// How much.
    pub tone: Tone,
    /// In words.
    pub text: String,
    /// The other affiliate that it is about.
    pub other: Option<Other>,
}

/// Another affiliate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Other {
    /// Its id.
    pub id: AffiliateId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: &'static str,
}

/// At most so many hints about others: a domain may be shared by hundreds.
const MOST: usize = 12;

/// All affiliates with what they might share, read once for a whole queue.
pub struct Known(Vec<(Arc<Affiliate>, Marks)>);

/// What two affiliates might share, in the form in which it is compared.
struct Marks {
    email: String,
    paypal: Option<String>,
    /// The e-mail's, unless anyone may have an address there.
    domain: Option<String>,
    site: Option<String>,
    name: String,
    company: Option<String>,
}

impl Known {
    /// All that the directory knows.
    pub fn of(directory: &Directory) -> Self {
        let marked = |one: Arc<Affiliate>| {
            let marks = Marks::of(&one.profile);
            (one, marks)
        };
        Self(directory.affiliates().into_iter().map(marked).collect())
    }
    /// The hints about an affiliate, the weightiest first.
    pub fn hints(&self, affiliate: &Affiliate) -> Vec<Hint> {
        let (mut found, marks) = (own(&affiliate.profile), Marks::of(&affiliate.profile));
        let others = self.0.iter().filter(|(other, _)| other.id != affiliate.id);
        found.extend(others.filter_map(|(other, theirs)| shared(&marks, other, theirs)).take(MOST));
        found.sort_by_key(|hint| match hint.tone {
            Tone::Bad => 0,
            Tone::Warn => 1,
            _ => 2,
        });
        found
    }
}

impl Marks {
    fn of(profile: &Profile) -> Self {
        let plain_company = profile.company.as_deref().map(plain);
        Self {
            email: profile.email.trim().to_lowercase(),
            paypal: profile.paypal_email.as_deref().map(|paypal| paypal.trim().to_lowercase()),
            domain: domain_of(&profile.email).filter(|domain| !is_generic(domain)),
            site: profile.website.as_deref().and_then(host_of),
            name: plain(&profile.name),
            company: plain_company.filter(|name| !name.is_empty()),
        }
    }
}

/// What the application tells by itself.
fn own(profile: &Profile) -> Vec<Hint> {
    let mut found = Vec::new();
    let mut say = |tone, text: String| found.push(Hint { tone, text, other: None });
    let mail = domain_of(&profile.email).unwrap_or_default();
    let site = profile.website.as_deref().and_then(host_of);
    if is_generic(&mail) {
        say(Tone::Info, format!("The e-mail is at {mail}, where anyone can have an address."));
    } else if let Some(site) = site.as_ref().filter(|site| !belong_together(site, &mail)) {
        say(Tone::Warn, format!("The e-mail is at {mail}, the web site is {site}."));
    }
    if site.is_none() {
        say(Tone::Info, "No web site was given.".to_owned());
    }
    if profile.promotion.is_none() {
        say(Tone::Info, "They do not say how they will promote.".to_owned());
    }
    if let Some(paypal) = profile.paypal_email.as_deref().filter(|paypal| !same(paypal, &profile.email)) {
        let domain = domain_of(paypal).unwrap_or_default();
        let text = if domain == mail {
            "Payouts would go to another address than the e-mail, at the same domain.".to_owned()
        } else {
            format!("Payouts would go to another domain than the e-mail's: {domain}.")
        };
        say(Tone::Warn, text);
    }
    found
}

/// What is shared with another affiliate; the weightiest of it.
fn shared(ours: &Marks, other: &Affiliate, theirs: &Marks) -> Option<Hint> {
    let both = |one: &Option<String>, two: &Option<String>| one.is_some() && one == two;
    let crossed = ours.paypal.as_ref() == Some(&theirs.email) || theirs.paypal.as_ref() == Some(&ours.email);
    let (tone, text) = if both(&ours.paypal, &theirs.paypal) {
        (Tone::Bad, "Has the same PayPal e-mail as".to_owned())
    } else if crossed {
        (Tone::Bad, "An address is the e-mail of one and the PayPal e-mail of the other:".to_owned())
    } else if both(&ours.domain, &theirs.domain) {
        (
            Tone::Warn,
            format!("Its mail domain {} is also that of", ours.domain.as_deref().unwrap_or_default()),
        )
    } else if both(&ours.site, &theirs.site) {
        (Tone::Warn, format!("Its web site {} is also that of", ours.site.as_deref().unwrap_or_default()))
    } else if ours.name == theirs.name {
        (Tone::Warn, "Has the same name as".to_owned())
    } else if both(&ours.company, &theirs.company) {
        (Tone::Warn, "Has the same company as".to_owned())
    } else {
        return None;
    };
    // One that was turned down or left comes back: that weighs more.
    let gone = matches!(other.status(), Status::Rejected | Status::Suspended | Status::Closed);
    let tone = if gone { Tone::Bad } else { tone };
    let status = other.status().code();
    let other = Other { id: other.id, name: other.profile.name.clone(), status };
    Some(Hint { tone, text, other: Some(other) })
}

/// A web site's host, without `www.`.
fn host_of(website: &str) -> Option<String> {
    let url = url::Url::parse(website).ok()?;
    let host = url.host_str()?.to_lowercase();
    Some(host.strip_prefix("www.").map_or(host.clone(), str::to_owned))
}

/// Whether one is the other, or a part of it.
fn belong_together(site: &str, mail: &str) -> bool {
    let part = |whole: &str, of: &str| whole.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'));
    site == mail || part(site, mail) || part(mail, site)
}

fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// A name's letters and digits, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(email: &str, website: Option<&str>, paypal: Option<&str>) -> Profile {
        Profile {
            name: "Ann Lee".into(),
            email: email.into(),
            website: website.map(Into::into),
            paypal_email: paypal.map(Into::into),
            promotion: Some("A newsletter".into()),
            ..Profile::default()
        }
    }
    fn texts(profile: &Profile) -> Vec<String> {
        own(profile).into_iter().map(|hint| hint.text).collect()
    }

    #[test]
    fn an_application_tells_by_itself() {
        let good = profile("ann@lee.example", Some("https://www.lee.example/blog"), Some("ann@lee.example"));
        assert_eq!(texts(&good), Vec::<String>::new());
        let sub = profile("ann@mail.lee.example", Some("https://lee.example"), None);
        assert_eq!(texts(&sub), Vec::<String>::new());
        let generic = profile("ann@gmail.com", None, Some("pay@lee.example"));
        let found = texts(&generic);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(own(&generic).iter().any(|hint| hint.tone == Tone::Warn && hint.text.contains("Payouts")));
        let near = profile("ann@lee.example", Some("https://lee.example"), Some("bob@lee.example"));
        assert_eq!(own(&near).iter().map(|hint| hint.tone).collect::<Vec<_>>(), [Tone::Warn]);
        assert!(found[0].contains("gmail.com") && found[2].contains("lee.example"), "{found:?}");
        let other = profile("ann@lee.example", Some("https://notlee.example"), None);
        assert_eq!(texts(&other), ["The e-mail is at lee.example, the web site is notlee.example."]);
    }

    fn affiliate(bits: u64, profile: &Profile) -> Affiliate {
        let applied = crate::domain::affiliate::StatusChange {
            at: chrono::DateTime::default(),
            status: Status::Applied,
            reason: None,
        };
        // As JSON, so that a new field with a default needs no change here.
        serde_json::from_value(serde_json::json!({
            "id": AffiliateId::from_bits(bits), "profile": profile, "code": "abc-1",
            "default_link": crate::domain::id::LinkId::from_bits(bits), "history": [applied],
        }))
        .expect("an affiliate")
    }

    fn between(one: &Affiliate, other: &Affiliate) -> Option<Hint> {
        shared(&Marks::of(&one.profile), other, &Marks::of(&other.profile))
    }

    #[test]
    fn what_is_shared_with_others_is_said_once_and_the_weightiest_of_it() {
        let ann =
            affiliate(1, &profile("ann@lee.example", Some("https://lee.example"), Some("Pay@lee.example")));
        let table = [
            (profile("bob@else.example", None, Some("pay@LEE.example")), Some(("same PayPal", Tone::Bad))),
            (profile("pay@lee.example", None, None), Some(("is the e-mail of one", Tone::Bad))),
            (profile("bob@lee.example", None, None), Some(("mail domain", Tone::Warn))),
            (
                profile("b@else.example", Some("https://www.lee.example/x"), None),
                Some(("web site", Tone::Warn)),
            ),
            (profile("b@else.example", None, None), Some(("same name", Tone::Warn))),
        ];
        for (theirs, expected) in table {
            let found = between(&ann, &affiliate(2, &theirs));
            let (text, tone) = expected.expect("all of them share something");
            let found = found.unwrap_or_else(|| panic!("nothing found for {theirs:?}"));
            assert!(found.text.contains(text) && found.tone == tone, "{found:?}");
        }
        let mut stranger = profile("b@else.example", None, None);
        stranger.name = "Bob".into();
        assert_eq!(between(&ann, &affiliate(2, &stranger)), None);
        // A generic domain is shared by everybody.
        let mut one = profile("x@gmail.com", None, None);
        one.name = "X".into();
        let mut two = profile("y@gmail.com", None, None);
        two.name = "Y".into();
        assert_eq!(between(&affiliate(1, &one), &affiliate(2, &two)), None);
    }
}
