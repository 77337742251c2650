//! One sensor: its facts, its history, and what may be done to it, each after a page that asks again.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use telovix_contract::{ErrorCode, SensorId};

use super::deploy::made_page;
use super::page::{Frame, Oops, ok, show as page_of, status_of};
use super::visitor::{Visitor, named, opened, posted};
use super::words;
use crate::api::Api;
use crate::db::audit::AuditFilter;
use crate::domain::Refusal;
use crate::domain::page::Piece;
use crate::domain::role::Act;
use crate::domain::token::TokenDraft;
use crate::service::audit::AuditView;
use crate::service::sensors::{SensorView, Verdict};

const HISTORY: i64 = 20;
/// Seconds in which a sensor is to renew when it is asked now.
const RENEW_WITHIN: i64 = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Renew,
    Token,
    Judge(Verdict),
}

/// Word in the address, what it does, name on the button, what it leads to.
const VERBS: [(&str, Verb, &str, &str); 6] = [
    (
        "renew",
        Verb::Renew,
        "Renew certificate now",
        "The sensor is told with its next heartbeat, and renews within five minutes.",
    ),
    (
        "token",
        Verb::Token,
        "Make re-enrollment token",
        "A one-time token that only this sensor can use, to bring it back under the same identity.",
    ),
    (
        "disable",
        Verb::Judge(Verdict::Disable),
        "Disable",
        "The sensor is refused until it is enabled again. It keeps its licence slot.",
    ),
    ("enable", Verb::Judge(Verdict::Enable), "Enable", "The sensor is let in again."),
    (
        "revoke",
        Verb::Judge(Verdict::Revoke),
        "Revoke",
        "The sensor is refused for good. Its licence slot becomes free. This cannot be undone. The host can come back as a new sensor, with a new token and an operator's approval.",
    ),
    (
        "delete",
        Verb::Judge(Verdict::Delete),
        "Delete",
        "The record and its certificates are forgotten. Its licence slot becomes free. This cannot be undone. A host that still has a token may come back as a new sensor; to keep it out, revoke the sensor instead.",
    ),
];

impl Verb {
    fn act(self) -> Act {
        match self {
            Self::Renew => Act::RenewSensor,
            Self::Token => Act::ManageTokens,
            Self::Judge(_) => Act::JudgeSensors,
        }
    }

    fn is_grave(self) -> bool {
        matches!(self, Self::Judge(Verdict::Revoke | Verdict::Delete))
    }

    /// Why it makes no sense for a sensor that stands so.
    fn idle(self, sensor: &SensorView) -> Option<&'static str> {
        let status = sensor.status.as_str();
        match self {
            Self::Renew | Self::Judge(Verdict::Disable)
                if sensor.decommissioned || status == "disabled" || status == "revoked" =>
            {
                Some("Only for a sensor that is at work.")
            }
            Self::Judge(Verdict::Enable) if status != "disabled" => Some("Only for a disabled sensor."),
            Self::Token if status == "revoked" => Some("A revoked record never comes back."),
            Self::Judge(Verdict::Revoke) if status == "revoked" => Some("It is revoked already."),
            Self::Renew | Self::Token | Self::Judge(_) => None,
        }
    }
}

struct Button {
    word: &'static str,
    name: &'static str,
    grave: bool,
    off: Option<String>,
}

#[derive(Template)]
#[template(path = "sensor.html")]
struct Page {
    frame: Frame,
    sensor: SensorView,
    tags: Vec<String>,
    host: Vec<(String, String)>,
    seen: String,
    life: String,
    buttons: Vec<Button>,
    /// `None` where the role sees no audit trail.
    history: Option<Vec<AuditView>>,
}

pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Oops> {
    let (visitor, asked) = opened(&api, request, Act::ReadSensors).await?;
    let sensor = api.console.sensor(named(&id, "sensor")?).await?;
    let done = asked.text("done");
    let history = match visitor.barred(Act::ReadAudit) {
        Some(_) => None,
        None => {
            let filter =
                AuditFilter { sensor_id: Some(sensor.sensor_id.to_string()), ..AuditFilter::default() };
            Some(api.console.list_audit(filter, Piece { rows: HISTORY, after: None }).await?.rows)
        }
    };
    let now = api.console.now();
    let button = |(word, verb, name, _): (&'static str, Verb, &'static str, &'static str)| Button {
        word,
        name,
        grave: verb.is_grave(),
        off: visitor.barred(verb.act()).or_else(|| verb.idle(&sensor).map(str::to_owned)),
    };
    Ok(ok(&Page {
        frame: Frame::new(sensor.node_name.clone(), "/ui/sensors", &visitor)
            .noting(words::done(done.as_deref())),
        tags: texts(&sensor.tags),
        host: facts(&sensor.host),
        seen: words::ago(sensor.last_seen_at, now),
        life: sensor.certificate_not_after.map_or("none".to_owned(), |end| words::left(end, now)),
        buttons: VERBS.into_iter().map(button).collect(),
        history,
        sensor,
    }))
}

pub(super) fn texts(value: &serde_json::Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Host facts, as people call them, in the order in which they are stored.
fn facts(value: &serde_json::Value) -> Vec<(String, String)> {
    const NAMES: [(&str, &str); 7] = [
        ("architecture", "Architecture"),
        ("os", "Operating system"),
        ("kernel_version", "Kernel"),
        ("cpu_count", "CPUs"),
        ("memory_bytes", "Memory"),
        ("machine_id_sha256", "Machine id (SHA-256)"),
        ("k8s_deployment", "Kubernetes deployment"),
    ];
    let text = |name: &str, value: &serde_json::Value| match value.as_u64() {
        Some(size) if name == "memory_bytes" => words::bytes(size),
        Some(_) | None => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    };
    let called = |name: &str| {
        let known = NAMES.into_iter().find(|(known, _)| *known == name);
        known.map_or_else(|| words::plain(name), |(_, called)| called.to_owned())
    };
    let fields = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields.map(|(name, value)| (called(name), text(name, value))).collect()
}

#[derive(Template)]
#[template(path = "confirm.html")]
pub(super) struct Confirm {
    pub(super) frame: Frame,
    pub(super) question: String,
    pub(super) leads_to: String,
    pub(super) button: &'static str,
    pub(super) grave: bool,
    /// Where no leads.
    pub(super) back: String,
}

pub(super) async fn confirm(
    State(api): State<Api>,
    Path((id, word)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Oops> {
    let (verb, name, leads_to) = verb(&word)?;
    let (visitor, _) = opened(&api, request, verb.act()).await?;
    let sensor = api.console.sensor(named(&id, "sensor")?).await?;
    Ok(ok(&asking(&visitor, verb, name, leads_to, &sensor)))
}

fn asking(
    visitor: &Visitor,
    verb: Verb,
    name: &'static str,
    leads_to: &'static str,
    sensor: &SensorView,
) -> Confirm {
    Confirm {
        frame: Frame::new(name, "/ui/sensors", visitor),
        question: format!("{name}: {}?", sensor.node_name),
        leads_to: leads_to.to_owned(),
        button: name,
        grave: verb.is_grave(),
        back: format!("/ui/sensors/{}", sensor.sensor_id),
    }
}

pub(super) async fn act(
    State(api): State<Api>,
    Path((id, word)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Oops> {
    let (verb, name, leads_to) = verb(&word)?;
    let (visitor, _) = posted(&api, request, verb.act()).await?;
    let id: SensorId = named(&id, "sensor")?;
    let done: Result<(), Oops> = match verb {
        Verb::Renew => {
            let asked = api.console.ask_renewal(id, RENEW_WITHIN, visitor.origin.clone()).await;
            asked.map(|_| ()).map_err(Oops::from)
        }
        Verb::Judge(verdict) => {
            api.console.judge_sensor(id, verdict, visitor.origin.clone()).await.map_err(Oops::from)
        }
        Verb::Token => {
            let sensor = api.console.sensor(id).await?;
            let label = Some(format!("re-enroll {}", sensor.node_name).chars().take(128).collect());
            let draft = TokenDraft { sensor_id: Some(id), label, ..TokenDraft::default() };
            let made = api.console.create_token(draft, visitor.origin.clone()).await?;
            return made_page(&api, &visitor, &made, made.install_command.clone()).await;
        }
    };
    if let Err(oops) = done {
        let refusal = oops.correctable()?;
        let sensor = api.console.sensor(id).await?;
        let mut page = asking(&visitor, verb, name, leads_to, &sensor);
        page.frame = page.frame.refusing(Some(refusal.message.clone()));
        return Ok(page_of(status_of(&refusal), &page));
    }
    let to = match verb {
        Verb::Judge(Verdict::Delete) => "/ui/sensors?done=delete".to_owned(),
        Verb::Renew | Verb::Token | Verb::Judge(_) => format!("/ui/sensors/{id}?done={word}"),
    };
    Ok((StatusCode::SEE_OTHER, Redirect::to(&to)).into_response())
}

fn verb(word: &str) -> Result<(Verb, &'static str, &'static str), Refusal> {
    let found = VERBS.into_iter().find(|(known, ..)| *known == word);
    let none = || Refusal::new(ErrorCode::NotFound, "There is no such page; check the address.");
    found.map(|(_, verb, name, leads_to)| (verb, name, leads_to)).ok_or_else(none)
}
