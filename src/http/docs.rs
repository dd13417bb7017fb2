//! `/docs`: the API document as one page for people; it loads nothing else.

use super::openapi::DOCUMENT;
use axum::response::{Html, IntoResponse, Response};
use http::header::CONTENT_SECURITY_POLICY;
use serde_json::Value;
use std::fmt::Write;
use std::sync::LazyLock;

static PAGE: LazyLock<String> = LazyLock::new(|| render(&DOCUMENT));

/// `GET /docs`.
pub async fn page() -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE.as_str())).into_response()
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
code,pre{font:14px ui-monospace,monospace;background:#8881;border-radius:4px;padding:.1em .3em}\
pre{padding:.8em;overflow:auto}details{border:1px solid #8884;border-radius:6px;margin:.5em 0;padding:.5em .8em}\
summary{cursor:pointer}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;\
padding:.2em .6em .2em 0;border-top:1px solid #8883}.m{display:inline-block;min-width:4.5em;font-weight:700}\
:root{color-scheme:light dark}";

/// The page of a document.
fn render(document: &Value) -> String {
    let mut page = String::with_capacity(64 * 1024);
    let info = &document["info"];
    put(
        &mut page,
        format_args!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{0} API</title><style>{STYLE}</style><h1>{0} API {1}</h1>",
            escape(text(&info["title"])),
            escape(text(&info["version"])),
        ),
    );
    for part in text(&info["description"]).split("\n\n") {
        put(&mut page, format_args!("<p>{}</p>", prose(part)));
    }
    put(&mut page, format_args!("<p>For programs: <a href=\"/openapi.json\">openapi.json</a></p>"));
    for tag in list(&document["tags"]) {
        let name = text(&tag["name"]);
        put(&mut page, format_args!("<h2>{}</h2><p>{}</p>", escape(name), prose(text(&tag["description"]))));
        for (path, operations) in entries(&document["paths"]) {
            for (method, operation) in entries(operations) {
                if list(&operation["tags"]).any(|one| one == name) {
                    render_operation(&mut page, document, path, method, operation);
                }
            }
        }
    }
    put(&mut page, format_args!("<h2>Shapes</h2>"));
    for (name, schema) in entries(&document["components"]["schemas"]) {
        put(
            &mut page,
            format_args!(
                "<details id=\"{0}\"><summary><code>{0}</code> {1}</summary>",
                escape(name),
                prose(text(&schema["description"]))
            ),
        );
        render_shape(&mut page, schema);
        page.push_str("</details>");
    }
    page.push_str("</html>\n");
    page
}

fn render_operation(page: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    put(
        page,
        format_args!(
            "<details><summary><span class=m>{}</span><code>{}</code> {}</summary><p>{}</p>",
            escape(&method.to_uppercase()),
            escape(path),
            prose(text(&operation["summary"])),
            prose(text(&operation["description"])),
        ),
    );
    if operation["parameters"].is_array() {
        page.push_str("<table><tr><th>Parameter<th>In<th>");
        for parameter in list(&operation["parameters"]) {
            let required = if parameter["required"] == true { "required. " } else { "" };
            put(
                page,
                format_args!(
                    "<tr><td><code>{}</code><td>{}<td>{required}{}",
                    escape(text(&parameter["name"])),
                    escape(text(&parameter["in"])),
                    prose(text(&parameter["description"]))
                ),
            );
        }
        page.push_str("</table>");
    }
    for (media_type, content) in entries(&operation["requestBody"]["content"]) {
        put(
            page,
            format_args!("<p>Body <code>{}</code> {}</p>", escape(media_type), shape(&content["schema"])),
        );
        let example = if content["example"].is_null() {
            example_of(document, &content["schema"])
        } else {
            &content["example"]
        };
        if !example.is_null() {
            let shown = example.as_str().map_or_else(|| format!("{example:#}"), str::to_owned);
            put(page, format_args!("<pre>{}</pre>", escape(&shown)));
        }
    }
    page.push_str("<table><tr><th>Status<th>Body<th>");
    for (status, response) in entries(&operation["responses"]) {
        let bodies: Vec<String> =
            entries(&response["content"]).map(|(_, content)| shape(&content["schema"])).collect();
        put(
            page,
            format_args!(
                "<tr><td>{}<td>{}<td>{}",
                escape(status),
                bodies.join(", "),
                prose(text(&response["description"]))
            ),
        );
    }
    page.push_str("</table></details>");
}

fn render_shape(page: &mut String, schema: &Value) {
    if schema["enum"].is_array() {
        let values: Vec<_> =
            list(&schema["enum"]).map(|one| format!("<code>{}</code>", escape(text(one)))).collect();
        put(page, format_args!("<p>{}</p>", values.join(" ")));
    }
    for one in list(&schema["oneOf"]) {
        put(page, format_args!("<p>either {}: {}</p>", shape(one), prose(text(&one["description"]))));
        render_shape(page, one);
    }
    if schema["properties"].is_object() {
        page.push_str("<table><tr><th>Field<th>Type<th>");
        for (name, field) in entries(&schema["properties"]) {
            let required = list(&schema["required"]).any(|one| one == name);
            let mark = if required { "" } else { "optional. " };
            put(
                page,
                format_args!(
                    "<tr><td><code>{}</code><td>{}<td>{mark}{}",
                    escape(name),
                    shape(field),
                    prose(text(&field["description"]))
                ),
            );
        }
        page.push_str("</table>");
    }
}

/// A schema in a few words, with a link where it has a name.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#{0}\"><code>{0}</code></a>", escape(name));
    }
    let either: Vec<_> = list(&schema["oneOf"]).map(shape).collect();
    if !either.is_empty() {
        return either.join(" or ");
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect(),
        one => vec![text(one)],
    };
    let of =
        if schema["items"].is_object() { format!(" of {}", shape(&schema["items"])) } else { String::new() };
    format!("{}{of}", escape(&kinds.join(" or ")))
}

fn example_of<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let named = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    named.map_or(&Value::Null, |name| &document["components"]["schemas"][name]["example"])
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = page.write_fmt(text);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text in which what stands between backticks is code.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(
            |(place, part)| {
                if place % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_operation_and_loads_nothing() {
        let page = render(&DOCUMENT);
        for (path, _) in entries(&DOCUMENT["paths"]) {
            assert!(page.contains(&escape(path)), "{path}");
        }
        for outside in ["http://", "https://", "<script", "<img", "<link", "@import"] {
            let shown = page.replace("https://www.calltrackingmetrics.com", "");
            assert!(!shown.contains(outside), "{outside}");
        }
    }

    #[test]
    fn what_a_document_says_is_never_markup() {
        let hostile =
            serde_json::json!({"info": {"title": "<b>\"&", "version": "1", "description": "`<i>` <u>"}});
        let page = render(&hostile);
        assert!(page.contains("&lt;b&gt;&quot;&amp;"));
        assert!(page.contains("<code>&lt;i&gt;</code> &lt;u&gt;"));
    }
}
