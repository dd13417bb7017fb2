//! Who sends a user agent: by the list of the npm package `crawler-user-agents` (MIT, beside this file) with
//! small corrections, all its patterns in one expression.

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use std::sync::LazyLock;

const DATA: &str = include_str!("agents/crawler-user-agents.json");

/// Who sends a user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// A browser that a person uses.
    Person,
    /// A program on its own.
    Program,
    /// An AI assistant that fetches a page to answer a person's question.
    Assistant,
}

/// Patterns of the list that also match browsers of people, with their replacements.
const NARROWED: &[(&str, &str)] = &[
    // A build of Android on millions of phones; the only sample in the list is Instagram's browser on such a
    // phone.
    (r"AP3A\.240617\.008", ""),
    // Facebook's own browser, in which people open links. Its previews have other names.
    ("MetaIAB Facebook", ""),
    // Sites that are installed as apps on Macs: a browser of people.
    ("Fluid", ""),
    // Apps whose own browser has the app's name at the end; the previews' fetchers begin with it.
    (r"Viber", "^Viber"),
    ("WhatsApp", "^WhatsApp"),
    (r"Bluesky\/", r"^Bluesky\/"),
    (r"Notion\/", r"^Notion\/"),
    (r"Instapaper\/", r"^Instapaper\/"),
    ("Blackboard", "^Blackboard"),
    (r"Daum\/", r"compatible; Daum\/"),
    // Phones, tablets and apps whose name is a program's name, or ends with it.
    ("Butterfly", r"compatible; Butterfly\/"),
    ("Fever", r"^Fever\/"),
    ("Sonic", r"RankSonic|compatible; Sonic\/"),
    (r"008\/", r"^008\/"),
    ("Expanse", "^Expanse,"),
    ("Chirp|gotosocial", "gotosocial"),
    // Workstations of hospitals.
    ("Synapse", "^Synapse"),
    // Add-ons and portals that put their name into the user agent of a browser.
    ("Adventurer", "^Adventurer"),
    (r"BW\/", r"; BW\/"),
    (r"mail\.ru", r"\/\/top\.mail\.ru"),
    // A Chinese browser: only its maker's spiders are programs.
    (r"Sogou", "Sogou [A-Za-z]+ [Ss]pider"),
    // Editors and readers that show pages to people.
    (r"Code\/1\.", ""),
];

/// Patterns of programs that are not in the list.
const ADDED: &[&str] = &[
    // One word in lower case: HTTP clients use such names, and no browser does.
    r"^[a-z][a-z0-9_.-]*(/[0-9][^ ()]*)?$",
    // No browser sends so little.
    r"^Mozilla/[0-9.]+$",
    // HTTP clients of languages and tools, by their first word.
    r"(?i)^(java|java-http-client|apache-httpasyncclient|jakarta commons-httpclient|apachebench|guzzlehttp|postmanruntime|php|ruby|rest-client|faraday|httpclient|http\.rb|mojolicious|dart|deno|bun|restsharp|unirest-java|feign|reactornetty|needle|k6|lua-resty-http)([/ ]v?[0-9.]|$| \()",
    r"^(Symfony HttpClient|Typhoeus|Microsoft URL Control|Microsoft-WinHTTP|WinHTTP-Autoproxy-Service|Embarcadero URI Client|Spring-WebClient)\b",
    r"PowerShell/",
    // Mail gateways that follow the links of a mail before its reader does.
    r"(?i)barracuda|proofpoint|mimecast|safe ?links",
    // Previews of links in chats.
    r"(?i)SnapURLPreview|Cardyb|MicrosoftPreview|kakaotalk-scrap|link[ -]?preview",
];

/// Patterns of AI assistants: they read what they fetch, and may report it to one person. (A program that
/// collects pages for training or for search counts as any other program.)
const ASSISTANTS: &[&str] = &[
    "ChatGPT[- ](User|Agent)",
    "Claude-User",
    "Perplexity-?User",
    "MistralAI-User",
    "DuckAssistBot",
    "Amzn-User",
    "meta-externalfetcher",
    "Google-NotebookLM",
    "Google-Agent",
    "Google-Gemini-CLI",
    "Gemini-Deep-Research",
    "Manus-User",
    "NovaAct",
    "Devin/",
    "kagi-fetcher",
    "iAskBot",
    "PhindBot",
];

/// How many bytes of a user agent are checked: browsers stay below, and programs name themselves early.
const MAX_BYTES: usize = 1024;

#[derive(Deserialize)]
struct Entry {
    pattern: String,
}

/// Matches every user agent that is not a person's browser.
static NOT_PEOPLE: LazyLock<Regex> = LazyLock::new(|| {
    // The list is compiled in, and a test reads it.
    let entries: Vec<Entry> = serde_json::from_str(DATA).expect("the list is JSON");
    let listed = entries.iter().map(|entry| narrowed(&entry.pattern)).filter(|pattern| !pattern.is_empty());
    any_of(listed.chain(ADDED.iter().copied()).chain(ASSISTANTS.iter().copied()))
});

static ONLY_ASSISTANTS: LazyLock<Regex> = LazyLock::new(|| any_of(ASSISTANTS.iter().copied()));

fn any_of<'a>(patterns: impl Iterator<Item = &'a str>) -> Regex {
    let alternation = patterns.map(|pattern| format!("(?:{pattern})")).collect::<Vec<_>>().join("|");
    RegexBuilder::new(&alternation)
        .unicode(false)
        .size_limit(64 << 20)
        .dfa_size_limit(16 << 20)
        .build()
        // The patterns are compiled in, and a test uses them.
        .expect("the patterns are expressions")
}

fn narrowed(pattern: &str) -> &str {
    NARROWED.iter().find(|(broad, _)| *broad == pattern).map_or(pattern, |(_, narrow)| narrow)
}

/// Reads the list now, so that the first click does not wait for it.
pub fn prepare() {
    LazyLock::force(&NOT_PEOPLE);
    LazyLock::force(&ONLY_ASSISTANTS);
}

/// Who sent it. Browsers of people always send a user agent, so an empty one is a program's.
pub fn who(user_agent: &[u8]) -> Agent {
    let user_agent = user_agent.trim_ascii();
    let user_agent = &user_agent[..user_agent.len().min(MAX_BYTES)];
    if user_agent.is_empty() {
        Agent::Program
    } else if !NOT_PEOPLE.is_match(user_agent) {
        Agent::Person
    } else if ONLY_ASSISTANTS.is_match(user_agent) {
        Agent::Assistant
    } else {
        Agent::Program
    }
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

    fn is_bot(user_agent: &[u8]) -> bool {
        who(user_agent) != Agent::Person
    }

    fn list() -> Vec<Sampled> {
        serde_json::from_str(DATA).expect("the list is JSON")
    }

    #[test]
    fn every_sample_of_the_list_is_a_bot() {
        // Samples of patterns that are not used at all are browsers.
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

    /// Checks that each user agent in a table is classified as expected.
    fn all_are(expected: Agent, agents: &[&str]) {
        let wrong: Vec<_> = agents.iter().filter(|agent| who(agent.as_bytes()) != expected).collect();
        assert_eq!(wrong, Vec::<&&str>::new(), "not {expected:?}");
    }

    #[test]
    fn http_clients_of_languages_and_tools_are_programs() {
        all_are(
            Agent::Program,
            &[
                "",
                "  ",
                "Mozilla/5.0",
                "Java/17",
                "Java/1.8.0_402",
                "Java-http-client/21.0.2",
                "GuzzleHttp/7",
                "GuzzleHttp/6.5.5 curl/7.68.0 PHP/7.4.3",
                "PostmanRuntime/7.39.0",
                "PostmanRuntime/7",
                "insomnia/9.2.0",
                "Barracuda Sentinel (EE)",
                "okhttp/4.12.0",
                "okhttp/5.0.0-alpha.14",
                "Apache-HttpClient/4.5.14 (Java/17.0.10)",
                "Apache-HttpAsyncClient/4.1.5 (Java/11.0.22)",
                "python-requests/2.32.3",
                "python-httpx/0.27.0",
                "Python/3.12 aiohttp/3.9.5",
                "Python-urllib/3.12",
                "curl/8.9.1",
                "Wget/1.24.5",
                "wget2/2.1.0",
                "Go-http-client/1.1",
                "Go-http-client/2.0",
                "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
                "node",
                "undici",
                "axios/1.7.2",
                "got (https://github.com/sindresorhus/got)",
                "Deno/1.44.4",
                "Bun/1.1.20",
                "Ruby",
                "Faraday v2.9.0",
                "rest-client/2.1.0 (linux x86_64) ruby/3.2.2p53",
                "HTTPie/3.2.2",
                "libwww-perl/6.77",
                "LWP::Simple/6.77 libwww-perl/6.77",
                "PHP/8.3.8",
                "Symfony HttpClient/Curl",
                "WordPress/6.6; https://example.com",
                "Dart/3.4 (dart:io)",
                "reqwest/0.12.5",
                "ureq/2.10.0",
                "hyper/1.4",
                "Microsoft URL Control - 6.01.9782",
                "RestSharp/111.4.1.0",
                "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.22621.3880",
                "Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.22631; en-US) PowerShell/7.4.3",
                "Microsoft-WinHTTP/5.1",
                "WinHTTP-Autoproxy-Service/5.1",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
                "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
                "Scrapy/2.11.2 (+https://scrapy.org)",
                "colly - https://github.com/gocolly/colly/v2",
                "Jakarta Commons-HttpClient/3.1",
                "aria2/1.37.0",
                "k6/0.52.0 (https://k6.io/)",
                "ApacheBench/2.3",
                "ReactorNetty/1.1.20",
                "Feign/12",
                "unirest-java/3.11.09",
                "Mojolicious (Perl)",
                "http.rb/5.2.0",
                "Typhoeus - https://github.com/typhoeus/typhoeus",
                "HTTPClient/1.0 (2.8.3, ruby 3.2.2 (2023-03-30))",
                "cpp-httplib/0.15.3",
                "lua-resty-http/0.17.1 (Lua) ngx_lua/10026",
                "Embarcadero URI Client/1.0",
                "Mozilla/3.0 (compatible; Indy Library)",
                "superagent",
                "node-superagent/8.1.2",
                "request/2.88.2",
                "needle/3.3.1 (Node.js v20)",
            ],
        );
    }

    #[test]
    fn previews_mail_gateways_and_crawlers_are_programs() {
        all_are(
            Agent::Program,
            &[
                "Mozilla/5.0 (compatible; Proofpoint URL Defense)",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.117 Safari/537.36 Barracuda Sentinel (EE)",
                "BarracudaCentral",
                "Barracuda Web Filter",
                "Barracuda Sentinel (EE)",
                "Mimecast",
                "MimecastScanner",
                "Mozilla/5.0 (compatible; MimeCast)",
                "SafeLinks",
                "Mozilla/5.0 (compatible; Safe Links)",
                "GoogleImageProxy",
                "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
                "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
                "Mozilla/5.0 (compatible; SkypeUriPreview)",
                "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
                "Mozilla/5.0 (compatible; MSTeams Link Preview)",
                "Slack-ImgProxy (+https://api.slack.com/robots)",
                "Iframely/1.3.1 (+https://iframely.com/docs/about)",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
                "Pinterest/0.2 (+https://www.pinterest.com/bot.html)",
                "redditbot/1.0",
                "Viber/13.5.0",
                "Snapchat/10.77 (SnapURLPreview)",
                "Mozilla/5.0 (compatible; Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots)",
                "Embedly +support@embed.ly",
                "vkShare; +http://vk.com/dev/Share",
                "Zoom-Link-Preview",
                "TelegramBot (like TwitterBot)",
                "Bluesky Cardyb/1.1",
                "Mattermost-Bot/1.1",
                "Google-PageRenderer Google (+https://developers.google.com/+/web/snippet/)",
                "Google-InspectionTool/1.0",
                "MicrosoftPreview",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko; compatible; MicrosoftPreview/2.0; +https://aka.ms/MicrosoftPreview) Chrome/126.0.0.0 Safari/537.36",
                "KAKAOTALK-Scrap",
                "facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/scrap/33984",
                "Mastodon/4.2.0 (http.rb/5.1.1; +https://mastodon.social/)",
                "CheckMarkNetwork/1.0 (+http://www.checkmarknetwork.com/spider.html)",
                "ICC-Crawler/2.0",
                "Mozilla/5.0 (compatible; BitSightBot/1.0)",
                "NetcraftSurveyAgent/1.0",
                "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
                "Twitterbot/1.0",
                "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
                "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
                "WhatsApp/2.23.20.0",
                "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
                "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; OAI-SearchBot/1.0; +https://openai.com/searchbot",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; PerplexityBot/1.0; +https://perplexity.ai/perplexitybot)",
            ],
        );
    }

    #[test]
    fn ai_assistants_that_answer_somebody_are_assistants() {
        all_are(
            Agent::Assistant,
            &[
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot",
                "ChatGPT-User/2.0",
                "ChatGPT Agent/1.0",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Claude-User/1.0; +Claude-User@anthropic.com)",
                "Claude-User (claude-code/1.0; +https://support.anthropic.com/)",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Perplexity-User/1.0; +https://perplexity.ai/perplexity-user)",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; MistralAI-User/1.0; +https://docs.mistral.ai/robots)",
                "DuckAssistBot/1.2; (+http://duckduckgo.com/duckassistbot.html)",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Amzn-User/0.1) Chrome/119.0.6045.214 Safari/537.36",
                "meta-externalfetcher/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko; compatible; Google-NotebookLM; +https://notebooklm.google.com) Chrome/126 Safari/537.36",
                "Mozilla/5.0 (compatible; Google-Agent; +https://developers.google.com/crawling/docs/crawlers-fetchers/google-agent)",
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Gemini-Deep-Research; +https://gemini.google/overview/deep-research/) Chrome/135.0.0.0 Safari/537.36",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36; Manus-User/1.0",
                "Mozilla/5.0 (compatible; Devin/1.0; +https://devin.ai)",
                "kagi-fetcher/1.0",
                "Mozilla/5.0 (compatible; iAskBot/1.0; +https://iask.ai)",
                "Mozilla/5.0 (compatible; PhindBot/1.0)",
                "NovaAct",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko; Agent-NovaAct/0.9) Chrome/126 Safari/537.36",
                "Google-Gemini-CLI/1.0",
            ],
        );
    }

    #[test]
    fn browsers_inside_apps_are_peoples() {
        all_are(
            Agent::Person,
            &[
                "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/470.1.0.34.78;]",
                "Mozilla/5.0 (Linux; Android 16; Pixel 10 Pro XL Build/CP1A.260305.018; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/146.0.7680.174 Mobile Safari/537.36 MetaIAB Facebook",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MetaIAB Instagram",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21F90 [FBAN/FBIOS;FBAV/470.0.0.37.108;FBBV/612219498;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.5.1;FBSS/3;FBID/phone;FBLC/en_US;FBOP/5]",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/MessengerLiteForiOS;FBAV/463.0.0.40.106;FBDV/iPhone13,2]",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21F90 Instagram 336.0.9.32.92 (iPhone14,5; iOS 17_5_1; en_US; en; scale=3.00; 1170x2532; 612219498)",
                "Mozilla/5.0 (Linux; Android 13; SM-A546E Build/TP1A.220624.014; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 Instagram 336.0.0.35.90 Android (33/13; 450dpi; 1080x2125; samsung; SM-A546E; a54x; s5e8835; en_GB; 612219498)",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 musical_ly_35.1.0 JsSdk/2.0 NetType/WIFI Channel/App Store ByteLocale/en Region/US isDarkMode/0 WKWebView/1 BytedanceWebview/d8a21c6",
                "Mozilla/5.0 (Linux; Android 14; SM-S911U; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 trill_350104 BytedanceWebview/d8a21c6 TikTok 35.1.4",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [LinkedInApp]/9.29.4562",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [Pinterest/iOS]",
                "Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 [Pinterest/Android]",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5.1 Mobile/15E148 Snapchat/12.93.0.36 (like Safari/8618.2.12.10.9, panda)",
                "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP2A.240705.005; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 Snapchat/12.93.0.36 (Pixel 8; Android 14#12014250#34; gzip; )",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/en",
                "Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 Line/14.9.1/IAB",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Safari Line/14.9.1",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/322.0.645776851 Mobile/15E148 Safari/604.1",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Twitter for iPhone/10.49",
                "Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 TwitterAndroid",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1 DuckDuckGo/7",
                "Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36;KAKAOTALK 2410690",
                "Mozilla/5.0 (Linux; Android 13; Redmi Note 12; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 WhatsApp/2.24.13.77",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Barcelona 336.0.9.32.92",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Reddit/Version 2024.24.1/Build 614970/iOS Version 17.5.1",
                "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP2A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.0.0 Mobile Safari/537.36 Telegram-Android/10.14.5 (Google Pixel 8; Android 14; SDK 34; HIGH)",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 VKClient/8.72",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Slack/4.39.90 Chrome/124.0.6367.243 Electron/30.1.0 Safari/537.36 Sonic Slack_SSB/4.39.90",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Teams/1.6.00.33567 Chrome/102.0.5005.167 Electron/19.1.8 Safari/537.36",
                "Mozilla/5.0 (Linux; Android 14; SM-G991B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36 GoogleApp/15.25.39",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 ChatGPT/1.2025.287",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Claude/0.9.3 Chrome/128.0.6613.186 Electron/32.2.2 Safari/537.36",
            ],
        );
    }

    #[test]
    fn bytes_that_are_no_text_and_endless_agents_are_looked_at_all_the_same() {
        assert!(!is_bot(b"Mozilla/5.0 \xff\xfe Firefox/144.0"));
        assert!(is_bot(b"\xff curlew Googlebot/2.1"));
        assert!(!is_bot(&b"Mozilla/5.0 ".repeat(2_000)));
    }
}
