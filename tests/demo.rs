//! `alm demo` from outside: the whole conference, and what it does when it cannot be.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alm_media::{SAMPLE_RATE, read_wav};
use process::{Process, alm};
use tempfile::TempDir;

/// Each demo is nine processes: two at once are more than a small machine has time for.
static TURN: Mutex<()> = Mutex::new(());

/// How often a demo may find that this machine had no time for it before the program is to blame.
const ATTEMPTS: usize = 3;

const NAMES: [&str; 5] = ["ada", "ben", "chi", "dee", "eli"];

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Processes that work below `dir`.
#[cfg(target_os = "linux")]
fn processes_below(dir: &Path) -> usize {
    let of_ours = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(dir.to_str().unwrap())
    };
    fs::read_dir("/proc").unwrap().filter(|entry| of_ours(entry.as_ref().unwrap())).count()
}

/// The line that begins so.
fn line(demo: &mut Process, start: &str) -> String {
    loop {
        let line = demo.line();
        assert!(!line.contains('\u{1b}'), "no terminal, no escape sequences: {line:?}");
        if line.starts_with(start) {
            return line;
        }
    }
}

#[test]
fn five_members_hear_each_other_and_the_demo_says_so() {
    let _turn = turn();
    let dir = TempDir::new().unwrap();
    let end = (0..ATTEMPTS)
        .map(|_| {
            let mut demo = Process::start(alm(dir.path(), &["demo", "--seconds", "6", "--out", "heard"]));
            line(&mut demo, "tree");
            line(&mut demo, " ● ada");
            demo.end()
        })
        .find(|end| !end.stderr.contains("did not hear"))
        .expect("somebody is not heard each time");
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
    let verdict = end.rest.last().unwrap();
    assert!(verdict.starts_with("OK: 5 members heard each other (worst "), "{verdict}");
    assert!(verdict.ends_with("WAVs in heard"), "{verdict}");
    let out = dir.path().join("heard");
    assert_eq!(entries(&out), NAMES.map(|name| format!("{name}.wav")), "recordings and nothing else");
    for name in NAMES {
        let seconds = read_wav(&out.join(format!("{name}.wav"))).unwrap().len() / SAMPLE_RATE as usize;
        assert!((6..30).contains(&seconds), "{name}: {seconds} s");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_said_in_one_line() {
    let _turn = turn();
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let end = Process::start(alm(dir.path(), &["demo", "--out", "file/heard"])).end();
    assert_eq!(end.code, Some(1));
    assert_eq!(
        end.stderr,
        "alm: cannot make the folder (not a directory): file/heard; choose another with --out DIR\n"
    );
}

#[test]
fn a_recording_that_cannot_be_made_ends_it_all_in_one_line() {
    let _turn = turn();
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("heard/dee.wav")).unwrap();
    let end = Process::start(alm(dir.path(), &["demo", "--out", "heard"])).end();
    assert_eq!(end.code, Some(1));
    assert_eq!(end.stderr.lines().count(), 1, "{end:?}");
    assert!(end.stderr.starts_with("alm: dee ended too early: "), "{end:?}");
    let left: Vec<String> = entries(&dir.path().join("heard"));
    assert!(left.iter().all(|name| !name.starts_with(".alm")), "{left:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn no_process_stays_behind_a_demo_that_is_stopped_or_killed() {
    let _turn = turn();
    for (signal, code) in [("TERM", Some(1)), ("KILL", None)] {
        let dir = TempDir::new().unwrap();
        // Named whole, so that its processes can be told by it.
        let out = dir.path().join("heard");
        let mut demo = Process::start(alm(dir.path(), &["demo", "--out", out.to_str().unwrap()]));
        line(&mut demo, "tree");
        assert_eq!(processes_below(dir.path()), 9);
        demo.signal(signal);
        let end = demo.end();
        assert_eq!(end.code, code, "{end:?}");
        if signal == "TERM" {
            assert_eq!(end.stderr, "alm: stopped before the verdict\n");
            assert_eq!(processes_below(dir.path()), 0);
        }
        for _ in 0..50 {
            if processes_below(dir.path()) == 0 {
                break;
            }
            #[expect(clippy::disallowed_methods, reason = "nobody tells when a stranger's process is gone")]
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert_eq!(processes_below(dir.path()), 0, "after {signal}");
    }
}
