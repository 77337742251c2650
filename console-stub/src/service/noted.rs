//! Which refused certificates stand in the audit trail already, so that a host which asks on and on does not fill it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// SHA-256 of a certificate's DER.
pub(super) type Fingerprint = [u8; 32];

/// Seconds for which one certificate's refusals stand in the audit trail as one record (ours).
const NOTED_FOR: i64 = 3600;
/// Most refused certificates that are remembered; what comes beyond them within the hour leaves no record.
const MOST_NOTED: usize = 10_000;

/// When the refusal of a certificate was last written down.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted(Arc<Mutex<HashMap<Fingerprint, i64>>>);

impl Noted {
    /// Whether a refusal at this moment is to be written down.
    pub(super) fn is_due(&self, shown: &Fingerprint, now: i64) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |at: &i64| (*at..*at + NOTED_FOR).contains(&now);
        if noted.get(shown).is_some_and(lasts) {
            return false;
        }
        if noted.len() >= MOST_NOTED {
            noted.retain(|_, at| lasts(at));
        }
        noted.len() < MOST_NOTED && noted.insert(*shown, now).is_none_or(|at| !lasts(&at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_certificate_is_noted_once_an_hour_and_memory_is_bounded() {
        let noted = Noted::default();
        let due = |name: u8, now| noted.is_due(&[name; 32], now);
        assert_eq!([due(1, 0), due(1, 3599), due(2, 3599), due(1, 3600)], [true, false, true, true]);
        assert!(due(1, 10), "a clock that was set back hides nothing");
        for at in 0..MOST_NOTED * 2 {
            let mut name = [9; 32];
            name[..8].copy_from_slice(&at.to_be_bytes());
            noted.is_due(&name, 20);
        }
        assert_eq!(noted.0.lock().unwrap().len(), MOST_NOTED);
        assert!(!due(3, 20) && due(3, 20 + NOTED_FOR));
    }
}
