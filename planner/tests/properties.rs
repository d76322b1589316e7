//! What every algorithm's plans must be, on random problems, and against brute force on small ones.

mod support;

use alm_planner::{
    Algorithm, Budget, HelperGain, Plan, PlanError, lower_bound, plan, plan_best, plan_with_fewest_helpers,
    verify,
};
use proptest::prelude::*;
use support::{Case, case, optimum, repeatable, value};

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

/// The properties of one algorithm.
macro_rules! algorithm_properties {
    ($name:ident, $algorithm:expr, $cases:expr) => {
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(repeatable($cases))]

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

algorithm_properties!(amcast, Algorithm::Amcast, 256);
algorithm_properties!(critical, Algorithm::Critical, 256);
algorithm_properties!(amcast_adjusted, Algorithm::AmcastAdjust, 256);
algorithm_properties!(critical_adjusted, Algorithm::CriticalAdjust, 256);
algorithm_properties!(closest_adjusted, Algorithm::ClosestAdjust, 256);
algorithm_properties!(best, Algorithm::Best, 24);

proptest! {
    #![proptest_config(repeatable(96))]

    #[test]
    fn best_is_sound_and_no_worse_than_where_it_starts(case in case(1..24, 60), moves in 0..2_000_u64) {
        let problem = case.problem();
        let best = plan_best(&problem, Budget::Moves(moves));
        is_sound(&case, &best)?;
        prop_assert_eq!(&plan_best(&problem, Budget::Moves(moves)), &best);
        for start in [Algorithm::AmcastAdjust, Algorithm::CriticalAdjust] {
            if let (Ok(start), 0.0) = (plan(&problem, start), case.hop_ms) {
                prop_assert!(value(&problem, best.as_ref().unwrap()) <= value(&problem, &start) + 1e-6);
            }
        }
    }

    #[test]
    fn best_finds_the_optimum_of_small_problems(case in case(1..7, 2)) {
        let problem = case.problem();
        if let (Ok(best), Some(optimum), 0.0) = (plan(&problem, Algorithm::Best), optimum(&case, &problem, true), case.hop_ms) {
            // Directions that differ make the diameter another problem, which the annealing only comes near to.
            if case.symmetric || !case.diameter {
                prop_assert!(value(&problem, &best) <= 1.02 * optimum + 1e-6);
            }
        }
    }
}

#[test]
fn a_share_of_a_budget_ends_the_search() {
    let case = Case {
        ms: (0..30).map(|i| (0..30).map(|j| f64::from((i * 37 + j * 61) % 97)).collect()).collect(),
        degrees: vec![3; 30],
        members: 20,
        forbidden: Vec::new(),
        diameter: false,
        max_helpers: None,
        hop_ms: 0.0,
        symmetric: true,
    };
    let mut asked = 0;
    let mut spent = || {
        asked += 1;
        f64::from(asked) / 10.0
    };
    let answer = plan_best(&case.problem(), Budget::Share(&mut spent));
    is_sound(&case, &answer).unwrap();
    assert_eq!(asked, 10);
}

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
