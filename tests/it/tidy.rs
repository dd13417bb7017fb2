//! The house rules that a search can hold; those that clippy can hold are in `clippy.toml` and `Cargo.toml`.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a file");
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "{dir} has sources");
    found
}

/// Lines of code, without comments and without what is below `#[cfg(test)]`.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[track_caller]
fn nowhere(dir: &str, words: &[&str], but_in: &[&str]) {
    let mut found = Vec::new();
    for (path, text) in sources(dir) {
        if but_in.iter().any(|excepted| path.ends_with(excepted)) || path.ends_with("tests.rs") {
            continue;
        }
        for (number, line) in code(&text) {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_domain_is_pure() {
    let impure = [
        "async fn",
        ".await",
        "SystemTime",
        "Instant::now",
        "tokio::",
        "hyper::",
        "axum::",
        "redis::",
        "rusqlite::",
        "crate::app",
        "crate::http",
        "crate::store",
        "crate::journal",
        "std::fs",
        "std::net::Tcp",
    ];
    nowhere("src/domain", &impure, &[]);
}

#[test]
fn only_the_calendar_knows_zones() {
    nowhere("src", &["jiff::"], &["src/domain/calendar/zone.rs", "src/domain/calendar.rs"]);
}

#[test]
fn no_float_comes_near_money() {
    nowhere("src/domain", &["f64", "f32"], &[]);
    nowhere("src/app", &["f64", "f32"], &[]);
    nowhere("src/paypal", &["f64", "f32"], &[]);
}

#[test]
fn adapters_do_not_know_each_other() {
    nowhere(
        "src/journal",
        &["crate::http", "crate::app", "crate::store::redis", "crate::store::sqlite"],
        &[],
    );
    nowhere("src/store", &["crate::http", "crate::app", "crate::journal"], &[]);
    nowhere("src/paypal", &["crate::http", "crate::app", "crate::journal", "crate::store"], &[]);
    nowhere("src/http", &["crate::journal", "crate::store::redis", "crate::store::sqlite"], &[]);
}

#[test]
fn no_test_is_left_out() {
    nowhere("tests", &["#[ignore"], &["it/tidy.rs"]);
}

/// What lies in a directory and is named nowhere is never used, and nobody would notice.
#[test]
fn every_template_and_every_file_of_tests_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    let names = |dir: &str| -> Vec<String> {
        let entries = fs::read_dir(root.join(dir)).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
    };
    let pages: String = sources("src/http").into_iter().map(|(_, text)| text).collect();
    let mails = text("src/mail/templates.rs");
    for part in names("templates") {
        let lists = if part == "mail" { &mails } else { &pages };
        for name in names(&format!("templates/{part}")) {
            let is_named = part == "assets" || lists.contains(&format!("{part}/{name}\""));
            assert!(is_named || lists.contains(&format!("\"{name}\"")), "templates/{part}/{name}");
        }
    }
    for program in ["it", "bars"] {
        let main = text(&format!("tests/{program}/main.rs"));
        for name in names(&format!("tests/{program}")) {
            let module = name.trim_end_matches(".rs");
            assert!(module == "main" || main.contains(&format!("mod {module};")), "tests/{program}/{name}");
        }
    }
}
