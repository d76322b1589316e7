//! A recorded matrix on disk, read and completed as the commands' defaults have it.

use std::fs;
use std::path::Path;

use alm_planner::{Directions, LatencyError, LatencyMatrix, MatrixFormat, Missing, parse_matrix};

use super::error::{CliError, reason};

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|error| {
        CliError::wrong(format_args!("cannot read the file ({})", reason(&error)), path.display(), "")
    })
}

/// Reads a matrix, one slice of it, and fills or refuses its holes.
pub(super) fn read_matrix(
    path: &Path,
    format: Option<MatrixFormat>,
    slice: Option<u32>,
    directions: Directions,
    missing: Missing,
) -> Result<LatencyMatrix, CliError> {
    let trips = parse_matrix(&read(path)?, format, slice).map_err(|error| {
        let place = format!("{}:{}", path.display(), error.line);
        CliError::wrong(error, place, "give N rows of N round trips in milliseconds")
    })?;
    LatencyMatrix::from_round_trips(&trips, directions, missing).map_err(|error| {
        let todo = match error {
            LatencyError::Hole(..) => "fill holes with --missing shortest-path",
            LatencyError::Disconnected(..) => "leave nodes out with --missing drop-nodes",
        };
        CliError::wrong(error, path.display(), todo)
    })
}
