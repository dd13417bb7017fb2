use super::*;
use std::os::unix::fs::PermissionsExt;

fn with(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("counterfoil.toml");
    std::fs::write(&path, file).expect("a file");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_layers(Some(&path), environment).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_a_working_configuration() {
    let config = Config::from_layers(None, []).expect("the defaults");
    assert_eq!(config.store_url(), Ok(StoreUrl::Sqlite("data/store.sqlite".into())));
    assert_eq!(config.rules().tier(25).rates.len(), 3);
    assert_eq!(config.rules().tiers[1].from, 25);
    assert_eq!(config.attribution_rules().window_ms, 7_776_000_000);
    assert_eq!(config.listen.public_base(), "http://127.0.0.1:8080");
    assert!(!config.listen.is_secure());
    assert_eq!(config.aggregate.at, NaiveTime::from_hms_opt(4, 15, 0));
    assert_eq!(config.program.first_month, None);
}

#[test]
fn the_example_for_production_is_accepted() {
    let example = include_str!("../../config/production.toml");
    let config = with(example, &[]).expect("the example");
    assert!(config.listen.is_secure());
    assert_eq!(config.keys.current, "k2");
}

#[test]
fn an_internal_listener_beyond_loopback_has_encrypted_pages_or_none() {
    let open = "[listen]\ninternal = \"10.0.0.5:8081\"\n";
    with(&format!("{open}staff_url = \"https://staff.example\""), &[]).expect("a proxy ends TLS");
    with(&format!("{open}[pages]\nstaff = false"), &[]).expect("there are no pages");
    with("[listen]\ninternal = \"[::1]:8081\"", &[]).expect("nobody else reaches it");
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = "[store]\nurl = \"redis://a\"\ntimeout_ms = 300\n[program]\nmark_days = 30";
    let config = with(
        file,
        &[
            ("COUNTERFOIL__STORE__URL", "redis-cluster://me:pw@a:1,b:2"),
            ("COUNTERFOIL__PROGRAM__DESTINATIONS", "www.calltrackingmetrics.com, b.example"),
            ("COUNTERFOIL__LISTEN__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
            ("COUNTERFOIL__LISTEN__REUSE_PORT", "true"),
            ("COUNTERFOIL_CONFIG", "not one of ours"),
        ],
    )
    .expect("good layers");
    assert_eq!(config.store.timeout_ms, 300);
    assert_eq!(config.program.mark_days, 30);
    assert_eq!(config.program.destinations.len(), 2);
    assert_eq!(config.listen.trusted_proxies.len(), 1);
    assert!(config.listen.reuse_port);
    let url = Secret::new("redis-cluster://me:pw@a:1,b:2");
    assert_eq!(config.store_url(), Ok(StoreUrl::Redis(url)));
}

#[test]
fn a_secret_given_in_the_environment_replaces_its_file() {
    let key = "ab".repeat(32);
    let config =
        with("[keys]\nk1_file = \"/nowhere\"", &[("COUNTERFOIL__KEYS__K1", &key)]).expect("good layers");
    assert!(matches!(config.keys.given.get("k1"), Some(Given::Here(_))));
}

/// A file, an environment variable or none, and what the one-line message must name.
type Wrong = (&'static str, Option<(&'static str, &'static str)>, &'static [&'static str]);

#[test]
fn what_is_wrong_is_named_in_one_line() {
    let table: &[Wrong] = &[
        ("[store]\nulr = \"x\"", None, &["store", "ulr", "counterfoil.toml"]),
        ("stroe = 1", None, &["stroe"]),
        ("", Some(("COUNTERFOIL__STORE__ULR", "x")), &["ulr", "COUNTERFOIL__STORE__ULR"]),
        (
            "",
            Some(("COUNTERFOIL__STORE__TIMEOUT_MS", "soon")),
            &["COUNTERFOIL__STORE__TIMEOUT_MS", "whole number"],
        ),
        ("", Some(("COUNTERFOIL__PROGRAM", "x")), &["COUNTERFOIL__PROGRAM"]),
        ("[store]\nurl = \"x\"\nurl_file = \"y\"", None, &["store.url", "store.url_file", "both"]),
        ("[store]\ntimeout_ms = \"x\"", None, &["store.timeout_ms"]),
        ("[store\n", None, &["line 1"]),
        ("[mail]\noff = [\"approved\"]", None, &["mail.off", "approved", "payout_sent"]),
        ("[store]\nurl = \"mysql://x\"", None, &["store.url"]),
        ("[listen]\npublic_url = \"http://go.example.com\"", None, &["listen.public_url", "https"]),
        ("[listen]\npublic_url = \"https://go.example.com/x\"", None, &["listen.public_url"]),
        ("[listen]\ninternal = \"127.0.0.1:8080\"", None, &["listen.internal"]),
        ("[listen]\ntrusted_proxies = [\"10.0.0.0/40\"]", None, &["listen.trusted_proxies"]),
        ("[program]\ntimezone = \"America/New_Yrok\"", None, &["program.timezone", "IANA"]),
        ("[program]\ncurrency = \"usd\"", None, &["program.currency", "ISO 4217"]),
        ("[program]\ncurrency = \"JPY\"", None, &["program.currency"]),
        ("[program]\ndestinations = []", None, &["program.destinations"]),
        ("[program]\ndestinations = [\"https://x.example\"]", None, &["program.destinations"]),
        ("[program]\nlanding = \"https://other.example/\"", None, &["program.landing", "destinations"]),
        ("[program]\nlanding = \"javascript:alert(1)\"", None, &["program.landing"]),
        ("[program]\nwindow_days = 0", None, &["program.window_days", "1"]),
        ("[program]\nmark_days = 4000", None, &["program.mark_days", "3650"]),
        ("[program]\nmodel = \"best\"", None, &["program.model", "last_click"]),
        ("[program]\nfirst_month = \"2026-13\"", None, &["program.first_month", "2026-04"]),
        ("[program]\nminimum_payout = \"25.001\"", None, &["program.minimum_payout", "39.00"]),
        ("[holds]\npaid_ads = \"no\"", None, &["holds.paid_ads"]),
        ("[program]\ntiers = []", None, &["program.tiers", "from = 0"]),
        ("[[program.tiers]]\nfrom = 1\nrates = {}", None, &["program.tiers", "from = 0"]),
        (
            "[[program.tiers]]\nfrom = 0\nrates = {}\n[[program.tiers]]\nfrom = 0\nrates = {}",
            None,
            &["program.tiers", "ascending"],
        ),
        ("[[program.tiers]]\nfrom = 0\nrates = { growth = 99.0 }", None, &["program.tiers[0].rates"]),
        ("[[program.tiers]]\nfrom = 0\nrates = { growth = \"-1.00\" }", None, &["program.tiers", "growth"]),
        (
            "[[program.tiers]]\nfrom = 0\nrates = { growth = \"999999999999999.99\" }",
            None,
            &["program.tiers", "growth", "1000000.00"],
        ),
        (
            "[[program.tiers]]\nfrom = 0\nrates = { growth = \"1000000.01\" }",
            None,
            &["program.tiers", "growth"],
        ),
        (
            "[[program.tiers]]\nfrom = 0\nrates = { Growth = \"99.00\", growth = \"1.00\" }",
            None,
            &["program.tiers[0].rates", "growth", "twice"],
        ),
        (
            "[[program.tiers]]\nfrom = 0\nrates = { \"GROWTH \" = \"99.00\", growth = \"99.00\" }",
            None,
            &["program.tiers[0].rates", "twice"],
        ),
        (
            "[[program.tiers]]\nfrom = 0\nrates = { growth = \"1.00\", pro = \"2.00\" }\n[[program.tiers]]\nfrom = 25\nrates = { growth = \"2.00\" }",
            None,
            &["program.tiers", "pro", "25"],
        ),
        (
            "[events]\naliases = { Churned = \"canceled\", churned = \"activated\" }",
            None,
            &["events.aliases", "hurned", "twice"],
        ),
        ("[keys]\ncurrent = \"k2\"\nk1_file = \"x\"", None, &["keys.current", "k2_file"]),
        ("[keys]\ncurrent = \"first\"", None, &["keys", "k1 to k255"]),
        ("[keys]\nsecond = \"x\"", None, &["keys", "second"]),
        ("[keys]\nretired = [\"k1\"]", None, &["keys.retired"]),
        ("[keys]\nk1 = \"abc\"", None, &["keys.k1", "64 hex"]),
        ("[cookie]\ndomain = \"example.com\"", None, &["cookie.domain"]),
        ("[cookie]\nname = \"a b\"", None, &["cookie.name"]),
        ("[events]\nignore = [\"\"]", None, &["events.ignore", "invoice.*"]),
        ("[events]\naliases = { Cancelled = \"activated\" }", None, &["events.aliases", "Cancelled"]),
        ("[events]\naliases = { gone = \"cancelled\" }", None, &["events.aliases.gone", "canceled"]),
        ("[aggregate]\nat = \"25:00\"", None, &["aggregate.at", "04:15"]),
        ("[limits]\nheader_bytes = 100", None, &["limits.header_bytes", "8192"]),
        ("[api]\nwebhook_secrets = [\"whsec_x\"]", None, &["api.webhook_secrets", "whsec_"]),
        ("[[api.keys]]\nname = \"a\"\nkey = \"short\"\nscopes = [\"read\"]", None, &["api.keys", "20"]),
        ("[[api.keys]]\nname = \"a\"\nscopes = [\"read\"]", None, &["api.keys", "key_file"]),
        (
            "[[api.keys]]\nname = \"a\"\nkey_file = \"x\"\nscopes = [\"root\"]",
            None,
            &["api.keys[0].scopes", "admin"],
        ),
        ("[log]\nlevel = \"loud=very=so\"", None, &["log.level"]),
        ("[listen]\ninternal = \"0.0.0.0:8081\"", None, &["listen.staff_url", "https://", "pages.staff"]),
        (
            "[listen]\ninternal = \"10.0.0.5:8081\"\nstaff_url = \"http://127.0.0.1:8081\"",
            None,
            &["listen.staff_url"],
        ),
    ];
    for (file, variable, expected) in table {
        let variables: Vec<_> = variable.iter().copied().collect();
        let error = with(file, &variables).expect_err(file);
        assert_eq!(error.lines().count(), 1, "{error}");
        for part in *expected {
            assert!(error.contains(part), "{file:?}: `{error}` lacks `{part}`");
        }
    }
}

#[test]
fn a_cookie_is_for_a_domain_of_the_companys_own() {
    let table = [
        ("go.example.com", "example.com", None),
        ("go.example.com", ".example.com", None),
        ("go.example.com", "go.example.com", None),
        ("example.co.uk", "example.co.uk", None),
        ("go.example.co.uk", "co.uk", Some("public suffix")),
        ("go.example.com", "com", Some("public suffix")),
        ("go.example.com", ".COM", Some("public suffix")),
        ("acme.github.io", "github.io", Some("public suffix")),
        ("go.acme.github.io", "acme.github.io", None),
        ("go.example.xn--55qx5d.cn", "xn--55qx5d.cn", Some("public suffix")),
        ("go.shop.kawasaki.jp", "shop.kawasaki.jp", Some("public suffix")),
        ("go.corp.internal", "internal", Some("public suffix")),
        ("go.example.com", "example.org", Some("not under it")),
        ("badexample.com", "example.com", Some("not under it")),
        ("go.example.com", "www.go.example.com", Some("not under it")),
    ];
    for (host, domain, fault) in table {
        let file = format!("[listen]\npublic_url = \"https://{host}\"\n[cookie]\ndomain = \"{domain}\"");
        match (with(&file, &[]), fault) {
            (Ok(_), None) => {}
            (Err(error), Some(fault)) => {
                assert!(error.starts_with("cookie.domain: ") && error.contains(fault), "{domain}: {error}");
            }
            (outcome, _) => panic!("{host}, {domain}: {:?}", outcome.err()),
        }
    }
}

#[test]
fn an_error_never_shows_a_secret() {
    for file in [
        "[store]\nurl = \"mysql://me:hunter2@x\"",
        "[keys]\nk1 = \"hunter2\"",
        "[evidence]\npepper = \"hunter2\"",
        "[api]\nwebhook_secrets = [\"hunter2\"]",
        "[[api.keys]]\nname = \"a\"\nkey = \"hunter2\"\nscopes = [\"read\"]",
    ] {
        let error = with(file, &[]).expect_err(file);
        assert!(!error.contains("hunter2"), "{error}");
    }
    let secret = Secret::new("hunter2");
    assert!(!format!("{secret:?}").contains("hunter2"));
}

fn in_directory(dir: &Path) -> Config {
    let data = dir.join("data").display().to_string();
    Config::from_layers(None, [("COUNTERFOIL__DATA_DIR".to_owned(), data)]).expect("the defaults")
}

#[test]
fn the_first_start_makes_secrets_and_the_next_reads_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = in_directory(dir.path());
    let first = Secrets::open(&config).expect("a first start");
    assert!(first.made);
    for name in ["k1", "pepper", "webhook", "admin"] {
        let mode = std::fs::metadata(config.keys_dir().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let second = Secrets::open(&config).expect("a second start");
    assert!(!second.made);
    assert_eq!(first.signing, second.signing);
    assert_eq!(first.pepper, second.pepper);
    assert_eq!(first.webhooks, second.webhooks);
    assert!(first.webhooks[0].expose().starts_with("whsec_"));
    let local = second.api_keys.last().expect("the local key");
    assert_eq!(local.name, LOCAL_KEY_NAME);
    assert_eq!(Secrets::local_key(&config).as_ref(), Some(&local.key));
    assert!(!format!("{second:?}").contains(local.key.expose()));
}

#[test]
fn processes_that_start_at_once_have_the_same_secrets() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = in_directory(dir.path());
    let open = || {
        let secrets = Secrets::open(&config).expect("a first start");
        (secrets.signing, secrets.pepper, secrets.webhooks)
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        starts.into_iter().map(|start| start.join().expect("no panic")).collect()
    });
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(std::fs::read_dir(config.keys_dir()).expect("a directory").count(), 4);
}

#[test]
fn a_directory_with_history_gets_no_new_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = in_directory(dir.path());
    std::fs::create_dir_all(config.data_dir.join("journal/facts")).expect("a journal");
    let error = Secrets::open(&config).expect_err("keys are missing").to_string();
    assert!(error.contains("keys/k1") && error.contains("backup"), "{error}");
}

#[test]
fn keys_are_read_from_the_files_that_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("k1"), "ab".repeat(32)).expect("a key");
    std::fs::write(dir.path().join("k2"), format!("{}\n", "cd".repeat(32))).expect("a key");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let environment = [
        ("COUNTERFOIL__DATA_DIR", file("data")),
        ("COUNTERFOIL__KEYS__CURRENT", "k2".into()),
        ("COUNTERFOIL__KEYS__RETIRED", "k1".into()),
        ("COUNTERFOIL__KEYS__K1_FILE", file("k1")),
        ("COUNTERFOIL__KEYS__K2_FILE", file("k2")),
    ];
    let config =
        Config::from_layers(None, environment.map(|(name, value)| (name.to_owned(), value))).expect("good");
    let secrets = Secrets::open(&config).expect("good keys");
    let ids: Vec<_> = secrets.signing.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((ids, secrets.current.as_str()), (vec!["k1", "k2"], "k2"));
    assert_eq!(secrets.retired, ["k1"]);
    assert_eq!(secrets.signing[1].1.expose(), [0xcd; 32]);
    assert!(!config.keys_dir().join("k1").exists());
}

#[test]
fn mail_goes_where_its_url_says() {
    let route = |url: &str| {
        let config = with(&format!("[mail]\nurl = \"{url}\""), &[])?;
        config.mail_route().map(|route| route.to_string()).map_err(|error| error.to_string())
    };
    let table = [
        ("smtp://mail.example.com", "mail.example.com:587 (STARTTLS required)"),
        ("smtp://mail.example.com:25?tls=required", "mail.example.com:25 (STARTTLS required)"),
        ("smtps://mail.example.com", "mail.example.com:465 (TLS)"),
        ("smtp://127.0.0.1:2525", "127.0.0.1:2525 (without TLS)"),
        ("smtp://[::1]:2525", "::1:2525 (without TLS)"),
        ("smtp://localhost:2525?tls=required", "localhost:2525 (STARTTLS required)"),
    ];
    for (url, shown) in table {
        assert_eq!(route(url).as_deref(), Ok(shown), "{url}");
    }
    assert!(route("file").is_ok_and(|shown| shown == "files in data/outbox"));
    for (url, mend) in [
        ("", "like smtp://"),
        ("mail.example.com", "like smtp://"),
        ("http://mail.example.com", "must start with smtp://"),
        ("smtp://me:secret@mail.example.com", "holds a password"),
        ("smtp://mail.example.com?tls=none", "loopback"),
        ("smtp://mail.example.com?tls=perhaps", "only tls=required"),
        ("smtp://mail.example.com/inbox", "remove what follows"),
        ("smtp://me@mail.example.com", "mail.password_file"),
    ] {
        let refused = route(url).expect_err(url);
        assert!(refused.starts_with("mail.url: ") && refused.contains(mend), "{url}: {refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
    let refused = with("[mail]\nfrom = \"nobody\"", &[]).expect_err("no address");
    assert!(refused.contains("mail.from"), "{refused}");
}

#[test]
fn a_sample_is_no_agreement_with_people_elsewhere() {
    let elsewhere = with("[listen]\npublic_url = \"https://go.example.com\"", &[]).expect("good");
    assert!(elsewhere.portal.is_sample() && !elsewhere.listen.is_on_loopback());
    let config = Config::from_layers(None, []).expect("the defaults");
    assert!(config.portal.is_sample() && config.listen.is_on_loopback());
    let example = with(include_str!("../../config/production.toml"), &[]).expect("good");
    assert!(!example.portal.is_sample() && example.portal.support_email.is_some());
}

#[test]
fn files_are_no_way_to_reach_people_elsewhere() {
    let config = with("[listen]\npublic_url = \"https://go.example.com\"", &[]).expect("good");
    assert!(config.keeps_mail_from_people() && !config.is_for_development());
    let config = Config::from_layers(None, []).expect("the defaults");
    assert!(!config.keeps_mail_from_people() && config.is_for_development());
}
