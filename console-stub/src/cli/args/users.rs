//! Arguments of `user`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::domain::role::Role;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Make a user.
    Create {
        /// The address.
        #[arg(long)]
        email: String,
        /// viewer, analyst, sensor_owner, operator or admin.
        #[arg(long, value_parser = role)]
        role: Role,
        /// File with the password, at least 12 characters.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// List users, oldest first.
    List,
    /// Disable a user; the sessions end.
    Disable {
        /// The address.
        email: String,
    },
    /// Let a disabled user sign in again.
    Enable {
        /// The address.
        email: String,
    },
    /// Give a user another role; the sessions end.
    Role {
        /// The address.
        email: String,
        /// viewer, analyst, sensor_owner, operator or admin.
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Give a user another password; the sessions end, a lock is lifted.
    Password {
        /// The address.
        email: String,
        /// File with the password, at least 12 characters.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
}

fn role(word: &str) -> Result<Role, String> {
    Role::from_word(word).ok_or_else(|| format!("it can be {}", Role::ALL.map(Role::as_str).join(", ")))
}
