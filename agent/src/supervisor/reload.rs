//! Reads configuration and token again.
//!
//! Invariant: a configuration with a mistake changes nothing, and says so for as long as it stands there. What a running
//! process cannot change stays as it was, the state directory before all.

use std::sync::Arc;

use super::{Supervisor, settings};
use crate::config::{self, Config, ConfigErrors, ConsoleUrl};
use crate::console::Console;
use crate::hook::Consumers;
use crate::machine::{Input, TokenFacts};
use crate::store::Publication;
use crate::watcher::{Watched, Watcher};

impl Supervisor {
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
        for name in config.needs_restart(&self.here.config) {
            tracing::warn!("a new {name} takes effect when the agent is started again");
        }
        config.state_dir = self.here.config.state_dir.clone();
        if self.here.config.hook.command.is_none() {
            config.hook.command = None;
        }
        self.rejected = None;
        self.console = Arc::new(
            Console::new(console_url.clone(), &config.proxy, self.here.clock.clone())
                .observed_by(Arc::clone(&self.metrics) as _),
        );
        self.here.console_url = console_url;
        self.here.facts = crate::facts::gather(&config);
        self.consumers = Arc::new(Consumers::new(&config.hook, &config.state_dir.value));
        self.store.publish_as(Publication::from(&config.publish));
        watcher.watch(Watched::of(&config));
        self.here.config = config;
        tracing::info!("the configuration was read again");
        self.tell(Input::ConfigChanged(settings(&self.here.config)));
        self.look_for_token();
        let facts = self.token_facts();
        self.tell(Input::Token(facts));
    }

    pub(super) fn look_for_token(&mut self) {
        // Standard input belongs to `enroll`; a daemon has none.
        match self.here.config.token.resolve(&mut std::io::empty()) {
            Ok(found) => {
                for warning in found.iter().flat_map(|found| &found.warnings) {
                    tracing::warn!("{warning}");
                }
                self.token = found;
            }
            Err(error) => {
                tracing::warn!(%error, "the token cannot be read");
                self.token = None;
            }
        }
    }

    pub(super) fn token_facts(&self) -> Option<TokenFacts> {
        self.token.as_ref().map(|found| TokenFacts::of(&found.token))
    }
}
