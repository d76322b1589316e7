//! `alm mute`, `alm unmute`, `alm ptt`: the own microphone of the running conference.

use std::io::Write;

use super::error::CliError;
use super::running::Target;
use crate::control::{Answer, Request};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
}

const EXAMPLE: &str = "Example:
  $ alm mute
  your microphone is off

It is off for sure: from then on silence is sent in its place. `alm unmute` switches it on again.";

/// Whether the microphone is open: for a key that is held, a key that is let go, and a key that is struck.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = PTT_EXAMPLE)]
pub(super) struct PttArgs {
    /// on while you talk, off when you have, or toggle
    #[arg(value_name = "on|off|toggle", value_parser = switch)]
    switch: Request,

    #[command(flatten)]
    target: Target,
}

const PTT_EXAMPLE: &str = "Example:
  $ alm ptt on        (bound to a key that goes down)
  $ alm ptt off       (bound to the same key coming up)

Start with `alm mute` or `--muted`, and the others hear you only while the key is held.";

fn switch(text: &str) -> Result<Request, String> {
    match text {
        "on" => Ok(Request::Unmute),
        "off" => Ok(Request::Mute),
        "toggle" => Ok(Request::Toggle),
        _ => Err("use on, off or toggle".to_owned()),
    }
}

/// How loud a member is played here.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = VOLUME_EXAMPLE)]
pub(super) struct VolumeArgs {
    /// The member, by name or by the beginning of the node
    #[arg(value_name = "NAME")]
    who: String,

    /// Of the member's own loudness; 0 is muted here, for nobody else
    #[arg(value_name = "PERCENT", value_parser = clap::value_parser!(u16).range(0..=400))]
    percent: u16,

    #[command(flatten)]
    target: Target,
}

const VOLUME_EXAMPLE: &str = "Example:
  $ alm volume ada 50
  ada is played at 50 %";

/// Plays a member louder or less loud.
pub(super) fn volume(args: &VolumeArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let VolumeArgs { who, percent, target } = args;
    target.ask(&Request::Volume { who: who.clone(), percent: *percent })?;
    writeln!(out, "{who} is played at {percent} %").map_err(CliError::from_stdout)
}

/// Switches it off.
pub(super) fn mute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    order(&args.target, &Request::Mute, out)
}

/// Switches it on.
pub(super) fn unmute(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    order(&args.target, &Request::Unmute, out)
}

/// Switches it as the key says.
pub(super) fn ptt(args: &PttArgs, out: &mut dyn Write) -> Result<(), CliError> {
    order(&args.target, &args.switch, out)
}

fn order(target: &Target, request: &Request, out: &mut dyn Write) -> Result<(), CliError> {
    if let Answer::Done { muted } = target.ask(request)? {
        let how = if muted { "off" } else { "on" };
        writeln!(out, "your microphone is {how}").map_err(CliError::from_stdout)?;
    }
    Ok(())
}
