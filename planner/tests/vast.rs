//! Planning at large: what its trees must be, on coordinates and on a matrix.

#![expect(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

mod support;

use alm_planner::coord::{Coordinate, Model};
use alm_planner::{
    Algorithm, Budget, Degree, LatencyMatrix, OneWay, Plan, PlanError, Problem, SpacePlan, paper_degrees,
    plan, plan_best, plan_in_space,
};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::repeatable;

type Member = (Coordinate<3>, Degree);

fn members(most: usize, degrees: std::ops::Range<u32>) -> impl Strategy<Value = Vec<Member>> {
    // Whole numbers, so that places coincide now and then.
    let at = prop::array::uniform3(-20_i32..20).prop_map(|at| Coordinate::from(at.map(f64::from)));
    prop::collection::vec((at, degrees.prop_map(Degree)), 0..most)
}

fn models() -> impl Strategy<Value = Model> {
    prop::sample::select(vec![Model::Euclidean, Model::Height])
}

/// Hosts in a square of 100 ms, degrees by the seed's law.
fn plane(hosts: usize, seed: u64) -> Vec<Member> {
    let mut rng = StdRng::seed_from_u64(seed);
    let degrees = paper_degrees(hosts, &mut rng);
    let mut side = || rng.random::<f64>() * 200.0;
    degrees.into_iter().map(|degree| (Coordinate::from([side(), side(), 0.0]), degree)).collect()
}

fn problem(members: &[Member], model: Model) -> Problem {
    let row = |a: &Member| members.iter().map(|b| model.round_trip_ms(&a.0, &b.0) / 2.0).collect::<Vec<_>>();
    on_matrix(members, &members.iter().map(row).collect::<Vec<_>>())
}

fn on_matrix(members: &[Member], ms: &[Vec<f64>]) -> Problem {
    let latency =
        LatencyMatrix::from_one_way(members.len(), |i, j| OneWay::from_ms(ms[i.min(j)][i.max(j)]).unwrap());
    let degrees = members.iter().map(|&(_, degree)| degree).collect();
    Problem::builder(latency, degrees, (0..members.len()).collect()).build().unwrap()
}

/// Every member hangs once below one that hangs already, within its degree, and the figures are right.
fn assert_sound(members: &[Member], model: Model, plan: &SpacePlan) {
    let mut height: Vec<Option<f64>> = vec![None; members.len()];
    if let Some(root) = height.first_mut() {
        *root = Some(0.0);
        assert_eq!(plan.tree.sources, [0]);
    }
    for &(parent, child) in &plan.tree.edges {
        assert!(height[child].is_none(), "{child} hangs twice");
        let above = height[parent].unwrap();
        height[child] = Some(above + model.round_trip_ms(&members[parent].0, &members[child].0) / 2.0);
    }
    let most = height.iter().map(|height| height.unwrap()).fold(0.0, f64::max);
    assert!((plan.height.ms() - most).abs() < 1e-3);
    assert!(plan.direct.ms() <= plan.height.ms() + 1e-3);
    assert!(plan.tree.degrees().iter().all(|(&member, &links)| links <= members[member].1.0));
}

proptest! {
    #![proptest_config(repeatable(256))]

    #[test]
    fn there_is_a_sound_tree_wherever_degrees_suffice(members in members(80, 1..6), model in models()) {
        let given: u64 = members.iter().map(|(_, degree)| u64::from(degree.0)).sum();
        let needed = 2 * (members.len().max(1) as u64 - 1);
        let answer = plan_in_space(&members, model);
        match &answer {
            Ok(plan) => assert_sound(&members, model, plan),
            Err(error) => prop_assert_eq!(
                error,
                &PlanError::DegreesTooSmall { given, needed, members: members.len() }
            ),
        }
        prop_assert_eq!(answer.is_ok(), given >= needed);
        prop_assert_eq!(plan_in_space(&members, model), answer);
    }

    #[test]
    fn none_is_below_the_optimum(members in members(8, 1..5), model in models()) {
        prop_assume!(!members.is_empty());
        if let Ok(found) = plan_in_space(&members, model) {
            let optimum = plan(&problem(&members, model), Algorithm::Exact).unwrap();
            prop_assert!(optimum.height.ms() <= found.height.ms() + 1e-4);
        }
    }
}

#[test]
fn a_plane_of_thousands_is_planned_near_its_bound() {
    let members = plane(4_000, 1);
    let plan = plan_in_space(&members, Model::Euclidean).unwrap();
    assert_sound(&members, Model::Euclidean, &plan);
    let ratio = plan.height.ms() / plan.direct.ms();
    assert!(ratio < 1.02, "{ratio}");
}

#[test]
fn best_plans_thousands_on_a_matrix() {
    let members = plane(2_000, 2);
    // Plain arithmetic, because there are millions of pairs.
    let at: Vec<[f64; 2]> = members.iter().map(|(at, _)| [at[0] / 2.0, at[1] / 2.0]).collect();
    let row = |a: &[f64; 2]| at.iter().map(|b| (a[0] - b[0]).hypot(a[1] - b[1])).collect::<Vec<_>>();
    let problem = on_matrix(&members, &at.iter().map(row).collect::<Vec<_>>());
    let direct = plan_in_space(&members, Model::Euclidean).unwrap().direct;
    // `verify` looks from each member, which takes long over thousands.
    let sound = |plan: &Plan| {
        let (tree, height) = (plan.trees[0].clone(), plan.height);
        assert_sound(&members, Model::Euclidean, &SpacePlan { tree, height, direct });
    };
    let best = plan(&problem, Algorithm::Best).unwrap();
    sound(&best);
    assert_eq!(plan(&problem, Algorithm::Best), Ok(best.clone()));
    assert!(best.height.ms() < 1.02 * direct.ms(), "{} where {direct} is the bound", best.height);
    let seeds = plan(&problem, Algorithm::AmcastAdjust).unwrap();
    assert!(best.height <= seeds.height, "{} where the seed's algorithm makes {}", best.height, seeds.height);
    // Without any time for repairs.
    let grown = plan_best(&problem, Budget::Moves(0)).unwrap();
    sound(&grown);
    assert!(grown.height >= best.height);
}

#[test]
fn the_root_serves_all_if_it_can() {
    let mut members = plane(500, 3);
    members.iter_mut().for_each(|(_, degree)| *degree = Degree(1));
    members[0].1 = Degree(499);
    let plan = plan_in_space(&members, Model::Euclidean).unwrap();
    assert_sound(&members, Model::Euclidean, &plan);
    assert_eq!(plan.height, plan.direct);
}

#[test]
fn hostile_sessions_are_planned_all_the_same() {
    let few: Vec<Member> =
        (0..3_000).map(|at| (Coordinate::from([f64::from(at % 2), 0.0, 0.0]), Degree(3))).collect();
    // All in two places; a chain, because nobody has a link to spare; half of all at the end of a line.
    let chain: Vec<Member> = plane(3_000, 4).into_iter().map(|(at, _)| (at, Degree(2))).collect();
    let mut ends = plane(3_000, 5);
    for (at, (_, degree)) in ends.iter_mut().enumerate() {
        *degree = Degree(1 + 2 * (at as u32 % 2));
    }
    ends[0].1 = Degree(2);
    let far: Vec<Member> = (plane(3_000, 6).into_iter().enumerate())
        .map(|(at, (place, degree))| (place + Coordinate::from([1e8 * (at % 3) as f64, 0.0, 0.0]), degree))
        .collect();
    for members in [few, chain, ends, far] {
        for model in [Model::Euclidean, Model::Height] {
            let plan = plan_in_space(&members, model).unwrap();
            assert_sound(&members, model, &plan);
        }
    }
}

#[test]
fn what_is_no_place_or_no_degree_is_refused_by_name() {
    let spoilt = |spoil: &dyn Fn(&mut Vec<Member>)| {
        let mut members = plane(10, 7);
        spoil(&mut members);
        plan_in_space(&members, Model::Height).unwrap_err()
    };
    for x in [f64::NAN, f64::INFINITY, -1e300] {
        assert_eq!(spoilt(&|members| members[4].0[2] = x), PlanError::Nowhere(4));
    }
    assert_eq!(spoilt(&|members| members[5].1 = Degree(0)), PlanError::NoDegree(5));
    let nobody = plan_in_space::<3>(&[], Model::Euclidean).unwrap();
    assert_eq!((nobody.tree.edges.len(), nobody.height), (0, OneWay::ZERO));
}

#[test]
fn thousands_without_a_geometry_are_planned_no_worse_than_by_the_seed() {
    let mut rng = StdRng::seed_from_u64(8);
    let degrees = paper_degrees(2_000, &mut rng);
    let latency = LatencyMatrix::from_one_way(2_000, |a, b| {
        OneWay::from_ms(1.0 + ((a.min(b) * 7_919 + a.max(b) * 104_729) % 9_973) as f64 / 100.0).unwrap()
    });
    let problem = Problem::builder(latency, degrees, (0..2_000).collect()).build().unwrap();
    let best = plan_best(&problem, Budget::Moves(0)).unwrap();
    let seeds = plan(&problem, Algorithm::AmcastAdjust).unwrap();
    assert!(best.height <= seeds.height, "{} where the seed's algorithm makes {}", best.height, seeds.height);
}
