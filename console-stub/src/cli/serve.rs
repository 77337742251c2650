//! `serve`.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::args::ServeArgs;
use super::error::CliError;
use super::place::Place;
use crate::app::{App, Listeners, Options};
use crate::fault::Faults;
use crate::fault::chaos::Chaos;
use crate::files;
use crate::service::Console;
use crate::service::restore::{Begun, Trail};

/// Most tokens that the log names.
const MOST_NAMED: usize = 20;

pub(super) async fn run(place: Place, args: ServeArgs) -> Result<(), CliError> {
    let chaos = match &args.chaos {
        Some(file) => Chaos::parse(&files::read(file)?)?,
        None => Chaos::default(),
    };
    let limits = args.limits();
    // Read before anything is made, as well.
    let trail = args.audit_export.as_deref().map(trail).transpose()?;
    let options = Options { faults: Faults::from_env()?, chaos, limits, ..place.options() };
    // Before anything is made: where the address cannot be had, the data directory stays as it is.
    let listener = bind(args.listen).await?;
    let sensors = match args.sensor_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let app = App::open(options).await?;
    app.publish_url(args.public_url, &listener).await?;
    if args.after_restore {
        after_restore(app.console(), trail).await?;
    }
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

/// Begins the time after a restore, applies what the trail that went on says, and tells what may be forgotten.
async fn after_restore(console: &Console, trail: Option<Trail>) -> Result<(), CliError> {
    let (begun, applied) = console.begin_after_restore(trail).await?;
    match begun {
        Begun::Now => {
            tracing::warn!("the time after a restore begins: certificates from after the copy are accepted");
        }
        Begun::Before => tracing::info!("--after-restore: it is on already, and ends when it would have"),
        Begun::Ended => tracing::warn!(
            "--after-restore was used with this database before, and its time is over: remove the flag, or, after another \
             restore, use `settings set after_restore on`"
        ),
        Begun::NotSetUp => {
            tracing::warn!("--after-restore: the Console is not set up, so nothing was restored");
            return Ok(());
        }
    }
    if let Some(applied) = applied {
        tracing::info!(again = applied.again, by_hand = applied.by_hand, "the audit export was applied");
        if applied.by_hand > 0 {
            tracing::warn!(
                acts = applied.by_hand,
                "passwords, roles, settings, issuers or licences changed after the copy: do those again by hand"
            );
        }
    }
    let view = console.after_restore().await?;
    if !view.on {
        return Ok(());
    }
    let named = view.tokens.iter().take(MOST_NAMED).map(|token| match &token.label {
        Some(label) => format!("{} ({label})", token.id),
        None => token.id.to_string(),
    });
    tracing::warn!(
        known_until = view.known_until.map(tracing::field::display),
        until = view.until.map(tracing::field::display),
        pending_tokens = view.pending_tokens,
        tokens = named.collect::<Vec<_>>().join(", "),
        "revocations, denials and other acts after known_until may be forgotten, and these pending tokens may have been used"
    );
    Ok(())
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

/// Bad input changes nothing: the lines are named, and nothing is served.
fn trail(file: &Path) -> Result<Trail, CliError> {
    let refused = |cause| CliError::AuditExport { file: file.to_owned(), cause };
    let open = File::open(file).map_err(|error| refused(error.into()))?;
    Trail::read(BufReader::new(open)).map_err(refused)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|source| CliError::Listen { address, source })
}
