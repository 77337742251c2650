-- A certificate works to its own end until a successor has been seen; one that nobody has seen ends when another follows it.
-- `ended_at`: when that was; null while it works. What ended by the hour of before works again.
DROP INDEX certificates_overlapping;
UPDATE certificates SET overlap_until = NULL
WHERE overlap_until IS NOT NULL AND first_seen_at IS NOT NULL
AND issuer_id NOT IN (SELECT i.id FROM issuers i WHERE i.retired_at IS NOT NULL)
AND NOT EXISTS (SELECT 1 FROM certificates n WHERE n.sensor_id = certificates.sensor_id
                AND n.generation > certificates.generation AND n.first_seen_at IS NOT NULL);
ALTER TABLE certificates RENAME COLUMN overlap_until TO ended_at;

-- The few successors that nobody has seen: only their predecessors work beside a sensor's newest certificate.
CREATE INDEX certificates_unseen ON certificates (sensor_id)
WHERE first_seen_at IS NULL AND ended_at IS NULL AND generation > 1;
