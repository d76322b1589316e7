//! `alm sim pool`: a pool of simulated nodes, and how its ring holds.

use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use alm_planner::{Directions, LatencyMatrix, Missing, TransitStub};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::cli::error::CliError;
use crate::cli::matrix_file::read_matrix;
use crate::cli::units;
use crate::cli::uplinks::columns;
use crate::pool::ring::RingConfig;
use crate::pool::somo::{Fanout, Gather, SomoConfig};
use crate::sim::{Distances, Line, Outcome, Scenario, simulate};

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Nodes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    nodes: u32,

    /// Recorded round trips; rows are given out in turn
    #[arg(long, value_name = "FILE", conflicts_with = "topology")]
    matrix: Option<PathBuf>,

    /// A made-up network, when there is no recorded one
    #[arg(long, value_enum, default_value_t = Topology::TransitStub, value_name = "NAME")]
    topology: Topology,

    /// Neighbours on the ring that each node knows, both sides together
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=64))]
    leafset: u32,

    /// Children of a point of SOMO's tree: even, 2 to 64
    #[arg(long, value_name = "K", default_value = "8", value_parser = fanout)]
    fanout: Fanout,

    /// Between two reports of a node, or two calls of the root
    #[arg(long, value_name = "T", default_value = "5s", value_parser = units::duration)]
    report_interval: Duration,

    /// How reports are gathered: each node in its own rhythm, or by a call from the root
    #[arg(long, value_enum, default_value_t = Mode::Periodic, value_name = "MODE")]
    gather: Mode,

    /// Mean of exponential session lengths; for each node that crashes another one joins
    #[arg(long, value_name = "MEAN_SESSION", value_parser = units::duration)]
    churn: Option<Duration>,

    /// Share of messages that are lost
    #[arg(long, value_name = "P", default_value = "0", value_parser = units::share)]
    loss: f64,

    /// A share of all nodes that crashes at once, and when
    #[arg(long, value_name = "SHARE@T")]
    crash: Option<Crash>,

    /// A share of all nodes that is cut off, from when to when
    #[arg(long, value_name = "SHARE@T..T")]
    partition: Option<Partition>,

    /// Objects read a second in the whole pool; with any, each node owns one and changes it now and then
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    reads: f64,

    /// Recorded access lines (columns up_mbit and down_mbit): each node draws one, and measures it
    #[arg(long, value_name = "FILE.csv")]
    access: Option<PathBuf>,

    /// Share of nodes that lie: they drop, misroute, answer for keys that are not theirs, and say wrong things of the pool;
    /// lookups are careful then, and somebody honest asks for helpers every second
    #[arg(long, value_name = "P", default_value = "0", value_parser = units::share)]
    malicious: f64,

    /// Lookups a second in the whole pool [default: one for every 100 nodes]
    #[arg(long, value_name = "RATE")]
    lookups: Option<f64>,

    /// How long the pool is watched once all have joined
    #[arg(long, value_name = "T", default_value = "10m", value_parser = units::duration)]
    duration: Duration,

    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How the outcome is written
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
}

const EXAMPLE: &str = "\
Example:
  $ alm sim pool --nodes 1000 --churn 30m --duration 2m";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Topology {
    /// A two-level Internet of 600 routers
    TransitStub,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Each node in its own rhythm
    Periodic,
    /// By a call that runs down the tree at once
    Call,
}

fn fanout(text: &str) -> Result<Fanout, String> {
    let children = text.parse().ok().and_then(Fanout::new);
    children.ok_or_else(|| "a fan-out is an even number from 2 to 64".to_owned())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One object
    Json,
}

/// `50%@60s`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Crash(f64, Duration);

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (share, at) = text.split_once('@').ok_or("use a share and a time, such as 50%@60s")?;
        Ok(Self(units::share(share)?, units::duration(at)?))
    }
}

/// `30%@60s..90s`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Partition(f64, Duration, Duration);

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let what = "use a share and two times, such as 30%@60s..90s";
        let (share, times) = text.split_once('@').ok_or(what)?;
        let (from, to) = times.split_once("..").ok_or(what)?;
        let (from, to) = (units::duration(from)?, units::duration(to)?);
        if from >= to {
            return Err("a partition ends after it begins".to_owned());
        }
        Ok(Self(units::share(share)?, from, to))
    }
}

/// The contract's object.
#[derive(Serialize)]
struct Json {
    nodes: usize,
    seed: u64,
    hops_mean: Option<f64>,
    hops_p99: Option<u8>,
    stretch_mean: Option<f64>,
    lookups: u64,
    lost: u64,
    wrong: u64,
    reads: Option<u64>,
    reads_lost: Option<u64>,
    reads_stale: Option<u64>,
    queries: Option<u64>,
    queries_lost: Option<u64>,
    queries_honest: Option<f64>,
    lookup_messages: Option<f64>,
    messages_per_node_s: f64,
    bytes_per_node_s: f64,
    somo_height: Option<u32>,
    view_age_ms_p50: Option<f64>,
    view_age_ms_p99: Option<f64>,
    view_complete: Option<f64>,
    root_report_bytes: Option<u64>,
    coord_error_p50: Option<f64>,
    coord_error_p90: Option<f64>,
    vivaldi_error_p50: Option<f64>,
    vivaldi_error_p90: Option<f64>,
    bandwidth_error_p50: Option<f64>,
    bandwidth_error_p90: Option<f64>,
    downlink_error_p50: Option<f64>,
    downlink_error_p90: Option<f64>,
    root_rank: Option<f64>,
    roots: usize,
    heal_s: Option<f64>,
    view_heal_s: Option<f64>,
}

/// What it means.
pub(super) struct Job {
    scenario: Scenario,
    distances: Distances,
    format: Format,
}

/// Reports that follow each other more closely would still be on their way.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Hosts of the made-up network: as many as the seed's experiments have.
const HOSTS_MAX: usize = 1_200;

impl Args {
    pub(super) fn resolve(self) -> Result<Job, CliError> {
        let nodes = self.nodes as usize;
        let matrix = match &self.matrix {
            Some(path) => read_matrix(path, None, None, Directions::Mean, Missing::ShortestPath)?,
            None => made_up(nodes.min(HOSTS_MAX), self.seed)?,
        };
        let lookups_per_s = self.lookups.unwrap_or(nodes as f64 / 100.0);
        if !(0.0..=1e6).contains(&lookups_per_s) {
            let todo = "use 0 to 1000000 a second";
            return Err(CliError::wrong(
                "no such rate of lookups",
                format!("--lookups {lookups_per_s}"),
                todo,
            ));
        }
        if self.report_interval < INTERVAL_MIN {
            let todo = "use 100ms or more";
            return Err(CliError::wrong(
                "reports would follow each other too closely",
                "--report-interval",
                todo,
            ));
        }
        let gather = match self.gather {
            Mode::Periodic => Gather::Periodic,
            Mode::Call => Gather::Call,
        };
        if !(0.0..=1e6).contains(&self.reads) {
            let todo = "use 0 to 1000000 a second";
            return Err(CliError::wrong("no such rate of reads", format!("--reads {}", self.reads), todo));
        }
        let scenario = Scenario {
            nodes,
            ring: RingConfig { side: (self.leafset as usize).div_ceil(2), ..RingConfig::default() },
            somo: SomoConfig { fanout: self.fanout, interval: self.report_interval, gather },
            churn: self.churn.filter(|mean| !mean.is_zero()),
            loss: self.loss,
            crash: self.crash.map(|Crash(share, at)| (share, at)),
            partition: self.partition.map(|Partition(share, from, to)| (share, from, to)),
            reads_per_s: self.reads,
            lines: self.access.as_deref().map(lines).transpose()?.unwrap_or_default(),
            malicious: self.malicious,
            lookups_per_s,
            duration: self.duration,
            seed: self.seed,
        };
        let distances = Distances::new(&matrix, nodes, self.seed);
        Ok(Job { scenario, distances, format: self.format })
    }
}

/// Lines whose rates are both known and not zero.
fn lines(path: &Path) -> Result<Vec<Line>, CliError> {
    let [ups, downs] = columns(path, ["up_mbit", "down_mbit"])?;
    let both = ups.into_iter().zip(downs).filter(|(up, down)| *up > 0.0 && *down > 0.0);
    let lines: Vec<Line> = both.map(|(up, down)| Line { up: up * 1e3, down: down * 1e3 }).collect();
    if lines.is_empty() {
        return Err(CliError::wrong("no line has a rate up and down", path.display(), ""));
    }
    Ok(lines)
}

fn made_up(hosts: usize, seed: u64) -> Result<LatencyMatrix, CliError> {
    let drawn = TransitStub::new(hosts).draw(&mut StdRng::seed_from_u64(seed));
    let matrix = drawn.and_then(|trips| {
        LatencyMatrix::from_round_trips(&trips, Directions::Mean, Missing::ShortestPath).ok()
    });
    matrix.ok_or_else(|| {
        CliError::failed("the made-up network has no latencies", "--topology", "give a --matrix")
    })
}

/// In smaller pools less happens at a time than it costs to share.
const WORTH_THREADS: usize = 20_000;

/// Runs the simulation and writes what came of it.
pub(super) fn run(job: &Job, out: &mut dyn Write) -> Result<(), CliError> {
    let watch = Stopwatch::start();
    let bar = bar();
    let large = job.scenario.nodes >= WORTH_THREADS;
    let threads = if large { available_parallelism().map_or(1, NonZero::get) } else { 1 };
    let progress = |share: f64| bar.set_position((share * 1_000.0) as u64);
    let outcome = simulate(&job.scenario, &job.distances, threads, progress);
    bar.finish_and_clear();
    watch.report(&outcome, job.scenario.nodes);
    let json = json(job, &outcome);
    let written = match job.format {
        Format::Json => {
            let line = serde_json::to_string(&json).map_err(|error| CliError::failed(error, "", ""))?;
            writeln!(out, "{line}")
        }
        Format::Table => table(&json, out),
    };
    written.map_err(CliError::from_stdout)
}

fn json(job: &Job, outcome: &Outcome) -> Json {
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    let exercised = job.scenario.reads_per_s > 0.0;
    Json {
        nodes: job.scenario.nodes,
        seed: job.scenario.seed,
        hops_mean: outcome.hops_mean.map(rounded),
        hops_p99: outcome.hops_p99,
        stretch_mean: outcome.stretch_mean.map(rounded),
        lookups: outcome.lookups,
        lost: outcome.lost,
        wrong: outcome.wrong,
        reads: exercised.then_some(outcome.reads),
        reads_lost: exercised.then_some(outcome.reads_lost),
        reads_stale: exercised.then_some(outcome.reads_stale),
        queries: (outcome.queries > 0).then_some(outcome.queries),
        queries_lost: (outcome.queries > 0).then_some(outcome.queries_lost),
        queries_honest: outcome.queries_honest.map(rounded),
        lookup_messages: outcome.lookup_messages.map(rounded),
        messages_per_node_s: rounded(outcome.messages_per_node_s),
        bytes_per_node_s: rounded(outcome.bytes_per_node_s),
        somo_height: outcome.somo_height,
        view_age_ms_p50: outcome.view_age_ms_p50.map(rounded),
        view_age_ms_p99: outcome.view_age_ms_p99.map(rounded),
        view_complete: outcome.view_complete.map(rounded),
        root_report_bytes: outcome.root_report_bytes,
        coord_error_p50: outcome.coord_error_p50.map(rounded),
        coord_error_p90: outcome.coord_error_p90.map(rounded),
        vivaldi_error_p50: outcome.vivaldi_error_p50.map(rounded),
        vivaldi_error_p90: outcome.vivaldi_error_p90.map(rounded),
        bandwidth_error_p50: outcome.bandwidth_error_p50.map(rounded),
        bandwidth_error_p90: outcome.bandwidth_error_p90.map(rounded),
        downlink_error_p50: outcome.downlink_error_p50.map(rounded),
        downlink_error_p90: outcome.downlink_error_p90.map(rounded),
        root_rank: outcome.root_rank.map(rounded),
        roots: outcome.roots,
        heal_s: outcome.heal_s.map(rounded),
        view_heal_s: outcome.view_heal_s.map(rounded),
    }
}

fn table(json: &Json, out: &mut dyn Write) -> std::io::Result<()> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(json) else { return Ok(()) };
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        writeln!(out, "{name:<22} {value}")?;
    }
    Ok(())
}

/// On stderr if that is a terminal, else nothing.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1_000), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{bar:40} {percent} %, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What the simulation itself took: that goes to stderr, for it is never the same twice.
struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "it measures the program, not the simulation")]
    fn start() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "the contract wants it there")]
    fn report(&self, outcome: &Outcome, nodes: usize) {
        let took = self.0.elapsed().as_secs_f64();
        let memory = memory_peak_kib().map_or(String::new(), |kib| {
            format!(", {:.0} MiB, {:.1} KiB a node", kib / 1024.0, kib / nodes as f64)
        });
        eprintln!(
            "{took:.1} s{memory}; {} events, {:.0} s of joining, {:.1} nodes known to each",
            outcome.events,
            outcome.joined_after.as_secs_f64(),
            outcome.known_mean
        );
    }
}

/// The most memory that this process had, where the system says so.
fn memory_peak_kib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_and_partitions_are_shares_and_times() {
        assert_eq!("50%@60s".parse(), Ok(Crash(0.5, Duration::from_secs(60))));
        let partition = Partition(0.3, Duration::from_secs(60), Duration::from_secs(90));
        assert_eq!("0.3@60s..90s".parse(), Ok(partition));
        for bad in ["", "50%", "@5s", "2@5s", "50%@5"] {
            assert!(bad.parse::<Crash>().is_err(), "{bad}");
        }
        for bad in ["", "30%@5s", "30%@5s..5s", "30%@9s..5s", "x@1s..2s"] {
            assert!(bad.parse::<Partition>().is_err(), "{bad}");
        }
    }
}
