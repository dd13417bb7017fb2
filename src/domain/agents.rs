//! Whether a user agent is a program's: by the list of the npm package `crawler-user-agents` (MIT, beside
//! this file), all its patterns in one expression.

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use std::sync::LazyLock;

const DATA: &str = include_str!("agents/crawler-user-agents.json");

/// Patterns of the list that match browsers of people, and what is used instead.
const NARROWED: &[(&str, &str)] = &[
    // A build of Android on millions of phones; its one sample is Instagram's browser on such a phone.
    (r"AP3A\.240617\.008", ""),
    // Apps whose own browser names them at the end; the fetchers of previews begin with the name.
    (r"Viber", "^Viber"),
    (r"Bluesky\/", r"^Bluesky\/"),
    (r"Notion\/", r"^Notion\/"),
    (r"Daum\/", r"compatible; Daum\/"),
    // A Chinese browser: only its maker's spiders are programs.
    (r"Sogou", "Sogou [A-Za-z]+ [Ss]pider"),
    // Editors and readers that show pages to people.
    (r"Code\/1\.", ""),
];

/// How much of a user agent is looked at: browsers stay below, and programs name themselves early.
const MAX_BYTES: usize = 1024;

#[derive(Deserialize)]
struct Entry {
    pattern: String,
}

static BOTS: LazyLock<Regex> = LazyLock::new(|| {
    // The list is compiled in, and a test reads it.
    let entries: Vec<Entry> = serde_json::from_str(DATA).expect("the list is JSON");
    let patterns: Vec<&str> =
        entries.iter().map(|entry| narrowed(&entry.pattern)).filter(|pattern| !pattern.is_empty()).collect();
    let alternation = patterns.iter().map(|pattern| format!("(?:{pattern})")).collect::<Vec<_>>().join("|");
    RegexBuilder::new(&alternation)
        .unicode(false)
        .size_limit(64 << 20)
        .dfa_size_limit(16 << 20)
        .build()
        // The same holds for its patterns.
        .expect("the list's patterns are expressions")
});

fn narrowed(pattern: &str) -> &str {
    NARROWED.iter().find(|(broad, _)| *broad == pattern).map_or(pattern, |(_, narrow)| narrow)
}

/// Reads the list now, so that the first click does not wait for it.
pub fn prepare() {
    LazyLock::force(&BOTS);
}

/// Whether a program sent it. People's browsers always send one: an empty one is a program's.
pub fn is_bot(user_agent: &[u8]) -> bool {
    let user_agent = user_agent.trim_ascii();
    user_agent.is_empty() || BOTS.is_match(&user_agent[..user_agent.len().min(MAX_BYTES)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Sampled {
        pattern: String,
        #[serde(default)]
        instances: Vec<String>,
    }

    fn list() -> Vec<Sampled> {
        serde_json::from_str(DATA).expect("the list is JSON")
    }

    #[test]
    fn every_sample_of_the_list_is_a_bot() {
        // Those of patterns that we do not use at all are browsers.
        let used = |entry: &Sampled| !narrowed(&entry.pattern).is_empty();
        let samples: Vec<String> =
            list().into_iter().filter(used).flat_map(|entry| entry.instances).collect();
        assert!(samples.len() > 2_000);
        let missed: Vec<_> = samples.iter().filter(|sample| !is_bot(sample.as_bytes())).collect();
        assert_eq!(missed, Vec::<&String>::new());
    }

    #[test]
    fn every_pattern_that_we_narrow_is_still_in_the_list() {
        for (broad, _) in NARROWED {
            assert!(list().iter().any(|entry| entry.pattern == *broad), "{broad}");
        }
    }

    #[test]
    fn the_browsers_of_people_are_not_bots() {
        let browsers: Vec<_> = include_str!("agents/browsers.txt").lines().collect();
        assert!(browsers.len() > 40);
        let caught: Vec<_> = browsers.into_iter().filter(|browser| is_bot(browser.as_bytes())).collect();
        assert_eq!(caught, Vec::<&str>::new());
    }

    #[test]
    fn link_previews_scanners_and_nameless_programs_are_bots() {
        let bots = [
            "",
            "  ",
            "curl/8.5.0",
            "Wget/1.21.4",
            "python-requests/2.32.3",
            "Go-http-client/2.0",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "Twitterbot/1.0",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "WhatsApp/2.23.20.0",
            "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            "TelegramBot (like TwitterBot)",
            "Mastodon/4.3.0 (http.rb/5.2.0; +https://mastodon.social/) Bot",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        ];
        let missed: Vec<_> = bots.into_iter().filter(|bot| !is_bot(bot.as_bytes())).collect();
        assert_eq!(missed, Vec::<&str>::new());
    }

    #[test]
    fn bytes_that_are_no_text_and_endless_agents_are_looked_at_all_the_same() {
        assert!(!is_bot(b"Mozilla/5.0 \xff\xfe Firefox/144.0"));
        assert!(is_bot(b"\xff curlew Googlebot/2.1"));
        assert!(!is_bot(&b"Mozilla/5.0 ".repeat(2_000)));
    }
}
