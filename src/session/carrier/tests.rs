//! Epochs side by side, and what is not carried.

use alm_planner::Objective;

use super::*;
use crate::identity::Identity;
use crate::session::PlanNews;
use crate::session::plan::{PlanTree, tree_number};
use crate::testing::origin;

const MS: Duration = Duration::from_millis(1);

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn manager() -> Identity {
    Identity::from_seed([1; 32])
}

fn session() -> SessionId {
    SessionId::of(&Identity::from_seed([9; 32]).node_id())
}

/// A helper's part of a shared tree: between node 2 above and nodes 3 and 4 below.
fn installation(epoch: u64) -> Installation {
    let tree = tree_number(session(), manager().node_id(), (1, epoch), 0);
    let part = TreePart {
        tree,
        shared: true,
        parent: Some(node(2)),
        children: vec![node(3), node(4)],
        backups: vec![],
        standby: vec![],
        detour: None,
        around: vec![],
    };
    carried(epoch, node(7), vec![part])
}

fn carried(epoch: u64, to: NodeId, trees: Vec<TreePart>) -> Installation {
    Installation { session: session(), epoch, share: Share::Part { to, trees } }
}

fn signed(content: &Installation) -> Signed {
    let delegation = Delegation::new(&Identity::from_seed([9; 32]), manager().node_id(), 1);
    Signed::new(postcard::to_stdvec(content).unwrap(), &manager(), delegation)
}

fn install(carrier: &mut Carrier, content: &Installation, now: Instant) -> Result<Installed, InstallError> {
    carrier.install(&signed(content), node(7), 3, false, |_| true, now)
}

fn route(carrier: &Carrier, epoch: u64, from: u8) -> Option<Vec<NodeId>> {
    let route = carrier
        .routes()
        .route(TreeId(tree_number(session(), manager().node_id(), (1, epoch), 0)), Some(node(from)))?;
    Some(route.links.iter().map(|link| carrier.routes().peer(*link)).collect())
}

#[test]
fn epochs_live_side_by_side_until_the_old_one_has_drained() {
    let start = origin();
    let mut carrier = Carrier::default();
    install(&mut carrier, &installation(1), start).unwrap();
    carrier.activate(session(), 1, manager().node_id(), start);
    install(&mut carrier, &installation(2), start).unwrap();
    assert_eq!(route(&carrier, 1, 2).unwrap(), [node(3), node(4)]);
    assert_eq!(route(&carrier, 2, 3).unwrap(), [node(4), node(2)]);
    assert!(
        carrier.own_trees(session(), start).eq([TreeId(tree_number(
            session(),
            manager().node_id(),
            (1, 1),
            0
        ))]),
        "not yet activated"
    );
    carrier.activate(session(), 2, manager().node_id(), start + MS);
    assert!(carrier.own_trees(session(), start).eq([TreeId(tree_number(
        session(),
        manager().node_id(),
        (1, 2),
        0
    ))]));
    assert!(route(&carrier, 1, 2).is_some(), "packets under way");
    carrier.handle_timeout(start + MS + DRAIN);
    assert_eq!(route(&carrier, 1, 2), None);
    assert!(route(&carrier, 2, 2).is_some());
    carrier.drop_session(session());
    assert_eq!((route(&carrier, 2, 2), carrier.poll_timeout()), (None, None));
}

#[test]
fn what_the_manager_has_not_signed_for_this_node_is_not_carried() {
    let now = origin();
    let mut carrier = Carrier::default();
    let good = installation(1);
    let mut refuse = |signed: &Signed, held, why: InstallError| {
        let outcome = carrier.install(signed, node(7), held, false, |_| true, now);
        assert_eq!(outcome.unwrap_err(), why);
        assert_eq!(carrier.sessions().filter(|s| carrier.neighbours(*s).count() > 0).count(), 0);
    };
    let mut forged = signed(&good);
    forged.content[0] ^= 1;
    refuse(&forged, 3, InstallError::Unsigned);
    let Share::Part { trees, .. } = good.share.clone() else { unreachable!() };
    refuse(&signed(&carried(1, node(8), trees)), 3, InstallError::Malformed);
    refuse(
        &signed(&Installation { session: SessionId([0; 20]), ..good.clone() }),
        3,
        InstallError::Malformed,
    );
    refuse(&signed(&good), 2, InstallError::TooManyLinks { asked: 3, held: 2 });
}

#[test]
fn an_old_epoch_never_replaces_a_newer_one_and_strangers_activate_nothing() {
    let now = origin();
    let mut carrier = Carrier::default();
    install(&mut carrier, &installation(5), now).unwrap();
    for old in [4, 5] {
        assert_eq!(install(&mut carrier, &installation(old), now).unwrap_err(), InstallError::OutOfDate);
    }
    carrier.activate(session(), 5, node(66), now);
    assert_eq!(carrier.own_trees(session(), now).count(), 0);
}

#[test]
fn the_manager_is_told_when_all_neighbours_are_there_or_who_is_missing() {
    let start = origin();
    let mut carrier = Carrier::default();
    let there = |n: NodeId| n == node(2);
    let installed = carrier.install(&signed(&installation(1)), node(7), 3, false, there, start).unwrap();
    assert_eq!(installed.wanted, [node(2), node(3), node(4)]);
    assert_eq!(carrier.on_joined(node(3)), []);
    let told = |missing| Readiness { session: session(), epoch: 1, manager: manager().node_id(), missing };
    assert_eq!(carrier.handle_timeout(start + CONNECT_TIMEOUT), [told(vec![node(4)])]);
    assert_eq!(carrier.on_joined(node(4)), [], "told already");
    carrier.drop_session(session());
    carrier.install(&signed(&installation(2)), node(7), 3, false, there, start).unwrap();
    carrier.on_joined(node(4));
    assert_eq!(carrier.on_joined(node(3)), [Readiness { epoch: 2, ..told(vec![]) }]);
}

#[test]
fn a_forest_is_carried_within_the_copies_of_the_degrees_that_are_held() {
    let now = origin();
    // Four trees in which this helper has three children each: 9 copies while three speak.
    let part = |number: u32| TreePart {
        tree: tree_number(session(), manager().node_id(), (1, 1), number),
        shared: false,
        parent: Some(node(10 + number as u8)),
        children: (10..14).map(node).filter(|child| *child != node(10 + number as u8)).collect(),
        backups: vec![],
        standby: vec![],
        detour: None,
        around: vec![],
    };
    let parts: Vec<TreePart> = (0..4).map(part).collect();
    let forest = carried(1, node(7), parts.clone());
    let mut carrier = Carrier::default();
    let mut take = |held| carrier.install(&signed(&forest), node(7), held, false, |_| true, now).map(|_| ());
    assert_eq!(take(2), Err(InstallError::TooManyLinks { asked: 3, held: 2 }));
    assert_eq!(take(3), Ok(()));
    let links = |tree: &TreePart, from: u8| {
        let route = carrier.routes().route(TreeId(tree.tree), Some(node(from)))?;
        Some(route.links.iter().map(|link| carrier.routes().peer(*link)).collect::<Vec<_>>())
    };
    assert_eq!(links(&parts[1], 11).unwrap(), [node(10), node(12), node(13)]);
    assert_eq!(links(&parts[1], 10), None, "nobody sends upwards");
}

#[test]
fn a_member_finds_its_part_in_the_whole_and_takes_nothing_else() {
    let now = origin();
    let edges = vec![(node(2), node(7)), (node(7), node(3)), (node(7), node(4))];
    let sources = vec![node(2), node(7), node(3), node(4)];
    let tree = PlanTree {
        tree: tree_number(session(), manager().node_id(), (1, 1), 0),
        shared: true,
        sources,
        edges,
        backups: vec![],
        detours: vec![],
    };
    let plan = SessionPlan {
        epoch: 1,
        objective: Objective::Diameter,
        root: node(2),
        trees: vec![tree],
        helpers: vec![],
        worst_ms: 0.0,
        height_ms: 0.0,
        diameter_ms: 0.0,
        is_guess: false,
        planned_us: 0,
        probes: 0,
        reason: String::new(),
    };
    let whole = |plan: SessionPlan| Installation {
        share: Share::Plan(PlanNews::Whole(plan), vec![]),
        ..installation(1)
    };
    let good = whole(plan.clone());
    let mut looped = plan.clone();
    looped.trees[0].edges.push((node(3), node(2)));
    let bad = whole(looped);
    let other = whole(SessionPlan { epoch: 2, ..plan });
    let mut carrier = Carrier::default();
    let mut take = |content: &Installation| {
        carrier.install(&signed(content), node(7), 3, true, |_| false, now).map(|it| it.wanted)
    };
    assert_eq!(take(&bad).unwrap_err(), InstallError::Defective(PlanDefect::NotATree));
    assert_eq!(take(&other).unwrap_err(), InstallError::Malformed);
    assert_eq!(take(&installation(1)).unwrap_err(), InstallError::Malformed, "a member is told the whole");
    assert_eq!(take(&good), Ok(vec![node(2), node(3), node(4)]));
}
