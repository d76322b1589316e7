//! Sessions in which relays die, lines stall and people come and go, in virtual time: how long is anybody unheard?

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use alm::identity::{NodeId, SessionId};
use alm::net::LinkEvent;
use alm::node::Input;
use alm::pool::{PoolMessage, Priority, Reservation};
use alm::session::{Event, Lost, Moderation};
use alm::wire::Message;
use alm_planner::Objective;

use world::{MS, World};

/// Ten nodes on a ring of 200 ms: two helpers, a host, seven members of small degree.
fn world(seed: u64, objective: Objective) -> (World, Vec<usize>) {
    world_of(seed, objective, 2, false)
}

fn world_of(seed: u64, objective: Objective, degree: u32, protect: bool) -> (World, Vec<usize>) {
    let mut world = World::new(seed, |a, b| {
        let apart = a.abs_diff(b) % 10;
        MS * (4 + 10 * apart.min(10 - apart) as u32 + (a * 7 + b * 7) as u32 % 5)
    });
    for _ in 0..2 {
        world.helper(8);
    }
    let host = world.host_with(degree, objective, protect);
    let mut members = vec![host];
    members.extend((0..7).map(|_| world.member(degree, &[host])));
    assert!(world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)));
    world.run(Duration::from_secs(3));
    assert!(world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)));
    (world, members)
}

/// Members that relay the voice of one to others, and those below each of them.
fn relays(world: &World, voice: usize) -> Vec<(usize, Vec<usize>)> {
    let plan = world.plan(voice).unwrap();
    let id = world.slots[voice].id;
    let tree = plan.trees.iter().find(|tree| tree.sources.contains(&id)).unwrap();
    // Hung from the voice, whichever way the plan has it.
    let mut links: Vec<(NodeId, NodeId)> = tree.edges.clone();
    links.extend(tree.edges.iter().filter(|_| tree.shared).map(|(a, b)| (*b, *a)));
    let below = |top: NodeId| {
        let (mut found, mut open, mut seen) = (vec![], vec![id], BTreeSet::from([id]));
        let mut under: BTreeSet<NodeId> = BTreeSet::new();
        while let Some(at) = open.pop() {
            for (_, to) in links.iter().filter(|(from, _)| *from == at) {
                if seen.insert(*to) {
                    if at == top || under.contains(&at) {
                        under.insert(*to);
                        found.extend(world.index(*to));
                    }
                    open.push(*to);
                }
            }
        }
        found
    };
    let all: BTreeSet<NodeId> = tree.edges.iter().map(|(parent, _)| *parent).collect();
    let all = all.into_iter().filter(|relay| *relay != id && *relay != plan.root);
    all.map(|relay| (world.index(relay).unwrap(), below(relay)))
        .filter(|(_, below)| !below.is_empty())
        .collect()
}

fn repairs(world: &World, node: usize) -> Vec<(Lost, Duration, Duration)> {
    let told = world.slots[node].told.iter();
    told.filter_map(|(_, event)| match event {
        Event::Repair { what, detected, repaired, .. } => Some((*what, *detected, *repaired)),
        _ => None,
    })
    .collect()
}

#[test]
fn a_relay_that_dies_is_replaced_before_a_syllable_is_lost() {
    let mut gaps = vec![];
    for (seed, objective) in [(1, Objective::Forest), (2, Objective::Forest), (3, Objective::Diameter)] {
        let (mut world, members) = world(seed, objective);
        let voice = members[seed as usize];
        world.speak(voice);
        world.run(Duration::from_secs(2));
        let (relay, below) = relays(&world, voice).into_iter().max_by_key(|(_, below)| below.len()).unwrap();
        let before = world.elapsed();
        world.kill(relay);
        world.run(Duration::from_secs(8));
        let ears = members.iter().copied().filter(|ear| *ear != voice && *ear != relay);
        for ear in ears {
            let gap = world.gap(ear, voice, before);
            // What passed while it was dead and not yet replaced is heard after all.
            assert_eq!(world.missed(ear, voice, before), 0, "{objective:?}: {ear} after {relay}");
            if below.contains(&ear) {
                gaps.push(gap);
            } else {
                assert!(gap <= 40 * MS, "{objective:?}: {ear} is not below {relay} and waited {gap:?}");
            }
        }
        let told: Vec<_> = members.iter().flat_map(|member| repairs(&world, *member)).collect();
        assert!(!told.is_empty(), "{objective:?}: nobody has told of the repair");
        for (_, detected, repaired) in told {
            assert!(detected <= 120 * MS && repaired <= 500 * MS, "{detected:?}, {repaired:?}");
        }
        assert_eq!(world.looped(), None);
        let left: Vec<usize> = members.iter().copied().filter(|member| *member != relay).collect();
        assert!(world.is_settled(&left), "{objective:?}: not planned again");
    }
    gaps.sort();
    assert!(gaps[gaps.len() / 2] <= 200 * MS && *gaps.last().unwrap() <= 500 * MS, "{gaps:?}");
}

#[test]
fn a_helper_that_is_taken_away_is_done_without_before_it_stops() {
    let (mut world, members) = world(4, Objective::Diameter);
    let voice = members[1];
    world.speak(voice);
    world.run(Duration::from_secs(2));
    let helper = world.plan(voice).unwrap().helpers.first().and_then(|helper| world.index(*helper)).unwrap();
    let (before, now) = (world.elapsed(), world.now());
    // Somebody else's session, of a higher priority, takes all of it.
    let wanted = Reservation {
        request: 1,
        session: SessionId([9; 20]),
        priority: Priority::try_from(1).unwrap(),
        degrees: 8,
        lease_ms: 60_000,
        grant: None,
    };
    let bytes = Message::Pool(PoolMessage::Reserve(wanted)).encode();
    let asked = Input::Link(LinkEvent::Control { from: world.slots[members[2]].id, bytes });
    world.with(helper, |node| node.handle(asked, now));
    world.run(Duration::from_secs(8));
    let id = world.slots[helper].id;
    assert!(world.is_settled(&members) && !world.plan(voice).unwrap().helpers.contains(&id));
    for ear in members.into_iter().filter(|ear| *ear != voice) {
        assert_eq!(world.missed(ear, voice, before), 0, "{ear}");
    }
    assert_eq!(world.looped(), None);
}

#[test]
fn with_two_trees_a_relay_that_dies_is_not_missed() {
    for objective in [Objective::Forest, Objective::Diameter] {
        let (mut world, members) = world_of(5, objective, 4, true);
        let voice = members[2];
        let plan = world.plan(voice).unwrap();
        assert!(plan.is_protected(), "{objective:?}: two trees fit");
        let id = world.slots[voice].id;
        let trees: Vec<_> = plan.trees.iter().filter(|tree| tree.sources.contains(&id)).collect();
        let relays = |at: usize| {
            let links = |node: NodeId| {
                trees[at].edges.iter().filter(|(parent, child)| [*parent, *child].contains(&node)).count()
            };
            plan.nodes().into_iter().filter(|node| *node != id && links(*node) > 1).collect::<BTreeSet<_>>()
        };
        assert_eq!((trees.len(), relays(0).intersection(&relays(1)).count()), (2, 0), "{objective:?}");
        let dead: Vec<usize> = (0..2)
            .filter_map(|at| relays(at).into_iter().find(|node| *node != plan.root))
            .map(|node| world.index(node).unwrap())
            .take(1)
            .collect();
        world.speak(voice);
        world.run(Duration::from_secs(2));
        let before = world.elapsed();
        for relay in &dead {
            world.kill(*relay);
        }
        world.run(Duration::from_secs(8));
        for ear in members.iter().copied().filter(|ear| *ear != voice && !dead.contains(ear)) {
            assert_eq!(world.missed(ear, voice, before), 0, "{objective:?}: {ear} has missed something");
        }
        assert!(!dead.is_empty() && world.looped().is_none());
        let left: Vec<usize> = members.iter().copied().filter(|member| !dead.contains(member)).collect();
        assert!(world.is_settled(&left), "{objective:?}: not planned again");
    }
}

#[test]
fn a_stall_of_a_line_moves_nobody() {
    let (mut world, members) = world(1, Objective::Forest);
    let voice = members[1];
    world.speak(voice);
    world.run(Duration::from_secs(2));
    let epoch = world.plan(voice).unwrap().epoch;
    let (relay, below) = relays(&world, voice).into_iter().max_by_key(|(_, below)| below.len()).unwrap();
    for ear in &below {
        world.stall(relay, *ear, 100 * MS);
    }
    let before = world.elapsed();
    world.run(Duration::from_secs(4));
    for ear in below {
        assert!(world.gap(ear, voice, before) <= 150 * MS);
    }
    assert_eq!(world.plan(voice).unwrap().epoch, epoch, "planned again for a stall");
    assert!(members.iter().all(|member| repairs(&world, *member).is_empty()));
    let alarms: u64 =
        members.iter().map(|member| world.slots[*member].node.as_ref().unwrap().false_alarms()).sum();
    assert!(alarms > 0, "suspicions are counted");
    let told = members.iter().flat_map(|member| &world.slots[*member].told);
    let given_up = told.filter(|(_, event)| matches!(event, Event::FalseAlarm { given_up: true, .. }));
    assert_eq!(given_up.count(), 0, "a parent was left for a stall");
    assert_eq!(world.looped(), None);
}

/// When a node has told that it is fed over another one than `parent`, and that it is not any more.
fn detours(world: &World, node: usize, parent: NodeId) -> Vec<(Duration, bool)> {
    let told = world.slots[node].told.iter();
    told.filter_map(|(at, event)| match event {
        Event::Detour { parent: from, over, .. } if *from == parent => Some((*at, over.is_some())),
        _ => None,
    })
    .collect()
}

#[test]
fn a_way_that_turns_bad_is_gone_around_while_it_is() {
    let cases = [
        (1, Objective::Forest, 0.3, Duration::ZERO),
        (2, Objective::Forest, 0.15, Duration::ZERO),
        (3, Objective::Forest, 0.0, 120 * MS),
        (4, Objective::Forest, 0.2, 100 * MS),
        (5, Objective::Diameter, 0.3, Duration::ZERO),
        (6, Objective::Diameter, 0.0, 120 * MS),
    ];
    let mut gone_around = 0;
    for (seed, objective, loss, delay) in cases {
        let (mut world, members) = world_of(seed, objective, 4, false);
        let voice = members[seed as usize];
        world.speak(voice);
        world.run(Duration::from_secs(5));
        // The first link down from the voice that has a detour.
        let plan = world.plan(voice).unwrap();
        let id = world.slots[voice].id;
        let tree = plan.trees.iter().find(|tree| tree.sources.contains(&id)).unwrap();
        let named = |edge: &&(NodeId, NodeId)| tree.detours.iter().any(|(child, _)| *child == edge.1);
        let is_above = |top: NodeId| {
            let mut below = vec![top];
            for (parent, child) in &tree.edges {
                if below.contains(parent) {
                    below.push(*child);
                }
            }
            below.contains(&id)
        };
        let downwards = |edge: &&(NodeId, NodeId)| !is_above(edge.1);
        let (parent, child) = *tree.edges.iter().filter(named).find(downwards).unwrap();
        let (from, to) = (world.index(parent).unwrap(), world.index(child).unwrap());
        let bad = world.elapsed();
        for way in [(from, to), (to, from)] {
            world.spoiled.insert(way, (loss, delay));
        }
        world.run(Duration::from_secs(10));
        match detours(&world, to, parent).first() {
            Some((at, is_around)) => {
                assert!(*is_around && *at - bad <= Duration::from_secs(2), "{seed}: after {:?}", *at - bad);
                gone_around += 1;
            }
            // Nobody had room, and the manager has planned without that link.
            None => assert!(!has_link(&world, voice, (parent, child)), "{seed}: nothing was done"),
        }
        let good = bad + Duration::from_secs(3);
        let ears = || members.iter().copied().filter(|ear| *ear != voice);
        for ear in ears() {
            let (missed, gap) = (world.missed(ear, voice, good), world.gap(ear, voice, good));
            assert!(missed == 0 && gap <= 30 * MS, "{seed}: {ear} missed {missed}, waited {gap:?}");
        }
        // Once it is good again it is taken again, unless there is a better plan by then; nobody hears of that.
        world.spoiled.clear();
        let mended = world.elapsed();
        let is_direct = |world: &World| {
            let is_back = matches!(detours(world, to, parent).last(), Some((_, false)));
            is_back || !has_link(world, voice, (parent, child))
        };
        assert!(world.run_until_so(Duration::from_secs(20), is_direct), "{seed}: on a detour for ever");
        world.run(Duration::from_secs(3));
        for ear in ears() {
            let (missed, gap) = (world.missed(ear, voice, mended), world.gap(ear, voice, mended));
            assert!(missed == 0 && gap <= 150 * MS, "{seed}: {ear} missed {missed}, waited {gap:?}");
        }
        assert_eq!(world.looped(), None, "{seed}");
    }
    assert!(gone_around >= 4, "{gone_around} of 6");
}

/// A node's plan has that link.
fn has_link(world: &World, node: usize, link: (NodeId, NodeId)) -> bool {
    let trees = world.plan(node).into_iter().flat_map(|plan| &plan.trees);
    trees.into_iter().any(|tree| tree.edges.contains(&link))
}

/// Who manages the session, as each of these nodes knows.
fn managers(world: &World, members: &[usize]) -> BTreeSet<NodeId> {
    members.iter().map(|member| world.plan(*member).unwrap().root).collect()
}

#[test]
fn a_host_that_dies_is_succeeded_and_its_id_admits_as_before() {
    for objective in [Objective::Forest, Objective::Diameter] {
        let (mut world, members) = world(4, objective);
        let voice = members[3];
        world.speak(voice);
        world.run(Duration::from_secs(2));
        let host = members[0];
        let mut left = members[1..].to_vec();
        let before = world.elapsed();
        world.kill(host);
        assert!(
            world.run_until_so(Duration::from_secs(5), |world| world.is_settled(&left)),
            "no new manager"
        );
        for ear in left.iter().filter(|ear| **ear != voice) {
            let gap = world.gap(*ear, voice, before);
            assert!(gap <= 500 * MS, "{objective:?}: {ear} waited {gap:?}");
        }
        for member in &left {
            let host_lost = repairs(&world, *member).into_iter().find(|(what, ..)| *what == Lost::Host);
            let (_, detected, repaired) = host_lost.expect("everybody is told");
            assert!(detected <= 2_000 * MS && repaired <= 5_000 * MS, "{detected:?}, {repaired:?}");
        }
        assert_eq!(managers(&world, &left).len(), 1);
        // The id's entry point is dead; a node of the pool knows.
        left.push(world.member(2, &[host]));
        assert!(
            world.run_until_so(Duration::from_secs(8), |world| world.is_settled(&left)),
            "nobody is let in"
        );
        // And the next one.
        let second = world.index(*managers(&world, &left).first().unwrap()).unwrap();
        world.kill(second);
        left.retain(|member| *member != second);
        assert!(
            world.run_until_so(Duration::from_secs(8), |world| world.is_settled(&left)),
            "no third manager"
        );
        assert_eq!(world.looped(), None);
    }
}

#[test]
fn a_host_that_leaves_hands_over_without_a_gap() {
    let (mut world, members) = world(5, Objective::Forest);
    let voice = members[3];
    world.speak(voice);
    world.run(Duration::from_secs(2));
    let before = world.elapsed();
    world.leave(members[0]);
    let left = members[1..].to_vec();
    assert!(world.run_until_so(Duration::from_secs(4), |world| {
        world.slots[members[0]].node.is_none() && world.is_settled(&left)
    }));
    world.run(Duration::from_secs(3));
    for ear in left.iter().filter(|ear| **ear != voice) {
        assert_eq!(world.missed(*ear, voice, before), 0, "{ear} missed something");
    }
    assert!(left.iter().all(|member| repairs(&world, *member).is_empty()), "nobody died");
}

#[test]
fn an_heir_whose_line_was_down_comes_back_as_a_member() {
    let (mut world, members) = world(6, Objective::Forest);
    let (host, heir, voice) = (members[0], members[1], members[3]);
    world.speak(voice);
    world.run(Duration::from_secs(2));
    world.cut(&[heir]);
    let others: Vec<usize> = members.iter().copied().filter(|member| *member != heir).collect();
    assert!(world.run_until_so(Duration::from_secs(10), |world| world.is_settled(&others)));
    world.run(Duration::from_secs(4));
    let before = world.elapsed();
    world.mend();
    assert!(world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)), "not back");
    world.run(Duration::from_secs(3));
    assert_eq!(
        managers(&world, &members),
        BTreeSet::from([world.slots[host].id]),
        "the others are not overruled"
    );
    for ear in others.iter().filter(|ear| **ear != voice) {
        assert_eq!(world.missed(*ear, voice, before), 0, "{ear} missed something");
    }
}

#[test]
fn two_sides_of_a_cut_go_on_and_become_one_again() {
    let (mut world, members) = world(6, Objective::Forest);
    let side: Vec<usize> = members[4..].to_vec();
    world.speak(side[1]);
    world.speak(members[1]);
    world.run(Duration::from_secs(2));
    world.cut(&side);
    let other = members[..4].to_vec();
    assert!(world.run_until_so(Duration::from_secs(15), |world| {
        world.is_settled(&side) && world.is_settled(&other)
    }));
    assert_ne!(managers(&world, &side), managers(&world, &other));
    let now = world.now();
    for (who, text) in [(side[1], "over here"), (members[1], "and here")] {
        world.with(who, |node| node.handle(Input::Say(text.into(), 1), now));
    }
    world.run(Duration::from_secs(1));
    world.mend();
    assert!(world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)), "not one again");
    assert_eq!(managers(&world, &members).len(), 1);
    let healed = world.elapsed();
    world.run(Duration::from_secs(3));
    assert!(world.gap(members[2], side[1], healed) < 100 * MS);
    assert!(world.gap(side[0], members[1], healed) < 100 * MS);
    for member in &members {
        let told = world.slots[*member].told.iter();
        let mut read: Vec<&str> = told
            .filter_map(
                |(_, event)| if let Event::Said(line) = event { Some(line.text.as_str()) } else { None },
            )
            .collect();
        read.sort_unstable();
        assert_eq!(read, ["and here", "over here"], "{member} has read what both sides wrote, once");
    }
}

#[test]
fn a_relay_that_leaves_politely_is_not_missed() {
    let (mut world, members) = world(7, Objective::Forest);
    let voice = members[2];
    world.speak(voice);
    world.run(Duration::from_secs(2));
    let relay =
        relays(&world, voice).into_iter().map(|(relay, _)| relay).find(|relay| members.contains(relay));
    let relay = relay.unwrap();
    let before = world.elapsed();
    world.leave(relay);
    let left: Vec<usize> = members.iter().copied().filter(|member| *member != relay).collect();
    assert!(world.run_until_so(Duration::from_secs(4), |world| world.is_settled(&left)));
    world.run(Duration::from_secs(3));
    for ear in left.iter().filter(|ear| **ear != voice) {
        assert_eq!(world.missed(*ear, voice, before), 0, "{ear} missed something");
    }
}

#[test]
fn what_the_host_lays_down_is_kept_by_everybody() {
    let (mut world, members) = world(8, Objective::Forest);
    let (host, offender, ear) = (members[0], members[1], members[2]);
    [host, offender, ear].into_iter().for_each(|voice| world.speak(voice));
    world.run(Duration::from_secs(1));
    let act = |world: &mut World, what| {
        let now = world.now();
        world.with(host, |node| node.handle(Input::Moderate(what, [77; 16]), now));
    };
    act(&mut world, Moderation::Quiet(true));
    world.run(MS * 300);
    let before = world.elapsed();
    world.run(Duration::from_secs(2));
    assert!(world.gap(ear, host, before) < 100 * MS, "the host is heard");
    assert!(world.gap(ear, offender, before) > 1_900 * MS, "others are not");
    act(&mut world, Moderation::Quiet(false));
    world.run(Duration::from_secs(1));
    let before = world.elapsed();
    world.run(Duration::from_secs(1));
    assert!(world.gap(ear, offender, before) < 100 * MS);
    act(&mut world, Moderation::Lock(true));
    let (gone, id) = (world.slots[offender].id, world.slots[ear].id);
    act(&mut world, Moderation::Ban(gone));
    let left: Vec<usize> = members.iter().copied().filter(|member| *member != offender).collect();
    assert!(world.run_until_so(Duration::from_secs(4), |world| world.is_settled(&left)));
    assert!(world.slots[offender].node.is_none(), "it is told");
    assert!(
        left.iter().all(|member| world.slots[*member].node.as_ref().unwrap().rules().unwrap().bans(gone))
    );
    // The old id admits nobody, and the new one nobody new while the session is locked.
    let stranger = world.member(2, &[host]);
    world.run(Duration::from_secs(5));
    assert!(world.slots[stranger].node.is_none());
    act(&mut world, Moderation::Lock(false));
    world.kill(host);
    let left = left[1..].to_vec();
    assert!(world.run_until_so(Duration::from_secs(6), |world| world.is_settled(&left)));
    let rules = world.slots[ear].node.as_ref().unwrap().rules().unwrap();
    assert!(rules.bans(gone) && !rules.bans(id), "what is laid down passes on with the office");
}

#[test]
fn a_member_that_was_cut_off_comes_back_and_changes_nothing_else() {
    let (mut world, members) = world(9, Objective::Forest);
    let cut = *members.last().unwrap();
    let before = managers(&world, &members);
    world.cut(&[cut]);
    let left = &members[..members.len() - 1];
    assert!(world.run_until_so(Duration::from_secs(10), |world| world.is_settled(left)));
    world.run(Duration::from_secs(6));
    world.mend();
    assert!(
        world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)),
        "not let in again"
    );
    assert_eq!(managers(&world, &members), before, "the host is still the host");
}
