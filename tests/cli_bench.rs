//! `alm bench` and `alm gen` from outside: line by line of what they promise.

#![expect(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a matrix of 40 hosts in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        assert_eq!(folder.ok("gen transit-stub --hosts 40 --seed 1 --out ts.rtt"), "");
        folder
    }

    fn run(&self, args: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alm"));
        command.args(args.split_whitespace()).current_dir(self.0.path()).env_clear();
        let output = command.env("HOME", self.0.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn ok(&self, args: &str) -> String {
        let (code, stdout, stderr) = self.run(args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args}");
        stdout
    }

    fn refused(&self, args: &str) -> (i32, String) {
        let (code, stdout, stderr) = self.run(args);
        assert_eq!((stdout.as_str(), stderr.matches('\n').count()), ("", 1), "{args}: {stderr}");
        (code, stderr.trim_end().to_owned())
    }

    /// The JSON lines of a bench, without times.
    fn bench(&self, args: &str) -> Vec<Value> {
        let text = self.ok(&format!("bench --matrix ts.rtt --format json {args}"));
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.iter_mut().for_each(without_times);
        lines
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }
}

fn without_times(line: &mut Value) {
    for list in ["plans", "algorithms"] {
        for entry in line.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let entry = entry.as_object_mut().unwrap();
            entry.retain(|key, _| !key.starts_with("plan_us"));
        }
    }
}

#[test]
fn the_last_line_is_the_contracts_summary() {
    let folder = Folder::new();
    let text =
        folder.ok("bench --matrix ts.rtt --sessions 5 --group 8 --algorithms amcast,best --format json");
    assert_eq!(text.lines().count(), 6);
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&summary), ["algorithms", "matrix", "objective", "sessions", "summary"]);
    assert_eq!(
        (&summary["summary"], &summary["matrix"], &summary["objective"], &summary["sessions"]),
        (&Value::from(true), &Value::from("ts"), &Value::from("height"), &Value::from(5))
    );
    let rows = summary["algorithms"].as_array().unwrap();
    assert_eq!((&rows[0]["name"], &rows[1]["name"]), (&Value::from("amcast"), &Value::from("best")));
    let mut expected = [
        "name",
        "height_ms_mean",
        "diameter_ms_mean",
        "worst_ms_mean",
        "mean_ms_mean",
        "improvement",
        "ratio_to_bound",
        "ratio_to_bound_p90",
        "helpers_mean",
        "hops_mean",
        "plan_us_p50",
        "plan_us_p99",
    ];
    expected.sort_unstable();
    assert_eq!(keys(&rows[0]), expected);
    assert_eq!(rows[0]["improvement"], 0.0);
    assert!(rows[1]["improvement"].as_f64().unwrap() >= 0.0);
    assert!(rows[1]["ratio_to_bound"].as_f64().unwrap() >= 1.0);
}

#[test]
fn probes_keep_what_coordinates_lose() {
    let folder = Folder::new();
    // With 32 neighbours each, a smaller network would leave little to estimate.
    folder.ok("gen transit-stub --hosts 64 --seed 2 --out ts.rtt");
    let flags = "--sessions 6 --group 6 --algorithms amcast+adjust,critical+adjust";
    let measured = folder.bench(flags);
    let probed = folder.bench(&format!("{flags} --latency coords --probes 12"));
    for (on_matrix, on_coords) in measured.iter().zip(&probed[..6]) {
        assert_eq!(on_matrix["plans"][0]["height_ms"], on_coords["plans"][0]["height_ms"]);
        assert_eq!(on_matrix["plans"][1]["height_ms"], on_coords["measured_ms"]);
        let height = |at: usize| on_coords["plans"][at]["height_ms"].as_f64().unwrap();
        assert!(height(1) <= height(0));
        assert!(on_coords["plans"][1]["probes"].as_u64().unwrap() <= 12);
    }
    let row = &probed[6]["algorithms"][1];
    assert!(row["gain_kept"].as_f64().unwrap() > 0.0 && row["probes_mean"].as_f64().unwrap() > 0.0, "{row}");
}

#[test]
fn protection_is_held_against_one_tree() {
    let flags = "--sessions 4 --group 6 --degrees uniform:4 --algorithms amcast,best --moves 3000 --protect";
    let lines = Folder::new().bench(flags);
    for plan in lines[..4].iter().map(|line| &line["plans"][1]) {
        assert!(plan["height_ms"].as_f64() <= plan["other_ms"].as_f64());
        assert!(plan["unprotected_ms"].as_f64().unwrap() > 0.0);
    }
    let row = &lines[4]["algorithms"][1];
    assert_eq!(row["fit"], 1.0);
    let over = |key: &str| row[key].as_f64().unwrap();
    assert!(over("over_unprotected") >= 0.9 && over("other_over_unprotected") >= over("over_unprotected"));
    let none = Folder::new().bench(&flags.replace("uniform:4", "uniform:2").replace("amcast,best", "amcast"));
    assert_eq!(none[4]["algorithms"][0]["fit"], 0.0);
}

#[test]
fn improvement_is_the_mean_over_sessions_against_amcast_without_helpers() {
    let lines = Folder::new().bench("--sessions 6 --group 8 --algorithms critical+adjust");
    let (sessions, summary) = lines.split_at(6);
    let mean = sessions
        .iter()
        .map(|line| {
            let (amcast, height) = (&line["amcast_ms"], &line["plans"][0]["height_ms"]);
            1.0 - height.as_f64().unwrap() / amcast.as_f64().unwrap()
        })
        .sum::<f64>()
        / 6.0;
    assert!((summary[0]["algorithms"][0]["improvement"].as_f64().unwrap() - mean).abs() < 1e-4);
}

#[test]
fn threads_and_shards_make_no_difference() {
    let folder = Folder::new();
    let flags = "--sessions 7 --group 8 --algorithms random,scribe,critical+adjust,best --moves 2000";
    let whole = folder.bench(&format!("{flags} --threads 1"));
    assert_eq!(folder.bench(&format!("{flags} --threads 3")), whole);
    for shard in 1..=3 {
        let text = folder.ok(&format!("bench --matrix ts.rtt --format json {flags} --shard {shard}/3"));
        fs::write(folder.0.path().join(format!("{shard}.json")), text).unwrap();
    }
    let text = folder.ok("bench --merge 3.json 1.json 2.json --format json");
    let mut merged: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    merged.iter_mut().for_each(without_times);
    assert_eq!(merged, whole);
    let (code, line) = folder.refused("bench --merge 1.json 1.json");
    assert_eq!((code, line.as_str()), (2, "alm: session 0 is in two shards: --merge; give each shard once"));
}

#[test]
fn a_session_depends_on_its_number_and_the_seed_alone() {
    let folder = Folder::new();
    let few = folder.bench("--sessions 2 --group 8 --algorithms compact");
    let more = folder.bench("--sessions 4 --group 8 --algorithms random,compact");
    assert_eq!(few[1]["plans"][0], more[1]["plans"][1]);
    let other = folder.bench("--sessions 2 --group 8 --algorithms compact --seed 2");
    assert_ne!(few[1]["seed"], other[1]["seed"]);
    // And `alm plan` makes the same session of it.
    let plan = folder.ok(&format!(
        "plan --matrix ts.rtt --members random:8 --degrees paper --helpers all --algorithm compact --format json --seed {}",
        few[1]["seed"]
    ));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!((&plan["height_ms"], &plan["root"]), (&few[1]["plans"][0]["height_ms"], &few[1]["root"]));
}

#[test]
fn people_and_spreadsheets_get_a_row_an_algorithm() {
    let folder = Folder::new();
    let table = folder.ok("bench --matrix ts.rtt --sessions 3 --group 8 --helpers none");
    let list = folder.ok("bench --list");
    for name in ["unicast", "narada", "splitstream", "amcast+adjust", "closest+adjust", "best"] {
        assert!(table.contains(&format!("\n{name}")), "{name} is missing from\n{table}");
        assert!(list.contains(name));
    }
    assert!(table.contains("* unicast gives a node up to"), "{table}");
    let csv =
        folder.ok("bench --matrix ts.rtt --sessions 3 --group 8,12 --algorithms amcast,compact --format csv");
    let rows: Vec<Vec<&str>> = csv.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len(), rows[4].len()), (5, 21, 21));
    assert_eq!(rows[4][..5], ["\"ts\"", "height", "12", "3", "amcast"]);
    assert_eq!(rows[2][2], "8");
}

#[test]
fn exact_is_the_least_of_all() {
    let folder = Folder::new();
    let flags = "--sessions 6 --group 6 --helpers random:4 --algorithms exact,best,critical+adjust,compact";
    for objective in ["height", "diameter"] {
        let lines = folder.bench(&format!("{flags} --objective {objective}"));
        for line in &lines[..6] {
            let plans = line["plans"].as_array().unwrap();
            let exact = plans[0][format!("{objective}_ms")].as_f64().unwrap();
            assert!(
                plans.iter().all(|plan| plan[format!("{objective}_ms")].as_f64().unwrap() >= exact - 0.002)
            );
            assert!(line["lower_bound_ms"].as_f64().unwrap() <= exact + 0.002);
        }
    }
    let table = folder.ok("bench --matrix ts.rtt --sessions 2 --algorithms exact,amcast");
    assert!(table.contains("exact planned 0 of 2 sessions"), "{table}");
}

#[test]
fn a_forest_is_held_against_the_shared_tree_of_amcast() {
    let lines = Folder::new().bench("--sessions 2 --group 6 --helpers none --objective forest --moves 500");
    for line in &lines[..2] {
        let names: Vec<_> = line["plans"].as_array().unwrap().iter().map(|plan| &plan["algorithm"]).collect();
        assert_eq!(names, ["unicast", "best"]);
        let (amcast, worst) = (&line["amcast_ms"], &line["plans"][1]["worst_ms"]);
        let gain = 1.0 - worst.as_f64().unwrap() / amcast.as_f64().unwrap();
        assert!((line["plans"][1]["improvement"].as_f64().unwrap() - gain).abs() < 1e-4);
    }
}

#[test]
fn charts_are_drawn() {
    let folder = Folder::new();
    folder.ok("bench --matrix ts.rtt --sessions 3 --group 8 --algorithms amcast,best --plot one.svg");
    let chart = folder.text("one.svg");
    assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n") && chart.contains(">best</text>"));
    folder.ok("bench --matrix ts.rtt --sessions 3 --group 6,12 --algorithms amcast,best --plot two.svg");
    let chart = folder.text("two.svg");
    assert!(chart.contains("members of a session") && chart.contains(">amcast</text>"));
    let (code, _, stderr) =
        folder.run("bench --matrix ts.rtt --sessions 1 --group 4 --algorithms amcast --plot none/x.svg");
    let expected = "alm: cannot write the chart (no such file or directory): none/x.svg\n";
    assert_eq!((code, stderr.as_str()), (1, expected));
}

#[test]
fn generated_matrices_depend_on_the_seed_alone() {
    let folder = Folder::new();
    let made = folder.ok("gen plane --hosts 30 --seed 7");
    assert_eq!(folder.ok("gen plane --hosts 30 --seed 7"), made);
    assert_ne!(folder.ok("gen plane --hosts 30 --seed 8"), made);
    assert!(made.starts_with("# name: plane30-seed7\n# n: 30\n"));
    let stub = folder.text("ts.rtt");
    assert_eq!(stub.lines().filter(|line| !line.starts_with('#')).count(), 40);
    assert_eq!(stub, folder.ok("gen transit-stub --hosts 40"));
}

#[test]
fn wrong_arguments_are_one_line_each() {
    let folder = Folder::new();
    fs::write(folder.0.path().join("text"), "hello\n").unwrap();
    let cases = [
        ("bench", "alm: a flag is missing: --matrix <FILE>; name a recording of round trips"),
        (
            "bench --matrix ts.rtt --probes 3",
            "alm: there is nothing to probe on a matrix: --probes; add --latency coords, or leave it out",
        ),
        ("bench --matrix ts.rtt --group 0", "alm: bad value: --group 0; use a number of members, such as 20"),
        (
            "bench --matrix ts.rtt --shard 4/3",
            "alm: bad value: --shard 4/3; name a shard as 1/4, 2/4, 3/4 or 4/4",
        ),
        (
            "bench --matrix ts.rtt --group 41 --sessions 2",
            "alm: there are only 40 nodes to draw from: --members random:41; draw fewer",
        ),
        (
            "bench --merge text",
            "alm: the line is not JSON: text:1; give files that `alm bench --format json` wrote",
        ),
        (
            "gen plane --hosts 0",
            "alm: no matrix has that many hosts: --hosts 0; use a number from 1 to 16384",
        ),
        (
            "gen plane --hosts 99999",
            "alm: no matrix has that many hosts: --hosts 99999; use a number from 1 to 16384",
        ),
    ];
    for (args, expected) in cases {
        assert_eq!(folder.refused(args), (2, expected.to_owned()), "{args}");
    }
    let (code, line) = folder.refused("bench --matrix ts.rtt --algorithms amcast,worst");
    assert_eq!(code, 2);
    assert!(line.starts_with("alm: bad value: --algorithms worst; 'worst' is none of unicast, "), "{line}");
}
