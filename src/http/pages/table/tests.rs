use super::*;

fn spec() -> Spec {
    Spec {
        columns: vec![
            Column::text("name", "Name").sortable(),
            Column::number("clicks", "Clicks").sortable(),
            Column::text("note", "Note"),
        ],
        filters: vec![Filter::of("status", "Status", &[("", "All"), ("active", "Active")])],
        search: Some("Name"),
        order: "-clicks",
    }
}
fn read(raw: &str) -> Result<Query, BadQuery> {
    Query::read(Some(raw), &spec())
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
fn rows_are_sorted_searched_and_cut_into_pages() {
    let query = read("sort=-clicks&page=2").expect("a query");
    assert_eq!(query.sort(), ("clicks", true));
    let mut rows: Vec<usize> = (0..120).collect();
    query.arrange(&mut rows, |_, one, other| one.cmp(other));
    let (page, pages) = query.cut(rows.clone());
    assert_eq!((page[0], page.len(), pages.total, pages.pages), (69, ROWS, Some(120), 3));
    // A page past the end is the last one.
    assert_eq!(read("page=9").expect("a query").cut(rows.clone()).0.len(), 20);
    assert_eq!(read("format=csv&page=2").expect("a query").cut(rows).0.len(), 120);
    let query = read("q=ANN+example").expect("a query");
    assert!(query.matches(&["Joanna", "x@example.org"]) && !query.matches(&["Joanna"]));
}

fn list(raw: &str, cells: &[&str]) -> List {
    let query = read(raw).expect("a query");
    let row =
        |name: &&str| Row::from(vec![Cell::text(*name), Cell::text("1"), Cell::text("n").export("long")]);
    let rows = cells.iter().map(row).collect();
    let pages = Pages { total: Some(cells.len()), more: false, page: 1, pages: 2, next: None };
    List::new("/admin/things", "Things", "Nothing yet.", spec(), &query, (rows, pages))
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
    let draw = |list: &List| {
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
