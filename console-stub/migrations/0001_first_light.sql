-- First schema. One file for every engine: `$1` placeholders in the queries, unix seconds in BIGINT, bytes in BYTEA
-- (SQLite keeps them as they are), no engine's own functions.

-- Single values: the public address, lifetimes, when set-up was finished.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Numbers that are checked and changed in one statement; a count over the fleet would cost more with every sensor.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('protected_nodes', 0);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- The CA: one root, and the issuers in force under it, with their private keys (PKCS #8).
CREATE TABLE issuers (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    certificate BYTEA NOT NULL,
    private_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    retired_at BIGINT
);

-- Keys that outlive the certificates made for them: `server` (P-256), `policy` (Ed25519).
CREATE TABLE keys (
    purpose TEXT PRIMARY KEY,
    private_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE server_certificates (
    fingerprint BYTEA PRIMARY KEY,
    issuer_id TEXT NOT NULL REFERENCES issuers (id),
    certificate BYTEA NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL
);

-- The one imported last counts: the highest `seq`.
CREATE TABLE licences (
    id TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    source TEXT NOT NULL,
    bundle TEXT,
    max_protected_nodes BIGINT NOT NULL,
    not_after BIGINT,
    imported_at BIGINT NOT NULL
);

CREATE TABLE sensors (
    id TEXT PRIMARY KEY,
    node_key TEXT UNIQUE,
    node_name TEXT NOT NULL,
    cluster_id TEXT,
    install_id TEXT,
    role TEXT NOT NULL,
    flavor TEXT NOT NULL,
    tags TEXT NOT NULL,
    sensor_version TEXT NOT NULL,
    host TEXT NOT NULL,
    trust_state TEXT NOT NULL,
    certificate_generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    enrolled_at BIGINT NOT NULL,
    last_seen_at BIGINT,
    disabled_at BIGINT,
    revoked_at BIGINT,
    decommissioned_at BIGINT
);

-- Every client certificate ever handed out. `overlap_until`: null while the certificate is the sensor's newest,
-- afterwards the moment it stops working.
CREATE TABLE certificates (
    fingerprint BYTEA PRIMARY KEY,
    sensor_id TEXT NOT NULL REFERENCES sensors (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    issuer_id TEXT NOT NULL REFERENCES issuers (id),
    serial TEXT NOT NULL,
    spki_sha256 BYTEA NOT NULL,
    certificate BYTEA NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    first_seen_at BIGINT,
    overlap_until BIGINT
);
CREATE INDEX certificates_by_sensor ON certificates (sensor_id, generation);

CREATE TABLE enrollment_tokens (
    id TEXT PRIMARY KEY,
    token_hash BYTEA NOT NULL UNIQUE,
    token_type TEXT NOT NULL,
    status TEXT NOT NULL,
    label TEXT,
    cluster_id TEXT,
    sensor_id TEXT,
    max_nodes BIGINT,
    node_count BIGINT NOT NULL,
    use_count BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX enrollment_tokens_by_age ON enrollment_tokens (created_at);

-- Which key enrolled with which token: what a repeat of the same enrollment is answered from.
CREATE TABLE enrollments (
    token_id TEXT NOT NULL REFERENCES enrollment_tokens (id) ON DELETE CASCADE,
    spki_sha256 BYTEA NOT NULL,
    sensor_id TEXT NOT NULL REFERENCES sensors (id) ON DELETE CASCADE,
    fingerprint BYTEA NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (token_id, spki_sha256)
);
CREATE INDEX enrollments_by_sensor ON enrollments (sensor_id);

-- The distinct nodes of a cluster token, which `max_nodes` counts.
CREATE TABLE token_nodes (
    token_id TEXT NOT NULL REFERENCES enrollment_tokens (id) ON DELETE CASCADE,
    node_key TEXT NOT NULL,
    PRIMARY KEY (token_id, node_key)
);

-- API keys of the v2 interface. HMAC needs the secret itself on both sides.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    label TEXT NOT NULL,
    secret BYTEA NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE api_nonces (
    key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    nonce TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, nonce)
);
CREATE INDEX api_nonces_by_age ON api_nonces (seen_at);

CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    action_type TEXT NOT NULL,
    outcome TEXT NOT NULL,
    actor_email TEXT,
    sensor_id TEXT,
    detail TEXT NOT NULL,
    client_ip TEXT,
    user_agent TEXT
);
