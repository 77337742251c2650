//! The fleet.

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use telovix_contract::session::RenewalWindow;
use telovix_contract::states::{HealthState, SensorStatus, TrustHealth, TrustState};
use telovix_contract::{ErrorCode, Flavor, SensorId};
use utoipa::ToSchema;

use super::audit;
use super::call::{Piecewise, authorize};
use crate::api::body::parse;
use crate::api::doc::{Asked, Book, Op, text, word};
use crate::api::request::Named;
use crate::api::{Api, Failure};
use crate::domain::Refusal;
use crate::domain::listing::SensorFilter;
use crate::domain::role::Act;
use crate::service::sensors::{DELETED_MAY_RETURN, SensorView, Verdict};

/// Seconds that a sensor has to renew its certificate where nobody says.
const WITHIN: i64 = 3600;

pub(super) fn routes(sensors: &str, audit: &str) -> Book {
    let list = Op::get("listSensors", "The fleet, oldest first.")
        .operators(Act::ReadSensors)
        .query(filters())
        .gives_piece::<SensorView>("A piece of the list.");
    let renew = Op::post(
        "askRenewal",
        "Asks a sensor to renew its certificate; it hears of it with its next heartbeat.",
    )
    .operators(Act::RenewSensor)
    .may_take::<Ask>()
    .gives::<RenewalAsked>(200, "When it is to renew.")
    .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict]);
    let mut book = Book::default().add(sensors, list, self::list).add(
        &format!("{sensors}/{{id}}/renew"),
        renew,
        self::renew,
    );
    // API keys cannot do these.
    if !sensors.starts_with("/api/v2/") {
        let judge = |op: Op| {
            op.operators(Act::JudgeSensors)
                .gives::<Judged>(200, "Done.")
                .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict])
        };
        let one = format!("{sensors}/{{id}}");
        let forget = judge(Op::delete("deleteSensor", "Forgets a sensor; its licence slot is free."));
        let disable = judge(Op::post("disableSensor", "Switches a sensor off for a time."));
        let enable = judge(Op::post("enableSensor", "Switches a sensor on again."));
        let revoke =
            judge(Op::post("revokeSensor", "Switches a sensor off for good; its licence slot is free."));
        book = book
            .add(&one, forget, self::forget)
            .add(&format!("{one}/disable"), disable, self::disable)
            .add(&format!("{one}/enable"), enable, self::enable)
            .add(&format!("{one}/revoke"), revoke, self::revoke);
    }
    book.merge(audit::routes(audit))
}

fn filters() -> [Asked; 10] {
    [
        word("decommissioned", "`true`: the retired too.", ["true", "false"]),
        word("status", "Only those of this status.", SensorStatus::ALL.iter().map(|word| word.as_str())),
        word(
            "health_state",
            "Only those heard of so lately.",
            HealthState::ALL.iter().map(|word| word.as_str()),
        ),
        word("trust_state", "Only those trusted so.", TrustState::ALL.iter().map(|word| word.as_str())),
        word(
            "trust_health",
            "Only those whose certificate stands so.",
            TrustHealth::ALL.iter().map(|word| word.as_str()),
        ),
        text("cluster_id", "Only those of this cluster."),
        text("role", "Only those of this role."),
        word(
            "flavor",
            "Only those of this edition.",
            [Flavor::Standard, Flavor::Telecom].map(Flavor::as_str),
        ),
        text("tag", "Only those with this label."),
        text("node_name", "Only those whose node name begins so."),
    ]
}

async fn list(State(api): State<Api>, request: Request) -> Result<Json<Piecewise<SensorView>>, Failure> {
    let call = authorize(&api, request, Act::ReadSensors).await?;
    let filter = SensorFilter::read(|name| call.text(name))?;
    Ok(Json(api.console.list_sensors(filter, call.piece()?).await?.into()))
}

/// Answer to a verdict.
#[derive(Debug, Serialize, ToSchema)]
struct Judged {
    /// Its identity.
    sensor_id: SensorId,
    /// `disabled`, `enabled`, `revoked` or `deleted`.
    status: &'static str,
    /// What to know about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<&'static str>,
}

type Answer<T> = Result<Json<T>, Failure>;

async fn disable(State(api): State<Api>, Named(id): Named, request: Request) -> Answer<Judged> {
    judge(&api, &id, request, Verdict::Disable, "disabled").await
}

async fn enable(State(api): State<Api>, Named(id): Named, request: Request) -> Answer<Judged> {
    judge(&api, &id, request, Verdict::Enable, "enabled").await
}

async fn revoke(State(api): State<Api>, Named(id): Named, request: Request) -> Answer<Judged> {
    judge(&api, &id, request, Verdict::Revoke, "revoked").await
}

async fn forget(State(api): State<Api>, Named(id): Named, request: Request) -> Answer<Judged> {
    judge(&api, &id, request, Verdict::Delete, "deleted").await
}

async fn judge(
    api: &Api,
    id: &str,
    request: Request,
    verdict: Verdict,
    status: &'static str,
) -> Answer<Judged> {
    let call = authorize(api, request, Act::JudgeSensors).await?;
    let sensor_id = sensor(id)?;
    api.console.judge_sensor(sensor_id, verdict, call.origin).await?;
    let warnings = Vec::from_iter((verdict == Verdict::Delete).then_some(DELETED_MAY_RETURN));
    Ok(Json(Judged { sensor_id, status, warnings }))
}

/// How long a sensor has to renew its certificate.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct Ask {
    /// Seconds from now; an hour where absent.
    #[schema(minimum = 1, maximum = 604_800)]
    within_seconds: Option<i64>,
}

/// Answer to a request for a renewal.
#[derive(Debug, Serialize, ToSchema)]
struct RenewalAsked {
    /// Its identity.
    sensor_id: SensorId,
    /// When it is to renew.
    renew_between: RenewalWindow,
}

async fn renew(State(api): State<Api>, Named(id): Named, request: Request) -> Answer<RenewalAsked> {
    let call = authorize(&api, request, Act::RenewSensor).await?;
    let ask: Ask = if call.body.is_empty() { Ask::default() } else { parse(&call.body)? };
    let sensor_id = sensor(&id)?;
    let renew_between =
        api.console.ask_renewal(sensor_id, ask.within_seconds.unwrap_or(WITHIN), call.origin).await?;
    Ok(Json(RenewalAsked { sensor_id, renew_between }))
}

fn sensor(id: &str) -> Result<SensorId, Refusal> {
    id.parse().map_err(|_| Refusal::new(ErrorCode::NotFound, "There is no such sensor."))
}
