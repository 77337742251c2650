//! The setup wizard: only with the code that `serve` printed, and only once. Below TLS, because there is no CA yet.

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use rcgen::KeyPair;
use telovix_console_stub::api::{Api, Guard};
use telovix_console_stub::app::{App, Options};
use telovix_console_stub::config::{DataDir, Limits};
use telovix_console_stub::db::{DbError, Tx, settings};
use telovix_console_stub::domain::licence::LicencePayload;
use telovix_console_stub::service::Console;
use telovix_console_stub::service::licence::issue;
use telovix_console_stub::ui;

async fn call(
    router: &Router,
    method: &str,
    path: &str,
    cookie: &str,
    body: String,
) -> (u16, http::HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).header("cookie", cookie);
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, headers, String::from_utf8(bytes.to_vec()).unwrap())
}

/// A Console that nobody has set up, its setup code and its pages.
async fn unset(place: &tempfile::TempDir) -> (DataDir, Console, String, Router) {
    let data = DataDir::new(place.path().join("data"));
    let app = App::open(Options::new(data.clone())).await.unwrap();
    let code = app.setup_code().unwrap().to_owned();
    let console = app.console().clone();
    let limits = Arc::new(Limits::default());
    let guard = Arc::new(Guard::new(&limits.rates, console.clock()));
    let setup_code = Some(Arc::new(code.clone().into()));
    let api = Api { console: console.clone(), data: data.clone(), limits, guard, setup_code };
    (data, console, code, ui::router(api))
}

/// The wizard, with the cookie that it set and the CSRF token in its form.
async fn wizard(router: &Router) -> (String, String, String) {
    let (status, headers, page) = call(router, "GET", "/ui/setup", "", String::new()).await;
    assert_eq!(status, 200);
    let cookie = headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let token = page.split("csrf_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    (page, cookie, token)
}

#[tokio::test]
async fn a_console_is_set_up_once_by_whoever_knows_the_code() {
    let place = tempfile::tempdir().unwrap();
    let (data, console, code, router) = unset(&place).await;
    assert_eq!(code.len(), 32);

    for path in ["/ui/sensors", "/ui/settings"] {
        assert_eq!(call(&router, "GET", path, "", String::new()).await.1["location"], "/ui/login");
    }
    assert_eq!(call(&router, "GET", "/ui/login", "", String::new()).await.1["location"], "/ui/setup");
    let (page, cookie, token) = wizard(&router).await;
    assert!(!page.contains(&code));
    for field in [
        "setup_code",
        "email",
        "password",
        "trial_nodes",
        "bundle",
        "licence_trust",
        "vertical",
        "server_names",
        "public_url",
    ] {
        assert!(page.contains(&format!("name=\"{field}\"")), "{field}");
    }
    assert!(page.contains("<option>standard") && page.contains("<option>telecom"), "{page}");
    let form = |code: &str, token: &str, password: &str| {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("csrf_token", token), ("setup_code", code), ("email", "admin@example.com")])
            .extend_pairs([("password", password), ("server_names", "console.example 192.0.2.1")])
            .extend_pairs([
                ("public_url", "https://console.example:15483"),
                ("trial_nodes", "7"),
                ("vertical", "telecom"),
            ])
            .finish()
    };
    let good = "correct horse battery staple";
    for (body, wanted) in [
        (form("", &token, good), 403),
        (form(&"0".repeat(32), &token, good), 403),
        (form(&code, "forged", good), 403),
        (form(&code, &token, "short"), 400),
    ] {
        let (status, _, page) = call(&router, "POST", "/ui/setup", &cookie, body).await;
        assert!(status == wanted && page.contains("role=\"alert\"") && !page.contains(&code), "{page}");
        assert!(console.authority().is_err());
    }
    let (status, headers, page) =
        call(&router, "POST", "/ui/setup", &cookie, form(&code, &token, good)).await;
    assert_eq!((status, &headers["cache-control"]), (200, &"no-store".parse().unwrap()), "{page}");
    let fingerprint = console.authority().unwrap().fingerprint().to_string();
    assert!(page.contains(&fingerprint));
    assert!(data.ca_file().exists());
    assert_eq!(console.public_url().await.unwrap(), "https://console.example:15483");
    assert_eq!(console.licence().await.unwrap().max_protected_nodes, 7);
    let settings_now = console.list_settings().await.unwrap();
    let names = |tx: &mut dyn Tx| settings::get(tx, settings::SERVER_NAMES);
    let names = console.db().read::<_, DbError, _>(names).await.unwrap().unwrap();
    assert!(names.contains("console.example") && names.contains("192.0.2.1"), "{names}");
    let vertical = settings_now.iter().find(|setting| setting.name == "vertical").unwrap();
    assert_eq!((vertical.value.as_str(), vertical.default.as_str()), ("telecom", "standard"));
    // Once.
    assert_eq!(call(&router, "GET", "/ui/setup", "", String::new()).await.1["location"], "/ui/login");
    let (status, ..) = call(&router, "POST", "/ui/setup", &cookie, form(&code, &token, good)).await;
    assert_eq!((status, console.authority().unwrap().fingerprint().to_string()), (409, fingerprint));
    // An application that opens what is set up has no code.
    assert!(App::open(Options::new(data)).await.unwrap().setup_code().is_none());
}

#[tokio::test]
async fn a_console_is_set_up_with_a_licence_that_its_keys_signed() {
    let place = tempfile::tempdir().unwrap();
    let (_, console, code, router) = unset(&place).await;
    let (_, cookie, token) = wizard(&router).await;
    let [ours, other] = [(); 2].map(|()| KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
    let now = console.now();
    let payload = LicencePayload {
        id: "l-40".to_owned(),
        customer: "us".to_owned(),
        max_protected_nodes: 40,
        not_before: now,
        expires_at: now + 86_400,
        grace_days: 1,
    };
    for (signer, wanted) in [(&other, 400), (&ours, 200)] {
        let bundle = serde_json::to_string(&issue(&payload, signer).unwrap()).unwrap();
        let fields = [
            ("csrf_token", &*token),
            ("setup_code", &code),
            ("email", "admin@example.com"),
            ("password", "correct horse battery staple"),
            ("server_names", "console.example"),
            ("bundle", &bundle),
            ("licence_trust", &ours.public_key_pem()),
        ];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let (status, _, page) = call(&router, "POST", "/ui/setup", &cookie, form).await;
        assert_eq!(status, wanted, "{page}");
        // What was typed stands there again, but for the password and the code.
        if wanted == 400 {
            assert!(page.contains("role=\"alert\"") && !page.contains("></textarea>"), "{page}");
            assert!(!page.contains(&code) && !page.contains("correct horse"), "{page}");
        }
    }
    let licence = console.licence().await.unwrap();
    assert_eq!((licence.max_protected_nodes, licence.state), (40, "valid"));
}
