//! kill -9 of either side at any moment of an enrollment; then both are started again and the same command is run again.
//! The host ends enrolled, with one sensor record, and the token used once.

use telovix_tests::place::made_up_token;
use telovix_tests::proof::enrolled_once;
use telovix_tests::run::Run;
use telovix_tests::world::Created;
use telovix_tests::{Agent, World};

const SIGKILL: i32 = 9;
/// More steps than an enrollment will ever have.
const MANY: usize = 400;
/// Fewer than it has: with fewer, the hooks are not compiled in and the test would prove nothing.
const FEW: usize = 15;

/// Whether the host that enrolls holds an identity already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Identity,
}

/// A host with a token in hand, and how many sensors the Console knows without what this token will make.
fn host(world: &World, name: &str, before: Before) -> (Agent, Created, i64) {
    let agent = world.enroll(name);
    if before == Before::Identity {
        agent.clone().token(&world.once().token).run().expect(0);
    }
    let token = world.once();
    // What follows is an enrollment as another sensor.
    (agent.args(["--new-sensor"]).token(&token.token), token, world.db().sensors())
}

/// How many durable steps an enrollment has: the last N at which `kill-before:N` still strikes.
fn steps(world: &World, before: Before) -> usize {
    let strikes = |step: usize| {
        let (agent, ..) = host(world, &format!("count-{step}"), before);
        agent.env("TELOVIX_FAULT", format!("kill-before:{step}")).run().signal == Some(SIGKILL)
    };
    let (mut last, mut beyond) = (0, MANY);
    while beyond - last > 1 {
        let middle = last.midpoint(beyond);
        if strikes(middle) { last = middle } else { beyond = middle }
    }
    assert!(last > FEW, "only {last} steps; are the binaries built with `failpoints`?");
    last
}

/// Strikes at every step, each time on a new host, and looks at each run with `after`. Then the command is run again.
fn every_step(fault: &str, before: Before, after: impl Fn(&Run)) {
    let world = World::new();
    let steps = steps(&world, before);
    let mut touched = 0;
    for step in 1..=steps {
        let (agent, token, others) = host(&world, &format!("{}-{step}", fault.to_lowercase()), before);
        let run = agent.clone().env("TELOVIX_FAULT", format!("{fault}:{step}")).run();
        // A step that removes what is not there does nothing, and nothing comes after it.
        if run.code != Some(0) {
            touched += 1;
            after(&run);
            if before == Before::Identity {
                agent.clone_for(&["status", "--ready"]).run().expect(0);
            }
        }
        let again = agent.run();
        assert_eq!(again.code, Some(0), "{fault}:{step}: {}\nafter {}", again.report(), run.report());
        enrolled_once(&world, &agent, &token, others);
    }
    assert!(touched > FEW, "{fault} struck at {touched} of {steps} steps");
}

fn killed(run: &Run) {
    assert_eq!(run.signal, Some(SIGKILL), "{}", run.report());
}

#[test]
fn the_agent_is_killed_after_each_step_of_its_first_enrollment() {
    every_step("kill", Before::Nothing, killed);
}

#[test]
fn the_agent_is_killed_before_each_step_of_its_first_enrollment() {
    every_step("kill-before", Before::Nothing, killed);
}

#[test]
fn the_agent_is_killed_after_each_step_of_another_enrollment() {
    every_step("kill", Before::Identity, killed);
}

#[test]
fn each_step_fails_on_a_full_disk() {
    every_step("ENOSPC", Before::Nothing, |run| {
        run.expect(8).says(&["error: cannot ", "No space left on device", "make room"]);
    });
}

#[test]
fn each_step_fails_on_a_broken_disk() {
    every_step("EIO", Before::Identity, |run| {
        run.expect(8).says(&["error: cannot ", "Input/output error"]);
    });
}

#[test]
fn the_console_dies_at_each_point_of_an_enrollment() {
    for point in ["enroll.before_commit", "enroll.after_commit", "enroll.before_answer"] {
        let world = World::new();
        let token = world.once();
        let agent = world.enroll("host").args(["--timeout", "8s"]).token(&token.token);
        world.restart_with(&[("TELOVIX_STUB_FAULT", &format!("kill:{point}"))]);
        agent.run().expect(5);
        world.wait_until_dead();
        let durable = point != "enroll.before_commit";
        assert_eq!(world.db().sensors() == 1, durable, "{point}");
        assert_eq!(world.db().token_status(&token.id), if durable { "used" } else { "pending" }, "{point}");
        world.restart();
        agent.run().expect(0);
        enrolled_once(&world, &agent, &token, 0);
        assert_eq!(world.db().certificates(), 1, "{point}: the repeat gets the same certificate");
        assert_eq!(world.db().audited("sensor_enrolled", "success"), 1, "{point}");
    }
}

#[test]
fn the_console_comes_back_while_the_agent_is_still_trying() {
    for point in ["enroll.before_commit", "enroll.after_commit", "enroll.before_answer"] {
        let world = World::new();
        let token = world.once();
        let agent = world.enroll("host").args(["--timeout", "60s"]).token(&token.token);
        world.restart_with(&[("TELOVIX_STUB_FAULT", &format!("kill:{point}"))]);
        let running = agent.spawn();
        world.wait_until_dead();
        world.restart();
        running.wait().expect(0);
        enrolled_once(&world, &agent, &token, 0);
    }
}

#[test]
fn an_answer_is_lost_and_the_agent_dies_waiting_for_the_repeat() {
    let world = World::new();
    let token = world.once();
    world.restart_with(&[("TELOVIX_STUB_FAULT", "drop:enroll.before_answer")]);
    let agent = world.enroll("host").args(["--timeout", "60s"]).token(&token.token);
    let running = agent.spawn();
    telovix_tests::wait::until(std::time::Duration::from_secs(20), "the first answer to be lost", || {
        (world.db().sensors() == 1).then_some(())
    });
    running.signal(nix::sys::signal::Signal::SIGKILL);
    let _ = running.wait();
    agent.run().expect(0);
    enrolled_once(&world, &agent, &token, 0);
    assert_eq!(world.db().certificates(), 1);
}

/// A removal takes several calls, and its end may be cut off: what is left of an enrollment that is over goes with the
/// next start, and the key in it.
#[test]
fn what_is_left_of_a_removal_goes_with_the_next_start() {
    let world = World::new();
    let token = world.once();
    let agent = world.enroll("host").token(&token.token);
    agent.run().expect(0);
    for left in ["client.key.pem", "request.json", ""] {
        let place = agent.state_dir().join("pending");
        std::fs::create_dir(&place).unwrap();
        if !left.is_empty() {
            std::fs::write(place.join(left), "half").unwrap();
        }
        agent.run().expect(0);
        enrolled_once(&world, &agent, &token, 0);
    }
}

#[test]
fn both_die_and_another_host_with_the_token_gets_nothing() {
    let world = World::new();
    let token = world.once();
    let agent = world.enroll("host").args(["--timeout", "8s"]).token(&token.token);
    world.restart_with(&[("TELOVIX_STUB_FAULT", "kill:enroll.after_commit")]);
    agent.run().expect(5);
    world.wait_until_dead();
    world.restart();
    // A thief who read the token on its way has not the key that it was spent on.
    let thief = world.enroll("thief").args(["--timeout", "30s"]).token(&token.token).run();
    thief.expect(3).says(&["enrollment_token_used"]);
    agent.run().expect(0);
    enrolled_once(&world, &agent, &token, 0);
}

/// The Console has spent the token on this host's key, and the answer is not on its disk.
fn answered_in_vain(world: &World, name: &str) -> (Agent, Created) {
    let (agent, token) = (world.enroll(name), world.once());
    let agent = agent.args(["--timeout", "60s"]).token(&token.token);
    world.restart_with(&[("TELOVIX_STUB_FAULT", "kill:enroll.after_commit")]);
    let running = agent.spawn();
    world.wait_until_dead();
    running.signal(nix::sys::signal::Signal::SIGKILL);
    let _ = running.wait();
    world.restart();
    (agent, token)
}

/// An upgrade, or another configuration, makes another request of the enrollment under way. Its key is the one that the
/// token was spent on, so it has to outlive the change.
#[test]
fn the_agent_is_killed_at_each_step_of_renewing_the_request_of_an_answered_enrollment() {
    let world = World::new();
    let mut killed = 0;
    for step in 1..MANY {
        let others = world.db().sensors();
        let (agent, token) = answered_in_vain(&world, &format!("host-{step}"));
        assert_eq!(world.db().token_status(&token.id), "used", "the answer was lost after the commit");
        let agent = agent.args(["--node-role", "gnb"]);
        let run = agent.clone().env("TELOVIX_FAULT", format!("kill:{step}")).run();
        // What comes then is as in every other enrollment.
        let committed = agent.has("generations/000001");
        let again = agent.run();
        assert_eq!(again.code, Some(0), "kill:{step}: {}\nafter {}", again.report(), run.report());
        enrolled_once(&world, &agent, &token, others);
        assert_eq!(run.signal, Some(SIGKILL), "{}", run.report());
        killed = step;
        if committed {
            break;
        }
    }
    assert!(killed > 5, "killed at {killed} steps");
}

#[test]
fn another_token_after_a_crash_does_not_throw_an_answered_enrollment_away() {
    let world = World::new();
    let (first, second) = (world.once(), world.once());
    let agent = world.enroll("host");
    // Killed late: the answer was there, the generation committed, and not yet published.
    let mut step = 1;
    loop {
        let name = format!("host-{step}");
        let host =
            world.enroll(&name).token(&world.once().token).env("TELOVIX_FAULT", format!("kill:{step}"));
        let _ = host.run();
        let committed = host.state_dir().join("generations/000001").exists();
        if committed && !host.has("current") {
            let run = world.enroll(&name).token(&made_up_token(9)).run();
            // The token in hand is another one. The identity that was paid for is finished first.
            assert!(host.has("client.cert.pem"), "{}", run.report());
            break;
        }
        step += 1;
        assert!(step < MANY, "no moment between commit and publication");
    }
    agent.clone().token(&first.token).run().expect(0);
    assert_eq!(world.db().token_status(&second.id), "pending");
}
