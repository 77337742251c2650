//! Who looks at a page, and what a form says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::{Query, Request};
use http::request::Parts;
use telovix_contract::ErrorCode;
use zeroize::Zeroizing;

use crate::api::{Api, read_body, session};
use crate::domain::Refusal;
use crate::domain::audit::Origin;
use crate::domain::page::{Cursor, Piece};
use crate::domain::role::{Act, Role};
use crate::domain::user::{csrf_holds, csrf_token};
use crate::service::ServiceError;

const ROWS: i64 = 50;
const CSRF_FIELD: &str = "csrf_token";

/// An operator who is signed in.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) email: String,
    pub(super) role: Role,
    /// What each form has to bring back.
    pub(super) csrf: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) origin: Origin,
    /// What there was to see before the page was made; see `Console::stamp_of_news`.
    pub(super) stamp: String,
}

impl Visitor {
    /// Whoever asks, if they may do this.
    /// Errors: `unauthorized`, which a page turns into the way to the sign-in; `forbidden`.
    pub(super) async fn of(api: &Api, parts: &Parts, act: Act) -> Result<Self, ServiceError> {
        let (operator, secret) = session::whose(api, &parts.headers).await?;
        session::permit(operator.role, act)?;
        let origin = Origin { actor_email: Some(operator.email.clone()), ..session::source(parts) };
        let csrf = csrf_token(&secret);
        let stamp = api.console.stamp_of_news().await?;
        Ok(Self { email: operator.email, role: operator.role, csrf, secret, origin, stamp })
    }

    /// Why the role may not do this, where it may not.
    pub(super) fn barred(&self, act: Act) -> Option<String> {
        session::permit(self.role, act).err().map(|refusal| refusal.message)
    }
}

/// Whoever opens a page, if they may, and what its address asks for: how every page begins.
/// Errors: as [`Visitor::of`]; `invalid_request` for an address that cannot be read.
pub(super) async fn opened(api: &Api, request: Request, act: Act) -> Result<(Visitor, Asked), ServiceError> {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(api, &parts, act).await?;
    Ok((visitor, Asked::of(&parts)?))
}

pub(super) fn named<T: FromStr>(id: &str, thing: &str) -> Result<T, Refusal> {
    id.parse().map_err(|_| Refusal::new(ErrorCode::NotFound, format!("There is no such {thing}.")))
}

/// Whoever sends a form, if they may do this and meant it, with what it says.
/// Errors: as [`Visitor::of`]; `forbidden` without the session's CSRF token; what a body may be refused for.
pub(super) async fn posted(api: &Api, request: Request, act: Act) -> Result<(Visitor, Form), ServiceError> {
    let (parts, body) = request.into_parts();
    let visitor = Visitor::of(api, &parts, act).await?;
    let form = Form::read(&read_body(body, api.limits.body).await?);
    require_token(&visitor.secret, &form)?;
    Ok((visitor, form))
}

/// Checks that a form came from a page that holds this secret's token.
pub(super) fn require_token(secret: &str, form: &Form) -> Result<(), Refusal> {
    if csrf_holds(secret, form.text(CSRF_FIELD).unwrap_or_default()) {
        return Ok(());
    }
    let message = "The form was not this session's, or too old; load the page again and repeat it.";
    Err(Refusal::new(ErrorCode::Forbidden, message))
}

/// What a form says, or an address behind its question mark.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(Zeroizing<String>, Zeroizing<String>)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`. Bytes that are no UTF-8 become replacement characters.
    pub(super) fn read(body: &[u8]) -> Self {
        let own = |text: Cow<'_, str>| Zeroizing::new(text.into_owned());
        Self(form_urlencoded::parse(body).map(|(name, value)| (own(name), own(value))).collect())
    }

    /// A field that was filled in, without the blanks around it.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// A field as it is.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field that may stand several times.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key.as_str() == name).map(|(_, value)| value.as_str())
    }

    /// A field of this type, if it was filled in.
    pub(super) fn parsed<T>(&self, name: &str) -> Result<Option<T>, Refusal>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        self.text(name).map(str::parse).transpose().map_err(|error| Refusal::field(name, error))
    }
}

#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<String, String>);

impl Asked {
    pub(super) fn of(parts: &Parts) -> Result<Self, Refusal> {
        let wrong =
            |_| Refusal::new(ErrorCode::InvalidRequest, "The address cannot be read; follow a link instead.");
        Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(wrong)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The same, as it is shown again in its field.
    pub(super) fn shown(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    pub(super) fn word<T>(&self, name: &str, read: fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        let wrong = || Refusal::field(name, "it is no word of the contract");
        self.text(name).map(|word| read(&word).ok_or_else(wrong)).transpose()
    }

    pub(super) fn piece(&self) -> Result<Piece, Refusal> {
        let after = self.text("cursor").map(|text| Cursor::parse(&text)).transpose()?;
        Ok(Piece { rows: ROWS, after })
    }

    /// The address of the next piece under the same filters.
    pub(super) fn next(&self, path: &str, next: Option<&Cursor>) -> Option<String> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.0.iter().filter(|(name, _)| !["cursor", "done"].contains(&name.as_str())));
        query.append_pair("cursor", &next?.to_text());
        Some(format!("{path}?{}", query.finish()))
    }
}
