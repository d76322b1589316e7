//! `alm lab` from outside: few nodes, and what the contract promises of the report.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn alm(dir: &TempDir, args: &str) -> Output {
    let mut alm = Command::new(env!("CARGO_BIN_EXE_alm"));
    alm.args(args.split_whitespace()).current_dir(dir.path()).env_clear().env("HOME", dir.path());
    alm.output().unwrap()
}

fn lab(args: &str, script: &str) -> (Output, TempDir) {
    let dir = TempDir::new().unwrap();
    assert!(alm(&dir, "gen plane --hosts 12 --seed 3 --out plane.rtt").status.success());
    fs::write(dir.path().join("script"), script).unwrap();
    let output = alm(&dir, &format!("lab --matrix plane.rtt --degrees uniform:2 {args} --script script"));
    (output, dir)
}

#[test]
fn a_conference_lives_through_a_script() {
    let script = "# what happens\n1s kill relay\n3s join\n5s leave m1\n8s kick m2\n";
    let (output, _) = lab("--members 5 --helpers 2 --objective diameter --duration 10s --json", script);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let number = |field: &str| report[field].as_f64().unwrap_or_else(|| panic!("{field}: {report}"));
    assert_eq!((number("members"), number("helpers")), (6.0, 2.0));
    assert_eq!(report["heard"], true, "{report}");
    let (planned, measured) = (number("planned_worst_ms"), number("measured_worst_ms"));
    assert!((planned - measured).abs() <= 10.0_f64.max(planned / 10.0), "{planned} {measured}");
    assert!(number("best_server_ms") > 0.0 && number("media_bytes") > number("control_bytes") / 10.0);
    let joins = report["join_ms"].as_array().unwrap();
    assert!(joins.len() == 5 && joins.iter().all(|ms| ms.as_f64().unwrap() <= 3_000.0), "{joins:?}");
    let gaps = report["gaps"].as_array().unwrap();
    let of = |cause: &str| -> Vec<f64> {
        let of = gaps.iter().filter(|gap| gap["cause"].as_str().unwrap().starts_with(cause));
        of.map(|gap| gap["gap_ms"].as_f64().unwrap()).collect()
    };
    assert!(of("kill relay").iter().all(|ms| *ms <= 500.0), "{gaps:?}");
    assert!(of("leave").iter().chain(&of("join")).all(|ms| *ms < 20.0), "{gaps:?}");
    let kick = &report["kicks"][0];
    assert!(kick["heard_for_ms"].as_f64().unwrap() <= 1_000.0, "{kick}");
    assert!(kick["hears_for_ms"].as_f64().unwrap() <= 3_000.0, "{kick}");
    let repairs = report["repairs"].as_array().unwrap();
    assert!(repairs.iter().all(|repair| repair["detected_ms"].as_f64().unwrap() <= 120.0), "{repairs:?}");
}

#[test]
fn with_two_trees_nobody_misses_a_relay() {
    let dir = TempDir::new().unwrap();
    assert!(alm(&dir, "gen plane --hosts 12 --seed 3 --out plane.rtt").status.success());
    let args = "lab --matrix plane.rtt --members 6 --helpers 2 --degrees uniform:3 --protect --kill relay@2s --duration 4s --json";
    let output = alm(&dir, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let gaps = report["gaps"].as_array().unwrap();
    assert!(gaps.iter().all(|gap| gap["gap_ms"].as_f64().unwrap() <= 20.0), "{gaps:?}");
    assert_eq!(
        (&report["heard"], report["troubles"].as_array().unwrap().len()),
        (&Value::Bool(true), 0),
        "{report}"
    );
}

#[test]
fn a_bad_line_of_a_script_is_named() {
    for (line, said) in [
        ("5s dance", "alm: '5s dance' is no step: script:2; write TIME and one of"),
        ("9s heal", "alm: a step"),
    ] {
        let (output, _) = lab("--members 2 --helpers 0 --duration 8s", &format!("1s loss 0\n{line}\n"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with(said) && stderr.lines().count() == 1, "{stderr}");
    }
}
