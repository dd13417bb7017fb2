//! `/apply`: asking to join. The answer is the same for everybody, known or not.

use crate::app::people::{ActError, NewAffiliate};
use crate::http::pages::session::Client;
use crate::http::pages::{Form, Frame, PageError, PageState, see_other};
use axum::extract::State;
use axum::response::Response;
use minijinja::context;
use minijinja::value::{Serde, Value};

/// Shows the empty form.
pub async fn show(State(state): State<PageState>) -> Response {
    page(&state, &Form::default())
}

/// Takes an application in.
pub async fn send(
    State(state): State<PageState>,
    client: Client,
    mut form: Form,
) -> Result<Response, PageError> {
    let Some(new) = read(&mut form, &state.app.config().program.partner_types) else {
        return Ok(page(&state, &form));
    };
    // People don't see this field; programs that fill in every field they find do.
    if !form.text("fax").is_empty() {
        return Ok(see_other("/apply/thanks"));
    }
    match state.app.apply_as_affiliate(new, client.ip).await {
        Ok(()) | Err(ActError::Deferred) => Ok(see_other("/apply/thanks")),
        Err(ActError::TooMany) => {
            let sentence =
                "There were many applications from your network. Please send yours again in an hour.";
            form.too_often("form", sentence);
            Ok(page(&state, &form))
        }
        Err(error) => Err(error.into()),
    }
}

/// Says what happens next.
pub async fn thanks(State(state): State<PageState>) -> Response {
    state.page("public/thanks.html", &Frame::default(), context! {})
}

/// What an application says: all but where payouts go.
fn read(form: &mut Form, partner_types: &[String]) -> Option<NewAffiliate> {
    let name = form.need("name", "Please tell us your name.");
    let email = form.need("email", "Please tell us your e-mail address.");
    let company = form.need("company", "Please tell us your company, or your own name if you have none.");
    let website = form.need("website", "Please tell us where your audience finds you.");
    let partner_type = form.text("partner_type").to_owned();
    if !partner_types.contains(&partner_type) {
        form.wrong("partner_type", "Please choose what describes you best.");
    }
    let promotion = form.need("promotion", "Please tell us in a few words how you will promote us.");
    let paypal_email = form.take("paypal_email");
    Some(NewAffiliate {
        name: name?,
        email: email?,
        company: Some(company?),
        website: Some(website?),
        promotion: Some(promotion?),
        partner_type: Some(partner_type),
        paypal_email,
        code: None,
        exempt_from_holds: None,
        active: None,
        agreement_accepted_at: None,
    })
    .filter(|_| form.is_good())
}

fn page(state: &PageState, form: &Form) -> Response {
    let content = context! {
        form => Value::from(Serde(form)),
        partner_types => Value::from(Serde(choices(&state.app.config().program.partner_types))),
    };
    state.page_with(form.status, "public/apply.html", &Frame::default(), content)
}

/// The kinds of partner with their words, after one that is no choice: nobody becomes a kind by overlooking it.
pub fn choices(partner_types: &[String]) -> Vec<(&str, String)> {
    let known = partner_types.iter().map(|name| (name.as_str(), in_words(name)));
    std::iter::once(("", "Please choose".to_owned())).chain(known).collect()
}

/// `media_buyer` as `Media buyer`.
pub fn in_words(name: &str) -> String {
    let spaced = name.replace(['_', '-'], " ");
    let mut letters = spaced.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_found_wrong_by_itself() {
        let kinds = ["affiliate".to_owned(), "agency".to_owned()];
        let mut form = Form::read(
            b"name=Ann&email=ann@b.example&website=b.example&partner_type=agency&promotion=By+mail%0D%0Aand+more&company=Lee",
        )
        .expect("a form");
        let new = read(&mut form, &kinds).expect("a whole application");
        let [website, promotion, company] = [
            new.website.as_ref().map(ToString::to_string),
            new.promotion.as_ref().map(ToString::to_string),
            new.company.as_ref().map(ToString::to_string),
        ];
        assert_eq!(website.as_deref(), Some("https://b.example/"));
        assert_eq!(promotion.as_deref(), Some("By mail\nand more"));
        assert_eq!((company.as_deref(), new.paypal_email), (Some("Lee"), None));

        let mut empty = Form::read(b"partner_type=").expect("a form");
        assert!(read(&mut empty, &kinds).is_none());
        let needed = ["name", "email", "company", "website", "partner_type", "promotion"];
        assert_eq!(empty.order, needed, "only where payouts go may come later");
        assert_eq!(choices(&kinds)[0], ("", "Please choose".to_owned()));

        let mut form = Form::read(
            b"name=&email=ann&website=javascript:x&partner_type=pirate&promotion=&paypal_email=x&company=a%00b",
        )
        .expect("a form");
        assert!(read(&mut form, &kinds).is_none());
        let fields = ["name", "email", "company", "website", "partner_type", "promotion", "paypal_email"];
        assert_eq!(form.order, fields, "told in the order of the page");
    }

    #[test]
    fn kinds_of_partner_are_shown_in_words() {
        assert_eq!(in_words("media_buyer"), "Media buyer");
        assert_eq!(in_words(""), "");
    }
}
