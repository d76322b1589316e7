//! What a browser costs and how soon it is heard, printed: `cargo test --release --test browser_figures -- --ignored --nocapture`.
//!
//! Nothing is held against a bound here: the figures belong to the machine that they were measured on.
#![cfg(feature = "browser")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/chromium.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod chromium;
#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chromium::{Chromium, Tab};
use process::{Process, alm};
use serde_json::Value;
use tempfile::TempDir;

/// From the press of the button to the first sound out of the browser's own player, milliseconds.
const FIRST_SOUND: &str = r#"(async () => {
  const pressed = performance.now();
  document.getElementById("call-join").click();
  for (;;) {
    if ((await alm.stats()).level > 0.01) return performance.now() - pressed;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
})()"#;
/// A screen that is not there by then, bytes, never will be.
const SCREEN_MAX: usize = 1_000_000;
/// Joins by which the first sound is measured.
const JOINS: usize = 5;
/// Seconds of which a delay or a load is the mean or the middle.
const SECONDS: usize = 10;
/// Ticks of the kernel's clock in a second (proc(5); the same on all Linux systems).
const TICKS: f64 = 100.0;

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Processor seconds used so far, and memory in MiB.
fn cost(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let used: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    (used / TICKS, kib / 1_024.0)
}

/// Its load in percent of a processor, and its memory, over some seconds.
#[expect(clippy::disallowed_methods, reason = "this is measured over real time")]
fn load(pid: u32) -> (f64, f64) {
    let (before, begun) = (cost(pid).0, Instant::now());
    std::thread::sleep(Duration::from_secs(SECONDS as u64));
    let (after, memory) = cost(pid);
    ((after - before) / begun.elapsed().as_secs_f64() * 100.0, memory)
}

fn press_when_there(browser: &mut Chromium, link: &str) -> Tab {
    let tab = browser.open(link);
    browser.wait(&tab, "!document.getElementById('call-part').hidden");
    browser.ask(&tab, "document.getElementById('call-name').value = 'Bea'");
    tab
}

#[test]
#[ignore = "prints figures, and needs Chromium"]
fn what_a_browser_costs() {
    // All that is served, which is also all that is loaded; not compressed.
    let page = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/page")).unwrap();
    let page: Vec<u64> = page.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    println!("page: {:.1} KB in {} files", page.iter().sum::<u64>() as f64 / 1_000.0, page.len());
    let dir = TempDir::new().unwrap();
    let common = "--json --no-mdns --listen 127.0.0.1:0 --output null";
    let start = |line: String| Process::start(alm(dir.path(), &line.split_whitespace().collect::<Vec<_>>()));
    let mut host = start(format!("host --session round --name Hal --input tone:600 --state host {common}"));
    let link = host.wait("page")["link"].as_str().unwrap().to_owned();
    let id = host.wait("session")["id"].as_str().unwrap().to_owned();
    let mut mia = start(format!("join {id} --name Mia --input tone:900 --state member --no-web {common}"));
    host.wait_for("member_joined", |event| event["name"] == "Mia");
    let hal = mia.wait_for("member_joined", |event| event["name"] == "Hal")["node"].clone();
    let (idle, idle_memory) = load(host.pid());

    let mut browser = Chromium::start(dir.path());
    let mut sounds = Vec::new();
    for join in 1..=JOINS {
        let tab = press_when_there(&mut browser, &link);
        sounds.push(browser.ask(&tab, FIRST_SOUND).as_f64().unwrap());
        if join < JOINS {
            browser.close(&tab);
            host.wait("member_left");
        }
    }
    println!("click to first sound, p50 of {JOINS}: {:.0} ms ({sounds:.0?})", middle(sounds.clone()));

    let bea = mia.seen.iter().rfind(|event| event["event"] == "member_joined").cloned();
    let bea = bea.filter(|event| event["name"] == "Bea").map(|event| event["node"].clone());
    let bea = bea.unwrap_or_else(|| {
        mia.wait_for("media", |event| event["source"] != hal && event["packets"].as_u64() > Some(50))["source"]
            .clone()
    });
    let mut delay = |source: &Value| {
        let figures: Vec<f64> = (0..SECONDS)
            .map(|_| mia.wait_for("media", |event| event["source"] == *source && event["path_ms"].is_f64()))
            .map(|media| media["path_ms"].as_f64().unwrap() + media["buffer_ms"].as_f64().unwrap())
            .collect();
        middle(figures)
    };
    let (native, browsers) = (delay(&hal), delay(&bea));
    println!(
        "capture to play at a native member: {native:.1} ms from a native one, {browsers:.1} ms from the browser"
    );
    let (with, with_memory) = load(host.pid());
    println!(
        "the host's node: {idle:.1} % of a processor and {idle_memory:.1} MiB without a browser, {with:.1} % and \
         {with_memory:.1} MiB with one"
    );
}

#[test]
#[ignore = "prints figures"]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is measured")]
fn how_soon_the_screen_is_there() {
    let figures: Vec<f64> = (0..JOINS)
        .map(|_| {
            let dir = TempDir::new().unwrap();
            let program = env!("CARGO_BIN_EXE_alm");
            let line = format!(
                "stty rows 24 cols 80; exec {program} host --session standup --input silence --output null --no-mdns --listen 127.0.0.1:0 --state s"
            );
            // A terminal of its own, by the tool that keeps what was on one.
            let mut command = Command::new("script");
            command.args(["-qec", &line, "/dev/null"]).current_dir(dir.path()).env("HOME", dir.path());
            command.env("TERM", "xterm-256color").stdin(Stdio::piped()).stdout(Stdio::piped());
            let begun = Instant::now();
            let mut child = command.spawn().unwrap();
            let mut screen = BufReader::new(child.stdout.take().unwrap());
            let mut text = Vec::new();
            // The frame of a pane: something is drawn.
            while !String::from_utf8_lossy(&text).contains('╭') {
                let read = screen.read_until(b'm', &mut text).unwrap();
                assert!(read > 0 && text.len() < SCREEN_MAX, "{}", String::from_utf8_lossy(&text));
            }
            let took = begun.elapsed().as_secs_f64() * 1_000.0;
            let _ = child.kill();
            let _ = child.wait();
            took
        })
        .collect();
    println!(
        "start to first frame of the screen, p50 of {JOINS}: {:.0} ms ({figures:.0?})",
        middle(figures.clone())
    );
}
