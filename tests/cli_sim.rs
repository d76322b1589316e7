//! `alm sim` and `alm bench coords` from outside.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn alm(dir: &TempDir, args: &str) -> Output {
    let mut alm = Command::new(env!("CARGO_BIN_EXE_alm"));
    alm.args(args.split_whitespace()).current_dir(dir.path()).env_clear().env("HOME", dir.path());
    alm.output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn with_matrix(hosts: usize) -> TempDir {
    let dir = TempDir::new().unwrap();
    assert!(alm(&dir, &format!("gen plane --hosts {hosts} --out plane.rtt")).status.success());
    dir
}

#[test]
fn sessions_compete_the_same_way_every_time() {
    let dir = with_matrix(120);
    let run = || {
        alm(
            &dir,
            "sim sessions --matrix plane.rtt --sessions 5..15 --members 6 --moves 2000 --seed 3 --format json",
        )
    };
    let counts = lines(&run());
    assert_eq!(run().stdout, run().stdout, "the same arguments, the same bytes");
    assert_eq!(counts.iter().map(|line| line["sessions"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 15]);
    for line in &counts {
        assert_eq!(line["unplanned"], 0);
        assert!(line["plans_per_session"].as_f64().unwrap() >= 1.0 && line["preemptions"].is_u64());
        let priorities = line["by_priority"].as_array().unwrap();
        assert_eq!(
            priorities.iter().map(|one| one["priority"].as_u64().unwrap()).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        for one in priorities {
            for field in ["improvement", "helpers", "lower_bound", "upper_bound"] {
                assert!(one[field].is_f64(), "{field}: {one}");
            }
        }
    }
}

#[test]
fn a_line_that_stalls_is_no_dead_relay() {
    let dir = TempDir::new().unwrap();
    let mut series = vec!["20"; 600];
    series[300..304].fill("400");
    series[500] = "-1";
    std::fs::write(dir.path().join("line.series"), series.join("\n")).unwrap();
    let rows = lines(&alm(&dir, "sim watch --series line.series --format json"));
    assert_eq!(
        rows.iter().map(|row| row["line_of"].as_str().unwrap()).collect::<Vec<_>>(),
        ["listener", "relay"]
    );
    for row in rows {
        assert!(row["suspected_per_hour"].as_f64().unwrap() > 0.0, "{row}");
        assert_eq!(row["given_up_per_hour"], 0.0, "{row}");
    }
    std::fs::write(dir.path().join("line.series"), "20\nx\n").unwrap();
    assert_eq!(alm(&dir, "sim watch --series line.series").status.code(), Some(2));
}

#[test]
fn a_pool_is_simulated_to_the_same_bytes_with_the_contracts_fields() {
    let dir = with_matrix(30);
    let run = |args: &str| {
        let args = format!("sim pool --nodes 40 --matrix plane.rtt --duration 15s --lookups 5 {args}");
        let output = alm(&dir, &args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let outcome: Value = serde_json::from_str(&run("--format json --crash 10%@2s")).unwrap();
    assert_eq!((outcome["nodes"].as_u64(), outcome["seed"].as_u64()), (Some(40), Some(1)));
    for field in ["hops_mean", "stretch_mean", "messages_per_node_s", "bytes_per_node_s", "heal_s"] {
        assert!(outcome[field].is_f64(), "{field}: {outcome}");
    }
    for field in ["hops_p99", "lookups", "lost", "wrong"] {
        assert!(outcome[field].is_u64(), "{field}: {outcome}");
    }
    assert!(outcome["view_complete"].is_f64() && outcome["somo_height"].is_u64());
    for field in ["bandwidth_error_p50", "bandwidth_error_p90"] {
        assert!(outcome.get(field).is_some_and(Value::is_null), "{field}: {outcome}");
    }
    let rough = "--gather call --fanout 4 --report-interval 2s --churn 60s --loss 2% --partition 30%@5s..10s";
    assert_eq!(run(rough), run(rough), "the same arguments, the same bytes");
    assert!(run(rough).contains("hops_mean"));
}

#[test]
fn more_members_than_nodes_and_odd_counts_are_refused() {
    let dir = with_matrix(20);
    for (args, word) in [
        ("sim sessions --matrix plane.rtt --sessions 9 --members 6", "54 members"),
        ("sim sessions --matrix plane.rtt --sessions 0", "--sessions"),
        ("sim sessions --matrix none.rtt --sessions 1", "none.rtt"),
        ("sim pool --nodes 0", "--nodes"),
        ("sim pool --nodes 9 --fanout 3", "--fanout"),
        ("sim pool --nodes 9 --report-interval 1ms", "--report-interval"),
        ("sim pool --nodes 9 --crash 50%", "--crash"),
        ("sim pool --nodes 9 --partition 2@1s..2s", "--partition"),
        ("sim pool --nodes 9 --lookups 2000000", "--lookups"),
        ("sim pool --nodes 9 --matrix none.rtt", "none.rtt"),
        ("bench coords --matrix plane.rtt --dimensions 99", "--dimensions 99"),
        ("bench coords --matrix plane.rtt --methods magic", "magic"),
    ] {
        let output = alm(&dir, args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args}: {stderr}");
        assert!(
            stderr.starts_with("alm: ") && stderr.lines().count() == 1 && stderr.contains(word),
            "{stderr}"
        );
    }
}

#[test]
fn coordinates_are_judged_by_what_nobody_fitted() {
    let dir = with_matrix(60);
    let rows = lines(&alm(
        &dir,
        "bench coords --matrix plane.rtt --dimensions 2 --neighbours 16 --sessions 4 --format json",
    ));
    let median = |method: &str| {
        let row = rows.iter().find(|row| row["method"] == method).unwrap();
        assert!(row["error_p90"].is_f64() && row["height_ratio"].is_f64(), "{row}");
        row["error_p50"].as_f64().unwrap()
    };
    assert!(median("seed") < 0.05, "a plane is found again");
    assert!(median("height") < 0.05);
    assert_eq!(median("oracle"), 0.0);
}
