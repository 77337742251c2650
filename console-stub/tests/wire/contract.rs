//! What the other suites leave of docs/contract.md sections 5 and 6, and that nothing is left.

use std::path::Path;

use crate::world::{World, body, key};
use telovix_console_stub::api::problem_response;
use telovix_console_stub::app::{App, Options};
use telovix_console_stub::config::DataDir;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::service::ServiceError;
use telovix_contract::{ErrorCode, paths};

/// docs/contract.md section 5: until set-up is finished the Console is not ready, and tokens cannot be made.
#[tokio::test]
async fn section_5_before_set_up_there_are_no_tokens() {
    let place = tempfile::tempdir().unwrap();
    let app = App::open(Options::new(DataDir::new(place.path()))).await.unwrap();
    let made = app.console().create_token(TokenDraft::default(), Origin::default()).await.map(drop);
    for refused in [app.console().ready().await, made] {
        let Err(ServiceError::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal.code.as_str(), "not_ready");
        let answer = problem_response(&refusal);
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    }
}

/// docs/contract.md section 6: a fault of the Console's own is 5xx, to be tried again, and tells a stranger nothing of it.
#[tokio::test]
async fn section_6_a_database_that_fails_is_a_500_without_particulars() {
    let world = World::start(10).await;
    let token = world.once().await;
    world.database.change("ALTER TABLE sensors RENAME TO elsewhere").unwrap();
    let host = key();
    let request = body(&token, "edge-1", &host);
    let reply = world.enroll(&request).await;
    assert_eq!(reply.refusal(), (500, "internal_error"));
    assert!(!reply.body.to_string().contains("sensors"), "{reply:?}");
    // Nothing was spent: when the database is mended, the same request enrolls.
    world.database.change("ALTER TABLE elsewhere RENAME TO sensors").unwrap();
    assert_eq!(world.enroll(&request).await.status, 201);
    assert_eq!(world.client(None).send("GET", paths::HEALTHZ, b"", &[]).await.unwrap().status, 200);
}

/// Every code of docs/contract.md section 6 is met by a test of this suite, and every section has tests that name it.
#[test]
fn section_6_every_code_and_every_section_has_a_test_that_names_it() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire"));
    let read = |file: std::fs::DirEntry| std::fs::read_to_string(file.path()).unwrap();
    let text: String = folder.read_dir().unwrap().flatten().map(read).collect();
    // No longer sent: a rule lets in and never refuses.
    let sent = ErrorCode::ALL.iter().filter(|code| **code != ErrorCode::RoleNotAllowed);
    let unmet: Vec<_> = sent.filter(|code| !text.contains(&format!("\"{code}\""))).collect();
    assert!(unmet.is_empty(), "no test meets {unmet:?}");
    for section in 2..=6 {
        assert!(text.contains(&format!("fn section_{section}_")), "no test names section {section}");
    }
}
