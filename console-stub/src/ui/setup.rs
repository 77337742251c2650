//! The setup wizard, for as long as the Console is not set up.
//!
//! Whoever sets a Console up owns it. So the form asks for the code that `serve` printed: who reads the output of the
//! process may set it up, and a stranger on the network may not. The code has 128 bits, and each try costs one of the
//! source's attempts to sign in.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq as _;
use telovix_contract::ErrorCode;
use zeroize::Zeroizing;

use super::login::{require_visit, visited};
use super::page::{Frame, Oops, ok, show, status_of};
use super::visitor::Form;
use super::words::{Choice, choices};
use crate::api::{Api, read_body, session};
use crate::domain::Refusal;
use crate::domain::setting::Vertical;
use crate::files;
use crate::service::ServiceError;
use crate::service::setup::{Grant, SetUp, Setup};

const TRIAL_NODES: u32 = 25;

#[derive(Template)]
#[template(path = "setup.html")]
struct Page {
    frame: Frame,
    email: String,
    server_names: String,
    public_url: String,
    trial_nodes: String,
    bundle: String,
    licence_trust: String,
    verticals: Vec<Choice>,
}

fn page(
    headers: &HeaderMap,
    status: StatusCode,
    form: &Form,
    problem: Option<String>,
) -> Result<Response, ServiceError> {
    let word = |name| form.text(name).unwrap_or_default().to_owned();
    visited(headers, |csrf| {
        let page = Page {
            frame: Frame::bare("Set up", csrf).refusing(problem),
            email: word("email"),
            server_names: word("server_names"),
            public_url: word("public_url"),
            trial_nodes: form.text("trial_nodes").map_or_else(|| TRIAL_NODES.to_string(), str::to_owned),
            bundle: word("bundle"),
            licence_trust: word("licence_trust"),
            verticals: choices(Vertical::ALL.map(Vertical::as_str), &word("vertical")),
        };
        show(status, &page)
    })
}

/// The form; once the Console is set up, the way to the sign-in.
pub(super) async fn form(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (parts, _) = request.into_parts();
    if api.console.authority().is_ok() {
        return Ok(Redirect::to("/ui/login").into_response());
    }
    Ok(page(&parts.headers, StatusCode::OK, &Form::default(), None)?)
}

#[derive(Template)]
#[template(path = "setup_done.html")]
struct Done {
    frame: Frame,
    fingerprint: String,
}

pub(super) async fn carry_out(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (parts, body) = request.into_parts();
    session::admit(&api, &parts)?;
    let form = Form::read(&read_body(body, api.limits.body).await?);
    require_visit(&parts.headers, &form)?;
    require_code(&api, &form)?;
    match set_up(&api, &form).await {
        Ok(made) => {
            files::replace(&api.data.ca_file(), 0o644, made.ca_pem.as_bytes()).unwrap_or_else(|error| {
                tracing::error!(%error, "the CA file could not be written; the next start writes it");
            });
            let fingerprint = made.ca_fingerprint.to_string();
            Ok(ok(&Done { frame: Frame::bare("Set up", String::new()), fingerprint }))
        }
        Err(error) => {
            let refusal = Oops::from(error).correctable()?;
            let problem = Some(refusal.message.clone());
            Ok(page(&parts.headers, status_of(&refusal), &form, problem)?)
        }
    }
}

fn require_code(api: &Api, form: &Form) -> Result<(), Refusal> {
    let given = form.text("setup_code").unwrap_or_default();
    let holds = api.setup_code.as_ref().is_some_and(|code| code.as_bytes().ct_eq(given.as_bytes()).into());
    if holds {
        return Ok(());
    }
    let message =
        "The setup code is not the one that `serve` printed when it started; go back and repeat it.";
    Err(Refusal::new(ErrorCode::Forbidden, message))
}

async fn set_up(api: &Api, form: &Form) -> Result<SetUp, ServiceError> {
    let text = |name: &str| form.text(name).unwrap_or_default().to_owned();
    let licence = match form.text("bundle") {
        Some(bundle) => Grant::Bundle(bundle.to_owned()),
        None => {
            let nodes: u32 = form.parsed("trial_nodes")?.unwrap_or(TRIAL_NODES);
            if nodes == 0 {
                return Err(Refusal::field("trial_nodes", "at least one node is needed").into());
            }
            Grant::Trial(nodes)
        }
    };
    let setup = Setup {
        admin_email: text("email"),
        admin_password: Zeroizing::new(form.raw("password").unwrap_or_default().to_owned()),
        server_names: text("server_names").split_whitespace().map(str::to_owned).collect(),
        licence,
        licence_trust: form.text("licence_trust").map(str::to_owned),
        public_url: form.parsed("public_url")?,
        vertical: form.parsed("vertical")?.unwrap_or_default(),
    };
    api.console.set_up(setup).await
}
