//! Routes with their descriptions, and the document that they make.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::routing::on;
use serde_json::{Map, Value, json};
use telovix_contract::Problem;

use super::{Op, refusal};
use crate::api::Api;
use crate::api::request::{CSRF_HEADER, SESSION_COOKIE};
use crate::domain::api_key::{HEADER_KEY_ID, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIMESTAMP};

#[derive(Debug, Default)]
pub(in crate::api) struct Book {
    router: Router<Api>,
    paths: BTreeMap<String, Map<String, Value>>,
    schemas: BTreeMap<String, Value>,
    responses: BTreeMap<String, Value>,
}

impl Book {
    pub(in crate::api) fn add<H, T>(mut self, path: &str, op: Op, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.router = self.router.route(path, on(op.method, handler));
        let described = op.describe(path);
        self.paths.entry(path.to_owned()).or_default().insert(op.word.to_owned(), described);
        let refusals = op.by_status().into_iter();
        self.responses.extend(refusals.map(|(status, codes)| (codes.join("_or_"), refusal(status, &codes))));
        self.schemas.extend(op.schemas);
        self
    }

    pub(in crate::api) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        for (path, operations) in other.paths {
            self.paths.entry(path).or_default().extend(operations);
        }
        self.schemas.extend(other.schemas);
        self.responses.extend(other.responses);
        self
    }

    /// The routes alone, to be served.
    pub(in crate::api) fn into_router(self) -> Router<Api> {
        self.router
    }

    pub(in crate::api) fn document(mut self) -> Value {
        let problem = Op::get("", "").gives::<Problem>(200, "");
        self.schemas.extend(problem.schemas);
        let header = |name: &str, says: &str| json!({"type": "apiKey", "in": "header", "name": name, "description": says});
        let signed = "`sha256=` and the hex of HMAC-SHA256 over METHOD, path, unix seconds, nonce and the hex of the body's \
                      SHA-256, each on a line of its own; the key is the secret's text.";
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Telovix Console",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "What sensors and operators ask of a Console. An error's body is a Problem: decide by \
                                `error`, show `message`. Unknown keys of a body are ignored.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": self.paths,
            "components": {
                "schemas": self.schemas,
                "responses": self.responses,
                "securitySchemes": {
                    "client_certificate": {"type": "mutualTLS", "description": "The certificate that the sensor enrolled for."},
                    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE,
                                "description": "From POST /api/v1/session."},
                    "csrf": header(CSRF_HEADER, "`csrf_token` of the session, on every call that changes something."),
                    "key_id": header(HEADER_KEY_ID, "The API key's name."),
                    "key_timestamp": header(HEADER_TIMESTAMP, "Unix seconds; at most 300 off."),
                    "key_nonce": header(HEADER_NONCE, "1 to 128 visible ASCII characters that this key never sent before."),
                    "key_signature": header(HEADER_SIGNATURE, signed),
                },
            },
        })
    }
}
