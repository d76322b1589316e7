//! Two trees that protect each other: sound, within one budget, and whole for everybody else whoever dies.

mod support;

use std::collections::BTreeSet;

use alm_planner::{
    Algorithm, Budget, NodeIndex, Objective, Plan, PlanDefect, PlanError, Problem, Tree, plan, plan_best,
    protect, tree_values, verify,
};
use proptest::prelude::*;
use support::{Case, case, repeatable};

fn protected(case: &Case, objective: Objective) -> Problem {
    case.builder().objective(objective).protect(true).build().expect("a case is well-formed")
}

/// Whom the root reaches, or under the diameter any two members each other, when `dead` does not forward.
fn reached(tree: &Tree, from: NodeIndex, dead: NodeIndex) -> BTreeSet<NodeIndex> {
    let mut reached = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        for &(a, b) in tree.edges.iter().filter(|&&(a, b)| a == node || b == node) {
            let next = if a == node { b } else { a };
            if next != dead && reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

fn survives(plan: &Plan, dead: NodeIndex) -> bool {
    let left: BTreeSet<NodeIndex> = plan.members.iter().copied().filter(|&member| member != dead).collect();
    let whole = |tree: &Tree, from: NodeIndex| left.is_subset(&reached(tree, from, dead));
    left.iter().next().is_none_or(|&from| plan.trees.iter().any(|tree| whole(tree, from)))
}

proptest! {
    #![proptest_config(repeatable(96))]

    #[test]
    fn whoever_dies_the_others_are_reached(
        mut case in case(1..16, 12),
        more in 0..4_u32,
        algorithm in prop_oneof![Just(Algorithm::Best), Just(Algorithm::CriticalAdjust), Just(Algorithm::AmcastAdjust)],
    ) {
        for degree in &mut case.degrees {
            *degree += more;
        }
        let objective = if case.diameter { Objective::Diameter } else { Objective::Height };
        let problem = protected(&case, objective);
        let made = match algorithm {
            Algorithm::Best => plan_best(&problem, Budget::Moves(3_000)),
            other => plan(&problem, other),
        };
        let plan = match made {
            Ok(plan) => plan,
            Err(error) => {
                // With four links a node and every pair allowed, there is always room.
                let scarce = case.degrees[..case.members].iter().any(|&degree| degree < 4);
                prop_assert!(scarce || case.forbidden.iter().any(|(a, b)| a != b), "{error}");
                return Ok(());
            }
        };
        prop_assert_eq!(verify(&problem, &plan), Ok(()));
        let values = tree_values(&problem, &plan);
        prop_assert!(values[0] <= values[1]);
        let nodes: BTreeSet<NodeIndex> = plan.members.iter().chain(&plan.helpers).copied().collect();
        for &node in nodes.iter().filter(|&&node| case.diameter || node != plan.root) {
            prop_assert!(survives(&plan, node), "{} takes others with it: {:?}", node, plan.trees);
            let links: u32 = plan.trees.iter().filter_map(|tree| tree.degrees().get(&node).copied()).sum();
            prop_assert!(links <= problem.degree(node).0);
        }
    }
}

proptest! {
    #![proptest_config(repeatable(64))]

    #[test]
    fn every_source_reaches_all_but_the_dead(mut case in case(1..14, 8), more in 1..3_u32, speakers in 1..4_u32) {
        for degree in &mut case.degrees {
            *degree += more;
        }
        let builder = case.builder().objective(Objective::Forest).protect(true).speakers(speakers);
        let problem = builder.build().expect("a case is well-formed");
        let Ok(plan) = plan_best(&problem, Budget::Moves(4_000)) else {
            let scarce = case.degrees[..case.members].iter().any(|&degree| degree < 4);
            prop_assert!(scarce || case.forbidden.iter().any(|(a, b)| a != b));
            return Ok(());
        };
        prop_assert_eq!(verify(&problem, &plan), Ok(()));
        for &source in problem.members() {
            let own: Vec<&Tree> = plan.trees.iter().filter(|tree| tree.sources.contains(&source)).collect();
            prop_assert_eq!(own.len(), 2);
            for dead in (0..case.ms.len()).filter(|&node| node != source) {
                let left = problem.members().iter().filter(|&&member| member != dead);
                let whole = |tree: &&Tree| {
                    let reached = reached(tree, source, dead);
                    left.clone().all(|member| reached.contains(member))
                };
                prop_assert!(own.iter().any(whole), "{dead} cuts {source} off: {own:?}");
            }
        }
        for node in 0..case.ms.len() {
            let sends = |&source: &NodeIndex| {
                let own = plan.trees.iter().filter(|tree| tree.sources.contains(&source));
                own.flat_map(|tree| &tree.edges).filter(|&&(parent, _)| parent == node).count() as u32
            };
            let mut copies: Vec<u32> = problem.members().iter().map(sends).collect();
            copies.sort_unstable_by(|a, b| b.cmp(a));
            let most: u32 = copies.iter().take(speakers as usize).sum();
            // A session of one sends nothing, whatever its trees' sources say.
            prop_assert!(most <= problem.copies(node) || case.members == 1);
        }
    }
}

#[test]
fn budgets_of_time_and_of_moves_both_end() {
    let mut case = Case::plain(12, 8);
    case.degrees = vec![5; 12];
    let problem = protected(&case, Objective::Height);
    let by_moves = || protect(&problem, Budget::Moves(2_000)).unwrap();
    assert_eq!(by_moves(), by_moves());
    let mut spent = 0.0;
    let mut share = || {
        spent += 0.001;
        spent
    };
    assert_eq!(verify(&problem, &protect(&problem, Budget::Share(&mut share)).unwrap()), Ok(()));
}

#[test]
fn what_does_not_fit_is_said() {
    let problem = |degrees: Vec<u32>, objective| {
        let mut case = Case::plain(degrees.len(), degrees.len());
        case.degrees = degrees;
        protected(&case, objective)
    };
    let error = |problem: &Problem| plan(problem, Algorithm::Best).unwrap_err();
    assert_eq!(error(&problem(vec![4, 1, 4], Objective::Height)), PlanError::NoSecondTree(1));
    let small = PlanError::DegreesTooSmallForTwo { given: 9, needed: 12, members: 4 };
    assert_eq!(error(&problem(vec![2, 2, 2, 3], Objective::Height)), small);
    // Enough in all, but nobody else may relay.
    assert_eq!(error(&problem(vec![2, 2, 2, 6], Objective::Height)), PlanError::TooFewRelays);
    let shared = plan(&problem(vec![4; 4], Objective::Forest), Algorithm::CriticalAdjust).unwrap_err();
    assert_eq!(shared, PlanError::Unsupported(Algorithm::CriticalAdjust, Objective::Forest));
    let star = plan(&problem(vec![4; 4], Objective::Height), Algorithm::Unicast).unwrap_err();
    assert_eq!(star, PlanError::Unprotected(Algorithm::Unicast));
    let alone = plan(&problem(vec![0], Objective::Height), Algorithm::Best).unwrap();
    assert_eq!((alone.trees.len(), alone.height.ms()), (2, 0.0));
}

#[test]
fn a_node_that_relays_twice_is_found() {
    let mut case = Case::plain(4, 4);
    case.degrees = vec![4; 4];
    let problem = protected(&case, Objective::Height);
    let mut plan = plan(&problem, Algorithm::Best).unwrap();
    assert_eq!(verify(&problem, &plan), Ok(()));
    let tree = |edges| Tree { sources: vec![0], edges };
    plan.trees = vec![tree(vec![(0, 1), (1, 2), (2, 3)]), tree(vec![(0, 2), (2, 1), (2, 3)])];
    assert_eq!(verify(&problem, &plan), Err(PlanDefect::RelaysTwice(2)));
    plan.trees.pop();
    assert_eq!(verify(&problem, &plan), Err(PlanDefect::NotTwoTrees));
    plan.trees = vec![tree(vec![(0, 1), (0, 3), (1, 2)]), tree(vec![(0, 2), (0, 3), (2, 1)])];
    assert_eq!(verify(&problem, &plan), Err(PlanDefect::WrongFigures));
}

#[test]
fn no_path_is_in_both_trees_where_it_can_be_helped() {
    for objective in [Objective::Height, Objective::Diameter, Objective::Forest] {
        let mut case = Case::plain(9, 7);
        case.degrees = vec![5; 9];
        let problem = protected(&case, objective);
        let plan = plan_best(&problem, Budget::Moves(4_000)).unwrap();
        assert_eq!(verify(&problem, &plan), Ok(()));
        for &source in &plan.members[..if objective == Objective::Forest { 7 } else { 1 }] {
            let own = plan.trees.iter().filter(|tree| tree.sources.contains(&source));
            let mut links: Vec<_> = own
                .flat_map(|tree| &tree.edges)
                .filter(|&&(parent, _)| objective == Objective::Diameter || parent == source)
                .map(|&(a, b)| (a.min(b), a.max(b)))
                .collect();
            links.sort_unstable();
            assert!(links.windows(2).all(|pair| pair[0] != pair[1]), "{objective}: {links:?}");
        }
    }
}
