-- Approval: rules that let nodes in by themselves, and the enrollments that wait for an operator.

-- Who may join a cluster without being asked about. `allowed_roles`: words separated by commas, empty for all.
CREATE TABLE approval_rules (
    id TEXT PRIMARY KEY,
    cluster_id TEXT NOT NULL,
    label TEXT NOT NULL,
    allowed_roles TEXT NOT NULL,
    max_nodes BIGINT,
    node_count BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX approval_rules_by_cluster ON approval_rules (cluster_id);

-- The distinct nodes that a rule let in, which its `max_nodes` counts.
CREATE TABLE approval_rule_nodes (
    rule_id TEXT NOT NULL REFERENCES approval_rules (id) ON DELETE CASCADE,
    node_key TEXT NOT NULL,
    PRIMARY KEY (rule_id, node_key)
);

-- Enrollments that an operator has to look at, one per token and key. A row goes when its enrollment succeeds; a denied
-- one stays as long as its token.
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    token_id TEXT NOT NULL REFERENCES enrollment_tokens (id) ON DELETE CASCADE,
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
    UNIQUE (token_id, spki_sha256)
);
CREATE INDEX approvals_by_age ON approvals (asked_at);

-- Since when a one-time token is kept for the key of a waiting enrollment: then its expiry no longer matters.
ALTER TABLE enrollment_tokens ADD COLUMN reserved_at BIGINT;
