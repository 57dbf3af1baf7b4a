//! The OpenAPI document: that it has every request, and that answers are as it has them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use super::guard::Guard;
use super::router;
use super::site::Site;
use super::tests::{ask, png, trained};

const ADDRESS: &str = "/api/v1/openapi.json";
const RUN: &str = "/api/v1/runs/{run}";
const SETS: &str = "/api/v1/data/sets";
const INSPECTIONS: &str = "/api/v1/data/inspections";
/// Words of a schema that say nothing of a value, or what is not compared.
const OTHER_WORDS: [&str; 4] = ["description", "default", "format", "minimum"];

fn empty_site() -> (tempfile::TempDir, Site) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    (folder, site)
}

async fn document(site: &Site) -> Value {
    let (status, kind, body) = ask(site, "GET", ADDRESS, Vec::new()).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/json"));
    serde_json::from_slice(&body).expect("JSON")
}

/// The methods of a path, with what they do.
fn operations(item: &Value) -> impl Iterator<Item = (&String, &Value)> {
    item.as_object().expect("methods").iter()
}

#[tokio::test]
async fn no_request_below_the_api_is_left_out() {
    // `routes!` alone puts a request into the document, and a path that is below the API is in no other call.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve");
    let mut n_handlers = 0;
    let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("an entry"));
    let serve = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve.rs");
    let paths = files.map(walkdir::DirEntry::into_path).chain([serve]);
    for path in paths.filter(|path| path.is_file() && !path.ends_with("openapi_tests.rs")) {
        let Ok(source) = fs::read_to_string(&path) else { continue };
        let source: String = source.split_whitespace().collect();
        for call in [".route(\"/api", ".nest(\"/api", ".route_service(\"/api"] {
            assert!(!source.contains(call), "{} has {call}; use routes!", path.display());
        }
        n_handlers += source.matches("#[utoipa::path(").count();
    }
    let (_folder, site) = empty_site();
    let document = document(&site).await;
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.keys().all(|path| path.starts_with("/api/v1/")), "{paths:?}");
    assert_eq!(
        paths.values().flat_map(operations).count(),
        n_handlers,
        "handlers that are described, and routed"
    );
    assert!(n_handlers > 20, "{n_handlers}");
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| match member.as_str() {
            Some(target) if name == "$ref" => found.push(target),
            _ => references(member, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_whole() {
    let (_folder, site) = empty_site();
    let document = document(&site).await;
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{document}");
    let mut targets = Vec::new();
    references(&document, &mut targets);
    assert!(targets.len() > 100, "{}", targets.len());
    for target in targets {
        let pointer = target.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    }
    assert!(!document.to_string().contains("[`"), "a description has a link of rustdoc");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations(item) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(ids.insert(id), "{method} {path}: {id} is not the only one");
            assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{method} {path}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            assert!(
                parameters.iter().all(|parameter| parameter["description"].is_string()),
                "{method} {path}"
            );
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
            let named: BTreeSet<_> =
                in_path.map(|parameter| parameter["name"].as_str().unwrap_or_default()).collect();
            let expected =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(named, expected, "{method} {path}");
            for (status, answer) in operation["responses"].as_object().expect("answers") {
                let description = &resolved(&document, answer)["description"];
                assert!(description.is_string(), "{method} {path} {status}");
            }
            for status in ["401", "408", "421", "500"] {
                assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
            }
            assert_eq!(operation["responses"]["403"].is_object(), method != "get", "{method} {path}");
        }
    }
    assert_eq!(document["security"], json!([{ "bearer": [] }, { "cookie": [] }]));
}

#[tokio::test]
async fn the_document_needs_the_token() {
    let (_folder, site) = empty_site();
    for (secret, expected) in [("t", StatusCode::OK), ("guess", StatusCode::UNAUTHORIZED)] {
        let request = Request::builder().uri(ADDRESS).header(header::HOST, "127.0.0.1:80");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        let request = request.body(Body::empty()).expect("a request");
        let answer = router(site.clone(), Guard::new("t", 80)).oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), expected, "{secret}");
    }
}

/// What a reference leads to; anything else as it is.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.map_or(value, |pointer| document.pointer(pointer).expect("a target"))
}

/// The names that an object of this schema may have; none for any.
fn names(document: &Value, schema: &Value) -> Option<BTreeSet<String>> {
    let schema = resolved(document, schema);
    if ["properties", "allOf", "oneOf"].iter().all(|word| schema.get(word).is_none()) {
        return (schema["type"] == "null").then(BTreeSet::new);
    }
    let mut all: BTreeSet<String> =
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    for part in ["allOf", "oneOf"].iter().flat_map(|word| schema[word].as_array()).flatten() {
        all.extend(names(document, part)?);
    }
    Some(all)
}

/// Why a value does not fit a schema of the document. A name that the schema does not have is a fault too.
fn misfit(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let (Some(known), Some(members)) = (names(document, schema), value.as_object())
        && let Some(name) = members.keys().find(|name| !known.contains(*name))
    {
        return Err(format!("{name} is not in the schema"));
    }
    fits(document, schema, value)
}

fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolved(document, schema);
    let empty = Map::new();
    let members = value.as_object().unwrap_or(&empty);
    for (word, expected) in schema.as_object().ok_or("no schema")? {
        let each = || expected.as_array().into_iter().flatten();
        match word.as_str() {
            "type" if expected.is_array() => {
                let types: Vec<_> = each().filter(|expected| has_type(value, expected)).collect();
                if types.is_empty() {
                    return Err(format!("the type of {value} is not among {expected}"));
                }
            }
            "type" if !has_type(value, expected) => return Err(format!("{value} is no {expected}")),
            "enum" if !each().any(|choice| choice == value) => {
                return Err(format!("{value} is not in {expected}"));
            }
            "required" => {
                let missing = each().find(|name| {
                    value.is_object() && !members.contains_key(name.as_str().unwrap_or_default())
                });
                missing.map_or(Ok(()), |name| Err(format!("{name} is missing")))?;
            }
            "properties" => {
                for (name, schema) in expected.as_object().ok_or("no properties")? {
                    let Some(member) = members.get(name) else { continue };
                    misfit(document, schema, member).map_err(|reason| format!("{name}: {reason}"))?;
                }
            }
            "additionalProperties" if expected.is_object() => {
                members.values().try_for_each(|member| misfit(document, expected, member))?;
            }
            "propertyNames" => {
                members.keys().try_for_each(|name| fits(document, expected, &Value::from(name.as_str())))?;
            }
            "items" => value
                .as_array()
                .into_iter()
                .flatten()
                .try_for_each(|item| misfit(document, expected, item))?,
            "allOf" => each().try_for_each(|part| fits(document, part, value))?,
            "oneOf" => {
                let n = each().filter(|part| fits(document, part, value).is_ok()).count();
                if n != 1 {
                    return Err(format!("{value} fits {n} of {expected}"));
                }
            }
            "type" | "enum" => {}
            other if OTHER_WORDS.contains(&other) => {}
            other => return Err(format!("{other} is not known to this test")),
        }
    }
    Ok(())
}

fn has_type(value: &Value, expected: &Value) -> bool {
    match expected.as_str().unwrap_or_default() {
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// Asks, and compares status, content type and JSON with the document. `path` is that of the document, with `run` and
/// what else is in braces as `parts` have it.
async fn check(
    site: &Site,
    request: (&str, &str),
    parts: &[(&str, &str)],
    query: &str,
    body: Vec<u8>,
) -> (StatusCode, Value) {
    let (method, path) = request;
    let document = document(site).await;
    let address =
        parts.iter().fold(path.to_owned(), |path, (name, part)| path.replace(&format!("{{{name}}}"), part));
    let (status, kind, body) = ask(site, method, &(address + query), body).await;
    let operation = &document["paths"][path][method.to_lowercase()];
    let answer = resolved(&document, &operation["responses"][status.as_str()]);
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(answer.is_object(), "{method} {path}: {status} is not in the document: {text}");
    if status == StatusCode::NO_CONTENT || status == StatusCode::ACCEPTED {
        assert!(answer.get("content").is_none() && body.is_empty(), "{method} {path}");
        return (status, Value::Null);
    }
    let kind = kind.split(';').next().unwrap_or_default();
    let schema = &answer["content"][kind]["schema"];
    assert!(schema.is_object(), "{method} {path}: {status} with {kind}, expected {answer}");
    let value = if kind == "application/json" {
        serde_json::from_str(&text).expect("JSON")
    } else {
        Value::String(text)
    };
    if let Err(reason) = misfit(&document, schema, &value) {
        panic!("{method} {path}: {status} {reason} in {value}");
    }
    (status, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_on_runs_and_images_are_as_the_document_has_them() {
    let folder = trained();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let film = png(&folder.path().join("film.png"));
    let own = [("run", "my%20run")];
    let of_run = |rest: &str| format!("{RUN}{rest}");
    let ok = |(status, value): (StatusCode, Value)| {
        assert_eq!(status, StatusCode::OK, "{value}");
        value
    };
    let get = |path: String, query: &'static str| {
        let site = site.clone();
        async move { check(&site, ("GET", &path), &own, query, Vec::new()).await }
    };
    let post = |path: String, query: &'static str, body: Vec<u8>| {
        let site = site.clone();
        async move { check(&site, ("POST", &path), &own, query, body).await }
    };
    assert_eq!(ok(get("/api/v1/runs".to_owned(), "").await)[0]["name"], "my run");
    let predicted = ok(post(of_run("/predict"), "?name=film.png&summary=true", film.clone()).await);
    assert!(predicted["probabilities"].is_object() && predicted["summary"].is_object(), "{predicted}");
    assert!(ok(post(of_run("/predict"), "", b"no image".to_vec()).await)["error"].is_string());
    let summaries = |n: usize| json!(vec![&predicted["summary"]; n]).to_string().into_bytes();
    assert!(ok(post(of_run("/shift"), "", summaries(1)).await)["shift"].is_null());
    ok(post(of_run("/explain"), "?method=grad-cam", film.clone()).await);
    ok(post(of_run("/picture"), "", film.clone()).await);
    assert!(ok(get(of_run("/training"), "").await)["log"][0]["train_loss"].is_number());
    ok(get("/api/v1/compare".to_owned(), "?first=my%20run&second=my%20run").await);
    ok(get(of_run("/training-images"), "").await);
    for (expected, answer) in [
        (400, post(of_run("/explain"), "?method=magic", film.clone()).await),
        (400, post(of_run("/explain"), "?method=grad-cam&class=nosuch", film.clone()).await),
        (422, post(of_run("/explain"), "?method=grad-cam", b"no image".to_vec()).await),
        (400, post(of_run("/shift"), "", b"[".to_vec()).await),
        (415, post(of_run("/shift"), "", b"no JSON".to_vec()).await),
        (422, post(of_run("/shift"), "", b"[1]".to_vec()).await),
        (413, post(of_run("/predict"), "", vec![0; (64 << 20) + 1]).await),
        (400, get(of_run("/export"), "?format=pickle").await),
        (409, post(of_run("/training/stop"), "", Vec::new()).await),
        (409, post(of_run("/training/resume"), "", Vec::new()).await),
        (404, check(&site, ("POST", &of_run("/predict")), &[("run", "nosuch")], "", film).await),
        (400, post("/api/v1/training".to_owned(), "", b"{}".to_vec()).await),
        (404, post("/api/v1/training".to_owned(), "", br#"{"data": "set:nosuch"}"#.to_vec()).await),
        (409, check(&site, ("PATCH", RUN), &own, "", br#"{"name": "my run"}"#.to_vec()).await),
        (413, check(&site, ("PATCH", RUN), &own, "", vec![b'{'; (2 << 20) + 1]).await),
        (204, check(&site, ("DELETE", RUN), &own, "", Vec::new()).await),
    ] {
        assert_eq!(answer.0.as_u16(), expected, "{}", answer.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_on_data_are_as_the_document_has_them() {
    let (folder, site) = empty_site();
    let film = png(&folder.path().join("film.png"));
    let (status, set) = check(&site, ("POST", SETS), &[], "?title=films", Vec::new()).await;
    assert_eq!(status, StatusCode::CREATED);
    let name = set["name"].as_str().expect("a name");
    let of_set = [("set", name), ("class", "b"), ("id", "1"), ("index", "0")];
    let path = |rest: &str| format!("{SETS}/{{set}}{rest}");
    let images = path("/images");
    for (expected, method, path, query, body) in [
        (201, "POST", images.as_str(), "?class=a&name=film.png&part=test", film),
        (400, "POST", &images, "?class=..", Vec::new()),
        (400, "POST", &images, "?class=a&part=all", Vec::new()),
        (415, "POST", &images, "?class=a", b"no image".to_vec()),
        (413, "POST", &images, "?class=a", vec![0; (64 << 20) + 1]),
        (200, "GET", &images, "?class=a", Vec::new()),
        (404, "GET", &images, "?class=nosuch", Vec::new()),
        (400, "GET", &images, "", Vec::new()),
        (200, "GET", &path("/thumbnail"), "?path=test/a/film.png", Vec::new()),
        (404, "GET", &path("/thumbnail"), "?path=nosuch.png", Vec::new()),
        (200, "POST", &path("/classes"), "?class=b", Vec::new()),
        (200, "DELETE", &path("/classes/{class}"), "", Vec::new()),
        (404, "DELETE", &images, "?path=nosuch.png", Vec::new()),
        (200, "GET", &path(""), "", Vec::new()),
        (200, "GET", SETS, "", Vec::new()),
        (200, "GET", "/api/v1/data/folders", "", Vec::new()),
        (404, "GET", "/api/v1/data/folders", "?path=..", Vec::new()),
        (404, "POST", INSPECTIONS, "?data=set:nosuch", Vec::new()),
        (400, "POST", INSPECTIONS, "", Vec::new()),
        (204, "DELETE", &path(""), "", Vec::new()),
        (404, "GET", &path(""), "", Vec::new()),
    ] {
        let (status, answer) = check(&site, (method, path), &of_set, query, body).await;
        assert_eq!(status.as_u16(), expected, "{method} {path}{query}: {answer}");
    }
    // With a broken file, and one image in both classes and in the test set.
    for path in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
        let path = folder.path().join("films").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        png(&path);
    }
    fs::write(folder.path().join("films/train/a/broken.png"), "").expect("a file");
    let (_, mut found) = check(&site, ("POST", INSPECTIONS), &[], "?data=folder:films", Vec::new()).await;
    let of_inspection = format!("{INSPECTIONS}/{{id}}");
    for _ in 0..1000 {
        if found["state"] == "done" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        found = check(&site, ("GET", &of_inspection), &of_set, "", Vec::new()).await.1;
    }
    let findings = &found["findings"];
    assert!(findings["blocks"][0]["items"][0]["path"].is_string(), "{found}");
    assert!(findings["inspection"]["leakage"][0].is_object(), "{found}");
    let sample = format!("{of_inspection}/samples/{{index}}");
    let (status, _) = check(&site, ("GET", &sample), &of_set, "", Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = check(&site, ("DELETE", &of_inspection), &of_set, "", Vec::new()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
}
