//! Named points of an enrollment where a test ends the process or cuts the connection.
//!
//! Invariant: without the feature `failpoints` nothing here has a size or an effect. A spec is
//! `kill:<point>[:n]` (SIGKILL at the n-th passing, the first by default) or `drop:<point>[:n]` (the connection closes
//! without an answer).

pub mod chaos;

/// Inside the enrollment's transaction, after its last statement.
pub(crate) const ENROLL_BEFORE_COMMIT: &str = "enroll.before_commit";
/// The enrollment is durable; nobody has been told.
pub(crate) const ENROLL_AFTER_COMMIT: &str = "enroll.after_commit";
/// The answer is made and about to leave.
pub(crate) const ENROLL_BEFORE_ANSWER: &str = "enroll.before_answer";

/// A fault asked for the connection to be closed without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fault cut the connection")]
pub struct Cut;

/// Why a fault cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fault is `kill:<point>[:n]` or `drop:<point>[:n]`, and {0:?} is not")]
pub struct InvalidFault(pub String);

pub use imp::Faults;

#[cfg(not(feature = "failpoints"))]
mod imp {
    use super::Cut;

    /// The faults to provoke: none, in this build.
    #[derive(Debug, Clone, Default)]
    pub struct Faults {
        nothing: [(); 0],
    }

    impl Faults {
        /// The faults of the environment: none, in this build.
        pub(crate) fn from_env() -> Result<Self, super::InvalidFault> {
            Ok(Self::default())
        }

        /// Passes a named point.
        pub fn pass(&self, _point: &str) -> Result<(), Cut> {
            // Always there; read so that both builds have the same signature.
            let [] = self.nothing;
            Ok(())
        }
    }
}

#[cfg(feature = "failpoints")]
mod imp {
    use std::str::FromStr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Cut, InvalidFault};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Action {
        Kill,
        Drop,
    }

    #[derive(Debug)]
    struct Fault {
        action: Action,
        point: String,
        at: u64,
        passed: AtomicU64,
    }

    /// The faults to provoke.
    #[derive(Debug, Clone, Default)]
    pub struct Faults(Option<Arc<Fault>>);

    impl Faults {
        /// The fault that `TELOVIX_STUB_FAULT` asks for, if it does.
        pub(crate) fn from_env() -> Result<Self, InvalidFault> {
            crate::config::fault_spec().map_or(Ok(Self::default()), |spec| spec.parse())
        }

        /// Passes a named point: kills the process or asks for the connection to be cut when its turn has come.
        /// Errors: [`Cut`] when the connection is to be closed without an answer.
        pub fn pass(&self, point: &str) -> Result<(), Cut> {
            let Some(fault) = self.0.as_deref().filter(|fault| fault.point == point) else { return Ok(()) };
            if fault.passed.fetch_add(1, Ordering::Relaxed) + 1 != fault.at {
                return Ok(());
            }
            match fault.action {
                Action::Kill => {
                    let me = nix::unistd::getpid();
                    // Nothing is left to do when the kernel refuses a signal to ourselves.
                    let _ = nix::sys::signal::kill(me, nix::sys::signal::Signal::SIGKILL);
                    Err(Cut)
                }
                Action::Drop => Err(Cut),
            }
        }
    }

    impl FromStr for Faults {
        type Err = InvalidFault;
        fn from_str(spec: &str) -> Result<Self, Self::Err> {
            let wrong = || InvalidFault(spec.to_owned());
            let mut parts = spec.split(':');
            let action = match parts.next() {
                Some("kill") => Action::Kill,
                Some("drop") => Action::Drop,
                Some(_) | None => return Err(wrong()),
            };
            let point = parts.next().filter(|point| !point.is_empty()).ok_or_else(wrong)?.to_owned();
            let at = parts.next().map_or(Ok(1), |n| n.parse::<u64>().map_err(|_| wrong()))?;
            if parts.next().is_some() || at == 0 {
                return Err(wrong());
            }
            Ok(Self(Some(Arc::new(Fault { action, point, at, passed: AtomicU64::new(0) }))))
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_fault_fires_once_at_its_turn() {
            let faults: Faults = "drop:enroll.after_commit:2".parse().unwrap();
            assert_eq!(faults.pass("enroll.before_commit"), Ok(()));
            let seen: Vec<_> = (0..4).map(|_| faults.pass("enroll.after_commit")).collect();
            assert_eq!(seen, [Ok(()), Err(Cut), Ok(()), Ok(())]);
        }

        #[test]
        fn other_specs_are_refused() {
            for bad in ["", "kill", "kill:", "stop:x", "kill:x:0", "kill:x:y", "kill:x:1:2"] {
                assert!(bad.parse::<Faults>().is_err(), "{bad:?} was taken");
            }
        }
    }
}
