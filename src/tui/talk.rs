//! Push to talk by a key that is held. A terminal does not say when a key is let go; while it is held, the same key comes again
//! and again. So the microphone is open from the first time on, until the next one is overdue: where anything is in doubt, it
//! is off.

use std::time::{Duration, Instant};

/// See the [module](self). Off from the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Talk {
    /// The key is a switch.
    #[default]
    Off,
    /// Nobody holds the key.
    Ready,
    /// Somebody holds it, unless it does not come again by then.
    Held(Instant),
}

impl Talk {
    /// The key went down, or came again; true if the microphone is to open.
    pub(super) fn press(&mut self, now: Instant) -> bool {
        let is_first = *self == Self::Ready;
        *self = Self::Held(now + if is_first { FIRST_AGAIN } else { AGAIN });
        is_first
    }

    /// Time goes on; true if the microphone is to close.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let is_over = matches!(self, Self::Held(until) if *until <= now);
        if is_over {
            *self = Self::Ready;
        }
        is_over
    }
}

/// Until a key that is held comes for the second time: as long as the slowest keyboards are set to.
const FIRST_AGAIN: Duration = Duration::from_millis(800);
/// And then: twenty times what a keyboard takes, for connections that come in bursts.
const AGAIN: Duration = Duration::from_millis(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
    fn a_key_that_is_held_opens_once_and_letting_go_closes_once() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut talk = Talk::Ready;
        assert!(!talk.tick(start));
        assert!(talk.press(start));
        // It comes again after half a second, and every 30 ms.
        for at in (500..2_000).step_by(30) {
            assert!(!talk.tick(start + ms(at)) && !talk.press(start + ms(at)));
        }
        let closed: Vec<u64> = (2_000..4_000).step_by(50).filter(|at| talk.tick(start + ms(*at))).collect();
        assert_eq!(closed.len(), 1);
        assert!(closed[0] <= 2_650, "{closed:?}");
        assert!(talk.press(start + ms(5_000)), "it opens again");
    }
}
