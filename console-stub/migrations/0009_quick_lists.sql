-- Lists and counts that stay quick with a hundred thousand rows. One wide index per list, in the list's order and with all
-- that its filters ask, so that a filter which fits nothing is found out from the index alone. None holds what a heartbeat
-- changes: an index on that would be written for every sensor every few seconds.

-- What lists and counts ask of a sensor's newest certificate.
ALTER TABLE sensors ADD COLUMN certificate_issuer TEXT;
ALTER TABLE sensors ADD COLUMN certificate_from BIGINT;
ALTER TABLE sensors ADD COLUMN certificate_until BIGINT;
UPDATE sensors SET
    certificate_issuer = (SELECT MAX(c.issuer_id) FROM certificates c
                          WHERE c.sensor_id = sensors.id AND c.generation = sensors.certificate_generation),
    certificate_from = (SELECT MAX(c.not_before) FROM certificates c
                        WHERE c.sensor_id = sensors.id AND c.generation = sensors.certificate_generation),
    certificate_until = (SELECT MAX(c.not_after) FROM certificates c
                         WHERE c.sensor_id = sensors.id AND c.generation = sensors.certificate_generation);
CREATE INDEX sensors_by_issuer ON sensors (certificate_issuer, revoked_at, certificate_until);
CREATE INDEX certificates_overlapping ON certificates (issuer_id, overlap_until) WHERE overlap_until IS NOT NULL;

DROP INDEX sensors_by_age;
CREATE INDEX sensors_by_age ON sensors (created_at, id, node_name, cluster_id, role, flavor, trust_state, disabled_at,
                                        revoked_at, decommissioned_at, certificate_from, certificate_until);
DROP INDEX enrollment_tokens_by_age;
CREATE INDEX enrollment_tokens_by_age ON enrollment_tokens (created_at, id, status, token_type, cluster_id, used_at,
                                                            expires_at, reserved_at);
DROP INDEX approvals_by_ruling;
CREATE INDEX approvals_by_ruling ON approvals (ruling, asked_at, id);

-- The trail grows without end: each filter has an index of its own, which knows the other filters.
CREATE INDEX audit_by_action ON audit (action_type, seq, outcome, actor_email, sensor_id);
CREATE INDEX audit_by_outcome ON audit (outcome, seq, actor_email, sensor_id);
CREATE INDEX audit_by_actor ON audit (actor_email, seq, sensor_id);
