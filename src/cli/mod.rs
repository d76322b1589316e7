//! What people type: one file per command, each with `Args` (what was typed), `Args::resolve` (what it means, files
//! opened and values checked) and `run`.
//!
//! A flag is defined once, on its `Args`; its environment variable and its key in the configuration file follow from
//! its name (`config`). Errors become one line on stderr and an exit code in `error` alone.

mod bench;
mod completions;
mod config;
mod coords;
mod demo;
mod devices;
mod doctor;
mod draw;
mod error;
mod gen_matrix;
mod grant;
mod guest;
mod host;
mod input;
mod installed;
mod join;
mod lab;
mod leave;
mod live;
mod look;
mod matrix_args;
mod matrix_file;
mod measure;
mod media_args;
mod moderate;
mod net_args;
mod page;
mod plan;
mod plan_output;
mod plan_svg;
mod planning;
mod pool;
mod progress;
mod report;
mod running;
mod say;
mod session_args;
mod settings;
mod sim;
mod state;
mod stats;
mod status;
mod svg;
mod tree;
pub mod units;
mod uplinks;
mod voice;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::control::Act;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::error::CliError;

/// Conferencing without servers: the participants' own machines carry the conference.
#[derive(Debug, Parser)]
#[command(name = "alm", version, max_term_width = 110)]
struct Cli {
    /// Read defaults of flags from this TOML file [default: config.toml in the platform's config directory]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

/// The commands. A new one is a variant here, an arm in `run`, and a file with its `Args`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Start a conference and print its id
    Host(Box<host::Args>),
    /// Enter a conference
    Join(Box<join::Args>),
    /// Lend this machine to conferences
    Pool(pool::Args),
    /// Show this machine's key, or promise a host priority in a pool
    Grant(grant::Args),
    /// Show the pool as its root sees it
    Status(status::Args),
    /// Measure the pool into a latency matrix
    Measure(measure::Args),
    /// Switch your microphone off in the running conference
    Mute(voice::Args),
    /// Switch it on again
    Unmute(voice::Args),
    /// Open or close the microphone, for a key that is held
    Ptt(voice::PttArgs),
    /// Play a member louder or less loud here, or not at all
    Volume(voice::VolumeArgs),
    /// Write something to everybody in the running conference
    Say(say::Args),
    /// Leave the running conference
    Leave(leave::Args),
    /// End the running conference for everybody
    End(moderate::AllArgs),
    /// Put somebody out of the running conference
    Kick(moderate::OneArgs),
    /// Put somebody out for good
    Ban(moderate::OneArgs),
    /// Make, list or take back links for guests without the program
    Guest(guest::Args),
    /// Let nobody new into the running conference
    Lock(moderate::AllArgs),
    /// Let people in again
    Unlock(moderate::AllArgs),
    /// Have nobody but the host heard
    Hush(moderate::AllArgs),
    /// Have everybody heard again
    Unhush(moderate::AllArgs),
    /// Show how the running conference goes
    Stats(stats::Args),
    /// Show what carries the running conference
    Tree(tree::Args),
    /// Show a whole conference on this machine, and check that everyone hears everyone
    Demo(demo::Args),
    /// Run whole conferences on an emulated network with recorded latencies, and measure what is heard
    Lab(Box<lab::Args>),
    /// List sound devices
    Devices(devices::Args),
    /// Say what works on this machine, what does not, and what to do
    Doctor(doctor::Args),
    /// Plan a tree on a recorded latency matrix
    Plan(Box<plan::Args>),
    /// Simulate many sessions on a recorded latency matrix
    Sim(sim::Args),
    /// Hold planning algorithms against each other
    Bench(Box<bench::Args>),
    /// Make up a latency matrix
    Gen(gen_matrix::Args),
    /// Print a script that completes commands and flags in a shell
    Completions(completions::Args),
    /// Write the manual pages
    Man(completions::ManArgs),
    /// Show the settings, and where each comes from
    Config(settings::Args),
}

impl Command {
    fn run(self, root: &clap::Command, config: &config::Config, out: &mut dyn Write) -> Result<(), CliError> {
        match self {
            Self::Host(args) => host::run(*args, out),
            Self::Join(args) => join::run(*args, out),
            Self::Pool(args) => pool::run(&args, out),
            Self::Grant(args) => grant::run(&args, out),
            Self::Status(args) => status::run(&args, out),
            Self::Measure(args) => measure::run(&args, out),
            Self::Mute(args) => voice::mute(&args, out),
            Self::Unmute(args) => voice::unmute(&args, out),
            Self::Ptt(args) => voice::ptt(&args, out),
            Self::Volume(args) => voice::volume(&args, out),
            Self::Say(args) => say::run(&args),
            Self::Leave(args) => leave::run(&args, out),
            Self::Guest(args) => guest::run(&args, out),
            Self::End(args) => moderate::end(&args, out),
            Self::Kick(args) => moderate::one(args, Act::Kick),
            Self::Ban(args) => moderate::one(args, Act::Ban),
            Self::Lock(args) => moderate::all(&args, Act::Lock),
            Self::Unlock(args) => moderate::all(&args, Act::Unlock),
            Self::Hush(args) => moderate::all(&args, Act::Hush),
            Self::Unhush(args) => moderate::all(&args, Act::Unhush),
            Self::Stats(args) => stats::run(&args, out),
            Self::Tree(args) => tree::run(&args, out),
            Self::Demo(args) => demo::run(&args, out),
            Self::Lab(args) => lab::run(*args, out),
            Self::Devices(args) => devices::run(&args, out),
            Self::Doctor(args) => doctor::run(&args, out),
            Self::Sim(args) => sim::run(args, out),
            Self::Plan(args) => plan::run(&args.resolve()?, out),
            Self::Bench(args) => bench::run(*args, out),
            Self::Gen(args) => gen_matrix::run(&args, out),
            Self::Completions(args) => completions::complete(&args, out),
            Self::Man(args) => completions::man(&args, out),
            Self::Config(args) => settings::run(&args, root, config, out),
        }
    }
}

/// Runs `alm` with `args`, the program's name first, on the process's stdout and stderr.
pub fn main(args: Vec<OsString>) -> ExitCode {
    // Not locked: a live command writes from other threads too.
    let mut out = io::stdout();
    let done = dispatch(&args, &mut out).and_then(|()| out.flush().map_err(CliError::from_stdout));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(line) = error.line() {
                // Nobody is left to tell if stderr is closed too.
                let _ = writeln!(io::stderr(), "{line}");
            }
            error.exit_code()
        }
    }
}

fn dispatch(args: &[OsString], out: &mut dyn Write) -> Result<(), CliError> {
    let config = config::Config::find(args)?;
    let command = config.apply(Cli::command())?;
    let root = command.clone();
    let parsed = command.try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => cli.command.run(&root, &config, out),
        Err(error) if error.use_stderr() => Err(CliError::from_clap(&error, args, &config)),
        Err(help) => write!(out, "{}", help.render()).map_err(CliError::from_stdout),
    }
}

/// The names of all commands.
fn command_names() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_a_worked_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("$ alm "), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn every_flag_has_help() {
        for command in Cli::command().get_subcommands() {
            for flag in command.get_arguments() {
                assert!(flag.get_help().is_some(), "{} {}", command.get_name(), flag.get_id());
            }
        }
    }
}
