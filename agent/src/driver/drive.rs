//! One machine with everything that its effects need.

use std::collections::VecDeque;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::calls::{InFlight, Reply};
use super::enroll::NewSensor;
use super::foreign::Met;
use super::host::Host;
use crate::clock::{self, Uptime};
use crate::config::{Config, ConsoleUrl, FoundToken};
use crate::console::Console;
use crate::machine::{Code, CommandResult, EnrollReason, Heard, Input, Machine, Now, Report, TokenFacts};
use crate::store::{Generation, Publication, Store};
use crate::tls::random;

/// One machine with everything that its effects need: this host, its state directory, the Console.
pub struct Driver {
    pub(super) host: Host,
    pub(super) console_url: ConsoleUrl,
    pub(super) uptime: Arc<dyn Uptime>,
    /// The moment of the machine's last step.
    pub(super) stepped: Option<Now>,
    pub(super) store: Store,
    pub(super) console: Arc<Console>,
    pub(super) machine: Machine,
    pub(super) new_sensor: NewSensor,
    pub(super) token: Option<FoundToken>,
    pub(super) current: Option<Generation>,
    /// The other identities on the disk, newest first.
    pub(super) others: Vec<Generation>,
    pub(super) in_flight: Option<InFlight>,
    /// Why the last enrollment was begun.
    pub(super) reason: Option<EnrollReason>,
    pub(super) inputs: VecDeque<Input>,
    pub(super) events: Vec<Event>,
    /// What the next notification of consumers is about.
    pub(super) change: IdentityChange,
    /// What `.sensor-ready` should say and the disk did not take.
    pub(super) ready_owed: Option<bool>,
    /// What keeps consumers out of the state directory, as last seen.
    pub(super) keeps_out: Option<String>,
    /// What is not as it should be in the state directory and could not be mended, as last seen; when that was.
    pub(super) unmended: Vec<String>,
    pub(super) looked: Duration,
    /// What is known of files that this agent did not make.
    pub(super) met: Met,
    /// Why this process cannot go on.
    pub(super) ended: Option<String>,
    /// The failure that the log has told of.
    pub(super) logged: Option<Code>,
    /// What this Console has answered, as far as the disk tells.
    pub(super) heard: Heard,
    /// The daemon's mark in its heartbeats, and how many it has sent (docs/contract.md section 4).
    pub(super) instance: Option<(Uuid, u64)>,
    /// What the Console told in its latest heartbeat, cleaned.
    pub(super) notices: Vec<String>,
}

/// What the owner of a driver hears of, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The Console answered an enrollment, or the attempt failed.
    Enrollment(Attempt),
    /// The Console answered a renewal, or the attempt failed.
    Renewal(Attempt),
    /// The published files changed.
    IdentityChanged(IdentityChange),
    /// A request to the machine has come to an end.
    CommandDone(CommandResult),
    /// Something that an operator should know, one sentence.
    Warning(String),
}

/// How an attempt to enroll or to renew ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// An identity was issued, verified and committed.
    Done,
    /// An operator has to approve first.
    Waiting,
    /// It failed.
    Failed(Code),
}

/// How the published files changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityChange {
    /// An identity that this host did not hold before.
    Enrolled,
    /// The successor of the certificate, with a new key.
    Renewed,
    /// Files were damaged, and an intact generation is published again.
    Restored,
}

/// What a driver waited for.
pub enum Next {
    /// The reply to the call under way.
    Reply(Box<Reply>),
    /// The machine's deadline.
    Due,
}

impl IdentityChange {
    /// The word that hooks are told (`TELOVIX_EVENT`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Renewed => "renewed",
            Self::Restored => "restored",
        }
    }
}

impl Driver {
    /// A driver that waits for [`Driver::start`]. `console` is the one at `console_url`.
    pub fn new(
        host: Host,
        console_url: ConsoleUrl,
        console: Console,
        uptime: Arc<dyn Uptime>,
        store: Store,
        new_sensor: NewSensor,
    ) -> Self {
        Self {
            machine: Machine::new(host.settings()),
            host,
            console_url,
            uptime,
            stepped: None,
            store,
            console: Arc::new(console),
            new_sensor,
            token: None,
            current: None,
            others: Vec::new(),
            in_flight: None,
            reason: None,
            inputs: VecDeque::new(),
            events: Vec::new(),
            change: IdentityChange::Restored,
            ready_owed: None,
            keeps_out: None,
            unmended: Vec::new(),
            looked: Duration::ZERO,
            met: Met::default(),
            ended: None,
            logged: None,
            heard: Heard::default(),
            instance: None,
            notices: Vec::new(),
        }
    }

    /// The same, with heartbeats that say that they are all of one process.
    pub fn as_daemon(self) -> Self {
        Self { instance: Some((Uuid::new_v4(), 0)), ..self }
    }

    /// Begins, with the token that the configured sources hold.
    pub fn start(&mut self, token: Option<FoundToken>) -> Vec<Event> {
        self.token = token;
        let facts = self.token_facts();
        self.tell(Input::Started(facts))
    }

    /// The token that the configured sources hold now.
    pub fn set_token(&mut self, token: Option<FoundToken>) -> Vec<Event> {
        self.token = token;
        let facts = self.token_facts();
        self.tell(Input::Token(facts))
    }

    /// Another configuration is in effect, and the Console of it.
    pub fn set_config(&mut self, host: Host, console_url: ConsoleUrl, console: Console) -> Vec<Event> {
        self.store.publish_as(Publication::from(&host.config.publish));
        self.host = host;
        self.console_url = console_url;
        self.console = Arc::new(console);
        let settings = self.host.settings();
        self.tell(Input::ConfigChanged(settings))
    }

    /// Tells the machine what happened, and carries out what it says until it says nothing more.
    pub fn tell(&mut self, input: Input) -> Vec<Event> {
        self.catch_up();
        self.inputs.push_back(input);
        self.drive()
    }

    pub(super) fn drive(&mut self) -> Vec<Event> {
        while let Some(input) = self.inputs.pop_front() {
            let now = self.now();
            self.stepped = Some(now);
            for effect in self.machine.step(now, input) {
                self.carry_out(effect);
            }
        }
        self.log_failure();
        std::mem::take(&mut self.events)
    }

    /// Waits for the reply to the call under way, or for the machine's deadline. May be dropped and called again.
    pub async fn next(&mut self) -> Next {
        let deadline = self.deadline();
        let reply = async {
            match &mut self.in_flight {
                Some(in_flight) => in_flight.await,
                None => pending().await,
            }
        };
        let due = async {
            match deadline {
                Some(wait) => self.uptime.wait(wait).await,
                None => pending().await,
            }
        };
        tokio::select! {
            reply = reply => Next::Reply(Box::new(reply)),
            () = due => Next::Due,
        }
    }

    /// Goes on with what [`Driver::next`] brought.
    pub fn take(&mut self, next: Next) -> Vec<Event> {
        match next {
            Next::Reply(reply) => self.take_reply(*reply),
            Next::Due => self.tell(Input::Tick),
        }
    }

    /// How long until the machine wants [`Input::Tick`].
    pub fn deadline(&self) -> Option<Duration> {
        self.machine.next_deadline(self.now())
    }

    /// Whether a call is under way; where none is and there is no deadline, nothing is tried again by itself.
    pub fn is_calling(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Everything that can be said at this moment.
    pub fn report(&self) -> Report {
        let mut report = self.machine.report(self.now());
        report.notes.extend(self.notices.iter().map(|notice| format!("the Console says: {notice}")));
        report
    }

    /// The configuration in effect.
    pub fn config(&self) -> &Config {
        &self.host.config
    }

    /// The clock of this host.
    pub fn clock(&self) -> &clock::Clock {
        &self.host.clock
    }

    /// What waits are measured on.
    pub fn uptime(&self) -> &Arc<dyn Uptime> {
        &self.uptime
    }

    /// Through which proxy the Console is reached, without user name and password.
    pub fn proxy(&self) -> Option<String> {
        self.console.proxy()
    }

    /// The state directory.
    pub fn state_dir(&self) -> &Path {
        self.store.dir()
    }

    /// The identity in use.
    pub fn current(&self) -> Option<&Generation> {
        self.current.as_ref()
    }

    /// What keeps consumers out of the state directory, as last seen.
    pub fn keeps_out(&self) -> Option<&String> {
        self.keeps_out.as_ref()
    }

    /// What an operator should know of the state directory, one sentence each.
    pub fn problems(&self) -> impl Iterator<Item = &String> {
        self.unmended.iter().chain(&self.met.notes)
    }

    /// Why only another process can go on, once.
    pub fn take_end(&mut self) -> Option<String> {
        self.ended.take()
    }

    /// Why this process began to enroll, where it did.
    pub fn enroll_reason(&self) -> Option<&EnrollReason> {
        self.reason.as_ref()
    }

    /// Writes down that every consumer knows the current identity: a later process need not tell it again.
    pub fn note_told(&mut self) {
        if let Some(current) = &self.current
            && let Err(error) = self.store.set_told(current)
        {
            tracing::warn!(%error, "cannot write down that consumers were told");
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { wall: clock::now(&self.host.clock), mono: self.uptime.now(), random: random() }
    }

    fn token_facts(&self) -> Option<TokenFacts> {
        self.token.as_ref().map(|found| TokenFacts::of(&found.token))
    }
}
