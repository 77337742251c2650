//! The OpenAPI document: committed, served, and true of what is served.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::world::World;
use serde_json::Value;
use telovix_console_stub::api::DOCUMENT;
use telovix_contract::{ErrorCode, paths};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

fn document() -> Value {
    serde_json::from_str(&DOCUMENT).unwrap()
}

/// Every operation: path, method in capitals, and what the document says of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap();
        item.iter().map(|(method, says)| (path.clone(), method.to_uppercase(), says.clone()))
    });
    all.collect()
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == *DOCUMENT,
        "docs/openapi.json is not what the types say; run `cargo run -p telovix-console-stub -- openapi > docs/openapi.json`"
    );
}

#[tokio::test]
async fn what_the_document_names_is_served_and_nothing_else_on_those_paths() {
    let world = World::start(10).await;
    let client = world.client(None);
    let served = client.send("GET", paths::OPENAPI, b"", &[]).await.unwrap();
    assert_eq!((served.status, &served.body), (200, &document()));
    let operations = operations(&document());
    let described: BTreeSet<_> = operations.iter().map(|(path, method, _)| (path, method.as_str())).collect();
    assert!(described.len() > 50, "{}", described.len());
    for path in operations.iter().map(|(path, ..)| path).collect::<BTreeSet<_>>() {
        for method in METHODS {
            let real = path.replace("{id}", "x").replace("{email}", "x").replace("{key_id}", "x");
            let reply =
                client.send(method, &real.replace("{architecture}", "amd64"), b"", &[]).await.unwrap();
            let message = reply.body["message"].as_str().unwrap_or_default();
            assert!(!message.starts_with("There is nothing at this path"), "{method} {path}");
            assert_eq!(
                reply.status != 405,
                described.contains(&(path, method)),
                "{method} {path}: {reply:?}"
            );
        }
    }
}

/// Every call of operators is shown in `docs/api.md`, where a system test executes it.
#[test]
fn every_call_of_operators_is_shown_as_a_curl_line() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md")).unwrap();
    // A command may go on in the next line.
    let page = page.replace("\\\n", " ");
    let mut missing = Vec::new();
    for (path, method, _) in operations(&document()) {
        if !path.starts_with("/api/v") || path.starts_with("/api/v1/sensors/self") {
            continue;
        }
        let sensors_own =
            [paths::ENROLL, paths::TRUST_BOOTSTRAP].contains(&&*path) || path.starts_with(paths::BINARY);
        let shown = page.lines().any(|line| shows(line, &method, &path));
        if !sensors_own && !shown {
            missing.push(format!("{method} {path}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Whether a line makes this call: what stands for a name in the path is a variable or another name there.
fn shows(line: &str, method: &str, path: &str) -> bool {
    let made = if line.contains("v2 ") {
        line.split("v2 ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default()
    } else if let Some(rest) = line.split("--request ").nth(1) {
        rest.split(' ').next().unwrap_or_default()
    } else if line.contains("--data") {
        "POST"
    } else {
        "GET"
    };
    let (before, after) = path
        .split_once('{')
        .map_or((path, ""), |(before, rest)| (before, rest.split_once('}').map_or("", |(_, after)| after)));
    let Some((_, rest)) = line.split_once(before) else { return false };
    let ends = |text: &str| text.starts_with(['"', '\'', '?', ' ']) || text.is_empty();
    let fits = if path.contains('{') && after.is_empty() {
        // The name is the last part: no further part follows, but for those inside `$(…)`.
        let rest = rest.split_once(')').map_or(rest, |(_, rest)| rest);
        !rest.split(['"', '\'', ' ']).next().unwrap_or_default().contains('/')
    } else if path.contains('{') {
        rest.split_once(after).is_some_and(|(_, rest)| ends(rest))
    } else {
        ends(rest)
    };
    made == method && fits
}

/// A route that is added past the document would be served and not described. Pages are no part of the interface: one file
/// adds them, and all lie below `/ui`, but for the way there.
#[test]
fn no_route_is_added_past_the_document() {
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in folder.read_dir().unwrap().flatten() {
            if entry.path().is_dir() {
                sources(&entry.path(), found);
            } else {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    let adds: Vec<_> = found
        .into_iter()
        .filter(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            [".route(", ".route_service(", ".nest(", ".nest_service("].iter().any(|call| text.contains(call))
        })
        .map(|file| file.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(adds.into_iter().collect::<BTreeSet<_>>(), ["book.rs", "routes.rs"].map(Into::into).into());
    let pages = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/ui/routes.rs")).unwrap();
    let paths: Vec<_> = pages.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(paths.len() > 20 && pages.matches(".route(").count() == paths.len());
    assert!(paths.iter().all(|path| *path == "/" || *path == "/ui" || path.starts_with("/ui/")), "{paths:?}");
}

/// docs/contract.md section 6: every refusal that is described has the contract's code and its status.
#[test]
fn section_6_every_operation_names_its_refusals() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, method, says) in operations(&document) {
        assert!(ids.insert(says["operationId"].as_str().unwrap().to_owned()), "{path} {method}");
        let responses = says["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{path} {method}");
        for (status, answer) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
            let name = answer["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let answer = &document["components"]["responses"][name];
            let codes =
                &answer["content"]["application/json"]["schema"]["allOf"][1]["properties"]["error"]["enum"];
            for code in codes.as_array().unwrap() {
                let code = ErrorCode::from_word(code.as_str().unwrap()).unwrap();
                assert_eq!(code.status().to_string(), *status, "{path} {method}");
            }
        }
        // Whoever has to sign in may fail to; so may those whose body holds the secret.
        let guarded = says["security"].as_array().unwrap().len() == 1;
        let by_body = [paths::V1_SESSION, paths::ENROLL].contains(&&*path) && method == "POST";
        assert_eq!(guarded || by_body, responses.contains_key("401"), "{path} {method}");
    }
    // Nothing is referred to that is not there.
    let text = &*DOCUMENT;
    for reference in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document["components"]["schemas"].get(reference).is_some(), "{reference}");
    }
}
