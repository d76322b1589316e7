//! Planning at large: time, and height by the largest direct latency from the root, for hosts in a plane with degrees by the
//! seed's law and no helpers. On a matrix by `amcast` and `best`, then on coordinates alone.
//!
//! Times are medians over worlds, with the matrix and the coordinates at hand, one thread.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::hint::black_box;
use std::process::ExitCode;

use alm_planner::coord::{Coordinate, Model};
use alm_planner::{
    Algorithm, Budget, Degree, LatencyMatrix, OneWay, Plan, PlanError, Problem, paper_degrees, plan,
    plan_best, plan_in_space,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use support::{Size, median, now};

type Host = (Coordinate<2>, Degree);

/// Hosts in a square of 100 ms one way.
fn plane(hosts: usize, seed: u64) -> Vec<Host> {
    let mut rng = StdRng::seed_from_u64(seed);
    let degrees = paper_degrees(hosts, &mut rng);
    let mut side = || rng.random::<f64>() * 200.0;
    degrees.into_iter().map(|degree| (Coordinate::<2>::new(side(), side()), degree)).collect()
}

fn on_matrix(hosts: &[Host]) -> Option<Problem> {
    let one_way = |a: &Host, b: &Host| OneWay::from_ms((a.0 - b.0).norm() / 2.0).unwrap_or_default();
    let matrix = LatencyMatrix::from_one_way(hosts.len(), |i, j| one_way(&hosts[i.min(j)], &hosts[i.max(j)]));
    let degrees = hosts.iter().map(|&(_, degree)| degree).collect();
    Problem::builder(matrix, degrees, (0..hosts.len()).collect()).build().ok()
}

/// Seconds, and what came out.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = now();
    let done = black_box(work());
    ((now() - started).as_secs_f64(), done)
}

/// Prints a row: (seconds, height by direct) of each world.
fn row(hosts: usize, how: &str, runs: &[(f64, f64)]) {
    let ratios = || runs.iter().map(|&(_, ratio)| ratio);
    let mean = ratios().sum::<f64>() / runs.len() as f64;
    let worst = ratios().fold(0.0, f64::max);
    let ms = 1e3 * median(runs.iter().map(|&(seconds, _)| seconds));
    println!("{hosts:>9} {how:22}{ms:>12.2}{mean:>12.4}{worst:>12.4}");
}

fn measured(hosts: usize, worlds: u64, with_matrix: bool) -> Result<(), PlanError> {
    let worlds: Vec<Vec<Host>> = (1..=worlds).map(|seed| plane(hosts, seed)).collect();
    let direct =
        |world: &[Host]| world.iter().map(|(at, _)| (at - world[0].0).norm() / 2.0).fold(0.0, f64::max);
    if with_matrix {
        let mut runs = [Vec::new(), Vec::new(), Vec::new()];
        for world in &worlds {
            let Some(problem) = on_matrix(world) else { continue };
            for (runs, algorithm) in runs.iter_mut().zip([Algorithm::Amcast, Algorithm::Best]) {
                let (seconds, made): (f64, Result<Plan, PlanError>) = timed(|| plan(&problem, algorithm));
                runs.push((seconds, made?.height.ms() / direct(world)));
            }
            let (seconds, made) = timed(|| {
                let started = now();
                let mut share = || (now() - started).as_secs_f64() / SHORT;
                plan_best(&problem, Budget::Share(&mut share))
            });
            runs[2].push((seconds, made?.height.ms() / direct(world)));
        }
        row(hosts, "matrix, amcast", &runs[0]);
        row(hosts, "matrix, best", &runs[1]);
        row(hosts, "matrix, best in 30 ms", &runs[2]);
    }
    let mut runs = Vec::new();
    for world in &worlds {
        let (seconds, made) = timed(|| plan_in_space(world, Model::Euclidean));
        runs.push((seconds, made?.height.ms() / direct(world)));
    }
    row(hosts, "coordinates", &runs);
    Ok(())
}

/// A budget too short for growing what AMCast grows: seconds.
const SHORT: f64 = 0.03;

fn main() -> ExitCode {
    let Some(size) = Size::from_args("vast") else { return ExitCode::SUCCESS };
    println!("{}", size.headline("vast"));
    println!("{:>9} {:22}{:>12}{:>12}{:>12}", "members", "planned on", "ms", "h / direct", "worst");
    // Members, worlds, and whether there is a matrix of them.
    let sizes: &[(usize, u64, bool)] = match size {
        Size::Smoke => &[(50, 2, true), (2_500, 1, false)],
        Size::Normal => &[(1_000, 9, true), (10_000, 5, true), (100_000, 5, false)],
        Size::Full => &[
            (1_000, 9, true),
            (4_000, 9, true),
            (10_000, 9, true),
            (100_000, 9, false),
            (1_000_000, 3, false),
        ],
    };
    for &(hosts, worlds, with_matrix) in sizes {
        if let Err(error) = measured(hosts, worlds, with_matrix) {
            println!("{hosts}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
