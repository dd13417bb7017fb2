use super::csv::neutral;
use super::*;

/// A name, and how many clicks.
type Thing = (&'static str, usize);

fn things() -> List<'static, Thing> {
    type Column<'a> = super::Column<'a, Thing>;
    let columns = vec![
        Column::text("name", "Name", |(name, _)| Cell::text(*name)).sort_by(|(name, _)| *name),
        Column::number("clicks", "Clicks", |(_, clicks)| Cell::text(clicks.to_string()))
            .sort_first_down_by(|(_, clicks)| *clicks),
        Column::text("note", "Note", |_| Cell::text("n").export("long")),
    ];
    List::new("/admin/things", "Things", "Nothing yet.", columns)
        .search("Name", |(name, _)| (*name).to_owned())
        .filter("status", "Status", [("active", "Active")], |(_, clicks), status| {
            (status == "active") == (*clicks > 0)
        })
}
fn read(raw: &str) -> Result<Query, BadQuery> {
    things().read(Some(raw))
}

#[test]
fn an_address_may_ask_for_what_the_list_has_and_for_nothing_else() {
    let long = format!("q={}", "a".repeat(101));
    let whole = format!("q={}", "%20".repeat(700));
    let table = [
        ("", true),
        ("q=ann+b&sort=-name&page=2&status=active&format=csv", true),
        ("sort=", true),
        ("status=", true),
        ("after=abc", true),
        ("sort=note", false),
        ("sort=secret", false),
        ("status=other", false),
        ("page=0", false),
        ("page=-1", false),
        ("page=100001", false),
        ("page=99999999999999999999999", false),
        ("format=pdf", false),
        ("q=a&q=b", false),
        ("q=%00", false),
        ("q=%ff", false),
        ("q=a%0Ab", false),
        ("utm_source=x", false),
        (long.as_str(), false),
        (whole.as_str(), false),
    ];
    for (raw, good) in table {
        assert_eq!(read(raw).is_ok(), good, "{raw}");
    }
}

#[test]
fn rows_are_sorted_searched_filtered_and_cut_into_pages() {
    let rows: Vec<Thing> = (0..120).map(|clicks| ("x", clicks)).collect();
    let shown = |raw: &str, rows: &[Thing]| {
        let listing = things().show(rows.to_vec(), &read(raw).expect("a query"));
        (listing.to_csv(), listing.total, listing.rows.len())
    };
    let first_of = |csv: &[u8]| {
        let text = String::from_utf8(csv.to_vec()).expect("text");
        text.lines().nth(1).map(str::to_owned)
    };
    let table = [
        ("page=2", "x,69,long", Some(120), ROWS),
        // A page past the end is the last one.
        ("page=9", "x,19,long", Some(120), 20),
        ("format=csv&page=2", "x,119,long", Some(120), 120),
        ("sort=clicks", "x,0,long", Some(120), ROWS),
        // Those with the same name stay in their order, also the other way round.
        ("sort=-name", "x,0,long", Some(120), ROWS),
        ("sort=clicks&status=active", "x,1,long", Some(119), ROWS),
    ];
    for (raw, first, total, count) in table {
        let (csv, all, rows) = shown(raw, &rows);
        assert_eq!((first_of(&csv).as_deref(), all, rows), (Some(first), total, count), "{raw}");
    }
    let query = read("q=ANN+example").expect("a query");
    assert!(query.matches("Joanna\nx@example.org") && !query.matches("Joanna"));
    assert_eq!(shown("q=ann", &[("Joanna", 1), ("Bob", 2)]).1, Some(1));
}

#[test]
fn a_list_that_is_searched_in_all_it_shows_needs_no_text() {
    let columns = vec![Column::text("name", "Name", |(name, _): &Thing| Cell::text(*name))];
    let list = List::new("/x", "X", "Nothing.", columns).search_all("Name");
    let query = list.read(Some("q=ann")).expect("a query");
    assert!(list.is_asked(&("Joanna", 1), &query) && !list.is_asked(&("Bob", 1), &query));
}

fn list(raw: &str, names: &[&'static str]) -> Listing {
    let rows: Vec<Thing> = names.iter().map(|name| (*name, 1)).collect();
    let pages = Pages { total: Some(rows.len()), page: 1, pages: 2, next: None };
    things().page(&rows, &pages, &read(raw).expect("a query"))
}

#[test]
fn links_keep_what_was_asked_for() {
    let list = list("q=a%26b&status=active&sort=name", &["x"]);
    assert_eq!(list.heads[0].href.as_deref(), Some("/admin/things?q=a%26b&sort=-name&status=active"));
    assert_eq!((list.heads[0].sorted, list.heads[1].sorted), (Some("ascending"), None));
    assert_eq!(list.heads[2].href, None);
    assert_eq!(list.next.as_deref(), Some("/admin/things?page=2&q=a%26b&sort=name&status=active"));
    assert_eq!(list.export.as_deref(), Some("/admin/things?format=csv&q=a%26b&sort=name&status=active"));
    assert!(list.narrowed);
}

#[test]
fn no_cell_of_an_export_is_a_formula() {
    let table = [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1+2", "'-1+2"),
        ("-50.00", "-50.00"),
        ("-", "'-"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("plain", "plain"),
        ("\u{200b}=1+1", "'\u{200b}=1+1"),
        ("\u{feff}=1+1", "'\u{feff}=1+1"),
        ("\u{a0} =1+1", "'\u{a0} =1+1"),
        ("\u{202e}\u{ad}@x", "'\u{202e}\u{ad}@x"),
        ("\u{0}=1", "'\u{0}=1"),
        ("\u{ff1d}1+1", "'\u{ff1d}1+1"),
        ("\u{ff0b}1", "'\u{ff0b}1"),
        ("\u{ff0d}x", "'\u{ff0d}x"),
        ("\u{ff20}SUM(A1)", "'\u{ff20}SUM(A1)"),
        ("\u{fe66}1", "'\u{fe66}1"),
        ("Ann;=1+1", "Ann;'=1+1"),
        ("Ann; \u{200b}\u{ff1d}1;b", "Ann;' \u{200b}\u{ff1d}1;b"),
        ("a\t=1", "a\t'=1"),
        ("a\n=1", "a\n'=1"),
        ("\t=1", "'\t'=1"),
        ("a\n\nb; c", "a\n\nb; c"),
        ("5;-3;-2.50", "5;-3;-2.50"),
        ("a-b=c@d", "a-b=c@d"),
        ("Zoë, Köln", "Zoë, Köln"),
    ];
    for (cell, expected) in table {
        assert_eq!(neutral(cell), expected);
    }
    let csv = String::from_utf8(list("", &["=cmd|' /C calc'!A0", "a,\"b\"\nc"]).to_csv()).expect("text");
    assert_eq!(csv, "\u{feff}name,clicks,note\n'=cmd|' /C calc'!A0,1,long\n\"a,\"\"b\"\"\nc\",1,long\n");
}

#[test]
fn an_export_says_what_it_leaves_out() {
    let made = list;
    let mut list = made("format=csv", &["x"]);
    list.total = Some(3);
    let csv = String::from_utf8(list.to_csv()).expect("text");
    assert!(csv.ends_with("2 more rows are not in this file\n"), "{csv}");
    // The list looked no further, or the store has another page.
    let mut looked_at = made("format=csv", &["x"]);
    looked_at.more = true;
    let mut paged = made("format=csv", &["x"]);
    (paged.total, paged.next) = (None, Some("/admin/things?after=x".to_owned()));
    for list in [looked_at, paged] {
        let csv = String::from_utf8(list.to_csv()).expect("text");
        assert!(csv.ends_with("\nmore rows are not in this file\n"), "{csv}");
    }
}

#[test]
fn the_template_escapes_all_that_a_list_holds() {
    let mut templates = minijinja::Environment::new();
    templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let parts = include_str!("../../../../templates/layout/list.html");
    templates.add_template("layout/list.html", parts).expect("a template");
    let page = r#"{% from "layout/list.html" import list_of %}{{ list_of(list) }}"#;
    templates.add_template("page.html", page).expect("a template");
    let draw = |list: &Listing| {
        let page = templates.get_template("page.html").expect("a template");
        let list = minijinja::Value::from(minijinja::value::Serde(list));
        page.render(minijinja::context! { list }).expect("a page")
    };
    let html = draw(&list("q=%3Cscript%3E", &["<img src=x onerror=alert(1)>"]));
    assert!(!html.contains("<img") && !html.contains("<script"), "{html}");
    assert!(html.contains("&lt;img") && html.contains("aria-sort"), "{html}");
    assert!(html.contains("1 in all"), "{html}");
    let mut longer = list("", &["x"]);
    longer.more = true;
    assert!(draw(&longer).contains("More than 1"));
    assert!(draw(&list("", &[])).contains("Nothing yet."));
    assert!(draw(&list("q=x", &[])).contains("Nothing matches"));
}
