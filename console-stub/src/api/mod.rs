//! The HTTP interface: the only place that knows paths, headers and bodies.
//!
//! Invariant: every answer that is not a success has a [`telovix_contract::Problem`] as its body, and nothing that a client sends comes
//! back in it unread. Handlers translate; [`crate::service`] does.

mod body;
mod doc;
mod enroll;
mod guard;
mod health;
mod install;
mod operators;
mod problem;
mod request;
mod sensors;
pub(crate) mod session;

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Request;
use http::header;
use telovix_contract::{ErrorCode, paths};

use crate::domain::Refusal;
use doc::{Book, Op};

pub(crate) use body::read as read_body;
pub use guard::Guard;
pub(crate) use operators::export_audit;
pub(crate) use problem::told;
pub use problem::{Failure, problem_response};
pub(crate) use request::Stopping;
pub use request::{Api, Peer};

/// The OpenAPI 3.1 document of all paths, as it is committed and served.
pub static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let text = serde_json::to_string_pretty(&book().document());
    text.expect("a document of texts is JSON") + "\n"
});

/// All paths.
pub fn router(api: Api) -> Router {
    served(book(), api)
}

/// The sensors' paths alone, for a listener of their own.
pub(crate) fn sensors_router(api: Api) -> Router {
    served(sensors_book(), api)
}

fn served(book: Book, api: Api) -> Router {
    let router = book.into_router().fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    router.with_state(api)
}

fn book() -> Book {
    let says = Op::get("getDocument", "This document.").gives_raw(200, "application/json", "OpenAPI 3.1.");
    sensors_book()
        .add(paths::OPENAPI, says, document)
        .merge(operators::login::routes())
        .merge(operators::console::routes())
        .merge(operators::routes(paths::V1_ENROLLMENT, paths::V1_SENSORS, paths::V1_AUDIT))
        .merge(operators::routes(paths::V2_ENROLLMENT, paths::V2_SENSORS, paths::V2_AUDIT))
}

fn sensors_book() -> Book {
    health::routes().merge(enroll::routes()).merge(sensors::routes()).merge(install::routes())
}

async fn document() -> impl axum::response::IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

async fn not_found() -> Failure {
    Refusal::new(ErrorCode::NotFound, "There is nothing at this path; check the address.").into()
}

async fn method_not_allowed(request: Request) -> Failure {
    let message = format!(
        "The path does not take {}; check the call.",
        telovix_contract::clean(request.method().as_str(), 16)
    );
    Refusal::new(ErrorCode::MethodNotAllowed, message).into()
}
