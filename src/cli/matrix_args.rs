//! The flags that say which latencies are meant, shared by the offline commands.

use std::path::{Path, PathBuf};

use alm_planner::{Directions, LatencyMatrix, MatrixFormat, Missing, RoundTrips, quantile_of};
use clap::ValueEnum;

use super::error::CliError;
use super::matrix_file::{complete, read_recorded};
use super::units;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(super) struct MatrixArgs {
    /// Recorded round trips; given several times, samples of the same nodes
    #[arg(long, value_name = "FILE")]
    matrix: Vec<PathBuf>,

    /// Plan on this quantile of several samples: a share, such as 0.9
    #[arg(long, value_name = "SHARE", default_value = "0.9", value_parser = units::share)]
    quantile: f64,

    /// Judge plans on these round trips [default: on those that they are made on]
    #[arg(long, value_name = "FILE")]
    judge: Option<PathBuf>,

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

impl MatrixArgs {
    /// The latencies to plan on.
    pub(super) fn latency(&self) -> Result<LatencyMatrix, CliError> {
        if self.matrix.is_empty() {
            return Err(CliError::wrong(
                "a flag is missing",
                "--matrix <FILE>",
                "name a recording of round trips",
            ));
        }
        let samples = self.matrix.iter().map(|path| self.recorded(path)).collect::<Result<Vec<_>, _>>()?;
        let merged = match samples.as_slice() {
            [one] => one,
            several => &quantile_of(several, self.quantile).ok_or_else(|| self.other_nodes(several))?,
        };
        self.filled(merged, self.file())
    }

    /// The latencies to judge on, if they are others.
    pub(super) fn judge(&self, nodes: usize) -> Result<Option<LatencyMatrix>, CliError> {
        let Some(path) = &self.judge else { return Ok(None) };
        let trips = self.recorded(path)?;
        if trips.nodes() != nodes {
            let what = format!("the matrix has {} nodes where the plan has {nodes}", trips.nodes());
            return Err(CliError::wrong(what, path.display(), "judge on a recording of the same nodes"));
        }
        self.filled(&trips, path).map(Some)
    }

    /// The file to name where several are read.
    pub(super) fn file(&self) -> &Path {
        self.matrix.first().map_or(Path::new(""), PathBuf::as_path)
    }

    fn other_nodes(&self, samples: &[RoundTrips]) -> CliError {
        let nodes = samples[0].nodes();
        let (path, other) = (self.matrix.iter().zip(samples).find(|(_, sample)| sample.nodes() != nodes))
            .map_or((self.file(), nodes), |(path, sample)| (path.as_path(), sample.nodes()));
        let what = format!("the matrix has {other} nodes where the first has {nodes}");
        CliError::wrong(what, path.display(), "give samples of the same nodes")
    }

    fn recorded(&self, path: &Path) -> Result<RoundTrips, CliError> {
        read_recorded(path, self.matrix_format, self.slice)
    }

    fn filled(&self, trips: &RoundTrips, path: &Path) -> Result<LatencyMatrix, CliError> {
        let directions = if self.directed { Directions::Apart } else { Directions::Mean };
        let missing = match self.missing {
            MissingPairs::ShortestPath => Missing::ShortestPath,
            MissingPairs::DropNodes => Missing::DropNodes,
            MissingPairs::Error => Missing::Error,
        };
        complete(trips, path, directions, missing)
    }
}
