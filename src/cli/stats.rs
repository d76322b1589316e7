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
        let heads = ["sent", "got", "refused", "round", "lost up", "down"];
        writeln!(
            out,
            "{:<12}{:>9}{:>8}{:>11}{:>10}{:>10}{:>10}",
            "link to", heads[0], heads[1], heads[2], heads[3], heads[4], heads[5]
        )?;
    }
    for link in links {
        writeln!(
            out,
            "{:<12}{:>9}{:>8}{:>11}{:>10}{:>10}{:>10}",
            shortened(&name(link["peer"].as_str().unwrap_or_default())),
            number(link, "sent"),
            number(link, "received"),
            number(link, "dropped"),
            ms(link, "rtt_ms", 1),
            number(link, "lost_up"),
            number(link, "lost_down"),
        )?;
    }
    for fault in faults(state, &name) {
        writeln!(out, "{fault}")?;
    }
    Ok(())
}

/// Where sound is lost, as far as that shows here: own devices, own lines, or somewhere before them.
fn faults(state: &Value, name: &impl Fn(&str) -> String) -> Vec<String> {
    let number = |of: &Value, key: &str| of[key].as_u64().unwrap_or(0);
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let parts = |key: &str| state[key].as_object().into_iter().flat_map(|all| all.values());
    let mut faults = Vec::new();
    for (at, device) in ["microphone", "loudspeaker"].iter().enumerate() {
        let gaps = state["device_gaps"][at].as_u64().unwrap_or(0);
        faults.extend((gaps > 0).then(|| format!("your {device}: {gaps} gaps")));
    }
    let mut down = 0.0_f64;
    for link in parts("links") {
        let peer = name(link["peer"].as_str().unwrap_or_default());
        let up = share(number(link, "lost_up"), number(link, "sent"));
        let lost = number(link, "lost_down");
        let this = share(lost, lost + number(link, "received"));
        down = down.max(this);
        for (way, share) in [("up path to", up), ("down path from", this)] {
            faults.extend(
                (share >= FAULTY).then(|| format!("your {way} {peer}: {:.1} % is lost", share * 100.0)),
            );
        }
    }
    for voice in parts("media") {
        let (lost, packets) = (number(voice, "lost"), number(voice, "packets"));
        let missing = share(lost, lost + packets);
        // What the last link takes is no fault of those before it.
        if missing - down >= FAULTY {
            let who = name(voice["source"].as_str().unwrap_or_default());
            let where_ = match number(voice, "hops") {
                0 | 1 => format!("{who}'s up path"),
                _ => format!("{who}'s up path, or a relay on its way here"),
            };
            faults.push(format!("{where_}: {:.1} % of the voice is lost before your line", missing * 100.0));
        }
    }
    faults
}

/// As much of a name as its column holds.
fn shortened(name: &str) -> String {
    name.chars().take(11).collect()
}

/// Less loss than that nobody hears.
const FAULTY: f64 = 0.01;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(link: [u64; 4], voice: [u64; 3], gaps: [u64; 2]) -> Vec<String> {
        let [sent, received, lost_up, lost_down] = link;
        let [packets, lost, hops] = voice;
        let state = json!({
            "device_gaps": gaps,
            "links": {"r": {"peer": "r", "sent": sent, "received": received, "lost_up": lost_up, "lost_down": lost_down}},
            "media": {"a": {"source": "a", "packets": packets, "lost": lost, "hops": hops}},
        });
        faults(&state, &|node: &str| node.to_uppercase())
    }

    #[test]
    fn a_fault_is_looked_for_where_it_is() {
        assert_eq!(told([1_000, 1_000, 2, 3], [1_000, 4, 2], [0, 0]), Vec::<String>::new());
        assert_eq!(told([1_000, 1_000, 50, 0], [1_000, 0, 2], [0, 0]), ["your up path to R: 5.0 % is lost"]);
        assert_eq!(told([1_000, 950, 0, 50], [950, 50, 2], [0, 0]), ["your down path from R: 5.0 % is lost"]);
        let relay = "A's up path, or a relay on its way here: 5.0 % of the voice is lost before your line";
        assert_eq!(told([1_000, 1_000, 0, 0], [950, 50, 2], [0, 0]), [relay]);
        assert_eq!(told([9, 9, 0, 0], [9, 0, 1], [0, 7]), ["your loudspeaker: 7 gaps"]);
    }
}
