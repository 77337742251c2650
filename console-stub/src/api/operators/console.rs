//! The Console itself, for administrators: users, API keys, settings, the licence.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use telovix_contract::{ErrorCode, paths};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::call::{Rows, authorize};
use crate::api::body::parse;
use crate::api::doc::{Book, Op};
use crate::api::request::Named;
use crate::api::{Api, Failure};
use crate::domain::Refusal;
use crate::domain::api_key::Scope;
use crate::domain::role::{Act, Role};
use crate::domain::setting::Setting;
use crate::service::api_keys::{ApiKeyView, CreatedKeyView};
use crate::service::licence::{Bundle, LicenceView};
use crate::service::restore::RestoreView;
use crate::service::settings::SettingView;
use crate::service::users::UserView;

/// Users, API keys, settings and the licence: with a session alone.
pub(in crate::api) fn routes() -> Book {
    users().merge(keys()).merge(settings()).merge(licence())
}

fn users() -> Book {
    let list = Op::get("listUsers", "Operators who sign in, oldest first.")
        .operators(Act::Administer)
        .gives_rows::<UserView>("All of them.");
    let create = Op::post("createUser", "A user.")
        .operators(Act::Administer)
        .takes::<NewUser>()
        .gives::<UserView>(201, "The user.")
        .refuses(&[ErrorCode::Conflict, ErrorCode::NotReady]);
    let change = |id, summary| {
        Op::post(id, summary)
            .operators(Act::Administer)
            .gives::<UserView>(200, "The user as it is now; the user's sessions have ended.")
            .refuses(&[ErrorCode::NotFound])
    };
    let disable = change("disableUser", "Disables a user.").refuses(&[ErrorCode::Conflict]);
    let enable = change("enableUser", "Lets a disabled user sign in again.");
    let role =
        change("changeRole", "Gives a user another role.").takes::<NewRole>().refuses(&[ErrorCode::Conflict]);
    let password =
        change("resetPassword", "Gives a user another password, and lifts a lock.").takes::<NewPassword>();
    let one = format!("{}/{{email}}", paths::V1_USERS);
    Book::default()
        .add(paths::V1_USERS, list, list_users)
        .add(paths::V1_USERS, create, create_user)
        .add(&format!("{one}/disable"), disable, disable_user)
        .add(&format!("{one}/enable"), enable, enable_user)
        .add(&format!("{one}/role"), role, change_role)
        .add(&format!("{one}/password"), password, change_password)
}

fn keys() -> Book {
    let list = Op::get("listApiKeys", "API keys of the v2 interface, newest first.")
        .operators(Act::Administer)
        .gives_rows::<ApiKeyView>("All of them, without their secrets.");
    let create = Op::post("createApiKey", "An API key.")
        .operators(Act::Administer)
        .takes::<NewKey>()
        .gives::<CreatedKeyView<'static>>(201, "The key with its secret, this once.")
        .refuses(&[ErrorCode::NotReady]);
    let revoke = Op::delete("revokeApiKey", "Takes an API key back.")
        .operators(Act::Administer)
        .gives::<RevokedKey>(200, "It is no longer in force.")
        .refuses(&[ErrorCode::NotFound]);
    Book::default().add(paths::V1_API_KEYS, list, list_keys).add(paths::V1_API_KEYS, create, create_key).add(
        &format!("{}/{{key_id}}", paths::V1_API_KEYS),
        revoke,
        revoke_key,
    )
}

fn settings() -> Book {
    let list = Op::get("listSettings", "What an administrator may set.")
        .operators(Act::Administer)
        .gives_rows::<SettingView>("All settings.");
    let change = Op::post("changeSetting", "Gives a setting a value.")
        .operators(Act::Administer)
        .takes::<Change>()
        .gives::<SettingView>(200, "The setting as it is now.")
        .refuses(&[ErrorCode::NotReady]);
    let restore = Op::get("getAfterRestore", "What to know after a restore from a backup.")
        .operators(Act::Administer)
        .gives::<RestoreView>(200, "How the time after a restore stands, and what may be forgotten.")
        .refuses(&[ErrorCode::NotReady]);
    Book::default()
        .add(paths::V1_SETTINGS, list, list_settings)
        .add(paths::V1_SETTINGS, change, change_setting)
        .add(paths::V1_AFTER_RESTORE, restore, after_restore)
}

fn licence() -> Book {
    let show = Op::get("getLicense", "The licence, and how much of it is in use.")
        .operators(Act::Administer)
        .gives::<LicenceView>(200, "The licence that counts.")
        .refuses(&[ErrorCode::NotReady]);
    let import = Op::post("importLicense", "Imports a licence that a trusted key signed.")
        .operators(Act::Administer)
        .takes::<Bundle>()
        .gives::<LicenceView>(200, "The licence that counts from now on.")
        .refuses(&[ErrorCode::NotReady]);
    Book::default().add(paths::V1_LICENSE, show, show_licence).add(paths::V1_LICENSE, import, import_licence)
}

type Answer<T> = Result<Json<T>, Failure>;

/// A user to be made.
#[derive(Deserialize, ToSchema)]
struct NewUser {
    /// The address.
    #[schema(max_length = 254, pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$")]
    email: String,
    /// What the user may do.
    role: Role,
    /// The password.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 1024)]
    password: Zeroizing<String>,
}

/// Another role.
#[derive(Debug, Deserialize, ToSchema)]
struct NewRole {
    /// What the user may do from now on.
    role: Role,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
struct NewPassword {
    /// The password.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 1024)]
    password: Zeroizing<String>,
}

async fn list_users(State(api): State<Api>, request: Request) -> Answer<Rows<UserView>> {
    authorize(&api, request, Act::Administer).await?;
    Ok(Json(Rows { data: api.console.list_users().await? }))
}

async fn create_user(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let call = authorize(&api, request, Act::Administer).await?;
    let NewUser { email, role, password } = parse(&call.body)?;
    let made = api.console.create_user(email, role, password, call.origin).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn disable_user(State(api): State<Api>, Named(email): Named, request: Request) -> Answer<UserView> {
    let call = authorize(&api, request, Act::Administer).await?;
    Ok(Json(api.console.disable_user(email, call.origin).await?))
}

async fn enable_user(State(api): State<Api>, Named(email): Named, request: Request) -> Answer<UserView> {
    let call = authorize(&api, request, Act::Administer).await?;
    Ok(Json(api.console.enable_user(email, call.origin).await?))
}

async fn change_role(State(api): State<Api>, Named(email): Named, request: Request) -> Answer<UserView> {
    let call = authorize(&api, request, Act::Administer).await?;
    let NewRole { role } = parse(&call.body)?;
    Ok(Json(api.console.change_role(email, role, call.origin).await?))
}

async fn change_password(State(api): State<Api>, Named(email): Named, request: Request) -> Answer<UserView> {
    let call = authorize(&api, request, Act::Administer).await?;
    let NewPassword { password } = parse(&call.body)?;
    Ok(Json(api.console.change_password(email, password, call.origin).await?))
}

/// An API key to be made.
#[derive(Debug, Deserialize, ToSchema)]
struct NewKey {
    /// A name for people.
    #[serde(default)]
    #[schema(max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    label: String,
    /// What it may do.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
}

/// An API key that was taken back.
#[derive(Debug, Serialize, ToSchema)]
struct RevokedKey {
    /// Its name.
    key_id: String,
    /// Always `revoked`.
    status: &'static str,
}

async fn list_keys(State(api): State<Api>, request: Request) -> Answer<Rows<ApiKeyView>> {
    authorize(&api, request, Act::Administer).await?;
    Ok(Json(Rows { data: api.console.list_api_keys().await? }))
}

async fn create_key(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let call = authorize(&api, request, Act::Administer).await?;
    let NewKey { label, scopes } = parse(&call.body)?;
    let made = api.console.create_api_key(label, scopes, call.origin).await?;
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made.view())).into_response())
}

async fn revoke_key(State(api): State<Api>, Named(key_id): Named, request: Request) -> Answer<RevokedKey> {
    let call = authorize(&api, request, Act::Administer).await?;
    api.console.revoke_api_key(key_id.clone(), call.origin).await?;
    Ok(Json(RevokedKey { key_id, status: "revoked" }))
}

/// A setting's value.
#[derive(Debug, Deserialize, ToSchema)]
struct Change {
    /// Which setting.
    #[schema(value_type = Setting)]
    name: String,
    /// Its value.
    value: String,
}

async fn list_settings(State(api): State<Api>, request: Request) -> Answer<Rows<SettingView>> {
    authorize(&api, request, Act::Administer).await?;
    Ok(Json(Rows { data: api.console.list_settings().await? }))
}

async fn change_setting(State(api): State<Api>, request: Request) -> Answer<SettingView> {
    let call = authorize(&api, request, Act::Administer).await?;
    let Change { name, value } = parse(&call.body)?;
    let setting =
        Setting::from_name(&name).ok_or_else(|| Refusal::field("name", "there is no such setting"))?;
    Ok(Json(api.console.change_setting(setting, value, call.origin).await?))
}

async fn after_restore(State(api): State<Api>, request: Request) -> Answer<RestoreView> {
    authorize(&api, request, Act::Administer).await?;
    Ok(Json(api.console.after_restore().await?))
}

async fn show_licence(State(api): State<Api>, request: Request) -> Answer<LicenceView> {
    authorize(&api, request, Act::Administer).await?;
    Ok(Json(api.console.licence().await?))
}

async fn import_licence(State(api): State<Api>, request: Request) -> Answer<LicenceView> {
    let call = authorize(&api, request, Act::Administer).await?;
    let bundle: Bundle = parse(&call.body)?;
    let text = serde_json::to_string(&bundle).expect("a bundle of texts is JSON");
    Ok(Json(api.console.import_licence(text, call.origin).await?))
}
