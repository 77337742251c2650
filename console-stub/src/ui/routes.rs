//! The addresses of the pages: the one place that adds them.

use axum::Router;
use axum::extract::{Path, Request};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use http::header;
use telovix_contract::ErrorCode;

use super::page::{Oops, guarded};
use super::{approvals, audit, deploy, events, login, rules, sensor, sensors, settings, setup, tokens};
use crate::api::Api;
use crate::domain::Refusal;

/// All pages.
pub fn router(api: Api) -> Router {
    let router = Router::new()
        .route("/", get(home))
        .route("/ui", get(home))
        .route("/ui/", get(home))
        .route("/ui/assets/{name}", get(asset))
        .route("/ui/login", get(login::form).post(login::sign_in))
        .route("/ui/setup", get(setup::form).post(setup::carry_out))
        .route("/ui/logout", post(login::sign_out))
        .route("/ui/sensors", get(sensors::list))
        .route("/ui/sensors/{id}", get(sensor::show))
        .route("/ui/sensors/{id}/{verb}", get(sensor::confirm).post(sensor::act))
        .route("/ui/deploy", get(deploy::choose))
        .route("/ui/deploy/host", get(deploy::host).post(deploy::make_for_host))
        .route("/ui/deploy/cluster", get(deploy::cluster).post(deploy::make_for_cluster))
        .route("/ui/tokens", get(tokens::list))
        .route("/ui/tokens/{id}", get(tokens::show))
        .route("/ui/events", get(events::of_news))
        .route("/ui/tokens/{id}/events", get(events::of_token))
        .route("/ui/tokens/{id}/revoke", get(tokens::confirm).post(tokens::revoke))
        .route("/ui/rules", get(rules::list).post(rules::create))
        .route("/ui/rules/{id}/delete", get(rules::confirm).post(rules::delete))
        .route("/ui/approvals", get(approvals::list).post(approvals::decide))
        .route("/ui/audit", get(audit::list))
        .route("/ui/audit/verify", get(audit::verify))
        .route("/ui/audit/export", get(audit::export))
        .route("/ui/settings", get(settings::show).post(settings::change))
        .route("/ui/{*rest}", get(nothing).post(nothing));
    router
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(api.clone(), guarded))
        .with_state(api)
}

async fn home() -> Redirect {
    Redirect::to("/ui/sensors")
}

async fn nothing() -> Oops {
    Refusal::new(ErrorCode::NotFound, "There is no such page; check the address.").into()
}

async fn wrong_method(_: Request) -> Oops {
    Refusal::new(ErrorCode::MethodNotAllowed, "The page cannot be called that way; go back and try again.")
        .into()
}

async fn asset(Path(name): Path<String>) -> Response {
    let (kind, content) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", include_str!("../../assets/console.css")),
        "console.js" => ("text/javascript; charset=utf-8", include_str!("../../assets/console.js")),
        "icon.svg" => ("image/svg+xml", include_str!("../../assets/icon.svg")),
        _ => return nothing().await.into_response(),
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content).into_response()
}
