//! What the machine remembers: facts, and no state beside them.

use std::collections::VecDeque;

use telovix_contract::TokenHash;

use super::effect::Call;
use super::enroll::Enrolling;
use super::identity::{Candidate, CurrentIdentity};
use super::input::{Fault, Heard, Identity, Loss, Settings, TokenFacts};
use super::retry::RetryState;
use super::skew::Skew;
use super::status::StateName;

/// The machine. It can be copied and compared, so that a search (`tests/tests/model`) can branch and know a state again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    pub(super) settings: Settings,
    pub(super) life: Life,
    /// Whether the state directory was read at least once.
    pub(super) loaded: bool,
    /// Whether it has to be read again.
    pub(super) reload: bool,
    pub(super) load: RetryState,
    /// What is under way and will be answered.
    pub(super) job: Option<Job>,
    /// What current when the call in flight was made: a refusal is of these.
    pub(super) presented: Presented,
    /// Counts the configurations.
    pub(super) configuration: u64,
    pub(super) skew: Skew,
    pub(super) probe: RetryState,
    /// Something failed on dates, and the Console was not asked for the time since.
    pub(super) doubts_dates: bool,
    pub(super) token: Option<TokenFacts>,
    /// The last token that was there, which stays when it goes.
    pub(super) last_token: Option<TokenHash>,
    /// The token that was said to be spent.
    pub(super) spent: Option<TokenHash>,
    pub(super) current: Option<CurrentIdentity>,
    pub(super) loss: Option<Loss>,
    pub(super) candidate: Option<Candidate>,
    /// The other identities on the disk that are in force, newest first.
    pub(super) spares: Vec<Identity>,
    /// Those that are to be tried yet because the Console does not know the current one; the next one last.
    pub(super) untried: Vec<u32>,
    /// What the Console issued last and then did not accept.
    pub(super) set_aside: Option<Identity>,
    /// What this Console has answered: a path that was there is never called missing.
    pub(super) heard: Heard,
    pub(super) enrolling: Enrolling,
    pub(super) retirement: Retirement,
    /// A `renew` command waits for its end.
    pub(super) renew_asked: bool,
    /// Whether `.sensor-ready` stands, as far as known.
    pub(super) ready: Option<bool>,
    pub(super) copied_discarded: bool,
    /// Whether `pending/` holds an enrollment, as last seen.
    pub(super) enrollment_begun: bool,
    pub(super) notes: VecDeque<String>,
    pub(super) announced: StateName,
}

/// What is under way and will be answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Job {
    Load,
    Publish,
    Call(Call),
}

/// The token and the configuration that a call was made with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Presented {
    pub token: Option<TokenHash>,
    pub configuration: u64,
}

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Before,
    Running,
    Stopped,
}

/// Whether this node was retired by request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Retirement {
    No,
    Wanted,
    Done { untold: Option<Fault>, token: Option<TokenHash> },
}

impl Machine {
    /// A machine that waits for [`Input::Started`](super::Input::Started).
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            life: Life::Before,
            loaded: false,
            reload: false,
            load: RetryState::default(),
            job: None,
            presented: Presented::default(),
            configuration: 0,
            skew: Skew::default(),
            probe: RetryState::default(),
            doubts_dates: false,
            token: None,
            last_token: None,
            spent: None,
            current: None,
            loss: None,
            candidate: None,
            spares: Vec::new(),
            untried: Vec::new(),
            set_aside: None,
            heard: Heard::default(),
            enrolling: Enrolling::default(),
            retirement: Retirement::No,
            renew_asked: false,
            ready: None,
            copied_discarded: false,
            enrollment_begun: false,
            notes: VecDeque::new(),
            announced: StateName::Starting,
        }
    }
}
