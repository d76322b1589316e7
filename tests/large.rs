//! Sessions too large for everybody to be connected to everybody, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alm::identity::Identity;
use alm::net::Channel;
use alm::node::{Input, Node};
use alm::pool::PoolConfig;
use alm::session::{MESH_MEMBERS_MAX, MemberConfig};
use alm_planner::Objective;
use rand::SeedableRng;
use rand::rngs::StdRng;

use world::{MS, World, addr_of};

const SOON: Duration = Duration::from_secs(20);

/// One session just beyond the limit, with its members; the host comes first.
fn large(seed: u64, objective: Objective) -> (World, Vec<usize>) {
    let mut world = World::new(seed, |a, b| MS * (5 + (a * 13 + b * 13) as u32 % 40));
    let host = world.host_with(6, objective, false);
    let mut members = vec![host];
    for _ in 0..MESH_MEMBERS_MAX + 2 {
        members.push(world.member(4, &[host]));
    }
    assert!(world.run_until_so(3 * SOON, |world| world.is_settled(&members)));
    (world, members)
}

/// Until the plan has been looked at again and stands.
fn calm_down(world: &mut World, members: &[usize]) {
    world.run(Duration::from_secs(3));
    assert!(world.run_until_so(SOON, |world| world.is_settled(members)), "{}", world.standing(members));
}

/// Who has the most below it in the shared tree, but for some.
fn busiest(world: &World, but: &[usize]) -> usize {
    let edges = &world.plan(but[0]).unwrap().trees.last().unwrap().edges;
    let mut children = BTreeMap::new();
    edges.iter().for_each(|(parent, _)| *children.entry(world.index(*parent).unwrap()).or_insert(0) += 1);
    let others = children.into_iter().filter(|(node, _)| !but.contains(node));
    others.max_by_key(|(_, count)| *count).unwrap().0
}

fn epoch(world: &World, member: usize) -> u64 {
    world.plan(member).unwrap().epoch
}

fn hears(world: &World, ear: usize, voice: usize, since: Duration) -> bool {
    world.missed(ear, voice, since) < u64::MAX
}

#[test]
fn beyond_the_mesh_all_hear_who_speaks_and_a_change_costs_a_member_little() {
    let (mut world, mut members) = large(9, Objective::Diameter);
    let host = members[0];
    let voice = members[2];
    world.speak(voice);
    let joiner = world.member(4, &[host]);
    members.push(joiner);
    world.noted.insert(members[5]);
    assert!(world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)));
    let relay = busiest(&world, &[host, voice]);
    world.kill(relay);
    members.retain(|member| *member != relay);
    assert!(world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)));
    let since = world.elapsed();
    world.run(Duration::from_secs(2));
    for ear in members.iter().filter(|ear| **ear != voice) {
        assert_eq!(world.missed(*ear, voice, since), 0, "{ear} missed something");
    }
    let control =
        world.slots[members[5]].received.iter().filter(|(_, channel, _)| *channel == Channel::Control);
    let longest = control.map(|(_, _, bytes)| bytes.len()).max().unwrap();
    assert!(longest < 8 * 1024, "{longest} bytes");
}

#[test]
fn in_a_large_session_who_goes_on_speaking_has_a_tree_of_its_own_without_a_gap() {
    let (mut world, mut members) = large(11, Objective::Forest);
    let host = members[0];
    calm_down(&mut world, &members);
    let voice = members[2];
    let speaker = world.slots[voice].id;
    world.speak(voice);
    world.run(Duration::from_secs(1));
    let before = world.elapsed();
    let has_own = |world: &World| {
        let own = |member: &usize| {
            let trees = &world.plan(*member).unwrap().trees;
            trees.len() == 2 && !trees[0].shared && trees[0].sources == [speaker] && trees[1].shared
        };
        members.iter().all(own)
    };
    // The host's audio tells who speaks, four times a second.
    for _ in 0..40 {
        let now = world.now();
        world.with(host, |node| node.handle(Input::Speaking(vec![speaker]), now));
        world.run(250 * MS);
    }
    assert!(has_own(&world) && world.is_settled(&members), "{}", world.standing(&members));
    let heard_all = |world: &World, members: &[usize]| {
        for ear in members.iter().filter(|ear| **ear != voice) {
            assert_eq!(world.missed(*ear, voice, before), 0, "{ear} missed something");
        }
        assert_eq!(world.looped(), None);
    };
    heard_all(&world, &members);
    // Others come and go: it stays.
    let leaf = *members.iter().rev().find(|member| **member != voice && **member != host).unwrap();
    world.leave(leaf);
    members.retain(|member| *member != leaf);
    members.push(world.member(4, &[host]));
    assert!(world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)));
    world.run(Duration::from_secs(3));
    assert!(members.iter().all(|member| world.plan(*member).unwrap().trees.len() == 2));
    members.pop();
    heard_all(&world, &members);
}

#[test]
fn who_comes_is_grafted_and_hears_before_the_others_are_told_a_plan() {
    let (mut world, members) = large(9, Objective::Diameter);
    let host = members[0];
    calm_down(&mut world, &members);
    let (voice, before) = (members[2], epoch(&world, host));
    world.speak(voice);
    let start = world.elapsed();
    let joiners: Vec<usize> = (0..3).map(|_| world.member(4, &[host])).collect();
    let all_hear = |world: &World| joiners.iter().all(|joiner| hears(world, *joiner, voice, start));
    assert!(world.run_until_so(SOON, all_hear));
    let everybody = || members.iter().chain(&joiners);
    assert!(everybody().all(|member| epoch(&world, *member) == before), "nobody else has been told");
    // And is heard: its own voice goes up the shared tree.
    world.hush(voice);
    world.speak(joiners[0]);
    let heard =
        |world: &World| everybody().all(|ear| *ear == joiners[0] || hears(world, *ear, joiners[0], start));
    assert!(world.run_until_so(Duration::from_secs(1), heard));
    assert_eq!(epoch(&world, members[7]), before);
    // The next epoch has them all, made from one that most never heard of the grafts to.
    let since = world.elapsed();
    let all: Vec<usize> = everybody().copied().collect();
    assert!(world.run_until_so(SOON, |world| epoch(world, host) > before && world.is_settled(&all)));
    world.run(Duration::from_secs(2));
    for ear in all.iter().filter(|ear| **ear != joiners[0]) {
        assert_eq!(world.missed(*ear, joiners[0], since), 0, "{ear} missed something");
    }
    assert_eq!(world.looped(), None);
}

#[test]
fn a_parent_of_who_was_grafted_may_die_and_so_may_the_manager() {
    for manager_dies in [false, true] {
        let (mut world, mut members) = large(13, Objective::Diameter);
        let host = members[0];
        calm_down(&mut world, &members);
        let (voice, before, start) = (members[2], epoch(&world, host), world.elapsed());
        world.speak(voice);
        let joiner = world.member(4, &[host]);
        assert!(world.run_until_so(SOON, |world| hears(world, joiner, voice, start)));
        let id = world.slots[joiner].id;
        let edges = world.plan(joiner).unwrap().trees[0].edges.clone();
        let parent =
            edges.iter().find(|(_, child)| *child == id).and_then(|(above, _)| world.index(*above)).unwrap();
        assert_eq!(epoch(&world, joiner), before);
        members.push(joiner);
        let victim = if manager_dies { host } else { parent };
        assert_ne!(victim, voice, "choose another seed");
        let since = world.elapsed();
        world.kill(victim);
        members.retain(|member| *member != victim);
        let settled = world.run_until_so(2 * SOON, |world| world.is_settled(&members));
        assert!(settled, "{manager_dies}: {}", world.standing(&members));
        assert!(world.gap(joiner, voice, since) < Duration::from_secs(2), "{manager_dies}");
        let since = world.elapsed();
        world.run(Duration::from_secs(1));
        assert!(members.iter().all(|ear| *ear == voice || world.missed(*ear, voice, since) == 0));
    }
}

#[test]
fn a_leaf_that_goes_makes_no_new_epoch_at_once() {
    let (mut world, mut members) = large(17, Objective::Diameter);
    let host = members[0];
    calm_down(&mut world, &members);
    let voice = members[2];
    world.speak(voice);
    let before = epoch(&world, host);
    let parents: Vec<usize> = {
        let edges = &world.plan(host).unwrap().trees[0].edges;
        edges.iter().filter_map(|(parent, _)| world.index(*parent)).collect()
    };
    let is_leaf = |member: &&usize| **member != voice && !parents.contains(member);
    let leaf = *members.iter().rfind(is_leaf).unwrap();
    let since = world.elapsed();
    world.leave(leaf);
    members.retain(|member| *member != leaf);
    let is_gone = |world: &World| world.slots[leaf].node.as_ref().is_none_or(|node| node.roster().is_none());
    let knows =
        |world: &World| world.slots[host].node.as_ref().unwrap().roster().unwrap().len() == members.len();
    assert!(world.run_until_so(SOON, |world| is_gone(world) || knows(world)));
    assert_eq!(epoch(&world, members[5]), before, "nobody waits for that");
    assert!(world.run_until_so(SOON, |world| world.is_settled(&members)), "the review does without");
    assert!(members.iter().all(|ear| *ear == voice || world.missed(*ear, voice, since) == 0));
}

#[test]
fn a_member_that_starts_anew_under_its_key_is_soon_in_again() {
    let (mut world, members) = large(19, Objective::Diameter);
    let host = members[0];
    calm_down(&mut world, &members);
    let voice = members[2];
    world.speak(voice);
    let parents: Vec<usize> = {
        let edges = &world.plan(host).unwrap().trees[0].edges;
        edges.iter().filter_map(|(parent, _)| world.index(*parent)).collect()
    };
    let fallen = *members.iter().rfind(|member| **member != voice && !parents.contains(member)).unwrap();
    let id = world.slots[fallen].id;
    world.kill(fallen);
    world.slots[fallen].keys = None;
    // Before anybody has missed it.
    let (now, identity) = (world.now(), Identity::from_seed([fallen as u8 + 1; 32]));
    assert_eq!(identity.node_id(), id);
    let config = PoolConfig { degree: 4, ..PoolConfig::default() };
    let node = Node::new(Arc::new(identity), vec![addr_of(fallen)], config, StdRng::seed_from_u64(5), now);
    world.slots[fallen].node = Some(node);
    let (invite, name, salt) = (world.invite(&[host]), "again".to_owned(), [99; 16]);
    let again = MemberConfig { invite, name, salt, degree: 4, records: false };
    world.with(fallen, |node| node.join(again, now));
    let since = world.elapsed();
    assert!(world.run_until_so(SOON, |world| world.is_settled(&members)), "{}", world.standing(&members));
    world.run(Duration::from_secs(1));
    assert!(hears(&world, fallen, voice, since));
    let since = world.elapsed();
    world.run(Duration::from_secs(1));
    assert!(members.iter().all(|ear| *ear == voice || world.missed(*ear, voice, since) == 0));
}
