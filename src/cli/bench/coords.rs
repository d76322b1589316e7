//! `alm bench coords`: how well coordinates predict round trips that nobody measured, and what their error costs a plan.

use std::io::Write;
use std::path::PathBuf;

use alm_planner::coord::{CoordMethod, DIMENSIONS_MAX, Embedding, Probes, embed, relative_errors};
use alm_planner::{
    Algorithm, Degree, Directions, LatencyMatrix, Missing, NodeIndex, OneWay, Plan, Problem, paper_degrees,
    plan,
};
use clap::ValueEnum;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::cli::draw::{Purpose, draw, generator};
use crate::cli::error::CliError;
use crate::cli::matrix_file::read_matrix;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Recorded round trips
    #[arg(long, value_name = "FILE")]
    matrix: PathBuf,

    /// Dimensions of the space, heights not counted; a list
    #[arg(long, value_name = "D,...", value_delimiter = ',', default_value = "2,3,5")]
    dimensions: Vec<usize>,

    /// Nodes that each node measures; a list
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "16,32")]
    neighbours: Vec<usize>,

    /// How coordinates are found: seed, height, vivaldi, oracle; a list
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        default_value = "seed,height,vivaldi,oracle"
    )]
    methods: Vec<CoordMethod>,

    /// Sessions of 20 that are planned on coordinates, to see what the error costs
    #[arg(long, value_name = "N", default_value_t = 40)]
    sessions: usize,

    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How the outcome is written
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
}

const EXAMPLE: &str = "\
Example:
  $ alm bench coords --matrix fixtures/latency/plane12.rtt --neighbours 6";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One object a line
    Json,
}

/// One method at one setting.
#[derive(Serialize)]
struct Row {
    method: &'static str,
    dimensions: usize,
    neighbours: usize,
    /// Relative error over pairs that nobody fitted; absent when there are none.
    error_p50: Option<f64>,
    error_p90: Option<f64>,
    /// Mean over sessions of the height that a plan made on coordinates turns out to have, over that of a plan made on
    /// measurements.
    height_ratio: Option<f64>,
}

/// Pairs that the errors are taken over.
const PAIRS: usize = 20_000;
const GROUP: usize = 20;

/// Embeds the matrix by every method at every setting, and writes what came of it.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let latency = read_matrix(&args.matrix, None, None, Directions::Mean, Missing::ShortestPath)?;
    let nodes = latency.nodes();
    if nodes < 3 {
        return Err(CliError::wrong(
            "too few nodes to predict anything",
            args.matrix.display(),
            "give at least 3",
        ));
    }
    if matches!(args.format, Format::Table) {
        let head = "method   dimensions  neighbours  error: median     p90  height of a plan on it";
        writeln!(out, "{head}").map_err(CliError::from_stdout)?;
    }
    let sessions = Sessions::draw(&latency, args);
    for &neighbours in &args.neighbours {
        let probes = Probes::draw(nodes, neighbours, args.seed);
        for &dimensions in &args.dimensions {
            for &method in &args.methods {
                let place = || format!("--dimensions {dimensions}");
                let embedding = embed(method, dimensions, &latency, &probes, args.seed).ok_or_else(|| {
                    CliError::wrong("no such space", place(), format_args!("use 1 to {DIMENSIONS_MAX}"))
                })?;
                let errors = relative_errors(&embedding, &latency, &probes, PAIRS, args.seed);
                let quantile =
                    |share: f64| errors.get((errors.len() as f64 * share) as usize).copied().map(rounded);
                let row = Row {
                    method: method.name(),
                    dimensions,
                    neighbours,
                    error_p50: quantile(0.5),
                    error_p90: quantile(0.9),
                    height_ratio: sessions.height_ratio(&latency, &embedding).map(rounded),
                };
                row.write(args.format, out)?;
            }
        }
    }
    Ok(())
}

impl Row {
    fn write(&self, format: Format, out: &mut dyn Write) -> Result<(), CliError> {
        let line = match format {
            Format::Json => serde_json::to_string(self).map_err(|error| CliError::failed(error, "", ""))?,
            Format::Table => {
                let percent =
                    |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.1} %", share * 100.0));
                let ratio = self
                    .height_ratio
                    .map_or("-".into(), |ratio| format!("{ratio:.3} of one on measurements"));
                let (p50, p90) = (percent(self.error_p50), percent(self.error_p90));
                let Self { method, dimensions, neighbours, .. } = self;
                format!("{method:<8} {dimensions:>10}  {neighbours:>10}  {p50:>13}  {p90:>6}  {ratio}")
            }
        };
        writeln!(out, "{line}").map_err(CliError::from_stdout)
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Sessions to plan, the same for every method.
struct Sessions {
    degrees: Vec<Degree>,
    members: Vec<Vec<NodeIndex>>,
}

impl Sessions {
    fn draw(latency: &LatencyMatrix, args: &Args) -> Self {
        let degrees = paper_degrees(latency.nodes(), &mut generator(args.seed, Purpose::Degrees));
        let group = GROUP.min(latency.nodes() / 2).max(2);
        let mut random = StdRng::seed_from_u64(args.seed);
        let members =
            (0..args.sessions).filter_map(|_| draw((0..latency.nodes()).collect(), group, &mut random));
        Self { members: members.collect(), degrees }
    }

    /// What plans of the seed's algorithm cost when they are made on predicted latencies; `None` without sessions.
    fn height_ratio(&self, measured: &LatencyMatrix, embedding: &Embedding) -> Option<f64> {
        let predicted = LatencyMatrix::from_one_way(measured.nodes(), |from, to| {
            OneWay::from_ms(embedding.round_trip_ms(from, to) / 2.0).unwrap_or(OneWay::ZERO)
        });
        let ratios = self.members.iter().filter_map(|members| {
            let blind = self.plan(&predicted, members)?;
            let sighted = self.plan(measured, members)?;
            Some(height_ms(&blind, measured) / height_ms(&sighted, measured))
        });
        let ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).collect();
        (!ratios.is_empty()).then(|| ratios.iter().sum::<f64>() / ratios.len() as f64)
    }

    fn plan(&self, latency: &LatencyMatrix, members: &[NodeIndex]) -> Option<Plan> {
        let helpers = (0..latency.nodes()).filter(|node| !members.contains(node)).collect();
        let problem = Problem::builder(latency.clone(), self.degrees.clone(), members.to_vec());
        plan(&problem.helpers(helpers).build().ok()?, Algorithm::CriticalAdjust).ok()
    }
}

/// The largest latency from the root to a member along a plan's tree, on these latencies.
fn height_ms(plan: &Plan, latency: &LatencyMatrix) -> f64 {
    let mut at = vec![0.0; latency.nodes()];
    for &(parent, child) in plan.trees.iter().flat_map(|tree| &tree.edges) {
        at[child] = at[parent] + latency.one_way(parent, child).ms();
    }
    plan.members.iter().map(|&member| at[member]).fold(0.0, f64::max)
}
