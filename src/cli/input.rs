//! Input files of the offline commands: text, lines, and what is said when they are wrong.

use std::fs;
use std::path::Path;

use alm_planner::{Degree, NodeIndex};

use super::error::{CliError, reason};

pub(super) fn read(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|error| {
        CliError::wrong(format_args!("cannot read the file ({})", reason(&error)), path.display(), "")
    })
}

/// Lines with their numbers, without blank lines and comments.
pub(super) fn data_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (text.lines().enumerate())
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// One integer a line.
pub(super) fn degrees(path: &Path) -> Result<Vec<Degree>, CliError> {
    let degree = |(line, text): (usize, &str)| {
        text.parse().map(Degree).map_err(|_| {
            let place = format!("{}:{line}", path.display());
            CliError::wrong(format_args!("'{text}' is not a degree"), place, "give one integer a line")
        })
    };
    data_lines(&read(path)?).map(degree).collect()
}

/// Two nodes a line.
pub(super) fn pairs(path: &Path) -> Result<Vec<(NodeIndex, NodeIndex)>, CliError> {
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

/// The fault domain of every node, one a line; blank or `-` for one of its own.
pub(super) fn domains(path: &Path) -> Result<Vec<Option<String>>, CliError> {
    let label = |line: &str| {
        let label = line.trim();
        (!label.is_empty() && label != "-").then(|| label.to_owned())
    };
    Ok(read(path)?.lines().filter(|line| !line.starts_with('#')).map(label).collect())
}
