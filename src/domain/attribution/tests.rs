use super::*;
use crate::domain::affiliate::{Profile, Status, StatusChange, Switch};
use crate::domain::fact::Evidence;
use crate::domain::id::VisitorId;
use proptest::prelude::*;
use uuid::Uuid;

/// Milliseconds of a day and a minute.
const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;
/// The signup's instant, in Unix milliseconds; the times of clicks below are relative to it.
const SIGNUP: i64 = 1_767_225_600_000;

struct World {
    affiliates: Vec<Affiliate>,
    links: Vec<Link>,
}

impl AffiliateLookup for World {
    fn affiliate(&self, id: AffiliateId) -> Option<&Affiliate> {
        self.affiliates.iter().find(|affiliate| affiliate.id == id)
    }
    fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }
    fn by_code(&self, code: &ReferralCode) -> Option<&Affiliate> {
        self.affiliates.iter().find(|affiliate| affiliate.code == *code)
    }
}

fn at(relative: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(SIGNUP + relative).expect("a time")
}

fn affiliate(number: u64, history: &[(i64, Status)]) -> Affiliate {
    let change = |(relative, status): &(i64, Status)| StatusChange {
        at: at(*relative),
        status: *status,
        reason: None,
    };
    Affiliate {
        id: AffiliateId::from_bits(number),
        profile: Profile {
            email: format!("Partner{number}@Agency{number}.example"),
            paypal_email: Some(format!("pay{number}@gmail.com")),
            ..Profile::default()
        },
        code: format!("code-{number}").parse().expect("a code"),
        default_link: LinkId::from_bits(number),
        history: history.iter().map(change).collect(),
        exempt_from_holds: false,
        signatures: Vec::new(),
        addresses: crate::domain::affiliate::Addresses::default(),
    }
}

/// Affiliates 1 and 2 are active; 3 was suspended for a time; 4 left before the signup; 5 is active and
/// exempt from holds. Each has a link with its own number.
fn world() -> World {
    use Status::{Active, Closed, Suspended};
    let mut affiliates = vec![
        affiliate(1, &[(-1000 * DAY, Active)]),
        affiliate(2, &[(-1000 * DAY, Active)]),
        affiliate(3, &[(-1000 * DAY, Active), (-20 * DAY, Suspended), (-10 * DAY, Active)]),
        affiliate(4, &[(-1000 * DAY, Active), (-1, Closed)]),
        affiliate(5, &[(-1000 * DAY, Active)]),
    ];
    affiliates[4].exempt_from_holds = true;
    let link = |number| Link {
        id: LinkId::from_bits(number),
        affiliate: AffiliateId::from_bits(number),
        destination: None,
        label: None,
        created_at: at(-1000 * DAY),
        switch: Switch::default(),
    };
    World { affiliates, links: (1..=5).map(link).collect() }
}

fn rules() -> AttributionRules {
    AttributionRules {
        window_ms: 90 * DAY,
        model: Model::LastClick,
        min_seconds_to_signup: 0,
        burst_per_hour: 0,
        paid_ads: false,
    }
}

/// A click on the link of affiliate `number`; `salt` makes clicks of the same millisecond differ.
fn click_with(number: u64, relative: i64, salt: u8) -> Click {
    let millis = u64::try_from(SIGNUP + relative).expect("after 1970");
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &[salt; 10]).into_uuid();
    Click { id: ClickId(id), affiliate: AffiliateId::from_bits(number), link: LinkId::from_bits(number) }
}
fn click(number: u64, relative: i64) -> Click {
    click_with(number, relative, 1)
}
fn visit(click: Click) -> Visit {
    Visit { click, verdict: Verdict::Human, paid_ad: false }
}
const VISITOR: VisitorId = VisitorId(Uuid::from_u128(7));

/// A signup and everything that is known about it.
#[derive(Debug, Clone)]
struct Case {
    click: Given<ClickClaim>,
    cookie: Given<VisitorClaim>,
    visits: Vec<Visit>,
    evidence: Evidence,
    rules: AttributionRules,
}

impl Case {
    fn new() -> Self {
        let evidence = Evidence::default();
        Self { click: Given::Nothing, cookie: Given::Nothing, visits: vec![], evidence, rules: rules() }
    }
    fn token(mut self, click: Click) -> Self {
        self.click = Given::Good(ClickClaim { click, visitor: VISITOR });
        self
    }
    fn cookie(mut self, first: Click, last: Click) -> Self {
        self.cookie = Given::Good(VisitorClaim { visitor: VISITOR, first, last });
        self
    }
    fn visits(mut self, visits: &[Visit]) -> Self {
        self.visits.extend(visits);
        self
    }
    fn code(mut self, code: &str) -> Self {
        self.evidence.code = Some(code.to_owned());
        self
    }
    fn bad_tokens(mut self) -> Self {
        (self.click, self.cookie) = (Given::Bad, Given::Bad);
        self
    }
    fn first_click(mut self) -> Self {
        self.rules.model = Model::FirstClick;
        self
    }
    fn email(mut self, address: &str) -> Self {
        self.evidence.email_hash = Some(pepper().mailbox(address));
        self.evidence.email_domain = domain_of(address);
        self
    }
    /// As older versions journaled it.
    fn email_of_before(mut self, address: &str) -> Self {
        self.evidence.email_hash = Some(pepper().email(address));
        self
    }
    fn decide(&self) -> Attribution {
        self.decide_in(&world())
    }
    fn decide_in(&self, world: &World) -> Attribution {
        let signup = Signup {
            account_id: "acct_1".parse().expect("an id"),
            plan: "growth".parse().expect("a plan"),
            signed_up_at: at(0),
            active: true,
            evidence: self.evidence.clone(),
            delivery: None,
            warnings: Vec::new(),
        };
        decide(&Input {
            signup: &signup,
            click: self.click,
            cookie: self.cookie,
            visits: &self.visits,
            rules: &self.rules,
            directory: world,
            pepper: &pepper(),
        })
    }
}

fn pepper() -> Pepper {
    Pepper::new(&[7; 32]).expect("32 bytes")
}

/// The expected decision: who is credited by which evidence, or why nobody is.
type Expected = Result<(u64, Via), Reason>;

fn check(name: &str, case: &Case, expected: Expected) {
    let decision = case.decide();
    let found = match decision.affiliate_id {
        Some(affiliate) => Ok((affiliate.bits(), decision.via.expect("what named it"))),
        None => Err(decision.reason),
    };
    assert_eq!(found, expected, "{name}");
    assert_eq!(decision.reason == Reason::Attributed, decision.affiliate_id.is_some(), "{name}");
    let by_click = matches!(decision.via, Some(Via::Click | Via::Cookie | Via::Visits));
    assert_eq!((decision.click_id.is_some(), decision.link_id.is_some()), (by_click, by_click), "{name}");
}

#[test]
fn evidence_is_heard_in_the_order_of_the_rules() {
    let [one, two] = [click(1, -DAY), click(2, -2 * DAY)];
    let table: &[(&str, Case, Expected)] = &[
        ("nothing", Case::new(), Err(Reason::NoEvidence)),
        ("a token", Case::new().token(one), Ok((1, Via::Click))),
        ("a cookie's last click", Case::new().cookie(two, one), Ok((1, Via::Cookie))),
        ("a cookie's first click", Case::new().cookie(two, one).first_click(), Ok((2, Via::Cookie))),
        ("visits", Case::new().visits(&[visit(one), visit(two)]), Ok((1, Via::Visits))),
        (
            "the first of visits",
            Case::new().visits(&[visit(one), visit(two)]).first_click(),
            Ok((2, Via::Visits)),
        ),
        (
            "all name one click",
            Case::new().token(one).cookie(one, one).visits(&[visit(one)]),
            Ok((1, Via::Click)),
        ),
        (
            "cookie and visits name it",
            Case::new().cookie(one, one).visits(&[visit(one)]),
            Ok((1, Via::Cookie)),
        ),
        (
            "a later visit wins over a token",
            Case::new().token(two).visits(&[visit(one)]),
            Ok((1, Via::Visits)),
        ),
        ("a bad token beside visits", Case::new().bad_tokens().visits(&[visit(one)]), Ok((1, Via::Visits))),
        ("a code", Case::new().code("code-2"), Ok((2, Via::Code))),
        ("a code in other letters", Case::new().code("  CODE-2 "), Ok((2, Via::Code))),
        ("clicks before code", Case::new().token(one).code("code-2"), Ok((1, Via::Click))),
        (
            "a code after a click that fails",
            Case::new().token(click(1, -91 * DAY)).code("code-2"),
            Ok((2, Via::Code)),
        ),
        ("a code after bad tokens", Case::new().bad_tokens().code("code-2"), Ok((2, Via::Code))),
        ("nobody's code", Case::new().code("code-9"), Err(Reason::UnknownCode)),
        ("a code that can't be one", Case::new().code("?!"), Err(Reason::UnknownCode)),
        ("a blank code", Case::new().code("  "), Err(Reason::NoEvidence)),
        ("a code of one who left", Case::new().code("code-4"), Err(Reason::AffiliateNotActive)),
        (
            "a click's reason before a code's",
            Case::new().bad_tokens().code("code-4"),
            Err(Reason::BadSignature),
        ),
    ];
    for (name, case, expected) in table {
        check(name, case, *expected);
    }
}

#[test]
fn a_click_is_dropped_by_the_first_rule_that_it_fails() {
    let judged = |verdict| Case::new().visits(&[Visit { verdict, ..visit(click(1, -DAY)) }]);
    let mixed = Click { link: LinkId::from_bits(2), ..click(1, -DAY) };
    let table: &[(&str, Case, Expected)] = &[
        ("altered", Case::new().bad_tokens(), Err(Reason::BadSignature)),
        ("no such link", Case::new().token(click(9, -DAY)), Err(Reason::UnknownLink)),
        ("another's link", Case::new().token(mixed), Err(Reason::UnknownLink)),
        ("known by now", judged(Verdict::UnknownLink), Ok((1, Via::Visits))),
        ("bot", judged(Verdict::Bot), Err(Reason::NotHuman)),
        ("prefetch", judged(Verdict::Prefetch), Err(Reason::NotHuman)),
        ("head", judged(Verdict::Head), Err(Reason::NotHuman)),
        ("subresource", judged(Verdict::Subresource), Err(Reason::NotHuman)),
        ("flood", judged(Verdict::Flood), Err(Reason::NotHuman)),
        ("judged not active", judged(Verdict::AffiliateNotActive), Err(Reason::AffiliateNotActive)),
        ("switched off", judged(Verdict::LinkDisabled), Err(Reason::UnknownLink)),
        ("before the suspension", Case::new().token(click(3, -21 * DAY)), Ok((3, Via::Click))),
        ("while suspended", Case::new().token(click(3, -15 * DAY)), Err(Reason::AffiliateNotActive)),
        ("at the reinstatement", Case::new().token(click(3, -10 * DAY)), Ok((3, Via::Click))),
        ("left before the signup", Case::new().token(click(4, -DAY)), Err(Reason::AffiliateNotActive)),
        ("the window's first instant", Case::new().token(click(1, -90 * DAY)), Ok((1, Via::Click))),
        ("a millisecond before", Case::new().token(click(1, -90 * DAY - 1)), Err(Reason::OutsideWindow)),
        ("at the signup", Case::new().token(click(1, 0)), Ok((1, Via::Click))),
        ("five minutes ahead", Case::new().token(click(1, 5 * MINUTE)), Ok((1, Via::Click))),
        ("a millisecond more", Case::new().token(click(1, 5 * MINUTE + 1)), Err(Reason::OutsideWindow)),
        ("not active and too old", Case::new().token(click(4, -91 * DAY)), Err(Reason::AffiliateNotActive)),
    ];
    for (name, case, expected) in table {
        check(name, case, *expected);
    }
}

#[test]
fn the_reason_is_that_of_the_click_that_got_furthest() {
    use Reason::{AffiliateNotActive, BadSignature, NotHuman, OutsideWindow, UnknownLink};
    let bot = Visit { verdict: Verdict::Bot, ..visit(click(1, -2 * DAY)) };
    let mut case = Case::new().bad_tokens();
    let mut reasons = vec![case.decide().reason];
    for more in [visit(click(9, -DAY)), bot, visit(click(3, -15 * DAY)), visit(click(1, -100 * DAY))] {
        case = case.visits(&[more]);
        reasons.push(case.decide().reason);
    }
    assert_eq!(reasons, [BadSignature, UnknownLink, NotHuman, AffiliateNotActive, OutsideWindow]);
}

#[test]
fn of_clicks_at_one_instant_the_greatest_id_wins() {
    let [low, high] = [click_with(1, -DAY, 1), click_with(2, -DAY, 9)];
    for case in
        [Case::new().visits(&[visit(low), visit(high)]), Case::new().visits(&[visit(high), visit(low)])]
    {
        for case in [case.clone(), case.first_click()] {
            let decision = case.decide();
            assert_eq!(decision.click_id, Some(high.id));
            assert!(decision.tie_break.expect("a tie").contains("2 clicks"));
        }
    }
    // Clicks of the next five minutes are taken as made at the signup.
    let [at_once, ahead] = [click(1, 0), click(2, 3 * MINUTE)];
    let case = Case::new().visits(&[visit(at_once), visit(ahead)]);
    assert_eq!(case.clone().first_click().decide().click_id, Some(ahead.id));
    assert_eq!(case.decide().clicked_at, Some(at(3 * MINUTE)));
    assert_eq!(Case::new().token(low).decide().tie_break, None);
}

#[test]
fn what_was_recorded_counts_more_than_a_token() {
    let click = click(1, -DAY);
    let flood = Visit { verdict: Verdict::Flood, ..visit(click) };
    check("a token against a record", &Case::new().token(click).visits(&[flood]), Err(Reason::NotHuman));
    check("recorded twice", &Case::new().visits(&[flood, flood]), Err(Reason::NotHuman));
    // The affiliate in the token wins over the one in a record.
    let other = visit(Click { affiliate: AffiliateId::from_bits(2), ..click });
    check("another affiliate recorded", &Case::new().token(click).visits(&[other]), Ok((1, Via::Click)));
}

#[test]
fn a_decision_keeps_its_trace() {
    let [old, new] = [click(1, -100 * DAY), click(2, -DAY)];
    let mut case = Case::new().cookie(old, new).visits(&[visit(new), visit(old)]);
    case.click = Given::Bad;
    let decision = case.decide();
    let trace: Vec<_> =
        decision.considered.iter().map(|seen| (seen.via.clone(), seen.click_id, seen.dropped)).collect();
    let both = vec![Via::Cookie, Via::Visits];
    assert_eq!(
        trace,
        [
            (vec![Via::Click], None, Some(Reason::BadSignature)),
            (both.clone(), Some(old.id), Some(Reason::OutsideWindow)),
            (both, Some(new.id), None),
        ]
    );
    let winner = &decision.considered[2];
    assert_eq!((winner.affiliate_id, winner.link_id), (decision.affiliate_id, decision.link_id));
    assert_eq!((winner.clicked_at, decision.clicked_at), (Some(at(-DAY)), Some(at(-DAY))));
    assert_eq!((decision.model, decision.code), (Model::LastClick, None));
    let by_code = Case::new().code("code-1").decide();
    assert_eq!((by_code.code, by_code.considered.len()), (Some(Reason::Attributed), 0));
    assert_eq!(Case::new().code("code-9").decide().code, Some(Reason::UnknownCode));
}

#[test]
fn suspicion_holds_and_never_rejects() {
    use HoldReason::{SameDomain, SelfReferral, TooFast};
    let clicked = |ago: i64| Case::new().token(click(1, -ago));
    let fast = |ago: i64| {
        let mut case = clicked(ago);
        case.rules.min_seconds_to_signup = 10;
        case
    };
    let exempt = Case::new().token(click(5, -1)).email("partner5@agency5.example");
    let mut fast_code = Case::new().code("code-1");
    fast_code.rules.min_seconds_to_signup = 10;
    let table: &[(&str, Case, &[HoldReason])] = &[
        ("a stranger", clicked(DAY).email("ann@elsewhere.example"), &[]),
        ("no address", clicked(DAY), &[]),
        ("its own address", clicked(DAY).email(" partner1@agency1.EXAMPLE "), &[SelfReferral, SameDomain]),
        (
            "its own address with an alias",
            clicked(DAY).email("partner1+x@agency1.example"),
            &[SelfReferral, SameDomain],
        ),
        ("dots elsewhere", clicked(DAY).email("part.ner1@agency1.example"), &[SameDomain]),
        ("its PayPal address", clicked(DAY).email("pay1@gmail.com"), &[SelfReferral]),
        ("with alias and dots", clicked(DAY).email("P.a.y1+x@googlemail.com"), &[SelfReferral]),
        ("another mailbox at Gmail", clicked(DAY).email("pay1x@gmail.com"), &[]),
        ("reported to an older version", clicked(DAY).email_of_before("pay1@gmail.com"), &[SelfReferral]),
        ("an alias reported to one", clicked(DAY).email_of_before("pay1+x@gmail.com"), &[]),
        ("its domain", clicked(DAY).email("ann@agency1.example"), &[SameDomain]),
        ("a provider's domain", clicked(DAY).email("ann@gmail.com"), &[]),
        ("another affiliate's address", clicked(DAY).email("partner2@agency2.example"), &[]),
        ("by code too", Case::new().code("code-1").email("ann@agency1.example"), &[SameDomain]),
        ("too fast", fast(9_999), &[TooFast]),
        ("just not too fast", fast(10_000), &[]),
        ("before the click", fast(-MINUTE), &[TooFast]),
        ("a code has no click to be fast after", fast_code, &[]),
        ("off by default", clicked(1), &[]),
        ("exempt", exempt, &[]),
    ];
    for (name, case, holds) in table {
        let decision = case.decide();
        assert_eq!(decision.holds, *holds, "{name}");
        assert_eq!(decision.reason, Reason::Attributed, "{name}");
    }
    assert_eq!(Case::new().bad_tokens().email("partner1@agency1.example").decide().holds, []);
}

/// An affiliate whose own address is an alias is known by the mailbox, and by the alias in what an older version
/// journaled.
#[test]
fn an_affiliate_may_have_an_alias_itself() {
    let mut world = world();
    world.affiliates[0].profile.email = "A.nn+partners@gmail.com".to_owned();
    let case = Case::new().token(click(1, -DAY));
    let table = [
        (case.clone().email("ann@googlemail.com"), true),
        (case.clone().email("a.n.n+other@gmail.com"), true),
        (case.clone().email("anna@gmail.com"), false),
        (case.clone().email_of_before("a.nn+partners@gmail.com"), true),
        (case.clone().email_of_before("ann@gmail.com"), true),
        (case.email_of_before("ann+other@gmail.com"), false),
    ];
    for (case, held) in table {
        let expected: &[HoldReason] = if held { &[HoldReason::SelfReferral] } else { &[] };
        assert_eq!(case.decide_in(&world).holds, expected, "{:?}", case.evidence);
    }
}

#[test]
fn a_signup_by_a_click_on_a_paid_ad_is_held_where_the_program_says_so() {
    use HoldReason::{PaidAd, SelfReferral};
    let [old, new] = [click(1, -2 * DAY), click(1, -DAY)];
    let ad = |click| Visit { paid_ad: true, ..visit(click) };
    let strict = |mut case: Case| {
        case.rules.paid_ads = true;
        case
    };
    let by_token = Case::new().token(new).visits(&[ad(new)]);
    let exempt = Case::new().visits(&[ad(click(5, -DAY))]);
    let table: &[(&str, Case, &[HoldReason])] = &[
        ("visits", strict(Case::new().visits(&[ad(new)])), &[PaidAd]),
        ("token and visit", strict(by_token.clone()), &[PaidAd]),
        ("cookie and visit", strict(Case::new().cookie(old, new).visits(&[visit(old), ad(new)])), &[PaidAd]),
        ("an address too", strict(by_token.clone().email("pay1@gmail.com")), &[SelfReferral, PaidAd]),
        ("no ad", strict(Case::new().visits(&[visit(new)])), &[]),
        ("a token whose visit is lost", strict(Case::new().token(new)), &[]),
        ("a click that is not credited", strict(Case::new().visits(&[ad(old), visit(new)])), &[]),
        (
            "a click that the model credits",
            strict(Case::new().visits(&[ad(old), visit(new)])).first_click(),
            &[PaidAd],
        ),
        (
            "a click too old, and a code",
            strict(Case::new().visits(&[ad(click(1, -91 * DAY))]).code("code-1")),
            &[],
        ),
        ("off by default", by_token, &[]),
        ("exempt", strict(exempt), &[]),
    ];
    for (name, case, holds) in table {
        let decision = case.decide();
        assert_eq!((decision.holds.as_slice(), decision.reason), (*holds, Reason::Attributed), "{name}");
    }
}

#[test]
fn a_burst_is_more_signups_an_hour_than_allowed() {
    use HoldReason::{Burst, SameDomain};
    let credited = Case::new().token(click(1, -DAY)).email("ann@agency1.example").decide();
    let burst = |decision: &Attribution, within_hour, burst_per_hour, exempt| {
        let mut decision = decision.clone();
        let rules = AttributionRules { burst_per_hour, ..rules() };
        hold_burst(&mut decision, within_hour, &rules, exempt);
        decision.holds
    };
    assert_eq!(burst(&credited, 10, 10, false), [SameDomain]);
    assert_eq!(burst(&credited, 11, 10, false), [SameDomain, Burst]);
    assert_eq!(burst(&credited, 1_000, 0, false), [SameDomain]);
    assert_eq!(burst(&credited, 1_000, 10, true), [SameDomain]);
    assert_eq!(burst(&Case::new().decide(), 1_000, 10, false), []);
}

#[test]
fn a_domain_is_what_follows_the_last_at() {
    assert_eq!(domain_of(" Ann@Example.COM "), Some("example.com".into()));
    assert_eq!(domain_of("\"a@b\"@c.d"), Some("c.d".into()));
    for address in ["", "ann", "ann@"] {
        assert_eq!(domain_of(address), None, "{address}");
    }
}

/// The rules a second time, as simple as possible: one pass over all sightings for each question.
fn naive(case: &Case, world: &World) -> (Option<(AffiliateId, Via)>, Option<ClickId>, Reason) {
    let mut sightings: Vec<(Via, Option<Click>, Verdict)> = vec![];
    match case.click {
        Given::Good(claim) => sightings.push((Via::Click, Some(claim.click), Verdict::Human)),
        Given::Bad => sightings.push((Via::Click, None, Verdict::Human)),
        Given::Nothing => {}
    }
    match case.cookie {
        Given::Good(claim) => {
            sightings.push((Via::Cookie, Some(claim.first), Verdict::Human));
            sightings.push((Via::Cookie, Some(claim.last), Verdict::Human));
        }
        Given::Bad => sightings.push((Via::Cookie, None, Verdict::Human)),
        Given::Nothing => {}
    }
    sightings.extend(case.visits.iter().map(|visit| (Via::Visits, Some(visit.click), visit.verdict)));
    let order = [
        Reason::BadSignature,
        Reason::UnknownLink,
        Reason::NotHuman,
        Reason::AffiliateNotActive,
        Reason::OutsideWindow,
    ];
    let (mut best, mut furthest): (Option<(i64, ClickId, AffiliateId)>, Option<usize>) = (None, None);
    for (_, click, _) in &sightings {
        let named = |other: &Option<Click>| other.map(|other| other.id) == click.map(|click| click.id);
        let mut records = sightings.iter().filter(|(via, other, _)| *via == Via::Visits && named(other));
        let recorded = records.next().map(|(_, _, verdict)| *verdict);
        let verdict = recorded.unwrap_or(Verdict::Human);
        let failed = (0..order.len()).find(|rule| {
            let Some(click) = click else { return true };
            let made = click.id.millis() - SIGNUP;
            let counts = if (1..=5 * MINUTE).contains(&made) { 0 } else { made };
            let link = world.links.iter().find(|link| link.id == click.link);
            let owner = world.affiliates.iter().find(|owner| owner.id == click.affiliate);
            match rule {
                0 => false,
                1 => {
                    owner.is_none()
                        || link.is_none_or(|link| link.affiliate != click.affiliate)
                        || verdict == Verdict::LinkDisabled
                }
                2 => !matches!(verdict, Verdict::Human | Verdict::UnknownLink | Verdict::AffiliateNotActive),
                3 => {
                    verdict == Verdict::AffiliateNotActive
                        || owner.is_some_and(|owner| {
                            [counts, 0].iter().any(|when| owner.status_at(at(*when)) != Some(Status::Active))
                        })
                }
                _ => counts > 0 || counts < -case.rules.window_ms,
            }
        });
        match (failed, click) {
            (Some(rule), _) => furthest = furthest.max(Some(rule)),
            (None, Some(click)) => {
                let made = click.id.millis() - SIGNUP;
                let counts = if made > 0 { 0 } else { made };
                let better = best.is_none_or(|(time, id, _)| {
                    let nearer =
                        if case.rules.model == Model::LastClick { counts > time } else { counts < time };
                    nearer || (counts == time && click.id > id)
                });
                if better {
                    best = Some((counts, click.id, click.affiliate));
                }
            }
            (None, None) => unreachable!("no click fails the first rule"),
        }
    }
    if let Some((_, id, affiliate)) = best {
        let via = sightings.iter().find(|(_, click, _)| click.is_some_and(|click| click.id == id));
        return (via.map(|(via, _, _)| (affiliate, *via)), Some(id), Reason::Attributed);
    }
    let code = case.evidence.code.as_ref().map(|code| code.trim().to_lowercase());
    let owner = code.as_ref().map(|code| world.affiliates.iter().find(|owner| owner.code.as_str() == code));
    match (owner, furthest) {
        (Some(Some(owner)), _) if owner.was_active_at(at(0)) => {
            (Some((owner.id, Via::Code)), None, Reason::Attributed)
        }
        (_, Some(rule)) => (None, None, order[rule]),
        (Some(Some(_)), None) => (None, None, Reason::AffiliateNotActive),
        (Some(None), None) => (None, None, Reason::UnknownCode),
        (None, None) => (None, None, Reason::NoEvidence),
    }
}

fn any_click() -> impl Strategy<Value = Click> {
    let edges =
        [-90 * DAY - 1, -90 * DAY, -20 * DAY, -10 * DAY - 1, -DAY, -1, 0, 1, 5 * MINUTE, 5 * MINUTE + 1];
    let time = prop_oneof![prop::sample::select(edges.to_vec()), -100 * DAY..10 * MINUTE];
    // The salt follows from the rest, so one id never names two clicks.
    (1..=6u64, 1..=6u64, time, any::<bool>()).prop_map(|(owner, other, time, own)| {
        let link = if own { owner } else { other };
        let salt = u8::try_from(owner * 10 + link).expect("small");
        Click { link: LinkId::from_bits(link), ..click_with(owner, time, salt) }
    })
}

fn any_case() -> impl Strategy<Value = Case> {
    let visits = prop::collection::vec((any_click(), prop::sample::select(Verdict::ALL.to_vec())), 0..6);
    let code = prop::option::of(prop::sample::select(vec!["code-1", "CODE-4", "code-9"]));
    let tokens = (0..3u8, any_click(), 0..3u8, any_click(), any_click());
    (tokens, visits, code, any::<bool>(), any::<u8>()).prop_map(|(tokens, visits, code, first, share)| {
        let (click, clicked, cookie, oldest, newest) = tokens;
        let mut case = Case::new();
        // Some evidence names one click more than once.
        let oldest = if share & 1 == 1 { clicked } else { oldest };
        let newest = if share & 2 == 2 { oldest } else { newest };
        match click {
            0 => case.click = Given::Bad,
            1 => case = case.token(clicked),
            _ => {}
        }
        match cookie {
            0 => case.cookie = Given::Bad,
            1 => case = case.cookie(oldest, newest),
            _ => {}
        }
        case.visits = visits.into_iter().map(|(click, verdict)| Visit { verdict, ..visit(click) }).collect();
        if let (Some(visit), 4) = (case.visits.first_mut(), share & 4) {
            visit.click = clicked;
        }
        if let Some(code) = code {
            case = case.code(code);
        }
        if first { case.first_click() } else { case }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_plainer_program_decides_the_same(case in any_case()) {
        let world = world();
        let decision = case.decide_in(&world);
        let found = decision.affiliate_id.zip(decision.via);
        prop_assert_eq!((found, decision.click_id, decision.reason), naive(&case, &world));
    }

    #[test]
    fn the_order_of_visits_changes_nothing(case in any_case()) {
        // If one click has several verdicts, the trace may hold any of them; the simple rules take the first.
        prop_assume!(case.visits.iter().enumerate().all(|(place, visit)| {
            case.visits[..place].iter().all(|other| other.click.id != visit.click.id)
        }));
        let mut turned = case.clone();
        turned.visits.reverse();
        prop_assert_eq!(case.decide(), turned.decide());
    }
}
