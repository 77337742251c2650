//! Reads configuration and token again.
//!
//! Invariant: a configuration with a mistake changes nothing, and says so for as long as it stands there. What a running
//! process cannot change stays as it was, the state directory before all.

use std::sync::Arc;

use super::Daemon;
use crate::config::{self, Config, ConfigErrors, ConsoleUrl, FoundToken};
use crate::console::Console;
use crate::driver::Host;
use crate::hook::Consumers;
use crate::watcher::{Watched, Watcher};

impl Daemon {
    /// Reads the configuration again. A bad one changes nothing.
    pub(super) fn reload(&mut self, watcher: &mut Watcher) {
        self.notifier.reloading();
        let fresh = config::load(&self.cli, &self.env).and_then(|config| {
            config.require_console_url().map(|url| url.value.clone()).map(|url| (config, url))
        });
        match fresh {
            Err(errors) => self.reject(&errors),
            Ok((config, console_url)) => self.adopt(config, console_url, watcher),
        }
        self.notifier.ready(&self.line());
    }

    fn reject(&mut self, errors: &ConfigErrors) {
        tracing::error!("the new configuration is not taken, the old one stays:\n{errors}");
        let mistakes: Vec<String> = errors.as_slice().iter().map(ToString::to_string).collect();
        self.rejected =
            Some(format!("the new configuration is not taken, the old one stays: {}", mistakes.join("; ")));
        self.report();
    }

    fn adopt(&mut self, mut config: Config, console_url: ConsoleUrl, watcher: &mut Watcher) {
        let before = self.driver.config();
        for name in config.needs_restart(before) {
            tracing::warn!("a new {name} takes effect when the agent is started again");
        }
        config.state_dir = before.state_dir.clone();
        if before.hook.command.is_none() {
            config.hook.command = None;
        }
        self.rejected = None;
        self.consumers = Arc::new(Consumers::new(&config.hook, &config.state_dir.value));
        watcher.watch(Watched::of(&config));
        let clock = self.driver.clock().clone();
        let console = Console::new(console_url.clone(), &config.proxy, clock.clone())
            .observed_by(Arc::clone(&self.metrics) as _);
        tracing::info!("the configuration was read again");
        let host = Host { facts: crate::facts::gather(&config), config, clock };
        let events = self.driver.set_config(host, console_url, console);
        self.hear(events);
        self.look_for_token();
    }

    pub(super) fn look_for_token(&mut self) {
        let token = self.find_token();
        let events = self.driver.set_token(token);
        self.hear(events);
    }

    pub(super) fn find_token(&self) -> Option<FoundToken> {
        // Standard input belongs to `enroll`; a daemon has none.
        match self.driver.config().token.resolve(&mut std::io::empty()) {
            Ok(found) => {
                for warning in found.iter().flat_map(|found| &found.warnings) {
                    tracing::warn!("{warning}");
                }
                found
            }
            Err(error) => {
                tracing::warn!(%error, "the token cannot be read");
                None
            }
        }
    }
}
