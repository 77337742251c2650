//! Names: sensors, nodes, clusters, roles, flavors and single tags (docs/contract.md section 1).
//!
//! Invariant: a value of one of these types keeps the rule in its doc comment. Names are shown on pages, in logs and
//! on terminals, so none of them can hold a control character; a cluster name and a tag can hold spaces and markup.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::text::is_plain;

/// Longest node name: that of a fully qualified DNS name, RFC 1035 section 2.3.4.
pub(crate) const MAX_NODE_NAME: usize = 253;
/// Longest node name that fits a certificate's common name (`ub-common-name`, RFC 5280 appendix A.1); a longer one
/// goes in full into a DNS subject alternative name (docs/contract.md section 3, ours).
pub const MAX_COMMON_NAME: usize = 64;
/// Longest node role (docs/contract.md section 1, ours).
pub(crate) const MAX_NODE_ROLE: usize = 64;
/// Longest cluster name or install id (ours).
pub(crate) const MAX_CLUSTER_NAME: usize = 128;
/// Longest tag, in characters (docs/contract.md section 1, ours).
pub(crate) const MAX_TAG: usize = 128;

/// Why a text is not a name of the kind asked for. Says what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct InvalidName {
    what: &'static str,
    /// What is wrong with it, with the rule.
    problem: String,
}

pub(crate) fn invalid(what: &'static str, problem: impl Into<String>) -> InvalidName {
    InvalidName { what, problem: problem.into() }
}

/// One enrolled node identity, made by the Console: a UUID, version 4 (docs/contract.md section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SensorId(Uuid);

impl SensorId {
    /// A fresh random id. Only a Console calls this.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The URI that stands in the certificate's subject alternative name (docs/contract.md section 3, ours).
    pub fn to_uri(self) -> String {
        format!("{SENSOR_URI_PREFIX}{self}")
    }

    /// Reads the id back from a certificate's URI; `None` when it is another kind of URI.
    pub fn from_uri(uri: &str) -> Option<Self> {
        uri.strip_prefix(SENSOR_URI_PREFIX)?.parse().ok()
    }
}

/// Start of every sensor URI (docs/contract.md section 3, ours).
const SENSOR_URI_PREFIX: &str = "telovix://sensor/";

impl fmt::Display for SensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SensorId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `Uuid::parse_str` also reads braces, URNs and the 32-digit form; one spelling keeps comparisons honest.
        match Uuid::try_parse(text) {
            Ok(id) if text.len() == 36 => Ok(Self(id)),
            Ok(_) | Err(_) => {
                Err(invalid("sensor id", "is not a UUID such as 3f2b8c1e-7a64-4d1b-9f37-5d0c2a9e6b10"))
            }
        }
    }
}

impl TryFrom<String> for SensorId {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SensorId> for String {
    fn from(id: SensorId) -> Self {
        id.to_string()
    }
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        text_name!($(#[$doc])* $name, |text| text, $check);
    };
    ($(#[$doc:meta])* $name:ident, $trim:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let (trim, check): (fn(&str) -> &str, fn(&str) -> Result<(), InvalidName>) = ($trim, $check);
                let text = trim(text);
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_name!(
    /// A node's name: 1 to 253 ASCII letters, digits, dots, hyphens and underscores, starting and ending with a letter
    /// or digit; that is every host name and every Kubernetes node name.
    NodeName,
    |text| host_like("node name", text, MAX_NODE_NAME)
);

impl NodeName {
    /// Whether it is a valid DNS name as well (RFC 1123 section 2.1): only then a certificate can have it as one.
    pub fn is_dns_name(&self) -> bool {
        self.0.split('.').all(|label| {
            let hyphens = label.starts_with('-') || label.ends_with('-');
            (1..=63).contains(&label.len()) && !hyphens && !label.contains('_')
        })
    }
}

text_name!(
    /// What a node is for, `[a-z0-9_]{1,64}`: `generic_linux`, `o_du`, `amf`, … (docs/contract.md section 1).
    NodeRole,
    |text| {
        if text.is_empty() || text.len() > MAX_NODE_ROLE {
            return Err(invalid("node role", format!("has to be 1 to {MAX_NODE_ROLE} characters long")));
        }
        match text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_')) {
            None => Ok(()),
            Some(c) => Err(invalid(
                "node role",
                format!("holds {c:?}; only a-z, 0-9 and _ may stand there, as in generic_linux"),
            )),
        }
    }
);

impl Default for NodeRole {
    fn default() -> Self {
        Self("generic_linux".to_owned())
    }
}

text_name!(
    /// The name of one cluster, which is also the `cluster_id` that tokens and rules are bound to: 1 to 128 characters,
    /// none of them hidden; white space at the ends is dropped (docs/contract.md section 8). Can hold spaces, quotes and
    /// slashes.
    ClusterName,
    str::trim,
    |text| {
        let length = text.chars().count();
        if length == 0 || length > MAX_CLUSTER_NAME {
            let problem = format!("has {length} characters; 1 to {MAX_CLUSTER_NAME} are allowed");
            return Err(invalid("cluster name", problem));
        }
        match text.chars().find(|c| !is_plain(*c)) {
            None => Ok(()),
            Some(c) => {
                let problem = format!("holds {}, a control or invisible character", c.escape_unicode());
                Err(invalid("cluster name", problem))
            }
        }
    }
);

text_name!(
    /// One installation of the agent within a cluster (a Helm release, say); with cluster and node name it makes the
    /// node key of docs/contract.md section 4. The alphabet of a node name.
    InstallId,
    |text| host_like("install id", text, MAX_CLUSTER_NAME)
);

text_name!(
    /// One label of a sensor: 1 to 128 characters, no comma (the separator on the wire), no control character, no
    /// white space at the ends.
    Tag,
    |text| {
        let length = text.chars().count();
        if length == 0 || length > MAX_TAG {
            return Err(invalid("tag", format!("has {length} characters; 1 to {MAX_TAG} are allowed")));
        }
        if text.contains(',') {
            return Err(invalid("tag", "holds a comma, which separates tags"));
        }
        if !text.chars().all(is_plain) {
            return Err(invalid("tag", "holds a control or invisible character"));
        }
        if text.trim() != text {
            return Err(invalid("tag", "starts or ends with white space"));
        }
        Ok(())
    }
);

fn host_like(what: &'static str, text: &str, longest: usize) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(invalid(what, "is empty"));
    }
    if let Some(c) = text.chars().find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_'))
    {
        return Err(invalid(
            what,
            format!("holds {c:?}; only letters, digits, dots, hyphens and underscores may stand there"),
        ));
    }
    if text.len() > longest {
        return Err(invalid(
            what,
            format!("is {} characters long; at most {longest} are allowed", text.len()),
        ));
    }
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if !ends(text.chars().next()) || !ends(text.chars().next_back()) {
        return Err(invalid(what, "has to start and end with a letter or a digit"));
    }
    Ok(())
}

/// Which edition of the product a sensor belongs to (docs/contract.md section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// The general edition.
    #[default]
    Standard,
    /// The edition for mobile networks.
    Telecom,
}

impl Flavor {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Telecom => "telecom",
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Flavor {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "standard" => Ok(Self::Standard),
            "telecom" => Ok(Self::Telecom),
            other => Err(invalid("flavor", format!("is {other:?}; it can be standard or telecom"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn node_names_are_host_names_and_nothing_else() {
        for good in ["a", "edge-17", "worker-3.example.internal", "A_b.c", &"n".repeat(253)] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", ".a", "a b", "a\n", "<b>", "ä", "a/b", &"n".repeat(254)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn cluster_names_are_what_people_call_their_clusters() {
        for good in ["lab", "Oslo DC 1", "a/b", "O'Brien & Søn <1>", &"ä".repeat(128)] {
            assert_eq!(good.parse::<ClusterName>().unwrap().as_str(), good);
        }
        assert_eq!(" \u{a0}Oslo DC 1\n".parse::<ClusterName>().unwrap().as_str(), "Oslo DC 1");
        for bad in [
            "",
            " \n",
            "a\nb",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{2028}b",
            "a\u{200b}b",
            "\u{feff}a",
            &"ä".repeat(129),
        ] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad:?} was taken");
        }
        let read: ClusterName = serde_json::from_str("\" Oslo DC 1 \"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"Oslo DC 1\"");
    }

    #[test]
    fn roles_keep_their_alphabet() {
        for good in ["generic_linux", "o_du", "5g", &"r".repeat(64)] {
            good.parse::<NodeRole>().unwrap();
        }
        for bad in ["", "O_DU", "o-du", "a b", &"r".repeat(65)] {
            assert!(bad.parse::<NodeRole>().is_err(), "{bad:?} was taken");
        }
        let error = "o-du".parse::<NodeRole>().unwrap_err().to_string();
        assert!(error.contains("'-'") && error.contains("generic_linux"), "{error}");
    }

    #[test]
    fn sensor_ids_have_one_spelling_and_live_in_a_uri() {
        let id = SensorId::random();
        assert_eq!(id.to_string().parse::<SensorId>().unwrap(), id);
        assert_eq!(SensorId::from_uri(&id.to_uri()), Some(id));
        let bare = id.to_string().replace('-', "");
        assert!(bare.parse::<SensorId>().is_err());
        assert_eq!(SensorId::from_uri("spiffe://x/y"), None);
        assert_eq!(SensorId::from_uri(&format!("{SENSOR_URI_PREFIX}{{{id}}}")), None);
        for other in [format!("{{{id}}}"), format!("urn:uuid:{id}"), bare] {
            assert!(serde_json::from_value::<SensorId>(other.clone().into()).is_err(), "{other} was taken");
        }
        assert_eq!(serde_json::from_value::<SensorId>(serde_json::to_value(id).unwrap()).unwrap(), id);
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "\\PC{0,80}") {
            if let Ok(name) = text.parse::<NodeName>() { prop_assert_eq!(name.to_string(), text.clone()); }
            if let Ok(role) = text.parse::<NodeRole>() { prop_assert_eq!(role.to_string(), text.clone()); }
            if let Ok(tag) = text.parse::<Tag>() { prop_assert_eq!(tag.to_string(), text.clone()); }
        }
    }
}
