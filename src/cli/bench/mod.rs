//! `alm bench`: algorithms against each other, and against the lower bound, over many sessions.
//!
//! Session i is drawn from (seed, i) alone, so that shards are parts of the whole; sessions are planned on all cores and
//! come out in order, the same bytes but for the times.

mod coords;
mod distribution;
mod growth;
mod merge;
mod parallel;
mod session;
mod summary;
mod table;

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;

use alm_planner::{Algorithm, Objective};
use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use self::session::{SessionLine, Trial};
use self::summary::{Summary, summaries};
use super::draw::{Choice, Degrees};
use super::error::{CliError, reason};
use super::matrix_args::MatrixArgs;
use super::session_args::SessionArgs;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    part: Option<Part>,

    #[command(flatten)]
    matrix: MatrixArgs,

    /// Members of a session, the root among them; several sizes separated by commas
    #[arg(long, value_name = "N", default_value = "20", value_delimiter = ',', value_parser = members)]
    group: Vec<usize>,

    /// How many sessions to draw, of each size
    #[arg(long, value_name = "N", default_value_t = 200)]
    sessions: u64,

    /// Which algorithms, separated by commas [default: all but exact; for forest, unicast and best]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    algorithms: Vec<Algorithm>,

    #[command(flatten)]
    session: SessionArgs,

    /// Seed of all draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Only every Nth session from the Ith on, I from 1 to N: shards together are the whole
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// Put shards together instead: files that --format json wrote
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["matrix", "list"])]
    merge: Vec<PathBuf>,

    /// List the algorithms instead
    #[arg(long)]
    list: bool,

    /// How many sessions to plan at a time [default: the number of cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// How to print the outcome
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Draw a chart: how far above the bound plans are; with several --group sizes, how much better than amcast
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example:
  $ alm bench --matrix pings.rtt --sessions 100 --algorithms amcast,critical+adjust,best --plot ratio.svg";

/// Benches of something else than algorithms.
#[derive(Debug, Subcommand)]
enum Part {
    /// How well coordinates predict round trips, and what their error costs a plan
    Coords(coords::Args),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A row an algorithm, to read
    Table,
    /// A line a session, then a summary
    Json,
    /// A row an algorithm, for spreadsheets
    Csv,
}

/// Part `index` of `count`, from 1.
#[derive(Clone, Copy, Debug)]
struct Shard {
    index: u64,
    count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err("name a shard as 1/4, 2/4, 3/4 or 4/4".to_owned()),
        }
    }
}

/// Runs or merges, and writes what is asked for.
pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    if let Some(Part::Coords(args)) = &args.part {
        return coords::run(args, out);
    }
    if args.list {
        return table::write_list(out).map_err(CliError::from_stdout);
    }
    let (format, plot) = (args.format, args.plot.clone());
    let is_fresh = args.merge.is_empty();
    let (matrix, lines) = if is_fresh {
        drawn(args, &mut |line| match format {
            Format::Json => write_line(line, out).map_err(CliError::from_stdout),
            Format::Table | Format::Csv => Ok(()),
        })?
    } else {
        let merged = merge::merge(&args.merge)?;
        (merged.matrix, merged.lines)
    };
    let objective = lines.first().map_or(Objective::Height, |line| line.objective);
    let summaries = summaries(&lines, &matrix, objective);
    // Of a fresh bench, the sessions' lines are out already.
    let rest = if is_fresh && format == Format::Json { &[][..] } else { &lines[..] };
    write(format, rest, &summaries, out).map_err(CliError::from_stdout)?;
    let Some(path) = plot else { return Ok(()) };
    let chart =
        if summaries.len() > 1 { growth::chart(&summaries) } else { distribution::chart(&lines, &summaries) };
    fs::write(&path, chart).map_err(|error| {
        CliError::failed(format_args!("cannot write the chart ({})", reason(&error)), path.display(), "")
    })
}

/// Draws and plans all sessions; `each` sees them in order as they are done.
fn drawn(
    args: Args,
    each: &mut dyn FnMut(&SessionLine) -> Result<(), CliError>,
) -> Result<(String, Vec<SessionLine>), CliError> {
    let latency = args.matrix.latency()?;
    let judge = args.matrix.judge(latency.nodes())?;
    let (effort, objective) = (args.session.effort(), args.session.objective);
    let file = args.matrix.file().to_owned();
    let world = args.session.resolve(latency, judge, &file, Some(Degrees::Paper), Choice::All)?;
    let algorithms = match (args.algorithms.is_empty(), objective) {
        (false, _) => args.algorithms,
        (true, Objective::Forest) => vec![Algorithm::Unicast, Algorithm::Best],
        (true, _) => Algorithm::ALL.iter().copied().filter(|name| *name != Algorithm::Exact).collect(),
    };
    let shard = args.shard.unwrap_or(Shard { index: 1, count: 1 });
    let numbers =
        (shard.index - 1..args.sessions).step_by(usize::try_from(shard.count).unwrap_or(usize::MAX));
    let mut jobs: Vec<(u64, usize)> =
        args.group.iter().flat_map(|&group| numbers.clone().map(move |number| (number, group))).collect();
    jobs.sort_by_key(|&(number, group)| (group, number));
    let trial = Trial { world: &world, algorithms: &algorithms, effort, seed: args.seed };
    let threads = args.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let lines = parallel::in_order(&jobs, threads, |&(number, group)| trial.run(number, group), each)?;
    let name = file.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok((name, lines))
}

fn write(
    format: Format,
    lines: &[SessionLine],
    summaries: &[Summary],
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Table => table::write(lines, summaries, out),
        Format::Csv => table::write_csv(lines, summaries, out),
        Format::Json => {
            lines.iter().try_for_each(|line| write_line(line, out))?;
            summaries.iter().try_for_each(|summary| write_line(summary, out))
        }
    }
}

/// One object in one line, at once.
fn write_line(object: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    writeln!(out)?;
    out.flush()
}

fn members(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|members| *members > 0)
        .ok_or_else(|| "use a number of members, such as 20".to_owned())
}
