//! Peers whose silence matters, watched where packets come in: the node sleeps until there is something to know.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::hop::Hop;
use crate::identity::NodeId;
use crate::net::Watched;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Vigil(Vec<Guarded>);

/// One of them.
struct Guarded {
    watched: Watched,
    /// All its hops: which one it sends by is its own affair.
    hops: Vec<Arc<Hop>>,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    /// When the peer had been heard last, at the last silence that was told.
    silence: Option<Instant>,
    /// When anything was told last.
    at: Option<Instant>,
}

/// What is missing is told no more often: the node looks as often as that.
const TOLD_APART: Duration = Duration::from_millis(200);

impl Vigil {
    /// These are watched from now on, of whose hops `hops` has all; what has been told of them before still has.
    pub(super) fn next(&self, watched: &[Watched], hops: &[Arc<Hop>]) -> Self {
        let guarded = |watched: &Watched| {
            let before = self.0.iter().find(|before| before.watched.peer == watched.peer);
            let told = before.map(|before| before.told.clone()).unwrap_or_default();
            let hops = hops.iter().filter(|hop| hop.peer == watched.peer).cloned().collect();
            Guarded { watched: *watched, hops, told }
        };
        for hop in hops {
            let watched = watched.iter().find(|watched| watched.peer == hop.peer);
            hop.learn_rhythm(watched.map(|watched| watched.rhythm));
        }
        Self(watched.iter().map(guarded).collect())
    }

    /// Who is watched.
    pub(super) fn watched(&self) -> Vec<Watched> {
        self.0.iter().map(|guarded| guarded.watched).collect()
    }

    /// Gives `alert` each peer of whom there is something to know; what it does not take is told again. When to look again,
    /// unless something comes before.
    #[cfg(target_os = "linux")]
    pub(super) fn look(&self, now: Instant, alert: &mut dyn FnMut(NodeId) -> bool) -> Option<Instant> {
        let mut next = None;
        for Guarded { watched, hops, told } in &self.0 {
            let (mut heard, mut missing) = (None, false);
            for (at, left_out) in hops.iter().map(|hop| hop.last_heard()) {
                (heard, missing) = (heard.max(at), missing | left_out);
            }
            // Somebody who has never been heard is waited for by who watches.
            let Some(heard) = heard else { continue };
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let again = told.at.map_or(now, |at| at + TOLD_APART);
            let due = heard + watched.silence;
            let is_silent = due <= now && told.silence != Some(heard);
            if (is_silent || missing && again <= now) && alert(watched.peer) {
                told.at = Some(now);
                told.silence = if is_silent { Some(heard) } else { told.silence };
                hops.iter().for_each(|hop| hop.forget_missing());
            } else if missing {
                next = next.into_iter().chain([again.max(now)]).min();
            }
            if due > now {
                next = next.into_iter().chain([due]).min();
            }
        }
        next
    }
}
