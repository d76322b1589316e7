//! `alm plan`: one session on a recorded latency matrix.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alm_planner::{
    Algorithm, Budget, Degree, Directions, LatencyError, LatencyMatrix, MatrixFormat, Missing, NodeIndex,
    Objective, OneWay, Plan, PlanError, Problem, ProblemError, lower_bound, paper_degrees, parse_matrix,
    plan, plan_best,
};
use clap::ValueEnum;

use super::draw::{self, Choice, Degrees, Purpose, draw, generator};
use super::error::{CliError, reason};
use super::plan_output::{self, Answer};
use super::units;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Recorded round trips
    #[arg(long, value_name = "FILE")]
    matrix: PathBuf,

    /// How the matrix is written: rtt, p2psim or csv [default: by its content]
    #[arg(long, value_name = "FORMAT")]
    matrix_format: Option<MatrixFormat>,

    /// Which slice of the matrix, by its number [default: the first]
    #[arg(long, value_name = "K")]
    slice: Option<u32>,

    /// Keep the two directions of a pair apart, instead of taking their mean
    #[arg(long)]
    directed: bool,

    /// What to do about pairs that nobody measured
    #[arg(long, value_enum, default_value_t = MissingPairs::ShortestPath, value_name = "POLICY")]
    missing: MissingPairs,

    /// The node at the top of the tree, a member [default: the first member]
    #[arg(long, value_name = "NODE")]
    root: Option<NodeIndex>,

    /// Members: a list as 1,5,9, or a number to draw as random:20
    #[arg(long, value_name = "NODES", value_parser = draw::members)]
    members: Choice,

    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Links that each node can carry: uniform:4, paper, or a file with one integer a line
    #[arg(long, value_name = "DEGREES")]
    degrees: Degrees,

    /// Nodes that may help: all, none, random:200, or a list as 2,3,4
    #[arg(long, value_name = "NODES", default_value = "none")]
    helpers: Choice,

    /// Least degree of a helper
    #[arg(long, value_name = "DEGREE", default_value_t = 4)]
    helper_min_degree: u32,

    /// How far a helper may be from its parent, one way: a duration, or none
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = radius)]
    radius: Radius,

    /// Most helpers that the plan may use [default: no limit]
    #[arg(long, value_name = "K")]
    max_helpers: Option<usize>,

    /// What to make small: height or diameter
    #[arg(long, value_name = "OBJECTIVE", default_value = "height", value_parser = objective)]
    objective: Objective,

    /// How to plan: amcast, critical+adjust, best and others, or several separated by commas
    #[arg(long, value_name = "NAMES", default_value = "critical", value_delimiter = ',')]
    algorithm: Vec<Algorithm>,

    /// How long `best` may search: a duration, as 20ms [default: a number of moves]
    #[arg(long, value_name = "DURATION", value_parser = units::duration, conflicts_with = "moves")]
    budget: Option<Duration>,

    /// How many moves `best` may look at, which makes its plan reproducible [default: 5000 a member]
    #[arg(long, value_name = "N")]
    moves: Option<u64>,

    /// What each hop costs beside its latency, in planning
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = one_way)]
    hop_cost: OneWay,

    /// Pairs of nodes that cannot talk to each other, one `i j` a line
    #[arg(long, value_name = "FILE")]
    forbid: Option<PathBuf>,

    /// How to print the plan
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Write the plan to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example:
  $ alm plan --matrix pings.rtt --members random:20 --degrees paper --helpers all --algorithm amcast,best

Flags may also be set as ALM_MATRIX and so on in the environment, or by name in the configuration file.";

/// How to print a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One object a line
    Json,
    /// A tree to read
    Text,
    /// For graphviz
    Dot,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MissingPairs {
    /// The shortest path over measured pairs
    ShortestPath,
    /// Leave out the nodes with the most such pairs
    DropNodes,
    /// Refuse the matrix
    Error,
}

/// A helper's radius; a type of its own because clap reads `Option` as "may be absent".
#[derive(Clone, Copy, Debug)]
struct Radius(Option<OneWay>);

/// What it means: a well-formed problem, and what to do with it.
#[derive(Debug)]
pub(super) struct Job {
    problem: Problem,
    algorithms: Vec<Algorithm>,
    budget: Option<Duration>,
    moves: Option<u64>,
    seed: u64,
    format: Format,
    out: Option<PathBuf>,
}

impl Args {
    /// Opens the files and checks the values.
    pub(super) fn resolve(self) -> Result<Job, CliError> {
        let latency = self.read_latency()?;
        let nodes = latency.nodes();
        let usable: Vec<NodeIndex> =
            (0..nodes).filter(|node| latency.dropped().binary_search(node).is_err()).collect();
        let members = self.choose_members(&usable)?;
        let degrees = match &self.degrees {
            Degrees::Uniform(degree) => vec![Degree(*degree); nodes],
            Degrees::Paper => paper_degrees(nodes, &mut generator(self.seed, Purpose::Degrees)),
            Degrees::File(path) => read_degrees(path)?,
        };
        let others: Vec<NodeIndex> = usable.into_iter().filter(|node| !members.contains(node)).collect();
        let helpers = match self.helpers {
            Choice::All => others,
            Choice::None => Vec::new(),
            Choice::Random(count) => {
                let left = others.len();
                draw(others, count, &mut generator(self.seed, Purpose::Helpers))
                    .ok_or_else(|| too_many("--helpers", count, left))?
            }
            Choice::Listed(listed) => listed.into_iter().filter(|node| !members.contains(node)).collect(),
        };
        let forbidden = self.forbid.as_deref().map_or(Ok(Vec::new()), read_pairs)?;
        let problem = Problem::builder(latency, degrees, members)
            .helpers(helpers)
            .objective(self.objective)
            .forbid(forbidden)
            .hop_cost(self.hop_cost)
            .helper_min_degree(self.helper_min_degree)
            .radius(self.radius.0)
            .max_helpers(self.max_helpers)
            .seed(self.seed)
            .build()
            .map_err(|error| {
                let matrix = self.matrix.display().to_string();
                let (place, todo) = match (&error, &self.degrees) {
                    (ProblemError::DuplicateMember(_), _) => ("--members".to_owned(), "list each node once"),
                    (ProblemError::DuplicateHelper(_), _) => ("--helpers".to_owned(), "list each node once"),
                    (ProblemError::Degrees { .. }, Degrees::File(path)) => {
                        (path.display().to_string(), "give one integer a line, for every row of the matrix")
                    }
                    _ => (matrix, "nodes are the rows of the matrix, counted from 0"),
                };
                CliError::wrong(error, place, todo)
            })?;
        Ok(Job {
            problem,
            algorithms: self.algorithm,
            budget: self.budget,
            moves: self.moves,
            seed: self.seed,
            format: self.format,
            out: self.out,
        })
    }

    fn read_latency(&self) -> Result<LatencyMatrix, CliError> {
        let text = read(&self.matrix)?;
        let trips = parse_matrix(&text, self.matrix_format, self.slice).map_err(|error| {
            let place = format!("{}:{}", self.matrix.display(), error.line);
            CliError::wrong(error, place, "give N rows of N round trips in milliseconds")
        })?;
        let directions = if self.directed { Directions::Apart } else { Directions::Mean };
        let missing = match self.missing {
            MissingPairs::ShortestPath => Missing::ShortestPath,
            MissingPairs::DropNodes => Missing::DropNodes,
            MissingPairs::Error => Missing::Error,
        };
        LatencyMatrix::from_round_trips(&trips, directions, missing).map_err(|error| {
            let todo = match error {
                LatencyError::Hole(..) => "fill holes with --missing shortest-path",
                LatencyError::Disconnected(..) => "leave nodes out with --missing drop-nodes",
            };
            CliError::wrong(error, self.matrix.display(), todo)
        })
    }

    /// The members, the root first.
    fn choose_members(&self, usable: &[NodeIndex]) -> Result<Vec<NodeIndex>, CliError> {
        let mut members: Vec<NodeIndex> = self.root.into_iter().collect();
        match &self.members {
            Choice::Random(count) => {
                let others: Vec<_> = usable.iter().copied().filter(|node| Some(*node) != self.root).collect();
                let left = others.len() + members.len();
                let drawn = draw(others, count - members.len(), &mut generator(self.seed, Purpose::Members));
                members.extend(drawn.ok_or_else(|| too_many("--members", *count, left))?);
            }
            Choice::Listed(listed) => {
                // The root may be listed, in any place; whoever else is listed twice is a mistake to report.
                let at_root = listed.iter().position(|node| Some(*node) == self.root);
                members.extend(
                    listed.iter().enumerate().filter(|&(at, _)| Some(at) != at_root).map(|(_, node)| *node),
                );
            }
            Choice::All => members.extend(usable.iter().copied().filter(|node| Some(*node) != self.root)),
            Choice::None => {}
        }
        Ok(members)
    }
}

impl Job {
    /// Plans with `algorithm`, which started to count at `started`.
    fn plan(&self, algorithm: Algorithm, started: Instant) -> Result<Plan, PlanError> {
        match (algorithm, self.moves, self.budget) {
            (Algorithm::Best, Some(moves), _) => plan_best(&self.problem, Budget::Moves(moves)),
            (Algorithm::Best, None, Some(budget)) => {
                #[expect(clippy::disallowed_methods, reason = "the budget is a time")]
                let mut spent = || started.elapsed().as_secs_f64() / budget.as_secs_f64().max(1e-9);
                plan_best(&self.problem, Budget::Share(&mut spent))
            }
            _ => plan(&self.problem, algorithm),
        }
    }
}

/// Plans with each algorithm in turn.
pub(super) fn run(job: &Job, out: &mut dyn Write) -> Result<(), CliError> {
    let mut answers = Vec::new();
    for &algorithm in &job.algorithms {
        #[expect(clippy::disallowed_methods, reason = "the time that planning takes is part of the answer")]
        let started = Instant::now();
        let planned = job.plan(algorithm, started);
        #[expect(clippy::disallowed_methods, reason = "the time that planning takes is part of the answer")]
        let elapsed = started.elapsed();
        let plan = planned.map_err(|error| {
            CliError::failed(
                format_args!("{algorithm} finds no plan ({error})"),
                format_args!("root {}", job.problem.root()),
                "raise --degrees or allow --helpers",
            )
        })?;
        answers.push(Answer { algorithm, plan, elapsed });
    }
    let bound = lower_bound(&job.problem);
    let write = |out: &mut dyn Write| {
        answers
            .iter()
            .try_for_each(|answer| plan_output::write(job.format, &job.problem, answer, bound, job.seed, out))
    };
    let Some(path) = &job.out else { return write(out).map_err(CliError::from_stdout) };
    File::create(path)
        .and_then(|file| {
            let mut file = BufWriter::new(file);
            write(&mut file)?;
            file.flush()
        })
        .map_err(|error| {
            CliError::failed(format_args!("cannot write the plan ({})", reason(&error)), path.display(), "")
        })
}

fn too_many(flag: &str, count: usize, left: usize) -> CliError {
    CliError::wrong(
        format_args!("there are only {left} nodes to draw from"),
        format_args!("{flag} random:{count}"),
        "draw fewer",
    )
}

fn read(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|error| {
        CliError::wrong(format_args!("cannot read the file ({})", reason(&error)), path.display(), "")
    })
}

fn read_degrees(path: &Path) -> Result<Vec<Degree>, CliError> {
    let degree = |(line, text): (usize, &str)| {
        text.parse().map(Degree).map_err(|_| {
            let place = format!("{}:{line}", path.display());
            CliError::wrong(format_args!("'{text}' is not a degree"), place, "give one integer a line")
        })
    };
    data_lines(&read(path)?).map(degree).collect()
}

fn read_pairs(path: &Path) -> Result<Vec<(NodeIndex, NodeIndex)>, CliError> {
    let pair = |(line, text): (usize, &str)| {
        let nodes: Option<Vec<NodeIndex>> = text.split_whitespace().map(|node| node.parse().ok()).collect();
        match nodes.as_deref() {
            Some(&[a, b]) => Ok((a, b)),
            _ => {
                let place = format!("{}:{line}", path.display());
                Err(CliError::wrong(format_args!("'{text}' is not a pair"), place, "give two nodes a line"))
            }
        }
    };
    data_lines(&read(path)?).map(pair).collect()
}

/// Lines with their numbers, without blank lines and comments.
fn data_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (text.lines().enumerate())
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn objective(text: &str) -> Result<Objective, String> {
    match text.parse() {
        Ok(Objective::Forest) => Err("forest is not built; use height or diameter".to_owned()),
        Ok(objective) => Ok(objective),
        Err(_) => Err("use height or diameter".to_owned()),
    }
}

fn one_way(text: &str) -> Result<OneWay, String> {
    let duration = units::duration(text)?;
    OneWay::from_ms(duration.as_secs_f64() * 1000.0).ok_or_else(|| "the duration is too long".to_owned())
}

fn radius(text: &str) -> Result<Radius, String> {
    if text == "none" { Ok(Radius(None)) } else { one_way(text).map(|radius| Radius(Some(radius))) }
}
