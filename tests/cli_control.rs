//! Commands that act on a conference that runs: the built program asked by the built program.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use process::{Process, alm};
use serde_json::Value;
use tempfile::TempDir;

/// Asks the process whose state directory is `state`.
fn ask(dir: &Path, state: &str, args: &str) -> Output {
    let line = format!("{args} --state {state}");
    alm(dir, &line.split_whitespace().collect::<Vec<_>>()).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn assert_refused(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{output:?}");
    assert!(stderr.starts_with("alm: ") && words.iter().all(|word| stderr.contains(word)), "{stderr}");
}

/// Waits until the last half second of a recording is, or is not, silent.
fn wait_for_end(recording: &Path, silent: bool) {
    #[expect(clippy::disallowed_methods, reason = "a test that waits has a deadline")]
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let samples = alm_media::read_wav(recording).unwrap_or_default();
        let end = &samples[samples.len().saturating_sub(24_000)..];
        let loudest = end.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
        if end.len() == 24_000 && (loudest < 1e-3) == silent {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "a test that waits has a deadline")]
        let now = Instant::now();
        assert!(now < deadline, "silent: {silent}, loudest {loudest}, {} samples", samples.len());
        std::thread::yield_now();
    }
}

#[test]
fn a_running_conference_is_asked_and_told() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let mut host =
        Process::live(dir, "host", "host --session standup --input tone:440 --output null --name Hal");
    let host_node = host.wait("ready")["node"].as_str().unwrap().to_owned();
    let id = host.wait("session")["id"].as_str().unwrap().to_owned();
    let mut ann =
        Process::live(dir, "ann", &format!("join {id} --name ann --input silence --output file:ann.wav"));
    ann.wait("tree");
    let recording = dir.join("ann.wav");
    wait_for_end(&recording, false);

    // The microphone is off for sure, and on again.
    assert_eq!(text(&ask(dir, "host", "mute")), "your microphone is off\n");
    assert_eq!(host.wait("voice")["muted"], true);
    wait_for_end(&recording, true);
    assert_eq!(text(&ask(dir, "host", "ptt on")), "your microphone is on\n");
    wait_for_end(&recording, false);
    assert_eq!(text(&ask(dir, "host", "ptt toggle")), "your microphone is off\n");
    host.wait_for("voice", |voice| voice["muted"] == true);
    assert_eq!(text(&ask(dir, "host", "unmute")), "your microphone is on\n");

    // Played less loud, and not at all, here.
    ann.wait_for("levels", |levels| levels["voices"][host_node.as_str()].as_f64() > Some(-20.0));
    assert_eq!(text(&ask(dir, "ann", "volume Hal 0")), "Hal is played at 0 %\n");
    assert_eq!(ann.wait("volume")["percent"], 0);
    wait_for_end(&recording, true);
    text(&ask(dir, "ann", "volume Hal 100"));
    wait_for_end(&recording, false);
    assert_refused(&ask(dir, "ann", "volume Eve 50"), &["nobody here is called \"Eve\""]);

    // Written to all.
    text(&ask(dir, "ann", "say back in five"));
    let said = host.wait("chat");
    assert_eq!((said["text"].as_str(), said["node"] == host_node), (Some("back in five"), false));
    assert_eq!(ann.wait("chat")["text"], "back in five", "the writer sees it, too");

    // What is known, for people and for programs.
    ann.wait_for("media", |media| media["packets"].as_u64() > Some(20));
    let state: Value = serde_json::from_str(&text(&ask(dir, "ann", "stats --json"))).unwrap();
    assert_eq!((&state["session"]["name"], &state["session"]["role"]), (&"standup".into(), &"member".into()));
    assert_eq!(state["members"].as_object().unwrap().len(), 2, "{state}");
    let stats = text(&ask(dir, "ann", "stats"));
    assert!(stats.starts_with("standup, 2 members") && stats.contains("\nHal "), "{stats}");
    let tree = text(&ask(dir, "ann", "tree"));
    assert!(tree.contains("from Hal\nHal\n└─ ann (you)") || tree.contains("\nHal  "), "{tree}");
    assert!(text(&ask(dir, "ann", "tree --format dot")).starts_with("digraph"));
    assert!(text(&ask(dir, "ann", "tree --format svg")).starts_with("<svg"));

    // Only for this user, and not upset by nonsense.
    let folder = dir.join("ann/control");
    let socket = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&socket)), (0o700, 0o600));
    for nonsense in [&b"\n"[..], b"{}\n", b"{\"do\":\"dance\"}\n", &[0xff; 20_000]] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // It may be refused before all of it is written.
        let _ = stream.write_all(nonsense);
        let mut answer = String::new();
        let _ = BufReader::new(stream).read_line(&mut answer);
        assert!(answer.is_empty() || answer.contains("refused"), "{answer}");
    }

    text(&ask(dir, "ann", "leave"));
    assert_eq!(ann.wait("left")["reason"], "left");
    assert_eq!(ann.end().code, Some(0));
    assert_refused(&ask(dir, "ann", "mute"), &["nothing runs here", "--state"]);

    // A process that was killed leaves its socket behind; that is nobody.
    host.signal("KILL");
    host.end();
    assert_refused(&ask(dir, "host", "mute"), &["nothing runs here"]);
    assert_eq!(std::fs::read_dir(dir.join("host/control")).unwrap().count(), 0);
}

#[test]
fn of_several_one_must_be_named() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let host = |name: &str| {
        Process::live(dir, "state", &format!("host --session {name} --muted --input silence --output null"))
    };
    let (mut one, mut two) = (host("one"), host("two"));
    let mut lent = Process::live(dir, "state", "pool");
    for process in [&mut one, &mut two] {
        process.wait("session");
        assert_eq!(process.wait("voice")["muted"], true, "as it was started");
    }
    lent.wait("ready");
    assert_refused(&ask(dir, "state", "unmute"), &["several run here", "\"one\"", "\"two\"", "--pid"]);
    one.signal("TERM");
    one.end();
    assert_eq!(text(&ask(dir, "state", "unmute")), "your microphone is on\n", "a lent machine has no voice");
    two.signal("TERM");
    two.end();
    assert_refused(&ask(dir, "state", "unmute"), &["no conference"]);
    text(&ask(dir, "state", "leave"));
    assert_eq!(lent.end().code, Some(0), "and is taken back");
}
