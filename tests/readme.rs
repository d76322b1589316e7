//! What the README tells people to type works as it stands.

#![allow(clippy::unwrap_used, reason = "a README that cannot be read fails its test")]

use std::process::Command;

/// The indented lines of the README that begin with `start`, without their comments.
fn commands(start: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let code = readme.lines().filter_map(|line| line.strip_prefix("    "));
    code.map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
        .filter(|line| line.starts_with(start))
        .collect()
}

#[test]
fn the_planning_example_plans() {
    let examples = commands("alm plan");
    assert!(!examples.is_empty());
    for example in examples {
        let mut alm = Command::new(env!("CARGO_BIN_EXE_alm"));
        alm.args(example.split_whitespace().skip(1)).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = alm.output().unwrap();
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("(root)"), "{example}");
    }
}

#[test]
fn every_command_in_the_readme_exists() {
    for line in commands("alm ") {
        let command = line.split_whitespace().nth(1).unwrap_or_default();
        let help = Command::new(env!("CARGO_BIN_EXE_alm")).args(["help", command]).output().unwrap();
        assert!(help.status.success(), "alm {command}");
    }
}

#[test]
fn the_two_commands_of_the_readme_are_in_the_makefile() {
    let makefile = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Makefile")).unwrap();
    for line in commands("make ") {
        let target = line.split_whitespace().nth(1).unwrap_or_default();
        assert!(makefile.contains(&format!("\n{target}:")), "{target}");
    }
}
