//! Schemas (JSON Schema 2020-12, as OpenAPI 3.1 has it) of the types that read themselves from a text or a list.
//!
//! A schema here says the same as the type's own `FromStr`, as far as JSON Schema can; the system test
//! `schemathesis.sh` holds the two against each other.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::ids::{
    ClusterName, Flavor, InstallId, MAX_CLUSTER_NAME, MAX_NODE_NAME, MAX_NODE_ROLE, MAX_TAG, NodeName,
    NodeRole, SensorId, Tag,
};
use crate::states::{HealthState, SensorStatus, TokenStatus, TokenType, TrustHealth, TrustState};
use crate::tags::{MAX_TAGS, Tags};
use crate::token::EnrollmentToken;

/// Letters, digits, dots, hyphens and underscores, a letter or digit at both ends.
const HOST_LIKE: &str = "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$";

/// What `text::is_plain` refuses, as part of a class of characters.
const HIDDEN: &str = r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb";

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn host_like(longest: usize) -> ObjectBuilder {
    text().min_length(Some(1)).max_length(Some(longest)).pattern(Some(HOST_LIKE))
}

macro_rules! schemas {
    ($($name:ident: $words:literal, $schema:expr;)+) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.description(Some($words)).build().into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

schemas! {
    SensorId: "One enrolled node identity.", text().format(Some(SchemaFormat::Custom("uuid".to_owned())));
    NodeName: "A node's name.", host_like(MAX_NODE_NAME);
    ClusterName: "The name of one cluster; white space at the ends is dropped.",
        text().min_length(Some(1)).max_length(Some(MAX_CLUSTER_NAME))
            .pattern(Some(format!(r"^[^{HIDDEN}]*[^\s{HIDDEN}][^{HIDDEN}]*$")));
    InstallId: "One installation within a cluster.", host_like(MAX_CLUSTER_NAME);
    NodeRole: "What a node is for: generic_linux, o_du, amf, …",
        text().min_length(Some(1)).max_length(Some(MAX_NODE_ROLE)).pattern(Some("^[a-z0-9_]+$"));
    // No comma, no control character, no white space at the ends.
    Tag: "One label of a sensor.", text().min_length(Some(1)).max_length(Some(MAX_TAG))
        .pattern(Some(r"^[^\s,\x00-\x1f\x7f-\x9f]([^,\x00-\x1f\x7f-\x9f]*[^\s,\x00-\x1f\x7f-\x9f])?$"));
    Tags: "The labels of a sensor; one said twice counts once.",
        ArrayBuilder::new().items(Tag::schema()).max_items(Some(MAX_TAGS));
    // No pattern: a malformed token is answered as an unknown one is.
    EnrollmentToken: "`tse_` and 32 random bytes in URL-safe base64.",
        text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)));
    Flavor: "Edition of the product.", text().enum_values(Some([Flavor::Standard, Flavor::Telecom].map(Flavor::as_str)));
}

macro_rules! words {
    ($($name:ident: $words:literal;)+) => {
        schemas! {$($name: $words, text().enum_values(Some($name::ALL.iter().map(|value| value.as_str())));)+}
    };
}

words! {
    TrustState: "What the Console thinks of an identity.";
    SensorStatus: "How a sensor stands in the fleet list.";
    TrustHealth: "How the certificate of a sensor stands.";
    HealthState: "How lately a sensor was heard of.";
    TokenStatus: "The life of a token.";
    TokenType: "The kinds of token.";
}
