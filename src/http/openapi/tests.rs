use super::*;

const COMMITTED: &str = "docs/openapi.json";

fn operations() -> Vec<(String, String, Value)> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let of_path = |(path, methods): (&String, &Value)| {
        let path = path.clone();
        let methods = methods.as_object().expect("methods").clone();
        methods.into_iter().map(move |(method, operation)| (path.clone(), method, operation))
    };
    paths.iter().flat_map(of_path).collect()
}

/// Run with `UPDATE=1` to write it anew.
#[test]
fn the_committed_document_is_that_of_the_code() {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all("docs").expect("a directory for documents");
        std::fs::write(COMMITTED, text()).expect("write the document");
    }
    let committed = std::fs::read_to_string(COMMITTED).expect("read the committed document");
    assert!(committed == text(), "{COMMITTED} is not that of the code: run this test with UPDATE=1");
}

#[test]
fn each_route_is_documented_and_nothing_else() {
    let table = include_str!("../mod.rs");
    let routed: std::collections::BTreeMap<&str, &str> = table
        .lines()
        .filter_map(|line| line.split_once(".route(\"")?.1.split_once("\", "))
        .filter(|(path, _)| *path != "/v1/clock")
        .collect();
    let mut documented = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (path, method, _) in operations() {
        documented.entry(path).or_default().push(method);
    }
    assert_eq!(routed.keys().copied().collect::<Vec<_>>(), documented.keys().collect::<Vec<_>>());
    for (path, handlers) in routed {
        for method in ["get", "post", "patch", "put", "delete"] {
            let has = handlers.split('.').any(|part| part.starts_with(&format!("{method}(")));
            assert_eq!(has, documented[path].iter().any(|one| one == method), "{method} {path}");
        }
    }
}

#[test]
fn each_operation_says_who_may_ask_and_how_it_may_end() {
    for (path, method, operation) in operations() {
        let what = format!("{method} {path}");
        assert!(operation["summary"].is_string(), "{what} has a summary");
        let responses = operation["responses"].as_object().expect("responses");
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{what} {status}");
        }
        assert_eq!(path.starts_with("/v1/"), operation["security"].is_array(), "{what} is secured");
        if path.starts_with("/v1/") {
            assert!(["401", "403", "503"].iter().all(|status| responses.contains_key(*status)), "{what}");
        }
        if operation["requestBody"]["content"]["application/json"].is_object() {
            assert!(["400", "413", "422"].iter().all(|status| responses.contains_key(*status)), "{what}");
        }
        if path.contains('{') {
            assert!(responses.contains_key("404"), "{what}");
        }
    }
}

#[test]
fn each_field_of_a_request_has_a_problem_and_no_other_field_is_taken() {
    for (path, method, operation) in operations() {
        let content = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let Some(name) = content.as_str().and_then(|path| path.rsplit('/').next()) else { continue };
        let (schema, what) = (&DOCUMENT["components"]["schemas"][name], format!("{method} {path}"));
        // What the signup flow reports may hold more.
        let is_report = operation["tags"][0] == "callbacks";
        assert_eq!(schema["additionalProperties"] == false, !is_report, "{what}");
        for field in schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys()) {
            assert!(is_report || Problem::invalid(field) != Problem::UnknownField, "{what}: invalid_{field}");
        }
    }
}

#[test]
fn each_operation_has_a_name_of_its_own() {
    let names: Vec<_> = operations().into_iter().map(|(_, _, one)| one["operationId"].to_string()).collect();
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
}

#[test]
fn every_named_shape_exists() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(values) => values.iter().for_each(|one| references(one, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&DOCUMENT, &mut found);
    assert!(!found.is_empty());
    for path in found {
        let pointer = path.strip_prefix('#').expect("within the document");
        assert!(DOCUMENT.pointer(pointer).is_some(), "{path}");
    }
}
