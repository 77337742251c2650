//! What operators do on the pages, without a script: each form, and what came of it.

use crate::pages::{Reader, location, text};
use crate::world::{World, body, key};
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Setting;

fn element<'p>(page: &'p str, id: &str) -> &'p str {
    let rest = page.split(&format!("id=\"{id}\"")).nth(1).unwrap_or_else(|| panic!("no {id} in {page}"));
    rest.split_once('>').unwrap().1.split('<').next().unwrap()
}

fn token_in(text: &str) -> String {
    let rest = &text[text.find("tse_").unwrap()..];
    rest.chars().take(47).collect()
}

#[tokio::test]
async fn a_host_is_deployed_by_the_command_that_is_shown_once() {
    let world = World::start(10).await;
    let mut admin = Reader::of(&world, "admin@example.com").await;
    let fields = [("node_name", "edge-1"), ("role", "o_du"), ("flavor", "telecom")];
    let made = admin.post("/ui/deploy/host", "/ui/deploy/host", &fields).await;
    assert_eq!((made.status, &made.headers["cache-control"]), (201, &"no-store".parse().unwrap()));
    let page = text(&made).to_owned();
    let command =
        element(&page, "command").replace("&#39;", "'").replace("&#38;", "&").replace("&#34;", "\"");
    let pin = world.console.authority().unwrap().fingerprint().to_string();
    assert!(command.contains(&format!("--ca-fingerprint '{pin}'")), "{command}");
    let known = "--token-stdin --node-name 'edge-1' --node-role 'o_du' --flavor 'telecom';";
    assert!(command.contains(known), "{command}");
    let token = token_in(&command);
    assert_eq!(element(&page, "token"), token);
    let id = page.split("/ui/tokens/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let own = format!("/ui/tokens/{id}");
    assert!(text(&admin.get(&own).await).contains("None yet."));
    let events = format!("{own}/events");
    // The stream would go on; what it says first is enough.
    let enrolled = world.enroll(&body(&token, "edge-1", &key())).await;
    assert_eq!(enrolled.status, 201);
    let said = admin.get(&events).await;
    assert_eq!(said.headers["content-type"], "text/event-stream");
    assert!(
        text(&said).contains("data: {\"state\":\"enrolled\",\"says\":\"Enrolled: edge-1.\",\"over\":true}")
    );
    let story = admin.get(&own).await;
    let sensor = format!("href=\"/ui/sensors/{}\">edge-1</a>", enrolled.text("sensor_id"));
    assert!(text(&story).contains(&sensor), "{story:?}");
    // Nowhere afterwards.
    for path in ["/ui/tokens", &own, "/ui/audit", "/ui/sensors"] {
        assert!(!text(&admin.get(path).await).contains("tse_"), "{path}");
    }
    let refused = admin.post("/ui/deploy/host", "/ui/deploy/host", &[("node_name", "no name")]).await;
    assert!(refused.status == 400 && text(&refused).contains("node_name"));
}

#[tokio::test]
async fn a_cluster_is_deployed_by_its_secret_and_its_chart_and_the_licence_warns() {
    let world = World::start(1).await;
    let mut admin = Reader::of(&world, "admin@example.com").await;
    // The vendor's names of clusters are for people (docs/contract.md section 8).
    let fields = [("cluster_id", " Oslo DC 1 "), ("expires_days", "30"), ("max_nodes", "5")];
    let made = admin.post("/ui/deploy/cluster", "/ui/deploy/cluster", &fields).await;
    assert_eq!(made.status, 201, "{made:?}");
    let page = text(&made);
    let token = token_in(element(page, "secret"));
    assert!(element(page, "secret").contains(&format!("enrollmentToken: {token}\n")));
    let helm = element(page, "helm");
    assert!(
        helm.contains("sensor.existingSecret=telovix-enrollment")
            && helm.contains("clusterName=&#39;Oslo DC 1&#39;"),
        "{helm}"
    );
    assert!(!helm.contains("tse_"), "{helm}");
    // `--set` reads a name such as 2026 or true as something else than a text, and the chart refuses that.
    assert!(helm.contains("--set-string clusterName=") && !helm.contains("--set "), "{helm}");
    assert!(!page.contains("class=\"warning\""));
    let mut node = body(&token, "node-1", &key());
    node["cluster_name"] = "Oslo DC 1".into();
    node["install_id"] = "i1".into();
    assert_eq!(world.enroll(&node).await.status, 201);
    for path in ["/ui/sensors?cluster_id=Oslo+DC+1", "/ui/tokens?cluster_id=Oslo%20DC%201"] {
        assert!(text(&admin.get(path).await).contains(">Oslo DC 1</td>"), "{path}");
    }
    let full = admin.post("/ui/deploy/cluster", "/ui/deploy/cluster", &fields).await;
    assert!(text(&full).contains("class=\"warning\""), "{full:?}");
    let host = admin.post("/ui/deploy/host", "/ui/deploy/host", &[("node_name", "edge-1")]).await;
    assert!(host.status == 201 && text(&host).contains("class=\"warning\""), "{host:?}");
    let bad = [("cluster_id", "ran-east"), ("expires_days", "731")];
    assert_eq!(admin.post("/ui/deploy/cluster", "/ui/deploy/cluster", &bad).await.status, 400);
    assert!(text(&admin.get("/ui/tokens").await).contains("(1 of 5 nodes)"));
}

#[tokio::test]
async fn a_sensor_is_asked_disabled_enabled_revoked_and_deleted() {
    let world = World::start(10).await;
    let enrolled = world.enroll(&body(&world.once().await, "edge-1", &key())).await;
    let page = format!("/ui/sensors/{}", enrolled.text("sensor_id"));
    let mut admin = Reader::of(&world, "admin@example.com").await;
    let token = admin.post(&format!("{page}/token"), &format!("{page}/token"), &[]).await;
    assert!(token.status == 201 && element(text(&token), "token").starts_with("tse_"));
    for (verb, stands) in [
        ("renew", "badge healthy\">healthy"),
        ("disable", "badge disabled\">disabled"),
        ("enable", "badge healthy\">healthy"),
        ("revoke", "badge revoked\">revoked"),
    ] {
        let path = format!("{page}/{verb}");
        let asked = admin.get(&path).await;
        assert!(asked.status == 200 && text(&asked).contains("Cancel"), "{verb}");
        let reply = admin.post(&path, &path, &[]).await;
        assert_eq!(location(&reply), format!("{page}?done={verb}"), "{reply:?}");
        let shown = admin.get(&location(&reply)).await;
        assert!(text(&shown).contains("class=\"notice\"") && text(&shown).contains(stands), "{verb}");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM sensors WHERE renew_until IS NOT NULL"), 1);
    let again = admin.post(&page, &format!("{page}/enable"), &[]).await;
    assert!(again.status == 409 && text(&again).contains("nothing was changed"), "{again:?}");
    let token = admin.post(&page, &format!("{page}/token"), &[]).await;
    assert!(token.status == 409 && text(&token).contains("never comes back"), "{token:?}");
    assert!(text(&admin.get(&format!("{page}/delete")).await).contains("revoke the sensor instead"));
    let gone = admin.post(&page, &format!("{page}/delete"), &[]).await;
    assert_eq!(location(&gone), "/ui/sensors?done=delete");
    assert_eq!(admin.get(&page).await.status, 404);
    assert_eq!(admin.get(&format!("{page}/explode")).await.status, 404);
}

#[tokio::test]
async fn lists_are_filtered_counted_and_turned_over_by_cursor() {
    let world = World::start(200).await;
    let token = world.cluster("east", None).await;
    for at in 0..60 {
        let mut node = body(&token, &format!("node-{at:02}"), &key());
        node["cluster_name"] = "east".into();
        node["install_id"] = format!("i{at}").into();
        assert_eq!(world.enroll(&node).await.status, 201);
    }
    let mut admin = Reader::of(&world, "admin@example.com").await;
    let first = text(&admin.get("/ui/sensors?cluster_id=east").await).to_owned();
    assert!(first.contains("<b>60</b>healthy"), "{first}");
    assert_eq!(first.matches("data-name=\"Node name\"").count(), 50);
    let next = first.split("href=\"/ui/sensors?cluster_id=east").nth(1).unwrap().split('"').next().unwrap();
    let next = format!("/ui/sensors?cluster_id=east{}", next.replace("&#38;", "&"));
    let second = text(&admin.get(&next).await).to_owned();
    assert_eq!(second.matches("data-name=\"Node name\"").count(), 10);
    assert!(!second.contains("Next page"));
    world.clock.advance(100);
    assert!(text(&admin.get("/ui/sensors?node_name=node-1&status=stale").await).contains("<b>60</b>stale"));
    let none = admin.get("/ui/sensors?node_name=none").await;
    assert!(text(&none).contains("No sensor fits"));
    assert_eq!(admin.get("/ui/sensors?status=odd").await.status, 400);
    assert_eq!(admin.get("/ui/tokens?cursor=odd").await.status, 400);
}

#[tokio::test]
async fn tokens_are_revoked_rules_deleted_and_waiting_hosts_decided_together() {
    let world = World::start(10).await;
    world.console.change_setting(Setting::ApprovalMode, "all".to_owned(), Origin::default()).await.unwrap();
    let mut admin = Reader::of(&world, "admin@example.com").await;
    let hosts = ["a-1", "a-2", "a-3"].map(|name| (name, key()));
    let mut asks = Vec::new();
    for (name, key) in &hosts {
        let ask = body(&world.once().await, name, key);
        assert_eq!(world.enroll(&ask).await.status, 202);
        asks.push(ask);
    }
    let page = admin.get("/ui/approvals").await;
    let ids: Vec<String> = text(&page)
        .split("name=\"id\" value=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3, "{page:?}");
    assert!(text(&admin.get("/ui/sensors").await).contains("<b>3</b>waiting approvals"));
    let none = admin.post("/ui/approvals", "/ui/approvals", &[("say", "approve")]).await;
    assert!(none.status == 400 && text(&none).contains("mark at least one"));
    let approve = [("say", "approve"), ("id", &*ids[0]), ("id", &*ids[1])];
    assert_eq!(
        location(&admin.post("/ui/approvals", "/ui/approvals", &approve).await),
        "/ui/approvals?done=approved"
    );
    let deny = [("say", "deny"), ("id", &*ids[2])];
    assert_eq!(
        location(&admin.post("/ui/approvals", "/ui/approvals", &deny).await),
        "/ui/approvals?done=denied"
    );
    let mut answers = Vec::new();
    for ask in &asks {
        answers.push(world.enroll(ask).await.status);
    }
    answers.sort_unstable();
    assert_eq!(answers, [201, 201, 403]);

    let draft = Default::default();
    let token = world.console.create_token(draft, Origin::default()).await.unwrap();
    let path = format!("/ui/tokens/{}/revoke", token.id);
    assert!(text(&admin.get("/ui/tokens").await).contains(&path));
    assert_eq!(location(&admin.post(&path, &path, &[]).await), "/ui/tokens?done=token-revoked");
    assert_eq!(admin.post(&path, &path, &[]).await.status, 409);

    let rule =
        [("cluster_id", "east"), ("label", "east"), ("allowed_roles", "o_du, o_cu"), ("max_nodes", "4")];
    assert!(!text(&admin.get("/ui/rules").await).contains("approval_mode is none"));
    admin.post("/ui/rules", "/ui/rules", &rule).await;
    let shown = text(&admin.get("/ui/rules").await).to_owned();
    assert!(shown.contains("o_du, o_cu") && shown.contains("0 of 4"), "{shown}");
    let id = shown.split("href=\"/ui/rules/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let path = format!("/ui/rules/{id}/delete");
    assert_eq!(location(&admin.post(&path, &path, &[]).await), "/ui/rules?done=rule-deleted");
    assert_eq!(admin.get(&path).await.status, 404);
}

#[tokio::test]
async fn settings_users_keys_and_the_ca_are_changed_on_one_page() {
    let world = World::start(10).await;
    let mut admin = Reader::of(&world, "admin@example.com").await;
    let here = "/ui/settings";
    let password = "another good password";
    for (done, fields) in [
        ("setting", vec![("what", "setting"), ("name", "once_ttl_seconds"), ("value", "600")]),
        (
            "user",
            vec![
                ("what", "user-create"),
                ("email", "v@example.com"),
                ("role", "viewer"),
                ("password", password),
            ],
        ),
        ("user", vec![("what", "user-role"), ("email", "v@example.com"), ("role", "analyst")]),
        ("user", vec![("what", "user-disable"), ("email", "v@example.com")]),
        ("user", vec![("what", "user-enable"), ("email", "v@example.com")]),
        ("user", vec![("what", "user-password"), ("email", "v@example.com"), ("password", password)]),
        ("issuer", vec![("what", "rotate"), ("hours", "1"), ("meant", "yes")]),
    ] {
        let reply = admin.post(here, here, &fields).await;
        assert_eq!(location(&reply), format!("{here}?done={done}"), "{reply:?}");
    }
    let page = text(&admin.get(here).await).to_owned();
    assert!(page.contains("value=\"600\"") && page.contains("v@example.com") && page.contains("draining"));
    let old = page.split("name=\"issuer_id\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let unmeant = [("what", "retire"), ("issuer_id", &*old)];
    assert_eq!(admin.post(here, here, &unmeant).await.status, 400);
    let meant = [("what", "retire"), ("issuer_id", &*old), ("meant", "yes")];
    assert_eq!(location(&admin.post(here, here, &meant).await), "/ui/settings?done=issuer");

    let fields = [("what", "key-create"), ("label", "ci"), ("scope", "sensors:read")];
    let made = admin.post(here, here, &fields).await;
    assert_eq!(made.status, 201);
    let secret = element(text(&made), "secret").to_owned();
    assert_eq!(secret.len(), 43);
    let page = text(&admin.get(here).await).to_owned();
    assert!(page.contains("tak_") && !page.contains(&secret));
    let id = page.split("name=\"key_id\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let revoke = [("what", "key-revoke"), ("key_id", &*id), ("meant", "yes")];
    assert_eq!(admin.post(here, here, &revoke[..2]).await.status, 400, "it was not meant");
    assert_eq!(location(&admin.post(here, here, &revoke).await), "/ui/settings?done=key");

    for fields in [
        vec![("what", "setting"), ("name", "once_ttl_seconds"), ("value", "1")],
        vec![("what", "user-disable"), ("email", "admin@example.com")],
        vec![("what", "user-create"), ("email", "w@example.com"), ("role", "viewer"), ("password", "short")],
        vec![("what", "licence"), ("bundle", "{}")],
        vec![("what", "odd")],
    ] {
        let reply = admin.post(here, here, &fields).await;
        assert!([400, 409].contains(&reply.status) && text(&reply).contains("role=\"alert\""), "{reply:?}");
    }
    let verified = admin.get("/ui/audit/verify").await;
    assert!(text(&verified).contains("The trail is intact"), "{verified:?}");
    let csv = admin.get("/ui/audit/export?format=csv").await;
    assert!(csv.headers["content-disposition"].to_str().unwrap().contains("telovix-audit.csv"));
    assert!(text(&csv).starts_with("seq,created_at") && text(&csv).contains("user_created"));
    assert!(text(&admin.get("/ui/audit?action_type=user_created").await).contains("v@example.com"));
}
