//! `alm stats`: how the running conference goes.

use std::io::{self, Write};

use serde_json::Value;

use super::error::CliError;
use super::running::Target;
use crate::control::{Answer, Request};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// All that is known, as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

const EXAMPLE: &str = "Example:
  $ alm stats
  standup, 3 members, 5 nodes in the pool
  from          packets    lost  concealed    jitter    buffer      path  hops
  ada              1520       0       0 ms    0.3 ms     40 ms   12.1 ms     1";

/// Asks for the state and shows it.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let Answer::State(state) = args.target.ask(&Request::State)? else { return Ok(()) };
    let written = if args.json { writeln!(out, "{state}") } else { table(&state, out) };
    written.map_err(CliError::from_stdout)
}

/// A line of summary, one for each voice, one for each link.
fn table(state: &Value, out: &mut dyn Write) -> io::Result<()> {
    let members = state["members"].as_object();
    let name = |node: &str| {
        let known = members.and_then(|members| members.get(node)).and_then(Value::as_str);
        known.unwrap_or_else(|| node.get(..8).unwrap_or(node)).to_owned()
    };
    let pool = state["pool"]["size"].as_u64().unwrap_or(1);
    let mut head = vec![state["session"]["name"].as_str().unwrap_or("no conference").to_owned()];
    head.extend(
        members.filter(|members| !members.is_empty()).map(|members| format!("{} members", members.len())),
    );
    head.push(format!("{pool} nodes in the pool"));
    head.extend((state["muted"] == true).then(|| "your microphone is off".to_owned()));
    writeln!(out, "{}", head.join(", "))?;

    let number = |of: &Value, key: &str| of[key].as_u64().unwrap_or(0);
    let ms = |of: &Value, key: &str, digits| {
        of[key].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.digits$} ms"))
    };
    let media: Vec<&Value> =
        state["media"].as_object().into_iter().flat_map(|media| media.values()).collect();
    if !media.is_empty() {
        let heads = ["packets", "lost", "concealed", "jitter", "buffer", "path", "hops"];
        writeln!(
            out,
            "{:<12}{:>9}{:>8}{:>11}{:>10}{:>10}{:>10}{:>6}",
            "from", heads[0], heads[1], heads[2], heads[3], heads[4], heads[5], heads[6]
        )?;
    }
    for voice in media {
        writeln!(
            out,
            "{:<12}{:>9}{:>8}{:>11}{:>10}{:>10}{:>10}{:>6}",
            shortened(&name(voice["source"].as_str().unwrap_or_default())),
            number(voice, "packets"),
            number(voice, "lost"),
            ms(voice, "concealed_ms", 0),
            ms(voice, "jitter_ms", 1),
            ms(voice, "buffer_ms", 0),
            ms(voice, "path_ms", 1),
            number(voice, "hops"),
        )?;
    }
    let links: Vec<&Value> =
        state["links"].as_object().into_iter().flat_map(|links| links.values()).collect();
    if !links.is_empty() {
        writeln!(out, "{:<12}{:>9}{:>8}{:>11}{:>10}", "link to", "sent", "got", "refused", "round")?;
    }
    for link in links {
        writeln!(
            out,
            "{:<12}{:>9}{:>8}{:>11}{:>10}",
            shortened(&name(link["peer"].as_str().unwrap_or_default())),
            number(link, "sent"),
            number(link, "received"),
            number(link, "dropped"),
            ms(link, "rtt_ms", 1),
        )?;
    }
    Ok(())
}

/// As much of a name as its column holds.
fn shortened(name: &str) -> String {
    name.chars().take(11).collect()
}
