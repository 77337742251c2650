//! The result: JSON for programs, a few lines for people.

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::Work;
use super::cost::Cost;
use super::drive::Ended;
use super::tally::Counts;

/// Steps of the printed histogram, each so many times the one before.
const STEP: f64 = 1.5;

/// Everything that a result is made of.
pub(super) struct Findings<'a> {
    pub(super) work: &'a Work,
    pub(super) counts: Counts,
    pub(super) ended: Ended,
    /// What was made before the clock started, for the reader of the result.
    pub(super) prepared: Map<String, Value>,
    /// Cost at the beginning and at the end of the run.
    pub(super) cost: (Cost, Cost),
}

impl Findings<'_> {
    /// The share of measured calls that failed; 1 where nothing was measured.
    pub(super) fn error_share(&self) -> f64 {
        let all = self.counts.succeeded + self.counts.failed();
        if all == 0 { 1.0 } else { self.counts.failed() as f64 / all as f64 }
    }

    /// Successful calls a second.
    fn rate(&self) -> f64 {
        let seconds = self.counts.measured().as_secs_f64();
        if seconds > 0.0 { self.counts.succeeded as f64 / seconds } else { 0.0 }
    }

    pub(super) fn json(&self) -> Value {
        let (load, counts) = (self.work.load(), &self.counts);
        let own = self.cost.1.since(counts.cost_before.unwrap_or(self.cost.0));
        let seconds = counts.measured().as_secs_f64();
        json!({
            "tool": "fleet",
            "version": env!("CARGO_PKG_VERSION"),
            "work": self.work.word(),
            "console_url": self.work.target().console_url,
            "load": {
                "loop": if load.rate.is_some() { "open" } else { "closed" },
                "rate": load.rate,
                "concurrency": load.rate.is_none().then_some(load.concurrency),
                "connections": load.connections.word(),
                "warm_up_seconds": load.warm_up.as_secs_f64(),
                "threads": load.threads,
            },
            "ended_by": self.ended.word(),
            "measured": {
                "seconds": round(seconds),
                "within": self.within(),
                "outside": "look-up of the name, keys and requests that were prepared, parsing of the new certificate",
                "latency_from": if load.rate.is_some() { "planned beginning of the call" } else { "beginning of the call" },
            },
            "prepared": self.prepared,
            "calls": {
                "warm_up": counts.warm_up,
                "succeeded": counts.succeeded,
                "failed": counts.failed(),
                "error_share": round(self.error_share()),
                "succeeded_per_second": round(self.rate()),
            },
            "sensors": counts.sensors.len(),
            "errors": counts.errors,
            "latency_ms": quantiles(&counts.latency),
            "service_ms": quantiles(&counts.service),
            "histogram_ms": buckets(&counts.latency),
            "own_cost": {
                "measured": own,
                "processors_used": round(if seconds > 0.0 { own.cpu_seconds() / seconds } else { 0.0 }),
                "whole_run": self.cost.1,
            },
        })
    }

    pub(super) fn summary(&self) -> String {
        let ms = |quantile| self.counts.latency.value_at_quantile(quantile) as f64 / 1000.0;
        let errors: Vec<String> =
            self.counts.errors.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
        let errors = if errors.is_empty() { String::new() } else { format!("; {}", errors.join(", ")) };
        format!(
            "{}: {} in {:.1} s, {:.0}/s; p50 {:.2} ms, p99 {:.2} ms; {} failed{errors}",
            self.work.word(),
            self.counts.succeeded,
            self.counts.measured().as_secs_f64(),
            self.rate(),
            ms(0.5),
            ms(0.99),
            self.counts.failed(),
        )
    }

    fn within(&self) -> &'static str {
        match self.work.load().connections {
            super::args::Connections::New => "TCP connection, full TLS handshake, request, whole answer",
            super::args::Connections::Kept => {
                "request and whole answer; an agent's first call also its connection"
            }
        }
    }
}

/// A number for people: three decimals.
fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[derive(Serialize)]
struct Quantiles {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    let ms = |micros: u64| micros as f64 / 1000.0;
    let at = |quantile| ms(histogram.value_at_quantile(quantile));
    Quantiles {
        min: ms(histogram.min()),
        mean: round(histogram.mean() / 1000.0),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: ms(histogram.max()),
    }
}

/// Counts up to each bound and above the one before, empty ones left out.
fn buckets(histogram: &Histogram<u64>) -> Vec<Value> {
    let found = histogram.iter_log(100, STEP).filter(|bucket| bucket.count_since_last_iteration() > 0);
    found
        .map(|bucket| {
            let up_to = bucket.value_iterated_to() as f64 / 1000.0;
            json!({"up_to": up_to, "count": bucket.count_since_last_iteration()})
        })
        .collect()
}
