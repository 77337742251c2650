-- Operators sign in: their sessions, and the failures that lock an account for a while.
ALTER TABLE users ADD COLUMN disabled_at BIGINT;

-- Only SHA-256 of a session's secret is kept.
CREATE TABLE sessions (
    secret_hash BYTEA PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- By the address that was typed, whether or not it is a user's: so a guesser learns nothing of which there are.
CREATE TABLE login_failures (
    email TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);
