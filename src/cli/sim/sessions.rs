//! `alm sim sessions`: the seed's experiment on the market of sessions.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use alm_planner::market::{Experiment, Outcome, simulate};
use alm_planner::{
    Algorithm, Budget, Degree, Directions, LatencyMatrix, Missing, Plan, PlanError, Problem, paper_degrees,
    plan, plan_best,
};
use clap::ValueEnum;
use serde::Serialize;

use crate::cli::draw::{Degrees, Purpose, generator};
use crate::cli::error::CliError;
use crate::cli::input;
use crate::cli::matrix_file::read_matrix;
use crate::cli::progress::share_bar;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Recorded round trips
    #[arg(long, value_name = "FILE")]
    matrix: PathBuf,

    /// Sessions at once: a number, or a range as 10..60, tried in steps of 10
    #[arg(long, value_name = "N|A..B")]
    sessions: Counts,

    /// Members of each session; no node is a member of two
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    members: u32,

    /// Links that each node can carry: uniform:4, paper, or a file with one integer a line
    #[arg(long, value_name = "DEGREES", default_value = "paper")]
    degrees: Degrees,

    /// What the sessions plan with
    #[arg(long, value_name = "NAME", default_value = "best")]
    algorithm: Algorithm,

    /// How many moves `best` may look at for one plan
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    moves: u64,

    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How the outcome is written
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
}

const EXAMPLE: &str = "\
Example:
  $ alm gen transit-stub --hosts 1200 --seed 1 --out ts1200.rtt
  $ alm sim sessions --matrix ts1200.rtt --sessions 10..60";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One object a line for each number of sessions
    Json,
}

/// How many sessions at once, each tried by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts(Vec<usize>);

/// Steps of a range.
const STEP: usize = 10;
/// More sessions than any matrix has members for.
const SESSIONS_MAX: usize = 10_000;

impl FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "use a number such as 60, or a range such as 10..60".to_owned();
        let number = |text: &str| {
            text.parse::<usize>().ok().filter(|n| (1..=SESSIONS_MAX).contains(n)).ok_or_else(wrong)
        };
        match text.split_once("..") {
            None => Ok(Self(vec![number(text)?])),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                let counts: Vec<usize> = (first..=last).step_by(STEP).collect();
                if counts.is_empty() { Err(wrong()) } else { Ok(Self(counts)) }
            }
        }
    }
}

/// What it means.
pub(super) struct Job {
    latency: Arc<LatencyMatrix>,
    degrees: Vec<Degree>,
    counts: Vec<usize>,
    members: usize,
    algorithm: Algorithm,
    moves: u64,
    seed: u64,
    format: Format,
}

impl Args {
    pub(super) fn resolve(self) -> Result<Job, CliError> {
        let latency = read_matrix(&self.matrix, None, None, Directions::Mean, Missing::ShortestPath)?;
        let nodes = latency.nodes();
        let degrees = match &self.degrees {
            Degrees::Uniform(degree) => vec![Degree(*degree); nodes],
            Degrees::Paper => paper_degrees(nodes, &mut generator(self.seed, Purpose::Degrees)),
            Degrees::File(path) => {
                let degrees = input::degrees(path)?;
                if degrees.len() != nodes {
                    let what = format!("{} degrees are given for {nodes} nodes", degrees.len());
                    return Err(CliError::wrong(what, path.display(), "give one a node"));
                }
                degrees
            }
        };
        let members = self.members as usize;
        let needed = self.sessions.0.iter().max().map_or(0, |most| most * members);
        if needed > nodes - latency.dropped().len() {
            let what = format!("there are only {nodes} nodes, and {needed} members");
            return Err(CliError::wrong(what, "--sessions", "have fewer sessions, or smaller ones"));
        }
        Ok(Job {
            latency: Arc::new(latency),
            degrees,
            counts: self.sessions.0,
            members,
            algorithm: self.algorithm,
            moves: self.moves,
            seed: self.seed,
            format: self.format,
        })
    }
}

/// The contract's object.
#[derive(Serialize)]
struct Json {
    sessions: usize,
    by_priority: Vec<PriorityJson>,
    plans_per_session: f64,
    preemptions: u64,
    unplanned: usize,
}

#[derive(Serialize)]
struct PriorityJson {
    priority: u8,
    improvement: f64,
    helpers: f64,
    lower_bound: f64,
    upper_bound: f64,
}

/// Runs one experiment for each number of sessions.
pub(super) fn run(job: &Job, out: &mut dyn Write) -> Result<(), CliError> {
    if matches!(job.format, Format::Table) {
        writeln!(out, "{HEAD}").map_err(CliError::from_stdout)?;
    }
    for count in &job.counts {
        let experiment = Experiment { sessions: *count, members: job.members, seed: job.seed };
        let planner = |problem: &Problem| job.plan(problem);
        let bar = share_bar(&format!("a market of {count}"));
        let progress = |share: f64| bar.set_position((share * 1000.0) as u64);
        let outcome = simulate(&experiment, &job.latency, &job.degrees, planner, progress)
            .map_err(|error| CliError::failed(error, "--sessions", "have fewer sessions, or smaller ones"))?;
        bar.finish_and_clear();
        let written = match job.format {
            Format::Json => {
                let line = serde_json::to_string(&json(&outcome))
                    .map_err(|error| CliError::failed(error, "", ""))?;
                writeln!(out, "{line}")
            }
            Format::Table => table(&outcome, out),
        };
        written.map_err(CliError::from_stdout)?;
    }
    Ok(())
}

impl Job {
    fn plan(&self, problem: &Problem) -> Result<Plan, PlanError> {
        match self.algorithm {
            Algorithm::Best => plan_best(problem, Budget::Moves(self.moves)),
            other => plan(problem, other),
        }
    }
}

const HEAD: &str = "\
sessions  priority  shorter by  alone, with members only  alone, with the whole pool  helpers  plans  lost nodes  unplanned";

fn table(outcome: &Outcome, out: &mut dyn Write) -> std::io::Result<()> {
    for (i, one) in outcome.by_priority.iter().enumerate() {
        let whole = if i == 0 { outcome.sessions.to_string() } else { String::new() };
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        write!(
            out,
            "{whole:>8}  {:>8}  {:>10}  {:>24}  {:>26}  {:>7.1}",
            one.priority,
            percent(one.improvement),
            percent(one.lower_bound),
            percent(one.upper_bound),
            one.helpers
        )?;
        if i == 0 {
            let Outcome { plans_per_session, preemptions, unplanned, .. } = outcome;
            write!(out, "  {plans_per_session:>5.1}  {preemptions:>10}  {unplanned:>9}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn json(outcome: &Outcome) -> Json {
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    let by_priority = outcome.by_priority.iter().map(|one| PriorityJson {
        priority: one.priority,
        improvement: rounded(one.improvement),
        helpers: rounded(one.helpers),
        lower_bound: rounded(one.lower_bound),
        upper_bound: rounded(one.upper_bound),
    });
    Json {
        sessions: outcome.sessions,
        by_priority: by_priority.collect(),
        plans_per_session: rounded(outcome.plans_per_session),
        preemptions: outcome.preemptions,
        unplanned: outcome.unplanned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_a_number_or_a_range() {
        assert_eq!("60".parse(), Ok(Counts(vec![60])));
        assert_eq!("10..35".parse(), Ok(Counts(vec![10, 20, 30])));
        for bad in ["", "0", "x", "9..1", "1..", "..", "1..99999"] {
            assert!(bad.parse::<Counts>().is_err(), "{bad}");
        }
    }
}
