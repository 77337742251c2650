//! `setup` and `license`.

use std::path::Path;

use rcgen::KeyPair;
use zeroize::Zeroizing;

use super::args::{LicenseCommand, SetupArgs};
use super::error::CliError;
use super::output::Printer;
use super::place::{Place, open, text};
use crate::app::App;
use crate::clock::Clock;
use crate::domain::audit::Origin;
use crate::domain::licence::LicencePayload;
use crate::files;
use crate::service::licence::issue;
use crate::service::setup::{Grant, SetUp, Setup};

const TRIAL_NODES: u32 = 100;
const DAY: i64 = 24 * 3600;

pub(super) async fn run(place: Place, args: SetupArgs, print: &Printer) -> Result<(), CliError> {
    let admin_password = password(&args.admin_password_file)?;
    let licence = match &args.license {
        Some(file) => Grant::Bundle(text(file)?),
        None => Grant::Trial(args.trial_nodes.unwrap_or(TRIAL_NODES)),
    };
    let setup = Setup {
        admin_email: args.admin_email,
        admin_password,
        server_names: args.server_names,
        licence,
        licence_trust: args.license_trust.as_deref().map(text).transpose()?,
        public_url: args.public_url,
        vertical: args.vertical,
    };
    let data = place.data.clone();
    let app = App::open(place.options()).await?;
    let made = match app.console().authority() {
        Ok(there) if args.if_needed => {
            SetUp { ca_pem: there.ca_pem().to_owned(), ca_fingerprint: there.fingerprint() }
        }
        Ok(_) | Err(_) => app.console().set_up(setup).await?,
    };
    files::replace(&data.ca_file(), 0o644, made.ca_pem.as_bytes())?;
    let view = serde_json::json!({
        "ca_file": std::path::absolute(data.ca_file())?,
        "ca_fingerprint": made.ca_fingerprint.to_string(),
    });
    Ok(print.one(&view)?)
}

pub(super) async fn license(place: Place, command: LicenseCommand, print: &Printer) -> Result<(), CliError> {
    match command {
        LicenseCommand::Issue { key, nodes, days, grace_days, customer, out } => {
            let key = key_pair(&key)?;
            let now = Clock::system().now();
            let payload = LicencePayload {
                id: uuid::Uuid::new_v4().to_string(),
                customer,
                max_protected_nodes: nodes,
                not_before: now,
                expires_at: now + i64::from(days) * DAY,
                grace_days,
            };
            let bundle = issue(&payload, &key).map_err(|error| CliError::Usage(error.to_string()))?;
            match out {
                None => Ok(print.one(&bundle)?),
                Some(file) => {
                    let json = serde_json::to_vec(&bundle).map_err(std::io::Error::other)?;
                    files::replace(&file, 0o644, &json)?;
                    Ok(print.one(&serde_json::json!({"id": payload.id, "file": file}))?)
                }
            }
        }
        LicenseCommand::Import { file, license_trust } => {
            let (bundle, trust) = (text(&file)?, license_trust.as_deref().map(text).transpose()?);
            let app = open(place).await?;
            let view = app.console().import_licence_of(bundle, trust, Origin::default()).await?;
            Ok(print.one(&view)?)
        }
        LicenseCommand::Show => Ok(print.one(&open(place).await?.console().licence().await?)?),
    }
}

/// The password in this file, without the end of its line.
pub(super) fn password(file: &Path) -> Result<Zeroizing<String>, CliError> {
    let text = Zeroizing::new(text(file)?);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The signing key in this file; a new one where there is no file.
fn key_pair(file: &Path) -> Result<KeyPair, CliError> {
    let unusable = |error: rcgen::Error| CliError::Usage(format!("{}: {error}", file.display()));
    if file.exists() {
        let pem = Zeroizing::new(text(file)?);
        return KeyPair::from_pem_and_sign_algo(&pem, &rcgen::PKCS_ED25519).map_err(unusable);
    }
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(unusable)?;
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    files::replace(Path::new(&public), 0o644, key.public_key_pem().as_bytes())?;
    files::replace(file, 0o600, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    Ok(key)
}
