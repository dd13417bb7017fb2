//! The query of a followed link: what is ours, and what passes through to the landing page.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// The values of `sub1` to `sub5`.
pub type Subs<'a> = [Option<Cow<'a, str>>; 5];

/// Longest value of a sub id, in bytes.
pub const MAX_SUB_BYTES: usize = 64;

/// Click ids of networks, by the names of their parameters.
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

/// Names that never pass through: the click token is set by us alone.
const RESERVED: [&str; 7] = ["cfoil", "to", "sub1", "sub2", "sub3", "sub4", "sub5"];

/// A link's query, taken apart. Of a parameter that comes twice the first good one counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query<'a> {
    raw: &'a str,
    /// The click token that a landing page hands back; of no use on a link.
    pub click: Option<Cow<'a, str>>,
    /// The page on the link's own host that is asked for; not yet checked.
    pub to: Option<Cow<'a, str>>,
    /// The affiliate's own marks, each of 1 to 64 printable ASCII bytes.
    pub subs: Subs<'a>,
}

impl<'a> Query<'a> {
    /// Takes a query apart; what is not well formed is left out.
    pub fn parse(raw: &'a str) -> Self {
        let mut query = Self { raw, ..Self::default() };
        for parameter in as_meant(raw) {
            match parameter.reserved() {
                Some("to") => query.to = query.to.or_else(|| parameter.decoded()),
                Some("cfoil") => query.click = query.click.or_else(|| parameter.decoded()),
                Some("sub1") => query.sub(0, &parameter),
                Some("sub2") => query.sub(1, &parameter),
                Some("sub3") => query.sub(2, &parameter),
                Some("sub4") => query.sub(3, &parameter),
                Some("sub5") => query.sub(4, &parameter),
                _ => {}
            }
        }
        query
    }

    fn sub(&mut self, place: usize, parameter: &Parameter<'a>) {
        if self.subs[place].is_none() {
            self.subs[place] = parameter.decoded().filter(|value| is_sub(value));
        }
    }

    /// All parameters that are not ours, in their order.
    pub fn passed_through(&self) -> impl Iterator<Item = Parameter<'a>> {
        as_meant(self.raw).filter(|parameter| parameter.reserved().is_none())
    }
}

/// Whether a value of a sub id is kept.
pub fn is_sub(value: &str) -> bool {
    let printable = |byte: u8| (b' '..=b'~').contains(&byte);
    (1..=MAX_SUB_BYTES).contains(&value.len()) && value.bytes().all(printable)
}

/// A parameter as it stands in the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'a> {
    raw: &'a str,
}

/// The parameters of a query, without empty ones.
pub fn parameters(raw: &str) -> impl Iterator<Item = Parameter<'_>> {
    raw.split('&').filter(|part| !part.is_empty()).map(|raw| Parameter { raw })
}

/// The parameters of a followed link as they were meant: where a `?` stands for `&` before a parameter that is surely
/// one, as tools write it that append theirs to any address, or `&amp;` for `&`, as it is copied out of a page.
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

/// The parameters in one, apart by `?`; the page that `to` names may have a query of its own.
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

/// Whether it begins with a name of ours, `utm_…` or a network's click id, and `=`.
fn is_surely_a_parameter(text: &str) -> bool {
    let Some((name, _)) = text.split_once('=') else { return false };
    let Some(name) = decode(name) else { return false };
    let known = RESERVED.iter().chain(&CLICK_IDS).any(|known| *known == name);
    known || name.strip_prefix("utm_").is_some_and(|rest| !rest.contains(['?', '&', '=']) && !rest.is_empty())
}

impl<'a> Parameter<'a> {
    /// Whether a server would read it as a parameter of this name.
    pub fn is_named(&self, name: &str) -> bool {
        decode(self.name()).is_some_and(|decoded| decoded == name)
    }
    /// Appends it, with all that a header or a URL could trip over escaped.
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
    fn reserved(&self) -> Option<&'static str> {
        let name = decode(self.name())?;
        RESERVED.into_iter().find(|reserved| *reserved == name)
    }
    fn decoded(&self) -> Option<Cow<'a, str>> {
        let (_, value) = self.raw.split_once('=')?;
        decode(value)
    }
}

/// Undoes the escapes of a query; `None` where that leaves no text.
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
        // Another name in the eyes of every server.
        for raw in ["CFOIL=1", "cfoil%00=1", "xcfoil=1", "sub6=a", "sub=1", "+cfoil=1", "%ffcfoil=1"] {
            assert_eq!(passed(raw), format!("{raw}&"), "{raw}");
        }
    }

    #[test]
    fn parameters_run_together_are_told_apart_where_one_surely_begins() {
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
            // Perhaps none: left as it is.
            ("a=1?b=2", "a=1?b=2&"),
            ("a=what?to", "a=what?to&"),
            ("a=1?utm_=x", "a=1?utm_=x&"),
            ("a=1?SUB1=2", "a=1?SUB1=2&"),
            ("a=1&amp;b=2", "a=1&amp;b=2&"),
            ("a=1%3Fsub1=2", "a=1%3Fsub1=2&"),
            // The page that is asked for has a query of its own.
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
    fn sub_ids_are_short_and_printable() {
        let sub = |value: &str| Query::parse(&format!("sub2={value}")).subs[1].clone().map(Cow::into_owned);
        assert_eq!(sub(&"a".repeat(64)), Some("a".repeat(64)));
        assert_eq!(sub(&"%61".repeat(64)), Some("a".repeat(64)));
        for dropped in ["", &"a".repeat(65), "a%0Ab", "a%00", "%7F", "caf%C3%A9", "%ff", "%1b[31m"] {
            assert_eq!(sub(dropped), None, "{dropped}");
        }
        assert_eq!(sub("100%"), Some("100%".into()));
        assert_eq!(Query::parse("sub1=&sub1=b&sub1=c").subs[0].as_deref(), Some("b"));
    }

    #[test]
    fn what_passes_through_can_not_break_a_header() {
        assert_eq!(passed("a=\"<>'\\^`{|} \u{e9}"), "a=%22%3C%3E%27%5C%5E%60%7B%7C%7D%20%C3%A9&");
        assert_eq!(passed("a=%0d%0aSet-Cookie:x=y"), "a=%0d%0aSet-Cookie:x=y&");
        assert_eq!(passed("a=\r\nb\t\0"), "a=%0D%0Ab%09%00&");
    }
}
