//! The watch over one tree link, run over arrivals that were recorded: how often a relay that lives is suspected, and how
//! often it is taken for dead.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::watch::{Verdict, Watch};
use crate::identity::NodeId;

/// What the watch concluded. The relay lives all the time, so each of these is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rehearsal {
    /// The backup parent was asked to feed as well.
    pub suspected: u64,
    /// The parent was given up.
    pub dead: u64,
}

const RELAY: NodeId = NodeId([1; 32]);
const OTHER: NodeId = NodeId([2; 32]);

/// Runs the watch. `relay` and `others` say when something came from the relay and from anybody else, since `origin`, in
/// order.
#[must_use]
pub fn rehearse(relay: &[Duration], others: &[Duration], origin: Instant) -> Rehearsal {
    let (mut watch, mut found) = (Watch::default(), Rehearsal::default());
    watch.set(&BTreeSet::from([RELAY]), origin);
    let (mut relay, mut others) = (relay.iter().peekable(), others.iter().peekable());
    while let Some(from_relay) = relay.peek() {
        let is_other = others.peek().is_some_and(|other| *other < *from_relay);
        let (from, at) = if is_other { (OTHER, others.next()) } else { (RELAY, relay.next()) };
        let Some(at) = at.map(|at| origin + *at) else { return found };
        while let Some(due) = watch.poll_timeout(false).filter(|due| *due < at) {
            for (_, verdict) in watch.handle_timeout(due) {
                match verdict {
                    Verdict::Suspected => found.suspected += 1,
                    Verdict::Dead => found.dead += 1,
                    Verdict::Back => {}
                }
            }
        }
        watch.on_traffic(from, at);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    #[test]
    fn a_stall_is_suspected_and_only_a_long_one_beside_others_taken_for_death() {
        let every = |ms: u64, but: std::ops::Range<u64>| -> Vec<Duration> {
            let all = (0..10_000).step_by(ms as usize).filter(|at| !but.contains(at));
            all.map(Duration::from_millis).collect()
        };
        let others = every(50, 0..0);
        let wrong = |but, others: &[Duration]| {
            let Rehearsal { suspected, dead } = rehearse(&every(20, but), others, origin());
            (suspected, dead)
        };
        assert_eq!(wrong(0..0, &others), (0, 0));
        assert_eq!(wrong(4_000..4_200, &others), (1, 0));
        assert_eq!(wrong(4_000..6_000, &others), (1, 1));
        assert_eq!(wrong(4_000..6_000, &every(50, 4_000..6_000)), (1, 0), "nobody was heard meanwhile");
    }
}
