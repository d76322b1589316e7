//! What a pool looks like from outside: `alm status` and `alm measure` on processes on loopback.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::path::Path;
use std::process::Output;

use process::{Process, alm};
use serde_json::Value;
use tempfile::TempDir;

/// A command that only looks, by way of the node at `entry`.
fn look(dir: &Path, args: &str, entry: &str) -> Output {
    let line = format!("{args} --bootstrap {entry} --no-mdns --listen 127.0.0.1:0 --state onlooker");
    alm(dir, &line.split_whitespace().collect::<Vec<_>>()).output().unwrap()
}

#[test]
fn three_machines_are_counted_and_measured() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let mut pool = Vec::new();
    let mut entry = String::new();
    for name in ["one", "two", "three"] {
        let known = if entry.is_empty() { String::new() } else { format!("--bootstrap {entry}") };
        let mut node = Process::live(dir, name, &format!("pool --degree 5 {known}"));
        entry = node.wait("ready")["listen"][0].as_str().unwrap().to_owned();
        pool.push(node);
    }
    // All of them know how the pool stands.
    for node in &mut pool {
        node.wait_for("pool", |event| event["size"] == 3);
    }
    // The root hears of the newest a report or two later.
    let seen = loop {
        let status = look(dir, "status --json", &entry);
        assert!(status.status.success(), "{status:?}");
        let seen: Value = serde_json::from_slice(&status.stdout).unwrap();
        if seen["size"] == 3 && seen["capable"] == 3 {
            break seen;
        }
    };
    assert_eq!(seen["nodes"].as_array().unwrap().len(), 3, "{seen}");
    assert!(seen["age_ms"].is_u64() && seen["root"].is_string(), "{seen}");
    let text = String::from_utf8(look(dir, "status", &entry).stdout).unwrap();
    assert!(text.starts_with("3 nodes by the root ") && text.contains("5 free"), "{text}");

    let told = look(dir, "measure --out pool.rtt", &entry);
    assert!(told.status.success(), "{told:?}");
    assert_eq!(String::from_utf8(told.stdout).unwrap(), "3 nodes, 3 pairs measured, 0 missing\n");
    let plan = "plan --matrix pool.rtt --root 0 --members 0,1,2 --degrees uniform:2 --format json";
    let planned = alm(dir, &plan.split_whitespace().collect::<Vec<_>>()).output().unwrap();
    assert!(planned.status.success(), "{planned:?}");
}

#[test]
fn where_nobody_is_there_it_says_so() {
    let dir = TempDir::new().unwrap();
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let end = look(dir.path(), "status", &nobody.local_addr().unwrap().to_string());
    let stderr = String::from_utf8_lossy(&end.stderr);
    assert_eq!((end.status.code(), stderr.lines().count()), (Some(1), 1), "{end:?}");
    assert!(stderr.starts_with("alm: no") && stderr.contains("--bootstrap"), "{stderr}");
}

#[test]
fn a_grant_is_made_for_one_machine_and_good_for_no_other() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let said = |line: &str| {
        let output = alm(dir, &line.split_whitespace().collect::<Vec<_>>()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let host = said("grant --state host");
    assert_eq!(host.len(), 52, "{host}");
    assert_eq!(said("grant --state host"), host, "the key is kept");
    let grant = said(&format!("grant {host} --priority 2 --days 1 --state authority"));
    assert!(grant.starts_with("almgrant"), "{grant}");
    let refused = |line: &str| {
        let output = alm(dir, &line.split_whitespace().collect::<Vec<_>>()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let host_with = |grant: &str, state: &str| {
        format!("host --session s --grant {grant} --no-mdns --no-web --listen 127.0.0.1:0 --state {state}")
    };
    let line = refused(&host_with(&grant, "other"));
    assert!(line.starts_with("alm: the grant is for another machine: --grant; "), "{line}");
    let line = refused(&host_with(&grant[..grant.len() - 8], "host"));
    assert!(line.contains("the grant is cut short or mistyped"), "{line}");

    let authority = said("grant --state authority");
    let machine = said("grant --state pool");
    let of_pool = said(&format!("grant {machine} --state authority"));
    let lend = |state: &str, more: &str| {
        format!("pool {more} --no-mdns --no-web --listen 127.0.0.1:0 --state {state}")
    };
    let line = refused(&lend("other", &format!("--authority {authority} --grant {of_pool}")));
    assert!(line.starts_with("alm: the grant is for another machine: --grant; "), "{line}");
    assert!(refused(&lend("pool", &format!("--grant {of_pool}"))).contains("--authority"));
    let line = refused(&lend("pool", &format!("--authority {host} --grant {of_pool}")));
    assert!(line.starts_with("alm: the grant is by another authority: --grant; "), "{line}");
    let mut pool = Process::live(dir, "pool", &format!("pool --authority {authority} --grant {of_pool}"));
    let entry = pool.wait("ready")["listen"][0].as_str().unwrap().to_owned();
    let more = format!("--session s --priority 2 --grant {grant} --bootstrap {entry}");
    let mut granted = Process::live(dir, "host", &format!("host {more}"));
    granted.wait("session");
}
