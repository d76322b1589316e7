//! Whose machines help: those that prove that they are of the session's own pool, or anybody's. Whole nodes in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use alm::identity::{Identity, NodeId};
use alm::pool::{Grant, HelpersFrom, PoolConfig, Priority};
use alm_planner::Objective;

use world::{MS, World};

const SECOND: Duration = Duration::from_secs(1);

fn authority() -> Identity {
    Identity::from_seed([90; 32])
}

fn grant(by: &Identity, machine: u8, until_s: u64) -> Grant {
    // As worlds make their nodes' keys.
    let machine = Identity::from_seed([machine + 1; 32]).node_id();
    Grant::new(by, machine, Priority::LOWEST, until_s)
}

/// Helpers, one by one as `lent` says, before a host and five members who need one: each has two links.
fn meet(lent: Vec<Option<Grant>>, helpers: HelpersFrom) -> (World, Vec<usize>) {
    let mut world =
        World::new(3, |a, b| MS * (8 + (a * 7 + b * 7) as u32 % 5 + 10 * (a.abs_diff(b) as u32 % 4)));
    world.helpers = helpers;
    for grant in lent {
        world.add(PoolConfig { degree: 8, lends: true, grant, ..PoolConfig::default() });
    }
    let host = world.host(2, Objective::Diameter);
    let mut members = vec![host];
    members.extend((0..5).map(|_| world.member(2, &[host])));
    assert!(world.run_until_so(20 * SECOND, |world| world.is_settled(&members)));
    (world, members)
}

fn helping(world: &World, member: usize) -> Vec<usize> {
    world.plan(member).unwrap().helpers.iter().filter_map(|node| world.index(*node)).collect()
}

/// Whom the plans of `time` have taken, looked at ten times a second.
fn helped(world: &mut World, member: usize, time: Duration) -> BTreeSet<usize> {
    let looks = time.as_millis() / 100;
    let look = |_| {
        world.run(100 * MS);
        helping(world, member)
    };
    (0..looks).flat_map(look).collect()
}

fn own() -> HelpersFrom {
    HelpersFrom::PoolsOf(vec![NodeId([9; 32]), authority().node_id()])
}

#[test]
fn only_machines_that_prove_it_help_and_an_heir_keeps_to_that() {
    let (ours, other) = (authority(), Identity::from_seed([91; 32]));
    let lent = vec![
        None,
        Some(grant(&other, 1, u64::MAX)),
        // Another machine's grant: it bears our mark and proves nothing.
        Some(grant(&ours, 99, u64::MAX)),
        Some(grant(&ours, 3, u64::MAX)),
    ];
    let (mut world, members) = meet(lent.clone(), own());
    let host = members[0];
    assert_eq!(helped(&mut world, members[1], 20 * SECOND), BTreeSet::from([3]));
    assert_eq!(helping(&world, members[1]), [3]);

    world.kill(host);
    let left = &members[1..];
    assert!(world.run_until_so(20 * SECOND, |world| world.is_settled(left)));
    assert_eq!(helped(&mut world, left[0], 40 * SECOND), BTreeSet::from([3]), "under an heir");

    let (mut world, members) = meet(lent, HelpersFrom::Anybody);
    let anybody = helped(&mut world, members[1], 40 * SECOND);
    assert!(anybody.iter().any(|helper| *helper != 3), "{anybody:?}");
}

#[test]
fn a_machine_whose_grant_ends_is_let_go() {
    let (mut world, members) = meet(vec![Some(grant(&authority(), 0, 60))], own());
    world.run(5 * SECOND);
    assert_eq!(helping(&world, members[1]), [0]);
    // Renewals come every 20 s.
    assert!(world.run_until_so(90 * SECOND, |world| world.elapsed() > 60 * SECOND
        && helping(world, members[1]).is_empty()));
    assert!(helped(&mut world, members[1], 40 * SECOND).is_empty());
}
