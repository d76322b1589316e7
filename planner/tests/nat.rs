//! Sessions in which more than half of the nodes cannot talk to each other: helpers carry what would be direct links.

use std::sync::Arc;

use alm_planner::{
    Budget, Directions, LatencyMatrix, Missing, Objective, Plane, Problem, paper_degrees, plan_best, verify,
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
