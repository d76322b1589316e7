//! What a node costs when it does little: resident memory and CPU of pool nodes that wait, alone and among others, and of
//! the members and the helper of a call of five; and how soon a node is ready. Real processes on loopback, each read from
//! /proc; elsewhere there is nothing to read, and the bench says so.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::time::Duration;

use tempfile::TempDir;

use support::proc::{self, Memory};
use support::process::Process;
use support::{Size, median, now, pause, quantile};

/// What each process is asked for.
struct Figures {
    resident_kib: Vec<f64>,
    anonymous_kib: Vec<f64>,
    /// Of CPU time, in a second.
    cpu_ms: Vec<f64>,
}

impl Figures {
    /// Watches processes for some time; memory is read at the end.
    fn of(processes: &[&Process], time: Duration) -> Self {
        let cpu = |process: &Process| proc::cpu(process.id()).expect("a running process has used CPU time");
        let (began, before): (_, Vec<Duration>) = (now(), processes.iter().map(|p| cpu(p)).collect());
        pause(time);
        let (after, watched): (Vec<Duration>, _) =
            (processes.iter().map(|p| cpu(p)).collect(), now() - began);
        let used = before.iter().zip(&after).map(|(before, after)| (*after - *before).as_secs_f64() * 1e3);
        let cpu_ms = used.map(|ms| ms / watched.as_secs_f64()).collect();
        let memory: Vec<Memory> = processes
            .iter()
            .map(|process| proc::memory(process.id()).expect("a running process has memory"))
            .collect();
        let resident_kib: Vec<f64> = memory.iter().map(|memory| memory.resident).collect();
        let anonymous_kib: Vec<f64> = memory.iter().map(|memory| memory.anonymous).collect();
        assert!(resident_kib.iter().all(|kib| *kib > 0.0), "figures are obtained");
        Self { resident_kib, anonymous_kib, cpu_ms }
    }

    /// What each neighbour adds to a node, by the medians.
    fn each_neighbour(&self, alone: &Self, neighbours: usize) -> Self {
        let each = |among: &[f64], alone: &[f64]| {
            vec![(median(among.iter().copied()) - median(alone.iter().copied())) / neighbours as f64]
        };
        Self {
            resident_kib: each(&self.resident_kib, &alone.resident_kib),
            anonymous_kib: each(&self.anonymous_kib, &alone.anonymous_kib),
            cpu_ms: each(&self.cpu_ms, &alone.cpu_ms),
        }
    }

    fn print(&self, name: &str) {
        let [resident, anonymous] = [&self.resident_kib, &self.anonymous_kib].map(|kib| spread(kib, 0));
        println!("{name:32} {resident:>22} {anonymous:>22} {:>22}", spread(&self.cpu_ms, 2));
    }
}

/// The median, and the extremes where there are several.
fn spread(values: &[f64], digits: usize) -> String {
    let mut values = values.to_vec();
    let [low, middle, high] = [0.0, 0.5, 1.0].map(|share| quantile(&mut values, share));
    match values.len() {
        1 => format!("{middle:.digits$}"),
        _ => format!("{middle:.digits$} ({low:.digits$}-{high:.digits$})"),
    }
}

/// Pool nodes that all know how many they are.
fn pool(dir: &TempDir, nodes: usize) -> Vec<Process> {
    let mut bootstrap = String::new();
    let mut pool = Vec::new();
    for i in 0..nodes {
        let node = Process::alm(dir.path(), &format!("pool{nodes}-{i}"), &format!("pool {bootstrap}"));
        let addr = node.ready().1;
        if i == 0 {
            bootstrap = format!("--bootstrap {addr}");
        }
        pool.push(node);
    }
    if nodes > 1 {
        for node in &pool {
            node.wait(|event| (event["event"] == "pool" && event["size"] == nodes).then_some(()));
        }
    }
    pool
}

/// Nodes that a pool may have for each to keep a connection to all others.
const ALL_KNOWN: usize = 20;

/// A helper, a host and members that have no link to spare, all in one tree.
fn call(dir: &TempDir, members: usize) -> (Process, Vec<Process>) {
    let helper = Process::alm(dir.path(), "helper", &format!("pool --degree {members}"));
    let addr = helper.ready().1;
    let part = |i: usize| format!("--name m{i} --degree 1 --input tone:{} --output null", 300 + 170 * i);
    let started = format!("host --session bench --objective diameter --bootstrap {addr} {}", part(0));
    let host = Process::alm(dir.path(), "m0", &started);
    let id = host.wait(|event| (event["event"] == "session").then(|| event["id"].clone())).1;
    let id = id.as_str().unwrap_or_default().to_owned();
    // Until the pool is known, nobody could be given a link.
    host.wait(|event| (event["event"] == "pool" && event["size"] == 2).then_some(()));
    let mut all = vec![host];
    for i in 1..members {
        all.push(Process::alm(dir.path(), &format!("m{i}"), &format!("join {id} {}", part(i))));
    }
    for member in &all {
        member.wait(|event| {
            let sources = event["trees"][0]["sources"].as_array().map_or(0, Vec::len);
            let helpers = event["helpers"].as_array().map_or(0, Vec::len);
            (event["event"] == "tree" && sources == members && (helpers == 1 || members == 2)).then_some(())
        });
    }
    (helper, all)
}

fn main() {
    let Some(size) = Size::from_args("memory") else { return };
    if proc::memory(std::process::id()).is_none() || proc::cpu(std::process::id()).is_none() {
        println!("memory: skipped, there is no /proc to read from");
        return;
    }
    let dir = TempDir::new().expect("a temporary directory can be made");
    let settle = size.pick(Duration::from_millis(200), Duration::from_secs(5));
    let watch = size.pick(Duration::from_millis(500), Duration::from_secs(10));
    let (starts, members) = size.pick((2, 2), (15, 5));
    let sizes: &[usize] = match size {
        Size::Smoke => &[2],
        Size::Normal => &[6, 20],
        Size::Full => &[6, 20, 200],
    };
    println!("{}", size.headline("memory"));
    println!(
        "median (lowest-highest) over processes; watched for {watch:?}, {settle:?} after the last had joined\n"
    );
    let [resident, anonymous, cpu] = ["resident KiB", "of it heap, stack KiB", "CPU ms/s"];
    println!("{:32} {resident:>22} {anonymous:>22} {cpu:>22}", "");

    let ready: Vec<f64> = (0..starts)
        .map(|_| Process::alm(dir.path(), "start", "pool").ready().0.as_secs_f64() * 1e3)
        .collect();

    let lone = pool(&dir, 1);
    pause(settle);
    let alone = Figures::of(&lone.iter().collect::<Vec<_>>(), watch);
    alone.print("idle pool node, alone");
    drop(lone);

    for &nodes in sizes {
        let among = pool(&dir, nodes);
        pause(settle);
        let figures = Figures::of(&among.iter().collect::<Vec<_>>(), watch);
        figures.print(&format!("idle pool node, one of {nodes}"));
        // In a larger pool nobody knows all the others.
        if nodes <= ALL_KNOWN {
            figures.each_neighbour(&alone, nodes - 1).print("  so each neighbour costs");
        }
    }

    let (helper, all) = call(&dir, members);
    pause(settle);
    let processes: Vec<&Process> = all.iter().chain([&helper]).collect();
    let Figures { resident_kib, anonymous_kib, cpu_ms } = Figures::of(&processes, watch);
    let part = |from: usize, to: usize| Figures {
        resident_kib: resident_kib[from..to].to_vec(),
        anonymous_kib: anonymous_kib[from..to].to_vec(),
        cpu_ms: cpu_ms[from..to].to_vec(),
    };
    part(0, 1).print(&format!("host in a call of {members}"));
    part(1, members).print(&format!("other member in a call of {members}"));
    part(members, members + 1).print("its helper");

    println!("\nstart to ready, ms, {starts} starts: {}", spread(&ready, 1));
}
