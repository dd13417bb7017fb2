//! Commands for operators: `doctor`, `rebuild`, `verify`, `store …`, `node …`.

use super::args::{Node, Store};
use super::client::Client;
use super::session::with_server;
use super::show::{Column, Show, line, number, table, text};
use super::{Context, Failure};
use crate::config::Config;
use crate::server::raise_open_files_limit;
use http::Method;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// With less free space on the journals' disk, `doctor` reports a problem.
const LITTLE_ROOM: u64 = 1 << 30;

const FINDINGS: &[Column] = &[text("", "/mark"), text("CHECK", "/check"), text("FOUND", "/text")];

const NODES: &[Column] = &[
    text("NODE", "/id"),
    text("LAST SEEN", "/seen_at"),
    text("STOPPED", "/stopped"),
    number("FACTS", "/facts/position"),
    number("CLICKS", "/clicks/position"),
];

/// Checks what can be seen from outside, then asks the server for the rest.
pub(super) async fn doctor(context: Context<'_>, file: Option<&Path>) -> Result<(), Failure> {
    let mut findings = vec![finding(
        "config",
        true,
        match file {
            Some(file) => format!("{} is good", file.display()),
            None => "no file; the defaults and the environment are good".to_owned(),
        },
    )];
    findings.extend(local_findings(&context.config));
    let asked = with_server(&context, async |client: &Client| client.get("/v1/doctor").await).await;
    let mut unavailable = false;
    match asked {
        Ok(Value::Object(mut answer)) => {
            findings.extend(
                answer.remove("findings").and_then(|list| list.as_array().cloned()).unwrap_or_default(),
            );
        }
        Ok(_) => findings.push(finding(
            "server",
            false,
            "the server's answer can't be read; is it another version?",
        )),
        Err(Failure::Unavailable(text)) => {
            unavailable = true;
            findings.push(finding("server", false, text));
        }
        Err(Failure::Config(text) | Failure::Other(text)) => findings.push(finding("server", false, text)),
        Err(other) => return Err(other),
    }
    print_findings(context.show, &findings, json!({}))?;
    if findings.iter().all(is_ok) {
        return Ok(());
    }
    Err(Failure::Silent(if unavailable { 69 } else { 1 }))
}

pub(super) async fn rebuild(context: Context<'_>, journals: &[PathBuf]) -> Result<(), Failure> {
    if let Some(missing) = journals.iter().find(|journal| !journal.is_dir()) {
        return Err(Failure::Usage(format!(
            "{} is not a directory; name directories of journals",
            missing.display()
        )));
    }
    let rebuilt = context.launcher.rebuild(&context.config, journals).await?;
    context.show.result(&rebuilt, || {
        line(&format!(
            "{} facts and {} clicks of {} applied; when all nodes are in, run `counterfoil store confirm`",
            rebuilt.facts,
            rebuilt.clicks,
            rebuilt.nodes.join(", ")
        ))
    })
}

pub(super) async fn verify(context: &Context<'_>) -> Result<(), Failure> {
    let proof = with_server(context, async |client: &Client| client.get("/v1/verify").await).await?;
    context.show.result(&proof, || {
        let count = |name: &str| proof[name].as_u64().unwrap_or_default();
        let word = |name: &str| proof[name].as_str().unwrap_or_default().to_owned();
        for damage in proof["damage"].as_array().into_iter().flatten() {
            line(&format!("DAMAGE {}", damage.as_str().unwrap_or_default()))?;
        }
        line(&format!(
            "{} facts, {} clicks, {} closed statements",
            count("facts"),
            count("clicks"),
            count("statements")
        ))?;
        let head = |name: &str| Some(word(name)).filter(|head| !head.is_empty()).unwrap_or("none".to_owned());
        line(&format!("facts head   {}", head("facts_head")))?;
        line(&format!("clicks head  {}", head("clicks_head")))?;
        line(if proof["untouched"] == json!(true) {
            "everything is as it was written; keep the heads elsewhere: they are a proof later"
        } else {
            "NOT everything is as it was written"
        })
    })?;
    if proof["untouched"] == json!(true) { Ok(()) } else { Err(Failure::Silent(1)) }
}

pub(super) async fn store(context: Context<'_>, command: Store) -> Result<(), Failure> {
    let show = context.show;
    with_server(&context, async |client: &Client| match command {
        Store::Confirm => {
            let answer = client.send(Method::POST, "/v1/store/confirm", &json!({})).await?;
            show.result(&answer, || line("confirmed: months can close again"))
        }
    })
    .await
}

pub(super) async fn node(context: Context<'_>, command: Node) -> Result<(), Failure> {
    let show = context.show;
    with_server(&context, async |client: &Client| match command {
        Node::List => show.list(&client.short_list("/v1/nodes").await?, NODES, "no nodes"),
        Node::Forget { id } => {
            client.send(Method::DELETE, &format!("/v1/nodes/{id}"), &Value::Null).await?;
            show.result(&json!({ "forgotten": id }), || line(&format!("{id} is forgotten")))
        }
    })
    .await
}

fn finding(check: &str, ok: bool, text: impl Into<String>) -> Value {
    let text: String = text.into();
    json!({ "check": check, "ok": ok, "text": text })
}

fn is_ok(finding: &Value) -> bool {
    finding["ok"].as_bool().unwrap_or(false)
}

fn print_findings(show: Show, findings: &[Value], more: Value) -> Result<(), Failure> {
    let mut whole = json!({ "ok": findings.iter().all(is_ok), "findings": findings });
    if let (Value::Object(whole), Value::Object(more)) = (&mut whole, more) {
        whole.extend(more);
    }
    show.result(&whole, || {
        let marked: Vec<Value> = findings
            .iter()
            .map(|finding| {
                let mut finding = finding.clone();
                finding["mark"] = json!(if is_ok(&finding) { "ok" } else { "FIX" });
                finding
            })
            .collect();
        table(&marked, FINDINGS)
    })
}

fn local_findings(config: &Config) -> [Value; 4] {
    [
        secrets_are_private(config),
        data_is_private(config),
        there_is_room(config),
        enough_files_may_be_open(config),
    ]
}

fn secrets_are_private(config: &Config) -> Value {
    let files = config.secret_files();
    let others_may_read = |file: &&PathBuf| {
        std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    };
    let open: Vec<String> =
        files.iter().filter(others_may_read).map(|file| file.display().to_string()).collect();
    if open.is_empty() {
        finding("keys", true, format!("{} files, private to this user", files.len()))
    } else {
        finding("keys", false, format!("others may read {}; run chmod 600 on it", open.join(", ")))
    }
}

fn data_is_private(config: &Config) -> Value {
    let dir = config.data_dir.display();
    let open = crate::private::open_to_others(&config.data_dir);
    match open.first() {
        None => finding("data", true, format!("what {dir} holds is private to this user")),
        Some(first) => finding(
            "data",
            false,
            format!(
                "others may read {} things in {dir}, as {}; run chmod -R go= on it",
                open.len(),
                first.display()
            ),
        ),
    }
}

fn there_is_room(config: &Config) -> Value {
    // Before the first start, the parent directory gives the same result.
    let dir = config.data_dir.ancestors().find(|dir| dir.is_dir()).unwrap_or_else(|| Path::new("."));
    match rustix::fs::statvfs(dir) {
        Err(error) => finding("disk", false, format!("can't read {}: {error}", dir.display())),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let mib = free >> 20;
            if free < LITTLE_ROOM {
                finding("disk", false, format!("only {mib} MiB are free for {}; make room", dir.display()))
            } else {
                finding("disk", true, format!("{mib} MiB are free for {}", dir.display()))
            }
        }
    }
}

fn enough_files_may_be_open(config: &Config) -> Value {
    let allowed = raise_open_files_limit();
    let wanted = (config.limits.connections + config.limits.internal_connections + 100) as u64;
    let ok = allowed >= wanted;
    let mend =
        if ok { "" } else { "; raise the limit (ulimit -Hn, LimitNOFILE) or lower limits.connections" };
    finding("open files", ok, format!("{allowed} may be open, {wanted} may be needed{mend}"))
}
