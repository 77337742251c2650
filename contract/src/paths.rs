//! Where the calls live (docs/contract.md sections 3 and 5). The sensor paths are ours: change them here.

/// `GET`, no authentication: the Console's CA.
pub const TRUST_BOOTSTRAP: &str = "/api/v1/sensors/trust-bootstrap";
/// `POST`, the token in the body.
pub const ENROLL: &str = "/api/v1/sensors/enroll";
/// `POST`, mutual TLS.
pub const HEARTBEAT: &str = "/api/v1/sensors/self/heartbeat";
/// `POST`, mutual TLS.
pub const RENEW: &str = "/api/v1/sensors/self/certificate/renew";
/// `POST`, mutual TLS, no body.
pub const DECOMMISSION: &str = "/api/v1/sensors/self/decommission";
/// `GET`, no authentication: the installer.
pub const INSTALL_SH: &str = "/install.sh";
/// `GET`, no authentication, followed by `/amd64` or `/arm64`: the agent's binary.
pub const BINARY: &str = "/api/v1/sensors/binary";
/// `GET`: the process lives.
pub const HEALTHZ: &str = "/healthz";
/// `GET`: set-up is finished and the database answers.
pub const READYZ: &str = "/readyz";
/// `POST` to sign in, `GET`, `DELETE` to sign out: the browser's session (ours).
pub const V1_SESSION: &str = "/api/v1/session";
/// `GET`, `POST`: settings, for administrators (ours).
pub const V1_SETTINGS: &str = "/api/v1/settings";
/// What an operator should know after a restore from a backup.
pub const V1_AFTER_RESTORE: &str = "/api/v1/settings/after-restore";
/// `cluster-tokens`, and beside it `tokens`, `rules` and `approvals` (ours), with a session.
pub const V1_ENROLLMENT: &str = "/api/v1/enrollment";
/// The fleet, with a session (ours).
pub const V1_SENSORS: &str = "/api/v1/sensors";
/// `GET`: the audit trail, with a session (ours).
pub const V1_AUDIT: &str = "/api/v1/audit";
/// Operators who sign in, with a session (ours).
pub const V1_USERS: &str = "/api/v1/users";
/// API keys of the v2 interface, with a session (ours).
pub const V1_API_KEYS: &str = "/api/v1/api-keys";
/// `GET`, `POST`: the licence, with a session (ours).
pub const V1_LICENSE: &str = "/api/v1/license";
/// `GET`: the OpenAPI document of all these (ours).
pub const OPENAPI: &str = "/api/openapi.json";
/// Tokens, and beside them `rules` and `approvals` (ours), with an API key.
pub const V2_ENROLLMENT: &str = "/api/v2/enrollment";
/// `GET`: the audit trail, with an API key (ours).
pub const V2_AUDIT: &str = "/api/v2/audit";
/// `POST`, `GET`: tokens, with an API key.
pub const V2_TOKENS: &str = "/api/v2/enrollment/tokens";
/// `GET`: the fleet, with an API key.
pub const V2_SENSORS: &str = "/api/v2/sensors";
/// Port of the Console's one listener where nobody chose another (docs/contract.md section 2).
pub const DEFAULT_PORT: u16 = 15483;
