//! Sessions in which more than half of the nodes cannot talk to each other: helpers carry what would be direct links.

use std::sync::Arc;

use alm_planner::{
    Budget, Directions, LatencyMatrix, Missing, Objective, PlanError, Plane, Problem, paper_degrees,
    plan_best, verify,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// 8 members and 52 helpers in a plane, 33 of the 60 behind NATs.
fn problem(seed: u64, objective: Objective) -> Problem {
    let mut rng = StdRng::seed_from_u64(seed);
    let trips = Plane::new(60).draw(&mut rng).expect("60 hosts are a matrix");
    let latency =
        LatencyMatrix::from_round_trips(&trips, Directions::Mean, Missing::Error).expect("no holes");
    let degrees = paper_degrees(60, &mut rng);
    let mut nodes: Vec<usize> = (0..60).collect();
    nodes.shuffle(&mut rng);
    let behind = &nodes[..33];
    let pairs = behind.iter().enumerate().flat_map(|(at, &a)| behind[..at].iter().map(move |&b| (a, b)));
    Problem::builder(Arc::new(latency), degrees, (0..8).collect())
        .helpers((8..60).collect())
        .objective(objective)
        .forbid(pairs)
        .seed(seed)
        .build()
        .expect("a well-formed problem")
}

#[test]
fn best_connects_members_behind_nats() {
    for objective in [Objective::Height, Objective::Diameter, Objective::Forest] {
        for seed in 0..30 {
            let problem = problem(seed, objective);
            let plan = plan_best(&problem, Budget::Moves(10_000)).unwrap_or_else(|error| {
                panic!("seed {seed}, {objective}: {error}");
            });
            assert_eq!(verify(&problem, &plan), Ok(()), "seed {seed}, {objective}");
        }
    }
}

/// Members alone, with the links that they happen to have: many such sessions cannot be.
#[test]
fn members_behind_nats_are_connected_or_proven_not_to_be() {
    let (mut planned, mut impossible) = (0, 0);
    for objective in [Objective::Height, Objective::Diameter, Objective::Forest] {
        for seed in 0..60 {
            let whole = problem(seed, objective);
            let behind = |a: usize| (0..60).filter(|&b| b != a && !whole.may_link(a, b)).count() > 0;
            let members: Vec<usize> = (0..20).collect();
            let pairs = members.iter().flat_map(|&a| members.iter().map(move |&b| (a, b)));
            let pairs = pairs.filter(|&(a, b)| a < b && behind(a) && behind(b));
            let degrees = (0..60).map(|node| whole.degree(node)).collect();
            let problem = Problem::builder(whole.latency().clone(), degrees, members.clone())
                .objective(objective)
                .forbid(pairs)
                .build()
                .expect("a well-formed problem");
            match plan_best(&problem, Budget::Moves(500)) {
                Ok(plan) => {
                    planned += 1;
                    assert_eq!(verify(&problem, &plan), Ok(()), "seed {seed}, {objective}");
                }
                Err(
                    PlanError::NoPlan { given, needed, .. }
                    | PlanError::DegreesTooSmall { given, needed, .. },
                ) => {
                    impossible += 1;
                    assert!(given < needed);
                }
                Err(error) => panic!("seed {seed}, {objective}: {error}"),
            }
        }
    }
    assert!(planned > 60 && impossible > 0, "{planned} planned, {impossible} cannot be");
}
