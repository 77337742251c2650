//! The tags of one sensor, together (docs/contract.md section 1).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidName, Tag, invalid};

/// Most tags of one sensor (docs/contract.md section 1, ours).
pub(crate) const MAX_TAGS: usize = 64;

/// The tags of a sensor: at most 64, in the order given, none twice (docs/contract.md section 1, ours).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tag>", into = "Vec<Tag>")]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// The tags in the order given.
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }
}

impl TryFrom<Vec<Tag>> for Tags {
    type Error = InvalidName;
    fn try_from(given: Vec<Tag>) -> Result<Self, Self::Error> {
        let mut tags: Vec<Tag> = Vec::with_capacity(given.len().min(MAX_TAGS));
        for tag in given {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
            if tags.len() > MAX_TAGS {
                return Err(invalid("tags", format!("are more than the {MAX_TAGS} allowed")));
            }
        }
        Ok(Self(tags))
    }
}

impl From<Tags> for Vec<Tag> {
    fn from(tags: Tags) -> Self {
        tags.0
    }
}

impl FromStr for Tags {
    type Err = InvalidName;
    /// Reads the comma-separated form of `TELOVIX_SENSOR_TAGS`; white space around commas and empty parts are dropped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tags: Result<Vec<Tag>, _> =
            text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::parse).collect();
        tags?.try_into()
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, tag) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(tag.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_are_counted_and_said_once() {
        let tags: Tags = " a, b ,,a".parse().unwrap();
        assert_eq!(tags.to_string(), "a,b");
        let many = (0..65).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert!(many.parse::<Tags>().is_err());
        assert!("x".repeat(129).parse::<Tags>().is_err());
        assert!(serde_json::from_str::<Tags>(r#"["a,b"]"#).is_err());
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "\\PC{0,80}") {
            if let Ok(tags) = text.parse::<Tags>() {
                prop_assert_eq!(&tags.to_string().parse::<Tags>().unwrap(), &tags);
            }
        }
    }
}
