//! `serve`.

use std::io::Write as _;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::args::ServeArgs;
use super::error::CliError;
use super::place::Place;
use crate::app::{App, Listeners, Options};
use crate::fault::Faults;
use crate::fault::chaos::Chaos;
use crate::files;

pub(super) async fn run(place: Place, args: ServeArgs) -> Result<(), CliError> {
    let chaos = match &args.chaos {
        Some(file) => Chaos::parse(&files::read(file)?)?,
        None => Chaos::default(),
    };
    let limits = args.limits();
    let options = Options { faults: Faults::from_env()?, chaos, limits, ..place.options() };
    // Before anything is made: where the address cannot be had, the data directory stays as it is.
    let listener = bind(args.listen).await?;
    let sensors = match args.sensor_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let app = App::open(options).await?;
    app.publish_url(args.public_url, &listener).await?;
    let bound = listener.local_addr()?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let sensor_address = sensors.as_ref().map(TcpListener::local_addr).transpose()?;
    if let Err(error) = announce(bound, sensor_address, app.setup_code()) {
        // Whoever started us may read the address and go away; that is no reason not to serve.
        tracing::warn!(%error, "the addresses and the setup code could not be written to standard output");
    }
    tracing::info!(address = %bound, "listening");
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    Ok(app.serve_on(Listeners { main: listener, sensors }, shutdown).await?)
}

/// Writes the addresses, one a line, and how to go on with a Console that is not set up.
fn announce(main: SocketAddr, sensors: Option<SocketAddr>, setup_code: Option<&str>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{main}")?;
    if let Some(sensors) = sensors {
        writeln!(out, "{sensors}")?;
    }
    if let Some(code) = setup_code {
        writeln!(out, "not set up: open https://{main}/ui/setup and give the setup code {code}")?;
    }
    out.flush()
}

async fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|source| CliError::Listen { address, source })
}
