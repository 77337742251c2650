//! What each act does to the world.

use telovix_contract::ErrorCode;

use super::console::{Again, Certificate, Reply, Sensor, code};
use super::disk::{Disk, Write};
use super::flaw::Flaw;
use super::host::{Ask, Flight, Heard, Issued};
use super::world::{Act, Budget, Leg, Lie, Message, Seen, World};

/// Seconds of the ordinary wait: as long as the longest back-off, shorter than a one-time token's life.
const WAIT: i64 = 300;
/// Seconds of an outage.
const OUTAGE: i64 = 2 * 3600;
/// Seconds of a long outage: longer than an answer to an enrollment is repeated.
const DAY: i64 = 25 * 3600;
/// Seconds after which every certificate is due for renewal, and none is over.
const WEEKS: i64 = 530 * 3600;
/// Refusals of enrollments that somebody has to hear of now and then.
const TOLD: [(ErrorCode, Seen); 3] = [
    (ErrorCode::EnrollmentTokenUsed, Seen::TOLD_USED),
    (ErrorCode::EnrollmentTokenExpired, Seen::TOLD_EXPIRED),
    (ErrorCode::NodeLimitExceeded, Seen::TOLD_FULL),
];

impl World {
    pub(crate) fn act(&mut self, act: Act, flaw: Flaw) {
        match act {
            Act::Start(host) => {
                let sent = self.hosts[host].start(self.at, flaw);
                self.send(host, sent);
            }
            Act::Disk(host) => self.disk(host, flaw),
            Act::Arrive(place) => self.arrive(place, flaw),
            Act::Lose(place) => {
                self.trouble(|left| &mut left.losses);
                let lost = self.wire.remove(place);
                self.unreached(lost.host.into(), flaw);
            }
            Act::Lie(place, lie) => {
                self.trouble(|left| &mut left.lies);
                self.lied += 1;
                let host = &self.hosts[usize::from(self.wire[place].host)];
                let flight = host.process.as_ref().and_then(|process| process.flight.as_ref());
                let refusal = match flight {
                    Some(Flight::Enroll(_)) => ErrorCode::EnrollmentTokenUsed,
                    Some(Flight::Renew(_) | Flight::Heartbeat(_)) | None => ErrorCode::InvalidSensorTrust,
                };
                let code = match lie {
                    Lie::Refusal => refusal,
                    Lie::NoSuchPath => ErrorCode::NotFound,
                };
                self.wire[place].leg = Leg::Down(Reply::refused(code));
                self.arrive(place, flaw);
            }
            Act::Delay(place) => {
                self.trouble(|left| &mut left.losses);
                self.wire[place].awaited = false;
                let host = self.wire[place].host.into();
                self.tidy_wire();
                self.unreached(host, flaw);
            }
            Act::Kill(host) => {
                self.trouble(|left| &mut left.crashes);
                self.stop(host);
            }
            Act::Upgrade(host) => {
                self.trouble(|left| &mut left.upgrades);
                self.stop(host);
                self.hosts[host].says += 1;
            }
            Act::KillConsole => {
                self.trouble(|left| &mut left.console_crashes);
                for lost in std::mem::take(&mut self.wire).into_iter().filter(|lost| lost.awaited) {
                    self.unreached(lost.host.into(), flaw);
                }
            }
            Act::Wait => {
                self.calm += 1;
                self.pass(WAIT, flaw);
            }
            Act::Outage => {
                self.trouble(|left| &mut left.outages);
                self.pass_long(OUTAGE, flaw);
            }
            Act::Day => {
                self.trouble(|left| &mut left.days);
                self.pass_long(DAY, flaw);
            }
            Act::Weeks => {
                self.trouble(|left| &mut left.weeks);
                self.pass_long(WEEKS, flaw);
            }
            Act::ForceRenewal(host) => {
                self.trouble(|left| &mut left.forced_renewals);
                self.hear(host, Heard::Renew, flaw);
            }
            Act::ReEnroll(host) => {
                self.trouble(|left| &mut left.re_enrollments);
                let token = self.console.make_token(self.past[host].sensor, self.at);
                self.hosts[host].token = Some(token);
                self.hear(host, Heard::Token, flaw);
            }
            Act::Wipe(host) => {
                self.trouble(|left| &mut left.wipes);
                self.hosts[host].disk = Disk::default();
                self.past[host].wiped = Some(self.hosts[host].keys);
                self.hear(host, Heard::FilesChanged, flaw);
            }
            Act::Clone => {
                self.trouble(|left| &mut left.clones);
                self.hosts[1].disk = self.hosts[0].disk.clone();
            }
            Act::RaiseLicence => {
                self.trouble(|left| &mut left.licences);
                self.console.licence += 1;
            }
        }
    }

    fn trouble(&mut self, of: impl FnOnce(&mut Budget) -> &mut u8) {
        *of(&mut self.left) -= 1;
        self.calm = 0;
    }

    fn send(&mut self, host: usize, sent: Option<Ask>) {
        let Some(ask) = sent else { return };
        if let Ask::Enroll(ask) = ask {
            let before = self.past[host].wiped.unwrap_or(0);
            self.past[host].paid_twice |= self.console.enrollments.iter().any(|row| {
                let is_other_key = row.key.0 == ask.key.0 && row.key.1 > before && row.key != ask.key;
                // What it paid for and the Console believes no more, a later renewal has replaced.
                // Who was told twice that it is not known has nothing to lose by asking.
                row.token == ask.token
                    && is_other_key
                    && self.lied < 2
                    && self.console.believes(self.at, row.certificate)
            });
        }
        let host = u8::try_from(host).expect("few");
        self.wire.push(Message { host, awaited: true, leg: Leg::Up(ask) });
        self.wire.sort_unstable();
    }

    fn hear(&mut self, host: usize, heard: Heard, flaw: Flaw) {
        let sent = self.hosts[host].hear(self.at, heard, flaw);
        self.send(host, sent);
    }

    fn unreached(&mut self, host: usize, flaw: Flaw) {
        let sent = self.hosts[host].land(self.at, None, None, flaw);
        self.send(host, sent);
    }

    /// What the process sent may arrive yet; what is sent to it does not.
    fn stop(&mut self, host: usize) {
        self.hosts[host].process = None;
        self.wire.retain(|message| usize::from(message.host) != host || !matches!(message.leg, Leg::Down(_)));
        for message in self.wire.iter_mut().filter(|message| usize::from(message.host) == host) {
            message.awaited = false;
        }
        self.tidy_wire();
    }

    /// What nobody waits for and changes nothing whenever it arrives is as good as lost.
    fn tidy_wire(&mut self) {
        let console = &self.console;
        self.wire.retain(|message| match message.leg {
            Leg::Up(Ask::Heartbeat(presented)) => {
                message.awaited || console.row(presented).credential.first_seen_at.is_none()
            }
            Leg::Up(Ask::Enroll(_) | Ask::Renew(..)) | Leg::Between(_) | Leg::Down(_) => true,
        });
        self.wire.sort_unstable();
        self.wire.dedup();
    }

    fn disk(&mut self, host: usize, flaw: Flaw) {
        if let Some(Write::PointCurrent(number)) = self.hosts[host].next_write() {
            let stood = self.hosts[host]
                .disk
                .current()
                .is_some_and(|stood| stood.made_on == self.hosts[host].machine_id);
            if let Some(new) = self.hosts[host].disk.generation(*number) {
                let proven = self.console.row(new.certificate).credential.first_seen_at.is_some();
                self.past[host].unproven |= stood && !proven;
            }
        }
        let sent = self.hosts[host].write(self.at, flaw);
        self.send(host, sent);
    }

    fn arrive(&mut self, place: usize, flaw: Flaw) {
        let message = self.wire.remove(place);
        let host = usize::from(message.host);
        let ask = match message.leg {
            Leg::Down(reply) => return self.answered(host, reply, flaw),
            Leg::Up(Ask::Enroll(ask)) if flaw == Flaw::SpendsBeforeIssuing => {
                let mut trial = self.console.clone();
                if matches!(trial.enroll(self.at, ask, flaw), Reply::Issued(_, Again::First)) {
                    self.console.tokens[usize::from(ask.token)].used = true;
                    self.wire.push(Message { leg: Leg::Between(Ask::Enroll(ask)), ..message });
                    return self.wire.sort_unstable();
                }
                Ask::Enroll(ask)
            }
            Leg::Between(Ask::Enroll(ask)) => {
                self.console.tokens[usize::from(ask.token)].used = false;
                Ask::Enroll(ask)
            }
            Leg::Up(ask) | Leg::Between(ask) => ask,
        };
        let reply = match ask {
            Ask::Enroll(ask) => self.console.enroll(self.at, ask, flaw),
            Ask::Renew(presented, key) => self.console.renew(self.at, presented, key, flaw),
            Ask::Heartbeat(presented) => self.console.heartbeat(self.at, presented),
        };
        self.remember(&message, ask, reply);
        if message.awaited {
            self.wire.push(Message { leg: Leg::Down(reply), ..message });
        } else {
            self.seen.note(Seen::LATE_REQUEST);
        }
        self.tidy_wire();
    }

    fn remember(&mut self, message: &Message, ask: Ask, reply: Reply) {
        match reply {
            Reply::Issued(_, Again::Repeated) if message.awaited => self.seen.note(Seen::REPEATED),
            Reply::Issued(..) | Reply::Believed(_) => {}
            Reply::Refused(place) if matches!(ask, Ask::Enroll(_)) => {
                let told = TOLD.iter().find(|(known, _)| *known == code(place));
                told.into_iter().for_each(|(_, told)| self.seen.note(*told));
            }
            Reply::Refused(_) => {}
        }
    }

    fn answered(&mut self, host: usize, reply: Reply, flaw: Flaw) {
        let issued = match reply {
            Reply::Issued(certificate, _) => Some(self.issued(certificate)),
            Reply::Believed(_) | Reply::Refused(_) => None,
        };
        if let Reply::Believed(sensor) = reply {
            self.accepted(host, sensor);
        }
        let sent = self.hosts[host].land(self.at, Some(reply), issued, flaw);
        self.send(host, sent);
    }

    /// The host hears that the Console accepts what it spoke with, if it still has that.
    fn accepted(&mut self, host: usize, sensor: Sensor) {
        let it = &self.hosts[host];
        let flight = it.process.as_ref().and_then(|process| process.flight.as_ref());
        let Some(Flight::Heartbeat(number)) = flight else { return };
        let Some(proven) = it.disk.generation(*number) else { return };
        if self.console.row(proven.certificate).generation > 1 {
            let re_enrolled = self.console.bound_to(proven.token).is_some();
            self.seen.note(if re_enrolled { Seen::RE_ENROLLED } else { Seen::RENEWED });
        }
        self.past[host].sensor.get_or_insert(sensor);
        self.past[host].wiped = None;
    }

    fn issued(&self, certificate: Certificate) -> Issued {
        let row = self.console.row(certificate);
        Issued { certificate, key: row.key, sensor: row.sensor, issued_at: row.issued_at }
    }

    fn pass(&mut self, seconds: i64, flaw: Flaw) {
        self.at += seconds;
        for host in 0..self.hosts.len() {
            self.hear(host, Heard::Tick, flaw);
        }
    }

    /// No connection outlives this.
    fn pass_long(&mut self, seconds: i64, flaw: Flaw) {
        self.wire.clear();
        self.pass(seconds, flaw);
    }
}
