//! What operators ask for: a renewal, and the end.

use super::code::Code;
use super::effect::{Call, CommandResult, Effect};
use super::input::{Fault, Now, Urgency};
use super::state::{Job, Life, Machine, Retirement};

impl Machine {
    pub(super) fn asked_to_renew(&mut self, now: Now, urgency: Urgency, effects: &mut Vec<Effect>) {
        if let Some(reason) = self.cannot_renew(now) {
            return effects.push(Effect::CommandDone(CommandResult::CannotRenew { reason }));
        }
        let (due, under_way) = (self.renewal_is_due(now), self.candidate.is_some());
        if let Some(candidate) = &mut self.candidate {
            candidate.prove.retry_now();
        }
        let Some(current) = &mut self.current else { return };
        if !due && !under_way && urgency == Urgency::WhenDue {
            let renew_at = current.renew_at();
            return effects.push(Effect::CommandDone(CommandResult::NotDue { renew_at }));
        }
        self.renew_asked = true;
        if under_way {
            return;
        }
        current.renew.retry_now();
        if urgency == Urgency::Now {
            current.renew_now = true;
        }
    }

    /// Why there is nothing to renew, or not now.
    pub(super) fn cannot_renew(&self, now: Now) -> Option<String> {
        let text = match &self.retirement {
            Retirement::No => None,
            Retirement::Wanted | Retirement::Done { .. } => Some("this node is decommissioned".to_owned()),
        };
        if text.is_some() {
            return text;
        }
        if self.life != Life::Running {
            return Some("the agent is stopping".to_owned());
        }
        let Some(current) = &self.current else { return Some(self.line(now).reason) };
        if self.candidate.is_some() {
            return None;
        }
        (!current.may_renew(now, &self.skew)).then(|| self.line(now).reason)
    }

    /// A command whose renewal has come to nothing is answered.
    pub(super) fn end_renewal(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if !self.renew_asked {
            return;
        }
        let is_under_way =
            self.candidate.is_some() || self.job == Some(Job::Call(Call::Renew)) || self.renewal_is_due(now);
        let reason = self.cannot_renew(now);
        if reason.is_some() || !is_under_way {
            self.renew_asked = false;
            let reason = reason.unwrap_or_else(|| self.line(now).reason);
            effects.push(Effect::CommandDone(CommandResult::CannotRenew { reason }));
        }
    }

    /// A shutdown does not wait for a call that is under way; the disk is quick.
    pub(super) fn asked_to_retire(&mut self, effects: &mut Vec<Effect>) {
        match &self.retirement {
            Retirement::No => {
                self.cancel_call(effects);
                self.retirement = Retirement::Wanted;
            }
            Retirement::Wanted => {}
            Retirement::Done { untold, .. } => {
                effects.push(Effect::CommandDone(CommandResult::Decommissioned { untold: untold.clone() }));
            }
        }
    }

    /// Why the Console cannot be told that this node retires.
    pub(super) fn untold(&self, now: Now) -> Option<Fault> {
        let fault = |message: &str| Fault::new(Code::NothingToRetire, message);
        match &self.current {
            None => Some(fault("this host holds no identity")),
            Some(current) if current.is_usable(now, &self.skew) => None,
            Some(_) => Some(fault("the Console does not accept the identity that this host holds")),
        }
    }

    /// The node is retired, told or untold: a failure never blocks a shutdown (docs/contract.md section 3).
    pub(super) fn retire(&mut self, untold: Option<Fault>, effects: &mut Vec<Effect>) {
        let token = self.token.map(|token| token.hash());
        self.retirement = Retirement::Done { untold: untold.clone(), token };
        effects.push(Effect::CommandDone(CommandResult::Decommissioned { untold }));
    }
}
