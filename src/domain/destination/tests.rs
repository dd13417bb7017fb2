use super::*;
use DestinationError::{Host as NotListed, NotAUrl, Reserved, Scheme, UserInfo};

fn allowed() -> AllowList {
    let hosts = [
        "www.example.com",
        "shop.example.com:8443",
        "127.0.0.1:3000",
        "[::1]",
        "localhost:80",
        "bücher.example",
    ];
    AllowList::new(&hosts.map(str::to_owned)).expect("hosts")
}

fn page(text: &str) -> Destination {
    allowed().destination(text).expect("an allowed destination")
}

fn location(page: &Destination, raw: &str, token: Option<&str>) -> String {
    let mut out = Vec::new();
    let token = token.map(|token| move |out: &mut Vec<u8>| out.extend_from_slice(token.as_bytes()));
    page.write(&Query::parse(raw), token, &mut out);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn links_lead_only_to_listed_places() {
    let table = [
        ("https://www.example.com", Ok("https://www.example.com/")),
        ("https://www.example.com/plans?a=b#c", Ok("https://www.example.com/plans?a=b#c")),
        ("https://WWW.Example.COM:443/", Ok("https://www.example.com/")),
        ("https://shop.example.com:8443/x", Ok("https://shop.example.com:8443/x")),
        ("https://bücher.example/", Ok("https://xn--bcher-kva.example/")),
        ("http://127.0.0.1:3000/x", Ok("http://127.0.0.1:3000/x")),
        ("http://[::1]/", Ok("http://[::1]/")),
        ("http://localhost/", Ok("http://localhost/")),
        ("https://www.example.com/a%20b", Ok("https://www.example.com/a%20b")),
        ("", Err(NotAUrl)),
        ("/plans", Err(NotAUrl)),
        ("//www.example.com/", Err(NotAUrl)),
        ("www.example.com", Err(NotAUrl)),
        ("https:///", Err(NotAUrl)),
        ("https://www.example.com/a b", Err(NotAUrl)),
        ("https://www.example.com\\@evil.test/", Err(NotAUrl)),
        ("https://www.exa\tmple.com/", Err(NotAUrl)),
        (" https://www.example.com/", Err(NotAUrl)),
        ("https://www.example.com/\r\nSet-Cookie:a", Err(NotAUrl)),
        ("http://www.example.com/", Err(Scheme)),
        ("ftp://www.example.com/", Err(Scheme)),
        ("https:www.example.com", Err(NotAUrl)),
        ("https:/www.example.com", Err(NotAUrl)),
        ("javascript:alert(1)", Err(NotAUrl)),
        ("javascript://www.example.com/%0aalert(1)", Err(Scheme)),
        ("data:text/html,x", Err(NotAUrl)),
        ("https://user@www.example.com/", Err(UserInfo)),
        ("https://user:word@www.example.com/", Err(UserInfo)),
        ("https://:word@www.example.com/", Err(UserInfo)),
        ("https://www.example.com@evil.test/", Err(UserInfo)),
        ("https://evil.test/", Err(NotListed)),
        ("https://www.example.com.evil.test/", Err(NotListed)),
        ("https://example.com/", Err(NotListed)),
        ("https://www.example.com./", Err(NotListed)),
        ("https://www.example.com:8443/", Err(NotListed)),
        ("https://shop.example.com/", Err(NotListed)),
        ("https://127.0.0.1/", Err(NotListed)),
        ("http://127.0.0.1:3001/", Err(NotListed)),
        ("http://0177.0.0.1:3001/", Err(NotListed)),
        ("https://www。example。com.evil.test/", Err(NotListed)),
        ("https://www.example.com/?a=1&cfoil=x", Err(Reserved)),
        ("https://www.example.com/?cf%6fil=x", Err(Reserved)),
    ];
    for (text, expected) in table {
        let found = allowed().destination(text);
        assert_eq!(found.as_ref().map(Destination::as_str), expected.as_ref().map(|url| *url), "{text}");
    }
    assert_eq!(allowed().destination(&format!("https://www.example.com/{}", "a".repeat(1024))), Err(NotAUrl));
}

#[test]
fn the_list_holds_hosts_and_nothing_else() {
    for entry in
        ["", "https://a.b", "a.b/", "a.b/c", "u@a.b", "a b", "a.b:x", "a.b:99999", "*.a.b", "a.b?c", "a.b#c"]
    {
        assert_eq!(AllowList::new(&[entry.to_owned()]), Err(BadHost(entry.to_owned())), "{entry}");
    }
}

#[test]
fn parameters_pass_through_and_the_token_comes_last() {
    let plain = page("https://www.example.com/plans");
    let rich = page("https://www.example.com/plans?a=b#top");
    let table = [
        (&plain, "", None, "https://www.example.com/plans"),
        (&plain, "", Some("T"), "https://www.example.com/plans?cfoil=T"),
        (&plain, "utm_source=x&sub1=y", Some("T"), "https://www.example.com/plans?utm_source=x&cfoil=T"),
        (&plain, "utm_source=x", None, "https://www.example.com/plans?utm_source=x"),
        (&rich, "", Some("T"), "https://www.example.com/plans?a=b&cfoil=T#top"),
        (&rich, "c=d", Some("T"), "https://www.example.com/plans?a=b&c=d&cfoil=T#top"),
        (&rich, "cfoil=forged&cf%6fil=forged", Some("T"), "https://www.example.com/plans?a=b&cfoil=T#top"),
        (&rich, "to=/deep", Some("T"), "https://www.example.com/deep?cfoil=T"),
        (&rich, "to=/deep?x=y", Some("T"), "https://www.example.com/deep?x=y&cfoil=T"),
        (&rich, "to=/deep?x=y&z=1", Some("T"), "https://www.example.com/deep?x=y&z=1&cfoil=T"),
        (&rich, "to=%2Fdeep%3Fx%3Dy%23part", Some("T"), "https://www.example.com/deep?x=y&cfoil=T#part"),
        (&rich, "to=/a/../b/./c", None, "https://www.example.com/b/c"),
        (&rich, "to=/caf%C3%A9+x", None, "https://www.example.com/caf%C3%A9%20x"),
        (&rich, "to=/?u=https%3A%2F%2Fevil.test", None, "https://www.example.com/?u=https://evil.test"),
        (&rich, "to=/a?cfoil=forged", Some("T"), "https://www.example.com/plans?a=b&cfoil=T#top"),
        (&rich, "to=deep", None, "https://www.example.com/plans?a=b#top"),
        (&rich, "to=", None, "https://www.example.com/plans?a=b#top"),
    ];
    for (page, raw, token, expected) in table {
        assert_eq!(location(page, raw, token), expected, "{raw}");
    }
}

/// Three spellings of an attack in a query: as it is, escaped once, escaped twice.
fn spellings(attack: &str) -> [String; 3] {
    let escape = |text: &str| -> String {
        let digits: Vec<char> = crate::domain::program::hex(text.as_bytes()).chars().collect();
        digits.chunks(2).flat_map(|pair| ['%', pair[0], pair[1]]).collect()
    };
    let twice = escape(attack).replace('%', "%25");
    // `&` would end the parameter, as it would in a request.
    [attack.replace('&', "%26"), escape(attack), twice]
}

fn attacks() -> Vec<String> {
    let hosts = [
        "evil.test",
        "evil.test:443",
        "www.example.com.evil.test",
        "www.example.com@evil.test",
        "[::1]",
        "2130706433",
        "еxample.com",
        "evil。test",
    ];
    let prefixes = [
        "//",
        "///",
        "////",
        "/\\",
        "\\\\",
        "\\/",
        "/\t/",
        "/\n/",
        "/\r\n/",
        "\t//",
        " //",
        "/ /",
        "/%2f",
        "/%5c",
        "/%09/",
        "/.//",
        "/..//",
        "/../..//",
        "/%2e//",
        "/%2e%2e//",
        "/a/..//",
        "/a/../..//",
        "/;//",
        "/@",
        "@",
        ":",
        "https:",
        "https:/",
        "https://",
        "https:///",
        "https:\\\\",
        "http://",
        "HTTPS://",
        "//user:pass@",
        "/\u{0}/",
        "/\u{7f}/",
        "/\u{2028}/",
        "/\u{ff0f}",
        "/\u{2044}",
        "/\u{200b}/",
        "javascript://",
        "data:text/html,//",
        "//\u{e9}.",
        "/%0d%0aLocation:%20https://",
        "/\r\nLocation: https://",
        "/x\r\nSet-Cookie: a=b;",
        "/x%0aSet-Cookie:",
        "/x\u{560d}\u{560a}Set-Cookie:",
        "?//",
        "#//",
        ".",
        "..//",
        "/:80//",
        "/?//",
        "/#//",
    ];
    let wholes = [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://evil.test/x",
        "about:blank",
        "mailto:a@b.c",
        "\u{0}",
        "%",
        "%%",
        "%zz",
        "/%",
        "/%f",
        "/%00",
        "/\u{202e}moc.live//",
        "/<script>",
        "/\"onload=x",
        "/'",
        "/`",
        "/|",
        "/{}",
        "/^",
        "/?\r\n",
        "/#\r\n",
        "/x?a=\r\nb",
        "/x#%0d%0a",
        "//",
        "/",
        "\\",
        "",
        "///////",
        "/%252f%252fevil.test",
        "/%25252f",
    ];
    let made = prefixes.iter().flat_map(|prefix| hosts.iter().map(move |host| format!("{prefix}{host}/x")));
    made.chain(wholes.map(str::to_owned)).flat_map(|attack| spellings(&attack)).collect()
}

#[test]
fn no_query_leads_off_the_list_or_breaks_the_header() {
    let pages = [
        page("https://www.example.com"),
        page("https://www.example.com/plans?a=b#top"),
        page("https://shop.example.com:8443/x"),
        page("http://127.0.0.1:3000/"),
    ];
    let attacks = attacks();
    assert!(attacks.len() > 1_000, "{}", attacks.len());
    for attack in &attacks {
        for name in ["to", "t%6f", "cfoil", "sub1", "utm_source", "next"] {
            for page in &pages {
                let raw = format!("{name}={attack}&x=y");
                let written = location(page, &raw, Some("T"));
                assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{raw:?} gave {written:?}");
                assert!(written.starts_with(&format!("{}/", page.origin())), "{raw:?} gave {written:?}");
                let url = Url::parse(&written).expect("an absolute URL");
                assert_eq!(url.origin(), page.url.origin(), "{raw:?} gave {written:?}");
                assert!(
                    url.username().is_empty() && !url.path().starts_with("//"),
                    "{raw:?} gave {written:?}"
                );
                let tokens = url.query_pairs().filter(|(name, _)| name == CLICK_PARAMETER);
                assert_eq!(tokens.count(), 1, "{raw:?} gave {written:?}");
            }
        }
        // Neither is it accepted as a link's destination.
        let one_host = AllowList::new(&["www.example.com".to_owned()]).expect("a host");
        assert!(one_host.destination(attack).is_err(), "{attack:?}");
    }
}

#[test]
fn what_can_not_be_a_path_is_ignored() {
    let page = page("https://www.example.com/plans");
    for to in [
        "//evil.test",
        "/\\evil.test",
        "%2f%2fevil.test",
        "/%5cevil.test",
        "/%252fevil.test",
        "/%255cevil.test",
        "/.//evil.test",
        "/%09/evil.test",
        "/%250d%250aX:y",
        "/a?b=%250a",
        "evil.test",
        "https://evil.test",
        "%00/",
        "/%ff",
        "/a%0ab",
    ] {
        assert_eq!(location(&page, &format!("to={to}"), None), "https://www.example.com/plans", "{to}");
    }
    let long = format!("to=/{}", "a".repeat(1024));
    assert_eq!(location(&page, &long, None), "https://www.example.com/plans");
}
