-- The audit trail becomes a chain: each record holds the hash of the one before, and its own. Filled by the next step.
ALTER TABLE audit ADD COLUMN prev_hash BYTEA;
ALTER TABLE audit ADD COLUMN hash BYTEA;

-- Where the chain ends, so that a missing end shows.
CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
