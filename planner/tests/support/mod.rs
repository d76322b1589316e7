//! Random problems, and brute force over all trees of small ones.
#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use alm_planner::{Degree, LatencyMatrix, NodeIndex, Objective, OneWay, Plan, Problem, ProblemBuilder};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run.
pub fn repeatable(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

/// A random problem: latencies without a triangle inequality, degrees of any size, pairs forbidden now and then.
#[derive(Clone, Debug)]
pub struct Case {
    pub ms: Vec<Vec<f64>>,
    pub degrees: Vec<u32>,
    pub members: usize,
    pub forbidden: Vec<(NodeIndex, NodeIndex)>,
    pub diameter: bool,
    pub max_helpers: Option<usize>,
    pub hop_ms: f64,
    pub symmetric: bool,
}

impl Case {
    /// Nothing special: as many nodes, the first of them members.
    pub fn plain(nodes: usize, members: usize) -> Self {
        Self {
            ms: (0..nodes)
                .map(|i| (0..nodes).map(|j| 1.0 + (7 * i + 3 * j) as f64 % 11.0).collect())
                .collect(),
            degrees: vec![4; nodes],
            members,
            forbidden: Vec::new(),
            diameter: false,
            max_helpers: None,
            hop_ms: 0.0,
            symmetric: true,
        }
    }

    /// The problem that it makes.
    pub fn problem(&self) -> Problem {
        self.builder().build().unwrap()
    }

    /// The same, for more to be said.
    pub fn builder(&self) -> ProblemBuilder {
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
    }
}

pub fn case(nodes: std::ops::Range<usize>, forbidden: usize) -> impl Strategy<Value = Case> {
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

pub fn value(problem: &Problem, plan: &Plan) -> f64 {
    if problem.objective() == Objective::Height { plan.height.ms() } else { plan.diameter.ms() }
}

/// Least objective over all trees over the members and any of the helpers; `None` if there is no tree.
pub fn optimum(case: &Case, problem: &Problem, helpers: bool) -> Option<f64> {
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
