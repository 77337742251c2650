//! The doors of the daemon: the control socket, and probes and metrics over TCP where somebody wants them.
//!
//! Invariants:
//! - who can do something comes through the control socket, whose mode says who that is; TCP only tells;
//! - everything is bounded: connections, heads, bodies, time. Nothing that comes in can stop the agent;
//! - what is served is the one [`Report`], and what is asked for goes to the daemon as a [`ControlRequest`].

pub mod client;
mod listen;
mod request;
mod routes;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::listen::{ControlSocket, Door};
pub use self::request::ControlRequest;
use self::routes::Context;
use crate::clock::Clock;
use crate::config::Config;
use crate::machine::Report;
use crate::metrics::Metrics;

/// The open doors. Closed, and the control socket's file removed, when this is dropped.
#[derive(Debug)]
pub struct Servers {
    tasks: Vec<JoinHandle<()>>,
    problems: Vec<String>,
    health: Option<std::net::SocketAddr>,
    _control: Option<ControlSocket>,
}

impl Servers {
    /// What could not be opened, one sentence each. The agent works without.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Where probes are answered over TCP.
    pub fn health_address(&self) -> Option<std::net::SocketAddr> {
        self.health
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Opens the doors of a configuration, within a tokio runtime. What cannot be opened is logged and kept in
/// [`Servers::problems`]: an identity is worth more than a socket.
pub fn start(
    config: &Config,
    clock: &Clock,
    report: &watch::Receiver<Report>,
    metrics: &Arc<Metrics>,
    ask: &mpsc::Sender<ControlRequest>,
) -> Servers {
    let context = Arc::new(Context {
        clock: Arc::clone(clock),
        report: report.clone(),
        metrics: Arc::clone(metrics),
        ask: ask.clone(),
        state_dir: config.state_dir.value.clone(),
    });
    let mut servers = Servers { tasks: Vec::new(), problems: Vec::new(), health: None, _control: None };
    let settings = &config.server;
    match ControlSocket::bind(&settings.control_socket.value, settings.control_socket_mode.value) {
        Ok((socket, listener)) => {
            servers.tasks.push(tokio::spawn(listen::serve(Door::Control(listener), Arc::clone(&context))));
            servers._control = Some(socket);
        }
        Err(error) => servers.problems.push(format!("there is no control socket: {error}")),
    }
    if let Some(health) = &settings.health_listen {
        match listen::tcp(health.value) {
            Ok(listener) => {
                servers.health = listener.local_addr().ok();
                servers.tasks.push(tokio::spawn(listen::serve(Door::Health(listener), context)));
            }
            Err(error) => servers.problems.push(format!(
                "probes and metrics are not served on {} ({}): {error}",
                health.value, health.origin
            )),
        }
    }
    for problem in &servers.problems {
        tracing::error!("{problem}");
    }
    if let Some(address) = servers.health {
        tracing::info!(%address, "serving /livez, /readyz and /metrics");
    }
    servers
}

#[cfg(test)]
mod tests;
