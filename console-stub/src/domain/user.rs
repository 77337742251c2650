//! Operators who sign in: what an account may be, how long a session lasts, when an account is locked (ours).

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use telovix_contract::ErrorCode;
use telovix_contract::text::is_plain;
use telovix_contract::token::hex;

use super::Refusal;

/// Fewest characters of a password.
pub(crate) const PASSWORD_SHORTEST: usize = 12;
/// Most characters of a password: hashing costs time by the length.
pub(crate) const PASSWORD_LONGEST: usize = 1024;
/// Seconds that a session lasts at most: 12 hours.
pub(crate) const SESSION_LONGEST: i64 = 12 * 3600;
/// Seconds without a call after which a session ends: 1 hour.
pub(crate) const SESSION_IDLE: i64 = 3600;
/// Failures after which an account is locked.
pub(crate) const MOST_FAILURES: i64 = 5;
/// Seconds that it stays locked, and after which failures are forgotten: 15 minutes.
pub(crate) const LOCKED_FOR: i64 = 15 * 60;

pub(crate) fn check_email(field: &str, email: &str) -> Result<(), Refusal> {
    let plain = email.len() <= 254 && email.chars().all(|c| is_plain(c) && !c.is_whitespace());
    let parts = email.split('@').filter(|part| !part.is_empty()).count();
    if plain && parts == 2 && email.matches('@').count() == 1 {
        Ok(())
    } else {
        Err(Refusal::field(field, "it is not an e-mail address"))
    }
}

pub(crate) fn check_password(field: &str, password: &str) -> Result<(), Refusal> {
    if (PASSWORD_SHORTEST..=PASSWORD_LONGEST).contains(&password.chars().count()) {
        return Ok(());
    }
    let problem =
        format!("it has to be at least {PASSWORD_SHORTEST} characters long, and at most {PASSWORD_LONGEST}");
    Err(Refusal::field(field, problem))
}

/// Whether an account with so many failures, the last at `last_at`, is locked.
pub(crate) fn is_locked(failures: i64, last_at: i64, now: i64) -> bool {
    failures >= MOST_FAILURES && is_recent(last_at, now)
}

pub(crate) fn one_more_failure(failures: i64, last_at: i64, now: i64) -> i64 {
    if is_recent(last_at, now) { failures + 1 } else { 1 }
}

/// A failure from the future, which a clock that was ahead has noted, locks nobody out until then.
fn is_recent(last_at: i64, now: i64) -> bool {
    (now - last_at).abs() < LOCKED_FOR
}

/// A session from the future, which a clock that was ahead has made, lives no longer for that.
pub(crate) fn session_lives(created_at: i64, last_seen_at: i64, now: i64) -> bool {
    (now - created_at).abs() < SESSION_LONGEST && (now - last_seen_at).abs() < SESSION_IDLE
}

/// What a page has to send with each change, so that another site, which cannot read it, changes nothing. Made from the
/// session's secret, which scripts cannot read either.
pub(crate) fn csrf_token(secret: &str) -> String {
    hex(&Sha256::digest(format!("telovix-csrf\n{secret}")))
}

/// Compares in constant time.
pub(crate) fn csrf_holds(secret: &str, given: &str) -> bool {
    csrf_token(secret).as_bytes().ct_eq(given.as_bytes()).into()
}

/// The one refusal for an unknown address, a wrong password and a disabled account.
pub(crate) fn wrong_login() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, "The address or the password is wrong; try again.")
}

pub(crate) fn locked(last_at: i64, now: i64) -> Refusal {
    let message = "There were too many failures for this address; try again a quarter of an hour later.";
    Refusal::new(ErrorCode::RateLimited, message).after((LOCKED_FOR - (now - last_at)).min(LOCKED_FOR))
}

pub(crate) fn not_signed_in() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, "You are not signed in, or no longer; sign in at /api/v1/session.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_5_lockout_and_sessions_at_their_bounds() {
        assert!(!is_locked(4, 0, 0) && is_locked(5, 0, LOCKED_FOR - 1) && !is_locked(5, 0, LOCKED_FOR));
        assert_eq!((one_more_failure(4, 0, 1), one_more_failure(9, 0, LOCKED_FOR)), (5, 1));
        // The clock was a month ahead, and was put right.
        assert!(!is_locked(5, 30 * 86_400, 0) && is_locked(5, LOCKED_FOR - 1, 0));
        assert_eq!(locked(60, 0).retry_after, Some(LOCKED_FOR));
        assert!(session_lives(0, 0, SESSION_IDLE - 1) && !session_lives(0, 0, SESSION_IDLE));
        assert!(!session_lives(SESSION_LONGEST, 0, 0) && !session_lives(0, SESSION_IDLE, 0));
        let (end, seen) = (SESSION_LONGEST, SESSION_LONGEST - 1);
        assert!(session_lives(0, seen, end - 1) && !session_lives(0, seen, end));
        assert!(
            csrf_holds("a", &csrf_token("a")) && !csrf_holds("a", &csrf_token("b")) && !csrf_holds("a", "")
        );
    }

    #[test]
    fn accounts_are_checked() {
        check_email("email", "a@b.c").unwrap();
        for bad in ["", "a", "a@", "@b", "a@b@c", "a b@c"] {
            assert!(check_email("email", bad).is_err(), "{bad:?}");
        }
        check_password("password", &"é".repeat(12)).unwrap();
        assert!(check_password("password", &"x".repeat(11)).is_err());
        assert!(check_password("password", &"x".repeat(1025)).is_err());
    }
}
