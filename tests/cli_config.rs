//! Settings, completions and manual pages from outside: all from the one definition of the flags.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::path::Path;

use process::alm;
use tempfile::TempDir;

fn said(dir: &Path, args: &[&str]) -> String {
    let output = alm(dir, args).env("ALM_FRAME", "10ms").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_setting_says_where_it_comes_from() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("c.toml"), "degree = 8\n[host]\nbitrate = '64k'\n").unwrap();
    let told = said(dir.path(), &["--config", "c.toml", "config", "host"]);
    let line = |name: &str| {
        let found = told.lines().find(|line| line.split_whitespace().next() == Some(name));
        found.unwrap_or_else(|| panic!("{name}: {told}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("degree"), ["degree", "8", "c.toml:1"]);
    assert_eq!(line("bitrate"), ["bitrate", "64k", "c.toml:3"]);
    assert_eq!(line("frame"), ["frame", "10ms", "ALM_FRAME"]);
    assert_eq!(line("objective"), ["objective", "forest", "default"]);
    let end = alm(dir.path(), &["config", "hots"]).output().unwrap();
    assert_eq!(end.status.code(), Some(2));
}

#[test]
fn shells_and_manual_know_every_command() {
    let dir = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = said(dir.path(), &["completions", shell]);
        assert!(
            ["host", "join", "--bootstrap"].iter().all(|word| script.contains(word.trim_start_matches('-')))
        );
    }
    let told = said(dir.path(), &["man", "pages"]);
    assert!(told.ends_with("pages in pages\n"), "{told}");
    for (page, words) in [("alm.1", "conference"), ("alm-host.1", "session"), ("alm-join.1", "microphone")] {
        let text = std::fs::read_to_string(dir.path().join("pages").join(page)).unwrap();
        assert!(text.contains(words), "{page}: {text}");
    }
}
