//! `alm gen`: made-up latency matrices.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use alm_planner::{NODES_MAX, Plane, TransitStub, rtt_text};
use clap::ValueEnum;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::error::{CliError, reason};

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE, after_long_help = DETAILS)]
pub(super) struct Args {
    /// What kind of network
    #[arg(value_enum)]
    topology: Topology,

    /// How many hosts [default: 1200 for transit-stub, 1000 for plane]
    #[arg(long, value_name = "N")]
    hosts: Option<usize>,

    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Write the matrix to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example:
  $ alm gen transit-stub --hosts 1200 --seed 1 --out ts1200.rtt";

const DETAILS: &str = "\
transit-stub: 4 transit domains of 6 routers; at each transit router 3 stub domains of 8 routers: 600 routers. \
A domain is a connected random graph: a random tree, and every other pair is linked with probability 0.6 in transit \
domains, 0.42 in stubs. Every two transit domains have one link. One way, a link between transit routers takes 100 ms, \
one from transit to stub 25 ms, one within a stub 10 ms, and from a host to its router it is 3 to 8 ms, uniform. Hosts \
are spread at random over the stub routers. Latency is the shortest path.

plane: hosts are spread uniformly over a square with sides of 100 ms one way. Latency is distance.

Example:
  $ alm gen transit-stub --hosts 1200 --seed 1 --out ts1200.rtt";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Topology {
    /// Hosts at the edge of a two-level Internet
    TransitStub,
    /// Hosts in a square, as far apart as they are
    Plane,
}

/// Draws the matrix and writes it.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let (name, usual) = match args.topology {
        Topology::TransitStub => ("transit-stub", 1200),
        Topology::Plane => ("plane", 1000),
    };
    let hosts = args.hosts.unwrap_or(usual);
    let mut rng = StdRng::seed_from_u64(args.seed);
    let trips = match args.topology {
        _ if !(1..=NODES_MAX).contains(&hosts) => None,
        Topology::TransitStub => TransitStub::new(hosts).draw(&mut rng),
        Topology::Plane => Plane::new(hosts).draw(&mut rng),
    };
    let trips = trips.ok_or_else(|| {
        let todo = format!("use a number from 1 to {NODES_MAX}");
        CliError::wrong("no matrix has that many hosts", format_args!("--hosts {hosts}"), todo)
    })?;
    let text = rtt_text(&trips, &format!("{name}{hosts}-seed{}", args.seed));
    match &args.out {
        None => out.write_all(text.as_bytes()).map_err(CliError::from_stdout),
        Some(path) => fs::write(path, text).map_err(|error| {
            CliError::failed(format_args!("cannot write the matrix ({})", reason(&error)), path.display(), "")
        }),
    }
}
