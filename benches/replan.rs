//! What a change of a session costs: the time to attach a joiner at 1,000 members, and the time to plan again from the
//! installed plan, the links that this moves, and what it loses in the objective, beside planning anew. Sessions of 100
//! members and 1,000 helpers, forests of 20 and 200, on transit-stub topologies, degrees by the seed's law.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use alm_planner::{
    Algorithm, Budget, Degree, Directions, LatencyMatrix, Missing, MovePrice, NodeIndex, Objective, OneWay,
    Plan, Problem, Slots, TransitStub, backups, moves, pair_latencies, paper_degrees, plan, plan_best,
    replan,
};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use support::{Size, median, now, quantile};

/// A topology and the nodes in random order.
struct World {
    latency: Arc<LatencyMatrix>,
    degrees: Vec<Degree>,
    nodes: Vec<NodeIndex>,
    rng: StdRng,
}

impl World {
    fn new(hosts: usize, seed: u64) -> Option<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let trips = TransitStub::new(hosts).draw(&mut rng)?;
        let latency = LatencyMatrix::from_round_trips(&trips, Directions::Mean, Missing::Error).ok()?;
        let degrees = paper_degrees(hosts, &mut rng);
        let mut nodes: Vec<NodeIndex> = (0..hosts).collect();
        nodes.shuffle(&mut rng);
        Some(Self { latency: Arc::new(latency), degrees, nodes, rng })
    }

    fn problem(&self, members: &[NodeIndex], helpers: &[NodeIndex], objective: Objective) -> Option<Problem> {
        self.problem_on(&self.latency, members, helpers, objective)
    }

    fn problem_on(
        &self,
        latency: &Arc<LatencyMatrix>,
        members: &[NodeIndex],
        helpers: &[NodeIndex],
        objective: Objective,
    ) -> Option<Problem> {
        Problem::builder(latency.clone(), self.degrees.clone(), members.to_vec())
            .helpers(helpers.to_vec())
            .objective(objective)
            .build()
            .ok()
    }
}

/// Seconds to plan anew in.
const ANEW_S: f64 = 0.020;

/// What happens to a session.
const EVENTS: [&str; 5] = ["join", "leave", "death of a relay", "helper taken", "latencies +-10 %"];

/// The session after an event, if it can happen.
fn changed(world: &mut World, event: &str, before: &Problem, installed: &Plan) -> Option<Problem> {
    let (mut members, mut helpers) = (before.members().to_vec(), before.helpers().to_vec());
    let mut latency = world.latency.clone();
    let relays_of = |plan: &Plan| {
        let mut relays: Vec<NodeIndex> =
            plan.trees.iter().flat_map(|tree| &tree.edges).map(|&(parent, _)| parent).collect();
        relays.retain(|&relay| relay != plan.root);
        relays.sort_unstable();
        relays.dedup();
        relays
    };
    let mut draw = |from: &[NodeIndex]| from.get(world.rng.random_range(0..from.len().max(1))).copied();
    match event {
        "join" => {
            let joiner = draw(&helpers)?;
            helpers.retain(|&helper| helper != joiner);
            members.push(joiner);
        }
        "leave" => {
            let gone = draw(&members[1..])?;
            members.retain(|&member| member != gone);
        }
        "death of a relay" => {
            let dead = draw(&relays_of(installed))?;
            members.retain(|&member| member != dead);
            helpers.retain(|&helper| helper != dead);
        }
        "helper taken" => {
            let taken = draw(&installed.helpers)?;
            helpers.retain(|&helper| helper != taken);
        }
        _ => {
            let nodes = latency.nodes();
            let noise: Vec<f64> = (0..nodes * nodes).map(|_| world.rng.random_range(0.9..1.1)).collect();
            latency = Arc::new(LatencyMatrix::from_one_way(nodes, |i, j| {
                let ms = world.latency.one_way(i, j).ms() * noise[i.min(j) * nodes + i.max(j)];
                OneWay::from_ms(ms).unwrap_or_default()
            }));
        }
    }
    world.problem_on(&latency, &members, &helpers, before.objective())
}

/// Seconds that `work` takes, and what it gives.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = now();
    let done = black_box(work());
    ((now() - started).as_secs_f64(), done)
}

/// What the planner makes small.
fn value(problem: &Problem, plan: &Plan) -> f64 {
    match plan.objective {
        Objective::Height => plan.height.ms(),
        Objective::Diameter => plan.diameter.ms(),
        Objective::Forest => {
            let (worst, mean) = pair_latencies(problem, plan);
            worst.ms() + mean.ms()
        }
    }
}

/// What one way of planning did, event by event.
#[derive(Default)]
struct Row {
    ms: Vec<f64>,
    moved: Vec<f64>,
    /// Objective by that of the plan made anew with patience.
    ratio: Vec<f64>,
}

impl Row {
    fn add(&mut self, seconds: f64, problem: &Problem, [installed, plan, best]: [&Plan; 3]) {
        let links: usize = plan.trees.iter().map(|tree| tree.edges.len()).sum();
        self.ms.push(seconds * 1e3);
        self.moved.push(100.0 * moves(installed, plan).moved as f64 / links as f64);
        self.ratio.push(value(problem, plan) / value(problem, best));
    }

    fn print(&mut self, event: &str, how: &str) {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        println!(
            "{event:18} {how:22} {:>9.2} {:>9.2} {:>9.1} {:>9.1} {:>9.3}",
            quantile(&mut self.ms, 0.5),
            quantile(&mut self.ms, 0.95),
            mean(&self.moved),
            quantile(&mut self.moved, 0.95),
            mean(&self.ratio),
        );
    }
}

fn replanning(size: Size, objective: Objective) -> Option<()> {
    let (members, helpers) = match objective {
        Objective::Height | Objective::Diameter => size.pick((10, 20), (100, 1000)),
        Objective::Forest => size.pick((6, 10), (20, 200)),
    };
    let (seeds, rounds) = size.pick((1, 1), (5, 4));
    let patience = size.pick(1_000, 500_000);
    println!(
        "\nplanning again, {objective}, {members} members + {helpers} helpers: time, links moved beside those"
    );
    println!("of who came, and {objective} by that of a plan made anew in {patience} moves");
    println!(
        "{:18} {:22} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "event", "plan", "ms p50", "p95", "moved %", "p95", "by anew"
    );
    let mut rows: Vec<[Row; 4]> = EVENTS.iter().map(|_| Default::default()).collect();
    let long = size.pick(200, if objective == Objective::Forest { 100_000 } else { 20_000 });
    for seed in 1..=seeds {
        let mut world = World::new(size.pick(40, 1200), seed)?;
        let nodes = world.nodes.clone();
        let before = world.problem(&nodes[..members], &nodes[members..members + helpers], objective)?;
        let installed = plan_best(&before, Budget::Moves(patience)).ok()?;
        for (event, rows) in EVENTS.iter().zip(&mut rows) {
            for _ in 0..rounds {
                // Without a helper none is taken.
                let Some(after) = changed(&mut world, event, &before, &installed) else { continue };
                let best = plan_best(&after, Budget::Moves(patience)).ok()?;
                let budgets = [Budget::Moves(0), Budget::for_replan(&after), Budget::Moves(long)];
                for (row, budget) in rows.iter_mut().zip(budgets) {
                    let (seconds, again) = timed(|| replan(&after, &installed, budget, MovePrice::default()));
                    row.add(seconds, &after, [&installed, &again.ok()?.plan, &best]);
                }
                let started = now();
                let mut spent = || (now() - started).as_secs_f64() / ANEW_S;
                let (seconds, anew) = timed(|| plan_best(&after, Budget::Share(&mut spent)));
                rows[3].add(seconds, &after, [&installed, &anew.ok()?, &best]);
            }
        }
    }
    let long = format!("again, {long} moves");
    for (event, rows) in EVENTS.iter().zip(&mut rows) {
        for (how, row) in ["repaired alone", "again", &long, "anew, in 20 ms"].into_iter().zip(rows) {
            row.print(event, how);
        }
    }
    Some(())
}

fn attaching(size: Size, objective: Objective) -> Option<()> {
    let (members, joiners) = size.pick((20, 10), (1000, 200));
    let world = World::new(members + joiners, 1)?;
    let problem = world.problem(&world.nodes[..members], &[], objective)?;
    let (anew, installed) = timed(|| plan(&problem, Algorithm::Amcast));
    let installed = installed.ok()?;
    let (built, _) = timed(|| Slots::new(&problem, &installed));
    let mut attached = Vec::new();
    let mut found = Vec::new();
    for _ in 0..size.pick(1, 5) {
        let mut slots = Slots::new(&problem, &installed);
        for &joiner in &world.nodes[members..] {
            found.push(timed(|| slots.best(joiner)).0 * 1e6);
            attached.push(timed(|| slots.attach(joiner)).0 * 1e6);
        }
    }
    let (saved, backups) = timed(|| backups(&problem, &installed));
    println!(
        "{:10} {members:>8} {:>12.2} {:>12.2} {:>12.2} {:>12.1} {:>12.2} {:>12.2} {:>14.1}",
        objective.name(),
        median(found),
        median(attached.iter().copied()),
        quantile(&mut attached, 0.99),
        built * 1e6,
        anew * 1e3,
        saved * 1e3,
        backups.pairs.len() as f64 / (members - 1) as f64 * 100.0,
    );
    Some(())
}

fn main() -> ExitCode {
    let Some(size) = Size::from_args("replan") else { return ExitCode::SUCCESS };
    println!("{}", size.headline("replan"));
    println!("\nattaching a joiner; the same tree's backup parents");
    println!(
        "{:10} {:>8} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12} {:>14}",
        "objective",
        "members",
        "best slot us",
        "attach us",
        "p99 us",
        "build us",
        "amcast ms",
        "backups ms",
        "% with backup"
    );
    let both = [Objective::Height, Objective::Diameter];
    let attached = both.iter().try_for_each(|&objective| attaching(size, objective));
    let replanned = Objective::ALL.iter().try_for_each(|&objective| replanning(size, objective));
    if attached.is_some() && replanned.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
