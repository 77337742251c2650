//! What an administrator may set.

use serde::Serialize;
use utoipa::ToSchema;

use super::console::require_setup;
use super::{Console, ServiceError, restore};
use crate::db::{Tx, audit, settings as table};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::restore::Switch;
use crate::domain::setting::Setting;

/// A setting in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SettingView {
    /// What it is called.
    pub name: &'static str,
    /// What counts.
    pub value: String,
    /// What would count if nobody had set anything.
    pub default: String,
    /// The words that it can be; empty where it is a number.
    pub words: Vec<&'static str>,
}

impl Console {
    /// All settings.
    pub async fn list_settings(&self) -> Result<Vec<SettingView>, ServiceError> {
        let now = self.now();
        let list =
            move |tx: &mut dyn Tx| Setting::ALL.into_iter().map(|setting| view(tx, setting, now)).collect();
        self.db().read(list).await
    }

    /// Gives a setting a value.
    /// Errors: `invalid_request` naming what is wrong; `not_ready` before set-up.
    pub async fn change_setting(
        &self,
        setting: Setting,
        value: String,
        origin: Origin,
    ) -> Result<SettingView, ServiceError> {
        let now = self.now();
        let value = setting.check(&value)?;
        let change = move |tx: &mut dyn Tx| {
            require_setup(tx)?;
            let before = view(tx, setting, now)?.value;
            let detail = Detail::new().with("name", setting.name()).with("from", before).with("to", &value);
            let switch = Switch::from_word(&value).filter(|_| setting == Setting::AfterRestore);
            let detail = match switch {
                Some(switch) => restore::turn(tx, switch, now, detail)?,
                None => {
                    table::set(tx, setting.name(), &value)?;
                    check_together(tx)?;
                    detail
                }
            };
            audit::append(tx, &AuditEntry::success(Action::SettingChanged, None, detail), &origin, now)?;
            view(tx, setting, now)
        };
        self.db().write(change).await
    }
}

/// A shortest life beyond the longest would let nobody make a token.
fn check_together(tx: &mut dyn Tx) -> Result<(), ServiceError> {
    let lifetimes = table::lifetimes(tx)?;
    let fits = (lifetimes.once_shortest..=lifetimes.once_longest).contains(&lifetimes.once);
    if fits {
        return Ok(());
    }
    let problem = format!(
        "the default life of a one-time token, {} s, has to lie between the shortest, {} s, and the longest, {} s",
        lifetimes.once, lifetimes.once_shortest, lifetimes.once_longest
    );
    Err(Refusal::field(Setting::OnceTtlSeconds.name(), problem).into())
}

fn view(tx: &mut dyn Tx, setting: Setting, now: i64) -> Result<SettingView, ServiceError> {
    let stored = if setting == Setting::AfterRestore {
        restore::is_on(tx, now)?.then(|| Switch::On.as_str().to_owned())
    } else {
        table::get(tx, setting.name())?
    };
    let default = setting.default_value();
    Ok(SettingView {
        name: setting.name(),
        value: stored.unwrap_or_else(|| default.clone()),
        default,
        words: setting.words(),
    })
}
