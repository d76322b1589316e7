//! What the compiler does not check about the sources: which layer knows what.

#![allow(clippy::unwrap_used, reason = "a source that cannot be read fails its test")]

use std::fs;
use std::path::{Path, PathBuf};

/// All Rust sources below a folder or at a file.
fn sources(place: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(place)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.clone(), fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "nothing at {place}");
    found
}

/// Lines of code that name one of `words`.
fn assert_absent(places: &[&str], words: &[&str], why: &str) {
    for (path, text) in places.iter().flat_map(|place| sources(place)) {
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in words {
                assert!(!line.contains(word), "{}:{}: {word}: {why}", path.display(), i + 1);
            }
        }
    }
}

#[test]
fn the_logic_knows_no_runtime_and_no_socket() {
    let logic = [
        "src/pool",
        "src/sim",
        "src/session",
        "src/node",
        "src/wire.rs",
        "src/identity.rs",
        "planner/src",
        "media/src",
    ];
    assert_absent(
        &logic,
        &["tokio", "quinn", "UdpSocket", "std::thread::sleep"],
        "logic takes input and gives output",
    );
}

#[test]
fn the_planner_and_the_wire_do_no_io() {
    assert_absent(&["planner/src"], &["std::fs", "std::io", "std::net", "std::time"], "the planner is pure");
    assert_absent(
        &["src/wire.rs", "src/session", "src/pool"],
        &["std::fs", "std::io"],
        "files belong to the faces",
    );
}

#[test]
fn the_simulator_has_no_rule_of_the_protocol() {
    // It may count messages, but neither make nor read one, nor look into what a node knows but through its doors.
    assert_absent(
        &["src/sim"],
        &["RingMessage::", "Ping", "Pong", "LeafSet", "Table", "digit", "HopAck {", "Route {", "heartbeat"],
        "the protocol lives in src/pool",
    );
}

#[test]
fn dependencies_point_one_way() {
    let upward = "a lower layer must not know a higher one";
    assert_absent(
        &["src/net"],
        &["crate::pool", "crate::session", "crate::node", "crate::live", "crate::cli"],
        upward,
    );
    assert_absent(
        &["src/pool"],
        &["crate::session", "crate::node", "crate::wire", "crate::live", "crate::cli"],
        upward,
    );
    assert_absent(&["src/session"], &["crate::node", "crate::live", "crate::cli", "crate::event"], upward);
    assert_absent(&["src/node"], &["crate::live", "crate::cli", "crate::event"], upward);
    assert_absent(
        &["src/live", "src/sim", "src/face", "src/control", "src/tui", "src/web", "src/browser"],
        &["crate::cli"],
        upward,
    );
    assert_absent(&["src/face", "src/control"], &["crate::live", "crate::tui", "crate::web"], upward);
    assert_absent(&["src/web"], &["crate::live", "crate::tui", "crate::browser"], upward);
    assert_absent(
        &["src/face", "src/control", "src/tui"],
        &["crate::node", "crate::pool", "crate::net"],
        "faces go by events alone",
    );
    assert_absent(&["src/pool", "src/session", "src/node", "src/live"], &["crate::sim"], upward);
    assert_absent(&["media/src", "planner/src"], &["alm::"], upward);
}

#[test]
fn every_file_says_what_it_holds_and_holds_one_thing() {
    const LINES_MAX: usize = 700;
    for (path, text) in
        ["src", "planner/src", "media/src", "tests", "benches"].iter().flat_map(|place| sources(place))
    {
        assert!(text.starts_with("//!"), "{} does not open with what it is", path.display());
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{}: {lines} lines hold more than one thing", path.display());
    }
}

#[test]
fn no_work_is_left_marked_undone() {
    let marks = [
        ["to", "do!"].concat(),
        ["unimple", "mented!"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X:"].concat(),
    ];
    let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
    for (path, text) in ["src", "planner/src", "media/src", "tests"].iter().flat_map(|place| sources(place)) {
        for mark in &marks {
            assert!(!text.contains(mark), "{} has {mark}", path.display());
        }
    }
}
