//! Hand-made cases: the tables of the patent as printed would fail each of these, or a live session would.
#![expect(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

use alm_planner::{
    Algorithm, Degree, HelperGain, LatencyMatrix, NodeIndex, Objective, OneWay, Plan, PlanDefect, PlanError,
    Problem, ProblemBuilder, lower_bound, plan, plan_with_fewest_helpers, verify,
};

/// Nodes at points of a line, one millisecond a unit.
fn line(at: &[f64]) -> LatencyMatrix {
    LatencyMatrix::from_one_way(at.len(), |i, j| OneWay::from_ms((at[i] - at[j]).abs()).unwrap())
}

/// The first `members` nodes are members, the others may help.
fn session(latency: LatencyMatrix, degrees: &[u32], members: usize) -> ProblemBuilder {
    let nodes = latency.nodes();
    Problem::builder(latency, degrees.iter().map(|&d| Degree(d)).collect(), (0..members).collect())
        .helpers((members..nodes).collect())
}

fn planned(problem: &Problem, algorithm: Algorithm) -> Plan {
    let plan = plan(problem, algorithm).unwrap();
    assert_eq!(verify(problem, &plan), Ok(()));
    plan
}

fn edges(plan: &Plan) -> Vec<(NodeIndex, NodeIndex)> {
    let mut edges = plan.trees[0].edges.clone();
    edges.sort_unstable();
    edges
}

#[test]
fn one_member_is_a_tree() {
    let problem = session(line(&[0.0, 1.0]), &[0, 4], 1).build().unwrap();
    let plan = planned(&problem, Algorithm::Critical);
    assert_eq!((edges(&plan), plan.height, plan.diameter), (vec![], OneWay::ZERO, OneWay::ZERO));
}

#[test]
fn a_full_parent_is_replaced_by_the_next_best() {
    // The root takes 1 and 2; 3 hangs below 2, not below 1, which is nearer to the root but farther from 3.
    let problem = session(line(&[0.0, -1.0, 2.0, 9.0]), &[2, 2, 2, 2], 4).build().unwrap();
    assert_eq!(edges(&planned(&problem, Algorithm::Amcast)), [(0, 1), (0, 2), (2, 3)]);
}

#[test]
fn nodes_of_degree_one_do_not_close_the_tree() {
    // Nearest first would give both of the root's links to 1 and 2 and leave 3 outside.
    let problem = session(line(&[0.0, 1.0, 2.0, 50.0]), &[2, 1, 1, 2], 4).build().unwrap();
    let plan = planned(&problem, Algorithm::Amcast);
    assert_eq!(edges(&plan), [(0, 1), (0, 3), (3, 2)]);
}

#[test]
fn degrees_that_admit_no_tree_are_refused_with_the_sum() {
    let problem = session(line(&[0.0, 1.0, 2.0, 3.0]), &[1, 1, 1, 2], 4).build().unwrap();
    let error = plan(&problem, Algorithm::Amcast).unwrap_err();
    assert_eq!(error, PlanError::DegreesTooSmall { given: 5, needed: 6, members: 4 });
    let problem = session(line(&[0.0, 1.0, 2.0]), &[2, 0, 2], 3).build().unwrap();
    assert_eq!(plan(&problem, Algorithm::Amcast), Err(PlanError::NoDegree(1)));
}

/// A root with two links, 40 ms from everybody; four members 30 ms from each other, and a helper 5 ms from each of them.
fn far_cluster() -> ProblemBuilder {
    let latency = LatencyMatrix::from_one_way(6, |i, j| {
        let ms = match (i.min(j), i.max(j)) {
            (0, _) => 40.0,
            (_, 5) => 5.0,
            _ => 30.0,
        };
        OneWay::from_ms(ms).unwrap()
    });
    session(latency, &[2, 2, 2, 2, 2, 6], 5)
}

#[test]
fn a_helper_joins_at_the_last_free_link_and_counts_its_own() {
    let problem = far_cluster().build().unwrap();
    let without = planned(&problem, Algorithm::Amcast);
    let with = planned(&problem, Algorithm::Critical);
    assert_eq!(with.helpers, [5]);
    assert!(with.height < without.height, "{} is not below {}", with.height, without.height);
    // Everybody who came after the helper weighed it as a parent.
    assert!(with.trees[0].degrees()[&5] > 2);
}

#[test]
fn table_b_limits_bind_helpers() {
    let unaided =
        |builder: ProblemBuilder| planned(&builder.build().unwrap(), Algorithm::Critical).helpers.is_empty();
    assert!(unaided(far_cluster().helper_min_degree(7)));
    assert!(unaided(far_cluster().radius(OneWay::from_ms(1.0))));
    assert!(unaided(far_cluster().max_helpers(Some(0))));
    assert!(!unaided(far_cluster().max_helpers(Some(1))));
}

#[test]
fn a_helper_that_brings_nothing_is_left_out() {
    // The helper stands in between, but the root has links enough.
    let problem = session(line(&[0.0, 10.0, 5.0]), &[1, 1, 9], 2).build().unwrap();
    assert!(planned(&problem, Algorithm::Critical).helpers.is_empty());
    // A metre off the way it still shortens nothing.
    let relayed = line(&[0.0, 10.0, 20.0, 5.0]);
    let problem = session(relayed, &[2, 2, 2, 9], 3).build().unwrap();
    assert!(planned(&problem, Algorithm::Critical).helpers.is_empty());
}

#[test]
fn helpers_make_up_for_members_that_carry_one_link() {
    let problem = session(line(&[0.0, 1.0, 2.0, 3.0, 4.0]), &[1, 1, 1, 1, 4], 4).build().unwrap();
    assert!(plan(&problem, Algorithm::Amcast).is_err());
    assert_eq!(edges(&planned(&problem, Algorithm::Critical)), [(0, 4), (4, 1), (4, 2), (4, 3)]);
}

#[test]
fn members_that_cannot_talk_meet_at_a_helper() {
    let problem = session(line(&[0.0, 1.0, 50.0]), &[4, 4, 4], 2).forbid([(0, 1)]).build().unwrap();
    assert_eq!(plan(&problem, Algorithm::Amcast), Err(PlanError::Stuck(1)));
    assert_eq!(edges(&planned(&problem, Algorithm::Critical)), [(0, 2), (2, 1)]);
    // Also over two helpers, each of which reaches one side.
    let forbid = [(0, 1), (0, 3), (1, 2)];
    let problem = session(line(&[0.0, 1.0, 2.0, 3.0]), &[4; 4], 2).forbid(forbid).build().unwrap();
    assert_eq!(edges(&planned(&problem, Algorithm::Critical)), [(0, 2), (2, 3), (3, 1)]);
}

#[test]
fn a_session_takes_any_helper_before_it_gives_up() {
    // Degree 2 and 150 ms away: neither is good enough for Table B.
    let problem = session(line(&[0.0, 1.0, 150.0]), &[2, 2, 2], 2).forbid([(0, 1)]).build().unwrap();
    assert!(plan(&problem, Algorithm::Critical).is_err());
    let plan = plan_with_fewest_helpers(&problem, Algorithm::Critical, HelperGain::default()).unwrap();
    assert_eq!(edges(&plan), [(0, 2), (2, 1)]);
}

#[test]
fn a_session_takes_no_helper_for_less_than_the_gain() {
    let problem = far_cluster().build().unwrap();
    let helpers = |ms| {
        let gain = HelperGain { ms, share: 0.0 };
        plan_with_fewest_helpers(&problem, Algorithm::Critical, gain).unwrap().helpers.len()
    };
    assert_eq!(helpers(0.1), 1);
    assert_eq!(helpers(1000.0), 0);
}

#[test]
fn a_hop_cost_flattens_the_tree_and_is_not_in_the_figures() {
    let builder = || session(line(&[0.0, 10.0, 20.0]), &[2, 2, 2], 3);
    let free = planned(&builder().hop_cost(OneWay::ZERO).build().unwrap(), Algorithm::Amcast);
    let costly =
        planned(&builder().hop_cost(OneWay::from_ms(5.0).unwrap()).build().unwrap(), Algorithm::Amcast);
    assert_eq!(edges(&costly), [(0, 1), (0, 2)]);
    assert_eq!(costly.height.ms(), 20.0);
    assert_eq!(free.height.ms(), 20.0);
}

#[test]
fn a_shared_tree_has_its_hub_where_it_serves_all() {
    // The root is at one end; growing from it alone would hang the others below it.
    let star = LatencyMatrix::from_one_way(5, |i, j| {
        OneWay::from_ms(if i == 1 || j == 1 { 10.0 } else { 30.0 }).unwrap()
    });
    let problem = session(star, &[4; 5], 5).objective(Objective::Diameter).build().unwrap();
    let plan = planned(&problem, Algorithm::Amcast);
    assert_eq!(plan.diameter.ms(), 20.0);
    assert_eq!(edges(&plan), [(0, 1), (1, 2), (1, 3), (1, 4)]);
    assert_eq!(lower_bound(&problem).ms().round(), 20.0);
}

#[test]
fn the_bound_knows_that_relays_beat_the_direct_path() {
    let detour = LatencyMatrix::from_one_way(3, |i, j| {
        OneWay::from_ms(if i.min(j) == 0 && i.max(j) == 1 { 100.0 } else { 10.0 }).unwrap()
    });
    let bound =
        |degree| lower_bound(&session(detour.clone(), &[2, 2, degree], 2).build().unwrap()).ms().round();
    assert_eq!(bound(2), 20.0);
    assert_eq!(bound(1), 100.0);
}

#[test]
fn plans_that_are_not_what_they_say_are_refused() {
    let problem = far_cluster().build().unwrap();
    let good = planned(&problem, Algorithm::Critical);
    let spoilt = |spoil: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        spoil(&mut plan);
        verify(&problem, &plan).unwrap_err()
    };
    assert_eq!(spoilt(&|plan| plan.members.swap(0, 1)), PlanDefect::OtherSession);
    assert_eq!(spoilt(&|plan| plan.helpers.push(1)), PlanDefect::Stranger(1));
    assert_eq!(spoilt(&|plan| plan.trees.clear()), PlanDefect::NoTree);
    assert_eq!(spoilt(&|plan| plan.height = OneWay::ZERO), PlanDefect::WrongFigures);
    assert_eq!(
        spoilt(&|plan| plan.trees[0].edges.reverse()),
        PlanDefect::NotATree(good.trees[0].edges.last().unwrap().1)
    );
    let last = good.trees[0].edges.last().unwrap().1;
    assert_eq!(
        spoilt(&|plan| {
            plan.trees[0].edges.pop();
        }),
        PlanDefect::Missing(last)
    );
}
