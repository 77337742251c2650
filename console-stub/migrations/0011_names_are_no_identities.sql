-- What the rules about living records, waiting hosts and re-enrollment tokens ask for.

-- When a living record last went to its own machine without its key, and the time before that.
ALTER TABLE sensors ADD COLUMN replaced_at BIGINT;
ALTER TABLE sensors ADD COLUMN replaced_before BIGINT;

-- A re-enrollment token that works on any host.
ALTER TABLE enrollment_tokens ADD COLUMN replace_host BIGINT NOT NULL DEFAULT 0;

-- A repeat is answered with what the first answer said.
ALTER TABLE enrollments ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';

-- Why a row is on the list, which sensor's record it is about, what else the host said, and the hash of all that an approval
-- holds for. A row from before has none: its host is asked about anew.
ALTER TABLE approvals ADD COLUMN reason TEXT NOT NULL DEFAULT 'new';
ALTER TABLE approvals ADD COLUMN record_id TEXT;
ALTER TABLE approvals ADD COLUMN facts TEXT NOT NULL DEFAULT '{}';
ALTER TABLE approvals ADD COLUMN facts_sha256 TEXT NOT NULL DEFAULT '';
CREATE INDEX approvals_by_token ON approvals (token_id, reason);

-- A node that changes its names counts as the node that it was.
CREATE INDEX token_nodes_by_node ON token_nodes (node_key);
CREATE INDEX approval_rule_nodes_by_node ON approval_rule_nodes (node_key);
