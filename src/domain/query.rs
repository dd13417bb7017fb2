//! The query of a followed link: which parameters are ours, and which pass through to the landing page.

use super::outcome::SubDrop;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use uuid::Uuid;

/// The values of `sub1` to `sub5`.
pub type Subs<'a> = [Option<Cow<'a, str>>; 5];

/// The longest value of a sub id, in bytes: networks' click ids have up to 300 characters.
pub const MAX_SUB_BYTES: usize = 512;

/// The parameters in which networks send their click ids.
const CLICK_IDS: [&str; 18] = [
    "gclid",
    "gclsrc",
    "gbraid",
    "wbraid",
    "dclid",
    "gad_source",
    "fbclid",
    "msclkid",
    "ttclid",
    "twclid",
    "li_fat_id",
    "yclid",
    "epik",
    "rdt_cid",
    "ScCid",
    "irclickid",
    "clickid",
    "click_id",
];

/// Names that never pass through: only we set the click token.
const RESERVED: [&str; 7] = ["cfoil", "to", "sub1", "sub2", "sub3", "sub4", "sub5"];

/// A link's query, split up. If a parameter comes twice, the first valid value counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query<'a> {
    raw: &'a str,
    /// The click token that a landing page sends back; it has no use on a link.
    pub click: Option<Cow<'a, str>>,
    /// The page on the link's own host that is requested; not yet checked.
    pub to: Option<Cow<'a, str>>,
    /// The affiliate's sub ids, complete: each passes [`judge_sub`].
    pub subs: Subs<'a>,
    /// It has an ad network's id of a click on a paid ad.
    pub paid_ad: bool,
    /// How many sub ids are not kept, by reason, in the order of [`SubDrop::ALL`].
    pub subs_dropped: [u32; SubDrop::ALL.len()],
}

impl<'a> Query<'a> {
    /// Splits a query; malformed parameters are left out.
    pub fn parse(raw: &'a str) -> Self {
        let mut query = Self { raw, ..Self::default() };
        for parameter in as_meant(raw) {
            match parameter.decoded_name().as_deref() {
                Some("to") => query.to = query.to.or_else(|| parameter.decoded()),
                Some("cfoil") => query.click = query.click.or_else(|| parameter.decoded()),
                Some("sub1") => query.sub(0, &parameter),
                Some("sub2") => query.sub(1, &parameter),
                Some("sub3") => query.sub(2, &parameter),
                Some("sub4") => query.sub(3, &parameter),
                Some("sub5") => query.sub(4, &parameter),
                Some(name) if is_of_paid_ad(name) => query.paid_ad |= parameter.has_click_id(),
                _ => {}
            }
        }
        query
    }

    fn sub(&mut self, place: usize, parameter: &Parameter<'a>) {
        match (parameter.sub(), &self.subs[place]) {
            (Ok(Some(value)), None) => self.subs[place] = Some(value),
            (Ok(Some(value)), Some(kept)) if value != *kept => self.drop_sub(SubDrop::Repeated),
            (Ok(_), _) => {}
            (Err(reason), _) => self.drop_sub(reason),
        }
    }
    fn drop_sub(&mut self, reason: SubDrop) {
        self.subs_dropped[reason as usize] += 1;
    }

    /// All parameters that are not ours, in order.
    pub fn passed_through(&self) -> impl Iterator<Item = Parameter<'a>> {
        as_meant(self.raw).filter(|parameter| parameter.reserved().is_none())
    }
}

/// Whether networks send the ids of clicks on paid ads in a parameter of this name: Google (`gclid`, and `gbraid` and
/// `wbraid` where apps are involved), its ad servers (`dclid`) and Microsoft. `fbclid` is not among them: Facebook adds it
/// to unpaid links too.
fn is_of_paid_ad(name: &str) -> bool {
    matches!(name, "gclid" | "gbraid" | "wbraid" | "dclid" | "msclkid")
}

/// Whether a value may be a sub id: it has room where it is kept, and is not a placeholder.
pub fn judge_sub(value: &str) -> Result<(), SubDrop> {
    if value.len() > MAX_SUB_BYTES {
        Err(SubDrop::TooLong)
    } else if value.contains(char::is_control) {
        Err(SubDrop::ControlCharacter)
    } else if holds_macro(value) {
        Err(SubDrop::UnfilledMacro)
    } else {
        Ok(())
    }
}

/// Whether a value is, or contains, a network's placeholder.
fn holds_macro(value: &str) -> bool {
    // These only occur in placeholders; `{{name}}` and `${name}` contain `{name}`.
    const ANYWHERE: [(&str, &str); 3] = [("{", "}"), ("[[", "]]"), ("%%", "%%")];
    // These may occur in an affiliate's own value, so only a whole value counts.
    const WHOLE: [(&str, &str); 6] =
        [("[", "]"), ("<", ">"), ("%", "%"), ("__", "__"), ("#", "#"), ("!", "!")];
    let anywhere = |(open, close): (&str, &str)| {
        value.match_indices(open).any(|(at, _)| {
            value[at + open.len()..].split_once(close).is_some_and(|(name, _)| names_a_value(name))
        })
    };
    let whole = |(open, close): (&str, &str)| {
        value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).is_some_and(names_a_value)
    };
    ANYWHERE.into_iter().any(anywhere) || WHOLE.into_iter().any(whole)
}

/// Whether a placeholder may have this name. (Some write an id in braces, which is a value.)
fn names_a_value(name: &str) -> bool {
    let name = name.trim_matches([' ', ':']);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && name.bytes().all(plain)
        && Uuid::try_parse(name).is_err()
}

/// A parameter as it is in the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'a> {
    raw: &'a str,
}

/// The parameters of a query, without empty ones.
pub fn parameters(raw: &str) -> impl Iterator<Item = Parameter<'_>> {
    raw.split('&').filter(|part| !part.is_empty()).map(|raw| Parameter { raw })
}

/// The parameters of a followed link as they were meant: `?` counts as `&` before a text that is certainly a
/// parameter, since tools append theirs with `?` to any address; and `&amp;` counts as `&`, since it is
/// copied from page sources.
fn as_meant(raw: &str) -> impl Iterator<Item = Parameter<'_>> {
    parameters(raw)
        .flat_map(|parameter| Pieces(Some(without_amp(parameter.raw))))
        .filter(|piece| !piece.raw.is_empty())
}

fn without_amp(raw: &str) -> &str {
    let mut rest = raw;
    while let Some(behind) = rest.strip_prefix("amp;") {
        rest = behind;
    }
    if is_surely_a_parameter(rest) { rest } else { raw }
}

/// The parameters in one piece, separated by `?`; the page that `to` names may have a query of its own.
struct Pieces<'a>(Option<&'a str>);

impl<'a> Iterator for Pieces<'a> {
    type Item = Parameter<'a>;
    fn next(&mut self) -> Option<Parameter<'a>> {
        let whole = Parameter { raw: self.0.take()? };
        if whole.reserved() == Some("to") {
            return Some(whole);
        }
        let mut marks = whole.raw.match_indices('?');
        let Some((at, _)) = marks.find(|(at, _)| is_surely_a_parameter(&whole.raw[at + 1..])) else {
            return Some(whole);
        };
        self.0 = Some(&whole.raw[at + 1..]);
        Some(Parameter { raw: &whole.raw[..at] })
    }
}

/// Whether it begins with one of our names, `utm_…` or a network's click id, and `=`.
fn is_surely_a_parameter(text: &str) -> bool {
    let Some((name, _)) = text.split_once('=') else { return false };
    let Some(name) = decode(name) else { return false };
    let known = RESERVED.iter().chain(&CLICK_IDS).any(|known| *known == name);
    known || name.strip_prefix("utm_").is_some_and(|rest| !rest.contains(['?', '&', '=']) && !rest.is_empty())
}

impl<'a> Parameter<'a> {
    /// Whether a server would read it as a parameter with this name.
    pub fn is_named(&self, name: &str) -> bool {
        decode(self.name()).is_some_and(|decoded| decoded == name)
    }
    /// Appends it, with all characters escaped that could break a header or a URL.
    pub fn write(&self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        for &byte in self.raw.as_bytes() {
            if byte.is_ascii_graphic() && !b"\"#'<>\\^`{|}".contains(&byte) {
                out.push(byte);
            } else {
                out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }

    fn name(&self) -> &'a str {
        self.raw.split('=').next().unwrap_or_default()
    }
    fn decoded_name(&self) -> Option<Cow<'a, str>> {
        decode(self.name())
    }
    /// Whether its value may be a network's id, which begins with one of the letters of base64: it is not empty, and no
    /// placeholder that nobody filled, like `{gclid}`.
    fn has_click_id(&self) -> bool {
        let first_of_value = self.raw.bytes().skip_while(|byte| *byte != b'=').nth(1);
        first_of_value.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    }
    fn reserved(&self) -> Option<&'static str> {
        let name = self.decoded_name()?;
        RESERVED.into_iter().find(|reserved| *reserved == name)
    }
    /// The value, if it may be a sub id; `None` if it is empty.
    fn sub(&self) -> Result<Option<Cow<'a, str>>, SubDrop> {
        let Some((_, raw)) = self.raw.split_once('=') else { return Ok(None) };
        // Some placeholders look like escapes: `%%DEST%%` like the escape of a byte that is not a character.
        if holds_macro(raw) {
            return Err(SubDrop::UnfilledMacro);
        }
        let value = decode(raw).ok_or(SubDrop::NotUtf8)?;
        judge_sub(&value)?;
        Ok(Some(value).filter(|value| !value.is_empty()))
    }
    fn decoded(&self) -> Option<Cow<'a, str>> {
        let (_, value) = self.raw.split_once('=')?;
        decode(value)
    }
}

/// Undoes the escapes of a query; `None` if the result is not valid text.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let blanks = text.replace('+', " ");
    let decoded = percent_decode_str(&blanks).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(raw: &str) -> String {
        let mut out = Vec::new();
        for parameter in Query::parse(raw).passed_through() {
            parameter.write(&mut out);
            out.push(b'&');
        }
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn what_is_ours_is_kept_and_the_rest_passes_through() {
        let query = Query::parse("utm_source=x&to=/a%3Fb&sub1=one&gclid=y&sub5=f+i%20ve&cfoil=z&flag&&=1");
        assert_eq!(query.to.as_deref(), Some("/a?b"));
        let subs: Vec<_> = query.subs.iter().map(Option::as_deref).collect();
        assert_eq!(subs, [Some("one"), None, None, None, Some("f i ve")]);
        assert_eq!(
            passed("utm_source=x&to=/a&sub1=one&gclid=y&cfoil=z&flag&&=1"),
            "utm_source=x&gclid=y&flag&=1&"
        );
    }

    #[test]
    fn our_names_are_known_in_any_spelling() {
        for raw in ["cfoil=1", "cf%6Fil=1", "%63%66%6f%69%6c=1", "cfoil", "t%6F=/x", "sub%31=a"] {
            assert_eq!(passed(raw), "", "{raw}");
        }
        // For every server this is another name.
        for raw in ["CFOIL=1", "cfoil%00=1", "xcfoil=1", "sub6=a", "sub=1", "+cfoil=1", "%ffcfoil=1"] {
            assert_eq!(passed(raw), format!("{raw}&"), "{raw}");
        }
    }

    #[test]
    fn parameters_run_together_are_separated_where_one_surely_begins() {
        let table = [
            ("a=1?utm_source=x", "a=1&utm_source=x&"),
            ("a=1?gclid=x?fbclid=y", "a=1&gclid=x&fbclid=y&"),
            ("?utm_source=x", "utm_source=x&"),
            ("a=1?sub1=2", "a=1&"),
            ("a=1?cfoil=forged", "a=1&"),
            ("a=1?cf%6Fil=forged", "a=1&"),
            ("a=1&amp;utm_source=x&amp;amp;gclid=y", "a=1&utm_source=x&gclid=y&"),
            ("amp;sub1=2", ""),
            ("a=1?amp;b", "a=1?amp;b&"),
            // Perhaps not a parameter: left as it is.
            ("a=1?b=2", "a=1?b=2&"),
            ("a=what?to", "a=what?to&"),
            ("a=1?utm_=x", "a=1?utm_=x&"),
            ("a=1?SUB1=2", "a=1?SUB1=2&"),
            ("a=1&amp;b=2", "a=1&amp;b=2&"),
            ("a=1%3Fsub1=2", "a=1%3Fsub1=2&"),
            // The page that is requested has a query of its own.
            ("to=/x?utm_source=x?sub1=2&b", "b&"),
        ];
        for (raw, left) in table {
            assert_eq!(passed(raw), left, "{raw}");
        }
        let query = Query::parse("a=1?sub1=2&amp;sub2=3?to=/x?sub3=4&amp;sub4=5");
        assert_eq!(query.to.as_deref(), Some("/x?sub3=4"));
        let subs: Vec<_> = query.subs.iter().map(Option::as_deref).collect();
        assert_eq!(subs, [Some("2"), Some("3"), None, Some("5"), None]);
    }

    #[test]
    fn sub_ids_are_kept_whole_or_dropped_by_name() {
        use SubDrop::{ControlCharacter, NotUtf8, Repeated, TooLong, UnfilledMacro};
        let id_of_a_network = "fb.1.1554763741205.IwAR".to_owned() + &"aZ9_-".repeat(55);
        let table: &[(&str, Result<&str, SubDrop>)] = &[
            ("news", Ok("news")),
            (&id_of_a_network, Ok(&id_of_a_network)),
            (&"a".repeat(512), Ok(&"a".repeat(512))),
            (&"%61".repeat(512), Ok(&"a".repeat(512))),
            (&"a".repeat(513), Err(TooLong)),
            (&"%C3%A9".repeat(256), Ok(&"\u{e9}".repeat(256))),
            (&"\u{e9}".repeat(257), Err(TooLong)),
            ("caf%C3%A9", Ok("café")),
            ("\u{4f60}\u{597d}", Ok("\u{4f60}\u{597d}")),
            ("%F0%9F%8E%81+x", Ok("\u{1f381} x")),
            ("100%", Ok("100%")),
            ("a%0Ab", Err(ControlCharacter)),
            ("a%00", Err(ControlCharacter)),
            ("%7F", Err(ControlCharacter)),
            ("%1b[31m", Err(ControlCharacter)),
            ("%C2%85", Err(ControlCharacter)),
            ("%ff", Err(NotUtf8)),
            ("caf%E9", Err(NotUtf8)),
            ("{gclid}", Err(UnfilledMacro)),
            ("%7Bgclid%7D", Err(UnfilledMacro)),
            ("{{ad.id}}", Err(UnfilledMacro)),
            ("{{ campaign.name }}", Err(UnfilledMacro)),
            ("${CLICK_ID}", Err(UnfilledMacro)),
            ("{:click:}", Err(UnfilledMacro)),
            ("spring-{adgroup}", Err(UnfilledMacro)),
            ("%%CLICK%%", Err(UnfilledMacro)),
            ("%%DEST%%", Err(UnfilledMacro)),
            ("%25%25CLICK%25%25", Err(UnfilledMacro)),
            ("[[sub]]", Err(UnfilledMacro)),
            ("[CLICK_ID]", Err(UnfilledMacro)),
            ("%subid%", Err(UnfilledMacro)),
            ("__CLICKID__", Err(UnfilledMacro)),
            ("%3Cclickid%3E", Err(UnfilledMacro)),
            ("%23clickid%23", Err(UnfilledMacro)),
            ("!clickid!", Err(UnfilledMacro)),
            // Values of people and programs, not placeholders.
            ("{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", Ok("{3F2504E0-4F89-11D3-9A0C-0305E82C3301}")),
            ("{12}", Ok("{12}")),
            ("{", Ok("{")),
            ("{}", Ok("{}")),
            ("[1]", Ok("[1]")),
            ("a [new] one", Ok("a [new] one")),
            ("snake__case__name", Ok("snake__case__name")),
            ("50%25 off 20%25", Ok("50% off 20%")),
            ("!", Ok("!")),
        ];
        for (value, expected) in table {
            let raw = format!("sub2={value}");
            let query = Query::parse(&raw);
            assert_eq!(query.subs[1].as_deref(), expected.ok(), "{value}");
            let dropped = SubDrop::ALL.iter().map(|reason| u32::from(expected.err() == Some(*reason)));
            assert_eq!(query.subs_dropped.to_vec(), dropped.collect::<Vec<_>>(), "{value}");
        }
        // The first valid value counts; another one after it is dropped, an empty or equal one is not
        // counted.
        let twice = Query::parse("sub1=&sub1=b&sub1=c&sub1=b&sub2");
        assert_eq!(twice.subs[0].as_deref(), Some("b"));
        assert_eq!(twice.subs_dropped[Repeated as usize], 1);
        assert_eq!(twice.subs_dropped.iter().sum::<u32>(), 1);
    }

    #[test]
    fn only_ids_of_paid_ads_say_that_an_ad_was_clicked() {
        let table = [
            ("", false),
            ("gclid=Cj0KCQiA", true),
            ("gbraid=0AAAAA", true),
            ("wbraid=CjkKCQ", true),
            ("dclid=CLDm", true),
            ("msclkid=5c9d1e", true),
            ("gclid=-_x", true),
            ("utm_source=google&sub1=x&gclid=Cj0K&b", true),
            ("a=1?gclid=Cj0K", true),
            ("a=1&amp;msclkid=5c9d", true),
            ("g%63lid=Cj0K", true),
            ("gclid=&gclid=Cj0K", true),
            ("gclid=Cj0K&gclid=", true),
            // Unpaid links have these too, or those of other networks.
            ("fbclid=IwAR", false),
            ("gad_source=1&gclsrc=aw.ds", false),
            ("ttclid=x&twclid=x&li_fat_id=x&yclid=x", false),
            ("sub1=gclid&utm_campaign=gclid", false),
            // No id.
            ("gclid", false),
            ("gclid=", false),
            ("gclid={gclid}", false),
            ("gclid=%7Bgclid%7D", false),
            ("gclid=[gclid]", false),
            // For every server this is another name.
            ("GCLID=Cj0K", false),
            ("xgclid=Cj0K", false),
            ("%ffgclid=Cj0K", false),
        ];
        for (raw, expected) in table {
            assert_eq!(Query::parse(raw).paid_ad, expected, "{raw}");
        }
        assert_eq!(CLICK_IDS.into_iter().filter(|name| is_of_paid_ad(name)).count(), 5);
    }

    #[test]
    fn what_passes_through_can_not_break_a_header() {
        assert_eq!(passed("a=\"<>'\\^`{|} \u{e9}"), "a=%22%3C%3E%27%5C%5E%60%7B%7C%7D%20%C3%A9&");
        assert_eq!(passed("a=%0d%0aSet-Cookie:x=y"), "a=%0d%0aSet-Cookie:x=y&");
        assert_eq!(passed("a=\r\nb\t\0"), "a=%0D%0Ab%09%00&");
    }
}
