//! Pace: whatever answers are given, and however stubbornly, no host calls again and again without a wait.

use super::honest::Host;
use super::*;

/// What one kind of call is answered for as long as one looks.
#[derive(Debug, Clone)]
enum Stubborn {
    Honest,
    /// Done, and said to have failed.
    Done(Code),
    NotDone(Code),
}

const LOOK: Duration = Duration::from_secs(600);
/// Heartbeats every 15 seconds are 40, 53 with their jitter. Beside them back-offs, proofs, renewals and their repetitions.
const MOST: usize = 250;

impl Host {
    fn stubborn(&mut self) -> Stubborn {
        let all = ErrorCode::ALL.iter().copied();
        // Half of the answers are about the certificate.
        let about = all.clone().filter(|code| matches!(code.status(), 401 | 403));
        let codes: Vec<Code> = if self.dice(2) == 0 {
            about.map(Code::Console).collect()
        } else {
            all.map(Code::Console).chain(Code::OWN.iter().copied()).collect()
        };
        let code = codes[usize::try_from(self.dice(codes.len() as u64)).unwrap()];
        match self.dice(4) {
            0 | 1 => Stubborn::Honest,
            2 => Stubborn::Done(code),
            _ => Stubborn::NotDone(code),
        }
    }

    fn answers(&mut self, job: &Effect, stubborn: &Stubborn, dated: bool) -> Input {
        let code = match stubborn {
            Stubborn::Honest => return self.honest(job),
            Stubborn::Done(code) | Stubborn::NotDone(code) => *code,
        };
        let before = self.clone();
        let _ = self.honest(job);
        if matches!(stubborn, Stubborn::NotDone(_)) {
            (self.disk, self.console, self.key_of) = (before.disk, before.console, before.key_of);
        }
        let server_date = dated.then(|| self.console_now());
        Input::Answered(Box::new(Answer { server_date, outcome: Outcome::Failed(failure(code)) }))
    }
}

#[test]
fn no_stubborn_answer_makes_a_host_call_without_a_wait() {
    let mut worst = 0;
    for seed in 0..3000 {
        let mut host = Host::new(seed);
        for _ in 0..host.dice(40) {
            host.any();
        }
        // Heartbeats, proofs, renewals and enrollments. A proof is a heartbeat to whoever does not look at the certificate.
        let mut kinds = [(); 4].map(|()| host.stubborn());
        if host.dice(2) == 0 {
            kinds[1] = kinds[0].clone();
        }
        let dated = host.dice(2) == 0;
        let (from, mut calls) = (host.now.mono, Vec::new());
        while host.now.mono - from < LOOK {
            let Some(job) = host.job.take() else {
                let wait = host.machine.next_deadline(host.now).unwrap_or(LOOK);
                host.pass(wait);
                host.tell(Input::Tick);
                continue;
            };
            let mut kind = &Stubborn::Honest;
            if let Effect::Call(call) = &job {
                calls.push((host.now.mono - from, call.clone()));
                kind = match call {
                    Call::Heartbeat => &kinds[0],
                    Call::Prove { .. } => &kinds[1],
                    Call::Renew => &kinds[2],
                    Call::Enroll { .. } => &kinds[3],
                    Call::ProbeClock | Call::Decommission => kind,
                };
            }
            let input = host.answers(&job, kind, dated);
            host.tell(input);
            assert!(
                calls.len() <= MOST,
                "seed {seed}, {kinds:?}: {:#?}",
                calls.iter().map(|(at, call)| format!("{} {call:?}", at.as_millis())).collect::<Vec<_>>()
            );
        }
        worst = worst.max(calls.len());
    }
    println!("at most {worst} calls in ten minutes");
    assert!(worst > 50, "hosts that call look otherwise: {worst}");
}
