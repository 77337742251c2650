//! Times and states in words for people.

use jiff::Timestamp;

/// What was just done, by the word in the address; no text of the address comes back.
pub(super) fn done(word: Option<&str>) -> Option<&'static str> {
    const DONE: [(&str, &str); 16] = [
        ("renew", "The sensor is asked to renew its certificate; it hears of it with its next heartbeat."),
        ("disable", "The sensor is disabled."),
        ("enable", "The sensor is enabled again."),
        ("revoke", "The sensor is revoked; its licence slot is free."),
        ("delete", "The sensor is deleted."),
        ("token-revoked", "The token is revoked."),
        ("rule-created", "The rule is made."),
        ("rule-deleted", "The rule is deleted; sensors that it let in stay."),
        ("approved", "Let in; each host hears of it when it asks again."),
        (
            "approved-full",
            "Let in, and the licence is full: a host without a slot enrolls when one is free. Raise the licence, or decommission nodes.",
        ),
        ("denied", "Turned away."),
        ("setting", "The setting is changed."),
        ("user", "The user is changed."),
        ("key", "The API key is revoked."),
        ("licence", "The licence is imported."),
        ("issuer", "The CA is changed; the sensors follow within the time that was set."),
    ];
    DONE.into_iter().find(|(known, _)| Some(*known) == word).map(|(_, says)| says)
}

/// `2026-11-24 02:40:11 UTC`.
pub(super) fn clock_time(at: &Timestamp) -> String {
    at.strftime("%F %T UTC").to_string()
}

/// A length of time by its largest unit: `12 d`, `3 h`, `5 min`, `20 s`.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..0 => "0 s".to_owned(),
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long ago, or `never`.
pub(super) fn ago(at: Option<Timestamp>, now: i64) -> String {
    at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", span(now - at.as_second())))
}

/// What is left until then, or `over`.
pub(super) fn left(end: Timestamp, now: i64) -> String {
    let seconds = end.as_second() - now;
    if seconds <= 0 { "over".to_owned() } else { span(seconds) }
}

/// A text as `helm --set-string NAME=` takes it from a shell: helm splits at commas, the shell ends at quotes.
pub(super) fn helm_value(text: &str) -> String {
    let escaped: String = text
        .chars()
        .flat_map(|c| matches!(c, '\\' | ',' | '{' | '}').then_some('\\').into_iter().chain([c]))
        .collect();
    format!("'{}'", escaped.replace('\'', r"'\''"))
}

/// A word of the contract for people: `renewal due` of `renewal_due`.
pub(super) fn plain(word: &str) -> String {
    word.replace('_', " ")
}

/// A number of bytes by its largest unit: `23.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, size)| bytes >= *size) {
        None => format!("{bytes} B"),
        // Tenths, and the rest is cut off, so that no unit ever says more than there is.
        Some((unit, size)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// The first eight characters, for an id that a link leads on from.
pub(super) fn start(id: &str) -> String {
    id.chars().take(8).collect()
}

#[derive(Debug)]
pub(super) struct Choice {
    pub(super) word: &'static str,
    pub(super) chosen: bool,
}

/// The choices of a field, with the chosen one marked.
pub(super) fn choices(words: impl IntoIterator<Item = &'static str>, chosen: &str) -> Vec<Choice> {
    words.into_iter().map(|word| Choice { word, chosen: word == chosen }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::timestamp;

    #[test]
    fn a_name_passes_through_shell_and_helm() {
        assert_eq!(helm_value("Oslo DC 1"), "'Oslo DC 1'");
        assert_eq!(helm_value(r"O'Brien, {a}\b"), r"'O'\''Brien\, \{a\}\\b'");
    }

    #[test]
    fn times_in_words() {
        assert_eq!(clock_time(&"2026-11-24T02:40:11Z".parse().unwrap()), "2026-11-24 02:40:11 UTC");
        assert_eq!(
            [-1, 119, 120, 7200, 172_800].map(span),
            ["0 s", "119 s", "2 min", "2 h", "2 d"].map(str::to_owned)
        );
        assert_eq!(ago(None, 0), "never");
        assert_eq!(ago(Some(timestamp(10)), 15), "5 s ago");
        assert_eq!([left(timestamp(10), 10), left(timestamp(70), 10)], ["over", "60 s"]);
        assert_eq!(done(Some("<script>")), None);
        assert_eq!(plain("renewal_due"), "renewal due");
        let sizes = [0, 1023, 1024, 25_276_510_208, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "23.5 GiB", "17179869183.9 GiB"]);
    }
}
