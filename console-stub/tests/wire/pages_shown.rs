//! That each list shows each of its columns, each with what the Console knows.

use serde_json::json;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_contract::states::TokenType;

use crate::pages::{Reader, text};
use crate::world::{World, body, key};

const ADMIN: &str = "admin@example.com";

/// The rows of a page's list: what stands in each cell, tags left out, by the name of its column.
fn rows(page: &str) -> Vec<Vec<(String, String)>> {
    let table = page.split("<tbody>").nth(1).unwrap_or_else(|| panic!("no table: {page}"));
    let table = table.split("</tbody>").next().unwrap();
    let cell = |cell: &str| {
        let (head, inner) = cell.split_once('>').unwrap();
        let name = head.split("data-name=\"").nth(1).map_or("", |rest| rest.split('"').next().unwrap());
        let plain: String =
            inner.split('<').map(|piece| piece.split_once('>').map_or(piece, |it| it.1)).collect();
        (name.to_owned(), plain.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let row =
        |row: &str| row.split("<td").skip(1).map(|it| cell(it.split("</td>").next().unwrap())).collect();
    table.split("<tr>").skip(1).map(row).collect()
}

fn expect(page: &str, at: usize, wanted: &[(&str, &str)]) {
    let rows = rows(page);
    for (name, value) in wanted {
        let found = rows[at].iter().find(|(known, _)| known == name);
        let found = found.unwrap_or_else(|| panic!("no column {name}: {rows:?}"));
        assert_eq!(found.1, *value, "{name}: {rows:?}");
    }
}

/// A node with everything that one can say of itself.
async fn enroll(world: &World, token: &str) -> String {
    let mut node = body(token, "du-1", &key());
    for (name, value) in [
        ("cluster_name", json!("ran-east")),
        ("install_id", json!("i1")),
        ("declared_role", json!("o_du")),
        ("flavor", json!("telecom")),
        ("sensor_version", json!("9.8.7")),
        ("tags", json!(["rack 7"])),
        (
            "host",
            json!({"architecture": "riscv64", "os": "Debian", "kernel_version": "6.1", "cpu_count": 3,
            "memory_bytes": 4_294_967_296_u64}),
        ),
    ] {
        node[name] = value;
    }
    let enrolled = world.enroll(&node).await;
    assert_eq!(enrolled.status, 201, "{enrolled:?}");
    enrolled.text("sensor_id").to_owned()
}

#[tokio::test]
async fn the_fleet_shows_all_of_a_sensor_and_what_is_open() {
    let world = World::start(10).await;
    let token = world.cluster("ran-east", Some(4)).await;
    let id = enroll(&world, &token).await;
    let mut admin = Reader::of(&world, ADMIN).await;
    world.clock.advance(50);
    let list = admin.get("/ui/sensors").await;
    expect(
        text(&list),
        0,
        &[
            ("Node name", "du-1 rack 7"),
            ("Role", "o_du"),
            ("Cluster", "ran-east"),
            ("Flavor", "telecom"),
            ("Status", "healthy"),
            ("Health", "watch"),
            ("Trust", "trusted"),
            ("Last contact", "never"),
            ("Version", "9.8.7"),
            ("Certificate", "29 d"),
        ],
    );
    for open in
        ["<b>0</b>waiting approvals", "<b>1</b>pending tokens", "<b>1</b>all sensors", "<b>1</b>healthy"]
    {
        assert!(text(&list).contains(open), "{open}");
    }
    // By each filter it is found, and by another word it is not.
    for (filter, fits, not) in [
        ("node_name", "du", "u-1"),
        ("cluster_id", "ran-east", "ran-west"),
        ("role", "o_du", "o_cu"),
        ("tag", "rack%207", "rack"),
        ("flavor", "telecom", "standard"),
        ("status", "healthy", "stale"),
        ("health_state", "watch", "healthy"),
        ("trust_state", "trusted", "rotated"),
        ("trust_health", "healthy", "renewal_due"),
    ] {
        assert!(text(&admin.get(&format!("/ui/sensors?{filter}={fits}")).await).contains(&id), "{filter}");
        let none = admin.get(&format!("/ui/sensors?{filter}={not}")).await;
        assert!(!text(&none).contains(&id) && text(&none).contains("No sensor fits"), "{filter}");
    }
    let page = admin.get(&format!("/ui/sensors/{id}")).await;
    for fact in ["riscv64", "4.0 GiB", "ran-east", "i1", "rack 7", "9.8.7", "29 d, until", "sensor_enrolled"]
    {
        assert!(text(&page).contains(fact), "{fact}");
    }
    // Late in its certificate's life the row says so in words too.
    world.clock.advance(28 * 24 * 3600);
    let mut admin = Reader::of(&world, ADMIN).await;
    expect(
        text(&admin.get("/ui/sensors").await),
        0,
        &[("Certificate", "47 h, renewal due"), ("Status", "stale")],
    );
}

#[tokio::test]
async fn tokens_rules_approvals_and_the_trail_show_all_of_their_columns() {
    let world = World::start(10).await;
    let mut admin = Reader::of(&world, ADMIN).await;
    let draft = TokenDraft {
        kind: Some(TokenType::Cluster),
        cluster_id: Some("ran-east".parse().unwrap()),
        max_nodes: Some(4),
        label: Some("the east".to_owned()),
        ..TokenDraft::default()
    };
    let made = world.console.create_token(draft, Origin::default()).await.unwrap();
    let rule =
        [("cluster_id", "ran-east"), ("label", "rollout"), ("allowed_roles", "o_du"), ("max_nodes", "7")];
    assert_eq!(admin.post("/ui/rules", "/ui/rules", &rule).await.status, 303);
    world.console.change_setting(Setting::ApprovalMode, "all".to_owned(), Origin::default()).await.unwrap();
    enroll(&world, made.token.expose()).await;
    expect(
        text(&admin.get("/ui/tokens").await),
        0,
        &[
            ("Label", "the east"),
            ("Status", "pending"),
            ("Type", "cluster"),
            ("Bound to", "ran-east"),
            ("Created", "2027-01-15 08:00:00 UTC"),
            ("Expires", "2028-01-15 08:00:00 UTC"),
            ("Uses", "1 (1 of 4 nodes)"),
            ("", "Revoke"),
        ],
    );
    let columns = [("Label", "rollout"), ("Cluster", "ran-east"), ("Roles", "o_du"), ("Nodes", "1 of 7")];
    expect(text(&admin.get("/ui/rules").await), 0, &columns);

    let waits = world.enroll(&body(&world.once().await, "edge-1", &key())).await;
    assert_eq!(waits.status, 202, "{waits:?}");
    expect(
        text(&admin.get("/ui/approvals").await),
        0,
        &[
            ("Node name", "edge-1"),
            ("Role", "generic_linux"),
            ("Cluster", "–"),
            ("From", "127.0.0.1"),
            ("Asked", "2027-01-15 08:00:00 UTC"),
            ("Status", "waiting"),
        ],
    );
    expect(
        text(&admin.get("/ui/audit?action_type=auto_approve_rule_created&outcome=success").await),
        0,
        &[
            ("Time", "2027-01-15 08:00:00 UTC"),
            ("Action", "auto_approve_rule_created"),
            ("Outcome", "success"),
            ("By", ADMIN),
            ("From", "127.0.0.1"),
        ],
    );
    for none in
        ["outcome=failure&action_type=auto_approve_rule_created", "actor_email=nobody", "sensor_id=none"]
    {
        assert!(text(&admin.get(&format!("/ui/audit?{none}")).await).contains("No record fits"), "{none}");
    }
}

#[tokio::test]
async fn the_settings_page_has_every_setting_with_its_value() {
    let world = World::start(10).await;
    let mut admin = Reader::of(&world, ADMIN).await;
    let page = admin.get("/ui/settings").await;
    let shown = rows(text(&page));
    assert_eq!(shown.len(), Setting::ALL.len());
    for (setting, row) in world.console.list_settings().await.unwrap().iter().zip(&shown) {
        assert!(row[0].1.ends_with(setting.name) && row[0].1.len() > setting.name.len() + 20, "{row:?}");
        assert_eq!(row[1].1, setting.default);
        assert!(text(&page).contains(&format!("aria-labelledby=\"{}\"", setting.name)), "{}", setting.name);
    }
    for part in
        ["Licence", "Users", "API keys", "Certificate authority", "Rotate the issuer", "Import a licence"]
    {
        assert!(text(&page).contains(part), "{part}");
    }
}
