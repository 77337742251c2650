//! Self-stabilization (docs/contract.md section 6): whatever came before, a quarter of an hour of an honest Console and right clocks
//! ends accepted, and a restart makes no difference to that.
//!
//! A host with a disk lives through random answers, clocks, disks and kills. The Console behind them is a real one as far as it
//! issues: what it has issued it may have forgotten (a restore), superseded, or never delivered. Then everything is honest.

use super::honest::{Disk, Host};
use super::*;

/// The longest that an honest end may take.
const BOUND: Duration = Duration::from_secs(15 * 60);

impl Host {
    /// Anything but honest.
    pub(super) fn any(&mut self) {
        let jump = [0, 0, 1, 20, 400, 90_000][usize::try_from(self.dice(6)).unwrap()];
        self.pass(Duration::from_secs(jump));
        match self.dice(40) {
            // Killed, perhaps between the disk and the next step.
            0 => {
                if let Some(job) = self.job.take().filter(|_| self.random.below(2) == 0) {
                    let _ = self.honest(&job);
                }
                self.start();
            }
            1 => {
                let hours = i64::try_from(self.dice(1200)).unwrap() - 600;
                let off = SignedDuration::from_hours(if self.dice(2) == 0 { 0 } else { hours });
                if self.dice(2) == 0 {
                    self.skews.0 = off;
                } else {
                    self.skews.1 = off;
                }
                self.pass(Duration::ZERO);
                self.tell(Input::Tick);
            }
            2 => {
                self.token = [None, Some(1), Some(2), Some(3)][usize::try_from(self.dice(4)).unwrap()];
                self.tell(Input::Token(self.token.map(token)));
            }
            3 => self.tell(Input::FilesChanged),
            4 => self.tell(Input::Renew(Urgency::Now)),
            5 => self.tell(Input::ConfigChanged(Settings::default())),
            // A restore: what was seen last is forgotten, and what it superseded is in force again.
            6 => {
                let all: Vec<Vec<u8>> =
                    self.disk.generations.iter().map(|held| held.serial.clone()).collect();
                self.console.accepts = all.into_iter().filter(|_| self.random.below(2) == 0).collect();
            }
            7 if self.dice(4) == 0 => {
                self.disk = Disk::default();
                self.key_of.clear();
                self.tell(Input::FilesChanged);
            }
            _ => match self.job.take() {
                Some(job) => {
                    let input = self.dishonest(&job);
                    self.tell(input);
                }
                None => {
                    let wait = self.machine.next_deadline(self.now).unwrap_or_default();
                    self.pass(wait);
                    self.tell(Input::Tick);
                }
            },
        }
    }

    fn dishonest(&mut self, job: &Effect) -> Input {
        let before = (self.disk.generations.clone(), self.key_of.clone());
        let truth = self.honest(job);
        let is_true = self.dice(2) == 0;
        if !is_true && matches!(job, Effect::Call(_)) {
            // The Console may have issued it, and the answer never came.
            (self.disk.generations, self.key_of) = before;
        }
        match (job, u8::from(!is_true)) {
            (_, 0) => truth,
            (Effect::Load, _) => Input::LoadFailed(fault(Code::StateIoError)),
            (Effect::Publish { .. }, _) => truth,
            (_, _) => {
                let codes =
                    ErrorCode::ALL.iter().copied().map(Code::Console).chain(Code::OWN.iter().copied());
                let codes: Vec<Code> = codes.collect();
                let code = codes[usize::try_from(self.dice(codes.len() as u64)).unwrap()];
                let asked = [None, Some(Duration::from_secs(86_400))][usize::try_from(self.dice(2)).unwrap()];
                let outcome = match (job, self.dice(10)) {
                    (Effect::Call(Call::Heartbeat | Call::Prove { .. }), 0) => {
                        let states =
                            [TrustState::TrustRevoked, TrustState::BootstrapPending, TrustState::Rotated];
                        let trust_state = states[usize::try_from(self.dice(3)).unwrap()];
                        Outcome::Accepted(Accepted { trust_state, ..accepted() })
                    }
                    (Effect::Call(Call::Enroll { .. }), 0) => Outcome::Waiting(Duration::MAX),
                    (Effect::Call(Call::Heartbeat | Call::Renew | Call::Prove { .. }), 1..5) => {
                        Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust))
                    }
                    _ => Outcome::Failed(Failure { fault: fault(code), retry_after: asked }),
                };
                let server_date = match self.dice(4) {
                    0 => None,
                    1 => Some(self.truth + SignedDuration::from_hours(self.random.below(2000) as i64 - 1000)),
                    _ => Some(self.console_now()),
                };
                Input::Answered(Box::new(Answer { server_date, outcome }))
            }
        }
    }

    /// Whether the rule promises anything: the Console accepts a certificate in force on this disk, or the token's enrollment.
    fn is_promised(&self) -> bool {
        let accepted = self
            .disk
            .generations
            .iter()
            .any(|held| self.accepts(held) && (held.not_before..held.not_after).contains(&self.truth));
        accepted || self.token.is_some_and(|token| self.console.pays.contains(&token))
    }

    fn is_revoked(&self) -> bool {
        self.machine
            .current
            .as_ref()
            .is_some_and(|current| matches!(current.verdict, crate::machine::identity::Verdict::Revoked(_)))
            || self.machine.report(self.now).last_error.is_some_and(|error| {
                error.code == Code::TrustRevoked || error.code == Code::Console(ErrorCode::SensorRevoked)
            })
    }

    /// An honest time. Says how long it took to be accepted.
    fn recovers(mut self, history: u64) -> Duration {
        self.skews = (SignedDuration::ZERO, SignedDuration::ZERO);
        self.pass(Duration::ZERO);
        let mut bound = BOUND;
        let from = self.now.mono;
        let before = format!("{:?}", self.machine);
        self.tell(Input::Tick);
        let mut told = Vec::new();
        loop {
            let is_well = self.machine.report(self.now).state.holds_identity()
                && self.machine.current.as_ref().is_some_and(|current| {
                    current.verdict == crate::machine::identity::Verdict::Accepted
                        && self.accepts(&current.identity)
                });
            // Honest answers revoke nothing: it was said before.
            if self.is_revoked() {
                bound = BOUND + Duration::from_secs(3600);
            }
            if is_well {
                return self.now.mono - from;
            }
            let input = match self.job.take() {
                Some(job) => {
                    let input = self.honest(&job);
                    told.push(format!("{:?}: {job:?} {input:?}", self.now.mono - from));
                    input
                }
                None => {
                    let wait = self.machine.next_deadline(self.now).unwrap_or(BOUND * 9);
                    self.pass(wait);
                    Input::Tick
                }
            };
            assert!(
                self.now.mono - from <= bound && told.len() < 2000,
                "history {history}: {:?}\n{before}\n{}\n{:?}\ndisk {:?}\naccepts {:?}",
                self.machine.report(self.now),
                told.join("\n"),
                self.machine,
                self.disk,
                self.console.accepts
            );
            self.tell(input);
        }
    }
}

fn live(steps: u64) {
    let (mut done, mut history, mut ends) = (0, 0, 0u64);
    while done < steps {
        history += 1;
        let mut host = Host::new(history);
        let length = 10 + host.dice(80);
        for _ in 0..length {
            host.any();
        }
        done += host.steps;
        if !host.is_promised() {
            continue;
        }
        ends += 1;
        let mut restarted = host.clone();
        restarted.skews = (SignedDuration::ZERO, SignedDuration::ZERO);
        restarted.pass(Duration::ZERO);
        restarted.start();
        host.recovers(history);
        restarted.recovers(history);
    }
    assert!(ends * 4 > history, "{ends} of {history} histories had an end to look at");
}

/// `TELOVIX_LIVENESS_STEPS` asks for more of them (`tests/system/long/liveness.sh`).
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn a_quarter_of_an_honest_hour_brings_every_history_back() {
    let steps = std::env::var("TELOVIX_LIVENESS_STEPS").ok();
    live(steps.map_or(200_000, |steps| steps.parse().expect("a number of steps")));
}
