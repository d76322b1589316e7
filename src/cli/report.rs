//! Events as lines: JSON for programs, sentences for people.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::event::Event;
use crate::face::{Conference, sentence};

/// Turns events into lines.
pub(super) struct Report {
    json: bool,
    /// What the lines so far have told.
    conference: Conference,
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
        Self { json, conference: Conference::default(), held: id_first.then(Vec::new) }
    }

    /// Writes an event's line, if it has one.
    pub(super) fn write(&mut self, event: &Event, out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut *out, &Stamped { event, t: unix_seconds() })?;
            return writeln!(out);
        }
        let line = sentence(&self.conference, event);
        self.conference.apply(event);
        let Some(line) = line else { return Ok(()) };
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
}

#[expect(clippy::disallowed_methods, reason = "events and records carry the wall clock, and only here")]
pub(super) fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs_f64() * 1_000.0).round() / 1_000.0
}
