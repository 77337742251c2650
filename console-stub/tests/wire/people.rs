//! What administrators do to the Console over v1: users, API keys, licence, audit (docs/contract.md section 5).

use crate::browser::{Browser, PASSWORD, log_in, user};
use crate::world::World;
use serde_json::json;
use telovix_console_stub::domain::role::Role;
use telovix_contract::paths;

const EMAIL: &str = "new@example.com";

#[tokio::test]
async fn section_5_an_administrator_looks_after_users() {
    let world = World::start(10).await;
    let admin = Browser::of(&world, "admin@example.com").await;
    let wanted = json!({"email": EMAIL, "role": "viewer", "password": PASSWORD}).to_string();
    let made = admin.call("POST", paths::V1_USERS, &wanted).await;
    assert_eq!((made.status, made.text("role"), made.text("status")), (201, "viewer", "active"));
    assert_eq!(admin.call("POST", paths::V1_USERS, &wanted).await.refusal(), (409, "conflict"));
    let one = |action: &str| format!("{}/{EMAIL}/{action}", paths::V1_USERS);

    let viewer = Browser::of(&world, EMAIL).await;
    let changed = admin.call("POST", &one("role"), r#"{"role":"analyst"}"#).await;
    assert_eq!((changed.status, changed.text("role")), (200, "analyst"));
    assert_eq!(viewer.call("GET", paths::V1_SESSION, "").await.status, 401);

    let other = "an entirely other password";
    let reset = admin.call("POST", &one("password"), &json!({"password": other}).to_string()).await;
    assert_eq!(reset.status, 200);
    assert_eq!(log_in(&world, EMAIL, PASSWORD).await.status, 401);
    assert_eq!(log_in(&world, EMAIL, other).await.status, 200);
    assert_eq!(admin.call("POST", &one("disable"), "").await.text("status"), "disabled");
    assert_eq!(log_in(&world, EMAIL, other).await.status, 401);
    assert_eq!(admin.call("POST", &one("enable"), "").await.text("status"), "active");
    assert_eq!(log_in(&world, EMAIL, other).await.status, 200);
    assert_eq!(admin.call("GET", paths::V1_USERS, "").await.body["data"].as_array().unwrap().len(), 2);

    // The last administrator stays one.
    let last = format!("{}/admin@example.com", paths::V1_USERS);
    for (action, body) in [("role", r#"{"role":"viewer"}"#), ("disable", "")] {
        let reply = admin.call("POST", &format!("{last}/{action}"), body).await;
        assert_eq!(reply.refusal(), (409, "conflict"), "{action}");
    }
    for (path, body, field) in [
        (paths::V1_USERS.to_owned(), json!({"email": "x", "role": "viewer", "password": PASSWORD}), "email"),
        (paths::V1_USERS.to_owned(), json!({"email": "x@y", "role": "king", "password": PASSWORD}), "role"),
        (
            paths::V1_USERS.to_owned(),
            json!({"email": "x@y", "role": "viewer", "password": "short"}),
            "password",
        ),
        (paths::V1_USERS.to_owned(), json!({"email": "x@y", "role": "viewer"}), "password"),
        (one("role"), json!({"role": null}), "role"),
    ] {
        let reply = admin.call("POST", &path, &body.to_string()).await;
        assert_eq!(reply.refusal(), (400, "invalid_request"), "{body}");
        assert!(reply.text("message").contains(&format!("`{field}`")), "{reply:?}");
    }
    assert_eq!(admin.call("POST", &format!("{}/%ff/enable", paths::V1_USERS), "").await.status, 404);
    let actions =
        ["user_created", "user_role_changed", "user_password_changed", "user_disabled", "user_enabled"];
    for action in actions {
        let sql = format!(
            "SELECT count(*) FROM audit WHERE action_type = '{action}' AND actor_email = 'admin@example.com'"
        );
        assert_eq!(world.count(&sql), 1, "{action}");
    }
}

#[tokio::test]
async fn section_5_api_keys_are_made_and_taken_back_by_administrators() {
    let world = World::start(10).await;
    let admin = Browser::of(&world, "admin@example.com").await;
    let made = admin.call("POST", paths::V1_API_KEYS, r#"{"label":"ci","scopes":["sensors:read"]}"#).await;
    assert_eq!((made.status, made.text("secret").len()), (201, 43));
    let listed = admin.call("GET", paths::V1_API_KEYS, "").await;
    assert_eq!(listed.body["data"][0]["key_id"], made.body["key_id"]);
    assert!(!listed.body.to_string().contains(made.text("secret")));
    let one = format!("{}/{}", paths::V1_API_KEYS, made.text("key_id"));
    assert_eq!(admin.call("DELETE", &one, "").await.text("status"), "revoked");
    assert_eq!(admin.call("DELETE", &one, "").await.refusal(), (404, "not_found"));
    for bad in [
        r#"{"scopes":[]}"#,
        r#"{"scopes":["all"]}"#,
        r#"{}"#,
        r#"{"label":"a\nb","scopes":["sensors:read"]}"#,
    ] {
        assert_eq!(
            admin.call("POST", paths::V1_API_KEYS, bad).await.refusal(),
            (400, "invalid_request"),
            "{bad}"
        );
    }
}

/// The new calls of administrators are for them alone, and each is refused before anything is read of it.
#[tokio::test]
async fn section_5_nobody_else_looks_after_users_keys_and_the_licence() {
    let world = World::start(10).await;
    for role in [Role::Viewer, Role::Analyst, Role::SensorOwner, Role::Operator] {
        let browser = Browser::of(&world, &user(&world, role).await).await;
        for (method, path) in [
            ("GET", paths::V1_USERS.to_owned()),
            ("POST", paths::V1_USERS.to_owned()),
            ("POST", format!("{}/x@y/role", paths::V1_USERS)),
            ("POST", format!("{}/x@y/password", paths::V1_USERS)),
            ("POST", format!("{}/x@y/disable", paths::V1_USERS)),
            ("POST", format!("{}/x@y/enable", paths::V1_USERS)),
            ("GET", paths::V1_API_KEYS.to_owned()),
            ("POST", paths::V1_API_KEYS.to_owned()),
            ("DELETE", format!("{}/x", paths::V1_API_KEYS)),
            ("GET", paths::V1_LICENSE.to_owned()),
            ("POST", paths::V1_LICENSE.to_owned()),
        ] {
            assert_eq!(
                browser.call(method, &path, "{").await.refusal(),
                (403, "forbidden"),
                "{role:?} {path}"
            );
        }
    }
}

#[tokio::test]
async fn section_5_the_audit_trail_is_taken_out_whole() {
    let world = World::start(10).await;
    // More than are read from the database at once.
    for _ in 0..1100 {
        world.once().await;
    }
    let admin = Browser::of(&world, "admin@example.com").await;
    let export = format!("{}/export", paths::V1_AUDIT);
    let whole = admin.call("GET", &export, "").await;
    let rows = whole.body["data"].as_array().unwrap();
    assert_eq!(i64::try_from(rows.len()).unwrap(), world.count("SELECT count(*) FROM audit"));
    assert!(rows.iter().zip(1..).all(|(row, seq)| row["seq"] == seq));
    assert_eq!(rows[1]["prev_hash"], rows[0]["hash"]);
    let csv = admin.call("GET", &format!("{export}?format=csv"), "").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.body.as_str().unwrap().lines().count(), rows.len() + 1);
    let wrong = admin.call("GET", &format!("{export}?format=xml"), "").await;
    assert_eq!(wrong.refusal(), (400, "invalid_request"));
    let viewer = Browser::of(&world, &user(&world, Role::Viewer).await).await;
    assert_eq!(viewer.call("GET", &export, "").await.refusal(), (403, "forbidden"));
}
