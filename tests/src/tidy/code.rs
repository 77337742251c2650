//! Rust without its comments and its string literals, so that a check reads code and not prose.

/// The text with comments and the contents of literals blanked out; lines stay where they are.
pub fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = comment(rest).or_else(|| raw_string(rest, &code)).or_else(|| quoted(rest)).unwrap_or(0);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

fn raw_string(text: &str, before: &str) -> Option<usize> {
    let inner = text.strip_prefix('r')?;
    if before.ends_with(|c: char| c == '_' || c.is_alphanumeric()) && !before.ends_with('b') {
        return None;
    }
    let hashes = inner.bytes().take_while(|byte| *byte == b'#').count();
    let body = inner[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

fn quoted(text: &str) -> Option<usize> {
    let mut characters = text.char_indices();
    let (_, quote) = characters.next()?;
    match quote {
        '"' => {}
        // A lifetime has no second quote right behind its first letter.
        '\'' if text[1..].starts_with('\\') || text.chars().nth(2) == Some('\'') => {}
        _ => return None,
    }
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return Some(at + 1);
        }
    }
    Some(text.len())
}

/// Where one of these words stands right before an opening parenthesis.
pub(super) fn calls<'w>(code: &str, words: &[&'w str]) -> Vec<(usize, &'w str)> {
    let mut found = Vec::new();
    for word in words {
        for (at, _) in code.match_indices(*word) {
            let alone = !code[..at].ends_with(|c: char| c == '_' || c.is_alphanumeric());
            if alone && code[at + word.len()..].starts_with('(') {
                found.push((at, *word));
            }
        }
    }
    found.sort_unstable();
    found
}

/// What stands in the parentheses that open at the beginning.
pub(super) fn parenthesised(code: &str) -> &str {
    let mut depth = 0;
    for (at, character) in code.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[..at];
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_lines_stay() {
        let text = "a /* x /* y */ z */ b // crate::x\nlet s = \"crate::y \\\" // \"; 'q' 'a: &'a str; '\\'' r#\"crate::z \" \"# c";
        let code = code_of(text);
        assert!(!code.contains("crate") && !code.contains('x') && !code.contains('q'), "{code}");
        assert_eq!(code.lines().count(), 2);
        assert!(code.contains("&'a str") && code.ends_with(" c"), "{code}");
        assert_eq!(code_of("for r in 0..1 { \"ä\" }").trim_end(), "for r in 0..1 {     }");
    }
}
