//! Arguments of `ca`.

use clap::Subcommand;

use crate::service::rotation::Drain;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CaCommand {
    /// List the issuers, and how many sensors have a certificate from each.
    Status,
    /// Make a new issuer that signs from now on, and have the fleet renew to it; the old one stays trusted.
    Rotate(RotateArgs),
    /// Take an issuer that nobody needs any more out of force.
    Retire {
        /// The issuer.
        issuer_id: String,
        /// Even though sensors still need it; they have to enroll again.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RotateArgs {
    /// How long the fleet takes to renew, spread evenly: 30m, 24h, 7d.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = super::seconds::seconds)]
    within: i64,
    /// How many sensors renew a minute, instead.
    #[arg(long, value_name = "N", conflicts_with = "within")]
    per_minute: Option<u32>,
}

impl RotateArgs {
    pub(in crate::cli) fn drain(&self) -> Drain {
        self.per_minute.map_or(Drain::Within(self.within), Drain::PerMinute)
    }
}
