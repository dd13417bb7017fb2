//! People's stories on the embedded store, through the application alone.

use super::*;
use crate::app::{Parts, Running};
use crate::clock::Clock;
use crate::config::{Config, Secrets};
use crate::domain::affiliate::{Affiliate, Link, Profile, Status, Step, Switch};
use crate::domain::fact;
use crate::domain::id::{LinkId, StaffId};
use crate::domain::mail::{Letter, Message};
use crate::domain::one_time::LinkKind;
use crate::domain::person::{ClaimState, Permission, Role};
use crate::journal::Journal;
use crate::serve::Resources;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

const GOOD: &str = "tulip anvil rain";
const OTHER: &str = "gravel lamp orchid";
const AGENT: &str = "a browser";

fn ip() -> IpAddr {
    "203.0.113.9".parse().expect("a literal")
}

/// A stranger.
fn knock() -> Knock<'static> {
    Knock { ip: ip(), agent: AGENT, known_browser: None }
}

/// A program with an API key of this name.
fn key(name: &str) -> Actor {
    Actor::Key(name.into())
}

/// What is typed where it is known to be taken.
fn typed<T: FromStr<Err = BadInput>>(text: &str) -> T {
    text.parse().expect("fit")
}

fn new_member(name: &str, email: &str, role: Role) -> NewStaff {
    NewStaff { name: typed(name), email: typed(email), role }
}

fn new_affiliate(name: &str, email: &str) -> NewAffiliate {
    let fields = json!({"name": name, "email": email});
    serde_json::from_value(fields).expect("an application")
}

fn beginning() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().expect("a literal")
}

/// A node whose clock the story sets.
struct Story {
    dir: tempfile::TempDir,
    running: Running,
    clock: Clock,
    now: DateTime<Utc>,
}

async fn start(dir: &Path, clock: &Clock) -> Running {
    let data_dir = dir.join("data").display().to_string();
    // On a machine that is busy with other tests, facts may take longer than people would wait.
    let mut given = vec![("DATA_DIR", data_dir), ("LIMITS__APPLY_MS", "20000".to_owned())];
    let agreement = dir.join("agreement.txt");
    if agreement.is_file() {
        given.push(("PORTAL__AGREEMENT_FILE", agreement.display().to_string()));
    }
    let given = given.into_iter().map(|(name, value)| (format!("COUNTERFOIL__{name}"), value));
    let config = Config::from_layers(None, given).expect("a configuration");
    let secrets = Secrets::open(&config).expect("secrets");
    let journal = Journal::open(&config.data_dir, &crate::journal::Settings::default()).expect("a journal");
    let resources = Resources::without_journal(&config, secrets).expect("a store");
    let running = Running::start(Parts {
        clock: clock.clone(),
        journal,
        store: resources.store,
        keyring: resources.keyring,
        metrics: Arc::default(),
        settings: resources.settings,
        beside: Vec::new(),
    });
    until("the store is met and all facts are applied", async || {
        let (last, applied) = running.app.positions(crate::store::Log::Facts);
        running.app.store_is_up() && last == applied
    })
    .await;
    running
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl Story {
    async fn begins() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let now = beginning();
        let clock = Clock::settable(now);
        Self { running: start(dir.path(), &clock).await, dir, clock, now }
    }
    fn app(&self) -> &Arc<App> {
        &self.running.app
    }
    fn passes(&mut self, time: TimeDelta) {
        self.now += time;
        self.clock.set(self.now);
    }
    /// The store is lost; the journal is replayed into a new one.
    async fn loses_the_store(self) -> Self {
        let Self { dir, running, clock, now } = self;
        running.stop().await;
        for suffix in ["", "-wal", "-shm"] {
            // The last two may not be there.
            drop(std::fs::remove_file(dir.path().join(format!("data/store.sqlite{suffix}"))));
        }
        let running = start(dir.path(), &clock).await;
        Self { dir, running, clock, now }
    }
    /// What waits in the outbox.
    async fn mail(&self) -> Vec<Letter> {
        let mut letters = Vec::new();
        for id in self.app().waiting_mail_ids().await.expect("the store is there") {
            let mail = self.app().waiting_mail(&id).await.expect("the store is there");
            letters.extend(mail.map(|mail| mail.letter));
        }
        letters
    }
    async fn kinds_to(&self, to: &str) -> Vec<&'static str> {
        let mail = self.mail().await;
        let mut kinds: Vec<_> =
            mail.iter().filter(|one| one.to == to).map(|one| one.message.kind()).collect();
        kinds.sort_unstable();
        kinds
    }
    async fn message(&self, kind: &str) -> Message {
        let mail = self.mail().await;
        mail.into_iter().map(|one| one.message).find(|one| one.kind() == kind).expect(kind)
    }
    async fn gets(&self, to: &str, kind: &str) {
        until(kind, async || self.kinds_to(to).await.contains(&kind)).await;
    }
    fn affiliate(&self, id: AffiliateId) -> Arc<Affiliate> {
        Arc::clone(self.app().directory().affiliate(id).expect("known"))
    }
    async fn applies(&self, email: &str) -> AffiliateId {
        self.app().apply_as_affiliate(new_affiliate("Ann Smith", email), ip()).await.expect("accepted");
        let found = || self.app().directory().affiliates().into_iter().find(|one| one.profile.email == email);
        until("the application is there", async || found().is_some()).await;
        found().expect("just seen").id
    }
    async fn step(&self, id: AffiliateId, step: Step) {
        let fact = Fact::AffiliateStep(fact::AffiliateStep {
            affiliate_id: id,
            step,
            reason: Some("because".into()),
        });
        self.app().act(&Actor::Server("ann".into()), fact).await.expect("allowed");
    }
    async fn token(&self, kind: LinkKind, person: Person, address: Option<&str>) -> String {
        let url = self.app().one_time_url(kind, person, address).await.expect("the store is there");
        url.expect("may").split_once("token=").expect("a token").1.to_owned()
    }
    /// An affiliate with a password, and its first session.
    async fn activated(&self, email: &str) -> (AffiliateId, NewSession) {
        let id = self.applies(email).await;
        self.step(id, Step::Approve).await;
        let token = self.token(LinkKind::Activate, Person::Affiliate(id), None).await;
        let session = self.app().set_password(&token, GOOD, AGENT).await.expect("a good link");
        (id, session)
    }
    async fn session(&self, new: &NewSession) -> Option<Session> {
        let realm = new.person.realm();
        self.app().session(realm, &new.cookie_value).await.expect("the store is there")
    }
    async fn signs_in(&self, email: &str, password: &str) -> Result<NewSession, SignInError> {
        self.app().sign_in(Realm::Portal, email, password, &knock()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_application_to_the_signature() {
    let story = Story::begins().await;
    let app = story.app();
    let id = story.applies("ann@example.com").await;
    let person = Person::Affiliate(id);
    story.gets("ann@example.com", "application_received").await;
    assert_eq!(story.signs_in("ann@example.com", GOOD).await.err(), Some(SignInError::Wrong));
    assert_eq!(app.one_time_url(LinkKind::Activate, person, None).await.expect("a store"), None, "not yet");

    story.step(id, Step::Approve).await;
    assert_eq!(story.kinds_to("ann@example.com").await, ["application_received", "approved"]);
    let token = story.token(LinkKind::Activate, person, None).await;
    for _ in 0..3 {
        // A scanner looks at the mail's links.
        let open = app.read_one_time(&token).await.expect("reading spends nothing");
        assert_eq!((open.link.kind, open.email.as_str()), (LinkKind::Activate, "ann@example.com"));
    }
    let weak = app.set_password(&token, "ann@example.com", AGENT).await;
    assert!(matches!(weak, Err(SetPasswordError::Password(BadPassword::IsOwnName))));
    assert_eq!(story.affiliate(id).status(), Status::Approved, "a bad password spends nothing");

    let (one, other) =
        tokio::join!(app.set_password(&token, GOOD, AGENT), app.set_password(&token, OTHER, AGENT));
    let lost = |ended: &Result<NewSession, SetPasswordError>| {
        matches!(ended, Err(SetPasswordError::Link(OneTimeError::Spent)))
    };
    assert!(one.is_ok() != other.is_ok(), "one of two wins: {one:?} {other:?}");
    assert!(lost(&one) || lost(&other), "and the other learns it: {one:?} {other:?}");
    let password = if one.is_ok() { GOOD } else { OTHER };
    let session = one.or(other).expect("one of them");
    assert_eq!(story.affiliate(id).status(), Status::Activated);
    assert!(matches!(app.read_one_time(&token).await, Err(LinkError::Link(OneTimeError::Spent))));
    assert_eq!(story.session(&session).await.expect("signed in").person, person);
    story.signs_in(" Ann@Example.COM ", password).await.expect("the password that won");

    assert!(app.must_sign(&story.affiliate(id)));
    app.sign_agreement(id, &typed(" Ann Smith "), ip()).await.expect("activated");
    app.sign_agreement(id, &typed("Ann Smith"), ip()).await.expect("said twice");
    let affiliate = story.affiliate(id);
    assert_eq!((affiliate.status(), affiliate.signatures.len()), (Status::Active, 1));
    let signature = affiliate.signature().expect("signed").clone();
    assert_eq!((signature.name.as_str(), signature.ip.as_str()), ("Ann Smith", "203.0.113.9"));
    assert_eq!((&signature.version, &signature.sha256), (&app.agreement().version, &app.agreement().sha256));
    assert!(!app.must_sign(&affiliate));
    assert_eq!(
        story.kinds_to("ann@example.com").await,
        ["agreement_signed", "application_received", "approved"],
        "a first password is no news"
    );

    let audit = app.audit(None, 100).await.expect("a store");
    let text: String = audit.data.iter().map(|entry| entry.body.to_string()).collect();
    assert!(text.contains("password_set") && text.contains("agreement_signed"), "{text}");
    for secret in ["argon2", "203.0.113.9", token.as_str()] {
        assert!(!text.contains(secret), "{secret}");
    }
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_expire_and_die_with_what_they_were_made_for() {
    let mut story = Story::begins().await;
    let (id, _) = story.activated("ann@example.com").await;
    let person = Person::Affiliate(id);
    let reset = story.token(LinkKind::Reset, person, None).await;
    let second = story.token(LinkKind::Reset, person, None).await;
    story.app().set_password(&reset, OTHER, AGENT).await.expect("a good link");
    for spent in [&reset, &second] {
        let ended = story.app().set_password(spent, GOOD, AGENT).await;
        assert!(matches!(ended, Err(SetPasswordError::Link(OneTimeError::Spent))), "{ended:?}");
    }
    assert_eq!(story.kinds_to("ann@example.com").await.last(), Some(&"password_changed"));

    let late = story.token(LinkKind::Reset, person, None).await;
    story.passes(TimeDelta::hours(1));
    let ended = story.app().read_one_time(&late).await;
    assert!(matches!(ended, Err(LinkError::Link(OneTimeError::Expired))), "{ended:?}");

    let confirm = story.token(LinkKind::ConfirmEmail, person, Some("new@example.com")).await;
    let ended = story.app().set_password(&confirm, GOOD, AGENT).await;
    assert!(matches!(ended, Err(SetPasswordError::Link(OneTimeError::Bad))), "of another purpose");
    let reset = story.token(LinkKind::Reset, person, None).await;
    assert!(matches!(story.app().confirm_change(&reset).await, Err(ConfirmError::Link(OneTimeError::Bad))));

    story.step(id, Step::Close).await;
    let ended = story.app().confirm_change(&confirm).await;
    assert!(
        matches!(ended, Err(ConfirmError::Link(OneTimeError::Spent))),
        "a closed affiliate changes nothing any more"
    );
    story.app().set_password(&reset, GOOD, AGENT).await.expect("and still reads what is left");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_ends_after_ten_failures_whether_the_account_exists_or_not() {
    let mut story = Story::begins().await;
    story.activated("ann@example.com").await;
    for email in ["ann@example.com", "nobody@example.com"] {
        for _ in 0..9 {
            assert_eq!(story.signs_in(email, OTHER).await.err(), Some(SignInError::Wrong), "{email}");
        }
    }
    story.signs_in("ann@example.com", GOOD).await.expect("the password is right");
    for email in ["ann@example.com", "nobody@example.com"] {
        assert_eq!(story.signs_in(email, OTHER).await.err(), Some(SignInError::Wrong), "{email}");
        assert_eq!(story.signs_in(email, GOOD).await.err(), Some(SignInError::TooMany), "{email}");
    }
    story.passes(TimeDelta::minutes(16));
    story.signs_in("ann@example.com", GOOD).await.expect("after a while");

    // Many requests at once get no more guesses than one after the other, except for the turns that are taken at
    // once.
    let guesses = (0..40).map(|_| story.signs_in("bob@example.com", OTHER));
    let ended = futures_util::future::join_all(guesses).await;
    let let_in = ended.iter().filter(|one| matches!(one, Err(SignInError::Wrong))).count();
    assert!((10..=12).contains(&let_in), "{let_in}");
    story.running.stop().await;
}

/// Ten wrong guesses by strangers, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_guess_keep_out_neither_a_known_browser_nor_who_chose_a_new_password() {
    for realm in [Realm::Portal, Realm::Staff] {
        let mut story = Story::begins().await;
        let app = Arc::clone(story.app());
        let (person, first) = match realm {
            Realm::Portal => {
                let (id, session) = story.activated("ann@example.com").await;
                (Person::Affiliate(id), session)
            }
            Realm::Staff => {
                let made = app
                    .create_staff(&key("x"), new_member("Ann", "ann@example.com", Role::Admin))
                    .await
                    .expect("made");
                let token = made.1.split_once("token=").expect("a token").1.to_owned();
                (Person::Staff(made.0.id), app.set_password(&token, GOOD, AGENT).await.expect("a good link"))
            }
        };
        let tries = async |password: &str, browser: Option<&str>| {
            let knock = Knock { known_browser: browser, ..knock() };
            app.sign_in(realm, "ann@example.com", password, &knock).await
        };
        let strangers_guess = async || while tries(OTHER, None).await.err() != Some(SignInError::TooMany) {};
        strangers_guess().await;
        let from = app.by_ip("sign_in_from", ip(), limits::FAILURES_FROM);
        for _ in 0..100 {
            app.count_one(&from).await.expect("a store");
        }
        assert_eq!(tries(GOOD, None).await.err(), Some(SignInError::TooMany), "{realm:?}");
        let browser = Some(first.known_browser.as_str());
        let again = tries(GOOD, browser).await.expect("a browser that has signed in before");

        // It guesses no more often than a stranger, and does not help a stranger's browser.
        for _ in 0..10 {
            assert_eq!(tries(OTHER, browser).await.err(), Some(SignInError::Wrong), "{realm:?}");
        }
        assert_eq!(tries(GOOD, browser).await.err(), Some(SignInError::TooMany), "{realm:?}");
        let other = Some(again.known_browser.as_str());
        tries(GOOD, other).await.expect("another browser of the same person");
        let altered = format!("A{}", &again.known_browser[1..]);
        assert_eq!(tries(GOOD, Some(&altered)).await.err(), Some(SignInError::TooMany), "{realm:?}");

        // A new password is accepted everywhere, and the other browsers stay known.
        story.passes(TimeDelta::minutes(16));
        strangers_guess().await;
        assert_eq!(tries(GOOD, None).await.err(), Some(SignInError::TooMany), "{realm:?}");
        let token = story.token(LinkKind::Reset, person, None).await;
        app.set_password(&token, OTHER, AGENT).await.expect("a good link");
        tries(OTHER, None).await.expect("the fresh password, at a browser that nobody knows");
        tries(OTHER, other).await.expect("and at one that is known");

        // A browser is forgotten when its person signs out everywhere, as after a loss, and after half a year.
        let guesses = async || while tries(GOOD, None).await.err() != Some(SignInError::TooMany) {};
        guesses().await;
        let kept = tries(OTHER, other).await.expect("known");
        app.sign_out_everywhere(&Actor::Server("ann".into()), person).await.expect("a store");
        assert_eq!(
            tries(OTHER, Some(&kept.known_browser)).await.err(),
            Some(SignInError::TooMany),
            "{realm:?}"
        );
        story.passes(TimeDelta::minutes(16));
        let kept = tries(OTHER, None).await.expect("after a while");
        story.passes(TimeDelta::days(181));
        guesses().await;
        assert_eq!(
            tries(OTHER, Some(&kept.known_browser)).await.err(),
            Some(SignInError::TooMany),
            "{realm:?}"
        );
        story.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_browser_is_known_for_its_own_person_and_realm_alone() {
    let story = Story::begins().await;
    let (app, (_, ann)) = (story.app(), story.activated("ann@example.com").await);
    story.activated("bob@example.com").await;
    app.create_staff(&key("x"), new_member("Ann", "ann@example.com", Role::Admin)).await.expect("made");
    let knock = Knock { known_browser: Some(&ann.known_browser), ..knock() };
    for (realm, email) in [(Realm::Portal, "bob@example.com"), (Realm::Staff, "ann@example.com")] {
        for _ in 0..10 {
            let ended = app.sign_in(realm, email, OTHER, &knock).await;
            assert_eq!(ended.err(), Some(SignInError::Wrong), "{email}");
        }
        let ended = app.sign_in(realm, email, GOOD, &Knock { known_browser: None, ..knock }).await;
        assert_eq!(ended.err(), Some(SignInError::TooMany), "its guesses at others count on them: {email}");
    }
    app.sign_in(Realm::Portal, "ann@example.com", GOOD, &knock).await.expect("its own person");
    story.running.stop().await;
}

/// A stranger asks for mails all the time.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_ask_for_mails_use_up_none_of_the_owners() {
    let mut story = Story::begins().await;
    let (_, session) = story.activated("ann@example.com").await;
    let app = Arc::clone(story.app());
    let resets = async |story: &Story| {
        story.mail().await.iter().filter(|one| one.message == Message::PasswordReset).count()
    };
    let elsewhere = |number: u8| Knock { ip: IpAddr::from([198, 51, 100, number]), ..knock() };
    for number in 0..60 {
        app.forgot_password(Realm::Portal, "ann@example.com", &elsewhere(number)).await.expect("accepted");
        story.passes(TimeDelta::minutes(1));
    }
    // In each minute of the hour: no more mail than one a quarter of an hour, and never a longer wait for the next.
    until("four mails", async || resets(&story).await == 4).await;
    story.passes(TimeDelta::minutes(16));
    app.forgot_password(Realm::Portal, "ann@example.com", &elsewhere(70)).await.expect("accepted");
    until("the owner's own", async || resets(&story).await == 5).await;

    // A browser that she has signed in with is answered at once, and does not wait for its network either.
    let known = Knock { known_browser: Some(&session.known_browser), ..elsewhere(80) };
    let mut ended = Ok(());
    for _ in 0..31 {
        ended = app.forgot_password(Realm::Portal, "nobody@example.com", &elsewhere(80)).await;
    }
    assert_eq!(ended, Err(SignInError::TooMany), "her network has asked too often");
    app.forgot_password(Realm::Portal, "ann@example.com", &known).await.expect("accepted");
    until("one more", async || resets(&story).await == 6).await;
    for _ in 0..10 {
        app.forgot_password(Realm::Portal, "ann@example.com", &known).await.expect("the same answer");
    }
    until("three an hour", async || resets(&story).await == 8).await;
    story.running.stop().await;
}

/// Conditions on a set are decided where facts are applied, because requests at the same time see the same set.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_last_administrators_who_disable_each_other_one_is_left() {
    let mut story = Story::begins().await;
    let mut ids = Vec::new();
    for name in ["ann", "bob"] {
        let email = format!("{name}@example.com");
        ids.push(
            story
                .app()
                .create_staff(&key("a key"), new_member(name, &email, Role::Admin))
                .await
                .expect("made")
                .0
                .id,
        );
    }
    let (one, other) = (ids[0], ids[1]);
    for round in 0..3 {
        let app = story.app();
        let disables = async |by: StaffId, whom: StaffId| {
            app.change_staff(&Actor::Staff(by, Role::Admin), whom, None, Some(true)).await
        };
        let demotes = async |by: StaffId, whom: StaffId| {
            app.change_staff(&Actor::Staff(by, Role::Admin), whom, Some(Role::Finance), None).await
        };
        let ended = if round == 1 {
            let ended = tokio::join!(demotes(one, other), disables(other, one));
            [ended.0, ended.1]
        } else {
            let ended = tokio::join!(disables(one, other), disables(other, one));
            [ended.0, ended.1]
        };
        let refused = |one: &Result<(), ActError>| matches!(one, Err(ActError::Refused(Refusal::LastAdmin)));
        assert_eq!(ended.iter().filter(|one| refused(one)).count(), 1, "{round}: {ended:?}");
        story = story.loses_the_store().await;
        let app = story.app();
        let left = app.staff().iter().filter(|member| member.may(Permission::ManageStaff)).count();
        assert_eq!(left, 1, "{round}: also after a replay");
        for id in [one, other] {
            app.change_staff(&key("a key"), id, Some(Role::Admin), Some(false)).await.expect("as before");
        }
    }
    // A key of the API may: it can make another one.
    for id in [one, other] {
        story.app().change_staff(&key("a key"), id, None, Some(true)).await.expect("allowed");
    }
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_made_at_once_do_not_pass_the_limit_and_a_replay_keeps_what_was_made_without_one() {
    use crate::domain::affiliate::Link;
    use crate::domain::fact::Within;
    use crate::domain::id::LinkId;
    let story = Story::begins().await;
    let (id, _) = story.activated("ann@example.com").await;
    story.app().sign_agreement(id, &typed("Ann Smith"), ip()).await.expect("activated");
    let makes = async |story: &Story, within: Option<Within>| {
        let affiliate = id;
        let (destination, label, created_at) = (None, None, story.now);
        let link = Link {
            id: LinkId::random(),
            affiliate,
            destination,
            label,
            created_at,
            switch: Switch::default(),
        };
        story.app().act(&key("ann"), Fact::LinkCreated(fact::LinkCreated { link, within })).await
    };
    let links = |story: &Story| story.app().directory().links_of(id).len();
    // As made before there was a limit, and by staff, who have none.
    for _ in 0..6 {
        makes(&story, None).await.expect("made");
    }
    let known = u32::try_from(links(&story)).expect("few");
    let within = Some(Within { most: 10, known });
    let ended = futures_util::future::join_all((0..48).map(|_| makes(&story, within))).await;
    let made = ended.iter().filter(|one| one.is_ok()).count();
    assert_eq!((known, made, links(&story)), (7, 3, 10));
    let refused =
        |one: &&Result<Submitted, ActError>| matches!(one, Err(ActError::Refused(Refusal::TooManyLinks)));
    assert_eq!(ended.iter().filter(refused).count(), 45);
    makes(&story, None).await.expect("staff have no limit");
    let story = story.loses_the_store().await;
    assert_eq!(links(&story), 11);
    assert!(makes(&story, Some(Within { most: 11, known: 0 })).await.is_err(), "it is counted, not believed");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_everywhere_ends_open_links_too() {
    let story = Story::begins().await;
    let (id, session) = story.activated("ann@example.com").await;
    let made = story
        .app()
        .create_staff(&key("x"), new_member("Bob", "bob@example.com", Role::Admin))
        .await
        .expect("made");
    let token = made.1.split_once("token=").expect("a token").1;
    let staff = story.app().set_password(token, GOOD, AGENT).await.expect("a good link");
    for (person, session) in [(Person::Affiliate(id), session), (Person::Staff(made.0.id), staff)] {
        let link = story.token(LinkKind::Reset, person, None).await;
        story
            .app()
            .sign_out_everywhere(&Actor::Server(person.to_string().into()), person)
            .await
            .expect("a store");
        assert!(story.session(&session).await.is_none(), "{person}");
        let ended = story.app().set_password(&link, OTHER, AGENT).await;
        assert!(matches!(ended, Err(SetPasswordError::Link(OneTimeError::Spent))), "{ended:?}");
    }
    story.signs_in("ann@example.com", GOOD).await.expect("the password stays");
    let story = story.loses_the_store().await;
    story.signs_in("ann@example.com", GOOD).await.expect("also after a replay");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_guesses_a_hundred_times_at_most() {
    let story = Story::begins().await;
    let from = story.app().by_ip("sign_in_from", ip(), limits::FAILURES_FROM);
    for _ in 0..100 {
        story.app().count_one(&from).await.expect("a store");
    }
    assert_eq!(story.signs_in("ann@example.com", GOOD).await.err(), Some(SignInError::TooMany));
    let elsewhere: IpAddr = "198.51.100.7".parse().expect("a literal");
    let ended = story
        .app()
        .sign_in(Realm::Portal, "ann@example.com", GOOD, &Knock { ip: elsewhere, ..knock() })
        .await;
    assert_eq!(ended.err(), Some(SignInError::Wrong));
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_all_other_sessions() {
    let story = Story::begins().await;
    let (id, first) = story.activated("ann@example.com").await;
    let second = story.signs_in("ann@example.com", GOOD).await.expect("known");
    let session = story.session(&first).await.expect("signed in");
    let app = story.app();
    let ended = app.change_password(&session, OTHER, "another good one", AGENT).await;
    assert!(matches!(ended, Err(SetPasswordError::Wrong)), "{ended:?}");
    let ended = app.change_password(&session, GOOD, "short", AGENT).await;
    assert!(matches!(ended, Err(SetPasswordError::Password(BadPassword::TooShort))), "{ended:?}");
    let third = app.change_password(&session, GOOD, OTHER, AGENT).await.expect("known");
    assert!(story.session(&first).await.is_none() && story.session(&second).await.is_none());
    let session = story.session(&third).await.expect("this one goes on");
    assert_eq!(story.signs_in("ann@example.com", GOOD).await.err(), Some(SignInError::Wrong));
    assert_eq!(story.kinds_to("ann@example.com").await.last(), Some(&"password_changed"));

    let fourth = story.signs_in("ann@example.com", OTHER).await.expect("known");
    let shown = app.sessions_of(&session).await.expect("a store");
    assert_eq!(shown.iter().filter(|one| one.is_this).count(), 1);
    assert_eq!(shown.len(), 2);
    app.sign_out(&session).await.expect("a store");
    assert!(story.session(&third).await.is_none() && story.session(&fourth).await.is_some());
    app.sign_out_everywhere(&key("ann"), Person::Affiliate(id)).await.expect("a store");
    assert!(story.session(&fourth).await.is_none());
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_by_themselves_and_cookies_can_t_be_made_up() {
    let mut story = Story::begins().await;
    let (id, first) = story.activated("ann@example.com").await;
    let app = Arc::clone(story.app());
    let session = story.session(&first).await.expect("signed in");
    assert!(session.csrf_matches(&session.csrf) && !session.csrf_matches(""));
    let other = story.signs_in("ann@example.com", GOOD).await.expect("known");
    assert_ne!(story.session(&other).await.expect("signed in").csrf, session.csrf);
    assert_eq!(app.session(Realm::Staff, &first.cookie_value).await.expect("a store").map(|_| ()), None);
    let secret = first.cookie_value.split_once('.').expect("two parts").1;
    let made_up = [
        String::new(),
        ".".to_owned(),
        secret.to_owned(),
        format!("{id}."),
        format!("{id}.{}", "A".repeat(43)),
        format!("{id}.{secret}A"),
        format!("{id}.{}", &secret[..42]),
        format!("aff_0000000000007.{secret}"),
        format!("stf_0000000000007.{secret}"),
        "x".repeat(10_000),
    ];
    for cookie in made_up {
        for realm in [Realm::Portal, Realm::Staff] {
            assert!(app.session(realm, &cookie).await.expect("a store").is_none(), "{cookie}");
        }
    }

    for _ in 0..20 {
        story.passes(TimeDelta::hours(8));
        assert!(story.session(&first).await.is_some(), "used within twelve hours");
    }
    assert!(story.session(&other).await.is_none(), "not used for twelve hours");
    story.passes(TimeDelta::hours(9));
    assert!(story.session(&first).await.is_none(), "seven days are the end");

    let many: Vec<NewSession> = {
        let mut many = Vec::new();
        for _ in 0..21 {
            let person = Person::Affiliate(id);
            many.push(app.begin_session(person, (1, 0), &"x".repeat(1_000)).await.expect("a store"));
        }
        many
    };
    assert!(story.session(&many[0]).await.is_none(), "the oldest of 21 ended");
    assert!(story.session(&many[1]).await.is_some() && story.session(&many[20]).await.is_some());
    story.step(id, Step::Close).await;
    assert!(story.session(&many[20]).await.is_some(), "a closed affiliate still reads");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_tells_nobody_who_is_known() {
    let mut story = Story::begins().await;
    story.activated("ann@example.com").await;
    let app = Arc::clone(story.app());
    for email in ["ann@example.com", "nobody@example.com", &"x".repeat(300)] {
        for _ in 0..5 {
            app.forgot_password(Realm::Portal, email, &knock()).await.expect("the same answer");
        }
    }
    let resets = async |story: &Story| {
        story.mail().await.iter().filter(|one| one.message == Message::PasswordReset).count()
    };
    until("one mail", async || resets(&story).await == 1).await;
    story.passes(TimeDelta::minutes(16));
    app.forgot_password(Realm::Staff, "ann@example.com", &knock()).await.expect("the same answer");
    app.forgot_password(Realm::Portal, "ann@example.com", &knock()).await.expect("the same answer");
    until("one more a quarter of an hour later", async || resets(&story).await == 2).await;
    assert!(story.kinds_to("nobody@example.com").await.is_empty());
    assert!(!story.mail().await.iter().any(|one| one.message == Message::StaffPasswordReset));
    let mut ended = Ok(());
    for _ in 0..30 {
        ended = app.forgot_password(Realm::Portal, "nobody@example.com", &knock()).await;
    }
    assert_eq!(ended, Err(SignInError::TooMany), "from one address");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_again_tells_the_address_and_nobody_else() {
    let mut story = Story::begins().await;
    let first = story.applies("ann@example.com").await;
    let app = Arc::clone(story.app());
    let again = |name: &str| new_affiliate(name, "ANN@example.com");
    for _ in 0..2 {
        app.apply_as_affiliate(again("Mallory"), ip()).await.expect("the same answer");
    }
    story.gets("ANN@example.com", "application_known").await;
    until("both are refused", async || {
        let (last, applied) = app.positions(crate::store::Log::Facts);
        last == applied
    })
    .await;
    assert_eq!(story.kinds_to("ANN@example.com").await, ["application_known"], "once a day");
    assert!(story.mail().await.iter().all(|one| one.name != "Mallory"), "nobody writes mail through us");
    assert_eq!(app.directory().affiliates().len(), 1);
    assert_eq!(story.affiliate(first).profile.name, "Ann Smith");
    story.passes(TimeDelta::hours(25));
    app.apply_as_affiliate(again("Ann"), ip()).await.expect("the same answer");
    until("again the next day", async || story.kinds_to("ANN@example.com").await.len() == 2).await;
    let mut ended = Ok(());
    for _ in 0..30 {
        ended = app.apply_as_affiliate(again("Ann"), ip()).await;
    }
    assert!(matches!(ended, Err(ActError::TooMany)), "{ended:?}");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_e_mail_counts_when_it_is_confirmed() {
    let story = Story::begins().await;
    let (id, session) = story.activated("ann@example.com").await;
    story.applies("taken@example.com").await;
    let (app, person) = (story.app(), Person::Affiliate(id));
    app.ask_to_change_email(id, &typed("taken@example.com")).await.expect("the same answer");
    app.ask_to_change_email(id, &typed("new@example.com")).await.expect("the same answer");
    story.gets("new@example.com", "confirm_email").await;
    assert_eq!(story.kinds_to("taken@example.com").await, ["application_received"]);
    assert_eq!(story.affiliate(id).profile.email, "ann@example.com", "not yet");

    let token = story.token(LinkKind::ConfirmEmail, person, Some("new@example.com")).await;
    let of_another = story.token(LinkKind::ConfirmEmail, person, Some("taken@example.com")).await;
    let reset = story.token(LinkKind::Reset, person, None).await;
    app.read_one_time(&token).await.expect("reading spends nothing");
    let ended = app.confirm_change(&of_another).await;
    assert!(
        matches!(ended, Err(ConfirmError::Act(ActError::Refused(Refusal::EmailTaken)))),
        "another has it: {ended:?}"
    );
    assert_eq!(app.confirm_change(&token).await.expect("a good link"), Confirmed::Email { held: false });
    assert_eq!(story.affiliate(id).profile.email, "new@example.com");
    assert!(matches!(app.confirm_change(&token).await, Err(ConfirmError::Link(OneTimeError::Spent))));
    let ended = app.set_password(&reset, OTHER, AGENT).await;
    assert!(matches!(ended, Err(SetPasswordError::Link(OneTimeError::Spent))), "sent to the old address");
    let expected = Message::EmailChanged { new_email_masked: "n…@example.com".into(), held: false };
    assert_eq!(story.message("email_changed").await, expected);
    assert!(
        story.kinds_to("ann@example.com").await.contains(&"email_changed"),
        "the old address gets a mail about it"
    );

    assert!(story.session(&session).await.is_none(), "sessions of the old address end");
    assert_eq!(story.signs_in("ann@example.com", GOOD).await.err(), Some(SignInError::Wrong));
    story.signs_in("new@example.com", GOOD).await.expect("the new one");
    let mut ended = Ok(());
    for _ in 0..5 {
        ended = app.ask_to_change_email(id, &typed("third@example.com")).await;
    }
    assert!(matches!(ended, Err(ActError::TooMany)), "{ended:?}");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_paypal_address_holds_payouts_for_seven_days() {
    let mut story = Story::begins().await;
    let (id, _) = story.activated("ann@example.com").await;
    let (app, person) = (Arc::clone(story.app()), Person::Affiliate(id));
    app.ask_to_change_paypal(id, &typed("pay@example.com")).await.expect("asked");
    assert_eq!(story.kinds_to("ann@example.com").await.first(), Some(&"application_received"));
    story.gets("ann@example.com", "confirm_paypal").await;
    let token = story.token(LinkKind::ConfirmPaypal, person, Some("pay@example.com")).await;
    assert_eq!(
        app.confirm_change(&token).await.expect("a good link"),
        Confirmed::Paypal { first: true, held: false }
    );
    assert_eq!(story.affiliate(id).payouts_held_until(), None, "the first one is no change");

    story.passes(TimeDelta::days(30));
    let stale = story.token(LinkKind::ConfirmPaypal, person, Some("third@example.com")).await;
    let token = story.token(LinkKind::ConfirmPaypal, person, Some("mallory@example.com")).await;
    app.confirm_change(&token).await.expect("a good link");
    let held_until = story.affiliate(id).payouts_held_until().expect("held");
    assert!(held_until >= story.now + TimeDelta::days(7), "{held_until}");
    assert!(story.affiliate(id).payouts_are_held_at(story.now + TimeDelta::days(6)));
    assert!(!story.affiliate(id).payouts_are_held_at(held_until));
    let expected = Message::PaypalChanged { masked: "m…@example.com".into(), first: false, held_until };
    assert_eq!(story.message("paypal_changed").await, expected);
    assert!(matches!(app.confirm_change(&stale).await, Err(ConfirmError::Link(OneTimeError::Spent))));

    // Staff clear it, and it is set again later: also a change.
    story.passes(TimeDelta::days(8));
    for paypal_email in [None, Some("again@example.com".to_owned())] {
        story.passes(TimeDelta::days(8));
        let before = story.affiliate(id).profile.clone();
        let profile = Some(Profile { paypal_email, ..before.clone() });
        let change =
            crate::domain::fact::AffiliateChange { before: Some(before), profile, ..Default::default() };
        app.act(&key("ann"), Fact::AffiliateChanged(fact::AffiliateChanged { affiliate_id: id, change }))
            .await
            .expect("allowed");
        assert!(story.affiliate(id).payouts_are_held_at(story.now + TimeDelta::days(6)));
    }
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_affiliate_that_was_brought_over_sets_its_first_password() {
    let story = Story::begins().await;
    let app = story.app();
    let id = story.applies("ann@example.com").await;
    assert!(matches!(
        app.send_activation(&key("ann"), id).await,
        Err(ActError::Refused(Refusal::WrongStatus))
    ));
    for step in [Step::Approve, Step::Activate, Step::Sign] {
        story.step(id, step).await;
    }
    app.send_activation(&key("ann"), id).await.expect("active");
    assert_eq!(story.kinds_to("ann@example.com").await, ["application_received", "approved", "approved"]);
    app.forgot_password(Realm::Portal, "ann@example.com", &knock()).await.expect("the same answer");
    story.gets("ann@example.com", "password_reset").await;
    let token = story.token(LinkKind::Reset, Person::Affiliate(id), None).await;
    app.set_password(&token, GOOD, AGENT).await.expect("a good link");
    assert_eq!(story.affiliate(id).status(), Status::Active);
    assert!(app.must_sign(&story.affiliate(id)), "it signed elsewhere, and is asked here");
    app.sign_agreement(id, &typed("Ann Smith"), ip()).await.expect("active");
    assert_eq!(story.affiliate(id).signatures.len(), 1);
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_come_by_a_link_and_go_when_disabled() {
    let mut story = Story::begins().await;
    let app = Arc::clone(story.app());
    let (member, url) = app
        .create_staff(&key("ann"), new_member("Bob Jones", "bob@example.com", Role::Reviewer))
        .await
        .expect("new");
    assert!(url.starts_with("http://127.0.0.1:8081/admin/activate?token="), "{url}");
    let again = app.create_staff(&key("ann"), new_member("Bob", " BOB@example.com", Role::Admin)).await;
    assert!(matches!(again, Err(ActError::Refused(Refusal::EmailTaken))), "{again:?}");
    let token = url.split_once("token=").expect("a token").1;
    let session = app.set_password(token, GOOD, AGENT).await.expect("a good link");
    let signs_in =
        async |email: &str| app.sign_in(Realm::Staff, email, GOOD, &knock()).await.map(|new| new.person);
    assert_eq!(signs_in("Bob@example.com").await, Ok(Person::Staff(member.id)));
    assert_eq!(story.signs_in("bob@example.com", GOOD).await.err(), Some(SignInError::Wrong), "not there");
    assert!(story.session(&session).await.is_some());
    app.change_staff(&key("ann"), member.id, Some(Role::Admin), None).await.expect("known");
    assert_eq!(app.staff()[0].role, Role::Admin);
    app.forgot_password(Realm::Staff, "bob@example.com", &knock()).await.expect("the same answer");
    story.gets("bob@example.com", "staff_password_reset").await;

    let reset = story.token(LinkKind::Reset, Person::Staff(member.id), None).await;
    app.change_staff(&key("ann"), member.id, None, Some(true)).await.expect("known");
    assert!(story.session(&session).await.is_none());
    assert_eq!(signs_in("bob@example.com").await, Err(SignInError::Wrong));
    let ended = app.set_password(&reset, OTHER, AGENT).await;
    assert!(matches!(ended, Err(SetPasswordError::Link(OneTimeError::Spent))), "{ended:?}");
    assert!(app.invite_staff(&key("ann"), member.id).await.is_err());
    app.change_staff(&key("ann"), member.id, None, Some(false)).await.expect("known");
    assert_eq!(signs_in("bob@example.com").await, Ok(Person::Staff(member.id)));
    story.passes(TimeDelta::minutes(121));
    assert!(story.session(&session).await.is_none(), "two hours unused");
    assert_eq!(app.name_of(&member.id.to_string()), "Bob Jones");
    assert_eq!(app.name_of("signup-flow"), "signup-flow");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_keeps_people_and_signs_everybody_out() {
    let mut story = Story::begins().await;
    let (id, session) = story.activated("ann@example.com").await;
    let app = Arc::clone(story.app());
    app.sign_agreement(id, &typed("Ann Smith"), ip()).await.expect("activated");
    let claim = NewClaim { account_hint: None, company: typed("Acme"), evidence: typed("we met") };
    let granted = app.file_claim(id, claim.clone()).await.expect("known");
    let open = app.file_claim(id, claim).await.expect("known");
    app.decide_claim(&key("bob"), granted, true, &typed("they said so"), None).await.expect("open");
    let twice = app.decide_claim(&key("bob"), granted, false, &typed("no"), None).await;
    assert!(matches!(twice, Err(ActError::Refused(Refusal::AlreadyDecided))), "{twice:?}");
    app.add_note(&key("bob"), id, typed("called")).await.expect("known");
    story.passes(TimeDelta::minutes(1));
    app.add_note(&key("bob"), id, typed("called again")).await.expect("known");
    let (member, _) = app
        .create_staff(&key("ann"), new_member("Bob", "bob@example.com", Role::Finance))
        .await
        .expect("new");
    app.change_staff(&key("ann"), member.id, Some(Role::Admin), None).await.expect("known");
    let change = async |old, new| {
        let session = story.signs_in("ann@example.com", old).await.expect("known");
        let session = story.session(&session).await.expect("just begun");
        app.change_password(&session, old, new, AGENT).await.expect("known")
    };
    change(GOOD, OTHER).await;
    let session_then = change(OTHER, "a third one, longer").await;
    app.apply_as_affiliate(new_affiliate("X", "ann@example.com"), ip()).await.expect("the same answer");
    story.gets("ann@example.com", "application_known").await;
    assert!(story.kinds_to("ann@example.com").await.contains(&"claim_decided"));

    let snapshot = async |app: &Arc<App>| {
        (
            Affiliate::clone(app.directory().affiliate(id).expect("known")),
            app.credentials(Person::Affiliate(id)).await.expect("a store"),
            app.claims(false).await.expect("a store"),
            app.claims(true).await.expect("a store"),
            app.claims_of(id).await.expect("a store"),
            app.notes(id).await.expect("a store"),
            app.staff(),
        )
    };
    let before = snapshot(&app).await;
    assert_eq!(before.2.iter().filter(|claim| claim.state == ClaimState::Granted).count(), 1);
    assert_eq!(before.3.iter().map(|claim| claim.id).collect::<Vec<_>>(), [open]);
    assert_eq!(
        before.5.iter().map(|note| note.text.as_str()).collect::<Vec<_>>(),
        ["called", "called again"]
    );
    drop(app);

    story.passes(TimeDelta::days(4));
    let story = story.loses_the_store().await;
    assert_eq!(snapshot(story.app()).await, before);
    assert_eq!(story.mail().await, [], "nobody is written to about what was long ago");
    assert!(story.session(&session).await.is_none() && story.session(&session_then).await.is_none());
    story.signs_in("ann@example.com", "a third one, longer").await.expect("passwords are kept");
    assert_eq!(story.signs_in("ann@example.com", GOOD).await.err(), Some(SignInError::Wrong));
    story.running.stop().await;
}

impl Story {
    /// An affiliate that has signed: there may be something to pay.
    async fn active(&self, email: &str) -> (AffiliateId, NewSession) {
        let (id, session) = self.activated(email).await;
        self.app().sign_agreement(id, &typed("Ann Smith"), ip()).await.expect("activated");
        (id, session)
    }
    /// Staff change a profile.
    async fn changes(&self, id: AffiliateId, change: impl FnOnce(&mut Profile)) {
        let before = self.affiliate(id).profile.clone();
        let mut profile = before.clone();
        change(&mut profile);
        let change = crate::domain::fact::AffiliateChange {
            before: Some(before),
            profile: Some(profile),
            ..Default::default()
        };
        let fact = Fact::AffiliateChanged(fact::AffiliateChanged { affiliate_id: id, change });
        self.app().act(&Actor::Server("ann".into()), fact).await.expect("allowed");
    }
    /// Who did what, the latest first.
    async fn log(&self) -> Vec<(String, String)> {
        let page = self.app().audit(None, 100).await.expect("the store is there");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        page.data.iter().map(|one| (text(&one.body["by"]), text(&one.body["fact"]))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_guess_at_the_door_do_not_keep_the_owner_from_a_change() {
    let story = Story::begins().await;
    let (_, session) = story.activated("ann@example.com").await;
    let (app, session) = (story.app(), story.session(&session).await.expect("signed in"));
    for _ in 0..12 {
        story.signs_in("ann@example.com", "a guess at it").await.expect_err("a guess");
    }
    assert_eq!(story.signs_in("ann@example.com", GOOD).await.err(), Some(SignInError::TooMany));
    assert_eq!(app.confirm_password(&session, GOOD).await, Ok(()));
    for _ in 0..10 {
        assert_eq!(app.confirm_password(&session, OTHER).await, Err(SignInError::Wrong));
    }
    assert_eq!(app.confirm_password(&session, GOOD).await, Err(SignInError::TooMany), "a thief guesses too");
    let ended = app.change_password(&session, GOOD, OTHER, AGENT).await;
    assert!(matches!(ended, Err(SetPasswordError::TooMany)), "{ended:?}");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_link_stays_used_when_the_old_address_comes_back() {
    let mut story = Story::begins().await;
    let (id, _) = story.active("ann@example.com").await;
    story.changes(id, |profile| profile.paypal_email = Some("ann@example.com".into())).await;
    let (app, person) = (Arc::clone(story.app()), Person::Affiliate(id));
    let email = story.token(LinkKind::ConfirmEmail, person, Some("mallory@example.com")).await;
    app.confirm_change(&email).await.expect("a good link");
    story.changes(id, |profile| profile.email = "ann@example.com".into()).await;
    let paypal = story.token(LinkKind::ConfirmPaypal, person, Some("mallory@example.com")).await;
    app.confirm_change(&paypal).await.expect("a good link");
    story.passes(TimeDelta::minutes(5));
    story.changes(id, |profile| profile.paypal_email = Some("ann@example.com".into())).await;
    for token in [&email, &paypal] {
        let again = app.confirm_change(token).await;
        assert!(matches!(again, Err(ConfirmError::Link(OneTimeError::Spent))), "{again:?}");
    }
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_paypal_address_of_an_active_affiliate_holds_payouts_and_sends_a_mail() {
    let story = Story::begins().await;
    let (id, _) = story.active("ann@example.com").await;
    let token = story.token(LinkKind::ConfirmPaypal, Person::Affiliate(id), Some("pay@example.com")).await;
    let confirmed = story.app().confirm_change(&token).await.expect("a good link");
    assert_eq!(confirmed, Confirmed::Paypal { first: true, held: true });
    let held_until = story.affiliate(id).payouts_held_until().expect("held");
    let expected = Message::PaypalChanged { masked: "p…@example.com".into(), first: true, held_until };
    assert_eq!(story.message("paypal_changed").await, expected);
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_e_mail_holds_payouts_and_the_former_one_gets_a_mail_about_it() {
    let mut story = Story::begins().await;
    let (id, session) = story.active("ann@example.com").await;
    let person = Person::Affiliate(id);
    let confirm = story.token(LinkKind::ConfirmPaypal, person, Some("pay@example.com")).await;
    story.changes(id, |profile| profile.email = "mallory@example.com".into()).await;
    assert!(story.affiliate(id).payouts_are_held_at(story.now + TimeDelta::days(6)));
    assert!(story.session(&session).await.is_none(), "no matter who changed it");
    let ended = story.app().confirm_change(&confirm).await;
    assert!(matches!(ended, Err(ConfirmError::Link(OneTimeError::Spent))), "{ended:?}");
    story.passes(TimeDelta::days(2));
    story.changes(id, |profile| profile.paypal_email = Some("m@example.com".into())).await;
    for to in ["ann@example.com", "mallory@example.com"] {
        assert!(story.kinds_to(to).await.contains(&"paypal_changed"), "{to}");
    }
    story.passes(TimeDelta::days(6));
    story.changes(id, |profile| profile.paypal_email = Some("n@example.com".into())).await;
    let heard = async |to| story.kinds_to(to).await.iter().filter(|one| **one == "paypal_changed").count();
    assert_eq!((heard("ann@example.com").await, heard("mallory@example.com").await), (1, 2));
    story.signs_in("mallory@example.com", GOOD).await.expect("the password stays");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thief_asked_for_dies_with_the_password() {
    let story = Story::begins().await;
    let (id, session) = story.active("ann@example.com").await;
    let (app, person) = (story.app(), Person::Affiliate(id));
    app.ask_to_change_paypal(id, &typed("mallory@example.com")).await.expect("asked");
    app.ask_to_change_email(id, &typed("mallory@example.com")).await.expect("asked");
    story.gets("mallory@example.com", "confirm_email").await;
    let link = async |kind| {
        let (kind, new, asked) = match story.message(kind).await {
            Message::ConfirmEmail { new_email, asked } => (LinkKind::ConfirmEmail, new_email, asked),
            Message::ConfirmPaypal { new_email, asked, .. } => (LinkKind::ConfirmPaypal, new_email, asked),
            other => panic!("{other:?}"),
        };
        app.one_time_url_if(kind, person, Some(&new), Some(asked)).await.expect("a store")
    };
    assert!(link("confirm_email").await.is_some() && link("confirm_paypal").await.is_some());
    let session = story.session(&session).await.expect("signed in");
    app.change_password(&session, GOOD, OTHER, AGENT).await.expect("known");
    assert_eq!((link("confirm_email").await, link("confirm_paypal").await), (None, None));
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_sign_an_affiliate_out_everywhere() {
    let story = Story::begins().await;
    let (id, session) = story.activated("ann@example.com").await;
    let (app, person) = (story.app(), Person::Affiliate(id));
    let reset = story.token(LinkKind::Reset, person, None).await;
    app.sign_out_everywhere(&key("ann"), Person::Affiliate(id)).await.expect("known");
    assert!(story.session(&session).await.is_none());
    let ended = app.set_password(&reset, OTHER, AGENT).await;
    assert!(matches!(ended, Err(SetPasswordError::Link(OneTimeError::Spent))), "{ended:?}");
    let again = story.signs_in("ann@example.com", GOOD).await.expect("the password stays");
    let again = story.session(&again).await.expect("just begun");
    let third = app.change_password(&again, GOOD, OTHER, AGENT).await.expect("known");
    assert!(story.session(&third).await.is_some());
    let token = story.token(LinkKind::Reset, person, None).await;
    let fourth = app.set_password(&token, GOOD, AGENT).await.expect("a good link");
    assert!(story.session(&fourth).await.is_some() && story.session(&third).await.is_none());
    app.send_activation(&key("bob"), id).await.expect("may sign in");
    let log = story.log().await;
    for (by, fact) in [("ann", "signed_out_everywhere"), ("bob", "activation_sent")] {
        assert!(log.contains(&(by.to_owned(), fact.to_owned())), "{fact}: {log:?}");
    }
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_links_for_staff_is_on_record_and_disabling_ends_them() {
    let story = Story::begins().await;
    let app = story.app();
    let (member, first) = app
        .create_staff(&key("ann"), new_member("Bob Jones", "bob@example.com", Role::Admin))
        .await
        .expect("new");
    let token = |url: &str| url.split_once("token=").expect("a token").1.to_owned();
    // A link that nobody has used yet does not come back with its member.
    app.change_staff(&key("ann"), member.id, None, Some(true)).await.expect("known");
    app.change_staff(&key("ann"), member.id, None, Some(false)).await.expect("known");
    let ended = app.set_password(&token(&first), GOOD, AGENT).await;
    assert!(matches!(ended, Err(SetPasswordError::Link(OneTimeError::Spent))), "{ended:?}");
    let second = app.invite_staff(&key("ann"), member.id).await.expect("enabled");
    assert!(story.kinds_to("bob@example.com").await.is_empty(), "nobody had a password yet");
    let session = app.set_password(&token(&second), GOOD, AGENT).await.expect("a good link");

    let third = app.invite_staff(&key("mallory"), member.id).await.expect("enabled");
    assert_eq!(story.kinds_to("bob@example.com").await, ["staff_link_made"]);
    assert!(story.log().await.contains(&("mallory".to_owned(), "staff_invited".to_owned())));
    app.change_staff(&key("ann"), member.id, None, Some(true)).await.expect("known");
    app.change_staff(&key("ann"), member.id, None, Some(false)).await.expect("known");
    assert!(story.session(&session).await.is_none(), "also once it is enabled again");
    let ended = app.set_password(&token(&third), OTHER, AGENT).await;
    assert!(matches!(ended, Err(SetPasswordError::Link(OneTimeError::Spent))), "{ended:?}");
    app.sign_in(Realm::Staff, "bob@example.com", GOOD, &knock()).await.expect("the password stays");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_is_on_record_with_who_asked_for_it() {
    let story = Story::begins().await;
    story.app().aggregate(&key("bob"), None, false).await.expect("made");
    assert!(story.log().await.contains(&("bob".to_owned(), "run_finished".to_owned())));
    story.running.stop().await;
}

/// A retry journals the fact before the decision, so it must not get that far.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_decide_about_a_fact_set_aside_journals_nothing() {
    let story = Story::begins().await;
    let id = "node_0000000000005:16".parse().expect("an id");
    for actor in [Actor::Reader("report".into()), Actor::Staff(StaffId::random(), Role::Admin)] {
        let retried = story.app().retry_set_aside(&actor, id, typed("corrected")).await;
        let dropped = story.app().drop_set_aside(&actor, id, typed("odd")).await;
        for ended in [retried, dropped] {
            assert!(matches!(ended, Err(ActError::NotTaken(SubmitError::Forbidden))), "{ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_ended_mail_goes_when_no_replay_would_write_it_again() {
    use crate::domain::mail::MailOutcome;
    let mut story = Story::begins().await;
    let id = story.applies("ann@example.com").await;
    let mail = story.app().waiting_mail_ids().await.expect("a store").remove(0);
    let key = crate::app::outbox::mail_key(&mail);
    let kept = async |story: &Story| {
        let docs = story.app().store.load(Partition::Directory, std::slice::from_ref(&key)).await;
        docs.expect("a store").remove(0).is_some()
    };
    let done =
        Fact::MailDone(fact::MailDone { mail_id: mail.clone(), outcome: MailOutcome::Sent, lost: None });
    story.app().submit(&Actor::server(), done).await.expect("accepted");
    assert_eq!(story.app().waiting_mail_ids().await.expect("a store"), Vec::<String>::new());

    story.passes(TimeDelta::days(3));
    assert_eq!(story.app().forget_ended_mail().await.expect("a store"), 0, "a replay could still write it");
    assert!(kept(&story).await);
    story = story.loses_the_store().await;
    assert!(kept(&story).await, "and so its end is replayed");
    assert!(story.mail().await.is_empty());

    story.passes(TimeDelta::hours(2));
    assert_eq!(story.app().forget_ended_mail().await.expect("a store"), 1);
    assert!(!kept(&story).await);
    assert_eq!(story.app().forget_ended_mail().await.expect("a store"), 0);

    // A replay after that writes neither the mail nor its name.
    story = story.loses_the_store().await;
    assert!(story.app().directory().affiliate(id).is_some());
    assert!(!kept(&story).await && story.mail().await.is_empty());
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_can_not_be_read_is_reported_and_delays_no_other_node() {
    use crate::app::outbox::{OUTBOX, mail_key};
    use crate::store::{Commit, IndexChange, Lease, Write};
    let story = Story::begins().await;
    let (app, id) = (story.app(), "0".repeat(27));
    let broken = Commit {
        writes: vec![Write { key: mail_key(&id), expected: 0, body: b"no mail".to_vec() }],
        indexes: vec![IndexChange { index: OUTBOX.to_owned(), member: id, present: true }],
        ..Commit::to(Partition::Directory)
    };
    app.store.commit(&broken).await.expect("a store");
    let found = app.inspect_mail().await;
    assert!(!found.ok && found.text.contains("1 wait") && found.text.contains("can't be read"), "{found:?}");

    let context = crate::mail::Context {
        program: "Program".into(),
        company: "Company".into(),
        support: String::new(),
        portal: "http://127.0.0.1/portal".into(),
        sign_in: "http://127.0.0.1/login".into(),
        referrals: "http://127.0.0.1/portal/referrals".into(),
        payouts: "http://127.0.0.1/portal/payouts".into(),
        staff_payouts: "http://127.0.0.1/admin/payouts".into(),
        zone: app.zone().clone(),
    };
    let sender = crate::mail::Sender { from: "a@b.example".parse().expect("an address"), reply_to: None };
    let route = crate::mail::MailRoute::File(story.dir.path().join("outbox"));
    let post = crate::jobs::mail::Post {
        templates: crate::mail::Templates::open(context, Path::new("")).expect("ours"),
        mailer: crate::mail::Mailer::open(&route, sender).expect("a directory"),
        shows_links: false,
    };
    let sending = tokio::spawn(crate::jobs::mail::run(Arc::clone(app), post));
    // It tries at once and twice a second, and its lease would last for 90 seconds.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    until("the lease is given back", async || {
        let lease = app.store.lease("mail", "another node", 1).await.expect("a store");
        matches!(lease, Lease::Granted { .. })
    })
    .await;
    app.stopping().set();
    sending.await.expect("no panic");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_after_the_answer_is_done_before_the_end() {
    let story = Story::begins().await;
    let (id, _) = story.activated("ann@example.com").await;
    for nth in 0..3 {
        story
            .app()
            .ask_to_change_email(id, &typed(&format!("new{nth}@example.com")))
            .await
            .expect("accepted");
    }
    story.app().forgot_password(Realm::Portal, "ann@example.com", &knock()).await.expect("accepted");
    let app = Arc::clone(story.app());
    story.running.stop().await;
    let mut kinds = Vec::new();
    for id in app.waiting_mail_ids().await.expect("a store") {
        kinds.extend(app.waiting_mail(&id).await.expect("a store").map(|mail| mail.letter.message.kind()));
    }
    let count = |kind: &str| kinds.iter().filter(|one| **one == kind).count();
    assert_eq!((count("confirm_email"), count("password_reset")), (3, 1), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_notes_are_kept_to_be_shown() {
    let story = Story::begins().await;
    let id = story.applies("ann@example.com").await;
    let texts: Vec<String> = (0..NOTES + 5).map(|number| format!("note {number:03}")).collect();
    let ann = key("ann");
    let added = texts.iter().map(|text| story.app().add_note(&ann, id, typed(text)));
    futures_util::future::try_join_all(added).await.expect("allowed");
    let notes = story.app().notes(id).await.expect("a store");
    let kept: Vec<&String> = notes.iter().map(|note| &note.text).collect();
    assert_eq!(kept, texts[5..].iter().collect::<Vec<_>>());
    story.running.stop().await;
}

/// The agreement's file holds another text from the next start on.
async fn restarts_with_agreement(story: Story, text: &str) -> Story {
    let Story { dir, running, clock, now } = story;
    running.stop().await;
    std::fs::write(dir.path().join("agreement.txt"), text).expect("a file");
    let running = start(dir.path(), &clock).await;
    Story { dir, running, clock, now }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_text_is_never_another() {
    let mut story = restarts_with_agreement(Story::begins().await, "A draft.").await;
    let (id, _) = story.activated("ann@example.com").await;
    let (ben, _) = story.activated("ben@example.com").await;
    // Until somebody signs it, a text may change.
    story = restarts_with_agreement(story, "You earn $99.").await;
    assert_eq!(story.app().agreement_trouble().await.expect("a store"), None);
    story.app().sign_agreement(id, &typed("Ann Smith"), ip()).await.expect("activated");

    story = restarts_with_agreement(story, "You earn $9.").await;
    let trouble = story.app().agreement_trouble().await.expect("a store").expect("another text");
    assert!(trouble.starts_with("portal.agreement_file: ") && trouble.contains("2026-01"), "{trouble}");
    let finding = story.app().inspect().await.into_iter().find(|one| one.check == "agreement");
    assert_eq!(finding.map(|one| (one.ok, one.text)), Some((false, trouble)));
    let signed = story.app().sign_agreement(ben, &typed("Ben"), ip()).await;
    assert!(matches!(signed, Err(ActError::Unavailable)), "{signed:?}");
    let signature = story.affiliate(id).signature().expect("signed").clone();
    let text = story.app().signed_text(&signature).await.expect("a store").expect("it is kept");
    assert_eq!(text.text, "You earn $99.");
    let audit = story.app().audit(None, 100).await.expect("a store");
    let audit: String = audit.data.iter().map(|entry| entry.body.to_string()).collect();
    assert!(audit.contains("agreement_published") && !audit.contains("You earn"), "{audit}");

    let story = story.loses_the_store().await;
    let text = story.app().signed_text(&signature).await.expect("a store").expect("it is in the journal");
    assert_eq!(text.text, "You earn $99.");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_payouts_go_is_settled_before_the_first_signature() {
    let story = Story::begins().await;
    let (id, _) = story.activated("ann@example.com").await;
    let app = story.app();
    app.settle_paypal(id, Some(typed("pay@example.com"))).await.expect("activated");
    assert_eq!(story.affiliate(id).profile.paypal_email.as_deref(), Some("pay@example.com"));
    app.sign_agreement(id, &typed("Ann Smith"), ip()).await.expect("activated");
    let later = app.settle_paypal(id, Some(typed("thief@example.com"))).await;
    assert!(matches!(later, Err(ActError::Refused(Refusal::WrongStatus))), "{later:?}");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_affiliate_gets_a_mail_and_reads_what_is_left() {
    let story = Story::begins().await;
    let (id, session) = story.activated("ann@example.com").await;
    let app = story.app();
    app.sign_agreement(id, &typed("Ann Smith"), ip()).await.expect("activated");
    story.step(id, Step::Close).await;
    assert_eq!(story.message("closed").await, Message::Closed { reason: "because".into() });
    assert!(story.session(&session).await.is_some());
    story.signs_in("ann@example.com", GOOD).await.expect("to read");
    let claim = NewClaim { account_hint: None, company: typed("Acme"), evidence: typed("we met") };
    let refused = app.file_claim(id, claim).await;
    assert!(matches!(refused, Err(ActError::Refused(Refusal::WrongStatus))), "{refused:?}");
    let refused = app.ask_to_change_paypal(id, &typed("else@example.com")).await;
    assert!(matches!(refused, Err(ActError::Refused(Refusal::WrongStatus))), "{refused:?}");
    // An affiliate that never became active gets no mail.
    let stranger = story.applies("bob@example.com").await;
    story.step(stranger, Step::Close).await;
    assert_eq!(story.kinds_to("bob@example.com").await, ["application_received"]);
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_decided_once_and_credited_even_after_a_crash() {
    use crate::domain::fact::{self, Evidence, Signup};
    let story = Story::begins().await;
    let (id, _) = story.activated("ann@example.com").await;
    let app = story.app();
    let account: crate::domain::id::AccountId = "acct_1".parse().expect("an id");
    let bob = key("bob");
    let never_active = app.submit(
        &bob,
        Fact::Credit(fact::Credit {
            account_id: account.clone(),
            affiliate_id: Some(id),
            reason: "a call".into(),
            claim_id: None,
            ends_judgement: true,
        }),
    );
    assert_eq!(never_active.await.expect("answered").refusal, Some(Refusal::NeverActive));
    app.sign_agreement(id, &typed("Ann Smith"), ip()).await.expect("activated");
    let unknown = app.file_claim(id, acme()).await.expect("known");
    let refused = app.decide_claim(&key("bob"), unknown, true, &typed("yes"), Some(&account)).await;
    assert!(matches!(refused, Err(ActError::Refused(Refusal::UnknownAccount))), "{refused:?}");
    let signup = Signup {
        account_id: account.clone(),
        plan: "growth".parse().expect("a plan"),
        signed_up_at: beginning(),
        active: true,
        evidence: Evidence::default(),
        delivery: None,
        warnings: Vec::new(),
    };
    app.submit(&Actor::SignupFlow("signup-flow".into()), Fact::Signup(signup)).await.expect("kept");
    let credited = async || app.account(&account).await.expect("a store").expect("known").credited_to;
    let credit = |to: Option<AffiliateId>| {
        Fact::Credit(fact::Credit {
            account_id: account.clone(),
            affiliate_id: to,
            reason: "a slip".into(),
            claim_id: None,
            ends_judgement: true,
        })
    };

    for _ in 0..8 {
        let claim = app.file_claim(id, acme()).await.expect("known");
        app.act(&key("bob"), credit(None)).await.expect("known");
        let (bob, eve, yes, no) = (key("bob"), key("eve"), typed("yes"), typed("no"));
        let (yes, no) = tokio::join!(
            app.decide_claim(&bob, claim, true, &yes, Some(&account)),
            app.decide_claim(&eve, claim, false, &no, None),
        );
        assert!(yes.is_ok() != no.is_ok(), "one of them decides: {yes:?} {no:?}");
        assert_eq!(credited().await, yes.is_ok().then_some(id), "and what it decided is done");
    }

    // The server stops between the decision and the credit.
    let claim = app.file_claim(id, acme()).await.expect("known");
    app.act(&key("bob"), credit(None)).await.expect("known");
    let decided = Fact::ClaimDecided(fact::ClaimDecided {
        claim_id: claim,
        affiliate_id: id,
        granted: true,
        reason: "yes".into(),
        account_id: Some(account.clone()),
    });
    app.act(&key("bob"), decided).await.expect("open");
    assert_eq!(credited().await, None);
    app.credit_what_is_owed(TimeDelta::zero()).await.expect("a store");
    assert_eq!(credited().await, Some(id));
    // What staff put right afterwards stays: nothing is owed any more, and said again it counts once.
    app.act(&key("bob"), credit(None)).await.expect("known");
    app.credit_what_is_owed(TimeDelta::zero()).await.expect("a store");
    let again = Fact::Credit(fact::Credit {
        account_id: account.clone(),
        affiliate_id: Some(id),
        reason: "yes".into(),
        claim_id: Some(claim),
        ends_judgement: true,
    });
    app.act(&key("bob"), again).await.expect("known");
    assert_eq!(credited().await, None);
    story.running.stop().await;
}

fn acme() -> NewClaim {
    NewClaim { account_hint: None, company: typed("Acme"), evidence: typed("we met") }
}

/// Another link of an affiliate.
async fn another_link(story: &Story, affiliate: AffiliateId) -> LinkId {
    let link = Link {
        id: LinkId::random(),
        affiliate,
        destination: None,
        label: Some("Spring mail".into()),
        created_at: story.now,
        switch: Switch::default(),
    };
    let id = link.id;
    story
        .app()
        .act(&key("ann"), Fact::LinkCreated(fact::LinkCreated { link, within: None }))
        .await
        .expect("active");
    id
}

fn link_off(link_id: LinkId, affiliate_id: AffiliateId, reason: Option<&str>) -> Fact {
    Fact::LinkDisabled(fact::LinkDisabled { link_id, affiliate_id, reason: reason.map(str::to_owned) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_switched_off_for_a_reason_and_on_again_with_a_mail_about_both() {
    let mut story = Story::begins().await;
    let (id, _) = story.active("ann@example.com").await;
    let link = another_link(&story, id).await;
    let switch = |story: &Story| story.app().directory().link(link).expect("known").switch.clone();
    story.app().act(&key("staff"), link_off(link, id, Some("spam"))).await.expect("allowed");
    let since = switch(&story).disabled_at;
    assert_eq!((switch(&story).disabled_reason.as_deref(), since.is_some()), (Some("spam"), true));
    let (label, made_at) = (Some("Spring mail".to_owned()), story.now);
    let expected = Message::LinkDisabled { label: label.clone(), made_at, reason: "spam".into() };
    assert_eq!(story.message("link_disabled").await, expected);
    // A repetition changes nothing and sends no second mail.
    story.passes(TimeDelta::minutes(1));
    story.app().act(&key("staff"), link_off(link, id, Some("again"))).await.expect("done before");
    assert_eq!(
        (switch(&story).disabled_at, switch(&story).disabled_reason.as_deref()),
        (since, Some("spam"))
    );
    story
        .app()
        .act(&key("staff"), Fact::LinkEnabled(fact::LinkEnabled { link_id: link, affiliate_id: id }))
        .await
        .expect("allowed");
    assert!(!switch(&story).is_off());
    assert_eq!(story.message("link_enabled").await, Message::LinkEnabled { label, made_at });
    let log = story.log().await;
    for fact in ["link_disabled", "link_enabled"] {
        assert!(log.contains(&("staff".into(), fact.into())), "{log:?}");
    }
    // What they do themselves needs no mail.
    story.passes(TimeDelta::minutes(1));
    story.app().act(&Actor::Affiliate(id), link_off(link, id, Some(""))).await.expect("their own");
    assert!(switch(&story).is_off_by(id));
    let before = switch(&story);
    let kinds = story.kinds_to("ann@example.com").await;
    assert_eq!(kinds.iter().filter(|kind| kind.starts_with("link_")).count(), 2, "{kinds:?}");
    let story = story.loses_the_store().await;
    assert_eq!(switch(&story), before, "a replay ends where it was");
    story.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_link_stays_on_but_for_one_that_an_older_version_switched_off() {
    let story = Story::begins().await;
    let (id, _) = story.active("ann@example.com").await;
    let link = story.affiliate(id).default_link;
    let is_off = |story: &Story| story.app().directory().link(link).expect("known").switch.is_off();
    for reason in ["spam", ""] {
        let refused = story.app().act(&key("staff"), link_off(link, id, Some(reason))).await;
        assert!(matches!(refused, Err(ActError::Refused(Refusal::DefaultLink))), "{refused:?}");
    }
    let unknown = story.app().act(&key("staff"), link_off(LinkId::random(), id, Some("x"))).await;
    assert!(matches!(unknown, Err(ActError::Refused(Refusal::UnknownLink))), "{unknown:?}");
    assert!(!is_off(&story));
    // Facts of that version have no reason. They keep their effect, also in a replay, until somebody switches the
    // link on.
    story.app().act(&key("staff"), link_off(link, id, None)).await.expect("as it was then");
    assert!(is_off(&story));
    let mut story = story.loses_the_store().await;
    assert!(is_off(&story));
    story.passes(TimeDelta::minutes(1));
    story
        .app()
        .act(&key("staff"), Fact::LinkEnabled(fact::LinkEnabled { link_id: link, affiliate_id: id }))
        .await
        .expect("allowed");
    assert!(!is_off(&story));
    story.running.stop().await;
}
