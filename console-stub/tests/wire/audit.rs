//! The audit trail in the hands of somebody who may write the whole database (docs/contract.md section 5).

use crate::world::{World, body, key};
use serde_json::json;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_contract::token::unhex;

/// A Console with six records in its trail, which serves no more and whose trail nothing guards.
async fn left_open() -> World {
    let mut world = World::start(10).await;
    for _ in 0..5 {
        world.once().await;
    }
    world.stop().await;
    world.database.unguard_audit();
    world
}

/// A copy of the second record, at another place.
fn added(seq: i64) -> String {
    let columns = "created_at, action_type, outcome, actor_email, sensor_id, detail, client_ip, user_agent, prev_hash, hash";
    format!("INSERT INTO audit (seq, {columns}) SELECT {seq}, {columns} FROM audit WHERE seq = 2")
}

#[tokio::test]
async fn section_5_no_way_around_the_chain_goes_unseen() {
    let head = "the head of the trail was removed; records may be missing at its end";
    for (harm, found) in [
        (added(0), &["record 0 was added outside of the trail"][..]),
        (added(8), &["record 8 was added outside of the trail"]),
        (added(7) + ";" + &added(8), &["records 7 to 8 were added outside of the trail"]),
        ("UPDATE audit SET hash = NULL WHERE seq = 3".to_owned(), &["record 3 was changed"]),
        ("UPDATE audit SET prev_hash = NULL WHERE seq = 6".to_owned(), &["record 6 was changed"]),
        ("DELETE FROM audit_head".to_owned(), &[head]),
        ("DELETE FROM audit_head; DELETE FROM audit".to_owned(), &[head]),
        ("DELETE FROM audit".to_owned(), &["records 1 to 6 were removed"]),
    ] {
        let world = left_open().await;
        world.database.change(&harm).unwrap();
        let report = world.console.verify_audit().await.unwrap();
        assert_eq!(
            (report.intact, report.problems),
            (false, found.iter().map(ToString::to_string).collect()),
            "{harm}"
        );
    }
}

/// A refused enrollment is there with its reason and its source; and its token can be told.
#[tokio::test]
async fn section_5_a_refused_enrollment_names_its_reason_its_source_and_its_token() {
    let world = World::start(10).await;
    let token = world.once().await;
    let mut request = body(&token, "edge-1", &key());
    request["csr_pem"] = json!("no request");
    assert_eq!(world.enroll(&request).await.refusal(), (422, "invalid_csr"));
    let told = "SELECT count(*) FROM audit a, enrollment_tokens t WHERE a.action_type = 'sensor_enrollment_refused' \
                AND a.outcome = 'failure' AND a.client_ip = '127.0.0.1' \
                AND a.detail = 'reason=invalid_csr token_id=' || t.id || ' node_name=edge-1'";
    assert_eq!(world.count(told), 1);
}

/// Without the head nothing says what a record would follow: then nothing is written, and so nothing is done.
#[tokio::test]
async fn section_5_nothing_is_done_that_cannot_be_written_down() {
    let world = World::start(10).await;
    world.database.change("DELETE FROM audit_head").unwrap();
    let made = world.console.create_token(TokenDraft::default(), Origin::default()).await;
    assert!(made.unwrap_err().to_string().contains("the head of the audit trail"));
    assert_eq!(world.count("SELECT count(*) FROM enrollment_tokens"), 0);
}

/// A trail that was cut off together with its head is whole in itself. Only what was noted elsewhere shows it.
#[tokio::test]
async fn section_5_a_trail_that_was_cut_off_with_its_head_is_found_by_a_head_noted_before() {
    let world = left_open().await;
    let whole = world.console.verify_audit().await.unwrap();
    let noted = unhex(&whole.head).unwrap();
    assert!(world.console.verify_audit_since(noted).await.unwrap().intact);
    world
        .database
        .change(
            "DELETE FROM audit WHERE seq > 4; \
             UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)",
        )
        .unwrap();
    let cut = world.console.verify_audit().await.unwrap();
    assert_eq!((cut.intact, cut.records), (true, 4));
    let found = world.console.verify_audit_since(noted).await.unwrap();
    assert!(!found.intact && found.problems[0].contains("noted earlier"), "{found:?}");
    assert!(world.console.verify_audit_since(unhex(&cut.head).unwrap()).await.unwrap().intact);
}
