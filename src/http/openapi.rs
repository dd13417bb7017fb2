//! The API document, made from the code.

use super::error::{PROBLEM_JSON, Problem, ProblemDoc};
use super::{admin, callbacks, health, import};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use std::sync::LazyLock;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Counterfoil",
        description = "A referral-attribution server: signed links, provable credit, commissions that add up.\n\nTimes are RFC 3339, money is decimal strings, ids are opaque strings. Lists are `{\"data\": […], \"next_cursor\": …}`. Errors are RFC 9457 problems with a stable `code`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "The internal listener")),
    paths(
        callbacks::signup, callbacks::event, import::import,
        admin::affiliates::list, admin::affiliates::create, admin::affiliates::show, admin::affiliates::change,
        admin::affiliates::step, admin::affiliates::reject, admin::links::list, admin::links::create, admin::links::disable, admin::links::enable,
        admin::notes::notes, admin::notes::add_note, admin::notes::send_activation, admin::notes::sign_out,
        admin::claims::list, admin::claims::decide,
        admin::staff::list, admin::staff::create, admin::staff::change, admin::staff::invite, admin::staff::disable,
        admin::staff::enable,
        admin::accounts::list, admin::accounts::show, admin::accounts::credit, admin::accounts::review,
        admin::stats::read, admin::statements::list, admin::aggregate::run, admin::aggregate::progress,
        admin::payouts::list, admin::payouts::create, admin::payouts::status, admin::payouts::opening, admin::payouts::year,
        admin::payouts::show, admin::payouts::items, admin::payouts::carried, admin::payouts::approve, admin::payouts::submit, admin::payouts::discard,
        admin::payouts::export, admin::payouts::paid, admin::payouts::withdraw_item, admin::payouts::item_paid,
        admin::payouts::results, admin::payouts::resolve_item, admin::payouts::seen_item, admin::payouts::balance, admin::payouts::release,
        admin::by_hand::lines, admin::by_hand::add, admin::by_hand::take_back,
        admin::facts::set_aside, admin::facts::retry, admin::facts::drop_it,
        admin::feed::read, admin::audit::read,
        admin::store::nodes, admin::store::forget, admin::store::confirm, admin::store::doctor, admin::store::verify,
        health::healthz, health::readyz, health::metrics, json_document, docs_page,
    ),
    components(schemas(ProblemDoc, admin::affiliates::StepName, crate::domain::fact::ReviewAction)),
    tags(
        (name = "callbacks", description = "The company's signup flow reports accounts and what happens to them"),
        (name = "import", description = "Backfill from another system"),
        (name = "affiliates", description = "Partners and their life"),
        (name = "links", description = "Their signed addresses"),
        (name = "accounts", description = "Customers: who is credited, and why"),
        (name = "claims", description = "Referrals that affiliates say are missing"),
        (name = "staff", description = "Who may sign in to the staff's pages"),
        (name = "stats", description = "Figures of a period"),
        (name = "statements", description = "What affiliates earned"),
        (name = "payouts", description = "How affiliates are paid"),
        (name = "nightly run", description = "Computes open months, closes those that are due"),
        (name = "feed", description = "What happened to referrals, in order"),
        (name = "audit", description = "Who did what"),
        (name = "operation", description = "Health, nodes, store"),
    )
)]
struct Document;

/// Gives this document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operation",
    responses((status = 200, body = Object, description = "OpenAPI 3.1"))
)]
#[expect(dead_code, reason = "documents `json`, whose name would be that of the format")]
fn json_document() {}

/// Shows this document to people.
#[utoipa::path(
    get, path = "/docs", tag = "operation",
    responses((status = 200, body = String, content_type = "text/html", description = "A page that loads no other files"))
)]
#[expect(dead_code, reason = "documents `docs::page`")]
fn docs_page() {}

/// The document.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
static TEXT: LazyLock<String> = LazyLock::new(text);

/// `GET /openapi.json`.
pub async fn json() -> Response {
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The document as it is committed: indented, with a line's end.
pub fn text() -> String {
    format!("{:#}\n", *DOCUMENT)
}

fn document() -> Value {
    // The document is made of plain data by its derive.
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    document["components"]["securitySchemes"] = security_schemes();
    document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] =
        Problem::ALL.iter().map(|problem| problem.code()).collect();
    let requests = requests(&document["paths"]);
    for (name, schema) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
        if !requests.contains(name) {
            require_nullable(schema);
        }
    }
    describe_in_place(&mut document["components"]["schemas"]);
    let schemas = document["components"]["schemas"].clone();
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, operations) in paths {
            let operations = operations.as_object_mut().into_iter().flat_map(|methods| methods.values_mut());
            operations.for_each(|operation| complete(path, operation, &schemas));
        }
    }
    document
}

/// Says what a field is beside what it may hold: the derive writes the two as `allOf`, the second as an object.
fn describe_in_place(schema: &mut Value) {
    if let Some([described, about]) = schema["allOf"].as_array().map(Vec::as_slice)
        && *about == json!({"type": "object", "description": about["description"]})
    {
        let (mut described, about) = (described.clone(), about["description"].clone());
        described["description"] = about;
        *schema = described;
    }
    if let Some(fields) = schema.as_object_mut() {
        fields.values_mut().filter(|field| field.is_object()).for_each(describe_in_place);
    }
}

/// The names of what is sent to us.
fn requests(paths: &Value) -> Vec<String> {
    let operations = paths.as_object().into_iter().flat_map(|paths| paths.values());
    operations
        .flat_map(|path| path.as_object().into_iter().flat_map(|methods| methods.values()))
        .filter_map(|operation| {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            schema.as_str()?.rsplit('/').next().map(str::to_owned)
        })
        .collect()
}

/// In answers a field that may be null is always there: one that may be left out is never null.
fn require_nullable(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let properties = fields.get("properties").and_then(Value::as_object).into_iter().flatten();
            let nullable = properties.filter(|(_, shape)| is_nullable(shape));
            let nullable: Vec<Value> = nullable.map(|(name, _)| name.as_str().into()).collect();
            if !nullable.is_empty() {
                let required = fields.entry("required").or_insert_with(|| json!([]));
                required.as_array_mut().into_iter().for_each(|names| names.extend(nullable.clone()));
            }
            fields.values_mut().for_each(require_nullable);
        }
        Value::Array(values) => values.iter_mut().for_each(require_nullable),
        _ => {}
    }
}

fn is_nullable(shape: &Value) -> bool {
    let mut kinds = [&shape["type"], &shape["oneOf"]].into_iter().filter_map(Value::as_array).flatten();
    kinds.any(|kind| kind == "null" || kind["type"] == "null")
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "An API key. Scopes: `admin` may do everything, `read` may GET, `callback` may report signups and events."
        },
        "webhook": {
            "type": "apiKey", "in": "header", "name": "webhook-signature",
            "description": "Standard Webhooks: `webhook-id`, `webhook-timestamp` (Unix seconds, within 300 s of now) and `webhook-signature: v1,<base64 of HMAC-SHA256 of \"{id}.{timestamp}.{body}\">`, each exactly once; up to 8 signatures separated by spaces. The secret is `whsec_<base64>`."
        }
    })
}

/// Gives an operation what its attribute does not say.
fn complete(path: &str, operation: &mut Value, schemas: &Value) {
    name(operation);
    name_ids(path, operation);
    if path.starts_with("/v1/") && operation.get("security").is_none() {
        operation["security"] = json!([{ "bearer": [] }]);
    }
    spare_body(operation, schemas);
    add_shared_problems(operation);
}

/// Names an operation by its tag and its handler: handlers of different things share their verbs.
fn name(operation: &mut Value) {
    let tag = operation["tags"][0].as_str().unwrap_or_default().replace(' ', "_");
    let verb = operation["operationId"].as_str().unwrap_or_default();
    if verb != tag {
        operation["operationId"] = format!("{tag}_{verb}").into();
    }
}

/// The ids in paths: what each is of, and one of them.
const IDS: [(&str, &str, &str); 10] = [
    ("affiliate_id", "The affiliate's id", "aff_0a1b2c3d4e5f6"),
    ("account_id", "The company's name for the account", "acct_81"),
    ("link_id", "The link's id", "lnk_0a1b2c3d4e5f6"),
    ("claim_id", "The claim's id", "clm_0a1b2c3d4e5f6"),
    ("staff_id", "The member's id", "stf_0a1b2c3d4e5f6"),
    ("payout_id", "The batch's id", "pay_2026-04-1"),
    ("item_id", "The item's id", "pay_2026-04-1_0a1b2c3d4e5f6"),
    ("line_key", "The line's key", "2026-04-double"),
    ("node_id", "The node's id", "node_0a1b2c3d4e5f6"),
    (
        "fact_id",
        "Its node and its position in the node's journal; after the node's disk was restored, also the epoch",
        "node_0a1b2c3d4e5f6:81",
    ),
];

/// Adds the ids in a path to an operation's parameters.
fn name_ids(path: &str, operation: &mut Value) {
    let ids = IDS.iter().filter(|(name, ..)| path.contains(&format!("{{{name}}}")));
    let ids = ids.map(|(name, description, example)| {
        json!({"name": name, "in": "path", "required": true, "description": description,
            "schema": {"type": "string"}, "example": example})
    });
    let others = operation["parameters"].as_array().cloned().unwrap_or_default();
    let all: Vec<Value> = ids.chain(others).collect();
    if !all.is_empty() {
        operation["parameters"] = all.into();
    }
}

/// A body none of whose fields must be there may be left out.
fn spare_body(operation: &mut Value, schemas: &Value) {
    for (_, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let named = content["schema"]["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        if named.is_none_or(|name| schemas[name].get("required").is_none()) {
            operation["requestBody"]["required"] = false.into();
            return;
        }
    }
}

/// Adds the problems that any operation of its kind may answer with.
fn add_shared_problems(operation: &mut Value) {
    let secured = operation.get("security").is_some();
    let has_path = operation["parameters"].as_array().into_iter().flatten().any(|one| one["in"] == "path");
    let has_query = operation["parameters"].as_array().into_iter().flatten().any(|one| one["in"] == "query");
    let body = &operation["requestBody"]["content"];
    // An import tells of bad lines in its lines, however many they are.
    let (has_body, is_read_whole) = (body.is_object(), body.get("application/json").is_some());
    let is_callback = operation["tags"][0] == "callbacks";
    let rows = [
        (has_body || has_query, "400", "The body or the query can't be read"),
        (secured, "401", "The key or the signature is missing or wrong"),
        (secured, "403", "The key lacks the scope"),
        (has_path, "404", "No such thing"),
        (is_read_whole, "408", "The body did not arrive in time"),
        (is_read_whole, "413", "The body is larger than 64 KiB"),
        (true, "414", "The address is longer than `limits.uri_bytes`: 8,192 bytes by default"),
        (is_read_whole && !is_callback, "415", "The body is not JSON"),
        (has_body || has_query, "422", "A field or parameter is not what it must be; `code` names it"),
        (
            true,
            "431",
            "There are more headers than `limits.headers`, 100 by default, or larger ones than `limits.header_bytes`, 64 KiB",
        ),
        (secured, "503", "Nothing was kept: the journal or the store is not there; try again"),
    ];
    for (applies, status, description) in rows {
        if applies && operation["responses"].get(status).is_none() {
            operation["responses"][status] = json!({
                "description": description,
                "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } }
            });
        }
    }
    if secured {
        operation["responses"]["503"]["headers"] =
            json!({"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}});
    }
}

#[cfg(test)]
mod tests;
