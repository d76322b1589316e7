//! Fault domains: at most one helper of each, and no one failure that breaks both of two trees.

mod support;

use std::collections::BTreeSet;

use alm_planner::{
    Algorithm, Budget, HelperGain, NodeIndex, Objective, Plan, PlanDefect, Problem, plan, plan_best,
    plan_with_fewest_helpers, verify,
};
use proptest::prelude::*;
use support::{Case, case, repeatable};

/// The case's nodes in `count` domains, every third node in one of its own.
fn problem(case: &Case, count: usize, objective: Objective, protect: bool) -> Problem {
    let label = |node: usize| (!node.is_multiple_of(3)).then(|| format!("room {}", node * 7 % count));
    let builder = case.builder().objective(objective).protect(protect);
    builder.domains((0..case.ms.len()).map(label)).build().expect("a case is well-formed")
}

/// Whether all members outside of `dead` are joined by one of the trees without it.
fn survives(plan: &Plan, dead: impl Fn(NodeIndex) -> bool) -> bool {
    let left: Vec<NodeIndex> = plan.members.iter().copied().filter(|&member| !dead(member)).collect();
    let Some(&first) = left.first() else { return true };
    plan.trees.iter().any(|tree| {
        let mut reached = BTreeSet::from([first]);
        let mut open = vec![first];
        while let Some(node) = open.pop() {
            for &(a, b) in tree.edges.iter().filter(|&&(a, b)| a == node || b == node) {
                let next = if a == node { b } else { a };
                if !dead(next) && reached.insert(next) {
                    open.push(next);
                }
            }
        }
        left.iter().all(|member| reached.contains(member))
    })
}

proptest! {
    #![proptest_config(repeatable(96))]

    #[test]
    fn one_helper_of_a_domain_is_enough(case in case(2..18, 12), count in 1..6_usize, at in 0..6_usize) {
        let objective = [Objective::Height, Objective::Diameter, Objective::Forest][at % 3];
        let problem = problem(&case, count, objective, false);
        let answers = [
            plan_best(&problem, Budget::Moves(2_000)),
            plan_with_fewest_helpers(&problem, Algorithm::Best, HelperGain::default()),
            plan(&problem, Algorithm::CriticalAdjust),
            plan(&problem, Algorithm::ClosestAdjust),
        ];
        for plan in answers.into_iter().flatten() {
            prop_assert_eq!(verify(&problem, &plan), Ok(()));
            let borrowed: Vec<u32> = plan.helpers.iter().filter_map(|&helper| problem.domain(helper)).collect();
            let distinct: BTreeSet<u32> = borrowed.iter().copied().collect();
            prop_assert_eq!(borrowed.len(), distinct.len());
        }
    }

    #[test]
    fn no_domain_takes_both_trees(mut case in case(2..16, 4), count in 2..9_usize) {
        for degree in &mut case.degrees {
            *degree += 3;
        }
        let objective = [Objective::Height, Objective::Diameter, Objective::Forest][case.members % 3];
        let problem = problem(&case, count, objective, true);
        let Ok(plan) = plan_best(&problem, Budget::Moves(3_000)) else { return Ok(()) };
        prop_assert_eq!(verify(&problem, &plan), Ok(()));
        let of = |source: NodeIndex| {
            let own = plan.trees.iter().filter(|tree| tree.sources.contains(&source));
            Plan { root: source, trees: own.cloned().collect(), ..plan.clone() }
        };
        let sources = if objective == Objective::Forest { problem.members() } else { &problem.members()[..1] };
        for domain in 0..count as u32 {
            let dead = |node| problem.domain(node) == Some(domain);
            for source in sources.iter().map(|&source| of(source)) {
                let source_is_dead = objective != Objective::Diameter && dead(source.root);
                prop_assert!(source_is_dead || survives(&source, dead), "{domain} takes others: {:?}", source.trees);
            }
        }
    }
}

#[test]
fn helpers_that_fail_together_are_found() {
    let mut case = Case::plain(6, 4);
    for row in &mut case.ms {
        row.fill(50.0);
        row[4..].fill(1.0);
    }
    for helper in 4..6 {
        case.ms[helper].fill(1.0);
    }
    case.degrees = vec![2, 1, 1, 2, 3, 3];
    let apart = case.problem();
    let plan = plan(&apart, Algorithm::Best).unwrap();
    assert_eq!(plan.helpers, [4, 5]);
    let label = |node: usize| (node > 3).then(|| "room".to_owned());
    let together = case.builder().domains((0..6).map(label)).build().unwrap();
    assert_eq!(verify(&together, &plan), Err(PlanDefect::DomainBorrowedTwice(5)));
    let one = alm_planner::plan(&together, Algorithm::Best).unwrap();
    assert_eq!((one.helpers.len(), verify(&together, &one)), (1, Ok(())));
}
