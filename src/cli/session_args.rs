//! The flags that say what a session may use and what its plan shall be like, shared by the offline commands.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alm_planner::{
    Algorithm, Degree, LatencyMatrix, NodeIndex, Objective, OneWay, Problem, ProblemError, paper_degrees,
};

use super::coords::{Coords, Source};
use super::draw::{Choice, Degrees, Purpose, draw, generator};
use super::error::CliError;
use super::input;
use super::planning::{Effort, Timed, timed_plan};
use super::units;
use super::uplinks::{self, Uplinks};

/// What was typed.
#[derive(Debug, clap::Args)]
pub(super) struct SessionArgs {
    /// Links that each node can carry: uniform:4, paper, or a file with one integer a line
    #[arg(long, value_name = "DEGREES", conflicts_with = "uplinks")]
    degrees: Option<Degrees>,

    /// Uplinks in Mbit/s to take degrees from: a CSV file and its column, such as lines.csv:up_mbit. A line of the file
    /// is a node's if there are as many; otherwise each node draws one
    #[arg(long, value_name = "FILE:COLUMN")]
    uplinks: Option<Uplinks>,

    /// Rate of one copy of a stream, with --uplinks: an uplink U carries degree U / (RATE x K), at least 1
    #[arg(long, value_name = "RATE", default_value = "62k", value_parser = units::rate)]
    stream: u64,

    /// How many sources may send at once: for --uplinks, and for the copies that a node may send in a forest
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    speakers: u32,

    /// Nodes that may help: all, none, random:200, or a list as 2,3,4 [default: none; in a bench, all]
    #[arg(long, value_name = "NODES")]
    helpers: Option<Choice>,

    /// Least degree of a helper, for critical and closest
    #[arg(long, value_name = "DEGREE", default_value_t = 4)]
    helper_min_degree: u32,

    /// How far a helper may be from its parent, one way, for critical and closest: a duration, or none
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = radius)]
    radius: Radius,

    /// Most helpers that the plan may use [default: no limit]
    #[arg(long, value_name = "K")]
    max_helpers: Option<usize>,

    /// What to make small: height, diameter, or forest for a tree per member
    #[arg(long, value_name = "OBJECTIVE", default_value = "height", value_parser = objective)]
    pub(super) objective: Objective,

    /// How long `best` may search: a duration, as 20ms [default: a number of moves]
    #[arg(long, value_name = "DURATION", value_parser = units::duration, conflicts_with = "moves")]
    budget: Option<Duration>,

    /// How many moves `best` may look at, which makes its plan reproducible [default: by the number of members]
    #[arg(long, value_name = "N")]
    moves: Option<u64>,

    /// What each hop costs beside its latency, in planning
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = one_way)]
    hop_cost: OneWay,

    /// Pairs of nodes that cannot talk to each other, one `i j` a line
    #[arg(long, value_name = "FILE")]
    forbid: Option<PathBuf>,

    /// Share of nodes that are behind a NAT, drawn for each session: no two of them can talk to each other
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = units::share)]
    nat: f64,

    /// Which nodes fail together: one label a line, in node order, blank or - for none. A plan borrows one helper of each
    #[arg(long, value_name = "FILE")]
    domains: Option<PathBuf>,

    /// Plan two trees, each of which reaches every member, in which no node but the source relays in both
    #[arg(long)]
    pub(super) protect: bool,

    /// What plans are made on; they are judged on measurements in any case
    #[arg(long, value_enum, default_value_t = Source::Matrix, value_name = "SOURCE")]
    latency: Source,

    /// With --latency coords, how many planned links may be measured; without, members' own are estimated too
    #[arg(long, value_name = "K")]
    probes: Option<usize>,
}

/// A helper's radius; a type of its own because clap reads `Option` as "may be absent".
#[derive(Clone, Copy, Debug)]
struct Radius(Option<OneWay>);

/// What it means: files read, on one matrix. Sessions are drawn from it.
#[derive(Debug)]
pub(super) struct World {
    latency: Arc<LatencyMatrix>,
    judge: Option<Arc<LatencyMatrix>>,
    matrix: PathBuf,
    /// Nodes that a session may have.
    pub(super) usable: Vec<NodeIndex>,
    helpers: Choice,
    degrees: DegreeLaw,
    degrees_file: Option<PathBuf>,
    forbidden: Vec<(NodeIndex, NodeIndex)>,
    nat: f64,
    objective: Objective,
    speakers: u32,
    hop_cost: OneWay,
    helper_min_degree: u32,
    radius: Option<OneWay>,
    max_helpers: Option<usize>,
    coords: Option<Coords>,
    protect: bool,
    domains: Vec<Option<String>>,
    domains_file: Option<PathBuf>,
}

#[derive(Debug)]
enum DegreeLaw {
    Paper,
    Given(Vec<Degree>),
    Uplinks { mbit: Vec<f64>, stream: u64, speakers: u32 },
}

impl SessionArgs {
    /// How long `best` may search.
    pub(super) fn effort(&self) -> Effort {
        Effort { budget: self.budget, moves: self.moves }
    }

    /// Reads the files. `degrees` and `helpers` are what is meant where nothing was typed.
    pub(super) fn resolve(
        self,
        latency: LatencyMatrix,
        judge: Option<LatencyMatrix>,
        matrix: &Path,
        degrees: Option<Degrees>,
        helpers: Choice,
    ) -> Result<World, CliError> {
        let nodes = latency.nodes();
        let coords = match (self.latency, self.probes) {
            (Source::Coords, probes) => Some(Coords::of(&latency, probes)?),
            (Source::Matrix, None) => None,
            (Source::Matrix, Some(_)) => {
                let todo = "add --latency coords, or leave it out";
                return Err(CliError::wrong("there is nothing to probe on a matrix", "--probes", todo));
            }
        };
        let dropped = |node: &NodeIndex| {
            [Some(&latency), judge.as_ref()]
                .into_iter()
                .flatten()
                .any(|matrix| matrix.dropped().contains(node))
        };
        let usable = (0..nodes).filter(|node| !dropped(node)).collect();
        let mut degrees_file = None;
        let law = match (self.uplinks, self.degrees.or(degrees)) {
            (Some(uplinks), _) => {
                DegreeLaw::Uplinks { mbit: uplinks.read()?, stream: self.stream, speakers: self.speakers }
            }
            (None, Some(Degrees::Paper)) => DegreeLaw::Paper,
            (None, Some(Degrees::Uniform(degree))) => DegreeLaw::Given(vec![Degree(degree); nodes]),
            (None, Some(Degrees::File(path))) => {
                let given = input::degrees(&path)?;
                degrees_file = Some(path);
                DegreeLaw::Given(given)
            }
            (None, None) => {
                let todo = "give --degrees uniform:4, paper or a file, or --uplinks";
                return Err(CliError::wrong("a flag is missing", "--degrees", todo));
            }
        };
        Ok(World {
            usable,
            latency: Arc::new(latency),
            judge: judge.map(Arc::new),
            matrix: matrix.to_owned(),
            helpers: self.helpers.unwrap_or(helpers),
            degrees: law,
            degrees_file,
            forbidden: self.forbid.as_deref().map_or(Ok(Vec::new()), input::pairs)?,
            nat: self.nat,
            objective: self.objective,
            speakers: self.speakers,
            hop_cost: self.hop_cost,
            helper_min_degree: self.helper_min_degree,
            radius: self.radius.0,
            max_helpers: self.max_helpers,
            coords,
            protect: self.protect,
            domains: self.domains.as_deref().map_or(Ok(Vec::new()), input::domains)?,
            domains_file: self.domains,
        })
    }
}

impl World {
    /// Plans one of its sessions with `algorithm`.
    pub(super) fn plan(
        &self,
        problem: &Problem,
        judge: Option<&Problem>,
        algorithm: Algorithm,
        effort: Effort,
    ) -> Timed {
        match &self.coords {
            Some(coords) => coords.timed_plan(problem, judge, algorithm, effort),
            None => timed_plan(problem, judge, algorithm, effort),
        }
    }

    /// Whether plans are made on estimates.
    pub(super) fn estimates(&self) -> bool {
        self.coords.is_some()
    }

    /// The session of these members, the root first; degrees and helpers are drawn from the seed. The problem to plan
    /// and, where plans are judged on other latencies, the problem to judge them on.
    pub(super) fn session(
        &self,
        members: Vec<NodeIndex>,
        seed: u64,
    ) -> Result<(Problem, Option<Problem>), CliError> {
        self.session_for(self.objective, self.protect, members, seed)
    }

    /// The same with one tree for all where more are asked for.
    pub(super) fn shared_session(
        &self,
        members: Vec<NodeIndex>,
        seed: u64,
    ) -> Result<(Problem, Option<Problem>), CliError> {
        let objective = match self.objective {
            Objective::Forest => Objective::Diameter,
            objective => objective,
        };
        self.session_for(objective, false, members, seed)
    }

    fn session_for(
        &self,
        objective: Objective,
        protect: bool,
        members: Vec<NodeIndex>,
        seed: u64,
    ) -> Result<(Problem, Option<Problem>), CliError> {
        let nodes = self.latency.nodes();
        let mut rng = generator(seed, Purpose::Degrees);
        let degrees = match &self.degrees {
            DegreeLaw::Paper => paper_degrees(nodes, &mut rng),
            DegreeLaw::Given(degrees) => degrees.clone(),
            DegreeLaw::Uplinks { mbit, stream, speakers } => {
                uplinks::degrees(mbit, nodes, *stream, *speakers, &mut rng)
            }
        };
        let others =
            || self.usable.iter().copied().filter(|node| !members.contains(node)).collect::<Vec<_>>();
        let helpers = match &self.helpers {
            Choice::All => others(),
            Choice::None => Vec::new(),
            Choice::Random(count) => {
                let others = others();
                let left = others.len();
                draw(others, *count, &mut generator(seed, Purpose::Helpers))
                    .ok_or_else(|| too_many("--helpers", *count, left))?
            }
            Choice::Listed(listed) => listed.iter().copied().filter(|node| !members.contains(node)).collect(),
        };
        let mut forbidden = self.forbidden.clone();
        forbidden.extend(self.behind_nats(seed));
        let build = |latency: &Arc<LatencyMatrix>| {
            Problem::builder(Arc::clone(latency), degrees.clone(), members.clone())
                .helpers(helpers.clone())
                .objective(objective)
                .speakers(self.speakers)
                .forbid(forbidden.iter().copied())
                .hop_cost(self.hop_cost)
                .helper_min_degree(self.helper_min_degree)
                .radius(self.radius)
                .max_helpers(self.max_helpers)
                .protect(protect)
                .domains(self.domains.iter().cloned())
                .seed(seed)
                .build()
                .map_err(|error| self.malformed(&error))
        };
        Ok((build(&self.latency)?, self.judge.as_ref().map(build).transpose()?))
    }

    /// All pairs among the nodes that are drawn to be behind a NAT.
    fn behind_nats(&self, seed: u64) -> Vec<(NodeIndex, NodeIndex)> {
        let count = (self.nat * self.usable.len() as f64).round() as usize;
        let behind =
            draw(self.usable.clone(), count, &mut generator(seed, Purpose::Nats)).unwrap_or_default();
        (behind.iter().enumerate()).flat_map(|(at, &a)| behind[..at].iter().map(move |&b| (a, b))).collect()
    }

    fn malformed(&self, error: &ProblemError) -> CliError {
        let (place, todo) = match (error, &self.degrees_file) {
            (ProblemError::DuplicateMember(_), _) => ("--members".to_owned(), "list each node once"),
            (ProblemError::DuplicateHelper(_), _) => ("--helpers".to_owned(), "list each node once"),
            (ProblemError::Domains { .. }, _) => {
                let path = self.domains_file.as_deref().unwrap_or(Path::new("--domains"));
                (path.display().to_string(), "give one label a line, for every row of the matrix")
            }
            (ProblemError::Degrees { .. }, Some(path)) => {
                (path.display().to_string(), "give one integer a line, for every row of the matrix")
            }
            _ => (self.matrix.display().to_string(), "nodes are the rows of the matrix, counted from 0"),
        };
        CliError::wrong(error, place, todo)
    }
}

/// More nodes to draw than there are.
pub(super) fn too_many(flag: &str, count: usize, left: usize) -> CliError {
    CliError::wrong(
        format_args!("there are only {left} nodes to draw from"),
        format_args!("{flag} random:{count}"),
        "draw fewer",
    )
}

fn objective(text: &str) -> Result<Objective, String> {
    text.parse().map_err(|_| "use height, diameter or forest".to_owned())
}

fn one_way(text: &str) -> Result<OneWay, String> {
    let duration = units::duration(text)?;
    OneWay::from_ms(duration.as_secs_f64() * 1000.0).ok_or_else(|| "the duration is too long".to_owned())
}

fn radius(text: &str) -> Result<Radius, String> {
    if text == "none" { Ok(Radius(None)) } else { one_way(text).map(|radius| Radius(Some(radius))) }
}
