//! An operator's browser.

use crate::world::{Reply, World};
use serde_json::json;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::role::Role;
use telovix_contract::paths;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Signs in.
pub(crate) async fn log_in(world: &World, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password}).to_string();
    let json = [("content-type", "application/json")];
    world.client(None).send("POST", paths::V1_SESSION, body.as_bytes(), &json).await.unwrap()
}

/// A browser that is signed in: its cookie and its CSRF token.
pub(crate) struct Browser<'w> {
    pub(crate) world: &'w World,
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

impl<'w> Browser<'w> {
    pub(crate) async fn of(world: &'w World, email: &str) -> Self {
        let reply = log_in(world, email, PASSWORD).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let cookie = reply.headers["set-cookie"].to_str().unwrap();
        for word in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/", "__Host-"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { world, cookie, csrf: reply.text("csrf_token").to_owned() }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Reply {
        let headers = [("cookie", &*self.cookie), ("x-csrf-token", &*self.csrf)];
        self.world.client(None).send(method, path, body.as_bytes(), &headers).await.unwrap()
    }
}

pub(crate) async fn user(world: &World, role: Role) -> String {
    let email = format!("{}@example.com", role.as_str());
    if role != Role::Admin {
        let password = PASSWORD.to_owned().into();
        world.console.create_user(email.clone(), role, password, Origin::default()).await.unwrap();
    }
    email
}
