//! What operators do on the command line, each a call of the service: tokens, rules, approvals, settings, keys, sensors.

use super::args::lists::PieceArgs;
use super::args::operators::{ApprovalCommand, RuleCommand, SettingsCommand};
use super::args::users::UserCommand;
use super::args::{ApiKeyCommand, SensorCommand, TokenCommand};
use super::error::CliError;
use super::output::Printer;
use super::setup::password;
use crate::app::App;
use crate::domain::audit::Origin;
use crate::domain::page::{Cursor, MOST_ROWS, Page, Piece};
use crate::service::ServiceError;
use crate::service::approvals::Say;
use crate::service::sensors::{DELETED_MAY_RETURN, Verdict};

/// The piece that was asked for; where no limit was, all that follow.
async fn whole<T, F>(args: &PieceArgs, list: impl Fn(Piece) -> F) -> Result<Page<T>, CliError>
where
    F: Future<Output = Result<Page<T>, ServiceError>>,
{
    let mut after = args.cursor.as_deref().map(Cursor::parse).transpose().map_err(ServiceError::from)?;
    if let Some(limit) = args.limit {
        return Ok(list(Piece { rows: i64::from(limit), after }).await?);
    }
    let mut rows = Vec::new();
    loop {
        let page = list(Piece { rows: MOST_ROWS, after }).await?;
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return Ok(Page { rows, next: None });
        }
    }
}

pub(super) async fn tokens(app: &App, command: TokenCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    match command {
        TokenCommand::Create(create) => {
            let created = console.create_token(create.draft(), Origin::default()).await?;
            Ok(print.one(&created.view())?)
        }
        TokenCommand::List(list) => {
            let columns = ["id", "type", "status", "label", "cluster_id", "use_count", "expires_at"];
            let page = whole(&list.piece, |piece| console.list_tokens(list.filter(), piece)).await?;
            Ok(print.page(&page.rows, page.next.as_ref(), &columns)?)
        }
        TokenCommand::Revoke { id } => Ok(print.one(&console.revoke_token(id, Origin::default()).await?)?),
    }
}

pub(super) async fn api_keys(app: &App, command: ApiKeyCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    match command {
        ApiKeyCommand::Create { scopes, label } => {
            let made = console.create_api_key(label, scopes, Origin::default()).await?;
            Ok(print.one(&made.view())?)
        }
        ApiKeyCommand::List => {
            let columns = ["key_id", "label", "scopes", "created_at", "revoked_at"];
            Ok(print.rows(&console.list_api_keys().await?, &columns)?)
        }
        ApiKeyCommand::Revoke { key_id } => {
            console.revoke_api_key(key_id.clone(), Origin::default()).await?;
            Ok(print.one(&serde_json::json!({"key_id": key_id, "status": "revoked"}))?)
        }
    }
}

pub(super) async fn sensors(app: &App, command: SensorCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    let (id, verdict) = match command {
        SensorCommand::List(list) => {
            let columns =
                ["sensor_id", "node_name", "role", "cluster_id", "status", "trust_state", "last_seen_at"];
            let page = whole(&list.piece, |piece| console.list_sensors(list.filter(), piece)).await?;
            return Ok(print.page(&page.rows, page.next.as_ref(), &columns)?);
        }
        SensorCommand::Renew { id, within } => {
            let renew_between = console.ask_renewal(id, within, Origin::default()).await?;
            return Ok(print.one(&serde_json::json!({"sensor_id": id, "renew_between": renew_between}))?);
        }
        SensorCommand::Disable { id } => (id, Verdict::Disable),
        SensorCommand::Enable { id } => (id, Verdict::Enable),
        SensorCommand::Revoke { id } => (id, Verdict::Revoke),
        SensorCommand::Delete { id } => (id, Verdict::Delete),
    };
    console.judge_sensor(id, verdict, Origin::default()).await?;
    let done = match verdict {
        Verdict::Disable => "disabled",
        Verdict::Enable => "enabled",
        Verdict::Revoke => "revoked",
        Verdict::Delete => "deleted",
    };
    let mut said = serde_json::json!({"sensor_id": id, "status": done});
    if verdict == Verdict::Delete {
        said["warnings"] = serde_json::json!([DELETED_MAY_RETURN]);
    }
    Ok(print.one(&said)?)
}

pub(super) async fn rules(app: &App, command: RuleCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    match command {
        RuleCommand::Create(create) => {
            Ok(print.one(&console.create_rule(create.draft(), Origin::default()).await?)?)
        }
        RuleCommand::List => {
            let columns = ["id", "cluster_id", "label", "allowed_roles", "max_nodes", "node_count"];
            Ok(print.rows(&console.list_rules().await?, &columns)?)
        }
        RuleCommand::Delete { id } => Ok(print.one(&console.delete_rule(id, Origin::default()).await?)?),
    }
}

pub(super) async fn approvals(app: &App, command: ApprovalCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    let (id, say) = match command {
        ApprovalCommand::List { status } => {
            let columns =
                ["id", "status", "reason", "node_name", "role", "cluster_id", "client_ip", "asked_at"];
            return Ok(print.rows(&console.list_approvals(status).await?, &columns)?);
        }
        ApprovalCommand::Approve { id, facts } => (id, facts.map_or(Say::Approve, Say::ApproveSeen)),
        ApprovalCommand::Deny { id } => (id, Say::Deny),
    };
    Ok(print.one(&console.decide_approval(id, say, Origin::default()).await?)?)
}

pub(super) async fn settings(app: &App, command: SettingsCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    match command {
        SettingsCommand::Show => {
            Ok(print.rows(&console.list_settings().await?, &["name", "value", "default"])?)
        }
        SettingsCommand::AfterRestore => Ok(print.one(&console.after_restore().await?)?),
        SettingsCommand::Set { name, value } => {
            Ok(print.one(&console.change_setting(name, value, Origin::default()).await?)?)
        }
    }
}

pub(super) async fn users(app: &App, command: UserCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    let user = match command {
        UserCommand::Create { email, role, password_file } => {
            console.create_user(email, role, password(&password_file)?, Origin::default()).await?
        }
        UserCommand::List => {
            let columns = ["email", "role", "status", "created_at"];
            return Ok(print.rows(&console.list_users().await?, &columns)?);
        }
        UserCommand::Disable { email } => console.disable_user(email, Origin::default()).await?,
        UserCommand::Enable { email } => console.enable_user(email, Origin::default()).await?,
        UserCommand::Role { email, role } => console.change_role(email, role, Origin::default()).await?,
        UserCommand::Password { email, password_file } => {
            console.change_password(email, password(&password_file)?, Origin::default()).await?
        }
    };
    Ok(print.one(&user)?)
}
