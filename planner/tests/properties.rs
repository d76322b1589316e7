//! What every algorithm's plans must be, on random problems, and against brute force on small ones.

mod support;

use alm_planner::{
    Algorithm, HelperGain, Plan, PlanError, lower_bound, plan, plan_with_fewest_helpers, verify,
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
