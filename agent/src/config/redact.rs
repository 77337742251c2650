//! Finds what looks like an enrollment token in any text, so that none is taken from the command line and none is shown.

/// Whether a text holds something that looks like an enrollment token or a good part of one.
pub fn looks_like_token(text: &str) -> bool {
    token_at(text).is_some()
}

/// The text with everything in it that looks like an enrollment token taken out: for messages that quote what others
/// wrote.
pub fn redact_tokens(text: &str) -> String {
    let mut rest = text;
    let mut clean = String::with_capacity(text.len());
    while let Some((start, end)) = token_at(rest) {
        clean.push_str(&rest[..start]);
        clean.push_str("tse_<redacted>");
        rest = &rest[end..];
    }
    clean.push_str(rest);
    clean
}

const PREFIX: &str = telovix_contract::token::TOKEN_PREFIX;
/// Shorter tails are words (`tse_role`), and give nothing of the secret away.
const SHORTEST_TAIL: usize = 12;

/// Start and end of the first thing that looks like a token.
fn token_at(text: &str) -> Option<(usize, usize)> {
    text.match_indices(PREFIX).find_map(|(start, _)| {
        let tail = &text[start + PREFIX.len()..];
        let length = tail
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=' | b'+' | b'/'))
            .count();
        (length >= SHORTEST_TAIL).then(|| (start, start + PREFIX.len() + length))
    })
}
