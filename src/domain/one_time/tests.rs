use super::*;
use crate::domain::id::{AffiliateId, StaffId};
use proptest::prelude::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a literal")
}

fn keyring() -> Keyring {
    Keyring::new("k1", &[("k1".to_owned(), vec![7; 32])], &[]).expect("good keys")
}

const PRESENT: Present<'static> = Present {
    credential_version: 3,
    email: "ann@example.com",
    email_changes: 1,
    paypal_email: Some("pay@example.com"),
    paypal_changes: 2,
};

fn made(kind: LinkKind) -> OneTime {
    let person = if kind == LinkKind::InviteStaff {
        Person::Staff(StaffId::from_bits(9))
    } else {
        Person::Affiliate(AffiliateId::from_bits(7))
    };
    let address = (!kind.sets_password()).then(|| "new@example.com".to_owned());
    OneTime::new(kind, person, PRESENT, address, at("2026-01-01T00:00:00.5Z"))
}

#[test]
fn links_have_golden_letters() {
    let table = [(LinkKind::Activate, GOLDEN_ACTIVATE), (LinkKind::ConfirmEmail, GOLDEN_CONFIRM)];
    for (kind, golden) in table {
        assert_eq!(made(kind).sign(&keyring()), golden);
        assert_eq!(OneTime::verify(golden, &keyring()), Ok(made(kind)));
    }
}

const GOLDEN_ACTIVATE: &str =
    "IWq5AQAAAAAAAAAHAAAAAGle84AAAAADOjI8R_VDX67GQUhHHDks5FilwxZqOAUTVqO7T5S3iA38A-93YPHRMZO8JToqYrI1";
const GOLDEN_CONFIRM: &str = "JGq5AQAAAAAAAAAHAAAAAGlXCoAAAAADOjI8R_VDX67GQUhHHDks5G5ld0BleGFtcGxlLmNvbcUoS4mZQ33jmaQES1DRcEwTySHExOBnOZI5zEJx2z7x";

#[test]
fn a_link_reads_back_and_no_bit_of_it_may_change() {
    for kind in LinkKind::ALL {
        let link = made(kind);
        let text = link.sign(&keyring());
        assert_eq!(OneTime::verify(&text, &keyring()), Ok(link));
        let raw = URL_SAFE_NO_PAD.decode(&text).expect("our letters");
        for bit in 0..raw.len() * 8 {
            let mut flipped = raw.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flipped = URL_SAFE_NO_PAD.encode(flipped);
            assert_eq!(OneTime::verify(&flipped, &keyring()), Err(OneTimeError::Bad), "{kind:?} bit {bit}");
        }
        for cut in 0..text.len() {
            assert_eq!(OneTime::verify(&text[..cut], &keyring()), Err(OneTimeError::Bad), "{kind:?} {cut}");
        }
        for longer in [format!("{text}A"), format!("{text}AAAA"), format!(" {text}"), format!("{text}=")] {
            assert_eq!(OneTime::verify(&longer, &keyring()), Err(OneTimeError::Bad), "{longer}");
        }
    }
}

#[test]
fn a_link_is_held_against_what_is() {
    let now = at("2026-01-01T00:30:00Z");
    let other = |change: fn(&mut Present<'static>)| {
        let mut present = PRESENT;
        change(&mut present);
        present
    };
    let version = other(|present| present.credential_version = 4);
    let email = other(|present| present.email = "bob@example.com");
    let letters = other(|present| present.email = " Ann@Example.COM");
    let paypal = other(|present| present.paypal_email = None);
    let came_back = other(|present| present.email_changes = 3);
    let pays_again = other(|present| present.paypal_changes = 4);
    for kind in LinkKind::ALL {
        let link = made(kind);
        assert_eq!(link.check(PRESENT, now), Ok(()));
        assert_eq!(link.check(came_back, now), Err(OneTimeError::Spent), "the old address again");
        assert_eq!(link.check(letters, now), Ok(()));
        assert_eq!(link.check(version, now), Err(OneTimeError::Spent));
        assert_eq!(link.check(email, now), Err(OneTimeError::Spent));
        let pays = if kind == LinkKind::ConfirmPaypal { Err(OneTimeError::Spent) } else { Ok(()) };
        assert_eq!(link.check(paypal, now), pays);
        assert_eq!(link.check(pays_again, now), pays, "{kind:?}");
        let end = at("2026-01-01T00:00:00Z") + kind.lifetime();
        assert_eq!(link.check(PRESENT, end - TimeDelta::milliseconds(1)), Ok(()), "{kind:?}");
        assert_eq!(link.check(PRESENT, end), Err(OneTimeError::Expired), "{kind:?}");
        // An old link does not reveal what has happened since.
        assert_eq!(link.check(version, end), Err(OneTimeError::Expired), "{kind:?}");
    }
}

#[test]
fn only_keys_of_ours_that_are_not_retired_count() {
    let keys = [("k1".to_owned(), vec![7; 32]), ("k2".to_owned(), vec![8; 32])];
    let text = made(LinkKind::Reset).sign(&keyring());
    let rotated = Keyring::new("k2", &keys, &[]).expect("good keys");
    assert!(OneTime::verify(&text, &rotated).is_ok());
    let retired = Keyring::new("k2", &keys, &["k1".to_owned()]).expect("good keys");
    assert_eq!(OneTime::verify(&text, &retired), Err(OneTimeError::Bad));
    let foreign = Keyring::new("k1", &[("k1".to_owned(), vec![9; 32])], &[]).expect("good keys");
    assert_eq!(OneTime::verify(&text, &foreign), Err(OneTimeError::Bad));
}

#[test]
fn tokens_of_other_purposes_are_no_links() {
    use crate::domain::id::LinkId;
    use crate::domain::token::LinkClaim;
    let claim = LinkClaim { affiliate: AffiliateId::from_bits(7), link: LinkId::from_bits(1) };
    let link = keyring().sign_link(&claim);
    assert_eq!(OneTime::verify(&link, &keyring()), Err(OneTimeError::Bad));
    let one_time = made(LinkKind::Reset).sign(&keyring());
    assert!(keyring().verify_link(&one_time).is_err());
    assert!(keyring().verify_click(&one_time).is_err());
    assert!(keyring().verify_visitor(&one_time).is_err());
}

#[test]
fn a_log_sees_no_address() {
    assert!(!format!("{:?}", made(LinkKind::ConfirmEmail)).contains('@'));
}

proptest! {
    #[test]
    fn nothing_else_is_a_link(text in "[A-Za-z0-9_-]{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(OneTime::verify(&text, &keyring()), Err(OneTimeError::Bad));
        let text = URL_SAFE_NO_PAD.encode(bytes);
        prop_assert_eq!(OneTime::verify(&text, &keyring()), Err(OneTimeError::Bad));
    }
}
