//! A recorded matrix on disk, read and completed as the commands' defaults have it.

use std::path::Path;

use alm_planner::{Directions, LatencyError, LatencyMatrix, MatrixFormat, Missing, RoundTrips, parse_matrix};

use super::error::CliError;
pub(super) use super::input::read;

/// Reads a matrix, one slice of it, and fills or refuses its holes.
pub(super) fn read_matrix(
    path: &Path,
    format: Option<MatrixFormat>,
    slice: Option<u32>,
    directions: Directions,
    missing: Missing,
) -> Result<LatencyMatrix, CliError> {
    complete(&read_recorded(path, format, slice)?, path, directions, missing)
}

/// Reads a matrix, one slice of it, as it was recorded.
pub(super) fn read_recorded(
    path: &Path,
    format: Option<MatrixFormat>,
    slice: Option<u32>,
) -> Result<RoundTrips, CliError> {
    parse_matrix(&read(path)?, format, slice).map_err(|error| {
        let place = format!("{}:{}", path.display(), error.line);
        CliError::wrong(error, place, "give N rows of N round trips in milliseconds")
    })
}

/// Fills the holes of what was read from `path`, or refuses them.
pub(super) fn complete(
    trips: &RoundTrips,
    path: &Path,
    directions: Directions,
    missing: Missing,
) -> Result<LatencyMatrix, CliError> {
    LatencyMatrix::from_round_trips(trips, directions, missing).map_err(|error| {
        let todo = match error {
            LatencyError::Hole(..) => "fill holes with --missing shortest-path",
            LatencyError::Disconnected(..) => "leave nodes out with --missing drop-nodes",
        };
        CliError::wrong(error, path.display(), todo)
    })
}
