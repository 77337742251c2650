//! Users, sessions and the v1 interface (docs/contract.md section 5), over real TLS.

use crate::browser::{Browser, PASSWORD, log_in, user};
use crate::world::World;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::role::Role;
use telovix_contract::paths;

#[tokio::test]
async fn section_5_a_session_is_a_cookie_and_changes_need_its_csrf_token() {
    let world = World::start(10).await;
    let browser = Browser::of(&world, "admin@example.com").await;
    let who = browser.call("GET", paths::V1_SESSION, "").await;
    assert_eq!((who.text("email"), who.text("role")), ("admin@example.com", "admin"));
    assert_eq!(who.text("csrf_token"), browser.csrf);
    let tokens = format!("{}/cluster-tokens", paths::V1_ENROLLMENT);
    let asked = r#"{"cluster_id":"ran-east","expires_days":30,"max_nodes":5}"#;
    let made = browser.call("POST", &tokens, asked).await;
    assert_eq!((made.status, made.text("type")), (201, "cluster"));

    let forged = Browser { csrf: "0".repeat(64), cookie: browser.cookie.clone(), world: &world };
    assert_eq!(forged.call("POST", &tokens, asked).await.refusal(), (403, "forbidden"));
    let stranger =
        Browser { cookie: "__Host-telovix_session=x".to_owned(), csrf: String::new(), world: &world };
    assert_eq!(stranger.call("GET", paths::V1_SENSORS, "").await.refusal(), (401, "unauthorized"));
    let form =
        world.client(None).send("POST", paths::V1_SESSION, b"{}", &[("content-type", "text/plain")]).await;
    assert_eq!(form.unwrap().refusal(), (400, "invalid_request"));

    let audit = browser
        .call("GET", &format!("{}?action_type=sensor_enrollment_token_created", paths::V1_AUDIT), "")
        .await;
    assert_eq!(audit.body["data"][0]["actor_email"], "admin@example.com");
    assert_eq!(browser.call("DELETE", paths::V1_SESSION, "").await.status, 204);
    assert_eq!(browser.call("GET", paths::V1_SESSION, "").await.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn section_5_each_role_reaches_as_far_as_the_table_says() {
    let world = World::start(10).await;
    let calls = [
        ("GET", paths::V1_SENSORS.to_owned(), "", 200, [true, true, true, true, true]),
        ("GET", paths::V1_AUDIT.to_owned(), "", 200, [false, true, true, true, true]),
        ("GET", format!("{}/tokens", paths::V1_ENROLLMENT), "", 200, [false, false, false, true, true]),
        ("POST", format!("{}/tokens", paths::V1_ENROLLMENT), "{}", 201, [false, false, false, true, true]),
        ("GET", format!("{}/approvals", paths::V1_ENROLLMENT), "", 200, [false, false, false, true, true]),
        (
            "POST",
            format!("{}/rules", paths::V1_ENROLLMENT),
            r#"{"cluster_id":"c","label":"l","allowed_roles":["o_du"]}"#,
            201,
            [false, false, false, true, true],
        ),
        // No such sensor, which only those hear who may.
        ("POST", format!("{}/x/renew", paths::V1_SENSORS), "", 404, [false, false, true, true, true]),
        ("POST", format!("{}/x/disable", paths::V1_SENSORS), "", 404, [false, false, false, false, true]),
        ("DELETE", format!("{}/x", paths::V1_SENSORS), "", 404, [false, false, false, false, true]),
        (
            "POST",
            paths::V1_SETTINGS.to_owned(),
            r#"{"name":"approval_mode","value":"none"}"#,
            200,
            [false, false, false, false, true],
        ),
    ];
    for (at, role) in Role::ALL.into_iter().enumerate() {
        let email = user(&world, role).await;
        let browser = Browser::of(&world, &email).await;
        for (method, path, body, good, allowed) in &calls {
            let status = browser.call(method, path, body).await.status;
            assert_eq!(status, if allowed[at] { *good } else { 403 }, "{role:?} {method} {path}");
        }
    }
}

#[tokio::test]
async fn section_5_failures_lock_an_address_for_a_while() {
    let world = World::start(10).await;
    for email in ["admin@example.com", "nobody@example.com"] {
        for _ in 0..5 {
            let reply = log_in(&world, email, "a wrong password").await;
            assert_eq!(reply.refusal(), (401, "unauthorized"), "{email}");
        }
        let locked = log_in(&world, email, PASSWORD).await;
        assert_eq!(locked.refusal(), (429, "rate_limited"), "{email}");
        assert!(locked.headers.contains_key("retry-after"));
    }
    world.clock.advance(15 * 60 - 1);
    assert_eq!(log_in(&world, "admin@example.com", PASSWORD).await.status, 429);
    world.clock.advance(1);
    assert_eq!(log_in(&world, "admin@example.com", PASSWORD).await.status, 200);
    assert_eq!(log_in(&world, "nobody@example.com", PASSWORD).await.status, 401);
    assert_eq!(world.count("SELECT count(*) FROM audit WHERE detail LIKE '%nobody%'"), 0);
    // argon2id of 19 MiB and two passes, as OWASP's sheet has it at the least.
    let strong = "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'";
    assert_eq!(world.count(strong), world.count("SELECT count(*) FROM users"));
}

#[tokio::test]
async fn section_5_sessions_end() {
    let world = World::start(10).await;
    let email = user(&world, Role::Operator).await;
    let alive = async |browser: &Browser<'_>| browser.call("GET", paths::V1_SESSION, "").await.status == 200;
    let browser = Browser::of(&world, &email).await;
    world.clock.advance(3599);
    assert!(alive(&browser).await);
    world.clock.advance(3600);
    assert!(!alive(&browser).await);

    let browser = Browser::of(&world, &email).await;
    let again = PASSWORD.to_owned().into();
    world.console.change_password(email.clone(), again, Origin::default()).await.unwrap();
    assert!(!alive(&browser).await);
    let browser = Browser::of(&world, &email).await;
    world.console.disable_user(email.clone(), Origin::default()).await.unwrap();
    assert!(!alive(&browser).await);
    assert_eq!(log_in(&world, &email, PASSWORD).await.refusal(), (401, "unauthorized"));
    let last = world.console.disable_user("admin@example.com".to_owned(), Origin::default()).await;
    assert!(last.unwrap_err().to_string().contains("last administrator"));
}
