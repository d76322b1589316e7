//! The processes of the demo: started, listened to, and ended, whatever happens.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::folder::Folder;
use super::view::{Told, View};
use crate::cli::error::{CliError, reason};

/// How long processes may take to leave before they are killed.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Lines that wait to be taken up; a process whose lines do not fit waits with the next.
const LINES_MAX: usize = 1_024;
/// Of what a process says on stderr, what is kept.
const LAST_WORDS_MAX: u64 = 2_048;

/// See the [module](self). Processes that are still there when this is dropped are killed; and if this process is
/// itself killed, their standard input ends, which they take as the end.
pub(super) struct Processes<'a> {
    program: PathBuf,
    folder: &'a Folder,
    running: Vec<Running>,
    sender: mpsc::Sender<(usize, Line)>,
    lines: mpsc::Receiver<(usize, Line)>,
    /// What they told.
    pub(super) view: View,
}

struct Running {
    who: usize,
    child: Child,
    last_words: JoinHandle<String>,
}

enum Line {
    Told(Told),
    Ended,
}

impl<'a> Processes<'a> {
    pub(super) fn new(folder: &'a Folder) -> Result<Self, CliError> {
        let program = std::env::current_exe().map_err(|error| {
            CliError::failed(format_args!("cannot find this program again ({})", reason(&error)), "", "")
        })?;
        let (sender, lines) = mpsc::channel(LINES_MAX);
        Ok(Self { program, folder, running: Vec::new(), sender, lines, view: View::new() })
    }

    /// Starts person `who` as `alm ARGS` on the loopback.
    pub(super) fn start(&mut self, who: usize, args: &[OsString]) -> Result<(), CliError> {
        let name = self.view.people[who].name;
        let mut command = Command::new(&self.program);
        command.args(args).args([
            "--listen",
            "127.0.0.1:0",
            "--no-mdns",
            "--no-web",
            "--json",
            "--leave-on-eof",
        ]);
        command.arg("--state").arg(self.folder.state(name)).arg("--config").arg(self.folder.config());
        // Nothing of the user's settings.
        for (variable, _) in std::env::vars_os() {
            if variable.to_str().is_some_and(|variable| variable.starts_with("ALM_")) {
                command.env_remove(variable);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            CliError::failed(
                format_args!("cannot start {name} ({})", reason(&error)),
                self.program.display(),
                "",
            )
        })?;
        let stdout = child.stdout.take().expect("piped above, and taken here only");
        let stderr = child.stderr.take().expect("piped above, and taken here only");
        tokio::spawn(read_lines(who, stdout, self.sender.clone()));
        let last_words = tokio::spawn(read_last_words(stderr));
        self.running.push(Running { who, child, last_words });
        Ok(())
    }

    /// Takes up what is told until `until`; gives back `false` then, and `true` when something has been told.
    pub(super) async fn listen(&mut self, until: Instant) -> Result<bool, CliError> {
        let (who, line) = tokio::select! {
            biased;
            line = self.lines.recv() => line.expect("a sender is kept here"),
            () = sleep_until(until) => return Ok(false),
        };
        match line {
            Line::Told(told) => {
                self.view.on_told(who, told, Instant::now());
                Ok(true)
            }
            Line::Ended => Err(self.ended(who).await),
        }
    }

    /// A process has ended that should not have.
    async fn ended(&mut self, who: usize) -> CliError {
        let name = self.view.people[who].name;
        let running = self.running.iter_mut().find(|running| running.who == who);
        let last_words = match running {
            Some(running) => timeout(Duration::from_secs(1), &mut running.last_words).await,
            None => Ok(Ok(String::new())),
        };
        let said = last_words.ok().and_then(Result::ok).unwrap_or_default();
        let said = said.lines().last().map(|line| line.strip_prefix("alm: ").unwrap_or(line));
        match said {
            Some(said) => CliError::failed(format_args!("{name} ended too early"), said, ""),
            None => CliError::failed(format_args!("{name} ended too early, without a word"), "", ""),
        }
    }

    /// Ends all of them: asks, waits, kills.
    pub(super) async fn end(&mut self) {
        for running in &mut self.running {
            drop(running.child.stdin.take());
        }
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        // They may have more to say than a pipe holds.
        self.lines.close();
        for mut running in self.running.drain(..) {
            if timeout_at(deadline, running.child.wait()).await.is_err() {
                // Both fail only for a process that has ended by itself meanwhile.
                let _ = running.child.kill().await;
            }
        }
    }
}

/// Arguments of all kinds of strings.
pub(super) fn args(args: impl IntoIterator<Item = impl Into<OsString>>) -> Vec<OsString> {
    args.into_iter().map(Into::into).collect()
}

async fn read_lines(who: usize, stdout: impl AsyncRead + Unpin, lines: mpsc::Sender<(usize, Line)>) {
    let mut stdout = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = stdout.next_line().await {
        // A line that is no event is no news.
        let Ok(told) = serde_json::from_str(&line) else { continue };
        // Nobody listens any more while they are ended, but their pipes are to be kept empty.
        let _ = lines.send((who, Line::Told(told))).await;
    }
    let _ = lines.send((who, Line::Ended)).await;
}

async fn read_last_words(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut words = Vec::new();
    let _ = (&mut stderr).take(LAST_WORDS_MAX).read_to_end(&mut words).await;
    let words = String::from_utf8_lossy(&words).into_owned();
    // Nobody may get stuck on a full pipe.
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    words
}
