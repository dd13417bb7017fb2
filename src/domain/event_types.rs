//! The names of event types that senders use, and what each name means.
//!
//! A name that is neither known nor listed to be ignored is refused: a cancellation with an unknown spelling
//! must not be taken for an event without effect.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A type of event that has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// In good standing from this event on.
    Activated,
    /// Not in good standing from this event on.
    Suspended,
    /// The account left.
    Canceled,
    /// On another plan from this event on.
    PlanChanged,
}

/// The four names, and other spellings that senders are known to use.
const SPELLINGS: [(&str, EventType); 8] = [
    ("activated", EventType::Activated),
    ("reactivated", EventType::Activated),
    ("resumed", EventType::Activated),
    ("suspended", EventType::Suspended),
    ("paused", EventType::Suspended),
    ("canceled", EventType::Canceled),
    ("cancelled", EventType::Canceled),
    ("plan_changed", EventType::PlanChanged),
];

/// The meaning of a name without any configuration. Blanks around it and upper case are ignored.
pub fn built_in(name: &str) -> Option<EventType> {
    let name = fold(name);
    SPELLINGS.iter().find(|(spelling, _)| *spelling == name).map(|(_, meaning)| *meaning)
}

/// What names mean in a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTypes {
    aliases: BTreeMap<String, EventType>,
    ignored: Vec<String>,
}

impl EventTypes {
    /// The built-in names, with further `aliases`, and patterns of names that are kept without effect: in a
    /// pattern `*` stands for any characters.
    pub fn new<'a>(
        aliases: impl IntoIterator<Item = (&'a String, &'a EventType)>,
        ignored: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        Self {
            aliases: aliases.into_iter().map(|(name, meaning)| (fold(name), *meaning)).collect(),
            ignored: ignored.into_iter().map(|pattern| fold(pattern)).collect(),
        }
    }
    /// The effect of an event with this name, if it is known to have one.
    pub fn meaning(&self, name: &str) -> Option<EventType> {
        built_in(name).or_else(|| self.aliases.get(&fold(name)).copied())
    }
    /// Whether an event with this name, which has no meaning, is kept without effect.
    pub fn is_ignored(&self, name: &str) -> bool {
        let name = fold(name);
        self.ignored.iter().any(|pattern| fits(pattern, &name))
    }
}

/// The form of a name that is compared.
pub fn fold(name: &str) -> String {
    name.trim().to_lowercase()
}

fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut left) = name.strip_prefix(first) else { return false };
    for part in middle.split('*') {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> EventTypes {
        let aliases = BTreeMap::from([
            ("customer.subscription.deleted".to_owned(), EventType::Canceled),
            ("Churned".to_owned(), EventType::Canceled),
        ]);
        let ignored = ["invoice.*", "*.viewed", "note", "a*b*c"].map(str::to_owned);
        EventTypes::new(&aliases, &ignored)
    }

    #[test]
    fn common_spellings_and_configured_ones_have_a_meaning_and_others_none() {
        let table = [
            ("activated", Some(EventType::Activated)),
            ("reactivated", Some(EventType::Activated)),
            ("resumed", Some(EventType::Activated)),
            ("suspended", Some(EventType::Suspended)),
            ("paused", Some(EventType::Suspended)),
            ("canceled", Some(EventType::Canceled)),
            ("cancelled", Some(EventType::Canceled)),
            (" Cancelled\n", Some(EventType::Canceled)),
            ("PLAN_CHANGED", Some(EventType::PlanChanged)),
            ("customer.subscription.deleted", Some(EventType::Canceled)),
            ("churned", Some(EventType::Canceled)),
            ("invoice.paid", None),
            ("upgraded", None),
            ("cancel", None),
            ("", None),
        ];
        for (name, meaning) in table {
            assert_eq!(types().meaning(name), meaning, "{name}");
        }
    }

    #[test]
    fn a_star_in_a_name_to_be_ignored_stands_for_any_letters() {
        let table = [
            ("invoice.paid", true),
            ("Invoice.", true),
            ("invoice", false),
            ("an.invoice.paid", false),
            ("page.viewed", true),
            (".viewed", true),
            ("page.viewed.twice", false),
            ("note", true),
            ("notes", false),
            ("abc", true),
            ("a-b-c", true),
            ("ac", false),
            ("acb", false),
            ("", false),
        ];
        for (name, ignored) in table {
            assert_eq!(types().is_ignored(name), ignored, "{name}");
        }
        let all = EventTypes::new(&BTreeMap::new(), &["*".to_owned()]);
        assert!(all.is_ignored("anything") && all.meaning("canceled") == Some(EventType::Canceled));
        assert!(!EventTypes::default().is_ignored("invoice.paid"));
    }
}
