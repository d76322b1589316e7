//! The asking end: which processes run, and one question to one of them. Blocking, for commands that do nothing else.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::message::{ANSWER_MAX, Answer, FOLDER, Request, SUFFIX};

/// A process that answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Running {
    /// Its number.
    pub pid: u32,
    /// What it says it does.
    pub session: Option<String>,
    /// `host`, `member` or `pool`.
    pub role: String,
    path: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// It is gone, or not ours to ask.
    #[error("it does not answer ({0})")]
    Io(#[from] io::Error),
    /// Another version, perhaps.
    #[error("its answer makes no sense ({0})")]
    Nonsense(#[from] serde_json::Error),
}

/// The processes that answer in a state directory, in the order of their numbers. Sockets whose process is gone are cleared
/// away.
#[must_use]
pub fn running(dir: &Path) -> Vec<Running> {
    let Ok(entries) = std::fs::read_dir(dir.join(FOLDER)) else { return Vec::new() };
    let mut found: Vec<Running> = entries
        .flatten()
        .take(SOCKETS_MAX)
        .filter_map(|entry| {
            let path = entry.path();
            let is_socket = path.extension().is_some_and(|extension| extension == SUFFIX);
            let pid = path.file_stem()?.to_str()?.parse().ok().filter(|_| is_socket)?;
            match exchange(&path, &Request::Who) {
                Ok(Answer::Here { session, role }) => Some(Running { pid, session, role, path }),
                Err(AskError::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    // Nothing depends on it: the next client would find the same.
                    let _ = std::fs::remove_file(&path);
                    None
                }
                _ => None,
            }
        })
        .collect();
    found.sort_by_key(|running| running.pid);
    found
}

/// One question.
pub fn ask(running: &Running, request: &Request) -> Result<Answer, AskError> {
    exchange(&running.path, request)
}

#[cfg(unix)]
fn exchange(path: &Path, request: &Request) -> Result<Answer, AskError> {
    use std::io::{BufRead, BufReader, Read, Write};

    let mut stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(ANSWER_MAX as u64).read_until(b'\n', &mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}

#[cfg(not(unix))]
fn exchange(_path: &Path, _request: &Request) -> Result<Answer, AskError> {
    Err(io::Error::from(io::ErrorKind::Unsupported).into())
}

/// Looked at in one folder.
const SOCKETS_MAX: usize = 256;
/// For an answer that is made without waiting for anybody.
const PATIENCE: Duration = Duration::from_secs(3);
