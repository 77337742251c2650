//! The pages of operators: who gets in, what protects them, and that they show hostile texts as texts.

use crate::browser::{PASSWORD, user};
use crate::world::{Reply, World, body, key};
use serde_json::json;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::role::Role;
use telovix_console_stub::domain::setting::Setting;

/// A browser without a script: it keeps cookies and sends forms.
pub(crate) struct Reader<'w> {
    world: &'w World,
    pub(crate) cookies: std::collections::BTreeMap<String, String>,
}

impl<'w> Reader<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        Self { world, cookies: Default::default() }
    }

    /// A reader who has signed in.
    pub(crate) async fn of(world: &'w World, email: &str) -> Self {
        let mut reader = Self::new(world);
        let reply = reader.sign_in(email, PASSWORD).await;
        assert_eq!((reply.status, &*location(&reply)), (303, "/ui/sensors"), "{reply:?}");
        reader
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> Reply {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = pairs.join("; ");
        let headers = [("cookie", &*cookie), ("content-type", "application/x-www-form-urlencoded")];
        let reply = self.world.client(None).send(method, path, body.as_bytes(), &headers).await.unwrap();
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            for word in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/", "__Host-"] {
                assert!(line.contains(word), "{line}");
            }
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
            if value.is_empty() {
                self.cookies.remove(name);
            }
        }
        reply
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        let reply = self.send("GET", path, "").await;
        if reply.status == 200 && !path.contains("/export") && !path.contains("/events") {
            assert_eq!(reply.headers["content-type"], "text/html; charset=utf-8", "{path}");
        }
        reply
    }

    /// Sends a form with the token that the page at `from` has in it.
    pub(crate) async fn post(&mut self, from: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let page = self.get(from).await;
        let token = csrf_in(&page);
        let mut form = vec![("csrf_token", token.as_str())];
        form.extend(fields);
        self.send("POST", path, &encoded(&form)).await
    }

    async fn sign_in(&mut self, email: &str, password: &str) -> Reply {
        self.post("/ui/login", "/ui/login", &[("email", email), ("password", password)]).await
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub(crate) fn text(reply: &Reply) -> &str {
    reply.body.as_str().unwrap_or_else(|| panic!("no page: {reply:?}"))
}

pub(crate) fn location(reply: &Reply) -> String {
    reply.headers.get("location").map_or(String::new(), |to| to.to_str().unwrap().to_owned())
}

fn csrf_in(page: &Reply) -> String {
    let rest = text(page).split("name=\"csrf_token\" value=\"").nth(1);
    rest.unwrap_or_else(|| panic!("no form: {page:?}")).split('"').next().unwrap().to_owned()
}

/// All pages without a name in their address.
pub(crate) const PAGES: [&str; 10] = [
    "/ui/sensors",
    "/ui/deploy",
    "/ui/deploy/host",
    "/ui/deploy/cluster",
    "/ui/tokens",
    "/ui/rules",
    "/ui/approvals",
    "/ui/audit",
    "/ui/audit/verify",
    "/ui/settings",
];

#[tokio::test]
async fn nobody_sees_a_page_without_signing_in_and_every_answer_is_guarded() {
    let world = World::start(10).await;
    let mut stranger = Reader::new(&world);
    for path in PAGES.iter().chain(&["/ui/audit/export", "/ui/sensors/x", "/ui/tokens/x/events"]) {
        let reply = stranger.get(path).await;
        assert_eq!((reply.status, &*location(&reply)), (303, "/ui/login"), "{path}");
    }
    let mut admin = Reader::of(&world, "admin@example.com").await;
    let others =
        ["/", "/ui", "/ui/", "/ui/nowhere", "/ui/assets/console.css", "/ui/assets/none", "/ui/login"];
    for path in PAGES.iter().chain(&others) {
        let reply = admin.send("GET", path, "").await;
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(reply.headers[name], value, "{path}");
        }
        let kept = if path.ends_with(".css") { "no-cache" } else { "no-store" };
        assert_eq!(reply.headers["cache-control"], kept, "{path}");
        let page = reply.body.as_str().unwrap_or_default();
        // The policy would forbid them, and a page would silently lack something.
        for inline in ["<script>", "style=\"", "onclick", "javascript:", "http://", "<style"] {
            assert!(path.contains("assets") || !page.contains(inline), "{path}: {inline}");
        }
    }
    for (path, status) in [("/ui/nowhere", 404), ("/ui/sensors/x", 404), ("/ui/tokens/x", 404)] {
        let reply = admin.get(path).await;
        assert!(reply.status == status && text(&reply).contains("role=\"alert\""), "{reply:?}");
    }
    assert_eq!(admin.send("POST", "/ui/tokens", "").await.status, 405);
}

#[tokio::test]
async fn a_session_begins_anew_at_each_sign_in_and_ends_at_sign_out() {
    let world = World::start(10).await;
    // A session that somebody else put into the browser is none, before and after.
    let mut reader = Reader::new(&world);
    reader.cookies.insert("__Host-telovix_session".to_owned(), "planted".to_owned());
    assert_eq!(reader.sign_in("admin@example.com", PASSWORD).await.status, 303);
    let first = reader.cookies["__Host-telovix_session"].clone();
    assert_ne!(first, "planted");
    // Signing in again, in the same browser, ends the session before. The form is had without the session's cookie.
    reader.cookies.clear();
    reader.get("/ui/login").await;
    let token = csrf_in(&reader.get("/ui/login").await);
    reader.cookies.insert("__Host-telovix_session".to_owned(), first.clone());
    let fields = [("csrf_token", &*token), ("email", "admin@example.com"), ("password", PASSWORD)];
    assert_eq!(reader.send("POST", "/ui/login", &encoded(&fields)).await.status, 303);
    let second = reader.cookies["__Host-telovix_session"].clone();
    assert_ne!(first, second);
    for (secret, status) in [("planted", 303), (&*first, 303), (&*second, 200)] {
        reader.cookies.insert("__Host-telovix_session".to_owned(), secret.to_owned());
        assert_eq!(reader.get("/ui/sensors").await.status, status);
    }
    assert_eq!(location(&reader.get("/ui/login").await), "/ui/sensors");
    assert_eq!(location(&reader.post("/ui/sensors", "/ui/logout", &[]).await), "/ui/login");
    reader.cookies.insert("__Host-telovix_session".to_owned(), second);
    assert_eq!(location(&reader.get("/ui/sensors").await), "/ui/login");
}

#[tokio::test]
async fn a_wrong_password_says_so_and_five_lock_the_account() {
    let world = World::start(10).await;
    let mut reader = Reader::new(&world);
    for _ in 0..5 {
        let reply = reader.sign_in("admin@example.com", "not the right one").await;
        assert!(reply.status == 401 && text(&reply).contains("The address or the password is wrong"));
        assert!(
            text(&reply).contains("value=\"admin@example.com\"") && !text(&reply).contains("not the right")
        );
    }
    assert_eq!(reader.sign_in("admin@example.com", PASSWORD).await.status, 429);
    // What was typed comes back as text.
    let reply = reader.sign_in("\"><script>alert(1)</script>", "not the right one").await;
    assert!(reply.status == 401 && !text(&reply).contains("<script>alert"), "{reply:?}");
}

#[tokio::test]
async fn a_form_without_its_token_changes_nothing() {
    let world = World::start(10).await;
    let mut admin = Reader::of(&world, "admin@example.com").await;
    let other = csrf_in(&Reader::of(&world, "admin@example.com").await.get("/ui/rules").await);
    let rule = [("cluster_id", "east"), ("label", "x")];
    for forged in ["", "x", &other] {
        let mut fields = rule.to_vec();
        fields.push(("csrf_token", forged));
        assert_eq!(admin.send("POST", "/ui/rules", &encoded(&fields)).await.status, 403);
        for path in ["/ui/deploy/host", "/ui/deploy/cluster", "/ui/settings", "/ui/approvals", "/ui/logout"] {
            let reply = admin.send("POST", path, &encoded(&[("csrf_token", forged)])).await;
            assert_eq!(reply.status, 403, "{path}");
        }
    }
    let mut stranger = Reader::new(&world);
    let fields = [("email", "admin@example.com"), ("password", PASSWORD)];
    assert_eq!(stranger.send("POST", "/ui/login", &encoded(&fields)).await.status, 403);
    assert_eq!(world.count("SELECT COUNT(*) FROM approval_rules"), 0);
    assert_eq!(admin.post("/ui/rules", "/ui/rules", &rule).await.status, 303);
    assert_eq!(world.count("SELECT COUNT(*) FROM approval_rules"), 1);
}

/// docs/contract.md section 5: tokens are for operator and admin. The others see why, and the server refuses them as well.
#[tokio::test]
async fn section_5_each_role_sees_what_it_may_and_is_refused_the_rest() {
    let world = World::start(10).await;
    let token = world.once().await;
    let sensor = world.enroll(&body(&token, "edge-1", &key())).await.text("sensor_id").to_owned();
    for role in Role::ALL {
        let mut reader = Reader::of(&world, &user(&world, role).await).await;
        let list = reader.get("/ui/sensors").await;
        let makes = matches!(role, Role::Operator | Role::Admin);
        assert_eq!(text(&list).contains("disabled aria-describedby=\"why\">Deploy sensor"), !makes);
        assert_eq!(text(&list).contains("The role"), role != Role::Admin, "the reason");
        let allowed: Vec<bool> = {
            let mut all = Vec::new();
            for page in PAGES {
                let reply = reader.get(page).await;
                assert!([200, 403].contains(&reply.status), "{page}: {reply:?}");
                all.push(reply.status == 200);
            }
            all
        };
        let audit = role.rank() >= 2;
        let admin = role == Role::Admin;
        assert_eq!(
            allowed,
            [true, makes, makes, makes, makes, makes, makes, audit, audit, admin],
            "{role:?}"
        );
        let page = format!("/ui/sensors/{sensor}");
        let shown = reader.get(&page).await;
        assert!(shown.status == 200 && text(&shown).contains("edge-1"));
        for (verb, may) in [
            ("renew", role.rank() >= 3),
            ("token", makes),
            ("disable", admin),
            ("revoke", admin),
            ("delete", admin),
        ] {
            let asked = reader.get(&format!("{page}/{verb}")).await;
            assert_eq!(asked.status == 200, may, "{role:?} {verb}");
            assert_eq!(text(&shown).contains(&format!("href=\"{page}/{verb}\"")), may, "{role:?} {verb}");
            if !may {
                let reply = reader.post("/ui/sensors", &format!("{page}/{verb}"), &[]).await;
                assert_eq!(reply.status, 403, "{role:?} {verb}");
            }
        }
        // It makes no sense for a sensor that is on, and so it has no link; the refusal is another one.
        let enabled = reader.post("/ui/sensors", &format!("{page}/enable"), &[]).await;
        assert_eq!(enabled.status, if admin { 409 } else { 403 }, "{role:?}");
        let fields = [("node_name", "edge-2")];
        let made = reader.post("/ui/sensors", "/ui/deploy/host", &fields).await;
        assert_eq!(made.status, if makes { 201 } else { 403 }, "{role:?}");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM sensors WHERE disabled_at IS NULL"), 1);
}

#[tokio::test]
async fn hostile_texts_are_shown_as_texts() {
    let world = World::start(10).await;
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let mut draft = body(&world.once().await, "edge-1", &key());
    draft["tags"] = json!([evil]);
    draft["sensor_version"] = json!(evil);
    draft["host"] =
        json!({"architecture": evil, "os": evil, "kernel_version": evil, "cpu_count": 1, "memory_bytes": 1});
    let enrolled = world.enroll(&draft).await;
    assert_eq!(enrolled.status, 201, "{enrolled:?}");
    let sensor = enrolled.text("sensor_id").to_owned();
    let mut admin = Reader::of(&world, "admin@example.com").await;
    let rule = [("cluster_id", "east"), ("label", evil)];
    assert_eq!(admin.post("/ui/rules", "/ui/rules", &rule).await.status, 303);
    let key_form = [("what", "key-create"), ("label", evil), ("scope", "sensors:read")];
    assert_eq!(admin.post("/ui/settings", "/ui/settings", &key_form).await.status, 201);
    let token = telovix_console_stub::domain::token::TokenDraft {
        label: Some(evil.to_owned()),
        ..Default::default()
    };
    let made = world.console.create_token(token, Origin::default()).await.unwrap();
    let waits = Setting::ApprovalMode;
    world.console.change_setting(waits, "all".to_owned(), Origin::default()).await.unwrap();
    let mut waiting = body(&world.once().await, "edge-2", &key());
    waiting["host"] = draft["host"].clone();
    assert_eq!(world.enroll(&waiting).await.status, 202);
    // What strangers get into the trail: an address that nobody has.
    let stranger = Reader::new(&world).sign_in(evil, "not the right one").await;
    assert_eq!(stranger.status, 401);
    let query =
        encoded(&[("node_name", evil), ("cluster_id", evil), ("tag", evil), ("done", evil), ("role", evil)]);
    let query_of_log = encoded(&[("action_type", evil), ("actor_email", evil), ("cursor", evil)]);
    let mut pages: Vec<String> = PAGES.map(str::to_owned).to_vec();
    pages.extend([
        format!("/ui/sensors/{sensor}"),
        format!("/ui/tokens/{}", made.id),
        format!("/ui/tokens/{}/revoke", made.id),
        format!("/ui/sensors?{query}"),
        format!("/ui/rules?{query}"),
        format!("/ui/tokens?{query}"),
        format!("/ui/audit?{query_of_log}"),
        format!("/ui/{}", encoded(&[(evil, evil)])),
    ]);
    let mut escaped = 0;
    for path in pages {
        let reply = admin.get(&path).await;
        let page = text(&reply);
        assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{path}: {page}");
        escaped += usize::from(page.contains("script&#62;") || page.contains("script&gt;"));
    }
    assert!(escaped >= 7, "{escaped}: the texts were not shown at all");
    // A form that is refused shows what was typed again.
    let reply = admin.post("/ui/rules", "/ui/rules", &[("cluster_id", "a\u{202e}b"), ("label", evil)]).await;
    assert!(reply.status == 400 && !text(&reply).contains("<script>"), "{reply:?}");
    let reply = admin.post("/ui/deploy/host", "/ui/deploy/host", &[("node_name", evil)]).await;
    assert!(reply.status == 400 && !text(&reply).contains("<script>"), "{reply:?}");
}
