//! What an enrollment leaves behind: the token, the licence's slots, the record, the certificates, the node's key.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use serde_json::{Value, json};
use telovix_contract::ErrorCode;
use telovix_contract::enroll::EnrollRequest;
use telovix_contract::states::TokenStatus;

use super::*;
use crate::clock::Clock;
use crate::db::{Database, Location};
use crate::domain::audit::Origin;
use crate::domain::setting::Vertical;
use crate::domain::token::TokenDraft;
use crate::fault::Faults;
use crate::service::Console;
use crate::service::setup::{Grant, Setup};
use crate::service::tokens::CreatedToken;

const START: i64 = 1_800_000_000;

/// Stands where it is put.
#[derive(Debug)]
struct Hand(AtomicI64);

impl TimeProvider for Hand {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::SeqCst).unsigned_abs();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A Console that is set up.
struct World {
    console: Console,
    hand: Arc<Hand>,
    _place: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let hand = Arc::new(Hand(AtomicI64::new(START)));
        let clock = Clock::new(hand.clone());
        let db = Database::open(Location::File(place.path().join("db")), clock.clone()).await.unwrap();
        let console = Console::open(db, clock, Faults::default()).await.unwrap();
        let setup = Setup {
            admin_email: "admin@example.com".to_owned(),
            admin_password: "correct horse battery staple".to_owned().into(),
            server_names: Vec::new(),
            licence: Grant::Trial(10),
            licence_trust: None,
            public_url: None,
            vertical: Vertical::Standard,
        };
        console.set_up(setup).await.unwrap();
        Self { console, hand, _place: place }
    }

    fn advance(&self, seconds: i64) {
        self.hand.0.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn token(&self, draft: TokenDraft) -> CreatedToken {
        self.console.create_token(draft, Origin::default()).await.unwrap()
    }

    async fn cluster_token(&self) -> CreatedToken {
        let cluster_id = Some("ran-1".parse().unwrap());
        self.token(TokenDraft { kind: Some(TokenType::Cluster), cluster_id, ..TokenDraft::default() }).await
    }

    /// Enrolls a host that calls itself this, with this key.
    async fn enroll(&self, token: &CreatedToken, host: &Value, key: &KeyPair) -> Result<Enrolled, ErrorCode> {
        let mut body = host.clone();
        body["enrollment_token"] = json!(token.token.expose());
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, host["node_name"].as_str().unwrap());
        body["csr_pem"] = json!(params.serialize_request(key).unwrap().pem().unwrap());
        let request: EnrollRequest = serde_json::from_value(body).unwrap();
        match self.console.enroll(token.token.hash(), request, None, Origin::default()).await {
            Ok(EnrollAnswer::Enrolled(enrolled)) => Ok(*enrolled),
            Ok(EnrollAnswer::Waiting(_)) => panic!("no approval is asked for here"),
            Err(ServiceError::Refused(refusal)) => Err(refusal.code),
            Err(error) => panic!("{error}"),
        }
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut dyn Tx) -> Result<T, DbError> + Send + 'static,
    ) -> T {
        self.console.db().read(look).await.unwrap()
    }

    async fn slots(&self) -> i64 {
        self.look(|tx| settings::slots_taken(tx)).await
    }

    async fn sensor(&self, id: SensorId) -> SensorRecord {
        self.look(move |tx| sensors::by_id(tx, id)).await.unwrap()
    }

    async fn newest(&self, id: SensorId) -> CertificateRecord {
        self.look(move |tx| certificates::newest(tx, id)).await.unwrap()
    }

    async fn node_key(&self, id: SensorId) -> Option<String> {
        self.look(move |tx| sensors::owned(tx, id)).await.unwrap().node_key
    }

    async fn record(&self, token: &CreatedToken) -> TokenRecord {
        let id = token.id;
        self.look(move |tx| tokens::look_up(tx, id)).await.unwrap()
    }

    /// What the token was charged: status, nodes, uses, and when last.
    async fn charged(&self, token: &CreatedToken) -> (TokenStatus, i64, i64, Option<i64>) {
        let token = self.record(token).await;
        (token.status, token.node_count, token.use_count, token.used_at)
    }
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

#[tokio::test]
async fn a_one_time_token_is_used_up_by_one_record_one_certificate_and_one_slot() {
    let world = World::new().await;
    let token = world.token(TokenDraft::default()).await;
    assert_eq!(world.charged(&token).await, (TokenStatus::Pending, 0, 0, None));
    world.advance(60);
    let (now, host, own) = (START + 60, json!({"node_name": "edge-1", "tags": ["lab"]}), key());
    let got = world.enroll(&token, &host, &own).await.unwrap();
    assert_eq!(world.charged(&token).await, (TokenStatus::Used, 0, 1, Some(now)));
    assert_eq!(world.slots().await, 1);

    let sensor = world.sensor(got.sensor_id).await;
    assert_eq!((sensor.node_name.as_str(), sensor.tags.as_str()), ("edge-1", r#"["lab"]"#));
    assert_eq!((sensor.generation, sensor.created_at, sensor.enrolled_at), (1, now, now));
    assert_eq!(world.node_key(got.sensor_id).await, None);
    let made = world.newest(got.sensor_id).await;
    let spki: [u8; 32] = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&own)).into();
    assert_eq!((made.generation, made.issued_at, made.spki), (1, now, spki));
    // 720 hours, where nobody set anything.
    assert_eq!((made.not_after - now, made.ended_at), (2_592_000, None));
    assert_eq!((got.token_type, got.trust_state), (Some(TokenType::Once), TrustState::Trusted));

    let refused = world.enroll(&token, &host, &key()).await.unwrap_err();
    assert_eq!(refused, ErrorCode::EnrollmentTokenUsed);
    assert_eq!(world.charged(&token).await, (TokenStatus::Used, 0, 1, Some(now)));
    assert_eq!((world.slots().await, world.newest(got.sensor_id).await.generation), (1, 1));
}

#[tokio::test]
async fn a_cluster_token_counts_nodes_and_uses_and_a_node_that_comes_again_keeps_its_record() {
    let world = World::new().await;
    let token = world.cluster_token().await;
    let host = json!({"node_name": "edge-1", "cluster_name": "ran-1"});
    let first = world.enroll(&token, &host, &key()).await.unwrap();
    assert_eq!(world.charged(&token).await, (TokenStatus::Pending, 1, 1, Some(START)));
    let old = world.newest(first.sensor_id).await;

    world.advance(500);
    let again = world.enroll(&token, &host, &key()).await.unwrap();
    assert_eq!(again.sensor_id, first.sensor_id);
    assert_eq!(world.charged(&token).await, (TokenStatus::Pending, 1, 2, Some(START + 500)));
    assert_eq!(world.slots().await, 1);
    let sensor = world.sensor(first.sensor_id).await;
    assert_eq!((sensor.generation, sensor.created_at, sensor.enrolled_at), (2, START, START + 500));
    assert_eq!(world.newest(first.sensor_id).await.generation, 2);
    // The one before works until this one is seen.
    let old = world.look(move |tx| certificates::by_fingerprint(tx, &old.fingerprint)).await.unwrap();
    assert_eq!((old.generation, old.ended_at), (1, None));

    let other = json!({"node_name": "edge-2", "cluster_name": "ran-1"});
    let other = world.enroll(&token, &other, &key()).await.unwrap();
    assert_ne!(other.sensor_id, first.sensor_id);
    assert_eq!(world.charged(&token).await, (TokenStatus::Pending, 2, 3, Some(START + 500)));
    assert_eq!((world.slots().await, other.token_type), (2, Some(TokenType::Cluster)));
}

#[tokio::test]
async fn a_repeat_gets_what_it_got_and_pays_for_a_slot_only_after_it_retired() {
    let world = World::new().await;
    let token = world.token(TokenDraft::default()).await;
    let (host, own) = (json!({"node_name": "edge-1"}), key());
    let got = world.enroll(&token, &host, &own).await.unwrap();
    world.advance(60);
    assert_eq!(world.enroll(&token, &host, &own).await.unwrap(), got);
    assert_eq!((world.slots().await, world.sensor(got.sensor_id).await.generation), (1, 1));

    let der = world.newest(got.sensor_id).await.der;
    world.console.decommission(&der, Origin::default()).await.unwrap();
    assert_eq!(world.sensor(got.sensor_id).await.standing, Standing::Decommissioned);
    assert_eq!(world.slots().await, 0);
    assert_eq!(world.enroll(&token, &host, &own).await.unwrap(), got);
    assert_eq!(world.sensor(got.sensor_id).await.standing, Standing::Active);
    assert_eq!(world.slots().await, 1);
    assert_eq!(world.charged(&token).await, (TokenStatus::Used, 0, 1, Some(START)));
}

#[tokio::test]
async fn a_record_stays_a_clusters_node_as_long_as_it_is_the_same_node() {
    let host = json!({"node_name": "edge-1", "cluster_name": "ran-1", "install_id": "helm-1",
        "host": {"machine_id_sha256": "a".repeat(64)}});
    for (name, value, stays) in [
        ("flavor", json!("telecom"), true),
        ("node_name", json!("edge-2"), false),
        ("cluster_name", json!("ran-2"), false),
        ("install_id", json!("helm-2"), false),
    ] {
        let world = World::new().await;
        let got = world.enroll(&world.cluster_token().await, &host, &key()).await.unwrap();
        let before = world.node_key(got.sensor_id).await;
        assert_eq!(before.as_deref(), Some("ran-1/helm-1/edge-1"));
        // A token for one sensor makes no node of a cluster, and leaves one what it is.
        let draft = TokenDraft { sensor_id: Some(got.sensor_id), ..TokenDraft::default() };
        let mut changed = host.clone();
        changed[name] = value;
        let again = world.enroll(&world.token(draft).await, &changed, &key()).await.unwrap();
        assert_eq!((again.sensor_id, world.slots().await), (got.sensor_id, 1));
        assert_eq!(world.node_key(got.sensor_id).await, before.filter(|_| stays), "{name}");
    }
}
