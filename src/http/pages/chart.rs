//! Small charts as inline SVG, without a script: bars that stand on each other.
//!
//! The picture has a title for those who hear it; all its figures stand in a table beside it. Colours come from
//! the style sheet: the content policy allows no style in the page.

use super::view::{count_in_words, money};
use crate::domain::money::Money;
use minijinja::HtmlEscape;
use std::fmt::Write;

/// The picture's own measure; the style sheet stretches it.
const WIDTH: u32 = 600;
const HEIGHT: u32 = 160;

/// What the figures of a chart count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Hundredths of a currency, with its code.
    Cents(String),
}

/// A chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// Unique on its page: letters, digits and `-`.
    pub id: &'static str,
    /// What it shows.
    pub title: String,
    /// What the points are, the head of the table: "Day".
    pub along: &'static str,
    /// The names of the series, at most four.
    pub series: Vec<&'static str>,
    /// Each point's label with its value in each series.
    pub points: Vec<(String, Vec<i64>)>,
    /// What the values are.
    pub unit: Unit,
}

impl Chart {
    /// The chart as bars, the series on each other.
    pub fn bars(&self) -> String {
        let tallest = self.points.iter().map(|(_, values)| values.iter().map(|value| (*value).max(0)).sum());
        let top = nice_top(tallest.max().unwrap_or(0));
        let mut picture = String::new();
        let slot = f64::from(WIDTH) / count(self.points.len().max(1));
        let gap = if self.points.len() > 60 { 0.1 } else { 0.25 };
        for (index, (label, values)) in self.points.iter().enumerate() {
            let mut base = 0;
            for (series, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
                let (low, high) = (self.y(base, top), self.y(base + value, top));
                base += value;
                // Writing to a String can't fail.
                let _ = write!(
                    picture,
                    r#"<rect class="bar s{series}" x="{:.1}" y="{high:.1}" width="{:.1}" height="{:.1}"><title>{}: {} {}</title></rect>"#,
                    slot * (count(index) + gap / 2.0),
                    slot * (1.0 - gap),
                    low - high,
                    HtmlEscape(label),
                    self.say(*value),
                    HtmlEscape(self.series.get(series).copied().unwrap_or_default()),
                );
            }
        }
        self.figure(top, &picture)
    }

    #[expect(clippy::unused_self, reason = "reads as a property of the chart where it is used")]
    fn y(&self, value: i64, top: i64) -> f64 {
        f64::from(HEIGHT) * (1.0 - precise(value.max(0)) / precise(top))
    }

    fn figure(&self, top: i64, picture: &str) -> String {
        let (id, title) = (self.id, HtmlEscape(&self.title));
        let mut html =
            format!(r#"<figure class="chart chart-{id}"><figcaption id="{id}-name">{title}</figcaption>"#);
        if self.series.len() > 1 {
            html.push_str(r#"<ul class="legend">"#);
            for (series, name) in self.series.iter().enumerate() {
                let _ = write!(html, r#"<li class="s{series}">{}</li>"#, HtmlEscape(name));
            }
            html.push_str("</ul>");
        }
        let _ = write!(
            html,
            concat!(
                r#"<div class="chart-body"><div class="chart-top" aria-hidden="true">{}</div>"#,
                r#"<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-labelledby="{}-title">"#,
                r#"<title id="{}-title">{}</title>"#,
                r#"<line class="grid" x1="0" y1="0.5" x2="{}" y2="0.5"/><line class="grid" x1="0" y1="{}" x2="{}" y2="{}"/>"#,
                r#"{}<line class="axis" x1="0" y1="{}" x2="{}" y2="{}"/></svg>"#,
            ),
            self.say(top),
            WIDTH,
            HEIGHT,
            id,
            id,
            self.spoken(),
            WIDTH,
            HEIGHT / 2,
            WIDTH,
            HEIGHT / 2,
            picture,
            HEIGHT,
            WIDTH,
            HEIGHT,
        );
        if let (Some(first), Some(last)) = (self.points.first(), self.points.last()) {
            let _ = write!(
                html,
                r#"<div class="chart-ends" aria-hidden="true"><span>{}</span><span>{}</span></div>"#,
                HtmlEscape(&first.0),
                HtmlEscape(&last.0),
            );
        }
        html.push_str("</div>");
        self.table(&mut html);
        html.push_str("</figure>");
        html
    }

    /// The title with the sum of each series: what a glance tells.
    fn spoken(&self) -> String {
        let mut text = HtmlEscape(&self.title).to_string();
        for (series, name) in self.series.iter().enumerate() {
            let sum = self.points.iter().filter_map(|(_, values)| values.get(series)).sum();
            let _ = write!(
                text,
                "{} {}: {}",
                if series == 0 { "." } else { "," },
                HtmlEscape(name),
                self.say(sum)
            );
        }
        text
    }

    fn table(&self, html: &mut String) {
        let _ = write!(
            html,
            r#"<details class="chart-table"><summary>The figures as a table</summary><table aria-labelledby="{}-name"><thead><tr><th scope="col">{}</th>"#,
            self.id,
            HtmlEscape(self.along),
        );
        for name in &self.series {
            let _ = write!(html, r#"<th scope="col" class="num">{}</th>"#, HtmlEscape(name));
        }
        html.push_str("</tr></thead><tbody>");
        for (label, values) in &self.points {
            let _ = write!(html, r#"<tr><th scope="row">{}</th>"#, HtmlEscape(label));
            for value in values {
                let _ = write!(html, r#"<td class="num">{}</td>"#, self.say(*value));
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></details>");
    }

    fn say(&self, value: i64) -> String {
        match &self.unit {
            Unit::Count => count_in_words(value),
            Unit::Cents(currency) => {
                HtmlEscape(&money(&Money::from_cents(value).to_string(), currency)).to_string()
            }
        }
    }
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is not less: where the picture ends above.
fn nice_top(tallest: i64) -> i64 {
    let mut power: i64 = 1;
    loop {
        for tenths in [10, 20, 25, 50] {
            let top = power.saturating_mul(tenths) / 10;
            if top >= tallest.max(4) {
                return top;
            }
        }
        power = power.saturating_mul(10);
        if power == i64::MAX {
            return power;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a pixel does not show it")]
fn precise(value: i64) -> f64 {
    value as f64
}
#[expect(clippy::cast_precision_loss, reason = "a chart has few points")]
fn count(value: usize) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(&str, [i64; 2])]) -> Chart {
        Chart {
            id: "clicks",
            title: "Clicks <by> day".into(),
            along: "Day",
            series: vec!["people", "bots"],
            points: points.iter().map(|(label, values)| ((*label).to_owned(), values.to_vec())).collect(),
            unit: Unit::Count,
        }
    }

    #[test]
    fn bars_stand_on_each_other_and_all_figures_stand_in_the_table() {
        let html = chart(&[("2026-04-01", [50, 50]), ("2026-04-02", [0, 25])]).bars();
        for part in [
            r#"<rect class="bar s0" x="37.5" y="80.0" width="225.0" height="80.0">"#,
            r#"<rect class="bar s1" x="37.5" y="0.0" width="225.0" height="80.0">"#,
            r#"<rect class="bar s1" x="337.5" y="120.0" width="225.0" height="40.0">"#,
            "Clicks &lt;by&gt; day. people: 50, bots: 75",
            r#"<tr><th scope="row">2026-04-02</th><td class="num">0</td><td class="num">25</td></tr>"#,
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("style="), "the content policy allows no style here");
    }

    #[test]
    fn an_empty_chart_is_one_too() {
        for html in [chart(&[]).bars(), chart(&[("a", [0, 0])]).bars()] {
            assert!(html.starts_with("<figure") && html.ends_with("</figure>") && !html.contains("NaN"));
        }
    }

    #[test]
    fn hostile_labels_are_text() {
        let mut hostile = chart(&[("<script>", [1, 1])]);
        hostile.unit = Unit::Cents("\"><b>".into());
        let html = hostile.bars();
        assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn the_top_is_round() {
        let tops = [(0, 5), (4, 5), (7, 10), (11, 20), (21, 25), (60, 100), (240, 250), (999, 1000)];
        for (tallest, expected) in tops {
            assert_eq!(nice_top(tallest), expected, "{tallest}");
        }
        assert!(nice_top(i64::MAX) == i64::MAX);
    }
}
