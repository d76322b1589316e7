//! Whole sessions from seeds: people join, leave and are killed, hosts and helpers die, lines are cut and mended, at random.
//! After every event: no packet goes round, no machine carries more than it can, nobody follows two managers. And after
//! the calm: one roster, one plan, everybody hears everybody.
//!
//! `ALM_SEEDS=1000` runs more of them, `ALM_SEED=17` runs one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/world.rs"]
mod world;

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alm_planner::Objective;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use world::{MS, World};

/// Sessions that `make test` runs.
const SEEDS: u64 = 100;
/// Of a session's members at once; the planner's time grows with their square.
const MEMBERS_MAX: usize = 6;
/// What happens in one session.
const EVENTS: usize = 5;
const DEGREE: u32 = 3;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn sessions_survive_whatever_happens_and_are_whole_after_the_calm() {
    if let Some(seed) = from_env("ALM_SEED") {
        return session(seed);
    }
    let (seeds, next) = (from_env("ALM_SEEDS").unwrap_or(SEEDS), AtomicU64::new(0));
    // Each core a session at a time: they have nothing in common. One that fails ends the test when the others have ended.
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        seed if seed < seeds => session(seed),
                        _ => break,
                    }
                }
            });
        }
    });
}

/// What is true at any time.
fn assert_safe(world: &World, members: &[usize], seed: u64) {
    assert_eq!(world.looped(), None, "seed {seed}: a packet went round");
    for member in members {
        let Some(node) = world.slots[*member].node.as_ref() else {
            panic!("seed {seed}: {member} has gone by itself")
        };
        if let Some(plan) = node.plan() {
            assert_eq!(plan.check(), Ok(()));
            let asked = plan.degree_of(world.slots[*member].id);
            assert!(asked <= node.pool().degrees().bound(), "seed {seed}: {member} carries {asked}");
        }
    }
}

fn session(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let spread = random.random_range(10..80);
    let mut world = World::new(seed, move |a, b| MS * (3 + (a * 13 + b * 13) as u32 % spread));
    world.loss = *[0.0, 0.0, 0.01, 0.03].choose(&mut random).unwrap();
    let helpers: Vec<usize> = (0..2).map(|_| world.helper(6)).collect();
    let objective = *[Objective::Forest, Objective::Forest, Objective::Diameter].choose(&mut random).unwrap();
    let mut members = vec![world.host(DEGREE, objective)];
    members.extend((0..3).map(|_| world.member(DEGREE, &helpers)));
    assert!(
        world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)),
        "seed {seed}: no start"
    );
    members.clone().into_iter().for_each(|member| world.speak(member));
    let mut helper_is_there = true;
    for _ in 0..EVENTS {
        let who = *members.choose(&mut random).unwrap();
        let event = random.random_range(0..7);
        match event {
            0 | 1 if members.len() < MEMBERS_MAX => {
                let joiner = world.member(DEGREE, &helpers);
                world.speak(joiner);
                members.push(joiner);
            }
            2 if members.len() > 3 => {
                world.leave(who);
                members.retain(|member| *member != who);
            }
            3 if members.len() > 3 => {
                world.kill(who);
                members.retain(|member| *member != who);
            }
            // The host, whoever it is by now.
            4 if members.len() > 3 => {
                let root = world.plan(who).map(|plan| plan.root);
                if let Some(host) = root.and_then(|root| world.index(root)).filter(|h| members.contains(h)) {
                    world.kill(host);
                    members.retain(|member| *member != host);
                }
            }
            5 if members.len() > 3 => {
                let side = &members[members.len() / 2..];
                world.cut(side);
                world.run(MS * random.random_range(100..8_000));
                world.mend();
            }
            6 if helper_is_there => {
                world.kill(helpers[1]);
                helper_is_there = false;
            }
            _ => {}
        }
        world.run(MS * random.random_range(50..4_000));
        assert_safe(&world, &members, seed);
    }
    let settled = world.run_until_so(Duration::from_secs(40), |world| world.is_settled(&members));
    assert!(settled, "seed {seed}: not one session: {}", world.standing(&members));
    world.run(Duration::from_secs(6));
    assert!(world.run_until_so(Duration::from_secs(10), |world| world.is_settled(&members)), "seed {seed}");
    let calm = world.elapsed();
    world.run(Duration::from_secs(1));
    assert_safe(&world, &members, seed);
    for ear in &members {
        for voice in members.iter().filter(|voice| *voice != ear) {
            let gap = world.gap(*ear, *voice, calm);
            assert!(gap <= 300 * MS, "seed {seed}: {ear} does not hear {voice} for {gap:?}");
        }
    }
}
