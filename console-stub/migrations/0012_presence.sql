-- One identity in two places: what is remembered of a sensor's heartbeats, written together with the last of them, and when
-- it was last seen to be shared. That is in the fleet's index, because it changes seldom.
ALTER TABLE sensors ADD COLUMN presence TEXT NOT NULL DEFAULT '';
ALTER TABLE sensors ADD COLUMN shared_at BIGINT;
DROP INDEX sensors_by_age;
CREATE INDEX sensors_by_age ON sensors (created_at, id, node_name, cluster_id, role, flavor, trust_state, disabled_at,
                                        revoked_at, decommissioned_at, certificate_from, certificate_until, shared_at);

-- `expired` is worked out when a token is read, never stored: a clock that was wrong for a moment ends none.
UPDATE enrollment_tokens SET status = 'pending' WHERE status = 'expired';
DROP INDEX enrollment_tokens_by_age;
CREATE INDEX enrollment_tokens_by_age ON enrollment_tokens (created_at, id, status, token_type, cluster_id, used_at,
                                                            expires_at, reserved_at, revoked_at);
