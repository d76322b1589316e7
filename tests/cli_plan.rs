//! `alm plan` from outside: the built program, in a fresh folder, line by line of what it promises.

#![expect(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Six nodes; round trips in ms. Node 5 is near to all, the pair 0 4 was not measured.
const MATRIX: &str = "\
# name: six
# n: 6
0 20 40 60 -1 10
20 0 30 50 70 12
40 30 0 20 40 14
60 50 20 0 30 16
-1 70 40 30 0 18
10 12 14 16 18 0
";

struct Folder(TempDir);

struct Output {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Folder {
    /// A folder with the matrix in it.
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        folder.write("six.rtt", MATRIX);
        folder
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program, with nothing of the user's around it.
    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alm"));
        command.args(args.split_whitespace()).current_dir(self.path()).env_clear();
        command.env("HOME", self.path()).env("XDG_CONFIG_HOME", self.path().join("config"));
        command
    }

    fn run(&self, args: &str) -> Output {
        run(self.command(args))
    }

    /// Runs `alm plan` on the matrix and gives the objects that it prints.
    fn plan(&self, args: &str) -> Vec<Value> {
        let output = self.run(&format!("plan --matrix six.rtt --format json {args}"));
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args}");
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs `alm` and gives its exit code and its only line on stderr.
    fn refused(&self, args: &str) -> (i32, String) {
        let output = self.run(args);
        assert_eq!(output.stdout, "", "{args}");
        assert_eq!(output.stderr.matches('\n').count(), 1, "{args}: {}", output.stderr);
        (output.code.unwrap(), output.stderr.trim_end().to_owned())
    }
}

fn run(mut command: Command) -> Output {
    let output = command.output().unwrap();
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn json_has_the_contracts_fields_in_order() {
    let folder = Folder::new();
    let output =
        folder.run("plan --matrix six.rtt --root 0 --members 0,1,2 --degrees uniform:2 --format json");
    let (before, after) = output.stdout.split_once("\"elapsed_us\":").unwrap();
    let expected = "{\"algorithm\":\"critical\",\"objective\":\"height\",\"root\":0,\"members\":[0,1,2],\
        \"helpers\":[],\"edges\":[[0,1],[0,2]],\"height_ms\":20.0,\"diameter_ms\":30.0,\"lower_bound_ms\":";
    assert!(before.starts_with(expected), "{before}");
    assert!(after.trim_end().ends_with(",\"seed\":1}"), "{after}");
}

#[test]
fn a_forest_has_a_tree_per_member_in_place_of_edges() {
    let folder = Folder::new();
    let args = "--members 0,1,2,3 --degrees uniform:2 --helpers all --objective forest";
    let plan = folder.plan(args).remove(0);
    assert_eq!((&plan["algorithm"], &plan["edges"]), (&"best".into(), &Value::Null));
    assert_eq!(&plan["speakers"], &3);
    let trees = plan["trees"].as_array().unwrap();
    let sources: Vec<_> = trees.iter().map(|tree| &tree["sources"][0]).collect();
    assert_eq!(sources, [0, 1, 2, 3]);
    assert!(plan["mean_ms"].as_f64().unwrap() < plan["worst_ms"].as_f64().unwrap());
    assert!(plan["lower_bound_ms"].as_f64().unwrap() <= plan["worst_ms"].as_f64().unwrap());

    let star = folder.plan(&format!("{args} --speakers 1 --algorithm unicast")).remove(0);
    assert_eq!((&star["speakers"], &star["degree_excess"]), (&1.into(), &1.into()));
    assert_eq!(star["worst_ms"], 30.0);
    let text = folder.run(&format!("plan --matrix six.rtt {args} --speakers 1 --algorithm unicast")).stdout;
    assert!(text.contains("3 (source)\n"), "{text}");
    assert!(text.contains("\nit takes 1 copy more at one node than that can carry\n"), "{text}");
    let dot = folder.run(&format!("plan --matrix six.rtt {args} --format dot")).stdout;
    assert!(dot.contains("  subgraph cluster_3 {\n    label=\"from 3\";"), "{dot}");
    let (code, line) = folder.refused(&format!("plan --matrix six.rtt {args} --algorithm critical"));
    let expected = "alm: critical finds no plan (critical does not plan for the objective forest): root 0; \
        use --algorithm best";
    assert_eq!((code, line.as_str()), (1, expected));
}

#[test]
fn best_is_bounded_by_moves_or_by_time() {
    let folder = Folder::new();
    let args = "--members 0,1,2,3 --degrees uniform:2 --helpers all --algorithm best";
    let edges = |flags: &str| folder.plan(&format!("{args} {flags}")).remove(0)["edges"].clone();
    assert_eq!(edges("--moves 500"), edges("--moves 500"));
    assert_eq!(edges(""), edges(""));
    assert!(edges("--budget 2ms").is_array());
    let (code, _) = folder.refused(&format!("plan --matrix six.rtt {args} --moves 5 --budget 2ms"));
    assert_eq!(code, 2);
}

#[test]
fn several_algorithms_give_one_object_a_line() {
    let plans = Folder::new()
        .plan("--members 0,1,2,3,4 --degrees uniform:4 --helpers all --algorithm amcast,critical");
    let names: Vec<_> = plans.iter().map(|plan| plan["algorithm"].as_str().unwrap()).collect();
    assert_eq!(names, ["amcast", "critical"]);
}

#[test]
fn the_root_is_a_member_and_named_first() {
    let folder = Folder::new();
    let members = |args: &str| folder.plan(&format!("--degrees uniform:4 {args}"))[0]["members"].clone();
    assert_eq!(members("--members 2,1"), serde_json::json!([2, 1]));
    assert_eq!(members("--members 2,1 --root 1"), serde_json::json!([1, 2]));
    assert_eq!(members("--members 2,1 --root 3"), serde_json::json!([3, 2, 1]));
    let drawn = members("--members random:4 --root 3");
    assert_eq!((drawn.as_array().unwrap().len(), &drawn[0]), (4, &serde_json::json!(3)));
}

#[test]
fn draws_depend_on_the_seed_alone() {
    let folder = Folder::new();
    let plan = |seed| {
        let args = format!("--members random:4 --degrees paper --helpers random:1 --seed {seed}");
        let mut plan = folder.plan(&args).remove(0);
        plan["elapsed_us"] = Value::Null;
        plan
    };
    assert_eq!(plan(7), plan(7));
    assert!((1..9).any(|seed| plan(seed)["members"] != plan(7)["members"]));
}

#[test]
fn a_helper_is_used_where_it_shortens_the_tree() {
    let folder = Folder::new();
    folder.write("degrees", "1\n1\n1\n1\n1\n6\n");
    let plan = folder.plan("--members 0,1,2,3,4 --degrees degrees --helpers all").remove(0);
    assert_eq!(plan["helpers"], serde_json::json!([5]));
    assert_eq!(plan["height_ms"], 14.0);
    assert_eq!(plan["diameter_ms"], 17.0);
    let (code, line) = folder
        .refused("plan --matrix six.rtt --members 0,1,2,3,4 --degrees degrees --helpers all --max-helpers 0");
    assert_eq!(code, 1);
    assert_eq!(
        line,
        "alm: critical finds no plan (the degrees add up to 5, where a tree over the 5 members needs 8): root 0; \
         raise --degrees or allow --helpers"
    );
    for limit in ["--helpers none", "--helper-min-degree 7", "--radius 1ms"] {
        let args =
            format!("plan --matrix six.rtt --members 0,1,2,3,4 --degrees degrees --helpers all {limit}");
        let args = args.replace("--helpers all --helpers none", "--helpers none");
        assert_eq!(folder.refused(&args).0, 1, "{limit}");
    }
}

#[test]
fn a_shared_tree_is_judged_by_its_diameter() {
    let plan = Folder::new().plan("--members 0,1,2,3,5 --degrees uniform:4 --objective diameter").remove(0);
    assert_eq!(plan["objective"], "diameter");
    assert_eq!(plan["root"], 0);
    assert_eq!(plan["diameter_ms"], 15.0);
}

#[test]
fn forbidden_pairs_are_not_linked() {
    let folder = Folder::new();
    folder.write("forbid", "# behind the same wall\n0 1\n2 0\n");
    let plan = folder.plan("--members 0,1,2,3 --degrees uniform:3 --forbid forbid").remove(0);
    let edges = plan["edges"].as_array().unwrap();
    assert!(edges.contains(&serde_json::json!([0, 3])));
    assert!(!edges.contains(&serde_json::json!([0, 1])) && !edges.contains(&serde_json::json!([0, 2])));
}

#[test]
fn a_hop_cost_does_not_show_in_the_figures() {
    let plan = Folder::new().plan("--members 0,5,1 --degrees uniform:4 --hop-cost 50ms").remove(0);
    assert_eq!(plan["edges"], serde_json::json!([[0, 5], [0, 1]]));
    assert_eq!(plan["height_ms"], 10.0);
}

#[test]
fn missing_pairs_are_filled_dropped_or_refused() {
    let folder = Folder::new();
    let plan = folder.plan("--members 0,4 --degrees uniform:4").remove(0);
    assert_eq!(plan["height_ms"], 14.0, "by the way over node 5");
    let base = "plan --matrix six.rtt --members 0,4 --degrees uniform:4";
    assert_eq!(
        folder.refused(&format!("{base} --missing error")),
        (
            2,
            "alm: no latency is recorded for the pair 0 4: six.rtt; fill holes with --missing shortest-path"
                .into()
        )
    );
    let (code, line) = folder.refused(&format!("{base} --missing drop-nodes"));
    assert_eq!(code, 2);
    assert!(
        line.starts_with("alm: node 0 was dropped from the matrix because latencies are missing: six.rtt;")
    );
}

#[test]
fn directions_are_averaged_unless_directed() {
    let folder = Folder::new();
    folder.write("two.csv", "0,10\n30,0\n");
    let height = |flags: &str| {
        let args = format!("plan --matrix two.csv --members 0,1 --degrees uniform:1 --format json {flags}");
        serde_json::from_str::<Value>(&folder.run(&args).stdout).unwrap()["height_ms"].clone()
    };
    assert_eq!(height(""), 10.0);
    assert_eq!(height("--directed"), 5.0);
    assert_eq!(height("--directed --root 1"), 15.0);
}

#[test]
fn lists_and_slices_are_read() {
    let folder = Folder::new();
    folder.write("king", "0 1 8000\n0 2 6000\n1 2 4000\n1 0 8000\n");
    folder.write("slices", "# slice: 1\n0 2\n2 0\n# slice: 2\n0 4\n4 0\n");
    let height = |args: &str| {
        let output = folder.run(&format!("plan --members 0,1 --degrees uniform:2 --format json {args}"));
        serde_json::from_str::<Value>(&output.stdout).unwrap()["height_ms"].clone()
    };
    assert_eq!(height("--matrix king"), 4.0);
    assert_eq!(height("--matrix king --matrix-format p2psim"), 4.0);
    assert_eq!(height("--matrix slices"), 1.0);
    assert_eq!(height("--matrix slices --slice 2"), 2.0);
    let (code, line) = folder.refused("plan --matrix slices --slice 3 --members 0,1 --degrees uniform:2");
    assert_eq!((code, line.contains("there is no slice 3: slices:6;")), (2, true), "{line}");
}

#[test]
fn wrong_files_are_named_with_their_line() {
    let folder = Folder::new();
    folder.write("ragged", "0 1\n1 0 2\n");
    folder.write("word", "0 1\nx 0\n");
    folder.write("binary", [0xff, 0xfe, 0x00]);
    folder.write("degrees", "4\n4\n-4\n4\n4\n4\n");
    folder.write("few", "4\n4\n");
    folder.write("forbid", "0 1\n2\n");
    let on =
        |matrix: &str, rest: &str| folder.refused(&format!("plan --matrix {matrix} --members 0,1 {rest}"));
    let shape = "give N rows of N round trips in milliseconds";
    let cases = [
        ("none", "--degrees paper", "alm: cannot read the file (no such file or directory): none".to_owned()),
        ("ragged", "--degrees paper", format!("alm: the row has 3 values where 2 belong: ragged:2; {shape}")),
        ("word", "--degrees paper", format!("alm: 'x' is not a number: word:2; {shape}")),
        (
            "binary",
            "--degrees paper",
            "alm: cannot read the file (stream did not contain valid UTF-8): binary".into(),
        ),
        (
            "six.rtt",
            "--degrees degrees",
            "alm: '-4' is not a degree: degrees:3; give one integer a line".into(),
        ),
        (
            "six.rtt",
            "--degrees few",
            "alm: 2 degrees are given for 6 nodes: few; give one integer a line, for every row of the matrix"
                .into(),
        ),
        (
            "six.rtt",
            "--degrees paper --forbid forbid",
            "alm: '2' is not a pair: forbid:2; give two nodes a line".into(),
        ),
    ];
    for (matrix, rest, expected) in cases {
        assert_eq!(on(matrix, rest), (2, expected));
    }
}

#[test]
fn wrong_arguments_are_one_line_each() {
    let folder = Folder::new();
    let help = "see `alm plan --help`";
    let algorithms: Vec<_> = alm_planner::Algorithm::ALL.iter().map(|known| known.name()).collect();
    let cases = [
        ("", "alm: a command is missing; see `alm --help`".to_owned()),
        ("plann", "alm: unknown command: plann; did you mean plan?".to_owned()),
        ("plan --matrx x", "alm: unknown flag: --matrx; did you mean --matrix?".to_owned()),
        ("plan --matrix", format!("alm: a value is missing: --matrix; {help}")),
        ("plan --matrix six.rtt --degrees paper", format!("alm: a flag is missing: --members <NODES>; {help}")),
        (
            "plan --matrix a --seed 1 --seed 2",
            "alm: a flag is given twice: --seed <N>; give it once".to_owned(),
        ),
        ("plan --seed x", "alm: bad value: --seed x; use a whole number".to_owned()),
        (
            "plan --members 1,x",
            "alm: bad value: --members 1,x; list nodes as 1,5,9 or draw them as random:20".to_owned(),
        ),
        (
            "plan --hop-cost 5",
            "alm: bad value: --hop-cost 5; a duration is a number with ms, s, m or h, such as 250ms, 5s or 2m".to_owned(),
        ),
        (
            "plan --algorithm worst",
            format!("alm: bad value: --algorithm worst; 'worst' is none of {}", algorithms.join(", ")),
        ),
        (
            "plan --objective width",
            "alm: bad value: --objective width; use height, diameter or forest".to_owned(),
        ),
        ("plan --format png", "alm: bad value: --format png; use one of json, text, dot, svg".to_owned()),
        (
            "plan --matrix six.rtt --members 0,9 --degrees paper",
            "alm: node 9 is not in the matrix of 6 nodes: six.rtt; nodes are the rows of the matrix, counted from 0"
                .to_owned(),
        ),
        (
            "plan --matrix six.rtt --members 1,0,1 --degrees paper",
            "alm: member 1 is listed twice: --members; list each node once".to_owned(),
        ),
        (
            "plan --matrix six.rtt --members random:7 --degrees paper",
            "alm: there are only 6 nodes to draw from: --members random:7; draw fewer".to_owned(),
        ),
    ];
    for (args, expected) in cases {
        assert_eq!(folder.refused(args), (2, expected), "{args}");
    }
}

#[test]
fn flags_win_over_environment_over_file() {
    let folder = Folder::new();
    folder.write(
        "alm.toml",
        "seed = 3\n[plan]\nmatrix = 'six.rtt'\ndegrees = 'uniform:4'\nalgorithm = ['amcast']\n",
    );
    let seed = |args: &str, variable: Option<&str>| {
        let mut command =
            folder.command(&format!("plan --config alm.toml --members 0,1 --format json {args}"));
        command.envs(variable.map(|value| ("ALM_SEED", value)));
        let plan: Value = serde_json::from_str(&run(command).stdout).unwrap();
        assert_eq!(plan["algorithm"], "amcast");
        plan["seed"].as_u64().unwrap()
    };
    assert_eq!(seed("", None), 3);
    assert_eq!(seed("", Some("4")), 4);
    assert_eq!(seed("--seed 5", Some("4")), 5);
}

#[test]
fn the_default_configuration_may_be_absent_a_named_one_may_not() {
    let folder = Folder::new();
    let base = "plan --matrix six.rtt --members 0,1 --degrees paper --format json";
    assert_eq!(folder.run(base).code, Some(0));
    assert_eq!(
        folder.refused(&format!("{base} --config nope.toml")),
        (
            2,
            "alm: cannot read the configuration file (no such file or directory): nope.toml; \
             name a TOML file with --config"
                .into()
        )
    );
    fs::create_dir_all(folder.path().join("config/alm")).unwrap();
    folder.write("config/alm/config.toml", "seed = 9\n");
    assert!(folder.run(base).stdout.contains("\"seed\":9"));
    folder.write("config/alm/config.toml", "\nsede = 9\n");
    let (code, line) = folder.refused(base);
    assert_eq!(code, 2);
    assert!(
        line.starts_with("alm: unknown key 'sede' in the configuration: ") && line.contains("config.toml:2;")
    );
    folder.write("bad.toml", "\n\nseed = 'x'\n");
    assert_eq!(
        folder.refused(&format!("{base} --config bad.toml")),
        (2, "alm: bad value: seed = x in bad.toml:3; use a whole number".into())
    );
}

#[test]
fn a_tree_to_read() {
    let folder = Folder::new();
    folder.write("degrees", "1\n1\n1\n1\n1\n6\n");
    let text = folder.run("plan --matrix six.rtt --members 0,1,2 --degrees degrees --helpers 5").stdout;
    let (tree, totals) = text.split_once("\n\n").unwrap();
    assert_eq!(
        tree,
        "0 (root)\n└── 5  +5.0 ms, at 5.0 ms  helper\n    ├── 1  +6.0 ms, at 11.0 ms\n    └── 2  +7.0 ms, at 12.0 ms"
    );
    assert!(
        totals.starts_with("critical: 3 members, 1 helper, height 12.0 ms, diameter 13.0 ms, planned in ")
    );
    assert!(totals.ends_with("no plan has a height below 12.0 ms; this one reaches it\n"), "{totals}");
}

#[test]
fn a_graph_for_graphviz_goes_to_a_file() {
    let folder = Folder::new();
    let output =
        folder.run("plan --matrix six.rtt --members 0,1 --degrees uniform:2 --format dot --out plan.dot");
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""));
    let dot = fs::read_to_string(folder.path().join("plan.dot")).unwrap();
    assert!(dot.starts_with("digraph \"critical\" {\n") && dot.ends_with("}\n"), "{dot}");
    assert!(dot.contains("  0 -> 1 [label=\"10.0 ms\"];\n"), "{dot}");
    let (code, line) =
        folder.refused("plan --matrix six.rtt --members 0,1 --degrees uniform:2 --out no/such/folder");
    assert_eq!(
        (code, line.as_str()),
        (1, "alm: cannot write the plan (no such file or directory): no/such/folder")
    );
}

#[test]
fn help_and_version_succeed() {
    let folder = Folder::new();
    for args in ["--help", "help", "plan --help", "help plan", "--version"] {
        let output = folder.run(args);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args}");
        assert!(!output.stdout.is_empty(), "{args}");
    }
    assert!(folder.run("plan --help").stdout.contains("$ alm plan --matrix"));
    assert_eq!(folder.run("--version").stdout, format!("alm {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = Folder::new();
    let mut command = folder.command("plan --help");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
fn uplinks_become_degrees() {
    let folder = Folder::new();
    let plan = |uplinks: &str, flags: &str| {
        folder.write("lines.csv", format!("# home lines\nname,up\n{uplinks}"));
        folder.plan(&format!("--members 0,1,2,3 --uplinks lines.csv:up --algorithm amcast {flags}")).remove(0)
    };
    let edges = |plan: &Value, parent: u64| {
        plan["edges"].as_array().unwrap().iter().filter(|edge| edge[0] == parent).count()
    };
    // Three copies for three speakers at 100 kbit/s are 0.9 Mbit/s, and two of them are what node 0 can carry.
    let own = "a,0.65\nb,9\nc,9\nd,9\ne,9\nf,9\n";
    assert_eq!(edges(&plan(own, "--stream 100k"), 0), 2);
    assert_eq!(edges(&plan(own, "--stream 100k --speakers 1"), 0), 3);
    // Fewer lines than nodes: each node draws one; and a line that is missing is nobody's.
    assert_eq!(edges(&plan("a,9\nb,-1\n", "--stream 100k"), 0), 3);
    let (code, line) = folder.refused("plan --matrix six.rtt --members 0,1 --uplinks lines.csv:down");
    assert_eq!((code, line), (2, "alm: there is no column 'down': lines.csv:2; use one of name, up".into()));
    folder.write("lines.csv", "up\nfast\n");
    let (code, line) = folder.refused("plan --matrix six.rtt --members 0,1 --uplinks lines.csv:up");
    let expected = "alm: 'fast' is not a rate: lines.csv:2; give Mbit/s, or -1 where it is missing";
    assert_eq!((code, line.as_str()), (2, expected));
    let (code, line) = folder.refused("plan --matrix six.rtt --members 0,1");
    assert_eq!(code, 2);
    assert!(line.starts_with("alm: a flag is missing: --degrees;"), "{line}");
}

#[test]
fn samples_are_planned_on_their_quantile_and_judged_on_another() {
    let folder = Folder::new();
    for (name, ms) in [("a", 10), ("b", 30), ("c", 20), ("later", 50)] {
        folder.write(name, format!("0 {ms}\n{ms} 0\n"));
    }
    let plan = |flags: &str| {
        let args = format!("plan --members 0,1 --degrees uniform:2 --format json --algorithm amcast {flags}");
        serde_json::from_str::<Value>(&folder.run(&args).stdout).unwrap()
    };
    let samples = "--matrix a --matrix b --matrix c";
    assert_eq!(plan(samples)["height_ms"], 15.0);
    assert_eq!(plan(&format!("{samples} --quantile 0.5"))["height_ms"], 10.0);
    let judged = plan(&format!("{samples} --judge later"));
    assert_eq!(judged["height_ms"], 25.0);
    assert!(judged["lower_bound_ms"].as_f64().unwrap() > 24.9);
    let (code, line) = folder.refused("plan --matrix a --judge six.rtt --members 0,1 --degrees uniform:2");
    assert_eq!(code, 2);
    assert!(line.starts_with("alm: the matrix has 6 nodes where the plan has 2: six.rtt;"), "{line}");
    let (code, line) = folder.refused("plan --matrix a --matrix six.rtt --members 0,1 --degrees uniform:2");
    assert_eq!(code, 2);
    assert!(line.starts_with("alm: the matrix has 6 nodes where the first has 2: six.rtt;"), "{line}");
}

#[test]
fn what_breaks_degrees_says_by_how_much() {
    let folder = Folder::new();
    let plans = folder.plan("--members 0,1,2,3,4 --degrees uniform:2 --algorithm unicast,amcast,splitstream");
    assert_eq!(plans[0]["degree_excess"], 2);
    assert!(plans[1].get("degree_excess").is_none());
    let stripes = &plans[2];
    assert_eq!(stripes["trees"].as_array().unwrap().len(), 2);
    assert!(stripes.get("edges").is_none() && stripes["worst_ms"] == stripes["height_ms"]);
}

#[test]
fn a_picture_has_every_node_and_marks_helpers() {
    let folder = Folder::new();
    folder.write("degrees", "1\n1\n1\n1\n1\n6\n");
    let args = "plan --matrix six.rtt --members 0,1,2,3,4 --degrees degrees --helpers all --format svg --out tree.svg";
    assert_eq!(folder.run(args).code, Some(0));
    let picture = fs::read_to_string(folder.path().join("tree.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    for node in 0..6 {
        assert!(picture.contains(&format!(">{node}</text>")), "{node}");
    }
    assert!(picture.contains(">helper</text>"));
}

#[test]
fn a_plan_on_coordinates_says_what_it_probed() {
    let folder = Folder::new();
    let session = "--members 0,1,2,3 --degrees uniform:3 --helpers all --algorithm best --moves 2000";
    let plan = folder.plan(&format!("{session} --latency coords --probes 4")).remove(0);
    assert!(plan["probes"].as_u64().unwrap() <= 4 && plan["probe_rounds"].is_u64(), "{plan}");
    let alone = folder.plan(&session.replace("--helpers all", "--helpers none")).remove(0);
    assert!(plan["height_ms"].as_f64() <= alone["height_ms"].as_f64());
    assert!(folder.plan(&format!("{session} --latency coords")).remove(0).get("probes").is_none());
    folder.write("holes.rtt", "0 5 -1\n5 0 -1\n-1 -1 0\n");
    let (code, line) = folder.refused(
        "plan --matrix holes.rtt --members 0,1 --degrees uniform:2 --missing drop-nodes --latency coords",
    );
    assert_eq!(code, 2);
    assert!(
        line.starts_with("alm: nodes without latencies have no coordinates: --latency coords;"),
        "{line}"
    );
}

#[test]
fn protection_is_two_trees_or_a_clear_refusal() {
    let folder = Folder::new();
    let plan = folder.plan("--members 0,1,2,3 --degrees uniform:4 --helpers all --protect").remove(0);
    assert_eq!(plan["algorithm"], "best");
    let trees = plan["trees"].as_array().unwrap();
    let relays = |tree: &Value| {
        let edges = tree["edges"].as_array().unwrap();
        edges.iter().map(|edge| edge[0].as_u64().unwrap()).filter(|&node| node != 0).collect::<Vec<_>>()
    };
    assert_eq!(trees.len(), 2);
    assert!(relays(&trees[0]).iter().all(|node| !relays(&trees[1]).contains(node)), "{plan}");
    let ms = |key: &str| plan[key].as_f64().unwrap();
    let along = plan["trees_ms"].as_array().unwrap();
    assert!(plan["height_ms"] == along[0] && along[0].as_f64() <= along[1].as_f64());
    assert!(ms("worst_ms") <= ms("height_ms") && ms("mean_ms") <= ms("later_mean_ms"));
    assert!(ms("later_worst_ms") >= along[1].as_f64().unwrap());

    let forest = folder.plan("--members 0,1,2,3 --degrees uniform:4 --objective forest --protect").remove(0);
    let sources: Vec<_> =
        forest["trees"].as_array().unwrap().iter().map(|tree| tree["sources"][0].as_u64()).collect();
    assert_eq!(sources, [0, 0, 1, 1, 2, 2, 3, 3].map(Some));

    let session = "plan --matrix six.rtt --members 0,1,2,3 --protect";
    let todo = "raise --degrees, allow more --helpers, or leave --protect out";
    for (flags, expected) in [
        (
            "--degrees uniform:2",
            format!(
                "best finds no plan (the degrees add up to 8, where two trees over the 4 members need 12): root 0; {todo}"
            ),
        ),
        (
            "--degrees uniform:4 --algorithm unicast",
            "unicast finds no plan (unicast does not plan two trees within one budget): root 0; use an algorithm that \
             keeps degrees, such as best"
                .to_owned(),
        ),
    ] {
        assert_eq!(folder.refused(&format!("{session} {flags}")), (1, format!("alm: {expected}")));
    }
}

#[test]
fn one_helper_of_a_fault_domain_is_borrowed() {
    let folder = Folder::new();
    folder.write("degrees", "2\n1\n1\n2\n3\n3\n");
    let session = "--members 0,1,2,3 --degrees degrees --helpers all --algorithm best --helper-min-degree 2";
    folder.write("rooms", "\n-\n\n-\ncellar\ncellar\n");
    let plan = folder.plan(&format!("{session} --domains rooms")).remove(0);
    assert!(plan["helpers"].as_array().unwrap().len() <= 1, "{plan}");
    folder.write("rooms", "attic\ncellar\n");
    let (code, line) = folder.refused(&format!("plan --matrix six.rtt {session} --domains rooms"));
    let expected = "alm: 2 fault domains are given for 6 nodes: rooms; give one label a line, for every row of the matrix";
    assert_eq!((code, line.as_str()), (2, expected));
}
