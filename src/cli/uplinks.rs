//! Recorded access lines as degrees: what a machine's uplink can carry.
//!
//! A node of degree d sends at most d x K copies of a stream for any K sources at once, so a line with an uplink of U
//! carries degree floor(U / (K x R)) at R a copy. A node without relays sends its own stream alone, which is one copy:
//! nobody has a degree below 1.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use alm_planner::Degree;
use rand::RngExt;
use rand::rngs::StdRng;

use super::error::CliError;
use super::input::{data_lines, read};

/// `FILE.csv:COLUMN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uplinks {
    path: PathBuf,
    column: String,
}

impl FromStr for Uplinks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once(':') {
            Some((path, column)) if !path.is_empty() && !column.is_empty() => {
                Ok(Self { path: path.into(), column: column.to_owned() })
            }
            _ => Err("name a file and its column, such as lines.csv:up_mbit".to_owned()),
        }
    }
}

impl Uplinks {
    /// The recorded uplinks in Mbit/s, in the file's order. Missing ones, below zero, are left out.
    pub(super) fn read(&self) -> Result<Vec<f64>, CliError> {
        let [mut rates] = columns(&self.path, [&self.column])?;
        rates.retain(|rate| *rate >= 0.0);
        if rates.is_empty() {
            let what = format!("the column '{}' holds no rate", self.column);
            return Err(CliError::wrong(what, self.path.display(), ""));
        }
        Ok(rates)
    }
}

/// Columns of recorded rates, Mbit/s, in the file's order; below zero where one is missing.
pub(super) fn columns<const N: usize>(path: &Path, names: [&str; N]) -> Result<[Vec<f64>; N], CliError> {
    let text = read(path)?;
    let file = path.display();
    let mut lines = data_lines(&text);
    let wrong =
        |line: usize, what: String, todo: &str| CliError::wrong(what, format_args!("{file}:{line}"), todo);
    let (first, header) = lines.next().ok_or_else(|| wrong(1, "there are no lines".to_owned(), ""))?;
    let header: Vec<&str> = header.split(',').map(str::trim).collect();
    let mut places = [0; N];
    for (place, wanted) in places.iter_mut().zip(names) {
        *place = header.iter().position(|name| *name == wanted).ok_or_else(|| {
            let todo = format!("use one of {}", header.join(", "));
            wrong(first, format!("there is no column '{wanted}'"), &todo)
        })?;
    }
    let mut rates = [const { Vec::new() }; N];
    for (line, text) in lines {
        for (rates, place) in rates.iter_mut().zip(places) {
            let cell = text.split(',').nth(place).map(str::trim).unwrap_or_default();
            let rate = cell.parse().ok().filter(|rate: &f64| rate.is_finite());
            let rate = rate.ok_or_else(|| {
                wrong(line, format!("'{cell}' is not a rate"), "give Mbit/s, or -1 where it is missing")
            })?;
            rates.push(rate);
        }
    }
    Ok(rates)
}

/// Degrees of `nodes` from uplinks in Mbit/s, at `stream` bit/s a copy and so many speakers. As many uplinks as nodes
/// are the nodes' own; otherwise each node draws one.
pub(super) fn degrees(
    uplinks: &[f64],
    nodes: usize,
    stream: u64,
    speakers: u32,
    rng: &mut StdRng,
) -> Vec<Degree> {
    let own = uplinks.len() == nodes;
    (0..nodes)
        .map(|node| {
            let uplink = uplinks[if own { node } else { rng.random_range(0..uplinks.len()) }];
            let links = (uplink * 1e6 / (stream.max(1) as f64 * f64::from(speakers.max(1)))).floor();
            Degree(links.clamp(1.0, f64::from(DEGREE_MAX)) as u32)
        })
        .collect()
}

/// More links than that no session has members for.
const DEGREE_MAX: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn an_uplink_carries_copies_for_all_speakers() {
        let mut rng = StdRng::seed_from_u64(1);
        let degrees = degrees(&[0.0, 0.1, 1.0, 18.5], 4, 62_000, 3, &mut rng);
        assert_eq!(degrees, [Degree(1), Degree(1), Degree(5), Degree(99)]);
    }

    #[test]
    fn nodes_draw_where_lines_are_not_theirs() {
        let draw = |seed| degrees(&[1.0, 2.0], 50, 100_000, 1, &mut StdRng::seed_from_u64(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).iter().all(|degree| [10, 20].contains(&degree.0)));
    }

    #[test]
    fn a_column_is_named_after_the_file() {
        assert_eq!("a.csv:up".parse(), Ok(Uplinks { path: "a.csv".into(), column: "up".into() }));
        assert!("a.csv".parse::<Uplinks>().is_err());
        assert!(":up".parse::<Uplinks>().is_err());
    }
}
