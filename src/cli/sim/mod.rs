//! `alm sim`: what would happen, in virtual time, from a seed.

mod pool;
mod sessions;
mod watch;

use std::io::Write;

use clap::Subcommand;

use super::error::CliError;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(subcommand)]
    world: World,
}

const EXAMPLE: &str = "\
Example:
  $ alm sim pool --nodes 1000 --duration 2m
  $ alm sim sessions --matrix ts1200.rtt --sessions 60";

#[derive(Debug, Subcommand)]
enum World {
    /// A pool of nodes on their ring
    Pool(pool::Args),
    /// Many sessions that compete for one pool of helpers
    Sessions(sessions::Args),
    /// False alarms of the watch over relays, on recorded lines
    Watch(watch::Args),
}

/// Runs the simulation and writes what came of it.
pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    match args.world {
        World::Pool(args) => pool::run(&args.resolve()?, out),
        World::Sessions(args) => sessions::run(&args.resolve()?, out),
        World::Watch(args) => watch::run(&args, out),
    }
}
