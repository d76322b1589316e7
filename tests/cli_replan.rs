//! `alm plan --from` and `--backups` from outside: the built program, in a fresh folder.

#![expect(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// Six nodes; round trips in ms. Node 5 is near to all.
const MATRIX: &str = "\
0 20 40 60 80 10
20 0 30 50 70 12
40 30 0 20 40 14
60 50 20 0 30 16
80 70 40 30 0 18
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
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// The program, with nothing of the user's around it.
    fn run(&self, args: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alm"));
        command.args(args.split_whitespace()).current_dir(self.0.path()).env_clear();
        command.env("HOME", self.0.path()).env("XDG_CONFIG_HOME", self.0.path().join("config"));
        let output = command.output().unwrap();
        Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs `alm plan` on the matrix and gives the object that it prints.
    fn plan(&self, args: &str) -> Value {
        let output = self.run(&format!("plan --matrix six.rtt --format json {args}"));
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args}");
        serde_json::from_str(&output.stdout).unwrap()
    }

    /// Runs `alm` and gives its exit code and its only line on stderr.
    fn refused(&self, args: &str) -> (i32, String) {
        let output = self.run(args);
        assert_eq!(output.stdout, "", "{args}");
        assert_eq!(output.stderr.matches('\n').count(), 1, "{args}: {}", output.stderr);
        (output.code.unwrap(), output.stderr.trim_end().to_owned())
    }
}

#[test]
fn a_plan_is_made_from_an_installed_one() {
    let folder = Folder::new();
    let printed = |args: &str, file: &str| {
        let output = folder.run(&format!("plan --matrix six.rtt --format json --algorithm best {args}"));
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        folder.write(file, &output.stdout);
        serde_json::from_str::<Value>(&output.stdout).unwrap()
    };
    let args = "--degrees uniform:2 --helpers all";
    let before = printed(&format!("--members 0,1,2 {args}"), "one.json");
    let same = folder.plan(&format!("--members 0,1,2 {args} --from one.json"));
    assert_eq!(
        (&same["algorithm"], &same["moves"], &same["nodes_came"]),
        (&"best".into(), &0.into(), &0.into())
    );
    assert_eq!(same["edges"], before["edges"]);

    let joined = folder.plan(&format!("--members 0,1,2,3 {args} --from one.json --backups"));
    let links = joined["edges"].as_array().unwrap().len() as u64;
    let number = |name: &str| joined[name].as_u64().unwrap();
    assert_eq!(number("moves") + number("links_kept") + number("nodes_came"), links);
    assert!(joined["backups"].is_array() && joined["heir"].is_u64(), "{joined}");
    let text =
        folder.run(&format!("plan --matrix six.rtt --members 0,1,2,3 {args} --from one.json --backups"));
    assert!(text.stdout.contains(" came, ") && text.stdout.contains("backup"), "{}", text.stdout);

    printed(&format!("--members 0,1,2,3 {args} --objective forest"), "forest.json");
    let forest = format!("--members 0,1,2,3 {args} --objective forest --from forest.json");
    assert_eq!(folder.plan(&forest)["nodes_gone"], 0);
    printed("--members 0,1,2 --degrees uniform:4 --protect", "two.json");
    let two = folder.plan("--members 0,1,2 --degrees uniform:4 --protect --from two.json");
    assert_eq!((&two["moves"], two["trees"].as_array().unwrap().len()), (&0.into(), 2));
}

#[test]
fn what_is_no_installed_plan_is_refused() {
    let folder = Folder::new();
    let start = "{\"objective\":\"height\",\"root\":0,\"members\":[0,1],\"helpers\":[]";
    let forest = "{\"objective\":\"forest\",\"root\":0,\"members\":[0],\"helpers\":[],\
        \"trees\":[{\"sources\":[0],\"edges\":[]}]}";
    let printed = "give what `alm plan --format json` printed";
    let cases: &[(&str, &str, &str)] = &[
        ("", "there is no plan in the file: p.json", printed),
        ("\n{", "this is no plan (EOF while parsing an object): p.json:2", printed),
        (&format!("{start}}}"), "this is no plan (it has neither edges nor trees): p.json", printed),
        (
            &format!("{start},\"edges\":[[0,9]]}}"),
            "node 9 of the plan is not in the matrix of 6 nodes: p.json",
            "give a plan that was made on the same nodes",
        ),
        (
            &format!("{start},\"edges\":[]}}"),
            "this is no plan (node 1 is missing from a tree): p.json",
            printed,
        ),
        (
            &format!("{start},\"edges\":[[0,1],[1,0]]}}"),
            "this is no plan (the links are no tree at node 0): p.json",
            printed,
        ),
        (
            &format!("{start},\"edges\":[[0,1]]}}\n{start},\"edges\":[[0,1]]}}"),
            "the file holds more than one plan: p.json",
            "keep one line of it",
        ),
        (
            forest,
            "the plan is a forest, which is no start for the objective height: p.json",
            "use --objective forest",
        ),
    ];
    let args = "plan --matrix six.rtt --members 0,1 --degrees uniform:2";
    for (text, what, todo) in cases {
        folder.write("p.json", text);
        let (code, line) = folder.refused(&format!("{args} --from p.json"));
        assert_eq!((code, line), (2, format!("alm: {what}; {todo}")));
    }
    folder.write("p.json", format!("{start},\"edges\":[[0,1]]}}"));
    let (code, line) = folder.refused(&format!("{args} --from p.json --algorithm amcast"));
    assert_eq!(
        (code, line.as_str()),
        (2, "alm: amcast does not plan from an installed plan: --from; use --algorithm best")
    );
    assert_eq!(folder.refused(&format!("{args} --from none.json")).0, 2);
    assert_eq!(folder.refused(&format!("{args} --move-price 1%")).0, 2);
    assert_eq!(folder.refused(&format!("{args} --protect --backups")).0, 2);
}
