//! `alm measure`: the pool's nodes measure each other, and a matrix comes of it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use alm_planner::rtt_text;

use super::error::{CliError, reason};
use super::look::look;
use super::net_args::NetArgs;
use super::progress;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Write the matrix to this file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Measure no more than so many nodes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=128), default_value = "64")]
    nodes: u32,

    #[command(flatten)]
    net: NetArgs,
}

const EXAMPLE: &str = "Example:
  $ alm measure --out pool.rtt --bootstrap 192.0.2.7:4433
  $ alm plan --matrix pool.rtt --root 0 --members random:5 --degrees uniform:4 --helpers all

The machines that lend measure each other, every pair once; a pair that does not answer is -1. Comments name the nodes.";

/// Measures and writes.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let most = args.nodes as usize;
    let (nodes, trips) = look(&args.net, async |onlooker, _, report| {
        let nodes = &report.helpers[..report.helpers.len().min(most)];
        if nodes.len() < 2 {
            let what = format!("the pool has {} that lend, and a matrix needs 2", nodes.len());
            return Err(CliError::failed(what, "", "start `alm pool` on more machines"));
        }
        let pairs = nodes.len() * (nodes.len() - 1) / 2;
        let bar = progress::bar(pairs as u64, "pairs");
        let trips = onlooker.measure(nodes, |done| bar.set_position((done as u64).min(pairs as u64))).await;
        bar.finish_and_clear();
        trips.map(|trips| (nodes.to_vec(), trips)).ok_or_else(|| {
            CliError::failed("too many nodes for a matrix", format_args!("--nodes {most}"), "use fewer")
        })
    })?;
    let names = nodes.iter().enumerate().map(|(i, helper)| {
        format!("# node {i}: {} {}\n", helper.peer.node, std::net::SocketAddr::from(helper.peer.endpoint))
    });
    let text = format!("{}{}", names.collect::<String>(), rtt_text(&trips, "pool"));
    fs::write(&args.out, text).map_err(|error| {
        CliError::failed(format_args!("cannot write the matrix ({})", reason(&error)), args.out.display(), "")
    })?;
    let n = nodes.len();
    let pairs = (0..n).flat_map(|a| (0..a).map(move |b| (a, b)));
    let holes = pairs.filter(|(a, b)| trips.get(*a, *b).is_none()).count();
    writeln!(out, "{n} nodes, {} pairs measured, {holes} missing", n * (n - 1) / 2 - holes)
        .map_err(CliError::from_stdout)
}
