//! `/agreement`: read in full, signed by a typed name and a tick; what was signed is read again later.

use crate::app::people::ActError;
use crate::domain::affiliate::Status;
use crate::domain::person::{Agreement, Signature};
use crate::http::pages::session::{Client, Portal, Signed, Visit};
use crate::http::pages::{Form, Frame, PageError, Part, parameter, see_other};
use axum::response::Response;
use minijinja::context;
use minijinja::value::{Serde, Value};

/// Shows the text that was signed, or with the form the one that is to be; `?version=` shows one that was signed before.
pub async fn show(visit: Visit<Portal>) -> Result<Response, PageError> {
    let asked = Some(parameter(visit.raw.as_deref(), "version")).filter(|version| !version.is_empty());
    let paypal = Form::with([("paypal_email", visit.who.affiliate.profile.paypal_email.as_deref())]);
    match asked {
        None if visit.who.must_sign => Ok(to_sign(&visit, &paypal)),
        asked => {
            let version = asked.unwrap_or_else(|| visit.app.agreement().version.clone());
            let signed = visit.who.affiliate.signatures.iter().find(|one| one.version == version);
            let signature = signed.ok_or(PageError::NotFound)?;
            // Its document is written before anybody signs.
            let text = visit.app.signed_text(signature).await?.ok_or(PageError::Unavailable)?;
            Ok(page(&visit, &Form::default(), &text, Some(signature)))
        }
    }
}

/// Signs.
pub async fn sign(client: Client, Signed { visit, mut form }: Signed<Portal>) -> Result<Response, PageError> {
    if !visit.who.must_sign {
        return Ok(see_other("/portal"));
    }
    let name = form.need("signature", "Please type your full name as your signature.");
    let settles_paypal = is_first(&visit.who) && form.has("paypal_email");
    let paypal_email = form.take("paypal_email");
    if !form.has("agree") {
        form.wrong("agree", "Please tick the box if you agree.");
    }
    let agreement = visit.app.agreement();
    let read = form.text("sha256");
    if form.text("version") != agreement.version || !(read.is_empty() || read == agreement.sha256) {
        form.wrong(
            "form",
            "The agreement has changed since you opened this page. Please read it again before you sign.",
        );
    }
    let Some(name) = name.filter(|_| form.is_good()) else {
        return Ok(to_sign(&visit, &form));
    };
    let refused = |error| match error {
        ActError::Refused(_) => PageError::Conflict,
        error => error.into(),
    };
    if settles_paypal {
        visit.app.settle_paypal(visit.who.affiliate.id, paypal_email).await.map_err(refused)?;
    }
    visit.app.sign_agreement(visit.who.affiliate.id, &name, client.ip).await.map_err(refused)?;
    Ok(see_other("/portal?done=signed"))
}

/// Whether it is the signature that opens the portal.
fn is_first(portal: &Portal) -> bool {
    portal.affiliate.status() == Status::Activated
}

fn to_sign(visit: &Visit<Portal>, form: &Form) -> Response {
    page(visit, form, visit.app.agreement(), None)
}

/// A text, with the signature under it or with the form that signs it.
fn page(
    visit: &Visit<Portal>,
    form: &Form,
    agreement: &Agreement,
    signature: Option<&Signature>,
) -> Response {
    let portal = &visit.who;
    let chrome = Frame { part: Part::Public, csrf: portal.session.csrf.clone(), ..Frame::default() };
    let content = context! {
        form => Value::from(Serde(form)),
        must_sign => signature.is_none(),
        first => is_first(portal),
        signed_before => !portal.affiliate.signatures.is_empty(),
        paragraphs => paragraphs(&agreement.text),
        version => agreement.version.clone(),
        sha256 => agreement.sha256.clone(),
        signature => Value::from(Serde(signature)),
    };
    visit.state.page_with(form.status, "public/agreement.html", &chrome, content)
}

/// The text's paragraphs, each of one or more lines: a blank line ends a paragraph; within one, lines that were only
/// broken at a margin are joined, and short first lines and points of a list stand alone.
fn paragraphs(text: &str) -> Vec<Vec<String>> {
    let mut paragraphs: Vec<Vec<String>> = vec![Vec::new()];
    for line in text.lines().map(str::trim) {
        let Some(lines) = paragraphs.last_mut() else { continue };
        let is_point = line.starts_with(['-', '*', '\u{2022}']);
        let after_heading = lines.len() == 1 && lines[0].chars().count() < HEADING;
        match lines.last_mut() {
            _ if line.is_empty() => paragraphs.push(Vec::new()),
            Some(last) if !is_point && !after_heading => {
                last.push(' ');
                last.push_str(line);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    paragraphs.retain(|lines| !lines.is_empty());
    paragraphs
}

/// A first line of fewer letters than this was not broken at a margin.
const HEADING: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_shown_whole_and_its_heading_apart() {
        let text = "TITLE\n\n1. The program\nA long sentence that was broken at the margin of the file it\ncame from.\n\n- one\n- two\n";
        let whole = "A long sentence that was broken at the margin of the file it came from.";
        let expected = [vec!["TITLE"], vec!["1. The program", whole], vec!["- one", "- two"]];
        assert_eq!(paragraphs(text), expected);
        assert!(paragraphs("").is_empty());
    }
}
