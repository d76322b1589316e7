//! `alm completions` and `alm man`: what a shell and `man` need to know, from the one definition of the flags.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::error::{CliError, reason};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// bash, zsh, fish, powershell or elvish
    #[arg(value_name = "SHELL", value_parser = shell)]
    shell: Shell,
}

const EXAMPLE: &str = "Example:
  $ alm completions bash > ~/.local/share/bash-completion/completions/alm
  $ alm completions zsh > ~/.zfunc/_alm
  $ alm completions fish > ~/.config/fish/completions/alm.fish";

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = MAN_EXAMPLE)]
pub(super) struct ManArgs {
    /// Where the pages go
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

const MAN_EXAMPLE: &str = "Example:
  $ alm man ~/.local/share/man/man1
  $ man alm-host";

fn shell(text: &str) -> Result<Shell, String> {
    text.parse().map_err(|_| "use bash, zsh, fish, powershell or elvish".to_owned())
}

/// Prints the script for a shell.
pub(super) fn complete(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let mut script = Vec::new();
    generate(args.shell, &mut super::Cli::command(), "alm", &mut script);
    out.write_all(&script).map_err(CliError::from_stdout)
}

/// Writes a page for the program and one for each command.
pub(super) fn man(args: &ManArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let refused = |error: std::io::Error| {
        let what = format!("cannot write the manual ({})", reason(&error));
        CliError::failed(what, args.dir.display(), "choose another directory")
    };
    fs::create_dir_all(&args.dir).map_err(refused)?;
    let mut root = super::Cli::command().disable_help_subcommand(true);
    root.build();
    let commands = root.get_subcommands().map(|command| {
        let name = format!("alm-{}", command.get_name());
        (name.clone(), command.clone().display_name(name.clone()).name(name))
    });
    let all: Vec<(String, clap::Command)> =
        std::iter::once(("alm".to_owned(), root.clone())).chain(commands).collect();
    for (name, command) in &all {
        let mut page = Vec::new();
        Man::new(command.clone()).render(&mut page).map_err(refused)?;
        fs::write(args.dir.join(format!("{name}.1")), page).map_err(refused)?;
    }
    writeln!(out, "{} pages in {}", all.len(), args.dir.display()).map_err(CliError::from_stdout)
}
