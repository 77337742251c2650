//! Reads an audit trail as `audit export` writes it: one record a line.
//!
//! Invariant: what is given is a whole piece of a trail, of which every record fits its hash and follows the one before. A file
//! that is anything else is refused as a whole, with the numbers of its lines.

use std::fmt;
use std::io::BufRead;

use telovix_contract::SensorId;

use crate::domain::chain::{Linked, link};
use crate::domain::words::words;
use crate::service::audit::{ExportedRecord, taken_out};

/// Most lines that are named.
const MOST_NAMED: usize = 10;
/// How an export begins and ends.
const BEGIN: &str = "{\"data\":[";
const END: &str = "]}";

words! {
    /// Acts that matter after a restore, by their words in the trail (`domain::audit::Action`).
    pub(super) Kind {
        SensorRevoked = "sensor_revoked",
        SensorDisabled = "sensor_disabled",
        SensorEnabled = "sensor_enabled",
        SensorDeleted = "sensor_deleted",
        SensorEnrolled = "sensor_enrolled",
        EnrollmentDenied = "sensor_enrollment_denied",
        TokenRevoked = "sensor_enrollment_token_revoked",
        TokensForgotten = "sensor_enrollment_tokens_forgotten",
        RuleDeleted = "auto_approve_rule_deleted",
        ApiKeyRevoked = "api_key_revoked",
        UserDisabled = "user_disabled",
        UserEnabled = "user_enabled",
        IssuerRetired = "ca_issuer_retired",
        UserRoleChanged = "user_role_changed",
        UserPasswordChanged = "user_password_changed",
        SettingChanged = "console_setting_changed",
        IssuerRotated = "ca_issuer_rotated",
        LicenceImported = "license_imported",
    }
}

/// A record of something that was done.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub seq: i64,
    pub hash: [u8; 32],
    /// Unix seconds.
    pub at: i64,
    pub kind: Kind,
    pub sensor_id: Option<SensorId>,
    pub actor: Option<String>,
    pub detail: String,
}

/// A piece of a trail.
#[derive(Debug, Clone)]
pub struct Trail {
    /// Place of the first record.
    pub(super) first: i64,
    /// The hash before it.
    pub(super) prev_hash: [u8; 32],
    /// The hashes of all records, from the first on.
    pub(super) hashes: Vec<[u8; 32]>,
    /// Unix seconds of the last record.
    pub(super) until: i64,
    /// What was done with success and matters after a restore, in order.
    pub(super) acts: Vec<Act>,
}

/// Why a file is not such a piece.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file.
    #[error("cannot read it: {0}")]
    Io(#[from] std::io::Error),
    /// No record in it.
    #[error("it holds no audit record")]
    Empty,
    /// It begins as an export and does not end as one.
    #[error("it ends in the middle: the closing line is missing")]
    CutOff,
    /// Lines that are no part of a trail.
    #[error("{0}")]
    Lines(BadLines),
}

/// Lines that are no part of a trail.
#[derive(Debug, Default)]
pub struct BadLines {
    named: Vec<(usize, &'static str)>,
    all: usize,
}

impl BadLines {
    fn add(&mut self, line: usize, why: &'static str) {
        self.all += 1;
        if self.named.len() < MOST_NAMED {
            self.named.push((line, why));
        }
    }
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (line, why)) in self.named.iter().enumerate() {
            write!(f, "{}line {line}: {why}", if at > 0 { "; " } else { "" })?;
        }
        let more = self.all - self.named.len();
        if more > 0 { write!(f, "; and {more} more lines") } else { Ok(()) }
    }
}

impl Trail {
    /// Reads it line by line.
    /// Errors: [`ExportError`], which names the lines that cannot be read.
    pub fn read(file: impl BufRead) -> Result<Self, ExportError> {
        let mut trail: Option<Self> = None;
        let mut bad = BadLines::default();
        let (mut last, mut is_open) = (None, false);
        for (number, line) in (1..).zip(file.lines()) {
            let line = match line {
                Ok(line) => line,
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    bad.add(number, "it is not text");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let text = line.trim().trim_end_matches(',');
            match text {
                "" => continue,
                BEGIN => {
                    is_open = true;
                    continue;
                }
                END => {
                    is_open = false;
                    continue;
                }
                _ => {}
            }
            let before = last.take();
            match linked(text) {
                Ok(read) => {
                    last = Some((read.record.seq, read.hash));
                    if before.is_some_and(|(seq, hash)| (seq + 1, hash) != (read.record.seq, read.prev_hash))
                    {
                        bad.add(number, "it does not follow the record before it");
                    }
                    trail.get_or_insert_with(|| Self::before(&read)).push(read);
                }
                Err(why) => bad.add(number, why),
            }
        }
        match trail {
            _ if bad.all > 0 => Err(ExportError::Lines(bad)),
            _ if is_open => Err(ExportError::CutOff),
            Some(trail) => Ok(trail),
            None => Err(ExportError::Empty),
        }
    }

    fn before(first: &Linked) -> Self {
        let (seq, prev_hash) = (first.record.seq, first.prev_hash);
        Self { first: seq, prev_hash, hashes: Vec::new(), until: 0, acts: Vec::new() }
    }

    fn push(&mut self, read: Linked) {
        let Linked { record, hash, .. } = read;
        self.hashes.push(hash);
        self.until = record.created_at;
        if let Some(kind) = Kind::from_word(&record.action_type).filter(|_| record.outcome == "success") {
            self.acts.push(Act {
                seq: record.seq,
                hash,
                at: record.created_at,
                kind,
                sensor_id: record.sensor_id.and_then(|id| id.parse().ok()),
                actor: record.actor_email,
                detail: record.detail,
            });
        }
    }
}

fn linked(text: &str) -> Result<Linked, &'static str> {
    let record: Option<ExportedRecord> = serde_json::from_str(text).ok();
    let read = record.and_then(taken_out).ok_or("it is not a record as `audit export` writes it, in JSON")?;
    if link(&read.prev_hash, &read.record) == read.hash { Ok(read) } else { Err("it does not fit its hash") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chain::{Record, START};
    use telovix_contract::token::hex;

    fn lines(records: i64) -> Vec<String> {
        let mut prev = START;
        (1..=records)
            .map(|seq| {
                let (action_type, outcome) = ("sensor_revoked".to_owned(), "success".to_owned());
                let (actor_email, sensor_id, client_ip, user_agent) = (None, None, None, None);
                let detail = format!("n={seq}");
                let record = Record {
                    seq, created_at: seq, action_type, outcome, actor_email, sensor_id, detail, client_ip, user_agent,
                };
                let hash = link(&prev, &record);
                let line = format!(
                    r#"{{"seq":{seq},"created_at":"1970-01-01T00:00:0{seq}Z","action_type":"sensor_revoked","outcome":"success","actor_email":null,"sensor_id":null,"detail":"n={seq}","client_ip":null,"user_agent":null,"prev_hash":"{}","hash":"{}"}}"#,
                    hex(&prev),
                    hex(&hash)
                );
                prev = hash;
                line
            })
            .collect()
    }

    fn said(text: &str) -> String {
        Trail::read(text.as_bytes())
            .map_or_else(|error| error.to_string(), |trail| format!("{} acts", trail.acts.len()))
    }

    #[test]
    fn acts_have_the_words_of_the_trail() {
        use crate::domain::audit::Action as A;
        let actions = [
            A::SensorRevoked,
            A::SensorDisabled,
            A::SensorEnabled,
            A::SensorDeleted,
            A::SensorEnrolled,
            A::EnrollmentDenied,
            A::TokenRevoked,
            A::TokensForgotten,
            A::RuleDeleted,
            A::ApiKeyRevoked,
            A::UserDisabled,
            A::UserEnabled,
            A::IssuerRetired,
            A::UserRoleChanged,
            A::UserPasswordChanged,
            A::SettingChanged,
            A::IssuerRotated,
            A::LicenceImported,
        ];
        assert_eq!(actions.map(A::as_str), Kind::ALL.map(Kind::as_str));
    }

    #[test]
    fn section_4_an_export_is_read_as_a_whole_or_not_at_all() {
        let lines = lines(4);
        let whole = format!("{BEGIN}\n{}\n{END}\n", lines.join(",\n"));
        assert_eq!(
            [said(&whole), said(&lines.join("\n")), said(&lines[2..].join("\n"))],
            ["4 acts", "4 acts", "2 acts"]
        );
        assert_eq!(said("{\"data\":[\n\n]}\n"), "it holds no audit record");
        assert_eq!(
            said(&format!("{BEGIN}\n{}", lines.join(",\n"))),
            "it ends in the middle: the closing line is missing"
        );
        let changed = whole.replace("n=2", "n=9");
        assert_eq!(said(&changed), "line 3: it does not fit its hash");
        let missing = [&lines[0], &lines[2]].map(String::as_str).join("\n");
        assert_eq!(said(&missing), "line 2: it does not follow the record before it");
        let cut = format!("{}\n{}", lines[0], &lines[1][..40]);
        assert!(said(&cut).starts_with("line 2: it is not a record"), "{}", said(&cut));
        let csv = said(&"seq,created_at\r\n1,x\r\n".repeat(10));
        assert!(csv.contains("line 10: ") && csv.ends_with("; and 10 more lines"), "{csv}");
    }
}
