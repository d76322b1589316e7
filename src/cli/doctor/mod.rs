//! `alm doctor`: one screen that says what works on this machine and what does not, and what to do about it.
//!
//! Every check has a deadline of its own, and none goes on because another failed. What the network's checks cannot know
//! without somebody out there, they say.

mod finding;
mod machine;
mod network;
mod sound;

use std::io::Write;
use std::time::Duration;

use alm_media::device::{InputSpec, OutputSpec};
use indicatif::ProgressBar;
use serde::Serialize;

use self::finding::{Finding, Verdict};
use super::error::CliError;
use super::net_args::NetArgs;
use super::progress;
use super::report::unix_seconds;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The microphone to listen with: default or a device; silence leaves it out
    #[arg(long, value_name = "INPUT", default_value = "default")]
    input: InputSpec,

    /// The loudspeaker to play a short tone on: default or a device; null leaves it out
    #[arg(long, value_name = "OUTPUT", default_value = "default")]
    output: OutputSpec,

    #[command(flatten)]
    net: NetArgs,
}

const EXAMPLE: &str = "Example:
  $ alm doctor --bootstrap 192.0.2.7:4433
  ok       clock          timers come at most 0.3 ms late
  ok       microphone     it is open
  warning  port mapping   the router opens no port when asked
                          > switch UPnP on in it, or lead a UDP port such as 4433 here
                            and use --listen
  ...

A short tone is played and listened for. It exits with 1 if something failed that a conference cannot do without.";

/// Checks in all: what the bar counts.
const CHECKS: u64 = 13;
/// How long a device that hangs may hold up the end.
const END_WITHIN: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct Summary {
    event: &'static str,
    t: f64,
    ok: usize,
    warnings: usize,
    failed: usize,
    unknown: usize,
}

/// Looks at everything, and says so as it goes.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format_args!("cannot start ({error})"), "", ""))?;
    let mut screen =
        Screen { json: args.net.json, bar: progress::bar(CHECKS, "checks"), all: Vec::new(), out };
    let looked = runtime.block_on(look(args, &mut screen));
    screen.bar.finish_and_clear();
    runtime.shutdown_timeout(END_WITHIN);
    looked?;
    screen.end()
}

async fn look(args: &Args, screen: &mut Screen<'_>) -> Result<(), CliError> {
    screen.say([machine::clock().await, machine::file_limit()])?;
    screen.say(sound::sound(&args.input, &args.output).await)?;
    match network::port(&args.net) {
        Ok((socket, port)) => {
            screen.say([port, machine::kernel_buffers(&socket)])?;
            screen.say([network::firewall(socket).await, network::ipv6()])?;
            screen.say(network::outside(&args.net).await)
        }
        Err(port) => screen.say([port, network::ipv6()]),
    }
}

/// What has been said so far.
struct Screen<'a> {
    json: bool,
    bar: ProgressBar,
    all: Vec<Finding>,
    out: &'a mut dyn Write,
}

impl Screen<'_> {
    fn say(&mut self, findings: impl IntoIterator<Item = Finding>) -> Result<(), CliError> {
        for finding in findings {
            let text = if self.json { finding.json() } else { finding.text() };
            let out = &mut self.out;
            self.bar
                .suspend(|| out.write_all(text.as_bytes()).and_then(|()| out.flush()))
                .map_err(CliError::from_stdout)?;
            self.bar.inc(1);
            self.all.push(finding);
        }
        Ok(())
    }

    /// The last line, and whether a conference can do with what was found.
    fn end(self) -> Result<(), CliError> {
        let count = |verdict| self.all.iter().filter(|finding| finding.verdict == verdict).count();
        let summary = Summary {
            event: "doctor",
            t: unix_seconds(),
            ok: count(Verdict::Ok),
            warnings: count(Verdict::Warning),
            failed: count(Verdict::Failed),
            unknown: count(Verdict::Unknown),
        };
        let Summary { ok, warnings, failed, unknown, .. } = summary;
        let text = if self.json {
            serde_json::to_string(&summary).unwrap_or_default()
        } else {
            format!("{ok} ok, {warnings} with a warning, {failed} failed, {unknown} unknown")
        };
        writeln!(self.out, "{text}").map_err(CliError::from_stdout)?;
        let names: Vec<&str> =
            self.all.iter().filter(|finding| finding.verdict == Verdict::Failed).map(Finding::name).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(CliError::failed("not everything works", names.join(", "), "do what the lines above say"))
    }
}
