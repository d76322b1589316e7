//! Lower bounds, held against the optimum of small problems and against trees of larger ones.

mod support;

use alm_planner::{Algorithm, LatencyMatrix, Objective, OneWay, Problem, lower_bound, plan};
use proptest::prelude::*;
use support::{Case, case, repeatable, value};

proptest! {
    #![proptest_config(repeatable(160))]

    #[test]
    fn the_optimum_of_nine_is_no_lower(case in case(2..10, 8)) {
        let case = Case { symmetric: case.symmetric || case.diameter, hop_ms: 0.0, ..case };
        let problem = case.problem();
        if let Ok(exact) = plan(&problem, Algorithm::Exact) {
            prop_assert!(lower_bound(&problem).ms() <= value(&problem, &exact) + 1e-9);
        }
    }
}

proptest! {
    #![proptest_config(repeatable(48))]

    #[test]
    fn no_tree_is_lower(case in case(2..40, 60), shared in 1..6_usize) {
        // Latencies of a few sizes, so that sums coincide.
        let ms = case.ms.iter().map(|row| row.iter().map(|ms| (ms / 25.0).ceil() * 0.1).collect()).collect();
        let case = Case { ms, ..case };
        let domains = (0..case.ms.len()).map(|node| (node % 2 == 0).then(|| (node % shared).to_string()));
        let problem = case.builder().domains(domains).build().unwrap();
        for algorithm in [Algorithm::AmcastAdjust, Algorithm::CriticalAdjust] {
            if let Ok(plan) = plan(&problem, algorithm) {
                prop_assert!(lower_bound(&problem).ms() <= value(&problem, &plan) + 1e-9);
            }
        }
    }
}

#[test]
fn a_root_with_few_links_cannot_cover_all_at_once() {
    // A root with two links, and three members, each in a place of its own: 10 from the root, 30 from one another.
    let place = |node: usize| node.min(4);
    let latency = LatencyMatrix::from_one_way(7, |a, b| {
        let ms = match (place(a), place(b)) {
            (a, b) if a == b => 1.0,
            (0, _) | (_, 0) => 10.0,
            _ => 30.0,
        };
        OneWay::from_ms(ms).unwrap()
    });
    let degrees = [2, 2, 2, 2, 2, 2, 2].map(alm_planner::Degree);
    let problem =
        Problem::builder(latency, degrees.to_vec(), vec![0, 1, 2, 3]).helpers(vec![4, 5, 6]).build().unwrap();
    let bound = lower_bound(&problem).ms();
    assert!((39.9..=40.0).contains(&bound), "{bound}");
}

#[test]
fn a_middle_with_few_links_cannot_cover_all_at_once() {
    // Four members, each in a place of its own, 10 from the helper in the middle and 30 from one another; the helper has
    // two links, so that two of the members hang below two others.
    let latency = LatencyMatrix::from_one_way(5, |a, b| {
        OneWay::from_ms(if a == 4 || b == 4 { 10.0 } else { 30.0 }).unwrap()
    });
    let problem = Problem::builder(latency, [2; 5].map(alm_planner::Degree).to_vec(), vec![0, 1, 2, 3])
        .helpers(vec![4])
        .objective(Objective::Diameter)
        .build()
        .unwrap();
    let bound = lower_bound(&problem).ms();
    let best = plan(&problem, Algorithm::Exact).unwrap().diameter.ms();
    assert_eq!(best, 80.0);
    // The radii alone say 20.
    assert!((60.0..=80.0).contains(&bound), "{bound}");
}
