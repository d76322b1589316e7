//! Processes that a bench starts: the built `alm`, and the bench itself in another part. They end with it: killed when
//! dropped, and when the bench itself is killed their standard input ends, which they take as the end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{PATIENCE, now};

/// See the [module](self).
pub struct Process {
    child: Child,
    lines: Receiver<(Instant, String)>,
    started: Instant,
}

impl Process {
    /// Starts a live command of the built `alm` on loopback, with a state directory of its own and nothing of the user's
    /// around it.
    pub fn alm(dir: &Path, state: &str, args: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alm"));
        command.args(args.split_whitespace()).args(["--json", "--no-mdns", "--no-web", "--leave-on-eof"]);
        command
            .args(["--listen", "127.0.0.1:0", "--state", state])
            .current_dir(dir)
            .env_clear()
            .env("HOME", dir);
        Self::start(command)
    }

    /// Starts this program again with other arguments.
    pub fn ourselves(args: &[impl AsRef<OsStr>]) -> Self {
        let program = std::env::current_exe().expect("a running program has a path");
        let mut command = Command::new(program);
        command.args(args);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let started = now();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program was built along with this bench");
        let stdout = BufReader::new(child.stdout.take().expect("piped above, and taken here only"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // What nobody waits for any more is read all the same, or the pipe would fill.
                let _ = sender.send((now(), line));
            }
        });
        Self { child, lines, started }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line on stdout, and how long after the start it came.
    pub fn line(&self) -> (Duration, String) {
        let (at, line) = self.lines.recv_timeout(PATIENCE).expect("the process has something to say");
        (at - self.started, line)
    }

    /// The next event that `pick` takes, and how long after the start it came.
    pub fn wait<T>(&self, mut pick: impl FnMut(&Value) -> Option<T>) -> (Duration, T) {
        loop {
            let (after, line) = self.line();
            let event: Value = serde_json::from_str(&line).expect("with --json every line is an event");
            if let Some(picked) = pick(&event) {
                return (after, picked);
            }
        }
    }

    /// How long after the start the node was ready, and where it listens.
    pub fn ready(&self) -> (Duration, String) {
        self.wait(|event| {
            (event["event"] == "ready").then(|| event["listen"][0].as_str().unwrap_or_default().to_owned())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
