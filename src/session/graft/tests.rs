//! What a graft makes of a plan, and where the best slots are.

use alm_planner::Objective;

use super::slots::room;
use super::*;
use crate::identity::SessionId;
use crate::pool::{AuthorityMark, NodeReport, Place, Priority, Reach};
use crate::session::plan::PlanTree;
use crate::session::planning::PlanningJob;

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

/// 0 above 1 and 2, 1 above 3; who speaks, 3, has a tree of its own; a helper, 9, is above 4.
fn plan() -> SessionPlan {
    let tree = |tree, shared, sources: &[u8], edges: &[(u8, u8)]| PlanTree {
        tree,
        shared,
        sources: sources.iter().map(|n| node(*n)).collect(),
        edges: edges.iter().map(|(a, b)| (node(*a), node(*b))).collect(),
        backups: vec![],
        detours: vec![],
    };
    SessionPlan {
        epoch: 1,
        objective: Objective::Diameter,
        root: node(0),
        trees: vec![
            tree(1, false, &[3], &[(3, 1), (1, 0), (0, 2), (2, 9), (9, 4)]),
            tree(2, true, &[0, 1, 2, 3, 4], &[(0, 1), (0, 2), (1, 3), (2, 9), (9, 4)]),
        ],
        helpers: vec![node(9)],
        worst_ms: 40.0,
        height_ms: 30.0,
        diameter_ms: 40.0,
        is_guess: false,
        planned_us: 0,
        probes: 0,
        reason: "joined".to_owned(),
    }
}

fn graft(n: u8, parent: u8, backup: u8) -> Graft {
    Graft { node: node(n), parent: node(parent), backup: Some(node(backup)), worst_ms: 50.0 }
}

#[test]
fn a_graft_is_a_leaf_of_every_tree() {
    let mut grown = Grown::new(plan(), vec![]).unwrap();
    assert_eq!(grown.plan(), &plan());
    let with = grown.with(graft(5, 1, 2)).unwrap();
    assert_eq!(
        (with.check(), with.worst_ms, with.is_leaf(node(5)), with.is_leaf(node(1))),
        (Ok(()), 50.0, true, false)
    );
    assert_eq!(with.concerned(&graft(5, 1, 2)), [0, 1, 2, 3, 5].map(node).into());
    let parts = with.parts_of(node(5));
    assert!(parts.iter().all(|part| part.parent == Some(node(1)) && part.backups[0] == node(2)));
    assert_eq!((parts.len(), with.degree_of(node(1)), plan().degree_of(node(1))), (2, 3, 2));
    grown.add(graft(5, 1, 2), with);
    let more = grown.with(graft(6, 5, 0)).unwrap();
    assert!(!more.is_leaf(node(5)));
    assert_eq!((grown.told(), grown.grafts().len()), (&plan(), 1));
    assert_eq!(grown.with(graft(5, 1, 2)), Err(PlanDefect::NotATree), "it is in");
    assert_eq!(grown.with(graft(7, 8, 2)), Err(PlanDefect::NotATree), "its parent is not");
    assert_eq!(grown.with(graft(7, 1, 8)), Err(PlanDefect::BackupOutside));
    assert!(Grown::new(plan(), vec![graft(5, 1, 2), graft(5, 1, 2)]).is_err());
    let whole = Grown::new(plan(), grown.grafts().to_vec()).unwrap();
    assert_eq!(whole.plan(), grown.plan());
}

#[test]
fn grafts_are_bounded() {
    let mut grown = Grown::new(plan(), vec![]).unwrap();
    for n in 0..GRAFTS_MAX as u8 {
        let graft = graft(100 + n, 1, 2);
        let whole = grown.with(graft).unwrap();
        grown.add(graft, whole);
    }
    assert_eq!(grown.with(graft(99, 1, 2)), Err(PlanDefect::TooManyGrafts));
    let many = (0..=GRAFTS_MAX as u8).map(|n| graft(100 + n, 1, 2)).collect();
    assert_eq!(Grown::new(plan(), many).unwrap_err(), PlanDefect::TooManyGrafts);
}

/// Members 0 to 4 on a line, 10 ms a step, a helper at 3, and joiners that the host alone has measured, at the end of it.
fn job(degree: u32, joiners: &[u8]) -> PlanningJob {
    let report = |n: u8, at: u8| NodeReport {
        node: node(n),
        addrs: vec![],
        place: Place::UNKNOWN,
        lends: n == 9,
        of: AuthorityMark::NONE,
        degree_bound: 8,
        held: vec![],
        round_trips_ms: (0..5).map(|to| (node(to), f32::from(at.abs_diff(to)) * 10.0 + 1.0)).collect(),
        reach: Reach::Unknown,
        unreachable: vec![],
    };
    let mut reports: Vec<NodeReport> = (0..5).map(|n| report(n, n)).chain([report(9, 3)]).collect();
    reports.extend(joiners.iter().map(|n| report(*n, 4)));
    PlanningJob {
        session: SessionId([0; 20]),
        objective: Objective::Diameter,
        priority: Priority::LOWEST,
        protect: false,
        speakers: vec![node(3)],
        members: (0..5).chain(joiners.iter().copied()).map(|n| (node(n), degree)).collect(),
        reports,
        excluded: [].into(),
        forbidden: [].into(),
        current: Some(plan()),
        joiners: joiners.iter().map(|n| node(*n)).collect(),
        review: false,
        reason: "joined",
        probed: vec![],
        probes: 0,
        measured_only: true,
    }
}

#[test]
fn joiners_hang_where_the_longest_way_is_shortest_and_helpers_take_on_nobody() {
    let planned = job(3, &[5]).run();
    let [found] = planned.grafts[..] else { panic!("{:?}", planned.grafts) };
    assert!(![node(9), node(5)].contains(&found.parent), "{found:?}");
    assert_ne!(Some(found.parent), found.backup);
    assert_eq!(planned.plan.unwrap(), plan());
    assert!(Grown::new(plan(), vec![found]).is_ok());
    let barred = PlanningJob { forbidden: [(node(5), found.parent)].into(), ..job(3, &[5]) }.run();
    assert_ne!(barred.grafts[0].parent, found.parent);
    let two = job(3, &[5, 6]).run().grafts;
    assert!(Grown::new(plan(), two).is_ok());
}

#[test]
fn a_joiner_takes_room_in_all_trees_at_once() {
    // 0 has a link to spare in the shared tree, and none in that of a speaker, along which it sends on the most copies.
    let mut plan = plan();
    plan.trees[0].edges = [(3, 0), (0, 1), (0, 2), (0, 9), (9, 4)].map(|(a, b)| (node(a), node(b))).to_vec();
    assert_eq!((plan.degree_of(node(0)), room(&plan.parts_of(node(0)), 3)), (3, 0));
    assert_eq!((plan.degree_of(node(1)), room(&plan.parts_of(node(1)), 3)), (2, 1));
    let grafts = PlanningJob { current: Some(plan.clone()), ..job(3, &[5, 6]) }.run().grafts;
    let grown = Grown::new(plan, grafts).unwrap();
    assert!((0..7).all(|n| grown.plan().degree_of(node(n)) <= 3));
}

#[test]
fn without_room_there_is_a_plan_instead() {
    let planned = job(1, &[5]).run();
    assert!(planned.grafts.is_empty());
    assert!(planned.plan.is_err() || planned.plan.unwrap() != plan());
}
