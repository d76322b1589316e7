//! Recorded round trips as text: `.rtt` matrices, King/p2psim lists and CSV. Parses strings; files are the caller's.
//!
//! - `rtt`: lines that start with `#` are comments, of which `# n: N` and `# slice: K` mean something; then N rows of N
//!   round trips in milliseconds, `-1` or `nan` where none was measured; several slices, each after its `# slice: K`.
//! - `p2psim`: one pair a line, `i j rtt`, in microseconds; nodes count from 0, or from 1 where no 0 occurs.
//! - `csv`: a matrix as in `rtt`, with commas; a first line of names and, with it, a first column of names are
//!   skipped; an empty cell is missing.
//!
//! What is on the diagonal does not matter. A matrix has at most `NODES_MAX` nodes.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::latency::{NODES_MAX, RoundTrips};
use crate::names::UnknownName;
use crate::units::RoundTrip;

/// How a recording is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixFormat {
    /// Rows of milliseconds.
    Rtt,
    /// King/p2psim: lines of `i j microseconds`.
    P2psim,
    /// Rows of milliseconds with commas.
    Csv,
}

impl MatrixFormat {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Rtt, Self::P2psim, Self::Csv];

    /// The name that a user writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
            Self::P2psim => "p2psim",
            Self::Csv => "csv",
        }
    }

    /// The format that `text` looks like. Three numbers a line are a list unless three such lines, or a comment that
    /// says `n: 3`, make a matrix of them.
    pub fn detect(text: &str) -> Self {
        let mut lines = data_lines(text).map(|(_, line)| line);
        let first = lines.next().unwrap_or_default();
        let listed =
            first.split_whitespace().count() == 3 && lines.count() != 2 && declared_nodes(text) != Some(3);
        match (first.contains(','), listed) {
            (true, _) => Self::Csv,
            (false, true) => Self::P2psim,
            (false, false) => Self::Rtt,
        }
    }
}

/// Reads one slice of a recording; the first without `slice`, and without `format` the one that it looks like.
///
/// # Errors
/// `MatrixError` with the line that is wrong.
pub fn parse_matrix(
    text: &str,
    format: Option<MatrixFormat>,
    slice: Option<u32>,
) -> Result<RoundTrips, MatrixError> {
    let format = format.unwrap_or_else(|| MatrixFormat::detect(text));
    if let (Some(slice), false) = (slice, format == MatrixFormat::Rtt) {
        return Err(MatrixError { line: 1, defect: MatrixDefect::NoSlice(slice) });
    }
    match format {
        MatrixFormat::Rtt => parse_rtt(text, slice),
        MatrixFormat::P2psim => parse_pairs(text),
        MatrixFormat::Csv => parse_csv(text),
    }
}

/// A recording that cannot be read.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{defect}")]
pub struct MatrixError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub defect: MatrixDefect,
}

/// What is wrong with a line of a recording.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum MatrixDefect {
    /// Not a number where one belongs.
    #[error("'{0}' is not a number")]
    NotANumber(String),
    /// Negative, and not the -1 that stands for missing.
    #[error("{0} is negative; a missing value is -1 or nan")]
    Negative(f64),
    /// Too large for a number.
    #[error("a round trip is infinite")]
    Infinite,
    /// A row of another length than the matrix is wide, or a list's line without three values.
    #[error("the row has {found} values where {expected} belong")]
    Ragged {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Fewer or more rows than columns.
    #[error("the matrix has {found} rows of {expected} values")]
    NotSquare {
        /// How many rows there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// No numbers at all.
    #[error("there is no matrix")]
    Empty,
    /// More nodes than are taken.
    #[error("a matrix may have at most {NODES_MAX} nodes")]
    TooLarge,
    /// The slice that was asked for is not there.
    #[error("there is no slice {0}")]
    NoSlice(u32),
}

impl fmt::Display for MatrixFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MatrixFormat {
    type Err = UnknownName;

    fn from_str(given: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.name() == given)
            .ok_or_else(|| UnknownName { given: given.to_owned(), known: "rtt, p2psim, csv".to_owned() })
    }
}

type Row<'t> = (usize, Vec<&'t str>);

fn parse_rtt(text: &str, slice: Option<u32>) -> Result<RoundTrips, MatrixError> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut wanted = slice.is_none();
    for (line, content) in numbered(text) {
        if let Some(number) = header(content, "slice:") {
            if slice.is_none() && !rows.is_empty() {
                break;
            }
            wanted = slice.is_none() || number.parse().ok() == slice;
        } else if wanted && !content.is_empty() && !content.starts_with('#') {
            rows.push((line, content.split_whitespace().collect()));
        }
    }
    if let (Some(slice), true) = (slice, rows.is_empty()) {
        return Err(MatrixError { line: text.lines().count().max(1), defect: MatrixDefect::NoSlice(slice) });
    }
    square(&rows, declared_nodes(text), text)
}

fn parse_csv(text: &str) -> Result<RoundTrips, MatrixError> {
    let mut rows: Vec<Row<'_>> =
        data_lines(text).map(|(line, content)| (line, content.split(',').map(str::trim).collect())).collect();
    let named = rows
        .first()
        .is_some_and(|(_, first)| first.iter().any(|cell| !cell.is_empty() && cell.parse::<f64>().is_err()));
    if named {
        rows.remove(0);
        // As many rows as cells less one: the first column holds names.
        if rows.first().is_some_and(|(_, first)| first.len() == rows.len() + 1) {
            for (_, row) in &mut rows {
                if !row.is_empty() {
                    row.remove(0);
                }
            }
        }
    }
    square(&rows, None, text)
}

/// Rows of milliseconds, as many as they are long.
fn square(rows: &[Row<'_>], declared: Option<usize>, text: &str) -> Result<RoundTrips, MatrixError> {
    let last = text.lines().count().max(1);
    let Some((_, first)) = rows.first() else {
        return Err(MatrixError { line: last, defect: MatrixDefect::Empty });
    };
    let nodes = declared.unwrap_or(first.len());
    let mut trips =
        RoundTrips::new(nodes).ok_or(MatrixError { line: rows[0].0, defect: MatrixDefect::TooLarge })?;
    for (i, (line, row)) in rows.iter().enumerate() {
        let wrong = |defect| MatrixError { line: *line, defect };
        if row.len() != nodes {
            return Err(wrong(MatrixDefect::Ragged { found: row.len(), expected: nodes }));
        }
        if i == nodes {
            return Err(wrong(MatrixDefect::NotSquare { found: rows.len(), expected: nodes }));
        }
        for (j, cell) in row.iter().enumerate() {
            if let Some(ms) = value(cell).map_err(wrong)?
                && let Some(trip) = RoundTrip::from_ms(ms)
            {
                trips.set(i, j, trip);
            }
        }
    }
    if rows.len() < nodes {
        let line = rows.last().map_or(last, |(line, _)| *line);
        return Err(MatrixError {
            line,
            defect: MatrixDefect::NotSquare { found: rows.len(), expected: nodes },
        });
    }
    Ok(trips)
}

fn parse_pairs(text: &str) -> Result<RoundTrips, MatrixError> {
    let mut pairs = Vec::new();
    let (mut least, mut most) = (usize::MAX, 0);
    for (line, content) in data_lines(text) {
        let wrong = |defect| MatrixError { line, defect };
        let cells: Vec<&str> = content.split_whitespace().collect();
        let &[i, j, micros] = cells.as_slice() else {
            return Err(wrong(MatrixDefect::Ragged { found: cells.len(), expected: 3 }));
        };
        let node = |cell: &str| cell.parse().map_err(|_| wrong(MatrixDefect::NotANumber(cell.to_owned())));
        let (i, j): (usize, usize) = (node(i)?, node(j)?);
        if i.max(j) > NODES_MAX {
            return Err(wrong(MatrixDefect::TooLarge));
        }
        (least, most) = (least.min(i).min(j), most.max(i).max(j));
        pairs.push((line, i, j, value(micros).map_err(wrong)?));
    }
    let Some(&(last, ..)) = pairs.last() else {
        return Err(MatrixError { line: text.lines().count().max(1), defect: MatrixDefect::Empty });
    };
    let base = usize::from(least > 0);
    let mut trips =
        RoundTrips::new(most + 1 - base).ok_or(MatrixError { line: last, defect: MatrixDefect::TooLarge })?;
    for (_, i, j, micros) in pairs {
        if let Some(trip) = micros.and_then(|micros| RoundTrip::from_ms(micros / 1000.0)) {
            trips.set(i - base, j - base, trip);
        }
    }
    Ok(trips)
}

/// A value, or `None` where it says that there is none.
fn value(cell: &str) -> Result<Option<f64>, MatrixDefect> {
    if cell.is_empty() {
        return Ok(None);
    }
    let value: f64 = cell.parse().map_err(|_| MatrixDefect::NotANumber(cell.chars().take(40).collect()))?;
    match value {
        _ if value.is_nan() || value == -1.0 => Ok(None),
        _ if value.is_infinite() || value > f64::from(f32::MAX) => Err(MatrixDefect::Infinite),
        _ if value < 0.0 => Err(MatrixDefect::Negative(value)),
        _ => Ok(Some(value)),
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()))
}

fn data_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    numbered(text).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// What a comment says after `name`.
fn header<'t>(line: &'t str, name: &str) -> Option<&'t str> {
    Some(line.strip_prefix('#')?.trim_start().strip_prefix(name)?.trim())
}

fn declared_nodes(text: &str) -> Option<usize> {
    numbered(text).find_map(|(_, line)| header(line, "n:")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Vec<Vec<Option<f64>>> {
        let trips = parse_matrix(text, None, None).unwrap();
        let all = 0..trips.nodes();
        all.clone().map(|i| all.clone().map(|j| trips.get(i, j).map(RoundTrip::ms)).collect()).collect()
    }

    fn refused(text: &str) -> (usize, String) {
        let error = parse_matrix(text, None, None).unwrap_err();
        (error.line, error.to_string())
    }

    #[test]
    fn three_formats_of_one_recording() {
        let expected = vec![vec![Some(0.0), Some(12.5)], vec![Some(10.0), Some(0.0)]];
        assert_eq!(ms("# name: two\n# n: 2\n0 12.5\n10 0\n"), expected);
        assert_eq!(ms("0, 12.5\n10, 0\n"), expected);
        assert_eq!(ms(",a,b\na,0,12.5\nb,10,0\n"), expected);
        assert_eq!(ms("a,b\n0,12.5\n10,0\n"), expected);
        assert_eq!(ms("0 0 0\n0 1 12500\n1 0 10000\n1 1 0\n"), expected);
        assert_eq!(ms("1 1 0\n1 2 12500\n2 1 10000\n2 2 0\n"), expected);
    }

    #[test]
    fn missing_values() {
        assert_eq!(ms("0 -1\nnan 0\n"), vec![vec![Some(0.0), None], vec![None, Some(0.0)]]);
        assert_eq!(ms("0,\nNaN,0\n"), vec![vec![Some(0.0), None], vec![None, Some(0.0)]]);
        assert_eq!(ms("0 1 5000\n1 0 -1\n"), vec![vec![None, Some(5.0)], vec![None, None]]);
    }

    #[test]
    fn three_rows_of_three_are_a_matrix() {
        assert_eq!(MatrixFormat::detect("0 1 2\n1 0 2\n1 2 0\n"), MatrixFormat::Rtt);
        assert_eq!(
            MatrixFormat::detect("# n: 3\n# slice: 1\n0 1 2\n1 0 2\n1 2 0\n0 1 2\n"),
            MatrixFormat::Rtt
        );
        assert_eq!(MatrixFormat::detect("0 1 200\n0 2 300\n1 2 300\n1 0 200\n"), MatrixFormat::P2psim);
    }

    #[test]
    fn the_first_slice_or_the_one_asked_for() {
        let text = "# n: 2\n# slice: 7\n0 1\n1 0\n# slice: 8\n0 2\n2 0\n";
        let at = |slice| parse_matrix(text, None, slice).map(|trips| trips.get(0, 1).unwrap().ms());
        assert_eq!(at(None), Ok(1.0));
        assert_eq!(at(Some(7)), Ok(1.0));
        assert_eq!(at(Some(8)), Ok(2.0));
        assert_eq!(at(Some(9)), Err(MatrixError { line: 7, defect: MatrixDefect::NoSlice(9) }));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(refused(""), (1, "there is no matrix".into()));
        assert_eq!(refused("# n: 4\n\n"), (2, "there is no matrix".into()));
        assert_eq!(refused("0 1\n\n2\n"), (3, "the row has 1 values where 2 belong".into()));
        assert_eq!(refused("0 1\n2 0\n3 3\n"), (3, "the matrix has 3 rows of 2 values".into()));
        assert_eq!(refused("# n: 3\n0 1 2\n2 0 3\n"), (3, "the matrix has 2 rows of 3 values".into()));
        assert_eq!(refused("# n: 3\n0 1\n2 0\n"), (2, "the row has 2 values where 3 belong".into()));
        assert_eq!(refused("0 1\n-2 0\n"), (2, "-2 is negative; a missing value is -1 or nan".into()));
        assert_eq!(refused("0 inf\n2 0\n"), (1, "a round trip is infinite".into()));
        assert_eq!(refused("0 1e99\n2 0\n"), (1, "a round trip is infinite".into()));
        assert_eq!(refused("0 x\n2 0\n"), (1, "'x' is not a number".into()));
        assert_eq!(refused("# n: 999999\n0 x\n2 0\n"), (2, "a matrix may have at most 16384 nodes".into()));
        assert_eq!(refused("0 1 5\n0 99999 5\n"), (2, "a matrix may have at most 16384 nodes".into()));
        assert_eq!(refused("0 1 5\n0 1\n"), (2, "the row has 2 values where 3 belong".into()));
    }

    #[test]
    fn no_text_panics() {
        for text in
            ["\u{0}", ",", ",,\n,", "a,b", "# n: 0\n1", "0 0 0", "-1", "#", "# slice:", "1 1 -1\n1 1 1"]
        {
            let _ = parse_matrix(text, None, None);
            for &format in MatrixFormat::ALL {
                let _ = parse_matrix(text, Some(format), Some(1));
            }
        }
    }
}
