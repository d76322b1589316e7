//! Planning on predictions with a few probes: what comes out rests on measurements alone, and is never worse than without
//! helpers.

mod support;

use std::collections::BTreeSet;

use alm_planner::{
    Algorithm, Budget, LatencyMatrix, NodeIndex, OneWay, Pass, Plan, PlanError, Problem, judged, plan,
    plan_best, plan_probed, verify,
};
use proptest::prelude::*;
use support::{Case, case, repeatable, value};

/// The problem with links to helpers predicted at half to twice of what they are.
fn blind(case: &Case) -> Problem {
    let problem = case.problem();
    let truth = problem.latency();
    let predicted = LatencyMatrix::from_one_way(truth.nodes(), |a, b| {
        let off = if a.max(b) < case.members { 1.0 } else { 0.5 + ((7 * a + 5 * b) % 16) as f64 / 10.0 };
        OneWay::from_ms(truth.one_way(a, b).ms() * off).unwrap_or(OneWay::ZERO)
    });
    problem.on(predicted).expect("the matrix has the same nodes")
}

fn planner(algorithm: Algorithm) -> impl FnMut(&Problem, Pass) -> Result<Plan, PlanError> {
    move |problem, _| match algorithm {
        Algorithm::Best => plan_best(problem, Budget::Moves(2_000)),
        _ => plan(problem, algorithm),
    }
}

fn links(plan: &Plan) -> impl Iterator<Item = (NodeIndex, NodeIndex)> {
    plan.trees.iter().flat_map(|tree| &tree.edges).map(|&(a, b)| (a.min(b), a.max(b)))
}

proptest! {
    #![proptest_config(repeatable(48))]

    #[test]
    fn plans_rest_on_measurements_and_are_worth_it(
        case in case(2..20, 20),
        probes in 0..40_usize,
        best in any::<bool>(),
        deaf in 1..9_usize,
    ) {
        let problem = case.problem();
        let algorithm = if best { Algorithm::Best } else { Algorithm::CriticalAdjust };
        let mut asked = BTreeSet::new();
        let mut silent = BTreeSet::new();
        let latency = problem.latency();
        let answer = plan_probed(blind(&case), [], probes, &mut planner(algorithm), |a, b| {
            assert!(a < b && asked.insert((a, b)), "asked twice");
            if (a + b) % deaf == 1 {
                silent.insert((a, b));
                return None;
            }
            Some((latency.one_way(a, b), latency.one_way(b, a)))
        });
        prop_assert!(asked.len() <= probes);
        let alone = plan(&case.builder().helpers(Vec::new()).build().unwrap(), Algorithm::AmcastAdjust);
        let Ok(probed) = answer else {
            prop_assert!(alone.is_err() || probes == 0, "{:?}", answer);
            return Ok(());
        };
        prop_assert_eq!(probed.probes, asked.len());
        prop_assert!(probed.rounds <= probed.probes);
        prop_assert_eq!(verify(&problem, &probed.plan), Ok(()));
        for (a, b) in links(&probed.plan) {
            prop_assert!(b < case.members || asked.contains(&(a, b)) && !silent.contains(&(a, b)));
        }
        if let (Ok(alone), true) = (alone, probed.rounds > 0) {
            prop_assert!(value(&problem, &probed.plan) <= value(&problem, &alone) + 1e-6);
        }
    }
}

#[test]
fn probes_find_the_helper_that_coordinates_hide() {
    // Helper 5 looks perfect and is far away; helper 6 looks a little worse, and is what it looks like.
    let truth = |a: usize, b: usize| match (a.min(b), a.max(b)) {
        (_, 5) => 90.0,
        (_, 6) => 12.0,
        _ => 40.0,
    };
    let mut looks = Case::plain(7, 5);
    let mut is = looks.clone();
    for a in 0..7 {
        for b in 0..7 {
            is.ms[a][b] = truth(a, b);
            looks.ms[a][b] = if a.max(b) == 5 { 5.0 } else { truth(a, b) };
        }
    }
    for case in [&mut looks, &mut is] {
        case.degrees = vec![2, 1, 1, 2, 2, 9, 9];
    }
    let problem = is.problem();
    let on_predictions = judged(&problem, plan(&looks.problem(), Algorithm::CriticalAdjust).unwrap());
    assert_eq!(on_predictions.helpers, [5]);
    let latency = problem.latency();
    let measure = |a, b| Some((latency.one_way(a, b), latency.one_way(b, a)));
    let found =
        plan_probed(looks.problem(), [], 12, &mut planner(Algorithm::CriticalAdjust), measure).unwrap();
    assert_eq!(found.plan.helpers, [6]);
    assert_eq!(found.plan.height.ms(), 24.0);
    assert!(found.plan.height < on_predictions.height);
}
