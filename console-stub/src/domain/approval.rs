//! Whether an operator has a say in an enrollment (CONTRACT.md section 4). The rules and the waiting list come with the
//! approval modes; the decision has its place already.

/// How an enrollment stands with the operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// The mode asks for none, a rule covers it, or an operator approved.
    NotNeeded,
    /// An operator has to look first.
    Waiting,
    /// An operator said no.
    Denied,
}
