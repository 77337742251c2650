//! Arguments of `rule`, `approval` and `settings`.

use clap::Subcommand;
use telovix_contract::{ClusterName, NodeRole};

use crate::domain::approval::{ApprovalId, FactsHash, RuleDraft, RuleId, Ruling};
use crate::domain::setting::Setting;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RuleCommand {
    /// Make a rule.
    Create(RuleCreate),
    /// List rules, oldest first.
    List,
    /// Delete a rule; sensors that it let in stay.
    Delete {
        /// The rule's id.
        id: RuleId,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RuleCreate {
    /// The cluster whose nodes to let in; tokens have to be bound to it.
    #[arg(long, value_name = "NAME")]
    cluster_id: ClusterName,
    /// A name for people.
    #[arg(long)]
    label: String,
    /// Roles to let in, separated by commas; all where absent.
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    allowed_roles: Vec<NodeRole>,
    /// Most distinct nodes to let in.
    #[arg(long, value_name = "N")]
    max_nodes: Option<i64>,
}

impl RuleCreate {
    pub(in crate::cli) fn draft(self) -> RuleDraft {
        RuleDraft {
            cluster_id: self.cluster_id,
            label: self.label,
            allowed_roles: self.allowed_roles,
            max_nodes: self.max_nodes,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ApprovalCommand {
    /// List enrollments, oldest first.
    List {
        /// Only those: waiting, approved, denied.
        #[arg(long, value_parser = ruling)]
        status: Option<Ruling>,
    },
    /// Let a waiting host in, the next time that it asks.
    Approve {
        /// The enrollment's id.
        id: ApprovalId,
        /// Only if the request still is what you saw: facts_sha256 as `list --output json` shows it.
        #[arg(long, value_name = "HASH")]
        facts: Option<FactsHash>,
    },
    /// Turn a waiting host away; its one-time token is spent.
    Deny {
        /// The enrollment's id.
        id: ApprovalId,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SettingsCommand {
    /// Show all settings.
    Show,
    /// Show how the time after a restore from a backup stands, and what may be forgotten.
    AfterRestore,
    /// Give a setting a value.
    Set {
        /// The setting's name, as `show` lists it.
        #[arg(value_parser = setting)]
        name: Setting,
        /// Its value.
        value: String,
    },
}

fn ruling(word: &str) -> Result<Ruling, String> {
    Ruling::from_word(word).ok_or_else(|| "it can be waiting, approved or denied".to_owned())
}

fn setting(word: &str) -> Result<Setting, String> {
    let names = || Setting::ALL.map(Setting::name).join(", ");
    Setting::from_name(word).ok_or_else(|| format!("it can be {}", names()))
}
