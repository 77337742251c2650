//! What the agents of a run do in each call, with whatever each call takes: a newcomer, an agent, or a path.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustls::ClientConfig;
use telovix_agent::tls::ServerTrust;
use telovix_contract::{ClusterName, SensorId};

use super::agents::{Agent, Identity, Newcomer};
use super::drive::{Call, Done, Job};
use super::tokens::{Tokens, signed};
use super::wire::{Ask, Fault, Line, Wire};
use crate::operator::ApiKey;

/// Things that are taken and put back.
type Pool<T> = Arc<Mutex<VecDeque<T>>>;

fn take<T>(pool: &Pool<T>) -> Option<T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn put<T>(pool: &Pool<T>, thing: T) {
    pool.lock().unwrap_or_else(PoisonError::into_inner).push_back(thing);
}

fn done(begun: Instant, result: Result<Option<SensorId>, Fault>) -> Done {
    Done { begun, ended: Instant::now(), result }
}

/// Hosts that enroll, each once.
pub(super) struct Enrolling {
    pub(super) wire: Wire,
    pub(super) anonymous: Arc<ClientConfig>,
    pub(super) tokens: Tokens,
    pub(super) cluster: Option<ClusterName>,
    pub(super) prefix: String,
    /// Requests that are made already, with the number of the next one that is not.
    pub(super) ready: Mutex<(VecDeque<Newcomer>, usize)>,
    /// Connections, where callers keep them.
    pub(super) lines: Option<Pool<Line>>,
    /// The identities, where somebody wants them.
    pub(super) enrolled: Option<Pool<Identity>>,
}

impl Enrolling {
    /// The newcomer with this number, while there is a token for it.
    pub(super) fn newcomer(&self, number: usize) -> Option<Result<Newcomer, Fault>> {
        let name = format!("{}-{number}", self.prefix);
        self.tokens.of(number).map(|token| Newcomer::make(&name, token, self.cluster.as_ref()))
    }

    fn next(&self) -> Option<Newcomer> {
        let number = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(newcomer) = ready.0.pop_front() {
                return Some(newcomer);
            }
            ready.1 += 1;
            ready.1 - 1
        };
        self.newcomer(number)?.ok()
    }
}

impl Job for Enrolling {
    fn ready(&self) -> Option<Call> {
        let newcomer = self.next()?;
        let (wire, anonymous) = (self.wire.clone(), Arc::clone(&self.anonymous));
        let (lines, enrolled) = (self.lines.clone(), self.enrolled.clone());
        Some(Box::pin(async move {
            let mut line = lines.as_ref().map(|lines| take(lines).unwrap_or_default());
            let begun = Instant::now();
            let result = newcomer.enroll(&wire, &anonymous, line.as_mut()).await;
            let ended = done(begun, result.as_ref().map(|made| Some(made.sensor_id)).map_err(Fault::clone));
            if let Some((lines, line)) = lines.zip(line) {
                put(&lines, line);
            }
            if let Some((enrolled, identity)) = enrolled.zip(result.ok()) {
                put(&enrolled, identity);
            }
            ended
        }))
    }

    fn most(&self) -> usize {
        usize::MAX >> 4
    }
}

/// What enrolled agents do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    Beat,
    Renew,
}

/// Enrolled agents, each at work on one call at a time.
pub(super) struct Serving {
    pub(super) wire: Wire,
    pub(super) trust: Arc<ServerTrust>,
    pub(super) duty: Duty,
    pub(super) keeps: bool,
    pub(super) count: usize,
    pub(super) agents: Pool<Agent>,
}

impl Job for Serving {
    fn ready(&self) -> Option<Call> {
        // There are never more callers than agents.
        let mut agent = take(&self.agents)?;
        let (wire, trust, agents) = (self.wire.clone(), Arc::clone(&self.trust), Arc::clone(&self.agents));
        let (duty, keeps) = (self.duty, self.keeps);
        Some(Box::pin(async move {
            let begun = Instant::now();
            let ended = match duty {
                Duty::Beat => {
                    let result = agent.beat(&wire, keeps).await;
                    done(begun, result.map(|()| None))
                }
                Duty::Renew => {
                    let result = agent.renew(&wire, keeps).await;
                    let mut ended = done(begun, Ok(None));
                    ended.result = result.and_then(|(fresh, made)| {
                        let sensor = made.sensor_id;
                        agent.adopt(fresh, made, &trust).map(|()| Some(sensor))
                    });
                    ended
                }
            };
            put(&agents, agent);
            ended
        }))
    }

    fn most(&self) -> usize {
        self.count
    }
}

/// One path, read again and again.
pub(super) struct Reading {
    pub(super) wire: Wire,
    pub(super) anonymous: Arc<ClientConfig>,
    pub(super) ask: Ask,
    pub(super) key: Option<Arc<ApiKey>>,
    pub(super) lines: Option<Pool<Line>>,
}

impl Job for Reading {
    fn ready(&self) -> Option<Call> {
        let (wire, anonymous) = (self.wire.clone(), Arc::clone(&self.anonymous));
        let (ask, key, lines) = (self.ask.clone(), self.key.clone(), self.lines.clone());
        Some(Box::pin(async move {
            let ask = match &key {
                Some(key) => signed(key, ask),
                None => ask,
            };
            let mut line = lines.as_ref().map(|lines| take(lines).unwrap_or_default());
            let begun = Instant::now();
            let result = wire.call(&anonymous, line.as_mut(), ask).await;
            let ended = done(begun, result.map(|_| None));
            if let Some((lines, line)) = lines.zip(line) {
                put(&lines, line);
            }
            ended
        }))
    }

    fn most(&self) -> usize {
        usize::MAX >> 4
    }
}
