//! The interface describes itself: a route is added together with its description, and in no other way.
//!
//! Invariant: [`Book::add`] is the only place that adds a route, so that what is served and what `docs/openapi.json` says
//! are one list. Schemas come from the types that handlers read and write.

mod book;

use std::collections::{BTreeMap, BTreeSet};

use axum::routing::MethodFilter;
use serde_json::{Map, Value, json};
use telovix_contract::ErrorCode;
use utoipa::ToSchema;

pub(super) use book::Book;

use crate::domain::role::{Act, Role, may};

const ALWAYS: [ErrorCode; 2] = [ErrorCode::RequestTimeout, ErrorCode::InternalError];
const OPERATORS: [ErrorCode; 4] =
    [ErrorCode::InvalidRequest, ErrorCode::Unauthorized, ErrorCode::Forbidden, ErrorCode::PayloadTooLarge];
const SENSORS: [ErrorCode; 5] = [
    ErrorCode::InvalidSensorTrust,
    ErrorCode::ClientCertificateRequired,
    ErrorCode::SensorRevoked,
    ErrorCode::SensorDisabled,
    ErrorCode::SensorApprovalPending,
];

#[derive(Debug, Clone, Copy)]
enum Who {
    Anyone,
    /// Who shows a sensor's client certificate.
    Sensor,
    /// Whose role or key reaches this far.
    Operator(Act),
    SignedIn,
}

#[derive(Debug, Clone)]
pub(super) struct Asked {
    name: &'static str,
    says: &'static str,
    schema: Value,
}

pub(super) fn text(name: &'static str, says: &'static str) -> Asked {
    Asked { name, says, schema: json!({"type": "string"}) }
}

pub(super) fn word<'w>(
    name: &'static str,
    says: &'static str,
    words: impl IntoIterator<Item = &'w str>,
) -> Asked {
    let words: Vec<&str> = words.into_iter().collect();
    Asked { name, says, schema: json!({"type": "string", "enum": words}) }
}

pub(super) fn number(name: &'static str, says: &'static str, from: i64, to: i64) -> Asked {
    Asked { name, says, schema: json!({"type": "integer", "minimum": from, "maximum": to}) }
}

/// One operation: what is served under a path and a method.
#[derive(Debug, Clone)]
pub(super) struct Op {
    method: MethodFilter,
    word: &'static str,
    id: &'static str,
    summary: &'static str,
    who: Who,
    query: Vec<Asked>,
    body: Option<Value>,
    answers: BTreeMap<String, Value>,
    refusals: BTreeSet<(u16, &'static str)>,
    schemas: BTreeMap<String, Value>,
}

impl Op {
    fn new(method: MethodFilter, word: &'static str, id: &'static str, summary: &'static str) -> Self {
        let op = Self {
            method,
            word,
            id,
            summary,
            who: Who::Anyone,
            query: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            refusals: BTreeSet::new(),
            schemas: BTreeMap::new(),
        };
        op.refuses(&ALWAYS)
    }

    pub(super) fn get(id: &'static str, summary: &'static str) -> Self {
        Self::new(MethodFilter::GET, "get", id, summary)
    }

    pub(super) fn post(id: &'static str, summary: &'static str) -> Self {
        Self::new(MethodFilter::POST, "post", id, summary)
    }

    pub(super) fn delete(id: &'static str, summary: &'static str) -> Self {
        Self::new(MethodFilter::DELETE, "delete", id, summary)
    }

    /// For operators who may do this, by session or API key as the path says.
    pub(super) fn operators(mut self, act: Act) -> Self {
        self.who = Who::Operator(act);
        self.refuses(&OPERATORS)
    }

    pub(super) fn signed_in(mut self) -> Self {
        self.who = Who::SignedIn;
        self.refuses(&[ErrorCode::Unauthorized])
    }

    pub(super) fn sensors(mut self) -> Self {
        self.who = Who::Sensor;
        self.refuses(&SENSORS)
    }

    pub(super) fn query(mut self, asked: impl IntoIterator<Item = Asked>) -> Self {
        self.query.extend(asked);
        self
    }

    pub(super) fn takes<T: ToSchema>(self) -> Self {
        self.body_of::<T>(true)
    }

    pub(super) fn may_take<T: ToSchema>(self) -> Self {
        self.body_of::<T>(false)
    }

    fn body_of<T: ToSchema>(mut self, required: bool) -> Self {
        let schema = self.schema_of::<T>();
        self.body = Some(json!({"required": required, "content": {"application/json": {"schema": schema}}}));
        self.refuses(&[ErrorCode::InvalidRequest, ErrorCode::PayloadTooLarge])
    }

    /// Answers so when all is well.
    pub(super) fn gives<T: ToSchema>(mut self, status: u16, says: &str) -> Self {
        let schema = self.schema_of::<T>();
        self.answers.insert(status.to_string(), answer(says, &schema));
        self
    }

    pub(super) fn gives_rows<T: ToSchema>(mut self, says: &str) -> Self {
        let rows = json!({"type": "array", "items": self.schema_of::<T>()});
        let schema = json!({"type": "object", "required": ["data"], "properties": {"data": rows}});
        self.answers.insert("200".to_owned(), answer(says, &schema));
        self
    }

    /// Takes the piece of a list that is wanted, how many rows and where it begins, and answers with it.
    pub(super) fn gives_piece<T: ToSchema>(mut self, says: &str) -> Self {
        let rows = json!({"type": "array", "items": self.schema_of::<T>()});
        let next = json!({"type": ["string", "null"], "description": "Where the next piece begins; null at the end."});
        let schema = json!({"type": "object", "required": ["data", "next_cursor"],
                            "properties": {"data": rows, "next_cursor": next}});
        self.answers.insert("200".to_owned(), answer(says, &schema));
        self.query([
            number("limit", "Most rows; 100 where absent.", 1, crate::domain::page::MOST_ROWS),
            text("cursor", "Where to go on: `next_cursor` of the piece before."),
        ])
    }

    /// Answers with something else than JSON; several media types may be added.
    pub(super) fn gives_raw(mut self, status: u16, media: &str, says: &str) -> Self {
        let answer = self.answers.entry(status.to_string()).or_insert_with(|| json!({"description": says}));
        answer["content"][media] = json!({"schema": {"type": "string"}});
        self
    }

    pub(super) fn gives_nothing(mut self, status: u16, says: &str) -> Self {
        self.answers.insert(status.to_string(), json!({"description": says}));
        self
    }

    pub(super) fn refuses(mut self, codes: &[ErrorCode]) -> Self {
        self.refusals.extend(codes.iter().map(|code| (code.status(), code.as_str())));
        self
    }

    fn schema_of<T: ToSchema>(&mut self) -> Value {
        let mut found = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut found);
        for (name, schema) in found {
            let schema = serde_json::to_value(schema).expect("a schema is JSON");
            self.schemas.insert(name, schema);
        }
        json!({"$ref": format!("#/components/schemas/{}", T::name())})
    }

    fn describe(&self, path: &str) -> Value {
        let second = path.starts_with("/api/v2/");
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = names
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        parameters.extend(self.query.iter().map(|asked| {
            json!({"name": asked.name, "in": "query", "required": false, "description": asked.says,
                   "schema": asked.schema})
        }));
        let mut responses: Map<String, Value> = self.answers.clone().into_iter().collect();
        for (status, codes) in self.by_status() {
            responses.insert(
                status.to_string(),
                json!({"$ref": format!("#/components/responses/{}", codes.join("_or_"))}),
            );
        }
        let mut operation = json!({
            "operationId": format!("{}{}", self.id, if second { "V2" } else { "" }),
            "summary": self.summary,
            "tags": [tag(path, self.who)],
            "responses": responses,
            "security": self.security(second),
        });
        if let Some(who) = who(self.who, second) {
            operation["description"] = who.into();
        }
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = &self.body {
            operation["requestBody"] = body.clone();
        }
        operation
    }

    fn by_status(&self) -> BTreeMap<u16, Vec<&'static str>> {
        let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
        for (status, code) in &self.refusals {
            by_status.entry(*status).or_default().push(code);
        }
        by_status
    }

    fn security(&self, second: bool) -> Value {
        match self.who {
            Who::Anyone => json!([]),
            Who::Sensor => json!([{"client_certificate": []}]),
            Who::Operator(_) if second => {
                json!([{"key_id": [], "key_timestamp": [], "key_nonce": [], "key_signature": []}])
            }
            Who::Operator(_) | Who::SignedIn if self.word == "get" => json!([{"session": []}]),
            Who::Operator(_) | Who::SignedIn => json!([{"session": [], "csrf": []}]),
        }
    }
}

fn answer(says: &str, schema: &Value) -> Value {
    json!({"description": says, "content": {"application/json": {"schema": schema}}})
}

fn refusal(status: u16, codes: &[&str]) -> Value {
    let schema = json!({"allOf": [
        {"$ref": "#/components/schemas/Problem"},
        {"type": "object", "properties": {"error": {"enum": codes}}},
    ]});
    let mut answer = answer(&codes.join(", "), &schema);
    if [ErrorCode::RateLimited, ErrorCode::NotReady].iter().any(|code| code.status() == status) {
        let says = "Seconds after which to try again.";
        answer["headers"]["Retry-After"] =
            json!({"description": says, "required": true, "schema": {"type": "integer", "minimum": 1}});
    }
    answer
}

fn tag(path: &str, who: Who) -> &'static str {
    match who {
        Who::Sensor => "sensors' own calls",
        Who::Operator(_) if path.starts_with("/api/v2/") => "operators, by API key",
        Who::Operator(_) | Who::SignedIn => "operators, by session",
        Who::Anyone => "public",
    }
}

fn who(who: Who, second: bool) -> Option<String> {
    match who {
        Who::Anyone => None,
        Who::Sensor => Some("The client certificate says which sensor calls.".to_owned()),
        Who::SignedIn => Some("Every role.".to_owned()),
        Who::Operator(act) if second => {
            act.scope().map(|scope| format!("The API key needs the scope `{}`.", scope.as_str()))
        }
        Who::Operator(act) => {
            let roles: Vec<_> = Role::ALL.into_iter().filter(|role| may(*role, act)).collect();
            let roles: Vec<_> = roles.into_iter().map(Role::as_str).collect();
            Some(format!("Roles: {}.", roles.join(", ")))
        }
    }
}
