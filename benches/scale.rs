//! What a conference costs its task manager and a member, as a function of how many are in: `cargo bench --bench scale`.
//!
//! `alm lab` runs each size with real nodes (QUIC, MLS, Opus) on an emulated network in virtual time: one talks, and one
//! more comes in every second. With the tests it runs small sizes once; `--sizes 50,100` chooses others, which above 50 take
//! several minutes each.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::process::Command;

use serde_json::Value;

/// Members, and how many come in meanwhile.
const SIZES: [usize; 3] = [10, 20, 50];
const SMOKE: [usize; 2] = [4, 8];
const JOINERS: usize = 20;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let is_bench = args.iter().any(|arg| arg == "--bench");
    let given = args.iter().position(|arg| arg == "--sizes").and_then(|at| args.get(at + 1));
    let sizes: Vec<usize> = match given {
        Some(given) => given.split(',').map(|size| size.parse().expect("--sizes takes numbers")).collect(),
        None if is_bench => SIZES.to_vec(),
        None => SMOKE.to_vec(),
    };
    let joiners = if is_bench { JOINERS } else { 2 };
    let place = tempfile::tempdir().expect("a place for a matrix");
    let (matrix, script) = (place.path().join("net.rtt"), place.path().join("joins"));
    let hosts = sizes.iter().max().map_or(1, |most| most + joiners);
    run(&["gen", "plane", "--hosts", &hosts.to_string(), "--out", &matrix.display().to_string()]);
    std::fs::write(&script, format!("1s join {joiners} every 1s\n")).expect("a script");
    println!("{:>7} | {:>36} | {:>36} |", "", "task manager", "a member (median)");
    let columns = ["core %", "plan %", "out kbit/s", "in kbit/s"];
    let heads = columns.map(|column| format!("{column:>10}")).join("");
    println!("{:>7} |{heads} |{heads} | all hear | join ms p50", "members");
    for size in sizes {
        let members = (size - joiners.min(size - 2)).to_string();
        let duration = format!("{}s", joiners + 3);
        let out = run(&[
            "lab",
            "--json",
            "--helpers",
            "0",
            "--talkers",
            "1",
            "--degrees",
            "uniform:4",
            "--join-every",
            "20ms",
            "--matrix",
            &matrix.display().to_string(),
            "--script",
            &script.display().to_string(),
            "--members",
            &members,
            "--duration",
            &duration,
        ]);
        let report: Value = serde_json::from_slice(&out).expect("the lab's report");
        let cost = |who: &str| {
            ["core_percent", "planning_percent", "control_out_kbps", "control_in_kbps"]
                .map(|field| format!("{:>10.2}", report[who][field].as_f64().unwrap_or(f64::NAN)))
                .join("")
        };
        let mut joins: Vec<f64> =
            report["join_ms"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        joins.sort_by(f64::total_cmp);
        let join = joins.get(joins.len() / 2).copied().unwrap_or(f64::NAN);
        println!(
            "{size:>7} |{} |{} | {:>8} | {join:>6.0}",
            cost("host_cost"),
            cost("member_cost"),
            report["heard"]
        );
        assert_eq!(report["heard"], true, "somebody did not hear the speaker: {}", report["unheard"]);
    }
}

fn run(args: &[&str]) -> Vec<u8> {
    let out = Command::new(env!("CARGO_BIN_EXE_alm")).args(args).output().expect("alm runs");
    assert!(out.status.success(), "alm {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr));
    out.stdout
}
