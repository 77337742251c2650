//! The exposition, read back as a scraper would.

use std::collections::BTreeMap;

use telovix_contract::problem::ErrorCode;

use super::*;
use crate::machine::{Code, LastError};

/// Families by name, and samples by name with labels.
#[derive(Debug, Default)]
struct Exposition {
    families: BTreeMap<String, Family>,
    samples: BTreeMap<String, f64>,
}

#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    unit: Option<String>,
}

/// Reads OpenMetrics text, strictly: description before samples, one family after the other, units as suffixes, an end.
fn parse(text: &str) -> Exposition {
    let mut read = Exposition::default();
    let mut current = String::new();
    let body = text.strip_suffix("# EOF\n").expect("no end");
    for line in body.lines() {
        if let Some(described) = line.strip_prefix("# ") {
            let mut words = described.splitn(3, ' ');
            let (what, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let family = read.families.entry(name.to_owned()).or_default();
            match what {
                "HELP" => {
                    assert!(family.help.is_empty(), "{name} is described twice");
                    family.help = rest.to_owned();
                }
                "TYPE" => family.kind = rest.to_owned(),
                "UNIT" => family.unit = Some(rest.to_owned()),
                other => panic!("{other}"),
            }
            name.clone_into(&mut current);
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let name = series.split('{').next().unwrap();
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line} under {current}"));
            let kind = &read.families[&current].kind;
            assert_eq!(suffix, suffix_of(kind), "{line}");
            assert!(
                read.samples.insert(series.to_owned(), value.parse().expect(line)).is_none(),
                "{line} twice"
            );
        }
    }
    for (name, family) in &read.families {
        assert!(name.starts_with("telovix_agent_") && !family.help.is_empty(), "{name}");
        assert!(!name.ends_with("_total"), "{name}: the suffix belongs to the sample");
        let unit = name.ends_with("_seconds").then(|| "seconds".to_owned());
        assert_eq!(family.unit, unit, "{name}");
    }
    read
}

/// What a family's kind appends to its name in a sample.
fn suffix_of(kind: &str) -> &'static str {
    match kind {
        "counter" => "_total",
        "info" => "_info",
        "gauge" => "",
        other => panic!("{other}"),
    }
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

/// Everything in it is known.
fn full_report() -> Report {
    Report {
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: at("2026-01-31T00:00:00Z"),
        renew_at: at("2026-01-21T00:00:00Z"),
        last_contact: at("2026-01-02T00:00:00Z"),
        clock_skew_seconds: Some(-42),
        accepted: true,
        last_error: Some(LastError {
            code: Code::ConsoleUnreachable,
            message: "x".into(),
            action: String::new(),
            next_attempt: at("2026-01-02T00:01:00Z"),
        }),
        ..Report::new(StateName::Active, "", Actor::Agent)
    }
}

#[test]
fn the_gauges_say_what_the_report_says() {
    let (sender, receiver) = watch::channel(full_report());
    let metrics = Metrics::new(receiver);
    let read = parse(&metrics.render());
    for (name, value) in [
        ("telovix_agent_certificate_not_before_timestamp_seconds", 1_767_225_600.0),
        ("telovix_agent_certificate_not_after_timestamp_seconds", 1_769_817_600.0),
        ("telovix_agent_certificate_renew_at_timestamp_seconds", 1_768_953_600.0),
        ("telovix_agent_last_contact_timestamp_seconds", 1_767_312_000.0),
        ("telovix_agent_next_attempt_timestamp_seconds", 1_767_312_060.0),
        ("telovix_agent_clock_skew_seconds", -42.0),
        ("telovix_agent_accepted", 1.0),
        ("telovix_agent_state{state=\"active\"}", 1.0),
        ("telovix_agent_state{state=\"lost\"}", 0.0),
        ("telovix_agent_waiting_for{actor=\"agent\"}", 1.0),
        ("telovix_agent_waiting_for{actor=\"host_operator\"}", 0.0),
        ("telovix_agent_problem{code=\"console_unreachable\"}", 1.0),
    ] {
        assert_eq!(read.samples.get(name), Some(&value), "{name}\n{}", metrics.render());
        assert_eq!(read.families[name.split('{').next().unwrap()].kind, "gauge");
    }
    let build = format!("telovix_agent_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(read.samples.get(&build), Some(&1.0));

    sender.send_replace(Report::new(StateName::Lost, "", Actor::HostOperator));
    let read = parse(&metrics.render());
    let on: Vec<_> = read.samples.iter().filter(|(name, v)| name.contains("_state{") && **v == 1.0).collect();
    assert_eq!(on.len(), 1);
    assert!(on[0].0.contains("lost"));
    assert!(!read.families.keys().any(|name| name.contains("certificate")), "unknown is absent, not zero");
    assert_eq!(read.samples.get("telovix_agent_accepted"), Some(&0.0));
    assert_eq!(read.samples.get("telovix_agent_waiting_for{actor=\"host_operator\"}"), Some(&1.0));
    assert!(!read.families.keys().any(|name| name.contains("problem")), "there is none");
}

#[test]
fn counters_count_by_words_that_nobody_outside_makes_up() {
    let (_sender, receiver) = watch::channel(Report::new(StateName::Starting, "", Actor::Agent));
    let metrics = Metrics::new(receiver);
    let sample = |name: &str| parse(&metrics.render()).samples.get(name).copied();
    assert_eq!(sample("telovix_agent_renewals_total{outcome=\"success\"}"), Some(0.0));
    metrics.renewal(Attempt::Done);
    metrics.enrollment(Attempt::Failed(Code::CertificateRefused));
    metrics.hook_run(HookOutcome::TimedOut);
    metrics.hook_run(HookOutcome::TimedOut);
    assert_eq!(sample("telovix_agent_renewals_total{outcome=\"success\"}"), Some(1.0));
    assert_eq!(sample("telovix_agent_enrollments_total{outcome=\"refused\"}"), Some(1.0));
    assert_eq!(sample("telovix_agent_hook_runs_total{outcome=\"timed_out\"}"), Some(2.0));

    metrics.called(paths::ENROLL, Ok(202));
    metrics.called(paths::HEARTBEAT, Ok(200));
    let refused = |code: &str| ConsoleError::Refused {
        status: 403,
        code: code.to_owned(),
        known: ErrorCode::from_word(code),
        message: String::new(),
        retry_after: None,
    };
    metrics.called(paths::HEARTBEAT, Err(&refused("sensor_revoked")));
    metrics.called("/x", Err(&refused("made-up\"}\n# EOF")));
    for (labels, count) in [
        ("call=\"enroll\",outcome=\"waiting\"", 1.0),
        ("call=\"heartbeat\",outcome=\"success\"", 1.0),
        ("call=\"heartbeat\",outcome=\"sensor_revoked\"", 1.0),
        ("call=\"other\",outcome=\"refused\"", 1.0),
    ] {
        assert_eq!(
            sample(&format!("telovix_agent_console_requests_total{{{labels}}}")),
            Some(count),
            "{labels}"
        );
    }
}

#[test]
fn every_metric_and_every_code_has_its_row_in_the_documentation() {
    let page = include_str!("../../../docs/configuration.md");
    let (_keep, watched) = watch::channel(full_report());
    let metrics = Metrics::new(watched);
    metrics.called(paths::HEARTBEAT, Ok(200));
    let read = parse(&metrics.render());
    let names: Vec<String> =
        read.families.iter().map(|(name, family)| format!("{name}{}", suffix_of(&family.kind))).collect();
    assert_eq!(names.len(), 15, "{names:?}");
    for name in names {
        let rows = [format!("| `{name}` |"), format!("| `{name}{{")];
        assert!(
            page.lines().any(|line| rows.iter().any(|row| line.starts_with(row))),
            "docs/configuration.md: no {name}"
        );
    }
    for code in Code::OWN {
        let row = format!("| `{code}` | ");
        assert!(page.lines().any(|line| line.starts_with(&row)), "docs/configuration.md: no {code}");
    }
}
