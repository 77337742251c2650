-- An operator's wish that a sensor renew its certificate between these moments; gone once it has.
ALTER TABLE sensors ADD COLUMN renew_from BIGINT;
ALTER TABLE sensors ADD COLUMN renew_until BIGINT;
