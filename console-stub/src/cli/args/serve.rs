//! Arguments of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{Limits, Rates};
use crate::domain::public_url::PublicUrl;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ServeArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:15483", value_name = "ADDRESS")]
    pub(in crate::cli) listen: SocketAddr,
    /// Address of a second listener, for sensors alone: it requires a client certificate. Printed as the second line.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) sensor_listen: Option<SocketAddr>,
    /// Address that hosts reach the Console under, if it differs from the one derived.
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) public_url: Option<PublicUrl>,
    /// File with rules of what is to go wrong on purpose, JSON; for testing agents.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) chaos: Option<PathBuf>,
    /// After a restore from a backup: accept certificates from after the copy for one certificate life, and let sensors that
    /// the copy does not have wait for approval. Once for a database; later, use `settings set after_restore on`.
    #[arg(long)]
    pub(in crate::cli) after_restore: bool,
    /// File with the audit trail that went on after the copy, as `audit export` writes it: revocations, denials and token uses in
    /// it are applied again before anything is served.
    #[arg(long, value_name = "FILE", requires = "after_restore")]
    pub(in crate::cli) audit_export: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// How much one client may ask for.
#[derive(Debug, clap::Args)]
struct LimitArgs {
    /// Connections open at once, all clients together.
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections)]
    connections: usize,
    /// Connections open at once from one address.
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections_per_source)]
    connections_per_source: usize,
    /// Attempts to enroll a minute from one address, of whatever kind; 0 for no limit. A fleet may share an address.
    #[arg(long, value_name = "N", default_value_t = Rates::default().enroll)]
    enroll_rate: u32,
    /// Attempts to enroll a minute from one address with tokens that nobody made; 0 for no limit.
    #[arg(long, value_name = "N", default_value_t = Rates::default().guess)]
    guess_rate: u32,
    /// Attempts to enroll a minute from one address with one token that is unknown or spent; 0 for no limit.
    #[arg(long, value_name = "N", default_value_t = Rates::default().token)]
    token_rate: u32,
    /// Attempts to sign in a minute from one address; 0 for no limit.
    #[arg(long, value_name = "N", default_value_t = Rates::default().login)]
    login_rate: u32,
}

impl ServeArgs {
    pub(in crate::cli) fn limits(&self) -> Limits {
        let given = &self.limits;
        let rates = Rates {
            enroll: given.enroll_rate,
            guess: given.guess_rate,
            token: given.token_rate,
            login: given.login_rate,
            ..Rates::default()
        };
        Limits {
            connections: given.connections.max(1),
            connections_per_source: given.connections_per_source.max(1),
            rates,
            ..Limits::default()
        }
    }
}
