//! Finds what looks like an enrollment token in any text, so that none is taken from the command line and none is shown.

use telovix_contract::text::is_plain;

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

/// Start and end of the first thing that looks like a token, with or without characters in it that do not show: a terminal may
/// leave those out.
fn token_at(text: &str) -> Option<(usize, usize)> {
    let shows = |c: &char| is_plain(*c) || c.is_whitespace();
    let shown: Vec<(usize, char)> = text.char_indices().filter(|(_, c)| shows(c)).collect();
    let is_prefix = |window: &[(usize, char)]| window.iter().map(|(_, c)| *c).eq(PREFIX.chars());
    shown.windows(PREFIX.len()).enumerate().filter(|(_, window)| is_prefix(window)).find_map(|(at, _)| {
        let tail = shown[at + PREFIX.len()..].iter();
        let tail = tail
            .take_while(|(_, c)| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | '+' | '/'))
            .map(|(place, _)| *place);
        let (length, last) = tail.fold((0, 0), |(length, _), place| (length + 1, place));
        (length >= SHORTEST_TAIL).then_some((shown[at].0, last + 1))
    })
}
