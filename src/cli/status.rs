//! `alm status`: the pool as the root of SOMO's tree sees it.

use std::io::Write;

use serde::Serialize;

use super::error::CliError;
use super::look::look;
use super::net_args::NetArgs;
use super::report::unix_seconds;
use crate::identity::NodeId;
use crate::pool::somo::{BUCKETS, Helper, Report};
use crate::pool::{Place, capable};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    net: NetArgs,
}

const EXAMPLE: &str = "Example:
  $ alm status --bootstrap 192.0.2.7:4433
  12 nodes by the root k3j5q2xa, 3.2 s old; 9 lend, 8 of them have links to give

Who lends is drawn where it is in the space of latencies: near each other means a short round trip.";

/// Letters of a map.
const MAP_WIDTH: usize = 64;
const MAP_HEIGHT: usize = 16;
/// Machines that are listed as text; `--json` lists all that the root names.
const LISTED_MAX: usize = 20;
/// What the buckets of free links are called.
const BUCKET_NAMES: [&str; BUCKETS] = ["0", "1", "2", "3", "4", "5-6", "7-8", "9-16", ">16"];

#[derive(Serialize)]
struct Status {
    event: &'static str,
    t: f64,
    size: u32,
    root: String,
    age_ms: u32,
    lenders: u32,
    capable: u32,
    height: u8,
    free: [[u32; BUCKETS]; 3],
    nodes: Vec<Lender>,
}

#[derive(Serialize)]
struct Lender {
    node: String,
    addr: String,
    /// Three dimensions and the height, milliseconds of round trip; absent while it does not know its place.
    position: Option<[f64; 4]>,
    free: [u8; 3],
    up_kbit_s: u32,
}

/// Asks and prints.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let (root, report) = look(&args.net, async |_, root, report| Ok((root, report)))?;
    let text = if args.net.json { json(root, &report) } else { text(root, &report) };
    out.write_all(text.as_bytes()).map_err(CliError::from_stdout)
}

fn json(root: NodeId, report: &Report) -> String {
    let lender = |helper: &Helper| Lender {
        node: helper.peer.node.to_string(),
        addr: std::net::SocketAddr::from(helper.peer.endpoint).to_string(),
        position: place_ms(helper.peer.place),
        free: helper.offer.free,
        up_kbit_s: helper.offer.up_kbit_s,
    };
    let status = Status {
        event: "status",
        t: unix_seconds(),
        size: report.nodes,
        root: root.to_string(),
        age_ms: report.age_ms(),
        lenders: report.lenders,
        capable: capable(report),
        height: report.height,
        free: report.free,
        nodes: report.helpers.iter().map(lender).collect(),
    };
    let mut text = serde_json::to_string(&status).unwrap_or_default();
    text.push('\n');
    text
}

fn text(root: NodeId, report: &Report) -> String {
    let Report { nodes, lenders, height, .. } = report;
    let (age, able) = (f64::from(report.age_ms()) / 1_000.0, capable(report));
    let mut lines = vec![
        format!(
            "{nodes} nodes by the root {}, {age:.1} s old; {lenders} lend, {able} of them have links to give",
            root.short()
        ),
        format!("tree of height {height}"),
    ];
    for (priority, histogram) in report.free.iter().enumerate() {
        let some = histogram.iter().zip(BUCKET_NAMES).filter(|(count, _)| **count > 0);
        let counts: Vec<String> = some.map(|(count, name)| format!("{name}: {count}")).collect();
        let priority = priority + 1;
        lines.push(format!("nodes by links free at priority {priority}  {}", counts.join("  ")));
    }
    lines.extend(map(&report.helpers));
    for helper in report.helpers.iter().take(LISTED_MAX) {
        let [.., free] = helper.offer.free;
        let place = place_ms(helper.peer.place).map_or_else(
            || "place not known".to_owned(),
            |[x, y, z, height]| format!("at {x:.0} {y:.0} {z:.0} +{height:.0} ms"),
        );
        let addr = std::net::SocketAddr::from(helper.peer.endpoint);
        lines.push(format!("{}  {free:3} free  {place}  {addr}", helper.peer.node.short()));
    }
    if report.helpers.len() > LISTED_MAX {
        lines.push(format!("and {} more", report.helpers.len() - LISTED_MAX));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Who lends, seen along the third dimension: how many at each point.
fn map(helpers: &[Helper]) -> Vec<String> {
    let at: Vec<[f64; 4]> = helpers.iter().filter_map(|helper| place_ms(helper.peer.place)).collect();
    if at.len() < 2 {
        return Vec::new();
    }
    let bounds = |axis: usize| {
        let (low, high) = at
            .iter()
            .map(|place| place[axis])
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), ms| (low.min(ms), high.max(ms)));
        (low, (high - low).max(1.0))
    };
    let ((left, wide), (top, high)) = (bounds(0), bounds(1));
    let mut cells = vec![[0_usize; MAP_WIDTH]; MAP_HEIGHT];
    for [x, y, ..] in &at {
        let column = ((x - left) / wide * (MAP_WIDTH - 1) as f64).round() as usize;
        let row = ((y - top) / high * (MAP_HEIGHT - 1) as f64).round() as usize;
        cells[row.min(MAP_HEIGHT - 1)][column.min(MAP_WIDTH - 1)] += 1;
    }
    let letter = |count: &usize| match count {
        0 => ' ',
        1..=9 => char::from(b'0' + *count as u8),
        _ => '#',
    };
    let rule = format!("+{}+", "-".repeat(MAP_WIDTH));
    let rows = cells.iter().map(|row| format!("|{}|", row.iter().map(letter).collect::<String>()));
    let title = format!("who lends, {wide:.0} by {high:.0} ms of round trip");
    [title, rule.clone()].into_iter().chain(rows).chain([rule]).collect()
}

fn place_ms(place: Place) -> Option<[f64; 4]> {
    (place != Place::UNKNOWN).then(|| place.0.map(|tenths| f64::from(tenths) / 10.0))
}
