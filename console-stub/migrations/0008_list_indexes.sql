-- Lists read a piece by an index, and what stands at the top of a page is counted by one. Nothing here changes with a heartbeat.
CREATE INDEX sensors_by_age ON sensors (created_at, id);
DROP INDEX enrollment_tokens_by_age;
CREATE INDEX enrollment_tokens_by_age ON enrollment_tokens (created_at, id);
CREATE INDEX enrollment_tokens_by_status ON enrollment_tokens (status, expires_at);
CREATE INDEX approvals_by_ruling ON approvals (ruling, asked_at);
CREATE INDEX audit_by_sensor ON audit (sensor_id, seq);
