//! Arguments of `token list`, `sensor` and `audit`: lists, their filters and pieces.

use std::fmt::Display;

use clap::Subcommand;
use telovix_contract::states::{HealthState, SensorStatus, TokenStatus, TokenType, TrustHealth, TrustState};
use telovix_contract::token::unhex;
use telovix_contract::{ClusterName, SensorId};

use super::seconds::seconds;
use crate::domain::listing::{SensorFilter, TokenFilter};
use crate::service::audit_export::ExportFormat;

/// Which piece of a list.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PieceArgs {
    /// Most rows to list; all where absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) limit: Option<u32>,
    /// Where to go on: next_cursor of the piece before.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TokenList {
    /// Only those: pending, used, expired, revoked.
    #[arg(long, value_parser = |word: &str| one_of(word, TokenStatus::ALL))]
    status: Option<TokenStatus>,
    /// Only those: once, cluster.
    #[arg(long = "type", value_parser = |word: &str| one_of(word, TokenType::ALL))]
    kind: Option<TokenType>,
    /// Only those of this cluster.
    #[arg(long, value_name = "NAME")]
    cluster_id: Option<ClusterName>,
    #[command(flatten)]
    pub(in crate::cli) piece: PieceArgs,
}

impl TokenList {
    pub(in crate::cli) fn filter(&self) -> TokenFilter {
        TokenFilter { status: self.status, kind: self.kind, cluster_id: self.cluster_id.clone() }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SensorCommand {
    /// List sensors, oldest first.
    List(SensorList),
    /// Ask a sensor to renew its certificate, with its next heartbeat.
    Renew {
        /// The sensor's id.
        id: SensorId,
        /// Time that it may take: 90s, 15m, 1h.
        #[arg(long, default_value = "1h", value_parser = seconds)]
        within: i64,
    },
    /// Switch a sensor off for a time.
    Disable {
        /// The sensor's id.
        id: SensorId,
    },
    /// Switch a disabled sensor on again.
    Enable {
        /// The sensor's id.
        id: SensorId,
    },
    /// Switch a sensor off for good.
    Revoke {
        /// The sensor's id.
        id: SensorId,
    },
    /// Forget a sensor. A host that still has a token may come back as a new one; revoke keeps it out.
    Delete {
        /// The sensor's id.
        id: SensorId,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SensorList {
    /// The decommissioned too.
    #[arg(long)]
    all: bool,
    /// Only those: healthy, stale, disabled, revoked.
    #[arg(long, value_parser = |word: &str| one_of(word, SensorStatus::ALL))]
    status: Option<SensorStatus>,
    /// Only those: healthy, watch, degraded, critical, offline.
    #[arg(long, value_parser = |word: &str| one_of(word, HealthState::ALL))]
    health_state: Option<HealthState>,
    /// Only those: trusted, rotated, trust_revoked.
    #[arg(long, value_parser = |word: &str| one_of(word, TrustState::ALL))]
    trust_state: Option<TrustState>,
    /// Only those: healthy, renewal_recommended, renewal_due, degraded, revoked.
    #[arg(long, value_parser = |word: &str| one_of(word, TrustHealth::ALL))]
    trust_health: Option<TrustHealth>,
    /// Only those of this cluster.
    #[arg(long, value_name = "NAME")]
    cluster_id: Option<String>,
    /// Only those of this role.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Only those of this edition.
    #[arg(long, value_name = "FLAVOR")]
    flavor: Option<String>,
    /// Only those with this label.
    #[arg(long)]
    tag: Option<String>,
    /// Only those whose node name begins so.
    #[arg(long, value_name = "PREFIX")]
    node_name: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) piece: PieceArgs,
}

impl SensorList {
    pub(in crate::cli) fn filter(&self) -> SensorFilter {
        SensorFilter {
            decommissioned: self.all,
            status: self.status,
            health_state: self.health_state,
            trust_state: self.trust_state,
            trust_health: self.trust_health,
            cluster_id: self.cluster_id.clone(),
            role: self.role.clone(),
            flavor: self.flavor.clone(),
            tag: self.tag.clone(),
            node_name: self.node_name.clone(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// List records, newest first.
    List {
        /// Most records to list.
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Where to go on: next_cursor of the piece before.
        #[arg(long, value_name = "TEXT")]
        cursor: Option<String>,
        /// Only this action.
        #[arg(long)]
        action: Option<String>,
        /// Only this outcome.
        #[arg(long, value_parser = ["success", "failure"])]
        outcome: Option<String>,
        /// Only what this operator did.
        #[arg(long, value_name = "EMAIL")]
        actor: Option<String>,
        /// Only what happened to this sensor.
        #[arg(long, value_name = "ID")]
        sensor_id: Option<SensorId>,
    },
    /// Follow the trail link by link; exit status 1 when a record was changed, removed, reordered or added.
    Verify {
        /// A `head` that an earlier run printed and you kept elsewhere: it has to be in the trail still.
        #[arg(long = "noted-head", value_name = "HASH", value_parser = head)]
        noted: Option<[u8; 32]>,
    },
    /// Write the whole trail to standard output, oldest first, with its hashes.
    Export {
        /// In which form: json or csv.
        #[arg(long, default_value = "json", value_parser = format)]
        format: ExportFormat,
    },
}

fn head(text: &str) -> Result<[u8; 32], String> {
    unhex(text).map_err(|_| "it is the 64 hexadecimal digits that `audit verify` prints as head".to_owned())
}

fn format(word: &str) -> Result<ExportFormat, String> {
    ExportFormat::from_word(word).ok_or_else(|| "it can be json or csv".to_owned())
}

/// Reads a word of the contract, or says which there are.
fn one_of<T: Copy + Display>(word: &str, all: &[T]) -> Result<T, String> {
    let words: Vec<String> = all.iter().map(T::to_string).collect();
    let at = words.iter().position(|known| known == word);
    at.map(|at| all[at]).ok_or_else(|| format!("it can be {}", words.join(", ")))
}
