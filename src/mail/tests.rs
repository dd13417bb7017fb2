use super::templates::{greeting, salutation, samples};
use super::*;
use std::path::Path;

fn templates() -> Templates {
    Templates::open(context(), Path::new("")).expect("our own templates")
}

fn context() -> Context {
    Context {
        program: "Example affiliate program".into(),
        company: "Example".into(),
        support: "help@example.com".into(),
        portal: "https://go.example.com/portal".into(),
        sign_in: "https://go.example.com/login".into(),
        referrals: "https://go.example.com/portal/referrals".into(),
        payouts: "https://go.example.com/portal/payouts".into(),
        staff_payouts: "https://staff.example.com/admin/payouts".into(),
        zone: "America/New_York".parse().expect("a zone"),
    }
}

fn letter(name: &str, message: crate::domain::mail::Message) -> crate::domain::mail::Letter {
    crate::domain::mail::Letter { to: "ann@example.com".into(), name: name.into(), person: None, message }
}

fn sender() -> Sender {
    Sender { from: "Affiliates <affiliates@example.com>".parse().expect("an address"), reply_to: None }
}

const LINK: &str = "https://go.example.com/activate?token=abc-123_xyz";

fn with(link: &str) -> Enclosed {
    let agreement = "THE AGREEMENT\n\n1. You earn.\nFair & square.\n".to_owned();
    Enclosed { link: Some(link.to_owned()), agreement: Some(agreement), due: Some("149.00 USD".to_owned()) }
}

#[test]
fn every_message_is_written_in_both_forms() {
    let templates = templates();
    for message in samples() {
        let kind = message.kind();
        let written = templates.letter(&letter("Ann Lee", message), &with(LINK)).expect(kind);
        assert!((5..=70).contains(&written.subject.chars().count()), "{kind}: {}", written.subject);
        assert!(written.text.starts_with("Hello Ann Lee,\n\n"), "{kind}: {}", written.text);
        assert!(written.html.contains("Hello Ann Lee,"), "{kind}");
        for form in [&written.text, &written.html] {
            assert!(form.contains("Example affiliate program"), "{kind}: {form}");
            assert!(!form.contains("{{") && !form.contains("{%"), "{kind}: {form}");
        }
        let brings_link =
            ["approved", "password_reset", "staff_password_reset", "confirm_email", "confirm_paypal"];
        for form in [&written.text, &written.html] {
            assert_eq!(form.contains("token=abc-123_xyz"), brings_link.contains(&kind), "{kind}: {form}");
        }
        assert!(written.html.len() < 8_000, "{kind}: {}", written.html.len());
    }
}

#[test]
fn every_kind_has_a_sample_and_a_template() {
    let kinds: std::collections::BTreeSet<_> =
        samples().iter().map(crate::domain::mail::Message::kind).collect();
    // Each kind has its name in one match, which the compiler keeps whole.
    let (_, names) = include_str!("../domain/mail.rs").split_once("fn kind(&self)").expect("the names");
    let names = names.split("\n    }\n").next().expect("its end").matches("Self::").count();
    assert_eq!(kinds.len(), names, "a sample of each kind");
}

#[test]
fn mails_have_golden_texts() {
    let golden = [
        (samples()[2].clone(), include_str!("tests/approved.txt")),
        (samples()[6].clone(), include_str!("tests/agreement_signed.txt")),
        (samples()[10].clone(), include_str!("tests/paypal_changed.txt")),
        (samples()[12].clone(), include_str!("tests/claim_decided.txt")),
        (samples()[21].clone(), include_str!("tests/link_disabled.txt")),
        (samples()[23].clone(), include_str!("tests/link_enabled.txt")),
    ];
    for (message, expected) in golden {
        let kind = message.kind();
        let written = templates().letter(&letter("Ann", message), &with(LINK)).expect(kind);
        let shown = format!("Subject: {}\n\n{}", written.subject, written.text);
        if std::env::var_os("UPDATE").is_some() {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/mail/tests/{kind}.txt"));
            std::fs::write(file, &shown).expect("it can be written");
        } else {
            assert_eq!(shown, expected, "{kind}; `UPDATE=1` writes it anew");
        }
    }
}

#[test]
fn a_signer_gets_the_whole_text() {
    let written = templates().letter(&letter("Ann", samples()[6].clone()), &with(LINK)).expect("written");
    assert!(written.text.contains("THE AGREEMENT\n\n1. You earn.\nFair & square.\n"), "{}", written.text);
    assert!(written.html.contains("1. You earn.\nFair &amp; square."), "{}", written.html);
}

#[test]
fn a_closed_affiliate_learns_why_and_what_is_due() {
    let message = crate::domain::mail::Message::Closed { reason: "You asked for it!".into() };
    let written = templates().letter(&letter("Ann", message.clone()), &with(LINK)).expect("written");
    for form in [&written.text, &written.html] {
        for said in ["You asked for it!", "149.00 USD", "to be paid with the next payout"] {
            assert!(form.contains(said), "{said}: {form}");
        }
    }
    let nothing = Enclosed { due: None, ..with(LINK) };
    let written = templates().letter(&letter("Ann", message), &nothing).expect("written");
    assert!(written.text.contains("Nothing is due"), "{}", written.text);
}

#[test]
fn only_the_mail_about_a_payment_that_arrived_says_paid() {
    for message in samples() {
        let kind = message.kind();
        // The agreement contains its own text.
        let enclosed = Enclosed { agreement: Some(String::new()), ..with(LINK) };
        let written = templates().letter(&letter("Ann", message), &enclosed).expect(kind);
        for form in [written.text, written.html] {
            let says_paid = form.to_lowercase().replace("to be paid", "").contains("paid");
            assert_eq!(says_paid, kind == "payout_paid", "{kind}: {form}");
        }
    }
}

#[test]
fn bad_news_says_whom_to_write_to_beside_the_reason() {
    let mut nobody = context();
    nobody.support = String::new();
    let silent = Templates::open(nobody, Path::new("")).expect("our own templates");
    let reason = || "No reason.".to_owned();
    let at = DateTime::UNIX_EPOCH;
    for message in [
        crate::domain::mail::Message::Rejected { reason: reason() },
        crate::domain::mail::Message::Suspended { reason: reason() },
        crate::domain::mail::Message::Closed { reason: reason() },
        crate::domain::mail::Message::ClaimDecided { granted: false, reason: reason() },
        crate::domain::mail::Message::LinkDisabled { label: None, made_at: at, reason: reason() },
    ] {
        let kind = message.kind();
        let written = templates().letter(&letter("Ann", message.clone()), &with(LINK)).expect(kind);
        assert_eq!(written.text.matches("write to help@example.com").count(), 1, "{kind}: {}", written.text);
        let written = silent.letter(&letter("Ann", message), &with(LINK)).expect(kind);
        assert!(written.text.contains("answer this mail"), "{kind}: {}", written.text);
    }
}

#[test]
fn markup_in_what_people_type_stays_text() {
    use crate::domain::mail::{Asked, Message};
    let evil = "<script>alert(1)</script>\"'&";
    let templates = templates();
    let texts = [
        Message::Rejected { reason: evil.into() },
        Message::Suspended { reason: evil.into() },
        Message::LinkDisabled {
            label: Some(evil.into()),
            made_at: DateTime::UNIX_EPOCH,
            reason: evil.into(),
        },
        Message::LinkEnabled { label: Some(evil.into()), made_at: DateTime::UNIX_EPOCH },
        Message::Closed { reason: evil.into() },
        Message::ClaimDecided { granted: false, reason: evil.into() },
        Message::ConfirmEmail { new_email: evil.into(), asked: Asked::default() },
        Message::ConfirmPaypal { new_email: evil.into(), first: false, asked: Asked::default() },
        Message::EmailChanged { new_email_masked: evil.into(), held: true },
        Message::AgreementSigned {
            version: evil.into(),
            sha256: evil.into(),
            name: evil.into(),
            at: DateTime::UNIX_EPOCH,
        },
    ];
    for message in texts {
        let kind = message.kind();
        let written = templates
            .letter(
                &letter("Ann & <b>Bob</b>", message),
                &Enclosed { agreement: Some(evil.to_owned()), ..with(evil) },
            )
            .expect(kind);
        assert!(!written.html.contains("<script>"), "{kind}: {}", written.html);
        assert!(written.html.contains("&lt;script&gt;"), "{kind}: {}", written.html);
        assert!(!written.html.contains("<b>"), "{kind}");
    }
}

#[test]
fn no_stranger_advertises_through_a_greeting() {
    for name in ["Ann", "J.R. Smith", "Zoë d'Arc", "李雷", "Dr. Ann Lee, PhD"] {
        assert_eq!(greeting(name), name);
    }
    let long = "a".repeat(61);
    for name in ["Visit https://spam.example", "spam.example", "ann@spam.example", "<b>Ann</b>", &long] {
        assert_eq!(greeting(name), "", "{name}");
    }
    assert_eq!(greeting(" Ann\r\nBcc: x "), "");
    assert_eq!(greeting(" Ann\r\n Lee\t"), "Ann Lee");
}

#[test]
fn people_who_are_not_approved_are_greeted_by_names_only() {
    use crate::domain::mail::Message;
    let refusal = Message::Rejected { reason: "no".into() };
    for message in [Message::ApplicationReceived, refusal.clone()] {
        for name in ["Ann", "Maria del Carmen Lopez", "J.R. Smith", "\u{5d0}\u{5d1} Cohen"] {
            assert_eq!(salutation(&letter(name, message.clone())), name);
        }
        for name in ["call 555 0100 now", "Ann 2", "please read what we sell here", "win at spam.example"] {
            assert_eq!(salutation(&letter(name, message.clone())), "", "{name}");
        }
    }
    let written = templates()
        .letter(&letter("your parcel waits, call now", refusal), &Enclosed::default())
        .expect("a letter");
    assert!(written.text.starts_with("Hello,\n"), "{}", written.text);
    assert_eq!(
        salutation(&letter("Agency 24 of New York City", Message::Approved)),
        "Agency 24 of New York City"
    );
}

#[test]
fn nothing_gets_into_a_header_that_is_not_its_value() {
    let written = Written {
        subject: "Hello\r\nBcc: thief@evil.example\r\n\r\nbody".into(),
        text: "Hi.".into(),
        html: "<p>Hi.".into(),
    };
    for name in [
        "Ann\r\nBcc: thief@evil.example",
        "\"Ann\" <thief@evil.example>,",
        "Ann\u{2028}\0",
        "=?utf-8?Q?a=0D=0Ab?=",
    ] {
        let mail = Outgoing {
            id: "019b",
            kind: "approved",
            to: "ann@example.com",
            name,
            date: DateTime::UNIX_EPOCH,
            written: &written,
        };
        let message = compose(&sender(), &mail).expect("an address");
        let to: Vec<String> = message.envelope().to().iter().map(ToString::to_string).collect();
        assert_eq!(to, ["ann@example.com"], "{name:?}");
        let text = String::from_utf8(message.formatted()).expect("a text");
        let headers = text.split("\r\n\r\n").next().expect("headers");
        let names: Vec<&str> = headers
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split(':').next().expect("a name"))
            .collect();
        assert_eq!(
            names,
            ["From", "To", "Subject", "Message-ID", "Date", "Auto-Submitted", "MIME-Version", "Content-Type"],
            "{headers}"
        );
        assert!(headers.contains("Message-ID: <019b@example.com>"), "{headers}");
    }
}

#[test]
fn an_address_that_is_none_is_refused_for_good() {
    let written = Written { subject: "Hi".into(), text: "Hi".into(), html: "Hi".into() };
    // Older versions accepted some of these, and facts contain them.
    for to in [
        "",
        "ann",
        "ann.@example.com",
        "a..b@example.com",
        "an\u{200b}n@example.com",
        "ann@example.com, thief@evil.example",
        "ann@example.com\r\nRCPT TO:<thief@evil.example>",
    ] {
        let mail = Outgoing {
            id: "1",
            kind: "approved",
            to,
            name: "",
            date: DateTime::UNIX_EPOCH,
            written: &written,
        };
        let refused = compose(&sender(), &mail).expect_err(to);
        assert_eq!(refused.fault, Fault::MailForGood(Undelivered::BadAddress), "{to}");
    }
}

#[test]
fn mail_to_an_international_domain_goes_to_its_ascii_form() {
    let written = Written { subject: "Hi".into(), text: "Hi".into(), html: "Hi".into() };
    let mail = Outgoing {
        id: "1",
        kind: "approved",
        to: "ann@bücher.example",
        name: "Ann",
        date: DateTime::UNIX_EPOCH,
        written: &written,
    };
    let message = compose(&sender(), &mail).expect("an address");
    assert_eq!(message.envelope().to()[0].to_string(), "ann@xn--bcher-kva.example");
    assert!(message.formatted().is_ascii(), "so that no server needs to offer anything");
}

#[test]
fn a_template_of_the_programs_own_replaces_ours() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("reinstated.txt"), "Back!\n\nDear {{ name }}, go on.\n").expect("a file");
    let templates = Templates::open(context(), dir.path()).expect("good templates");
    let written = templates
        .letter(&letter("Ann", crate::domain::mail::Message::Reinstated), &with(LINK))
        .expect("written");
    assert_eq!((&*written.subject, &*written.text), ("Back!", "Dear Ann, go on.\n"));
    assert!(written.html.contains("Hello Ann"), "the HTML is ours");

    std::fs::write(dir.path().join("approved.html"), "{{ nonsense }}").expect("a file");
    let refused = Templates::open(context(), dir.path()).expect_err("an unknown name").to_string();
    assert!(refused.contains("approved.html") && refused.contains("line 1"), "{refused}");
    let refused =
        Templates::open(context(), Path::new("/nowhere/at/all")).expect_err("no directory").to_string();
    assert!(refused.contains("/nowhere/at/all"), "{refused}");
}
