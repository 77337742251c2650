//! What the daemon serves: the control socket, and probes and metrics over TCP where somebody wants them.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::item::Item;
use crate::config::layers::{Layers, Raw};
use crate::config::setting::Setting;
use crate::config::values::InvalidValue;

/// The control socket where nobody names another (DESIGN.md section 3).
pub(super) const DEFAULT_CONTROL_SOCKET: &str = "/run/telovix-agent/control.sock";

/// What the daemon serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// The control socket.
    pub control_socket: Setting<PathBuf>,
    /// Who may speak to it.
    pub control_socket_mode: Setting<SocketMode>,
    /// Where `/livez`, `/readyz` and `/metrics` are served over TCP; nowhere by default.
    pub health_listen: Option<Setting<SocketAddr>>,
}

/// Who may speak to a socket of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SocketMode {
    /// The agent's user, and root: 0600.
    #[default]
    Owner,
    /// Its group as well: 0660.
    Group,
}

impl SocketMode {
    /// The bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
        }
    }
}

impl std::str::FromStr for SocketMode {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.trim_start_matches("0o").trim_start_matches('0') {
            "600" => Ok(Self::Owner),
            "660" => Ok(Self::Group),
            _ => Err(InvalidValue(format!(
                "{text:?} is not a mode of the control socket, by which the identity can be renewed; it can be 0600 \
                 (the agent's user) or 0660 (its group as well)"
            ))),
        }
    }
}

impl ServerSettings {
    pub(super) fn read(layers: &mut Layers) -> Self {
        let default = PathBuf::from(DEFAULT_CONTROL_SOCKET);
        Self {
            control_socket: layers.read_or(Item::ControlSocket, default, Raw::path),
            control_socket_mode: layers.read_or(
                Item::ControlSocketMode,
                SocketMode::default(),
                super::parsed,
            ),
            health_listen: layers.read(Item::HealthListen, address),
        }
    }
}

fn address(raw: &Raw) -> Result<SocketAddr, String> {
    let text = raw.text()?;
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not an address to listen on; write it as 127.0.0.1:9464, [::1]:9464 or 0.0.0.0:9464 (every \
             address of this host)"
        )
    })
}
