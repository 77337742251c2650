//! Settings, for administrators: values, users, API keys, the licence, the CA.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use zeroize::Zeroizing;

use super::page::{Frame, Oops, ok, show as page_of, status_of};
use super::visitor::{Form, Visitor, opened, posted};
use super::words;
use crate::api::Api;
use crate::domain::Refusal;
use crate::domain::api_key::Scope;
use crate::domain::role::{Act, Role};
use crate::domain::setting::Setting;
use crate::service::ServiceError;
use crate::service::api_keys::{ApiKeyView, CreatedKey};
use crate::service::licence::LicenceView;
use crate::service::restore::RestoreView;
use crate::service::rotation::{Drain, IssuerView};
use crate::service::settings::SettingView;
use crate::service::users::UserView;

const HOUR: i64 = 3600;

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    frame: Frame,
    settings: Vec<Line>,
    restore: RestoreView,
    users: Vec<UserView>,
    roles: [&'static str; 5],
    keys: Vec<ApiKeyView>,
    licence: LicenceView,
    issuers: Vec<IssuerView>,
    fingerprint: String,
    /// A key that was just made: its name and its secret, this once.
    made: Option<(String, Zeroizing<String>)>,
}

struct Line {
    setting: SettingView,
    called: &'static str,
    says: &'static str,
}

impl Line {
    fn of(setting: SettingView) -> Self {
        let (called, says) = Setting::from_name(setting.name).map_or((setting.name, ""), in_words);
        Self { setting, called, says }
    }
}

fn in_words(setting: Setting) -> (&'static str, &'static str) {
    match setting {
        Setting::ApprovalMode => (
            "Approval mode",
            "Which enrollments wait for an operator where no rule lets them in: none, those of a cluster, or all. A change lets in no host that is already waiting.",
        ),
        Setting::CertificateHours => ("Certificate life, hours", "Counts from a sensor's next renewal on."),
        Setting::RenewExpiredHours => (
            "Renewal after expiry, hours",
            "How long an expired certificate can still renew itself. 0 means never: such a host needs a new token.",
        ),
        Setting::HeartbeatSeconds => {
            ("Heartbeat interval, seconds", "Time between two heartbeats of a sensor.")
        }
        Setting::OnceTtlSeconds => {
            ("One-time token life, seconds", "Where nobody asks for another when it is made.")
        }
        Setting::OnceTtlMin => ("One-time token, shortest life, seconds", "Nobody gets a shorter one."),
        Setting::OnceTtlMax => ("One-time token, longest life, seconds", "Nobody gets a longer one."),
        Setting::ClusterDays => {
            ("Cluster token life, days", "Where nobody asks for another when it is made.")
        }
        Setting::ClusterMaxDays => ("Cluster token, longest life, days", "Nobody gets a longer one."),
        Setting::StaleSeconds => {
            ("Stale threshold, seconds", "A sensor that was not heard of for so long is stale.")
        }
        Setting::AfterRestore => (
            "After a restore from a backup",
            "On: a certificate that is newer than the one known for its sensor is accepted, and a sensor that the backup does not have waits under Approvals. It ends by itself after one certificate life.",
        ),
        Setting::Vertical => ("Vertical", "What the Console is for; written down and shown."),
    }
}

async fn page(api: &Api, visitor: &Visitor) -> Result<Page, ServiceError> {
    let console = &api.console;
    Ok(Page {
        frame: Frame::new("Settings", "/ui/settings", visitor),
        settings: console.list_settings().await?.into_iter().map(Line::of).collect(),
        restore: console.after_restore().await?,
        users: console.list_users().await?,
        roles: Role::ALL.map(Role::as_str),
        keys: console.list_api_keys().await?,
        licence: console.licence().await?,
        issuers: console.list_issuers().await?,
        fingerprint: console.authority()?.fingerprint().to_string(),
        made: None,
    })
}

pub(super) async fn show(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, asked) = opened(&api, request, Act::Administer).await?;
    let done = asked.text("done");
    let mut page = page(&api, &visitor).await?;
    page.frame = page.frame.noting(words::done(done.as_deref()));
    Ok(ok(&page))
}

enum Changed {
    Done(&'static str),
    Key(CreatedKey),
}

/// Changes one thing, which the form names in `what`.
pub(super) async fn change(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, form) = posted(&api, request, Act::Administer).await?;
    let email = visitor.email.clone();
    match carry_out(&api, &visitor, &form).await {
        // Whoever changes the own account has signed out by it, and the sign-in page says so by itself.
        Ok(Changed::Done(word)) => Ok(Redirect::to(&format!("/ui/settings?done={word}")).into_response()),
        Ok(Changed::Key(made)) => {
            let mut page = page(&api, &visitor).await?;
            page.made = Some((made.key_id, made.secret));
            Ok(page_of(StatusCode::CREATED, &page))
        }
        Err(error) => {
            let refusal = Oops::from(error).correctable()?;
            tracing::debug!(%email, code = %refusal.code, "a change was refused");
            let mut page = page(&api, &visitor).await?;
            page.frame = page.frame.refusing(Some(refusal.message.clone()));
            Ok(page_of(status_of(&refusal), &page))
        }
    }
}

async fn carry_out(api: &Api, visitor: &Visitor, form: &Form) -> Result<Changed, ServiceError> {
    let (console, origin) = (&api.console, visitor.origin.clone());
    let required =
        |name: &str| form.text(name).map(str::to_owned).ok_or_else(|| Refusal::field(name, "it is missing"));
    let password = || Zeroizing::new(form.raw("password").unwrap_or_default().to_owned());
    let role = || {
        let read = Role::from_word(form.text("role").unwrap_or_default());
        read.ok_or_else(|| Refusal::field("role", "there is no such role"))
    };
    let done = match form.text("what").unwrap_or_default() {
        "setting" => {
            let setting = Setting::from_name(form.text("name").unwrap_or_default())
                .ok_or_else(|| Refusal::field("name", "there is no such setting"))?;
            console.change_setting(setting, required("value")?, origin).await?;
            "setting"
        }
        "user-create" => {
            console.create_user(required("email")?, role()?, password(), origin).await?;
            "user"
        }
        "user-disable" => {
            console.disable_user(required("email")?, origin).await?;
            "user"
        }
        "user-enable" => {
            console.enable_user(required("email")?, origin).await?;
            "user"
        }
        "user-role" => {
            console.change_role(required("email")?, role()?, origin).await?;
            "user"
        }
        "user-password" => {
            console.change_password(required("email")?, password(), origin).await?;
            "user"
        }
        "key-create" => {
            let scopes = form.all("scope").filter_map(Scope::from_word).collect();
            let label = form.text("label").unwrap_or_default().to_owned();
            return Ok(Changed::Key(console.create_api_key(label, scopes, origin).await?));
        }
        "key-revoke" => {
            meant(form)?;
            console.revoke_api_key(required("key_id")?, origin).await?;
            "key"
        }
        "licence" => {
            console.import_licence(required("bundle")?, origin).await?;
            "licence"
        }
        "rotate" => {
            meant(form)?;
            let hours: i64 = form.parsed("hours")?.unwrap_or(24);
            console.rotate_issuer(Drain::Within(hours.saturating_mul(HOUR)), origin).await?;
            "issuer"
        }
        "retire" => {
            meant(form)?;
            console.retire_issuer(required("issuer_id")?, false, origin).await?;
            "issuer"
        }
        _ => return Err(Refusal::field("what", "the page does not know such a change").into()),
    };
    Ok(Changed::Done(done))
}

/// What cannot be taken back asks for a mark.
fn meant(form: &Form) -> Result<(), Refusal> {
    match form.text("meant") {
        Some(_) => Ok(()),
        None => Err(Refusal::field("meant", "mark that you mean it; nothing was changed")),
    }
}
