//! `alm devices`: what `--input` and `--output` take.

use std::io::Write;

use alm_media::device::{DeviceName, list_devices};

use super::error::CliError;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {}

const EXAMPLE: &str = "Example:
  $ alm devices
  input   alsa_input.usb-headset    Headset Mono (default)
  output  alsa_output.usb-headset   Headset Analog Stereo (default)";

/// Lists them, the default ones first.
pub(super) fn run(_args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let devices = list_devices().map_err(|error| {
        CliError::failed(error, "", "build with the feature `audio`, which is on by default")
    })?;
    if devices.inputs.is_empty() && devices.outputs.is_empty() {
        return writeln!(out, "no sound devices: use file:, tone: or silence, and file: or null")
            .map_err(CliError::from_stdout);
    }
    let all = [("input", &devices.inputs), ("output", &devices.outputs)];
    let width = all.iter().flat_map(|(_, list)| list.iter().map(|device| device.name.chars().count())).max();
    for (way, list) in all {
        for (i, DeviceName { name, description }) in list.iter().enumerate() {
            let default = if i == 0 { " (default)" } else { "" };
            let width = width.unwrap_or_default();
            writeln!(out, "{way:<7} {name:<width$}  {description}{default}")
                .map_err(CliError::from_stdout)?;
        }
    }
    Ok(())
}
