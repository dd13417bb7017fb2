//! Templates: compiled in, overridable by files of a directory, escaped without exception.
//!
//! A page's template extends `layout/page.html` and is given what its handler says (`page(…)`) beside what all
//! pages know: `site`, `chrome`, `now`. A name that is not given is an error, not an empty text; a
//! test renders what the tests visit.

use super::assets;
use crate::config::Config;
use crate::domain::calendar::{Month, Zone};
use chrono::{DateTime, NaiveDate, Utc};
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, context};
use serde::Serialize;

/// A template's name and text.
pub type Source = (&'static str, &'static str);

/// The sources of these templates, by their names below `templates/`.
#[macro_export]
macro_rules! templates {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $name)))),+]
    };
}

/// All templates of pages.
const SOURCES: &[Source] = templates![
    "layout/bare.html",
    "layout/fault.html",
    "layout/list.html",
    "layout/macros.html",
    "layout/page.html",
    "portal/claims.html",
    "portal/home.html",
    "portal/links.html",
    "portal/payouts.html",
    "portal/profile.html",
    "portal/referral.html",
    "portal/referrals.html",
    "portal/statement.html",
    "portal/statements.html",
    "public/agreement.html",
    "public/apply.html",
    "public/confirm.html",
    "public/home.html",
    "public/thanks.html",
    "sign_in/forgot.html",
    "sign_in/link_over.html",
    "sign_in/login.html",
    "sign_in/password.html",
    "staff/account.html",
    "staff/affiliate.html",
    "staff/application.html",
    "staff/claim.html",
    "staff/edit.html",
    "staff/figures.html",
    "staff/home.html",
    "staff/invited.html",
    "staff/link_off.html",
    "staff/list.html",
    "staff/macros.html",
    "staff/me.html",
    "staff/member.html",
    "staff/members.html",
    "staff/month.html",
    "staff/payout.html",
    "staff/payout_item.html",
    "staff/payout_list.html",
    "staff/payout_report.html",
    "staff/payouts.html",
    "staff/runs.html",
    "staff/statement.html",
];

/// Why the templates can't be used.
#[derive(Debug, thiserror::Error)]
#[error("read the template {name}: {error}")]
pub struct TemplateError {
    name: String,
    error: String,
}

/// The templates, ready to be rendered.
pub struct Views {
    environment: Environment<'static>,
}

impl std::fmt::Debug for Views {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Views").finish_non_exhaustive()
    }
}

impl Views {
    /// Reads the templates; a file of the same name in the configured directory stands in for one of ours.
    pub fn new(config: &Config, zone: &Zone) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        // Lines that hold only a statement leave no trace.
        let syntax = environment.syntax().to_builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(
            syntax.map_err(|error| TemplateError { name: "syntax".to_owned(), error: error.to_string() })?,
        );
        add_filters(&mut environment, zone, &config.program.currency);
        environment.add_global("site", site(config));
        for (name, ours) in SOURCES.iter().copied() {
            let failed = |error: String| TemplateError { name: name.to_owned(), error };
            let file =
                config.pages.templates.as_ref().map(|dir| dir.join(name)).filter(|file| file.is_file());
            let text = match file {
                Some(file) => std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?,
                None => ours.to_owned(),
            };
            environment.add_template_owned(name, text).map_err(|error| failed(error.to_string()))?;
        }
        Ok(Self { environment })
    }

    /// Renders a template.
    pub fn render(
        &self,
        name: &str,
        chrome: &Frame,
        now: DateTime<Utc>,
        content: impl Serialize,
    ) -> Result<String, Error> {
        let content = Value::from(Serde(content));
        let all = context! {
            chrome => Value::from(Serde(chrome)),
            now => now.to_rfc3339(),
            ..content
        };
        self.environment.get_template(name)?.render(all)
    }
}

/// What every template may show of the program.
fn site(config: &Config) -> Value {
    let (program, portal) = (&config.program, &config.portal);
    context! {
        program_name => portal.program_name.as_str(),
        company => portal.company.as_str(),
        // Empty: nowhere.
        support_email => portal.support_email.as_deref().unwrap_or_default(),
        landing => program.landing.as_str(),
        mark_days => program.mark_days,
        window_days => program.window_days,
        currency => program.currency.as_str(),
        timezone => program.timezone.as_str(),
        css => assets::css(),
        js => assets::js(),
    }
}

/// Which pages these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// For everyone.
    #[default]
    Public,
    /// For an affiliate.
    Portal,
    /// For staff.
    Staff,
}

/// What stands around a page's content.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Frame {
    /// Which pages these are: chooses the navigation.
    pub part: Part,
    /// The entry of the navigation that the page belongs to.
    pub section: &'static str,
    /// Who is signed in.
    pub name: Option<String>,
    /// The token that each form of a signed-in person carries.
    pub csrf: String,
    /// What was just done, in words.
    pub notice: Option<&'static str>,
    /// What should be known on every page, in words: a suspension, an agreement to sign.
    pub banner: Option<Banner>,
    /// What the signed-in person may do (staff): names of actions.
    pub may: Vec<&'static str>,
}

/// Something to know on every page.
#[derive(Debug, Clone, Serialize)]
pub struct Banner {
    /// In words.
    pub text: String,
    /// What can be done about it: an address and its words.
    pub link: Option<(&'static str, &'static str)>,
    /// Bad news: it says whom to write to.
    pub is_bad: bool,
}

fn add_filters(environment: &mut Environment<'static>, zone: &Zone, currency: &str) {
    let currency = currency.to_owned();
    environment.add_filter("money", move |amount: &str| money(amount, &currency));
    environment.add_filter("day", |day: &str| day_in_words(day));
    environment
        .add_filter("month", |month: &str| month.parse().map(month_in_words).map_err(|_| bad("not a month")));
    environment.add_filter("count", |number: u64| grouped(&number.to_string()));
    let [to_date, to_instant] = [zone.clone(), zone.clone()];
    environment.add_filter("date", move |at: &str| instant(at).map(|at| show_day(to_date.date_of(at))));
    environment.add_filter("instant", move |at: &str| instant(at).map(|at| in_zone(at, &to_instant)));
    environment.add_filter("ago", |state: &State, at: &str| {
        let now = state.lookup("now").and_then(|now| now.as_str().and_then(|now| instant(now).ok()));
        instant(at).map(|at| ago(now.unwrap_or(at), at))
    });
}

fn bad(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

fn instant(text: &str) -> Result<DateTime<Utc>, Error> {
    DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).map_err(|_| bad("not an instant"))
}

/// `-1234.50` as `−$1,234.50`; a currency without a sign of its own is named.
pub fn money(amount: &str, currency: &str) -> String {
    let (minus, amount) = amount.strip_prefix('-').map_or(("", amount), |amount| ("\u{2212}", amount));
    let (whole, places) = amount.split_once('.').unwrap_or((amount, "00"));
    let sign = match currency {
        "USD" => "$",
        "EUR" => "\u{20ac}",
        "GBP" => "\u{a3}",
        other => return format!("{minus}{}.{places}\u{a0}{other}", grouped(whole)),
    };
    format!("{minus}{sign}{}.{places}", grouped(whole))
}

/// `-1234` as `-1,234`.
pub fn count_in_words(number: i64) -> String {
    format!("{}{}", if number < 0 { "-" } else { "" }, grouped(&number.unsigned_abs().to_string()))
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `Apr 1, 2026`.
pub fn show_day(day: NaiveDate) -> String {
    day.format("%b %-d, %Y").to_string()
}

fn day_in_words(day: &str) -> Result<String, Error> {
    day.parse().map(show_day).map_err(|_| bad("not a day"))
}

/// `April 2026`.
pub fn month_in_words(month: Month) -> String {
    month.first_day().format("%B %Y").to_string()
}

/// The wall's time in the program's zone.
pub fn in_zone(at: DateTime<Utc>, zone: &Zone) -> String {
    zone.wall_time(at).format("%b %-d, %Y, %H:%M").to_string()
}

/// How long ago, in the largest unit that says enough.
pub fn ago(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds().max(0);
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3_600 => (seconds / 60, "minute"),
        3_600..172_800 => (seconds / 3_600, "hour"),
        172_800..5_184_000 => (seconds / 86_400, "day"),
        _ => (seconds / 2_592_000, "month"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config<const N: usize>(given: [(String, String); N]) -> Config {
        Config::from_layers(None, given).expect("a configuration")
    }

    fn zone() -> Zone {
        "America/New_York".parse().expect("a zone")
    }

    #[test]
    fn all_templates_can_be_read() {
        Views::new(&config([]), &zone()).expect("templates that parse");
    }

    #[test]
    fn a_file_stands_in_for_a_template_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("layout")).expect("a directory");
        std::fs::write(dir.path().join("layout/fault.html"), "mine {% oops %}").expect("a file");
        let overrides = ("COUNTERFOIL__PAGES__TEMPLATES".to_owned(), dir.path().display().to_string());
        let error = Views::new(&config([overrides]), &zone()).expect_err("a broken template");
        assert!(error.to_string().contains("layout/fault.html"), "{error}");
    }

    #[test]
    fn amounts_are_shown_as_people_write_them() {
        for (amount, currency, shown) in [
            ("0.00", "USD", "$0.00"),
            ("999.50", "USD", "$999.50"),
            ("1234567.00", "USD", "$1,234,567.00"),
            ("-0.50", "USD", "\u{2212}$0.50"),
            ("-50.00", "USD", "\u{2212}$50.00"),
            ("-1000.00", "CHF", "\u{2212}1,000.00\u{a0}CHF"),
        ] {
            assert_eq!(money(amount, currency), shown);
        }
    }

    #[test]
    fn counts_are_grouped() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(count_in_words(number), shown);
        }
    }

    #[test]
    fn times_are_those_of_the_programs_zone() {
        let at = "2026-04-02T01:30:00Z".parse().expect("a literal");
        assert_eq!(in_zone(at, &zone()), "Apr 1, 2026, 21:30");
        assert_eq!(day_in_words("2026-04-01").expect("a day"), "Apr 1, 2026");
        assert_eq!(month_in_words("2026-04".parse().expect("a month")), "April 2026");
        assert!(day_in_words("x").is_err());
    }

    #[test]
    fn what_is_past_is_told_in_the_largest_unit_that_says_enough() {
        let now: DateTime<Utc> = "2026-04-02T00:00:00Z".parse().expect("a literal");
        for (seconds, shown) in [
            (-5, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (86_400, "24 hours ago"),
            (3 * 86_400, "3 days ago"),
            (90 * 86_400, "3 months ago"),
        ] {
            assert_eq!(ago(now, now - chrono::TimeDelta::seconds(seconds)), shown);
        }
    }
}
