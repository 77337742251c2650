//! What a new host downloads before it can enroll: the installer, and the agent's binary with its checksum.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use http::header;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use telovix_contract::token::hex;
use telovix_contract::{ErrorCode, Flavor, paths};

use super::doc::{Book, Op, word};
use super::request::Named;
use super::{Api, Failure};
use crate::domain::Refusal;
use crate::files;

/// Header with the hex of the binary's SHA-256.
const CHECKSUM: &str = "x-checksum-sha256";
const SHELL: &str = "text/x-shellscript; charset=utf-8";
const SCRIPT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../install.sh"));

pub(super) fn routes() -> Book {
    let script = Op::get("getInstaller", "The installer.").gives_raw(200, SHELL, "A shell script.");
    let flavors = [Flavor::Standard, Flavor::Telecom].map(Flavor::as_str);
    let binary = Op::get("getBinary", "The agent's binary for `amd64` or `arm64`, as it was staged.")
        .query([word("flavor", "Edition; `standard` where absent.", flavors)])
        .gives_raw(200, "application/octet-stream", "The binary; X-Checksum-Sha256 has its SHA-256 in hex.")
        .refuses(&[ErrorCode::InvalidRequest, ErrorCode::NotFound]);
    let path = format!("{}/{{architecture}}", paths::BINARY);
    Book::default().add(paths::INSTALL_SH, script, self::script).add(&path, binary, self::binary)
}

async fn script() -> Response {
    ([(header::CONTENT_TYPE, SHELL)], SCRIPT).into_response()
}

#[derive(Debug, Deserialize)]
struct Choice {
    flavor: Option<String>,
}

async fn binary(
    State(api): State<Api>,
    Named(architecture): Named,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Result<Response, Failure> {
    let wrong = |_| Refusal::new(ErrorCode::InvalidRequest, "The query cannot be read; check the address.");
    let Query(choice) = choice.map_err(wrong)?;
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
