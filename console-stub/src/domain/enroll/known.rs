//! What a host asks for, and what the database knows about it.

use telovix_contract::{ClusterName, NodeName, SensorId};

use crate::domain::approval::{Facts, Mode, Reservation, Rule};
use crate::domain::licence::Slots;
use crate::domain::sensor::{MachineId, OFFLINE, Standing, WATCH};
use crate::domain::token::TokenRecord;

/// Heartbeats in a row that a living host does not miss (docs/contract.md section 4: 45 seconds at the default interval).
const MISSED: i64 = 3;

/// Seconds in which a living record goes to its own machine no more than twice.
const DAY: i64 = 24 * 3600;

/// What the host asks for, as far as rules hang on it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Unix seconds.
    pub now: i64,
    /// What it says of itself.
    pub facts: Facts,
    /// Whether a second record is welcome to a host that holds an identity.
    pub second_record: SecondRecord,
}

/// `new_sensor` of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondRecord {
    /// Absent or `true`.
    Welcome,
    /// `false`.
    Unwanted,
}

/// An enrollment by the same token with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// The record that it made or updated.
    pub sensor: SensorId,
    /// What has become of that record.
    pub standing: Standing,
    /// Unix seconds.
    pub used_at: i64,
}

/// Whether a cluster token has counted this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCount {
    /// It has: the node costs nothing more.
    Counted,
    /// It has not.
    New,
}

/// What the database knows about the request.
#[derive(Debug, Clone)]
pub struct Known {
    /// The token, if there is one with this hash.
    pub token: Option<TokenRecord>,
    /// An earlier enrollment by the same token with the same key.
    pub earlier: Option<Earlier>,
    /// The bound sensor of a re-enrollment token, or the record of the cluster node's names.
    pub own: Option<Own>,
    /// The record whose key the call proves by its client certificate.
    pub proved: Option<Own>,
    /// The record that the host says it holds, if there is one.
    pub held: Option<Own>,
    /// Whether the cluster token has counted this node.
    pub node: NodeCount,
    /// How the licence stands.
    pub slots: Slots,
    /// Whom the Console asks about new nodes.
    pub mode: Mode,
    /// The rules for the cluster that the token is bound to.
    pub rules: Vec<Rule>,
    /// Whether somebody waits with the token.
    pub reservation: Reservation,
}

/// A sensor's record, as far as rules hang on it. Times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its identity.
    pub id: SensorId,
    /// What an operator or the sensor has made of it.
    pub standing: Standing,
    /// Its node's name.
    pub node_name: NodeName,
    /// Its cluster.
    pub cluster: Option<ClusterName>,
    /// What the node is for.
    pub role: String,
    /// The machine that it enrolled from.
    pub machine: Option<MachineId>,
    /// When it was last heard of; enrolling counts.
    pub heard_at: i64,
    /// Seconds between the heartbeats that the Console asks for.
    pub heartbeat: i64,
    /// When its newest certificate ends.
    pub certificate_until: i64,
    /// When it last went to its own machine while it was alive, and the time before that.
    pub replaced_at: [Option<i64>; 2],
}

impl Own {
    /// Whether a host is behind it: its certificate is in force, it was heard of lately, and it has not retired.
    pub(crate) fn is_alive(&self, now: i64) -> bool {
        // A time of the far future was written while the Console's clock was ahead.
        let is_heard = (now - self.heard_at).abs() < OFFLINE.max(MISSED * self.heartbeat);
        self.standing == Standing::Active && now < self.certificate_until && is_heard
    }

    /// Whether it has missed so many heartbeats that somebody else without a machine id may have its name.
    pub(super) fn is_silent(&self, now: i64) -> bool {
        now - self.heard_at >= WATCH.max(MISSED * self.heartbeat)
    }

    /// Whether a host can speak as this sensor, or will again.
    pub(super) fn can_speak(&self) -> bool {
        match self.standing {
            Standing::Active | Standing::Disabled | Standing::Decommissioned => true,
            Standing::Revoked => false,
        }
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.standing == Standing::Revoked
    }

    pub(super) fn has_machine(&self, machine: Option<MachineId>) -> bool {
        self.machine.is_some() && self.machine == machine
    }

    /// Whether its own machine may have it once more while it is alive.
    pub(super) fn yields_to_its_machine(&self, now: i64) -> bool {
        self.replaced_at[1].is_none_or(|before| now - before >= DAY)
    }
}
