-- After a restore from a backup, a sensor that the copy does not know waits for an operator by its certificate, without a token.
ALTER TABLE approvals RENAME TO approvals_before;
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    token_id TEXT REFERENCES enrollment_tokens (id) ON DELETE CASCADE,
    spki_sha256 BYTEA NOT NULL,
    ruling TEXT NOT NULL,
    node_name TEXT NOT NULL,
    cluster_id TEXT,
    install_id TEXT,
    role TEXT NOT NULL,
    host TEXT NOT NULL,
    client_ip TEXT,
    asked_at BIGINT NOT NULL,
    last_asked_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    reason TEXT NOT NULL,
    record_id TEXT,
    facts TEXT NOT NULL,
    facts_sha256 TEXT NOT NULL,
    certificate BYTEA,
    UNIQUE (token_id, spki_sha256)
);
INSERT INTO approvals (id, token_id, spki_sha256, ruling, node_name, cluster_id, install_id, role, host, client_ip, asked_at,
                       last_asked_at, decided_at, decided_by, reason, record_id, facts, facts_sha256)
SELECT id, token_id, spki_sha256, ruling, node_name, cluster_id, install_id, role, host, client_ip, asked_at, last_asked_at,
       decided_at, decided_by, reason, record_id, facts, facts_sha256
FROM approvals_before;
DROP TABLE approvals_before;
CREATE INDEX approvals_by_age ON approvals (asked_at);
CREATE INDEX approvals_by_ruling ON approvals (ruling, asked_at, id);
CREATE INDEX approvals_by_token ON approvals (token_id, reason);
CREATE UNIQUE INDEX approvals_of_sensors ON approvals (record_id) WHERE token_id IS NULL;
