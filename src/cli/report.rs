//! Events as lines: JSON for programs, sentences for people.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::event::{Event, Plan};

/// Turns events into lines.
pub(super) struct Report {
    json: bool,
    /// What nodes call themselves.
    names: BTreeMap<String, String>,
    /// Lines that wait until the id is out, which scripts take from a host's first line; `None` when nothing waits.
    held: Option<Vec<String>>,
}

/// An event and when it was written.
#[derive(Serialize)]
struct Stamped<'a> {
    #[serde(flatten)]
    event: &'a Event,
    /// Seconds since 1970.
    t: f64,
}

impl Report {
    /// With `id_first`, plain lines wait until the session's id has been written.
    pub(super) fn new(json: bool, id_first: bool) -> Self {
        Self { json, names: BTreeMap::new(), held: id_first.then(Vec::new) }
    }

    /// Writes an event's line, if it has one.
    pub(super) fn write(&mut self, event: &Event, out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut *out, &Stamped { event, t: unix_seconds() })?;
            return writeln!(out);
        }
        let Some(line) = self.sentence(event) else { return Ok(()) };
        match (&mut self.held, event) {
            (Some(held), Event::Session { .. }) => {
                let held = std::mem::take(held);
                self.held = None;
                std::iter::once(line).chain(held).try_for_each(|line| writeln!(out, "{line}"))
            }
            (Some(held), _) => {
                held.push(line);
                Ok(())
            }
            (None, _) => writeln!(out, "{line}"),
        }
    }

    fn sentence(&mut self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Session { id, role: "host", .. } => {
                format!("{id}\nothers join with: alm join {id}")
            }
            Event::Session { name, .. } => format!("you are in {name:?}"),
            Event::MemberJoined { node, name } => {
                self.names.insert(node.clone(), name.clone());
                format!("{name} is here")
            }
            Event::MemberLeft { node, reason } => {
                let how = serde_json::to_value(reason).ok();
                let how = how.as_ref().and_then(|how| how.as_str()).unwrap_or("left");
                format!("{} is gone ({how})", self.name(node))
            }
            Event::Tree(Plan { epoch, trees, helpers, worst_ms, reason, .. }) => {
                let edges: usize = trees.iter().map(|tree| tree.edges.len()).sum();
                if edges == 0 {
                    return None;
                }
                let helpers = helpers.len();
                let what = match trees.len() {
                    1 => format!("{edges} links"),
                    trees => format!("{trees} trees, one for each voice"),
                };
                format!("tree {epoch} ({reason}): {what}, {helpers} helpers, worst pair {worst_ms:.1} ms")
            }
            Event::Pool { size, .. } => format!("{size} nodes in the pool"),
            Event::Error { message } => format!("trouble: {message}"),
            Event::Left { reason } => format!("out: {reason}"),
            Event::Ready { listen, .. } => format!("listening on {}", listen.join(", ")),
            Event::Voice { muted: true } => "your microphone is off".to_owned(),
            Event::Voice { muted: false } => "your microphone is on".to_owned(),
            Event::Media(_) | Event::Link(_) => return None,
        })
    }

    fn name(&self, node: &str) -> String {
        self.names.get(node).cloned().unwrap_or_else(|| node.chars().take(8).collect())
    }
}

#[expect(clippy::disallowed_methods, reason = "events carry the wall clock, and only here")]
fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs_f64() * 1_000.0).round() / 1_000.0
}
