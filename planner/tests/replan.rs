//! What must hold when a session changes: the next plan, attachments in between, and backups.
#![expect(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use alm_planner::{
    Algorithm, Backups, Budget, Degree, MovePrice, Moves, NodeIndex, Objective, Plan, Problem, Slots, Tree,
    backups, moves, pair_latencies, plan, plan_best, protect, replan, verify,
};
use proptest::prelude::*;
use support::{Case, case, repeatable, value};

const FREE: MovePrice = MovePrice { ms: 0.0, share: 0.0 };

/// The session of `case` with some nodes gone, others come, and other degrees.
#[derive(Clone, Debug)]
struct Change {
    /// By node: gone, a helper, a member.
    roles: Vec<u8>,
    degrees: Vec<u32>,
    louder: Vec<f64>,
}

fn change(nodes: usize) -> impl Strategy<Value = Change> {
    (
        proptest::collection::vec(0..3_u8, nodes),
        proptest::collection::vec(1..6_u32, nodes),
        proptest::collection::vec(0.5..2.0_f64, nodes),
    )
        .prop_map(|(roles, degrees, louder)| Change { roles, degrees, louder })
}

/// A problem over the same nodes as `case`, some of them in another role.
fn changed(case: &Case, change: &Change, objective: Objective) -> Problem {
    let ms: Vec<Vec<f64>> =
        case.ms.iter().zip(&change.louder).map(|(row, by)| row.iter().map(|ms| ms * by).collect()).collect();
    let all = Case { ms, degrees: change.degrees.clone(), members: case.ms.len(), ..case.clone() };
    let with = |role| (0..case.ms.len()).filter(|&node| change.roles[node] == role).collect::<Vec<_>>();
    let mut members = with(2);
    if members.is_empty() {
        members.push(0);
    }
    let helpers = with(1).into_iter().filter(|node| !members.contains(node)).collect();
    let built = all.problem();
    let degrees = change.degrees.iter().map(|&degree| Degree(degree)).collect();
    Problem::builder(built.latency().clone(), degrees, members)
        .helpers(helpers)
        .objective(objective)
        .forbid(case.forbidden.iter().copied().filter(|(a, b)| a != b))
        .hop_cost(built.hop_cost())
        .max_helpers(case.max_helpers)
        .build()
        .unwrap()
}

fn with_change(nodes: std::ops::Range<usize>, forbidden: usize) -> impl Strategy<Value = (Case, Change)> {
    case(nodes, forbidden).prop_flat_map(|case| {
        let nodes = case.ms.len();
        (Just(case), change(nodes))
    })
}

fn objective(case: &Case) -> Objective {
    if case.diameter { Objective::Diameter } else { Objective::Height }
}

/// What a plan for the case's objective makes small, hop costs aside.
fn cost(problem: &Problem, plan: &Plan) -> f64 {
    if problem.objective() == Objective::Forest {
        let (worst, mean) = pair_latencies(problem, plan);
        worst.ms() + mean.ms()
    } else {
        value(problem, plan)
    }
}

fn pairs(tree: &Tree) -> BTreeSet<(NodeIndex, NodeIndex)> {
    tree.edges.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect()
}

/// The plan's tree as parents.
fn parents(plan: &Plan) -> BTreeMap<NodeIndex, NodeIndex> {
    plan.trees[0].edges.iter().map(|&(parent, child)| (child, parent)).collect()
}

fn is_below(parents: &BTreeMap<NodeIndex, NodeIndex>, mut node: NodeIndex, top: NodeIndex) -> bool {
    while node != top {
        match parents.get(&node) {
            Some(&above) => node = above,
            None => return false,
        }
    }
    true
}

proptest! {
    #![proptest_config(repeatable(192))]

    #[test]
    fn any_plan_can_be_replanned((case, change) in with_change(2..24, 20), moves_max in 0..3_000_u64) {
        let Ok(installed) = plan(&case.problem(), Algorithm::Critical) else { return Ok(()) };
        let problem = changed(&case, &change, objective(&case));
        let repaired = replan(&problem, &installed, Budget::Moves(0), FREE);
        let again = replan(&problem, &installed, Budget::Moves(moves_max), MovePrice::default());
        match (&repaired, &again) {
            (Ok(repaired), Ok(again)) => {
                prop_assert_eq!(verify(&problem, &again.plan), Ok(()));
                prop_assert_eq!(verify(&problem, &repaired.plan), Ok(()));
                prop_assert_eq!(moves(&installed, &again.plan), again.moves);
                if case.hop_ms == 0.0 {
                    let gain = cost(&problem, &repaired.plan) - cost(&problem, &again.plan);
                    let price = MovePrice::default().share * cost(&problem, &repaired.plan);
                    let moved = again.moves.moved as f64 - repaired.moves.moved as f64;
                    prop_assert!(gain >= (price * moved).max(0.0) - 1e-6, "{} for {} links at {}", gain, moved, price);
                }
            }
            (Err(one), Err(other)) => prop_assert_eq!(one, other),
            (one, other) => prop_assert!(false, "{:?} {:?}", one, other),
        }
        if repaired.is_err() {
            prop_assert!(plan(&problem, Algorithm::Best).is_err(), "a tree is missed");
        }
        let twice = replan(&problem, &installed, Budget::Moves(moves_max), MovePrice::default());
        prop_assert_eq!(twice, again);
    }

    #[test]
    fn every_link_that_may_be_is_kept((case, change) in with_change(2..24, 5)) {
        // Degrees as they were, or more: then a repair moves nobody whose parent is still there.
        let degrees = case.degrees.iter().zip(&change.degrees).map(|(a, b)| *a.max(b)).collect();
        let change = Change { degrees, ..change };
        let Ok(installed) = plan(&case.problem(), Algorithm::CriticalAdjust) else { return Ok(()) };
        let case = Case { max_helpers: None, ..case };
        let problem = changed(&case, &change, objective(&case));
        let Ok(repaired) = replan(&problem, &installed, Budget::Moves(0), FREE) else { return Ok(()) };
        let used: BTreeSet<_> = problem.members().iter().chain(&repaired.plan.helpers).copied().collect();
        let there = |node: &NodeIndex| used.contains(node);
        let kept = pairs(&repaired.plan.trees[0]);
        let spliced = repaired.plan.helpers.iter().any(|helper| !installed.helpers.contains(helper));
        for (a, b) in pairs(&installed.trees[0]).into_iter().filter(|(a, b)| there(a) && there(b)) {
            prop_assert!(kept.contains(&(a, b)) || spliced || repaired.moves.moved > 0, "{} {}", a, b);
        }
        prop_assert_eq!(repaired.moves.kept, pairs(&installed.trees[0]).intersection(&kept).count());
    }

    #[test]
    fn nothing_changes_where_nothing_has(case in case(2..24, 20)) {
        let problem = case.problem();
        let Ok(installed) = plan_best(&problem, Budget::Moves(3_000)) else { return Ok(()) };
        let still = replan(&problem, &installed, Budget::Moves(0), MovePrice::default()).unwrap();
        prop_assert_eq!(still.moves, Moves { kept: installed.trees[0].edges.len(), ..Moves::default() });
        let dear = MovePrice { ms: 1e6, share: 0.0 };
        let still = replan(&problem, &installed, Budget::Moves(2_000), dear).unwrap();
        // Only a helper that went may have taken a link along.
        prop_assert_eq!(still.moves.moved, 0);
    }

    #[test]
    fn a_tree_without_members_in_common_is_no_harm((case, change) in with_change(2..12, 3)) {
        let problem = changed(&case, &change, objective(&case));
        let edges = vec![(3, 1), (1, 3), (1, 1), (99, 1), (1, 99), (2, 3), (0, 7)];
        let broken = Plan {
            objective: Objective::Height,
            root: 77,
            members: vec![77, 5],
            helpers: vec![88],
            trees: vec![Tree { sources: vec![], edges }],
            height: problem.hop_cost(),
            diameter: problem.hop_cost(),
        };
        for installed in [Plan { trees: vec![], ..broken.clone() }, broken] {
            if let Ok(again) = replan(&problem, &installed, Budget::Moves(500), FREE) {
                prop_assert_eq!(verify(&problem, &again.plan), Ok(()));
            }
            let _ = backups(&problem, &installed);
            let mut slots = Slots::new(&problem, &installed);
            for node in 0..100 {
                slots.detach(node);
                slots.attach(node);
            }
        }
    }
}

proptest! {
    #![proptest_config(repeatable(96))]

    #[test]
    fn forests_are_replanned_too((case, change) in with_change(2..14, 6), moves_max in 0..3_000_u64) {
        let before = case.builder().objective(Objective::Forest).speakers(2).build().unwrap();
        let Ok(installed) = plan_best(&before, Budget::Moves(500)) else { return Ok(()) };
        let still = replan(&before, &installed, Budget::Moves(0), FREE).unwrap();
        prop_assert_eq!(still.moves.moved + still.moves.came + still.moves.gone, 0);
        let problem = changed(&case, &change, Objective::Forest);
        let repaired = replan(&problem, &installed, Budget::Moves(0), FREE);
        let again = replan(&problem, &installed, Budget::Moves(moves_max), MovePrice::default());
        match (&repaired, &again) {
            (Ok(repaired), Ok(again)) => {
                prop_assert_eq!(verify(&problem, &again.plan), Ok(()));
                prop_assert_eq!(verify(&problem, &repaired.plan), Ok(()));
                prop_assert_eq!(moves(&installed, &again.plan), again.moves);
                if case.hop_ms == 0.0 {
                    let price = 0.003 * repaired.plan.diameter.ms();
                    let most = cost(&problem, &repaired.plan) + price * repaired.plan.helpers.len() as f64;
                    prop_assert!(cost(&problem, &again.plan) <= most + 1e-6);
                }
            }
            (Err(_), Err(_)) => prop_assert!(plan_best(&problem, Budget::Moves(0)).is_err(), "a forest is missed"),
            (one, other) => prop_assert!(false, "{:?} {:?}", one, other),
        }
    }
}

proptest! {
    #![proptest_config(repeatable(64))]

    #[test]
    fn two_trees_are_replanned_together((case, change) in with_change(3..14, 0), forest in any::<bool>()) {
        let degrees = case.degrees.iter().map(|degree| degree + 2).collect();
        let objective = if forest { Objective::Forest } else { objective(&case) };
        let before = Case { degrees, max_helpers: None, ..case.clone() };
        let before = before.builder().objective(objective).protect(true).build().unwrap();
        let Ok(installed) = protect(&before, Budget::Moves(500)) else { return Ok(()) };
        let still = replan(&before, &installed, Budget::Moves(0), FREE).unwrap();
        prop_assert_eq!(still.moves.moved + still.moves.came + still.moves.gone, 0);
        let louder = Change { degrees: change.degrees.iter().map(|degree| degree + 2).collect(), ..change };
        let problem = changed(&Case { max_helpers: None, ..case }, &louder, objective);
        let problem = rebuilt(&problem, true);
        if let Ok(again) = replan(&problem, &installed, Budget::Moves(500), MovePrice::default()) {
            prop_assert_eq!(verify(&problem, &again.plan), Ok(()));
            prop_assert_eq!(moves(&installed, &again.plan), again.moves);
        } else {
            prop_assert!(protect(&problem, Budget::Moves(500)).is_err());
        }
    }
}

/// The same problem for one tree or two.
fn rebuilt(problem: &Problem, protect: bool) -> Problem {
    let degrees = (0..problem.latency().nodes()).map(|node| problem.degree(node)).collect();
    Problem::builder(problem.latency().clone(), degrees, problem.members().to_vec())
        .helpers(problem.helpers().to_vec())
        .objective(problem.objective())
        .hop_cost(problem.hop_cost())
        .protect(protect)
        .build()
        .unwrap()
}

/// The slot that a joiner should get, by looking at all of them: what it comes to.
fn best_slot(problem: &Problem, plan: &Plan, joiner: NodeIndex) -> Option<f64> {
    let tree = &plan.trees[0];
    let degrees = tree.degrees();
    let placed = tree.edges.iter().map(|&(_, child)| child).chain([plan.root]);
    placed
        .filter(|&node| degrees.get(&node).copied().unwrap_or(0) < problem.degree(node).0)
        .filter(|&node| problem.may_link(node, joiner))
        .map(|node| {
            let mut grown = tree.clone();
            grown.edges.push((node, joiner));
            let ends: Vec<NodeIndex> = match plan.objective {
                Objective::Height => vec![plan.root],
                _ => plan.members.clone(),
            };
            let far = |from, to| way(problem, &grown, from, to);
            let shared = plan.objective != Objective::Height;
            ends.iter()
                .map(|&end| far(end, joiner).max(if shared { far(joiner, end) } else { 0.0 }))
                .fold(0.0, f64::max)
        })
        .min_by(f64::total_cmp)
}

fn way(problem: &Problem, tree: &Tree, from: NodeIndex, to: NodeIndex) -> f64 {
    fn walk(problem: &Problem, tree: &Tree, at: usize, before: usize, to: usize) -> Option<f64> {
        if at == to {
            return Some(0.0);
        }
        let beside =
            tree.edges.iter().filter_map(|&(a, b)| (a == at).then_some(b).or((b == at).then_some(a)));
        let mut onward = beside.filter(|&next| next != before);
        onward.find_map(|next| {
            let link = problem.latency().one_way(at, next).ms() + problem.hop_cost().ms();
            walk(problem, tree, next, at, to).map(|rest| link + rest)
        })
    }
    walk(problem, tree, from, from, to).unwrap()
}

proptest! {
    #![proptest_config(repeatable(128))]

    #[test]
    fn joiners_get_the_best_slot(case in case(3..20, 20), leaves in proptest::collection::vec(0..20_usize, 0..4)) {
        let problem = Case { max_helpers: None, ..case }.problem();
        let Ok(mut plan) = plan(&problem, Algorithm::Critical) else { return Ok(()) };
        let mut slots = Slots::new(&problem, &plan);
        for joiner in 0..problem.latency().nodes() {
            let placed = joiner == plan.root || plan.trees[0].edges.iter().any(|&(_, child)| child == joiner);
            if placed {
                prop_assert_eq!(slots.best(joiner), None);
                continue;
            }
            let expected = best_slot(&problem, &plan, joiner);
            let best = slots.best(joiner);
            prop_assert_eq!(best.is_some(), expected.is_some());
            let (Some((parent, value)), Some(expected)) = (best, expected) else { continue };
            prop_assert!((value.ms() - expected).abs() < 1e-3, "{} where {} can be had", value.ms(), expected);
            prop_assert_eq!(slots.attach(joiner), Some(parent));
            prop_assert_eq!(slots.parent(joiner), Some(parent));
            plan.members.push(joiner);
            plan.helpers.retain(|&helper| helper != joiner);
            plan.trees[0].edges.push((parent, joiner));
            // Leaves may go at any time.
            for leaf in leaves.iter().map(|leaf| leaf % problem.latency().nodes()) {
                let is_leaf = leaf != plan.root
                    && plan.trees[0].edges.iter().any(|&(_, child)| child == leaf)
                    && !plan.trees[0].edges.iter().any(|&(parent, _)| parent == leaf);
                if is_leaf && leaf != joiner {
                    prop_assert!(slots.detach(leaf));
                    plan.members.retain(|&member| member != leaf);
                    plan.trees[0].edges.retain(|&(_, child)| child != leaf);
                } else if leaf != joiner {
                    prop_assert!(!slots.detach(leaf));
                }
            }
        }
        prop_assert_eq!(slots.nodes(), plan.trees[0].edges.len() + 1);
    }

    #[test]
    fn backups_lie_outside_and_fit_together(case in case(2..24, 20)) {
        let problem = case.problem();
        let Ok(plan) = plan(&problem, Algorithm::Critical) else { return Ok(()) };
        let Backups { pairs, heir } = backups(&problem, &plan);
        let (parents, degrees) = (parents(&plan), plan.trees[0].degrees());
        let backup: BTreeMap<_, _> = pairs.iter().copied().collect();
        for (&node, &to) in &backup {
            prop_assert!(problem.may_link(node, to));
            prop_assert!(!is_below(&parents, to, node), "the backup of {} hangs below it", node);
            prop_assert!(parents[&node] != to);
        }
        for dead in degrees.keys().copied().filter(|dead| parents.values().any(|parent| parent == dead)) {
            let orphans: Vec<_> = parents.iter().filter(|&(_, &parent)| parent == dead).map(|(&n, _)| n).collect();
            let moved: Vec<_> = orphans.iter().filter(|&&node| dead != plan.root || Some(node) != heir).collect();
            // All at once: nobody carries more than it can.
            let mut links = degrees.clone();
            for (&child, &parent) in &parents {
                if child == dead {
                    *links.get_mut(&parent).unwrap() -= 1;
                } else if parent == dead {
                    *links.get_mut(&child).unwrap() -= 1;
                }
            }
            let mut after = parents.clone();
            after.retain(|child, parent| *child != dead && *parent != dead);
            for &&node in &moved {
                if let Some(&to) = backup.get(&node) {
                    *links.get_mut(&node).unwrap() += 1;
                    *links.get_mut(&to).unwrap() += 1;
                    prop_assert!(after.insert(node, to).is_none());
                }
            }
            for (&node, &count) in links.iter().filter(|&(&node, _)| node != dead) {
                prop_assert!(count <= problem.degree(node).0, "{} carries {}", node, count);
            }
            // No ring, and everybody who has a backup is below who is left.
            let top = if dead == plan.root { heir.unwrap() } else { plan.root };
            let lost: Vec<_> = moved.iter().filter(|node| !backup.contains_key(node)).collect();
            for &node in parents.keys().filter(|&&node| node != dead) {
                let saved = is_below(&after, node, top) || lost.iter().any(|&&&lost| is_below(&after, node, lost));
                prop_assert!(saved, "{} is cut off when {} dies", node, dead);
            }
            // Nobody is left out for whom there is room.
            let reach = |from: usize, to: usize| {
                !is_below(&after, to, from) && to != dead && links[&to] < problem.degree(to).0 && problem.may_link(from, to)
            };
            for &&&node in &lost {
                prop_assert!(!degrees.keys().any(|&to| is_below(&after, to, top) && reach(node, to)), "{}", node);
            }
        }
    }

    #[test]
    fn backups_do_not_share_the_fate_of_the_parent(case in case(4..24, 0)) {
        let problem = case.problem();
        let Ok(plan) = plan(&problem, Algorithm::Critical) else { return Ok(()) };
        let same = |a: NodeIndex, b: NodeIndex| a % 2 == b % 2;
        let nodes = 0..problem.latency().nodes();
        let halves = case.builder().domains(nodes.map(|node| Some((node % 2).to_string()))).build().unwrap();
        let parents = parents(&plan);
        let (plain, apart) = (backups(&problem, &plan), backups(&halves, &plan));
        prop_assert_eq!(plain.heir, apart.heir);
        let only: Vec<_> = parents.iter().filter(|&(_, parent)| parents.values().filter(|p| *p == parent).count() == 1).collect();
        for (&node, &parent) in only {
            let find = |backups: &Backups| backups.pairs.iter().find(|&&(of, _)| of == node).map(|&(_, to)| to);
            prop_assert_eq!(find(&plain).is_some(), find(&apart).is_some());
            if let (Some(one), Some(other)) = (find(&plain), find(&apart)) {
                prop_assert!(!same(parent, other) || same(parent, one));
            }
        }
    }
}

#[test]
fn moves_count_links_whichever_way_they_hang() {
    let tree = |edges: &[(NodeIndex, NodeIndex)]| {
        let problem = Case::plain(9, 3).problem();
        let mut plan = plan(&problem, Algorithm::Amcast).unwrap();
        plan.root = edges[0].0;
        plan.trees[0].edges = edges.to_vec();
        plan
    };
    let before = tree(&[(0, 1), (1, 2), (1, 3)]);
    let turned = tree(&[(1, 0), (1, 2), (1, 3)]);
    assert_eq!(moves(&before, &turned), Moves { kept: 3, ..Moves::default() });
    // 3 moves from 1 to 0; 4 comes between 1 and 2, whose parent changes; 5 comes too.
    let after = tree(&[(0, 1), (0, 3), (1, 4), (4, 2), (3, 5)]);
    assert_eq!(moves(&before, &after), Moves { kept: 1, moved: 2, came: 2, gone: 0 });
    assert_eq!(moves(&after, &before), Moves { kept: 1, moved: 2, came: 0, gone: 2 });
}
