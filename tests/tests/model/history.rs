//! The model as the search sees it, and the search.

use std::collections::BTreeSet;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path, Property};

use super::flaw::Flaw;
use super::laws;
use super::world::{Act, World};

/// A beginning, a mistake if any, and what has to be reachable from there.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) begin: World,
    pub(crate) flaw: Flaw,
    pub(crate) reachable: Vec<&'static str>,
}

impl Model for History {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin.clone()]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        world.acts(acts);
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        next.act(act, self.flaw);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let wanted = |property: &Property<Self>| {
            property.expectation != Expectation::Sometimes || self.reachable.contains(&property.name)
        };
        laws::all().into_iter().filter(wanted).collect()
    }
}

/// What an exhaustive search found.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) depth: usize,
}

impl History {
    /// Visits every state. Every law has to hold, and what has to be reachable has to be reached.
    pub(crate) fn explore(self, name: &str) -> Explored {
        let checker = self.checker().spawn_dfs().join();
        let (states, depth) = (checker.unique_state_count(), checker.max_depth());
        println!("{name}: {states} states, {depth} steps deep, {} steps taken", checker.state_count());
        let found = checker.discoveries();
        for property in checker.model().properties() {
            let way = found.get(property.name);
            match property.expectation {
                Expectation::Always | Expectation::Eventually => {
                    assert!(way.is_none(), "{name}: not so: {}\n{}", property.name, told(way));
                }
                Expectation::Sometimes => assert!(way.is_some(), "{name}: never: {}", property.name),
            }
        }
        Explored { states, depth }
    }

    /// A way to a state in which this law does not hold.
    pub(crate) fn breaks(self, law: &'static str) -> Option<Vec<Act>> {
        let until = HasDiscoveries::AnyOf(BTreeSet::from([law]));
        let checker = self.checker().finish_when(until).spawn_bfs().join();
        let found = checker.discovery(law);
        println!("{law}: {} states looked at; {}", checker.unique_state_count(), told(found.as_ref()));
        found.map(Path::into_actions)
    }
}

fn told(way: Option<&Path<World, Act>>) -> String {
    way.map_or_else(|| "no way".to_owned(), |way| format!("{:?}", way.clone().into_actions()))
}
