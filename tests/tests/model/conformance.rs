//! The Console of the model against the real one: the same calls in the same order at the same time get the same answers.
//!
//! The real one is the service with its database, CA and clock, below TLS and HTTP. What is drawn covers more than a search
//! would try: any certificate with any key, any token for any sensor, days between.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::service::enroll::EnrollAnswer;
use telovix_console_stub::service::{Console as Service, ServiceError};
use telovix_contract::enroll::EnrollRequest;
use telovix_contract::facts::HostFacts;
use telovix_contract::session::Heartbeat;
use telovix_contract::{EnrollmentToken, SensorId};
use telovix_tests::csr::{KeyKind, Wish, for_key};
use telovix_tests::sim::{Sim, SimConsole, simulate};

use super::console::{Again, Application, Certificate, Console, Key, Reply, Sensor, Token, code};
use super::flaw::Flaw;
use super::records::{NODE, machine};

const HISTORIES: usize = 8;
const CALLS: usize = 120;
const KEYS: [Key; 5] = [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1)];

/// A call to either Console.
#[derive(Debug, Clone, Copy)]
enum Call {
    Enroll(Application),
    Renew(Certificate, Key),
    Heartbeat(Certificate),
}

/// Both, and which of the real one's things are which of the model's.
struct Both<'a> {
    sim: &'a Sim,
    console: &'a SimConsole,
    model: Console,
    tokens: Vec<EnrollmentToken>,
    sensors: Vec<SensorId>,
    certificates: Vec<Vec<u8>>,
    keys: Vec<(Key, KeyPair)>,
}

impl Both<'_> {
    fn at(&self) -> i64 {
        self.sim.clock().unix()
    }

    fn service(&self) -> &Service {
        self.console.console()
    }

    async fn make_token(&mut self, bound_to: Option<Sensor>) {
        let sensor_id = bound_to.map(|sensor| self.sensors[usize::from(sensor)]);
        let text = self.console.token(TokenDraft { sensor_id, ..TokenDraft::default() }).await;
        self.tokens.push(text.parse().unwrap());
        let at = self.at();
        let _ = self.model.make_token(bound_to, at);
    }

    fn csr(&self, key: Key) -> String {
        let (_, pair) = self.keys.iter().find(|(known, _)| *known == key).unwrap();
        for_key(pair, Wish::Plain, NODE)
    }

    /// The answer of both to one call; they have to be the same.
    async fn call(&mut self, call: Call) -> Reply {
        let at = self.at();
        let (expected, real) = match call {
            Call::Enroll(ask) => (self.model.enroll(at, ask, Flaw::None), self.really_enroll(ask).await),
            Call::Renew(presented, key) => {
                let der = self.certificates[usize::from(presented)].clone();
                let answer = self.service().renew(&der, self.csr(key), Origin::default()).await;
                let real = answer.map(|renewed| (renewed.sensor_id, renewed.control_plane_certificate_pem));
                (self.model.renew(at, presented, key, Flaw::None), real)
            }
            Call::Heartbeat(presented) => {
                let der = self.certificates[usize::from(presented)].clone();
                let answer = self.service().heartbeat(&der, Heartbeat::default(), Origin::default()).await;
                let real = answer.map(|answer| (answer.sensor_id, String::new()));
                (self.model.heartbeat(at, presented), real)
            }
        };
        self.compare(call, expected, real);
        expected
    }

    async fn really_enroll(&self, ask: Application) -> Result<(SensorId, String), ServiceError> {
        let token = &self.tokens[usize::from(ask.token)];
        let replaces = ask.replaces.map(|sensor| self.sensors[usize::from(sensor)]);
        let request = EnrollRequest {
            enrollment_token: token.clone(),
            csr_pem: self.csr(ask.key),
            node_name: NODE.parse().unwrap(),
            declared_role: telovix_contract::NodeRole::default(),
            cluster_name: None,
            install_id: None,
            tags: telovix_contract::Tags::default(),
            flavor: telovix_contract::Flavor::default(),
            sensor_version: "1".to_owned(),
            sensor_id: replaces,
            new_sensor: replaces.map(|_| false),
            host: HostFacts { machine_id_sha256: Some(machine().to_string()), ..HostFacts::default() },
        };
        match self.service().enroll(token.hash(), request, None, Origin::default()).await? {
            EnrollAnswer::Enrolled(answer) => Ok((answer.sensor_id, answer.control_plane_certificate_pem)),
            EnrollAnswer::Waiting(_) => panic!("nobody has to approve"),
        }
    }

    fn compare(&mut self, call: Call, expected: Reply, real: Result<(SensorId, String), ServiceError>) {
        match (expected, real) {
            (Reply::Refused(place), Err(ServiceError::Refused(refusal))) => {
                assert_eq!(refusal.code, code(place), "{call:?}");
            }
            (Reply::Believed(sensor), Ok((id, _))) => {
                assert_eq!(id, self.sensors[usize::from(sensor)], "{call:?}");
            }
            (Reply::Issued(certificate, again), Ok((id, pem))) => {
                let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
                let sensor = usize::from(self.model.row(certificate).sensor);
                if sensor == self.sensors.len() {
                    assert!(!self.sensors.contains(&id), "{call:?}");
                    self.sensors.push(id);
                }
                assert_eq!(id, self.sensors[sensor], "{call:?}");
                if again == Again::First {
                    assert_eq!(usize::from(certificate), self.certificates.len());
                    assert!(!self.certificates.contains(&der), "{call:?}");
                    self.certificates.push(der);
                } else {
                    assert_eq!(self.certificates[usize::from(certificate)], der, "{call:?}: another one");
                }
            }
            (expected, real) => panic!("{call:?}: the model says {expected:?}, the Console {real:?}"),
        }
    }
}

#[test]
fn the_consoles_tables_in_the_model_answer_as_the_real_service_does() {
    simulate(async |sim| {
        let console = SimConsole::start(&sim).await;
        let mut seen = BTreeMap::<String, usize>::new();
        for seed in 0..HISTORIES {
            history(&sim, &console, seed, &mut seen).await;
        }
        println!("{} calls: {seen:?}", seen.values().sum::<usize>());
        for expected in [
            "first",
            "repeated",
            "believed",
            "enrollment_token_used",
            "enrollment_token_expired",
            "sensor_binding_mismatch",
            "invalid_sensor_trust",
            "invalid_csr",
        ] {
            assert!(seen.get(expected).is_some_and(|times| *times >= 3), "{expected}: {seen:?}");
        }
    });
}

async fn history(sim: &Sim, console: &SimConsole, seed: usize, seen: &mut BTreeMap<String, usize>) {
    let keys = KEYS.map(|key| (key, KeyKind::P256.generate())).into();
    let model = Console::new(u8::MAX);
    let (tokens, sensors, certificates) = (Vec::new(), Vec::new(), Vec::new());
    let mut both = Both { sim, console, model, tokens, sensors, certificates, keys };
    let mut dice = Rng::with_seed(seed as u64 + 1);
    both.make_token(None).await;
    let mut last = None;
    for _ in 0..CALLS {
        match dice.u64(..20) {
            0 => both.make_token(None).await,
            1 => {
                let bound_to = one_of(&mut dice, both.sensors.len());
                both.make_token(bound_to).await;
            }
            2 => sim.pass(Duration::from_secs(600), Duration::from_secs(600)).await,
            3 => sim.pass(Duration::from_secs(7200), Duration::from_secs(7200)).await,
            4 if dice.u64(..4) == 0 => {
                let days = Duration::from_secs(25 * 3600);
                sim.pass(days, days).await;
            }
            _ => {}
        }
        let call = match last.filter(|_| dice.u64(..3) == 0) {
            Some(again) => again,
            None => draw(&mut dice, &both),
        };
        last = Some(call);
        let word = match both.call(call).await {
            Reply::Issued(_, Again::First) => "first".to_owned(),
            Reply::Issued(_, Again::Repeated) => "repeated".to_owned(),
            Reply::Believed(_) => "believed".to_owned(),
            Reply::Refused(place) => code(place).to_string(),
        };
        *seen.entry(word).or_default() += 1;
    }
}

fn draw(dice: &mut Rng, both: &Both<'_>) -> Call {
    let key = KEYS[dice.usize(..KEYS.len())];
    // Mostly what is newest: what is old is refused, and soon everything would be.
    let newest = |dice: &mut Rng, count: usize| {
        let back = one_of(dice, count.min(3))?;
        Some(u8::try_from(count - 1 - usize::from(back)).unwrap())
    };
    match (dice.u64(..3), newest(dice, both.certificates.len())) {
        (0, _) | (_, None) => {
            let token: Token = newest(dice, both.tokens.len()).unwrap();
            let replaces = if dice.u64(..3) == 0 { one_of(dice, both.sensors.len()) } else { None };
            Call::Enroll(Application { token, key, replaces })
        }
        (1, Some(presented)) => Call::Renew(presented, key),
        (_, Some(presented)) => Call::Heartbeat(presented),
    }
}

fn one_of(dice: &mut Rng, count: usize) -> Option<u8> {
    (count > 0).then(|| u8::try_from(dice.usize(..count)).unwrap())
}
