//! What operators ask for: a renewal, and the end.

use super::effect::{Call, CommandResult, Effect};
use super::held::{Road, Standing, Verdict};
use super::input::{Fault, Urgency};
use super::{Job, Life, Machine, Now, Retirement};

impl Machine {
    pub(super) fn asked_to_renew(&mut self, now: Now, urgency: Urgency, effects: &mut Vec<Effect>) {
        if let Some(reason) = self.cannot_renew(now) {
            return effects.push(Effect::CommandDone(CommandResult::CannotRenew { reason }));
        }
        let (due, under_way) = (self.renewal_is_due(now), self.candidate.is_some());
        let Some(held) = &mut self.held else { return };
        if !due && !under_way && urgency == Urgency::WhenDue {
            let renew_at = held.renew_at();
            return effects.push(Effect::CommandDone(CommandResult::NotDue { renew_at }));
        }
        self.renew_asked = true;
        if under_way {
            return;
        }
        held.renew.hurry();
        if urgency == Urgency::Now {
            held.renew_now = true;
            if held.renew_road == Road::Barred {
                held.renew_road = Road::Open;
            }
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
        let Some(held) = &self.held else { return Some(self.line(now).reason) };
        if self.candidate.is_some() {
            return None;
        }
        if self.skew.is_behind() {
            return self.skew.fault().map(|fault| fault.message);
        }
        match (held.standing(now, &self.skew), &held.verdict) {
            (Standing::Suspect | Standing::Expired, _) | (_, Verdict::Lost(_) | Verdict::Revoked(_)) => {
                Some(self.line(now).reason)
            }
            (Standing::Good, Verdict::Unknown | Verdict::Accepted | Verdict::Refused(_)) => None,
        }
    }

    /// A command whose renewal has come to nothing is answered.
    pub(super) fn end_renewal(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if !self.renew_asked {
            return;
        }
        let is_under_way = self.candidate.is_some()
            || self.job == Some(Job::Call(Call::Renew))
            || (self.renewal_is_due(now)
                && self.held.as_ref().is_some_and(|held| held.renew_road != Road::Barred));
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
        let fault = |message: &str| Fault {
            code: "nothing_to_retire".into(),
            message: message.to_owned(),
            action: String::new(),
        };
        match &self.held {
            None => Some(fault("this host holds no identity")),
            Some(held) if held.is_usable(now, &self.skew) => None,
            Some(_) => Some(fault("the Console does not accept the identity that this host holds")),
        }
    }

    /// The node is retired, told or untold: a failure never blocks a shutdown (CONTRACT.md section 3).
    pub(super) fn retire(&mut self, untold: Option<Fault>, effects: &mut Vec<Effect>) {
        let token = self.token.map(|token| token.hash());
        self.retirement = Retirement::Done { untold: untold.clone(), token };
        effects.push(Effect::CommandDone(CommandResult::Decommissioned { untold }));
    }
}
