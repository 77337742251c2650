//! A refusal: the code for programs, and one sentence that tells people what to do (docs/contract.md section 6).

use telovix_contract::{ErrorCode, Problem};

/// Why a request is not granted. The message never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// What it is.
    pub code: ErrorCode,
    /// What to do about it.
    pub message: String,
    /// Seconds after which to try again, where that is known.
    pub retry_after: Option<i64>,
}

impl Refusal {
    /// A refusal with this code and this sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// The same, to be tried again after so many seconds.
    pub fn after(self, seconds: i64) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..self }
    }

    /// `invalid_request`, saying which field breaks its rule and how.
    pub fn field(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::InvalidRequest, format!("The field `{name}` is not right: {problem}."))
    }

    /// The body of the answer.
    pub fn problem(&self) -> Problem {
        Problem::new(self.code, self.message.clone())
    }
}
