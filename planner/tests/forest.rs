//! What every forest must be, on random problems, and against brute force over all forests of small ones.
#![expect(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

mod support;

use alm_planner::{
    Algorithm, Budget, Objective, Plan, PlanDefect, PlanError, Problem, copies_excess, forest_backups,
    judged, lower_bound, pair_latencies, plan, plan_best, replan_tree, verify,
};
use proptest::prelude::*;
use support::{Case, case, repeatable};

fn problem(case: &Case, speakers: u32) -> Problem {
    case.builder().objective(Objective::Forest).speakers(speakers).build().unwrap()
}

/// The plan after so many moves: few, because the properties hold after any number.
fn best(problem: &Problem, moves: u64) -> Result<Plan, PlanError> {
    plan_best(problem, Budget::Moves(moves))
}

fn cost(problem: &Problem, plan: &Plan) -> f64 {
    let (worst, mean) = pair_latencies(problem, plan);
    worst.ms() + mean.ms()
}

/// Worst and mean pair, from the links alone.
fn figures(problem: &Problem, plan: &Plan) -> (f64, f64) {
    let (mut worst, mut total, mut pairs) = (0.0_f64, 0.0, 0);
    for tree in &plan.trees {
        let source = tree.sources[0];
        for &member in problem.members().iter().filter(|&&member| member != source) {
            let (mut at, mut delay) = (member, 0.0);
            while at != source {
                let &(parent, _) = tree.edges.iter().find(|&&(_, child)| child == at).unwrap();
                delay += problem.latency().one_way(parent, at).ms();
                at = parent;
            }
            worst = worst.max(delay);
            total += delay;
            pairs += 1;
        }
    }
    (worst, total / f64::from(pairs.max(1)))
}

/// Least worst pair plus mean pair over all forests of members; `None` if no forest keeps within the budget.
fn optimum(problem: &Problem) -> Option<f64> {
    let members = problem.members().len();
    let trees: Vec<Vec<Vec<usize>>> = (0..members).map(|source| arborescences(members, source)).collect();
    let mut least = None;
    let mut chosen = vec![0; members];
    loop {
        let forest: Vec<&[usize]> = chosen.iter().zip(&trees).map(|(&at, trees)| &trees[at][..]).collect();
        if let Some(value) = value(problem, &forest) {
            least = Some(least.map_or(value, |least: f64| least.min(value)));
        }
        let Some(next) = (0..members).find(|&tree| chosen[tree] + 1 < trees[tree].len()) else {
            return least;
        };
        chosen[next] += 1;
        chosen[..next].fill(0);
    }
}

/// All trees below `source`, as parents; the source is its own.
fn arborescences(members: usize, source: usize) -> Vec<Vec<usize>> {
    let ends = |parents: &[usize], mut node: usize| {
        (0..members).for_each(|_| node = parents[node]);
        node == source
    };
    (0..members.pow(members as u32))
        .map(|code| (0..members).map(|node| code / members.pow(node as u32) % members).collect::<Vec<_>>())
        .filter(|parents| parents[source] == source && (0..members).all(|node| ends(parents, node)))
        .collect()
}

fn value(problem: &Problem, forest: &[&[usize]]) -> Option<f64> {
    let members = forest.len();
    let (mut worst, mut total) = (0.0_f64, 0.0);
    for node in 0..members {
        let sent = |parents: &&[usize]| {
            (0..members).filter(|&child| child != node && parents[child] == node).count() as u32
        };
        let mut sent: Vec<u32> = forest.iter().map(sent).collect();
        sent.sort_unstable_by(|a, b| b.cmp(a));
        if sent.iter().take(problem.speakers() as usize).sum::<u32>() > problem.copies(node) {
            return None;
        }
    }
    for (source, parents) in forest.iter().enumerate() {
        for member in 0..members {
            let (mut at, mut delay) = (member, 0.0);
            while at != source {
                if !problem.may_link(parents[at], at) {
                    return None;
                }
                delay += problem.latency().one_way(parents[at], at).ms() + problem.hop_cost().ms();
                at = parents[at];
            }
            worst = worst.max(delay);
            total += delay;
        }
    }
    Some(worst + total / (members * (members - 1)) as f64)
}

proptest! {
    #![proptest_config(repeatable(192))]

    #[test]
    fn forests_are_sound_and_repeatable(case in case(1..24, 40), speakers in 1..5_u32) {
        let problem = problem(&case, speakers);
        let answer = best(&problem, 4_000);
        match &answer {
            Ok(plan) => {
                prop_assert_eq!(verify(&problem, plan), Ok(()));
                prop_assert_eq!(copies_excess(&problem, plan), 0);
                let (worst, mean) = figures(&problem, plan);
                let (claimed, claimed_mean) = pair_latencies(&problem, plan);
                prop_assert!((claimed.ms() - worst).abs() < 1e-6 && (claimed_mean.ms() - mean).abs() < 1e-6);
                prop_assert_eq!(claimed, plan.diameter);
                prop_assert_eq!(judged(&problem, plan.clone()), plan.clone());
                prop_assert!(lower_bound(&problem).ms() <= worst + 1e-9);
            }
            Err(_) => prop_assert!(case.forbidden.iter().any(|(a, b)| a != b), "{:?}", answer),
        }
        prop_assert_eq!(best(&problem, 4_000), answer);
    }

    #[test]
    fn moves_never_harm(case in case(2..16, 10)) {
        let problem = problem(&case, 3);
        if case.hop_ms == 0.0 && let (Ok(none), Ok(some)) = (best(&problem, 0), best(&problem, 3_000)) {
            let value = |plan: &Plan| cost(&problem, plan);
            let price = 0.003 * none.diameter.ms() * none.helpers.len() as f64;
            prop_assert!(value(&some) <= value(&none) + price + 1e-6);
        }
    }

    #[test]
    fn one_tree_is_planned_anew_without_the_others(case in case(2..16, 10), source in 0..16_usize) {
        let problem = problem(&case, 2);
        let source = source % case.members;
        if let Ok(plan) = best(&problem, 200) {
            let again = replan_tree(&problem, &plan, source, Budget::Moves(2_000)).unwrap();
            prop_assert_eq!(verify(&problem, &again), Ok(()));
            for (before, after) in plan.trees.iter().zip(&again.trees) {
                prop_assert_eq!(&before.sources, &after.sources);
                prop_assert!(before.sources == [source] || before.edges == after.edges);
            }
        }
    }

    #[test]
    fn any_forest_can_be_planned_anew(case in case(2..12, 0), source in 0..12_usize) {
        let problem = problem(&case, 1);
        let source = source % case.members;
        let stars = plan(&problem, Algorithm::Unicast).unwrap();
        let again = replan_tree(&problem, &stars, source, Budget::Moves(1_000)).unwrap();
        prop_assert!(copies_excess(&problem, &again) <= copies_excess(&problem, &stars));
        let mut broken = stars;
        broken.trees[0].edges.pop();
        prop_assert_eq!(replan_tree(&problem, &broken, source, Budget::Moves(10)).is_err(), case.members > 1);
    }

    #[test]
    fn unicast_is_direct_and_says_what_it_asks_for(case in case(1..12, 0), speakers in 1..4_u32) {
        let problem = problem(&case, speakers);
        let plan = plan(&problem, Algorithm::Unicast).unwrap();
        let members = case.members as u32;
        let most = (0..case.members).map(|node| (members - 1).saturating_sub(problem.copies(node))).max().unwrap();
        prop_assert_eq!(copies_excess(&problem, &plan), most);
        let expected = if most == 0 { Ok(()) } else { Err(()) };
        prop_assert_eq!(verify(&problem, &plan).map_err(|defect| assert!(matches!(defect, PlanDefect::CopiesExceeded(_)))), expected);
    }
}

proptest! {
    #![proptest_config(repeatable(32))]

    #[test]
    fn no_forest_beats_the_optimum_and_small_ones_reach_it(case in case(2..5, 1), speakers in 1..4_u32) {
        let case = Case { members: case.ms.len(), max_helpers: Some(0), ..case };
        let problem = problem(&case, speakers);
        match (best(&problem, 20_000), optimum(&problem)) {
            (Ok(plan), Some(optimum)) => {
                if case.hop_ms == 0.0 {
                    let value = cost(&problem, &plan);
                    prop_assert!(value >= optimum - 1e-3, "{} beats {}", value, optimum);
                    prop_assert!(value <= optimum * 1.02 + 1e-3, "{} misses {}", value, optimum);
                }
            }
            (Ok(_), None) => prop_assert!(false, "a forest where there is none"),
            (Err(_), Some(_)) => prop_assert!(case.forbidden.iter().any(|(a, b)| a != b), "a forest is missed"),
            (Err(_), None) => {}
        }
    }
}

proptest! {
    #![proptest_config(repeatable(64))]

    #[test]
    fn whoever_dies_the_backups_carry_on_within_the_budget(case in case(3..14, 4), speakers in 1..4_u32) {
        let mut case = case;
        case.degrees.iter_mut().for_each(|degree| *degree += 2);
        let problem = problem(&case, speakers);
        let Ok(plan) = best(&problem, 2_000) else { return Ok(()) };
        let backups = forest_backups(&problem, &plan);
        prop_assert_eq!(backups.len(), plan.trees.len());
        let nodes = plan.members.iter().chain(&plan.helpers).copied();
        for dead in nodes {
            let mut after = plan.clone();
            after.trees.retain(|tree| tree.sources != [dead]);
            let kept = backups.iter().zip(&plan.trees).filter(|(_, tree)| tree.sources != [dead]);
            for (tree, (pairs, old)) in after.trees.iter_mut().zip(kept) {
                let find = |node| pairs.iter().find(|pair| pair.0 == node).map(|pair| pair.1);
                let bereft: Vec<usize> = old.edges.iter().filter(|edge| edge.0 == dead).map(|edge| edge.1).collect();
                tree.edges.retain(|edge| edge.0 != dead && edge.1 != dead);
                tree.edges.extend(bereft.iter().filter_map(|&node| Some((find(node)?, node))));
                if bereft.iter().all(|&node| find(node).is_some()) {
                    // All that were reached are reached again, each once, over links that may exist.
                    let mut reached = vec![tree.sources[0]];
                    let mut at = 0;
                    while at < reached.len() {
                        let node = reached[at];
                        reached.extend(tree.edges.iter().filter(|edge| edge.0 == node).map(|edge| edge.1));
                        at += 1;
                        prop_assert!(reached.len() <= old.edges.len() + 1);
                    }
                    let gone = usize::from(old.edges.iter().any(|edge| edge.1 == dead));
                    prop_assert_eq!(reached.len(), old.edges.len() + 1 - gone);
                }
                prop_assert!(tree.edges.iter().all(|&(a, b)| problem.may_link(a, b)));
            }
            prop_assert_eq!(copies_excess(&problem, &after), 0, "without {}", dead);
        }
    }
}

#[test]
fn a_member_alone_has_an_empty_tree() {
    let problem = problem(&Case::plain(3, 1), 3);
    let plan = best(&problem, 100).unwrap();
    assert_eq!((plan.trees.len(), plan.trees[0].edges.len()), (1, 0));
    assert_eq!(verify(&problem, &plan), Ok(()));
}

#[test]
fn other_algorithms_make_no_forest() {
    let problem = problem(&Case::plain(4, 3), 3);
    for &algorithm in Algorithm::ALL {
        let makes = matches!(algorithm, Algorithm::Best | Algorithm::Unicast);
        let expected = if makes { None } else { Some(PlanError::Unsupported(algorithm, Objective::Forest)) };
        assert_eq!(plan(&problem, algorithm).err(), expected);
    }
}
