//! `alm config`: which settings a command would run with, and where each comes from.

use std::io::Write;

use clap::Command;

use super::config::{Config, Origin};
use super::error::CliError;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Of one command only
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

const EXAMPLE: &str = "Example:
  $ alm config host
  host
    bitrate    64k        config.toml:3
    degree     8          ALM_DEGREE
    frame      20ms       default";

/// Prints what the flags of `root`'s commands come to without being typed.
pub(super) fn run(args: &Args, root: &Command, config: &Config, out: &mut dyn Write) -> Result<(), CliError> {
    let commands: Vec<&Command> = root
        .get_subcommands()
        .filter(|command| args.command.as_deref().is_none_or(|name| name == command.get_name()))
        .collect();
    if commands.is_empty() {
        let name = args.command.as_deref().unwrap_or_default();
        return Err(CliError::wrong("unknown command", name, "`alm help` lists them"));
    }
    for command in commands {
        let set: Vec<(String, String, Origin)> = config.settings(command);
        if set.is_empty() {
            continue;
        }
        writeln!(out, "{}", command.get_name()).map_err(CliError::from_stdout)?;
        let width = |of: fn(&(String, String, Origin)) -> &str| {
            set.iter().map(|line| of(line).chars().count()).max().unwrap_or(0)
        };
        let (names, values) = (width(|line| &line.0), width(|line| &line.1));
        for (name, value, origin) in &set {
            writeln!(out, "  {name:<names$}  {value:<values$}  {origin}").map_err(CliError::from_stdout)?;
        }
    }
    Ok(())
}
