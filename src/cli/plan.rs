//! `alm plan`: one session on a recorded latency matrix.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use alm_planner::{
    Algorithm, MovePrice, NodeIndex, Objective, Plan, Problem, backups, forest_backups, lower_bound,
};
use clap::ValueEnum;
use clap::builder::ArgPredicate;

use super::draw::{self, Choice, Purpose, draw, generator};
use super::error::{CliError, reason};
use super::installed;
use super::matrix_args::MatrixArgs;
use super::plan_output::{self, Answer, AnyBackups};
use super::planning::{Effort, timed_replan};
use super::session_args::{SessionArgs, World, too_many};
use super::units;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    matrix: MatrixArgs,

    /// The node at the top of the tree, a member [default: the first member]
    #[arg(long, value_name = "NODE")]
    root: Option<NodeIndex>,

    /// Members: a list as 1,5,9, or a number to draw as random:20
    #[arg(long, value_name = "NODES", value_parser = draw::members)]
    members: Choice,

    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    session: SessionArgs,

    /// How to plan: amcast, critical+adjust, best and others (see `alm bench --list`), or several separated by commas; for
    /// forest, best or unicast; for --protect, those that keep degrees
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "critical",
        default_value_ifs([
            ("objective", ArgPredicate::Equals("forest".into()), "best"),
            ("protect", ArgPredicate::Equals("true".into()), "best"),
            ("from", ArgPredicate::IsPresent, "best"),
        ]),
        value_delimiter = ','
    )]
    algorithm: Vec<Algorithm>,

    /// Plan from this plan, as --format json printed it for the session before it changed: moves a link only where that is
    /// worth it, and says how many moved
    #[arg(long, value_name = "PLAN.json", conflicts_with_all = ["latency", "probes"])]
    from: Option<PathBuf>,

    /// With --from, what moving a link must bring, as a share of what is made small
    #[arg(long, value_name = "SHARE", default_value = "0.4%", value_parser = units::share, requires = "from")]
    move_price: f64,

    /// Also name for every node the parent it goes to when its parent dies; in text and JSON, for one tree or a forest
    #[arg(long)]
    backups: bool,

    /// How to print the plan
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Write the plan to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Examples:
  $ alm plan --matrix pings.rtt --members random:20 --degrees paper --helpers all --algorithm amcast,best
  $ alm plan --matrix pings.rtt --members 3,5,9 --degrees paper --helpers all --from plan.json --backups

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
    /// A picture, the nodes where their latencies put them
    Svg,
}

/// What it means: a well-formed problem, and what to do with it.
#[derive(Debug)]
pub(super) struct Job {
    world: World,
    problem: Problem,
    /// The same session on the latencies that plans are judged on, if they are others.
    judge: Option<Problem>,
    algorithms: Vec<Algorithm>,
    /// The plan to start from, and what a link is worth.
    installed: Option<(Plan, MovePrice)>,
    backups: bool,
    effort: Effort,
    seed: u64,
    format: Format,
    out: Option<PathBuf>,
}

impl Args {
    /// Opens the files and checks the values.
    pub(super) fn resolve(self) -> Result<Job, CliError> {
        let latency = self.matrix.latency()?;
        let judge = self.matrix.judge(latency.nodes())?;
        let (effort, objective) = (self.session.effort(), self.session.objective);
        let nodes = latency.nodes();
        if self.backups && self.session.protect {
            let todo = "leave it out: the other tree is the backup";
            return Err(CliError::wrong("two trees need no backups", "--backups", todo));
        }
        if let (Some(_), Some(other)) =
            (&self.from, self.algorithm.iter().find(|name| **name != Algorithm::Best))
        {
            let what = format!("{other} does not plan from an installed plan");
            return Err(CliError::wrong(what, "--from", "use --algorithm best"));
        }
        let installed = match &self.from {
            Some(path) => Some(installed::read(path, nodes, objective)?),
            None => None,
        };
        let price = MovePrice { share: self.move_price, ..MovePrice::default() };
        let world = self.session.resolve(latency, judge, self.matrix.file(), None, Choice::None)?;
        let members = choose_members(&self.members, self.root, self.seed, &world.usable)?;
        let (problem, judge) = world.session(members, self.seed)?;
        let (algorithms, seed) = (self.algorithm, self.seed);
        let installed = installed.map(|plan| (plan, price));
        let (backups, format, out) = (self.backups, self.format, self.out);
        Ok(Job { world, problem, judge, algorithms, installed, backups, effort, seed, format, out })
    }
}

/// The members, the root first.
pub(super) fn choose_members(
    chosen: &Choice,
    root: Option<NodeIndex>,
    seed: u64,
    usable: &[NodeIndex],
) -> Result<Vec<NodeIndex>, CliError> {
    let mut members: Vec<NodeIndex> = root.into_iter().collect();
    match chosen {
        Choice::Random(count) => {
            let others: Vec<_> = usable.iter().copied().filter(|node| Some(*node) != root).collect();
            let left = others.len() + members.len();
            let drawn = draw(others, count - members.len(), &mut generator(seed, Purpose::Members));
            members.extend(drawn.ok_or_else(|| too_many("--members", *count, left))?);
        }
        Choice::Listed(listed) => {
            // The root may be listed, in any place; whoever else is listed twice is a mistake to report.
            let at_root = listed.iter().position(|node| Some(*node) == root);
            members.extend(
                listed.iter().enumerate().filter(|&(at, _)| Some(at) != at_root).map(|(_, node)| *node),
            );
        }
        Choice::All => members.extend(usable.iter().copied().filter(|node| Some(*node) != root)),
        Choice::None => {}
    }
    Ok(members)
}

/// Plans with each algorithm in turn.
pub(super) fn run(job: &Job, out: &mut dyn Write) -> Result<(), CliError> {
    let judge = job.judge.as_ref();
    let mut answers = Vec::new();
    for &algorithm in &job.algorithms {
        let (timed, moves) = match &job.installed {
            Some((plan, price)) => timed_replan(&job.problem, judge, (plan, *price), job.effort),
            None => (job.world.plan(&job.problem, judge, algorithm, job.effort), None),
        };
        let plan = timed.plan.map_err(|error| {
            CliError::failed(
                format_args!("{algorithm} finds no plan ({error})"),
                format_args!("root {}", job.problem.root()),
                plan_output::todo(&error),
            )
        })?;
        let backups = job.backups.then(|| match plan.objective {
            Objective::Forest => AnyBackups::Forest(forest_backups(&job.problem, &plan)),
            Objective::Height | Objective::Diameter => AnyBackups::Tree(backups(&job.problem, &plan)),
        });
        answers.push(Answer { algorithm, plan, elapsed: timed.elapsed, count: timed.count, moves, backups });
    }
    let problem = judge.unwrap_or(&job.problem);
    let bound = lower_bound(problem);
    let write = |out: &mut dyn Write| {
        answers
            .iter()
            .try_for_each(|answer| plan_output::write(job.format, problem, answer, bound, job.seed, out))
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
