//! Small charts as inline SVG, without a script: bars that stand on each other.
//!
//! The picture has a title for those who hear it; all its figures stand in a table beside it. Colours come from
//! the style sheet: the content policy allows no style in the page.

use super::view::{count_in_words, money};
use crate::domain::money::Money;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use std::sync::LazyLock;

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
        let slot = f64::from(WIDTH) / count(self.points.len().max(1));
        let gap = if self.points.len() > 60 { 0.1 } else { 0.25 };
        let mut bars = Vec::new();
        for (index, (label, values)) in self.points.iter().enumerate() {
            let mut base = 0;
            for (series, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
                let (low, high) = (height_of(base, top), height_of(base + value, top));
                base += value;
                let name = self.series.get(series).copied().unwrap_or_default();
                bars.push(context! {
                    series,
                    x => format!("{:.1}", slot * (count(index) + gap / 2.0)),
                    y => format!("{high:.1}"),
                    width => format!("{:.1}", slot * (1.0 - gap)),
                    height => format!("{:.1}", low - high),
                    says => format!("{label}: {} {name}", self.say(*value)),
                });
            }
        }
        let sum = |series: usize| self.points.iter().filter_map(|(_, values)| values.get(series)).sum();
        let rows = self.points.iter().map(|(label, values)| {
            let values: Vec<String> = values.iter().map(|value| self.say(*value)).collect();
            (label.as_str(), values)
        });
        let content = context! {
            id => self.id, title => self.title.as_str(), along => self.along, series => self.series.clone(),
            width => WIDTH, height => HEIGHT, top => self.say(top), bars,
            sums => (0..self.series.len()).map(|series| self.say(sum(series))).collect::<Vec<_>>(),
            rows => Value::from(Serde(rows.collect::<Vec<_>>())),
        };
        // A test renders it; whatever the figures are, it is given the same values.
        TEMPLATES.get_template(TEMPLATE).and_then(|chart| chart.render(content)).unwrap_or_default()
    }

    fn say(&self, value: i64) -> String {
        match &self.unit {
            Unit::Count => count_in_words(value),
            Unit::Cents(currency) => money(&Money::from_cents(value).to_string(), currency),
        }
    }
}

const TEMPLATE: &str = "layout/chart.html";
static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    let text = include_str!("../../../templates/layout/chart.html");
    // The text is compiled in, and a test renders it.
    environment.add_template(TEMPLATE, text).expect("a template without a fault");
    environment
});

/// How far below the picture's top a value stands.
fn height_of(value: i64, top: i64) -> f64 {
    f64::from(HEIGHT) * (1.0 - precise(value.max(0)) / precise(top))
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
