//! The fleet: how it stands, what is open, and its sensors by filter.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use telovix_contract::states::{HealthState, SensorStatus, TrustHealth, TrustState};

use super::page::{Frame, Oops, ok};
use super::sensor::texts;
use super::visitor::{Asked, opened};
use super::words::{self, Choice, choices};
use crate::api::Api;
use crate::domain::listing::SensorFilter;
use crate::domain::role::Act;
use crate::service::overview::Overview;
use crate::service::sensors::SensorView;

/// Filters that are folded away while none of them is set.
const MORE: [&str; 9] = [
    "cluster_id",
    "role",
    "tag",
    "flavor",
    "status",
    "health_state",
    "trust_state",
    "trust_health",
    "decommissioned",
];

#[derive(Template)]
#[template(path = "sensors.html")]
struct Page {
    frame: Frame,
    counts: Overview,
    /// Why the role makes no tokens; `None` where it does.
    no_deploy: Option<String>,
    sees_open: bool,
    filters: Filters,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Filters {
    node_name: String,
    cluster_id: String,
    role: String,
    tag: String,
    flavor: Vec<Choice>,
    status: Vec<Choice>,
    health: Vec<Choice>,
    trust: Vec<Choice>,
    certificate: Vec<Choice>,
    decommissioned: bool,
    /// Whether one beside the name is set.
    open: bool,
    /// Whether any is.
    any: bool,
}

struct Row {
    sensor: SensorView,
    tags: Vec<String>,
    seen: String,
    life: String,
}

impl Filters {
    fn of(asked: &Asked) -> Self {
        let word = |name: &str| asked.shown(name);
        let open = MORE.iter().any(|name| asked.text(name).is_some());
        Self {
            node_name: word("node_name"),
            cluster_id: word("cluster_id"),
            role: word("role"),
            tag: word("tag"),
            flavor: choices(["standard", "telecom"], &word("flavor")),
            status: choices(SensorStatus::ALL.iter().map(|it| it.as_str()), &word("status")),
            health: choices(HealthState::ALL.iter().map(|it| it.as_str()), &word("health_state")),
            trust: choices(TrustState::ALL.iter().map(|it| it.as_str()), &word("trust_state")),
            certificate: choices(TrustHealth::ALL.iter().map(|it| it.as_str()), &word("trust_health")),
            decommissioned: asked.text("decommissioned").is_some(),
            open,
            any: open || asked.text("node_name").is_some(),
        }
    }
}

pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, asked) = opened(&api, request, Act::ReadSensors).await?;
    let filter = SensorFilter::read(|name| asked.text(name))?;
    let page = api.console.list_sensors(filter, asked.piece()?).await?;
    let now = api.console.now();
    let row = |sensor: SensorView| Row {
        tags: texts(&sensor.tags),
        seen: words::ago(sensor.last_seen_at, now),
        life: sensor.certificate_not_after.map_or("none".to_owned(), |end| words::left(end, now)),
        sensor,
    };
    let done = asked.text("done");
    Ok(ok(&Page {
        frame: Frame::new("Sensors", "/ui/sensors", &visitor).noting(words::done(done.as_deref())),
        counts: api.console.overview().await?,
        no_deploy: visitor.barred(Act::ManageTokens),
        sees_open: visitor.barred(Act::ReadTokens).is_none(),
        filters: Filters::of(&asked),
        next: asked.next("/ui/sensors", page.next.as_ref()),
        rows: page.rows.into_iter().map(row).collect(),
    }))
}
