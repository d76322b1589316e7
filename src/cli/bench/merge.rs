//! Shards of a bench, put together again.

use std::path::PathBuf;

use serde_json::Value;

use super::session::SessionLine;
use super::summary::Summary;
use crate::cli::error::CliError;
use crate::cli::input::read;

/// What shards hold together.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) matrix: String,
    pub(super) lines: Vec<SessionLine>,
}

/// Reads the JSON output of several shards.
pub(super) fn merge(files: &[PathBuf]) -> Result<Merged, CliError> {
    let mut lines: Vec<SessionLine> = Vec::new();
    let mut matrix: Option<String> = None;
    for path in files {
        for (at, text) in read(path)?.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let place = format!("{}:{}", path.display(), at + 1);
            let wrong =
                |what: &str| CliError::wrong(what, &place, "give files that `alm bench --format json` wrote");
            let value: Value = serde_json::from_str(text).map_err(|_| wrong("the line is not JSON"))?;
            if value.get("summary").is_some() {
                let summary: Summary =
                    serde_json::from_value(value).map_err(|_| wrong("the line is no summary of a bench"))?;
                match &matrix {
                    Some(matrix) if *matrix != summary.matrix => {
                        return Err(wrong("the shard is of another matrix"));
                    }
                    _ => matrix = Some(summary.matrix),
                }
            } else {
                let line: SessionLine =
                    serde_json::from_value(value).map_err(|_| wrong("the line is no session of a bench"))?;
                if lines.first().is_some_and(|first| first.objective != line.objective) {
                    return Err(wrong("the shard is of another objective"));
                }
                lines.push(line);
            }
        }
    }
    lines.sort_by_key(|line| (line.group, line.session));
    let twice =
        lines.windows(2).find(|pair| (pair[0].group, pair[0].session) == (pair[1].group, pair[1].session));
    if let Some(pair) = twice {
        let what = format!("session {} is in two shards", pair[0].session);
        return Err(CliError::wrong(what, "--merge", "give each shard once"));
    }
    if lines.is_empty() {
        return Err(CliError::wrong("there is no session to merge", "--merge", "give shards of a bench"));
    }
    Ok(Merged { matrix: matrix.unwrap_or_default(), lines })
}
