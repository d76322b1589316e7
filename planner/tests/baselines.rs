//! What the field's algorithms must be, on random problems: sound but for what they say of degrees, and `exact` against
//! brute force.

mod support;

use alm_planner::{
    Algorithm, Objective, Plan, PlanDefect, PlanError, Problem, degree_excess, lower_bound, plan, verify,
};
use proptest::prelude::*;
use support::{Case, case, optimum, repeatable, value};

/// Sound, and within the degree bounds or as far beyond them as it says.
fn is_sound(
    problem: &Problem,
    answer: &Result<Plan, PlanError>,
    keeps_degrees: bool,
    case: &Case,
) -> Result<(), TestCaseError> {
    match answer {
        Ok(plan) => {
            let excess = degree_excess(problem, plan);
            match verify(problem, plan) {
                Ok(()) => prop_assert_eq!(excess, 0),
                Err(PlanDefect::DegreeExceeded(_)) => prop_assert!(excess > 0 && !keeps_degrees),
                Err(defect) => prop_assert!(false, "{defect}"),
            }
            if excess == 0 && plan.trees.len() == 1 {
                prop_assert!(lower_bound(problem).ms() <= value(problem, plan) + 1e-9);
            }
        }
        Err(error) if case.forbidden.iter().all(|(a, b)| a == b) => {
            prop_assert!(matches!(error, PlanError::DegreesTooSmall { .. }), "{error}");
        }
        Err(_) => {}
    }
    Ok(())
}

macro_rules! baseline_properties {
    ($($name:ident: $algorithm:expr, $keeps_degrees:expr;)*) => {$(
        proptest! {
            #![proptest_config(repeatable(256))]

            #[test]
            fn $name(case in case(1..24, 60)) {
                let problem = case.problem();
                let answer = plan(&problem, $algorithm);
                is_sound(&problem, &answer, $keeps_degrees, &case)?;
                prop_assert_eq!(plan(&problem, $algorithm), answer, "the same again");
            }
        }
    )*};
}

baseline_properties! {
    unicast: Algorithm::Unicast, false;
    random: Algorithm::Random, true;
    compact: Algorithm::Compact, true;
    narada: Algorithm::Narada, true;
    esm: Algorithm::Esm, true;
    overcast: Algorithm::Overcast, true;
    scribe: Algorithm::Scribe, false;
    splitstream: Algorithm::Splitstream, false;
}

proptest! {
    #![proptest_config(repeatable(512))]

    #[test]
    fn exact_is_what_brute_force_finds(case in case(1..8, 4)) {
        let mut case = case;
        case.hop_ms = 0.0;
        case.symmetric |= case.diameter;
        let problem = case.problem();
        let answer = plan(&problem, Algorithm::Exact);
        match (&answer, optimum(&case, &problem, true)) {
            (Ok(plan), Some(best)) => {
                prop_assert_eq!(verify(&problem, plan), Ok(()));
                prop_assert!((value(&problem, plan) - best).abs() < 1e-3, "{} for {best}", value(&problem, plan));
            }
            (Err(_), None) => {}
            (answer, best) => prop_assert!(false, "{answer:?} where brute force finds {best:?}"),
        }
    }

    #[test]
    fn two_degrees_are_enough_for_scribe_to_keep_them(case in case(2..24, 0)) {
        let mut case = case;
        case.degrees.iter_mut().for_each(|degree| *degree += 1);
        let problem = case.problem();
        let plan = plan(&problem, Algorithm::Scribe).unwrap();
        prop_assert_eq!(verify(&problem, &plan), Ok(()));
    }

    #[test]
    fn stripes_are_interior_disjoint_where_links_are_plenty(case in case(2..24, 0)) {
        let mut case = case;
        case.degrees.iter_mut().for_each(|degree| *degree += 30);
        let problem = case.problem();
        let plan = plan(&problem, Algorithm::Splitstream).unwrap();
        prop_assert_eq!(verify(&problem, &plan), Ok(()));
        let interior = |tree: usize| plan.trees[tree].edges.iter().map(|edge| edge.0).filter(|&node| node != plan.root);
        prop_assert!(interior(0).all(|node| interior(1).all(|other| other != node)));
    }
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let case = Case { symmetric: false, diameter: true, ..Case::plain(6, 3) };
    assert_eq!(plan(&case.problem(), Algorithm::Exact), Err(PlanError::DirectionsDiffer(Algorithm::Exact)));
    let many = Case::plain(16, 15);
    assert_eq!(
        plan(&many.problem(), Algorithm::Exact),
        Err(PlanError::TooManyNodes { nodes: 16, most: alm_planner::EXACT_NODES_MAX })
    );
    assert_eq!(many.problem().objective(), Objective::Height);
}

#[test]
fn a_star_states_the_degree_that_it_needs() {
    let case = Case { degrees: vec![3; 12], ..Case::plain(12, 12) };
    let problem = case.problem();
    let plan = plan(&problem, Algorithm::Unicast).unwrap();
    assert_eq!(degree_excess(&problem, &plan), 11 - 3);
}
