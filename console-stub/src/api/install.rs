//! What a new host downloads before it can enroll: the installer, and the agent's binary with its checksum.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::header;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use telovix_contract::token::hex;
use telovix_contract::{ErrorCode, Flavor};

use super::{Api, Failure};
use crate::domain::Refusal;
use crate::files;

/// Header with the hex of the binary's SHA-256.
const CHECKSUM: &str = "x-checksum-sha256";
const SCRIPT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../install.sh"));

pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8")], SCRIPT).into_response()
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    flavor: Option<String>,
}

pub(super) async fn binary(
    State(api): State<Api>,
    Path(architecture): Path<String>,
    Query(choice): Query<Choice>,
) -> Result<Response, Failure> {
    let architecture = match architecture.as_str() {
        "amd64" => "amd64",
        "arm64" => "arm64",
        _ => {
            return Err(
                Refusal::new(ErrorCode::NotFound, "There are binaries for amd64 and arm64 only.").into()
            );
        }
    };
    let flavor: Flavor = match choice.flavor.as_deref() {
        None => Flavor::default(),
        Some(word) => word.parse().map_err(|error| Refusal::field("flavor", error))?,
    };
    let path = api.data.binary(flavor, architecture);
    let read = tokio::task::spawn_blocking(move || files::read(&path)).await;
    let Ok(Ok(content)) = read else {
        let message = format!(
            "No binary for {architecture}, {flavor}, is staged; run `telovix-console-stub binary stage` on the Console."
        );
        return Err(Refusal::new(ErrorCode::NotFound, message).into());
    };
    let checksum = hex(&Sha256::digest(&content));
    let headers =
        [(CHECKSUM, checksum), (header::CONTENT_TYPE.as_str(), "application/octet-stream".to_owned())];
    Ok((headers, content).into_response())
}
