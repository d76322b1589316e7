//! Planning time as a function of the number of members, for every algorithm: hosts in a plane, degrees by the seed's
//! law, no helpers; then 20 members with more and more helpers to choose from.
//!
//! Says for each step how the time grows: the exponent e of N^e between this size and the one before.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use alm_planner::{
    Algorithm, Directions, EXACT_NODES_MAX, LatencyMatrix, Missing, Plane, Problem, paper_degrees, plan,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use support::{Size, median, now};

/// Beyond, another step would take minutes.
const STEP_MAX: Duration = Duration::from_secs(4);

/// A session of the first `members` hosts, the others as helpers.
fn problem(members: usize, helpers: usize) -> Option<Problem> {
    let mut rng = StdRng::seed_from_u64(1);
    let trips = Plane::new(members + helpers).draw(&mut rng)?;
    let latency = LatencyMatrix::from_round_trips(&trips, Directions::Mean, Missing::Error).ok()?;
    let degrees = paper_degrees(members + helpers, &mut rng);
    let helpers = (members..members + helpers).collect();
    Problem::builder(latency, degrees, (0..members).collect()).helpers(helpers).build().ok()
}

/// Median seconds of a plan.
fn measured(problem: &Problem, algorithm: Algorithm, rounds: usize) -> Option<f64> {
    let mut seconds = Vec::new();
    for _ in 0..rounds {
        let started: Instant = now();
        black_box(plan(black_box(problem), algorithm)).ok()?;
        let took = now() - started;
        seconds.push(took.as_secs_f64());
        if took > STEP_MAX {
            break;
        }
    }
    Some(median(seconds))
}

/// One row an algorithm, one column a size.
fn table(what: &str, sizes: &[usize], rounds: usize, problem: impl Fn(usize) -> Option<Problem>) -> bool {
    let head: String = sizes.iter().map(|size| format!("{size:>18}")).collect();
    println!("\n{what:15}{head}");
    let problems: Vec<(usize, Problem)> =
        sizes.iter().filter_map(|&size| Some((size, problem(size)?))).collect();
    for &algorithm in Algorithm::ALL {
        let mut row = format!("{:15}", algorithm.name());
        let mut before: Option<(usize, f64)> = None;
        let mut gave_up = false;
        for (size, problem) in &problems {
            let too_long = before.is_some_and(|(_, seconds)| seconds > STEP_MAX.as_secs_f64() / 20.0);
            let skipped = gave_up || (*size > 200 && too_long);
            let seconds = if skipped { None } else { measured(problem, algorithm, rounds) };
            match seconds {
                None => {
                    gave_up = true;
                    row.push_str(&format!("{:>18}", "-"));
                }
                Some(seconds) => {
                    let grown = before.map_or(String::new(), |(less, least)| {
                        format!("N^{:.1}", (seconds / least).ln() / (*size as f64 / less as f64).ln())
                    });
                    row.push_str(&format!("{:>11}{grown:>7}", time(seconds)));
                    before = Some((*size, seconds));
                }
            }
        }
        println!("{row}");
    }
    problems.len() == sizes.len()
}

fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 1e-3 => format!("{:.1} us", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

fn main() -> ExitCode {
    let Some(size) = Size::from_args("plan") else { return ExitCode::SUCCESS };
    println!("{}", size.headline("plan"));
    let members: &[usize] = match size {
        Size::Smoke => &[5, 10],
        Size::Normal => &[EXACT_NODES_MAX, 50, 200, 1000],
        Size::Full => &[EXACT_NODES_MAX, 50, 200, 1000, 4000],
    };
    let helpers: &[usize] = size.pick(&[5, 10], &[50, 200, 1000]);
    let rounds = size.pick(1, 5);
    let done = table("members", members, rounds, |members| problem(members, 0));
    let rest = table("helpers of 20", helpers, rounds, |helpers| problem(size.pick(5, 20), helpers));
    if done && rest { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
