//! Where enrollment tokens come from: files, standard input, or the Console itself. Never the command line.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::{Value, json};
use telovix_contract::{EnrollmentToken, paths};
use tokio::task::JoinSet;

use super::args::TokenArgs;
use super::wire::{Ask, Fault, Line, Wire};
use crate::operator::ApiKey;

/// Calls at once while tokens are made.
const MAKERS: usize = 8;

/// Tokens at hand.
pub(super) enum Tokens {
    /// One for all.
    Cluster(EnrollmentToken),
    /// One for each.
    Once(Vec<EnrollmentToken>),
}

impl Tokens {
    /// Gets them; `wanted` is how many the Console is asked to make.
    pub(super) async fn get(
        args: &TokenArgs,
        wanted: usize,
        wire: &Wire,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self, Fault> {
        if let Some(path) = &args.cluster_token_file {
            let text = read(path)?;
            return Ok(Self::Cluster(parse(text.trim())?));
        }
        if let Some(path) = &args.tokens_file {
            let text = read(path)?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            return Ok(Self::Once(lines.map(parse).collect::<Result<_, _>>()?));
        }
        match &args.api_key_file {
            Some(path) => Ok(Self::Once(make(Arc::new(api_key(path)?), wanted, wire, tls).await?)),
            None => Err(Fault(
                "no tokens: give --tokens-file, --cluster-token-file with --cluster, or --api-key-file"
                    .to_owned(),
            )),
        }
    }

    /// How many agents they are enough for; `None` for any number.
    pub(super) fn enough_for(&self) -> Option<usize> {
        match self {
            Self::Cluster(_) => None,
            Self::Once(tokens) => Some(tokens.len()),
        }
    }

    /// The token of the n-th agent.
    pub(super) fn of(&self, number: usize) -> Option<&EnrollmentToken> {
        match self {
            Self::Cluster(token) => Some(token),
            Self::Once(tokens) => tokens.get(number),
        }
    }

    /// What kind they are.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "cluster",
            Self::Once(_) => "once",
        }
    }
}

/// The API key in the output of `apikey create`.
pub(super) fn api_key(path: &Path) -> Result<ApiKey, Fault> {
    let made: Value = serde_json::from_str(&read(path)?).unwrap_or_default();
    let text = |key: &str| made[key].as_str().map(str::to_owned);
    let key = text("key_id").zip(text("secret")).map(|(id, secret)| ApiKey { id, secret });
    key.ok_or_else(|| Fault(format!("{}: not what `apikey create --output json` prints", path.display())))
}

/// A call signed with this key now.
pub(super) fn signed(key: &ApiKey, mut ask: Ask) -> Ask {
    let nonce = uuid::Uuid::new_v4().to_string();
    let now = jiff::Timestamp::now().as_second();
    // The signature covers the path without its query.
    let path = ask.path.split('?').next().unwrap_or_default();
    ask.headers.extend(key.sign(ask.method.as_str(), path, now, &nonce, &ask.body));
    ask
}

async fn make(
    key: Arc<ApiKey>,
    wanted: usize,
    wire: &Wire,
    tls: &Arc<ClientConfig>,
) -> Result<Vec<EnrollmentToken>, Fault> {
    let mut makers = JoinSet::new();
    for maker in 0..MAKERS {
        let share = wanted / MAKERS + usize::from(maker < wanted % MAKERS);
        let (key, wire, tls) = (Arc::clone(&key), wire.clone(), Arc::clone(tls));
        makers.spawn(async move {
            let (mut line, mut made) = (Line::default(), Vec::with_capacity(share));
            for _ in 0..share {
                let body = json!({"type": "once", "label": "fleet"}).to_string();
                let answer =
                    wire.call(&tls, Some(&mut line), signed(&key, Ask::post(paths::V2_TOKENS, body))).await?;
                let token = answer["token"].as_str().or_else(|| answer["data"]["token"].as_str());
                made.push(parse(token.unwrap_or_default())?);
            }
            Ok::<_, Fault>(made)
        });
    }
    let mut tokens = Vec::with_capacity(wanted);
    while let Some(made) = makers.join_next().await {
        tokens.extend(made.expect("no maker panics")?);
    }
    Ok(tokens)
}

fn parse(text: &str) -> Result<EnrollmentToken, Fault> {
    // The text is not quoted: it may be a token with a slip.
    text.parse().map_err(|_| Fault("one of the tokens is none: tse_ and 43 or 44 characters".to_owned()))
}

fn read(path: &Path) -> Result<String, Fault> {
    let mut text = String::new();
    let done = if path == Path::new("-") {
        io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|found| text = found)
    };
    done.map_err(|error| Fault(format!("{}: {error}", path.display())))?;
    Ok(text)
}
