use super::*;

fn ring(current: &str, names: &[&str], retired: &[&str]) -> Result<Keyring, KeyError> {
    let keys: Vec<_> = names.iter().map(|name| ((*name).to_owned(), Sha256::digest(name).to_vec())).collect();
    let retired: Vec<_> = retired.iter().map(|name| (*name).to_owned()).collect();
    Keyring::new(current, &keys, &retired)
}

fn k1() -> Keyring {
    ring("k1", &["k1"], &[]).expect("a good keyring")
}

fn link() -> LinkClaim {
    LinkClaim { affiliate: AffiliateId::from_bits(0x0123_4567_89ab_cdef), link: LinkId::from_bits(42) }
}

fn click(number: u128) -> Click {
    let id = ClickId(Uuid::from_u128(0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f + number));
    Click { id, affiliate: link().affiliate, link: link().link }
}

fn click_claim() -> ClickClaim {
    ClickClaim { click: click(0), visitor: VisitorId(Uuid::from_u128(7)) }
}

fn visitor(last: u128) -> VisitorClaim {
    VisitorClaim { visitor: VisitorId(Uuid::from_u128(7)), first: click(0), last: click(last) }
}

/// Whether the text is accepted for any purpose.
fn accepted(ring: &Keyring, text: &str) -> bool {
    ring.verify_link(text).is_ok() || ring.verify_click(text).is_ok() || ring.verify_visitor(text).is_ok()
}

fn one_of_each(ring: &Keyring) -> [String; 4] {
    [
        ring.sign_link(&link()),
        ring.sign_click(&click_claim()),
        ring.sign_visitor(&visitor(0)),
        ring.sign_visitor(&visitor(1)),
    ]
}

#[test]
fn tokens_have_golden_letters() {
    let golden = [
        "EWq5ASNFZ4mrze8AAAAAAAAAKkbmEwyzu2kVjEuK20dMkVk",
        "Emq5AX8i4nmwfMOYxNwMDAc5jwEjRWeJq83vAAAAAAAAACoAAAAAAAAAAAAAAAAAAAAH-2anOqApykbefkjZWawonw",
        "E2q5AAAAAAAAAAAAAAAAAAAABwF_IuJ5sHzDmMTcDAwHOY8BI0VniavN7wAAAAAAAAAql0d_qNs1CKiiBm6Mgzzd8Q",
        "FGq5AAAAAAAAAAAAAAAAAAAABwF_IuJ5sHzDmMTcDAwHOY8BI0VniavN7wAAAAAAAAAqAX8i4nmwfMOYxNwMDAc5kAEjRWeJq83vAAAAAAAAACqmWQXwhque1SFVIyMr_zXi",
    ];
    assert_eq!(one_of_each(&k1()), golden);
    assert_eq!(golden.map(str::len), [LINK_LETTERS, CLICK_LETTERS, CLICK_LETTERS, VISITOR_LETTERS]);
}

#[test]
fn the_format_is_plain_hmac_over_the_bytes_before() {
    let secret = Sha256::digest("k1");
    let purposes = ["link", "click", "visitor", "visitor"];
    for (text, purpose) in one_of_each(&k1()).iter().zip(purposes) {
        let raw = URL_SAFE_NO_PAD.decode(text).expect("base64");
        let (signed, signature) = raw.split_at(raw.len() - MAC);
        let derived = hmac(&secret).chain_update(format!("counterfoil token {purpose}")).finalize();
        let whole = hmac(&derived.into_bytes()).chain_update(signed).finalize().into_bytes();
        assert_eq!(signature, &whole[..MAC], "{purpose}");
    }
}

#[test]
fn tokens_read_back_what_was_signed() {
    let ring = k1();
    let [a_link, a_click, new, returning] = one_of_each(&ring);
    assert_eq!(ring.verify_link(&a_link), Ok(link()));
    assert_eq!(ring.verify_click(&a_click), Ok(click_claim()));
    assert_eq!(ring.verify_visitor(&new), Ok(visitor(0)));
    assert_eq!(ring.verify_visitor(&returning), Ok(visitor(1)));
}

#[test]
fn appending_writes_the_same_letters() {
    let ring = k1();
    let mut out = Vec::new();
    out.extend_from_slice(ring.sign_link(&link()).as_bytes());
    ring.write_click(&click_claim(), &mut out);
    ring.write_visitor(&visitor(0), &mut out);
    ring.write_visitor(&visitor(1), &mut out);
    assert_eq!(String::from_utf8(out), Ok(one_of_each(&ring).concat()));
}

#[test]
fn no_token_with_one_bit_flipped_is_accepted() {
    let ring = k1();
    for text in one_of_each(&ring) {
        let raw = URL_SAFE_NO_PAD.decode(&text).expect("base64");
        for bit in 0..raw.len() * 8 {
            let mut raw = raw.clone();
            raw[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepted(&ring, &URL_SAFE_NO_PAD.encode(raw)), "bit {bit} of {text}");
        }
        for bit in 0..text.len() * 8 {
            let mut letters = text.clone().into_bytes();
            letters[bit / 8] ^= 1 << (bit % 8);
            if let Ok(text) = String::from_utf8(letters) {
                assert!(!accepted(&ring, &text), "bit {bit} of {text}");
            }
        }
    }
}

#[test]
fn no_token_cut_or_extended_is_accepted() {
    let ring = k1();
    for text in one_of_each(&ring) {
        for len in 0..text.len() {
            assert!(!accepted(&ring, &text[..len]), "{len} letters of {text}");
            assert!(!accepted(&ring, &text[len + 1..]), "{text} from letter {len}");
        }
        for tail in ["A", "AA", "AAA", "AAAA", "=", "==", "/", ".", " ", "\n", "\0", &text] {
            assert!(!accepted(&ring, &format!("{text}{tail}")), "{text}{tail}");
            assert!(!accepted(&ring, &format!("{tail}{text}")), "{tail}{text}");
        }
    }
}

#[test]
fn no_token_serves_another_purpose() {
    let ring = k1();
    let [a_link, a_click, new, returning] = one_of_each(&ring);
    for text in [&a_click, &new, &returning] {
        assert_eq!(ring.verify_link(text), Err(TokenError::OtherPurpose));
    }
    for text in [&a_link, &new, &returning] {
        assert_eq!(ring.verify_click(text), Err(TokenError::OtherPurpose));
    }
    for text in [&a_link, &a_click] {
        assert_eq!(ring.verify_visitor(text), Err(TokenError::OtherPurpose));
    }
    // It is also refused after a change of its kind.
    for text in [&a_link, &a_click, &new, &returning] {
        let mut raw = URL_SAFE_NO_PAD.decode(text).expect("base64");
        let signed_as = raw[0];
        for header in (0..=u8::MAX).filter(|header| *header != signed_as) {
            raw[0] = header;
            assert!(!accepted(&ring, &URL_SAFE_NO_PAD.encode(&raw)), "{header:#x} {text}");
        }
    }
}

#[test]
fn keys_rotate_and_retire() {
    let rotated = ring("k2", &["k1", "k2"], &[]).expect("a good keyring");
    let revoked = ring("k2", &["k1", "k2"], &["k1"]).expect("a good keyring");
    let gone = ring("k2", &["k2"], &["k1"]).expect("a good keyring");
    let stranger = ring("k2", &["k2"], &[]).expect("a good keyring");
    for text in one_of_each(&k1()) {
        assert!(accepted(&rotated, &text), "{text}");
        for ring in [&revoked, &gone, &stranger] {
            assert!(!accepted(ring, &text), "{text}");
        }
    }
    let text = k1().sign_link(&link());
    assert_eq!(revoked.verify_link(&text), Err(TokenError::RetiredKey));
    assert_eq!(gone.verify_link(&text), Err(TokenError::RetiredKey));
    assert_eq!(stranger.verify_link(&text), Err(TokenError::UnknownKey));
    assert_eq!(k1().verify_link(&rotated.sign_link(&link())), Err(TokenError::UnknownKey));
}

#[test]
fn another_key_of_the_same_name_does_not_verify() {
    let other = Keyring::new("k1", &[("k1".into(), vec![9; 32])], &[]).expect("a good keyring");
    assert_eq!(k1().verify_link(&other.sign_link(&link())), Err(TokenError::BadSignature));
}

#[test]
fn only_the_base64_that_we_write_is_read() {
    let ring = k1();
    for text in one_of_each(&ring) {
        for changed in
            [text.replace('_', "/"), text.replace('-', "+"), format!("{text}="), format!("{text}==")]
        {
            assert!(changed == text || !accepted(&ring, &changed), "{changed}");
        }
    }
    // 35 and 67 bytes leave unused bits in the last character: set, they would be a second spelling.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for text in one_of_each(&ring) {
        let spellings = alphabet.iter().filter(|letter| {
            let last = char::from(**letter);
            accepted(&ring, &format!("{}{last}", &text[..text.len() - 1]))
        });
        assert_eq!(spellings.count(), 1, "{text}");
    }
}

#[test]
fn no_random_token_is_accepted() {
    let ring = k1();
    // xorshift64*: the same tokens on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let [header, first, second] = [Kind::Link.header(), tag("k1")[0], tag("k1")[1]];
    for round in 0..100_000_u32 {
        let len = [35, 67, 99, 20 + (random() % 90) as usize][(round % 4) as usize];
        let mut raw: Vec<u8> =
            std::iter::repeat_with(|| random().to_be_bytes()).flatten().take(len).collect();
        // Half of them pass all checks but that of the signature.
        if round % 2 == 0 {
            let kind = [header, header + 1, header + 3][(round / 2 % 3) as usize];
            raw[..3].copy_from_slice(&[kind, first, second]);
        }
        assert!(!accepted(&ring, &URL_SAFE_NO_PAD.encode(&raw)), "round {round}");
    }
}

#[test]
fn keyrings_that_can_not_work_are_refused() {
    let short = vec![("k1".to_owned(), vec![1; 31])];
    assert_eq!(Keyring::new("k1", &short, &[]).err(), Some(KeyError::Short("k1".into())));
    assert_eq!(ring("k3", &["k1", "k2"], &[]).err(), Some(KeyError::NoCurrent("k3".into())));
    assert_eq!(ring("k1", &["k1"], &["k1"]).err(), Some(KeyError::CurrentRetired("k1".into())));
    assert_eq!(ring("k1", &["k1", "k1"], &[]).err(), Some(KeyError::SameTag("k1".into(), "k1".into())));
}

#[test]
fn two_names_with_one_tag_are_refused() {
    let mut seen = std::collections::HashMap::new();
    let (one, other) = (0..)
        .find_map(|number| {
            let name = format!("key-{number}");
            seen.insert(tag(&name), name.clone()).map(|earlier| (earlier, name))
        })
        .expect("tags are two bytes");
    let expected = Some(KeyError::SameTag(one.clone(), other.clone()));
    assert_eq!(ring(&one, &[&one, &other], &[]).err(), expected);
    // Otherwise the retired key's tokens would be checked with the other key.
    assert_eq!(ring(&one, &[&one], &[&other]).err(), expected);
}

#[test]
fn a_keyring_does_not_print_its_keys() {
    assert_eq!(format!("{:?}", k1()), "Keyring { keys: 1, .. }");
}
