//! Lists in pieces: how many rows, and where the next piece begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Refusal;

/// Rows in a piece where nobody says.
pub const DEFAULT_ROWS: i64 = 100;
/// Most rows in a piece.
pub const MOST_ROWS: i64 = 1000;

/// The last row of a piece: the next one begins behind it. Opaque to whoever carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The number that the list is ordered by.
    pub at: i64,
    /// What tells rows with the same number apart.
    pub id: String,
}

impl Cursor {
    /// The text for the caller.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}.{}", self.at, self.id))
    }

    /// Reads the text back.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::field("cursor", "it is not one that this Console gave out");
        let plain = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let plain = String::from_utf8(plain).map_err(|_| wrong())?;
        let (at, id) = plain.split_once('.').ok_or_else(wrong)?;
        Ok(Self { at: at.parse().map_err(|_| wrong())?, id: id.to_owned() })
    }
}

/// Which piece of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Most rows.
    pub rows: i64,
    /// Behind which row; from the beginning where absent.
    pub after: Option<Cursor>,
}

impl Default for Piece {
    fn default() -> Self {
        Self { rows: DEFAULT_ROWS, after: None }
    }
}

impl Piece {
    /// Reads what a caller asks for.
    pub fn parse(limit: Option<&str>, cursor: Option<&str>) -> Result<Self, Refusal> {
        let wrong = || Refusal::field("limit", format!("it can be 1 to {MOST_ROWS}"));
        let rows = match limit {
            None => DEFAULT_ROWS,
            Some(text) => {
                text.parse().ok().filter(|rows| (1..=MOST_ROWS).contains(rows)).ok_or_else(wrong)?
            }
        };
        Ok(Self { rows, after: cursor.map(Cursor::parse).transpose()? })
    }
}

/// A piece of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// Where the next one begins, if there may be one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Makes a page of at most `most` rows out of rows of which one more was asked for.
    pub(crate) fn cut(mut rows: Vec<T>, most: i64, cursor: impl Fn(&T) -> Cursor) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let more = rows.len() > most;
        rows.truncate(most);
        let next = if more { rows.last().map(cursor) } else { None };
        Self { rows, next }
    }

    pub(crate) fn map<U>(self, view: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(view).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_others_are_refused() {
        let cursor = Cursor { at: -5, id: "a.b".to_owned() };
        assert_eq!(Cursor::parse(&cursor.to_text()), Ok(cursor.clone()));
        for bad in ["", "!", "eA", "eC55"] {
            assert!(Cursor::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Piece::parse(Some("1000"), Some(&cursor.to_text())).unwrap().after, Some(cursor));
        for bad in ["0", "1001", "x", "-1"] {
            assert!(Piece::parse(Some(bad), None).is_err(), "{bad}");
        }
        assert_eq!(Piece::parse(None, None).unwrap(), Piece::default());
    }

    #[test]
    fn a_page_knows_whether_there_is_more() {
        let at = |row: &i64| Cursor { at: *row, id: String::new() };
        assert_eq!(Page::cut(vec![1, 2, 3], 2, at).next.unwrap().at, 2);
        assert_eq!(Page::cut(vec![1, 2], 2, at).next, None);
    }
}
