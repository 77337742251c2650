//! What a Console that keeps the contract answers.

use jiff::SignedDuration;
use serde_json::{Value, json};
use telovix_agent::clock::{self, Clock};
use telovix_contract::session::{HeartbeatAnswer, RenewalWindow};
use telovix_contract::states::TrustState;
use telovix_contract::{ErrorCode, Problem, paths};
use telovix_tests::csr::public_key;
use telovix_tests::http1;
use telovix_tests::pki::Ca;
use telovix_tests::rogue::console::sensor_of;

use super::cells::Call;

pub(crate) struct Rules {
    pub(crate) clock: Clock,
    pub(crate) memory: Memory,
    call: Call,
    /// When the first certificate is to be renewed, where that is the call.
    renewal: Option<RenewalWindow>,
}

/// What a Console remembers.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    issued: Vec<Issued>,
}

#[derive(Clone)]
struct Issued {
    /// The public key that was asked for.
    key: Vec<u8>,
    token: String,
    certificate: Vec<u8>,
    answer: Value,
    seen: bool,
}

impl Rules {
    pub(crate) fn new(memory: Memory, clock: Clock, call: Call) -> Self {
        Self { clock, memory, call, renewal: None }
    }

    /// What the contract says to this request; to whom it does not know, the refusal.
    pub(crate) fn answer(
        &mut self,
        ca: &Ca,
        request: &http1::Message,
        peer: Option<&[u8]>,
        refusal: ErrorCode,
    ) -> (u16, Value) {
        let body = &serde_json::from_slice(&request.body).unwrap_or_default();
        let path = request.word(1);
        let who = peer.and_then(|der| self.memory.issued.iter().position(|issued| issued.certificate == der));
        // A successor that was seen has ended what was before it.
        let who = who.filter(|who| !self.memory.issued[who + 1..].iter().any(|later| later.seen));
        let issued = match (path, who) {
            (paths::HEALTHZ, _) => return (200, json!({"status": "ok"})),
            (paths::ENROLL, _) => self.enrolled(ca, body),
            (paths::HEARTBEAT, Some(who)) => {
                self.memory.issued[who].seen = true;
                return (200, self.heartbeat(peer.expect("it is known"), who));
            }
            (paths::RENEW, Some(who)) => {
                self.memory.issued[who].seen = true;
                Ok(self.renewed(ca, who, body))
            }
            _ => Err(refusal),
        };
        match issued {
            Ok(answer) => (if path == paths::ENROLL { 201 } else { 200 }, answer),
            Err(code) => (code.status(), json!(Problem::new(code, "No."))),
        }
    }

    fn heartbeat(&mut self, certificate: &[u8], who: usize) -> Value {
        let now = clock::now(&self.clock);
        let renewal = RenewalWindow { start: now, end: now + SignedDuration::from_secs(10) };
        let renewal = *self.renewal.get_or_insert(renewal);
        let renews = self.call == Call::Renewal && who == 0;
        json!(HeartbeatAnswer {
            sensor_id: sensor_of(certificate).expect("we have issued it"),
            trust_state: TrustState::Trusted,
            heartbeat_interval_seconds: 15,
            renew_between: renews.then_some(renewal),
            notices: Vec::new(),
        })
    }

    /// A token is used up by the first key.
    fn enrolled(&mut self, ca: &Ca, body: &Value) -> Result<Value, ErrorCode> {
        let token = text(body, "enrollment_token");
        let key = public_key(&text(body, "csr_pem"));
        match self.memory.issued.iter().find(|issued| issued.token == token) {
            Some(issued) if issued.key == key => Ok(issued.answer.clone()),
            Some(_) => Err(ErrorCode::EnrollmentTokenUsed),
            None => Ok(self.issue(key, token, json!(ca.enrolled(&text(body, "csr_pem"), None)))),
        }
    }

    /// The same key gets the same certificate; another one ends a successor that nobody has shown.
    fn renewed(&mut self, ca: &Ca, who: usize, body: &Value) -> Value {
        let csr_pem = text(body, "csr_pem");
        let key = public_key(&csr_pem);
        if let Some(issued) = self.memory.issued[who + 1..].iter().find(|issued| issued.key == key) {
            return issued.answer.clone();
        }
        self.memory.issued.truncate(who + 1);
        let old = &self.memory.issued[who];
        let sensor = sensor_of(&old.certificate).expect("we have issued it");
        let mut answer = old.answer.clone();
        answer["control_plane_certificate_pem"] = ca.client_chain(&csr_pem, sensor, None).into();
        self.issue(key, String::new(), answer)
    }

    fn issue(&mut self, key: Vec<u8>, token: String, answer: Value) -> Value {
        let pem = text(&answer, "control_plane_certificate_pem");
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
        let issued = Issued { key, token, certificate: pem.contents, answer: answer.clone(), seen: false };
        self.memory.issued.push(issued);
        answer
    }
}

fn text(body: &Value, key: &str) -> String {
    body[key].as_str().unwrap_or_else(|| panic!("there is no {key}: {body}")).to_owned()
}
