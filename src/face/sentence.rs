//! An event as a person reads it.

use super::conference::Conference;
use crate::event::{Event, Plan};
use crate::session::Lost;

/// What `event` is in words, to someone who has seen `conference` up to it; nothing for figures that come every second.
#[must_use]
pub fn sentence(conference: &Conference, event: &Event) -> Option<String> {
    Some(match event {
        Event::Session { id, role: "host", .. } => {
            format!("{id}\nothers join with: alm join {id}")
        }
        Event::Session { name, .. } => format!("you are in {name:?}"),
        Event::MemberJoined { name, records: true, .. } => format!("{name} is here and records"),
        Event::MemberJoined { name, .. } => format!("{name} is here"),
        Event::MemberLeft { node, reason } => {
            let how = serde_json::to_value(reason).ok();
            let how = how.as_ref().and_then(|how| how.as_str()).unwrap_or("left");
            format!("{} is gone ({how})", conference.name(node))
        }
        Event::Tree(plan) => {
            let Plan { epoch, trees, helpers, reason, .. } = plan;
            let edges: usize = trees.iter().map(|tree| tree.edges.len()).sum();
            if edges == 0 {
                return None;
            }
            let helpers = helpers.len();
            let what = match trees.len() {
                1 => format!("{edges} links"),
                trees => format!("{trees} trees, one for each voice"),
            };
            format!("tree {epoch} ({reason}): {what}, {helpers} helpers, worst pair {}", plan.worst_pair())
        }
        Event::Pool { size, .. } => format!("{size} nodes in the pool"),
        Event::Coordinate { .. } => return None,
        Event::Repair { what, detected_ms, repaired_ms, .. } => {
            let what = match what {
                Lost::Relay => "a relay",
                Lost::Host => "the host",
                Lost::Helper => "a helper",
            };
            format!("{what} died: noticed after {detected_ms:.0} ms, replaced after {repaired_ms:.0} ms")
        }
        Event::Error { message } => format!("trouble: {message}"),
        Event::Left { reason } => format!("out: {reason}"),
        Event::Phrase { words } => format!("words to compare: {words}"),
        Event::Ready { listen, .. } => format!("listening on {}", listen.join(", ")),
        Event::Rules { locked, quiet } => {
            let doors = match (conference.locked, locked) {
                (false, true) => Some("nobody new is let in"),
                (true, false) => Some("people are let in again"),
                _ => None,
            };
            let voices = match (conference.quiet, quiet) {
                (false, true) => Some("only the host is heard"),
                (true, false) => Some("everybody is heard again"),
                _ => None,
            };
            let words: Vec<&str> = doors.into_iter().chain(voices).collect();
            if words.is_empty() {
                return None;
            }
            words.join(", ")
        }
        Event::Voice { muted: true } => "your microphone is off".to_owned(),
        Event::Voice { muted: false } => "your microphone is on".to_owned(),
        Event::Page { link } => format!("as a page: {link}"),
        Event::Guest { name, link: None, .. } => format!("the guests' link {name:?} was taken back"),
        Event::Guest { link: Some(link), fingerprint: None, .. } => format!("guests come by {link}"),
        Event::Guest { link: Some(link), fingerprint: Some(print), .. } => {
            format!("guests come by {link}\ntheir browser warns once; the certificate's SHA-256 is {print}")
        }
        Event::Chat { node, text, .. } => format!("{}: {text}", conference.name(node)),
        Event::Volume { node, percent: 0 } => format!("{} is muted here", conference.name(node)),
        Event::Volume { node, percent } => {
            format!("{} is played at {percent} %", conference.name(node))
        }
        Event::Media(_)
        | Event::Levels { .. }
        | Event::Link(_)
        | Event::Device { .. }
        | Event::Place { .. }
        | Event::Gap { .. }
        | Event::Detour { .. }
        | Event::FalseAlarm { .. } => return None,
    })
}
