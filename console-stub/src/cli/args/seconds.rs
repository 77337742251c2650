//! Spans of time as people write them.

/// Reads `90s`, `15m`, `24h`, `1d`.
pub(super) fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || "write it as 90s, 15m or 24h".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let each = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let count: u32 = number.parse().map_err(|_| wrong())?;
    Ok(i64::from(count) * each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_with_its_unit() {
        assert_eq!(seconds("15m"), Ok(900));
        for bad in ["", "m", "15", "1w", "-1s", "1é"] {
            assert!(seconds(bad).is_err(), "{bad:?} was taken");
        }
    }
}
