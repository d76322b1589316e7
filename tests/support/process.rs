//! The built program as a process: its events, its end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running `alm`; killed when dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    pub seen: Vec<Value>,
}

/// How a process ended.
#[derive(Debug)]
pub struct End {
    pub code: Option<i32>,
    pub stderr: String,
    /// What was left on stdout.
    pub rest: Vec<String>,
}

/// The program with nothing of the user's around it and no sound device in reach.
pub fn alm(dir: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alm"));
    command.args(args).current_dir(dir).env_clear().env("HOME", dir);
    command
        .env("PULSE_SERVER", "unix:/nonexistent")
        .env("ALSA_CONFIG_PATH", "/nonexistent")
        .env("USER", "tester");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    /// Starts a live command on loopback with a state directory of its own.
    pub fn live(dir: &Path, state: &str, args: &str) -> Self {
        let line = format!("{args} --json --no-mdns --no-web --listen 127.0.0.1:0 --state {state}");
        Self::start(alm(dir, &line.split_whitespace().collect::<Vec<_>>()))
    }

    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// The next line on stdout.
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line; seen so far: {:#?}", self.seen),
            Err(RecvTimeoutError::Disconnected) => {
                let mut stderr = String::new();
                let _ = self.child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut stderr));
                panic!("it ended: {stderr}; seen so far: {:#?}", self.seen)
            }
        }
    }

    /// The next event of a kind; every line until then must be an event.
    pub fn wait(&mut self, kind: &str) -> Value {
        self.wait_for(kind, |_| true)
    }

    /// The next event of a kind that `pick` takes.
    pub fn wait_for(&mut self, kind: &str, pick: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.line();
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            assert!(event["event"].is_string() && event["t"].is_f64(), "{line}");
            self.seen.push(event.clone());
            if event["event"] == kind && pick(&event) {
                return event;
            }
        }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end, reading what is left.
    pub fn end(mut self) -> End {
        let rest = std::iter::from_fn(|| self.lines.recv_timeout(PATIENCE).ok()).collect();
        let code = self.child.wait().unwrap().code();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        End { code, stderr, rest }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
