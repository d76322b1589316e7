//! What every algorithm's plans must be, on random problems, and against brute force on small ones.
#![expect(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

use alm_planner::{
    Algorithm, Degree, HelperGain, LatencyMatrix, NodeIndex, Objective, OneWay, Plan, PlanError, Problem,
    lower_bound, plan, plan_with_fewest_helpers, verify,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run.
fn repeatable(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

/// A random problem: latencies without a triangle inequality, degrees of any size, pairs forbidden now and then.
#[derive(Clone, Debug)]
struct Case {
    ms: Vec<Vec<f64>>,
    degrees: Vec<u32>,
    members: usize,
    forbidden: Vec<(NodeIndex, NodeIndex)>,
    diameter: bool,
    max_helpers: Option<usize>,
    hop_ms: f64,
    symmetric: bool,
}

impl Case {
    fn problem(&self) -> Problem {
        let latency = LatencyMatrix::from_one_way(self.ms.len(), |i, j| {
            let (i, j) = if self.symmetric { (i.min(j), i.max(j)) } else { (i, j) };
            OneWay::from_ms(self.ms[i][j]).unwrap()
        });
        Problem::builder(
            latency,
            self.degrees.iter().map(|&d| Degree(d)).collect(),
            (0..self.members).collect(),
        )
        .helpers((self.members..self.ms.len()).collect())
        .objective(if self.diameter { Objective::Diameter } else { Objective::Height })
        .forbid(self.forbidden.iter().copied().filter(|(a, b)| a != b))
        .max_helpers(self.max_helpers)
        .hop_cost(OneWay::from_ms(self.hop_ms).unwrap())
        .helper_min_degree(2)
        .radius(None)
        .build()
        .unwrap()
    }
}

fn case(nodes: std::ops::Range<usize>, forbidden: usize) -> impl Strategy<Value = Case> {
    (nodes, any::<bool>(), any::<bool>(), prop_oneof![Just(0.0), Just(2.0)]).prop_flat_map(
        move |(n, diameter, symmetric, hop_ms)| {
            let row = proptest::collection::vec(0.0..100.0_f64, n);
            let pairs = proptest::collection::vec((0..n, 0..n), 0..=forbidden);
            let limit = proptest::option::of(0..4_usize);
            (
                proptest::collection::vec(row, n),
                proptest::collection::vec(1..5_u32, n),
                1..=n,
                pairs,
                Just(diameter),
                limit,
                Just(hop_ms),
                Just(symmetric),
            )
                .prop_map(
                    |(ms, degrees, members, forbidden, diameter, max_helpers, hop_ms, symmetric)| Case {
                        ms,
                        degrees,
                        members,
                        forbidden,
                        diameter,
                        max_helpers,
                        hop_ms,
                        symmetric,
                    },
                )
        },
    )
}

fn value(problem: &Problem, plan: &Plan) -> f64 {
    if problem.objective() == Objective::Height { plan.height.ms() } else { plan.diameter.ms() }
}

fn is_sound(case: &Case, answer: &Result<Plan, PlanError>) -> Result<(), TestCaseError> {
    let problem = case.problem();
    match answer {
        Ok(plan) => {
            prop_assert_eq!(verify(&problem, plan), Ok(()));
            prop_assert!(lower_bound(&problem).ms() <= value(&problem, plan) + 1e-9);
        }
        Err(error) if case.forbidden.iter().all(|(a, b)| a == b) => {
            let too_small = matches!(error, PlanError::DegreesTooSmall { .. });
            prop_assert!(too_small, "{error}");
        }
        Err(_) => {}
    }
    Ok(())
}

/// Least objective over all trees over the members and any of the helpers; `None` if there is no tree.
fn optimum(case: &Case, problem: &Problem, helpers: bool) -> Option<f64> {
    let candidates = if helpers { case.ms.len() - case.members } else { 0 };
    let most = case.max_helpers.unwrap_or(usize::MAX) as u32;
    let subsets = (0..1_u32 << candidates).filter(|subset| subset.count_ones() <= most);
    let over = |subset: u32| {
        let chosen = (0..candidates).filter(move |bit| subset >> bit & 1 == 1).map(|bit| case.members + bit);
        let nodes: Vec<usize> = (0..case.members).chain(chosen).collect();
        trees(nodes.len()).filter_map(move |tree| {
            let links: Vec<_> = tree.iter().map(|&(a, b)| (nodes[a], nodes[b])).collect();
            tree_value(case, problem, &links)
        })
    };
    subsets.flat_map(over).min_by(f64::total_cmp)
}

/// All labelled trees over `n` nodes, by their Pruefer sequences.
fn trees(n: usize) -> impl Iterator<Item = Vec<(usize, usize)>> {
    let length = n.saturating_sub(2) as u32;
    (0..n.pow(length)).map(move |code| {
        let sequence: Vec<usize> = (0..length).map(|at| code / n.pow(at) % n).collect();
        let mut left: Vec<usize> = (0..n).map(|v| 1 + sequence.iter().filter(|&&s| s == v).count()).collect();
        let mut links = Vec::new();
        for &inner in &sequence {
            let leaf = (0..n).find(|&v| left[v] == 1).unwrap();
            links.push((leaf, inner));
            left[leaf] = 0;
            left[inner] -= 1;
        }
        let last: Vec<usize> = (0..n).filter(|&v| left[v] == 1).collect();
        if let [a, b] = last[..] {
            links.push((a, b));
        }
        links
    })
}

fn tree_value(case: &Case, problem: &Problem, links: &[(usize, usize)]) -> Option<f64> {
    let degree = |v: usize| links.iter().filter(|&&(a, b)| a == v || b == v).count();
    for &(a, b) in links {
        for v in [a, b] {
            let leaf = v >= case.members && degree(v) == 1;
            if leaf || degree(v) > case.degrees[v] as usize {
                return None;
            }
        }
        if !problem.may_link(a, b) {
            return None;
        }
    }
    let roots = if case.diameter { 0..case.members } else { 0..1 };
    Some(roots.map(|root| farthest(problem, links, root, root)).fold(0.0, f64::max))
}

fn farthest(problem: &Problem, links: &[(usize, usize)], at: usize, before: usize) -> f64 {
    let beside = links.iter().filter_map(|&(a, b)| (a == at).then_some(b).or((b == at).then_some(a)));
    beside
        .filter(|&next| next != before)
        .map(|next| problem.latency().one_way(at, next).ms() + farthest(problem, links, next, at))
        .fold(0.0, f64::max)
}

/// The properties of one algorithm.
macro_rules! algorithm_properties {
    ($name:ident, $algorithm:expr) => {
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(repeatable(256))]

                #[test]
                fn plans_are_sound(case in case(1..24, 60)) {
                    let answer = plan(&case.problem(), $algorithm);
                    is_sound(&case, &answer)?;
                    prop_assert_eq!(plan(&case.problem(), $algorithm), answer);
                }

                #[test]
                fn the_fewest_helpers_cost_no_more_than_the_gain(case in case(1..24, 30)) {
                    let problem = case.problem();
                    let fewest = plan_with_fewest_helpers(&problem, $algorithm, HelperGain::default());
                    is_sound(&case, &fewest)?;
                    if let (Ok(any), Ok(fewest), 0.0) = (plan(&problem, $algorithm), fewest, case.hop_ms) {
                        let any = value(&problem, &any);
                        prop_assert!(value(&problem, &fewest) <= any + 1_f64.max(0.02 * any) + 1e-6);
                    }
                }

                #[test]
                fn no_plan_beats_the_optimum_and_none_is_missed(case in case(1..7, 4)) {
                    let problem = case.problem();
                    let answer = plan(&problem, $algorithm);
                    is_sound(&case, &answer)?;
                    match (&answer, optimum(&case, &problem, true)) {
                        (Ok(plan), Some(best)) => {
                            prop_assert!(lower_bound(&problem).ms() <= best + 1e-9);
                            prop_assert!(best <= value(&problem, plan) + 1e-6);
                        }
                        (Ok(_), None) => prop_assert!(false, "a plan where there is none"),
                        (Err(error), _) => {
                            let members_only = [Algorithm::Amcast, Algorithm::AmcastAdjust];
                            let with_helpers = !members_only.contains(&$algorithm);
                            prop_assert_eq!(optimum(&case, &problem, with_helpers), None, "{}", error);
                        }
                    }
                }
            }
        }
    };
}

algorithm_properties!(amcast, Algorithm::Amcast);
algorithm_properties!(critical, Algorithm::Critical);
algorithm_properties!(amcast_adjusted, Algorithm::AmcastAdjust);
algorithm_properties!(critical_adjusted, Algorithm::CriticalAdjust);
algorithm_properties!(closest_adjusted, Algorithm::ClosestAdjust);

proptest! {
    #![proptest_config(repeatable(256))]

    #[test]
    fn adjusting_never_harms(case in case(1..24, 10)) {
        let problem = case.problem();
        if case.hop_ms == 0.0 {
            let pairs = [(Algorithm::Amcast, Algorithm::AmcastAdjust), (Algorithm::Critical, Algorithm::CriticalAdjust)];
            for (grown, adjusted) in pairs {
                if let (Ok(grown), Ok(adjusted)) = (plan(&problem, grown), plan(&problem, adjusted)) {
                    prop_assert!(value(&problem, &adjusted) <= value(&problem, &grown) + 1e-6);
                }
            }
        }
    }
}
