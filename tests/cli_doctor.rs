//! What `alm doctor` finds: on a machine without sound beside a pool, and where something a conference needs is missing.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Output;

use process::{Process, alm};
use serde_json::Value;
use tempfile::TempDir;

fn doctor(dir: &Path, args: &str) -> Output {
    let line = format!("doctor {args} --no-mdns --state patient");
    alm(dir, &line.split_whitespace().collect::<Vec<_>>()).output().unwrap()
}

/// What each check came to, and the summary.
fn checks(output: &Output) -> (BTreeMap<String, String>, Value) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = objects.pop().unwrap();
    let word = |object: &Value, key: &str| object[key].as_str().unwrap().to_owned();
    assert!(objects.iter().all(|object| object["event"] == "check" && object["t"].is_number()), "{text}");
    (objects.iter().map(|object| (word(object, "check"), word(object, "verdict"))).collect(), summary)
}

#[test]
fn every_check_says_how_it_came_out() {
    let dir = TempDir::new().unwrap();
    let mut pool = Process::live(dir.path(), "pool", "pool");
    let entry = pool.wait("ready")["listen"][0].as_str().unwrap().to_owned();
    let output = doctor(dir.path(), &format!("--json --listen 127.0.0.1:0 --bootstrap {entry}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (checks, summary) = checks(&output);
    let names = "bootstrap clock file_limit firewall ipv6 kernel_buffers key loudspeaker microphone nat port_mapping \
                 test_tone udp_port";
    assert_eq!(checks.keys().map(String::as_str).collect::<Vec<_>>().join(" "), names);
    for name in ["nat", "bootstrap", "firewall", "key", "udp_port"] {
        assert_eq!(checks[name], "ok", "{name}: {output:?}");
    }
    // Nobody has sound in reach here, and conferences go on without.
    assert_eq!((checks["microphone"].as_str(), checks["test_tone"].as_str()), ("warning", "unknown"));
    let counts = ["ok", "warnings", "failed", "unknown"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!((&summary["event"], counts.iter().sum::<u64>()), (&"doctor".into(), checks.len() as u64));
}

#[test]
fn what_a_conference_cannot_do_without_is_an_error_with_its_name() {
    let dir = TempDir::new().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let quiet = "--input silence --output null";
    let output = doctor(dir.path(), &format!("{quiet} --listen {at}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{output:?}");
    assert!(stderr.starts_with("alm: not everything works: UDP port; "), "{stderr}");
    assert!(stdout.contains("FAILED   UDP port") && stdout.contains("> choose another one"), "{stdout}");
    assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");

    let missing = format!("--json --output null --input nowhere --listen 127.0.0.1:0 --bootstrap {at}");
    let output = doctor(dir.path(), &missing);
    assert!(String::from_utf8_lossy(&output.stderr).contains("works: microphone, bootstrap; "), "{output:?}");
    let (checks, _) = checks(&output);
    assert_eq!((checks["bootstrap"].as_str(), checks["nat"].as_str()), ("failed", "unknown"));
}
