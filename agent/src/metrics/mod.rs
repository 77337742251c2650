//! What a graph shows: numbers for Prometheus, in the OpenMetrics text format.
//!
//! Invariant: gauges are made from the same [`Report`] that `status` prints, at the moment of the scrape, so that the two
//! cannot differ; what is not known is absent, not zero. Labels come from fixed sets, so that nobody outside can make up
//! series. Counters sit on ports ([`CallObserver`]) and are not threaded through the code that they count.

use std::fmt;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use telovix_contract::paths;
use tokio::sync::watch;

use crate::console::{CallObserver, ConsoleError};
use crate::driver::Attempt;
use crate::hook::HookOutcome;
use crate::machine::{Actor, Exit, Report, StateName};

/// Every metric begins with it.
const PREFIX: &str = "telovix_agent";
/// What a scrape is told that it gets.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The labels of attempts to enroll and to renew.
const ATTEMPTS: [&str; 4] = ["success", "waiting", "refused", "failed"];

/// All metrics of this process.
pub struct Metrics {
    registry: Registry,
    requests: Family<CallLabels, Counter<u64, AtomicU64>>,
    enrollments: Family<OutcomeLabel, Counter<u64, AtomicU64>>,
    renewals: Family<OutcomeLabel, Counter<u64, AtomicU64>>,
    hook_runs: Family<OutcomeLabel, Counter<u64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: Word,
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Word,
}

/// A label's value that stands in this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

impl Metrics {
    /// Metrics of what is reported through `report`.
    pub fn new(report: watch::Receiver<Report>) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", build);
        let requests = Family::default();
        registry.register(
            "console_requests",
            "Calls to the Console, by call and by how they ended",
            requests.clone(),
        );
        let mut outcomes = |name: &str, help: &str, words: &[&'static str]| {
            let family = Family::<OutcomeLabel, Counter<u64, AtomicU64>>::default();
            // There from the first scrape on, so that the first increase can be seen as one.
            for word in words {
                drop(family.get_or_create(&OutcomeLabel { outcome: Word(word) }));
            }
            registry.register(name, help, family.clone());
            family
        };
        let enrollments = outcomes("enrollments", "Attempts to enroll, by how they ended", &ATTEMPTS);
        let renewals =
            outcomes("renewals", "Attempts to renew the certificate, by how they ended", &ATTEMPTS);
        let hooks = HookOutcome::ALL.map(HookOutcome::as_str);
        let hook_runs = outcomes("hook_runs", "Times that consumers were told of a new credential", &hooks);
        registry.register_collector(Box::new(FromReport(report)));
        Self { registry, requests, enrollments, renewals, hook_runs }
    }

    /// Counts an attempt to enroll.
    pub fn enrollment(&self, attempt: Attempt) {
        count(&self.enrollments, label(attempt));
    }

    /// Counts an attempt to renew.
    pub fn renewal(&self, attempt: Attempt) {
        count(&self.renewals, label(attempt));
    }

    /// Counts a run of the hook.
    pub fn hook_run(&self, outcome: HookOutcome) {
        count(&self.hook_runs, outcome.as_str());
    }

    /// The text of a scrape.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn label(attempt: Attempt) -> &'static str {
    match attempt {
        Attempt::Done => "success",
        Attempt::Waiting => "waiting",
        Attempt::Failed(code) if code.exit() == Exit::Refused => "refused",
        Attempt::Failed(_) => "failed",
    }
}

fn count(family: &Family<OutcomeLabel, Counter<u64, AtomicU64>>, outcome: &'static str) {
    family.get_or_create(&OutcomeLabel { outcome: Word(outcome) }).inc();
}

impl CallObserver for Metrics {
    fn called(&self, path: &'static str, outcome: Result<u16, &ConsoleError>) {
        let call = match path {
            paths::TRUST_BOOTSTRAP => "trust_bootstrap",
            paths::ENROLL => "enroll",
            paths::HEARTBEAT => "heartbeat",
            paths::RENEW => "renew",
            paths::DECOMMISSION => "decommission",
            paths::HEALTHZ => "healthz",
            paths::READYZ => "readyz",
            _ => "other",
        };
        let outcome = match outcome {
            Ok(202) => "waiting",
            Ok(_) => "success",
            Err(error) => error.code().as_str(),
        };
        self.requests.get_or_create(&CallLabels { call: Word(call), outcome: Word(outcome) }).inc();
    }
}

/// The gauges.
#[derive(Debug)]
struct FromReport(watch::Receiver<Report>);

impl Collector for FromReport {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let report = self.0.borrow();
        let switch = |on: bool| ConstGauge::new(i64::from(on));
        let accepted = switch(report.accepted && report.state.holds_identity());
        let help = "1 while the Console accepts the identity";
        accepted.encode(encoder.encode_descriptor("accepted", help, None, MetricType::Gauge)?)?;
        let help = "1 for the state that the agent is in, 0 for the others";
        let mut states = encoder.encode_descriptor("state", help, None, MetricType::Gauge)?;
        for state in StateName::ALL {
            switch(report.state == state).encode(states.encode_family(&[("state", state.as_str())])?)?;
        }
        let help = "1 for who has to act before anything changes, 0 for the others";
        let mut actors = encoder.encode_descriptor("waiting_for", help, None, MetricType::Gauge)?;
        for actor in Actor::ALL {
            let of = [("actor", actor.as_str())];
            switch(report.waiting_for == actor).encode(actors.encode_family(&of)?)?;
        }
        if let Some(error) = &report.last_error {
            let help = "1 while the last failure matters, by its code";
            let mut problem = encoder.encode_descriptor("problem", help, None, MetricType::Gauge)?;
            switch(true).encode(problem.encode_family(&[("code", error.code.as_str())])?)?;
        }
        for (name, help, value) in seconds(&report) {
            let Some(value) = value else { continue };
            let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}

/// The gauges that are seconds.
fn seconds(report: &Report) -> [(&'static str, &'static str, Option<i64>); 6] {
    let second = |at: Option<Timestamp>| at.map(Timestamp::as_second);
    let next_attempt = report.last_error.as_ref().and_then(|error| error.next_attempt);
    [
        ("certificate_not_before_timestamp", "Start of the certificate's life", second(report.not_before)),
        ("certificate_not_after_timestamp", "End of the certificate's life", second(report.not_after)),
        ("certificate_renew_at_timestamp", "When the certificate will be renewed", second(report.renew_at)),
        (
            "last_contact_timestamp",
            "When the Console last accepted the identity",
            second(report.last_contact),
        ),
        ("next_attempt_timestamp", "When the agent tries again after a failure", second(next_attempt)),
        ("clock_skew", "How far this host's clock is ahead of the Console's", report.clock_skew_seconds),
    ]
}

#[cfg(test)]
mod tests;
