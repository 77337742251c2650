//! Text from the other side, made fit to be shown, logged and stored (docs/contract.md section 3).

/// Whether a character shows itself. Control characters, line separators, and what is invisible or turns the direction
/// of writing (Unicode's categories Cc, Zl and Zp, and of Cf what hides or reorders text) can make a page, a terminal or
/// a log show something else than what is there.
pub fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text from outside as it is shown: without white space at its ends, a space for each character that is not
/// [plain](is_plain), and at most `longest` characters, the last of them `…` where it was cut.
pub fn clean(text: &str, longest: usize) -> String {
    let mut characters = text.trim().chars().map(|c| if is_plain(c) { c } else { ' ' });
    let mut shown: String = characters.by_ref().take(longest).collect();
    if characters.next().is_some() && shown.pop().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_cleaned_and_bounded() {
        assert_eq!(clean("a\x1b[31m\nb", 10), "a [31m b");
        assert_eq!(clean("  two words\n", 10), "two words");
        assert_eq!(clean("äöü", 2), "ä…");
        assert_eq!(clean("äöü", 3), "äöü");
        assert_eq!(clean("abc", 0), "");
        for hidden in [
            "\u{202e}",
            "\u{2066}",
            "\u{2069}",
            "\u{2028}",
            "\u{200b}",
            "\u{feff}",
            "\u{85}",
            "\u{e0041}",
            "\u{e0100}",
            "\u{1d173}",
        ] {
            assert_eq!(clean(&format!("a{hidden}b"), 10), "a b", "{}", hidden.escape_unicode());
        }
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["Oslo DC 1", "büro", "рабочий", "שלום", "日本語", "e\u{301}", "👍🏽"]
        {
            assert_eq!(clean(text, 50), text);
        }
    }
}
