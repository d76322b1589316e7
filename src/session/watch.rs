//! Who relays to this node, and whether they still do: silence on a tree link, told from a stall of the line.
//!
//! A relay sends something at least every [`BEAT`], media or a pulse. How far apart arrivals lie on a link, and how much
//! that varies, is learnt as TCP learns its timeout (RFC 6298, section 2): a relay that stays silent for longer is
//! *suspected*, which costs little. It is *dead* only after [`DEATH_AFTER`], and not while nobody else is heard either:
//! then it is this node's own line that is down. A suspect is *back* once it has kept up for [`BACK_AFTER`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::identity::NodeId;
use crate::net::{Heard, Rhythm, Watched};

/// The longest silence of a relay towards those who depend on it.
pub(super) const BEAT: Duration = Duration::from_millis(40);
/// A relay that has been silent for this long, while others are heard, will not come back.
pub(super) const DEATH_AFTER: Duration = Duration::from_secs(1);
/// A suspect that has kept up for this long is trusted again.
const BACK_AFTER: Duration = Duration::from_millis(250);
/// Suspicion comes no sooner: three frames of 20 ms.
const PATIENCE_MIN: Duration = Duration::from_millis(60);
/// And no later, whatever the link's habits.
const PATIENCE_MAX: Duration = Duration::from_millis(250);
/// A new link may take this long for its first word: its other end may not have heard yet that it is in use.
const FIRST_WORD: Duration = Duration::from_millis(1_500);
/// Beside twice the mean gap, patience allows for at least this much variation, and for this many mean deviations.
const VARIATION_MIN_MS: f64 = 20.0;
const DEVIATIONS: f64 = 4.0;
/// When this node itself comes so late to its timers, it was not the others who were silent.
const OWN_STALL: Duration = Duration::from_millis(30);

/// What silence, or its end, means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Silent for longer than is its habit.
    Suspected,
    /// It was only a stall; the silence had led to a suspicion, or even to a verdict of death.
    Back,
    /// Gone for good.
    Dead,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Watch {
    feeds: BTreeMap<NodeId, Feed>,
    /// When each node, relay or not, was last heard.
    others: BTreeMap<NodeId, Instant>,
}

#[derive(Debug)]
struct Feed {
    last: Instant,
    rhythm: Rhythm,
    state: State,
    /// `last` is not when it was heard, but when this node was back from a stall of its own.
    is_excused: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    /// Nothing has come yet.
    New,
    Well,
    Suspected {
        /// When it is judged.
        trial: Instant,
        /// Since when it has kept up again.
        keeping_up: Option<Instant>,
    },
    Dead {
        keeping_up: Option<Instant>,
    },
}

impl Watch {
    /// Says who relays to this node from now on.
    pub(super) fn set(&mut self, relays: &BTreeSet<NodeId>, now: Instant) {
        self.feeds.retain(|node, _| relays.contains(node));
        for relay in relays {
            self.feeds.entry(*relay).or_insert(Feed {
                last: now,
                rhythm: Rhythm::of(BEAT),
                state: State::New,
                is_excused: false,
            });
        }
    }

    /// Something has come from a node.
    pub(super) fn on_traffic(&mut self, from: NodeId, at: Instant) {
        self.note(from, at, Duration::MAX, None);
    }

    /// More than one thing may have come from a node: who passes media on without looking at them is told now and then.
    pub(super) fn on_heard(&mut self, from: NodeId, heard: &Heard) {
        self.note(from, heard.at, heard.longest, heard.rhythm);
    }

    fn note(&mut self, from: NodeId, at: Instant, longest: Duration, rhythm: Option<Rhythm>) {
        let last = self.others.entry(from).or_insert(at);
        *last = (*last).max(at);
        let Some(feed) = self.feeds.get_mut(&from) else { return };
        if at <= feed.last && feed.state != State::New {
            // Told twice: by the link, and as what it was.
            return;
        }
        let gap = at.saturating_duration_since(feed.last).min(longest);
        feed.last = feed.last.max(at);
        feed.is_excused = false;
        match &mut feed.state {
            State::New => feed.state = State::Well,
            State::Well => match rhythm {
                Some(rhythm) => feed.rhythm = rhythm,
                None => feed.rhythm.learn(gap),
            },
            State::Suspected { keeping_up, .. } | State::Dead { keeping_up } => {
                let is_stall = gap > PATIENCE_MIN;
                *keeping_up = keeping_up.filter(|_| !is_stall).or(Some(at));
            }
        }
    }

    /// A node's connection is gone: no need to wait.
    pub(super) fn on_lost(&mut self, node: NodeId) -> Vec<Verdict> {
        self.others.remove(&node);
        let Some(feed) = self.feeds.get_mut(&node) else { return Vec::new() };
        let verdicts = match feed.state {
            State::New | State::Well => vec![Verdict::Suspected, Verdict::Dead],
            State::Suspected { .. } => vec![Verdict::Dead],
            State::Dead { .. } => vec![],
        };
        feed.state = State::Dead { keeping_up: None };
        verdicts
    }

    /// Draws conclusions. `due` is when this node wanted to be called.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<(NodeId, Verdict)> {
        let Some(due) = self.poll_timeout(false).filter(|due| *due <= now) else { return Vec::new() };
        if now - due >= OWN_STALL {
            for feed in self.feeds.values_mut().filter(|feed| matches!(feed.state, State::New | State::Well))
            {
                (feed.last, feed.is_excused) = (now, true);
            }
        }
        let others = &self.others;
        let mut verdicts = Vec::new();
        for (node, feed) in &mut self.feeds {
            let silent = now.saturating_duration_since(feed.last);
            let patience = feed.patience();
            let kept_up = |since: Instant| now.saturating_duration_since(since) >= BACK_AFTER;
            match &mut feed.state {
                State::New | State::Well if silent >= patience => {
                    feed.state = State::Suspected { trial: feed.last + DEATH_AFTER, keeping_up: None };
                    verdicts.push((*node, Verdict::Suspected));
                }
                State::Suspected { keeping_up, .. } | State::Dead { keeping_up }
                    if keeping_up.is_some_and(kept_up) =>
                {
                    *keeping_up = None;
                    if silent < PATIENCE_MIN + BEAT {
                        feed.state = State::Well;
                        verdicts.push((*node, Verdict::Back));
                    }
                }
                State::Suspected { trial, .. } if *trial <= now => {
                    let since = feed.last + PATIENCE_MAX;
                    let others_heard = others.iter().any(|(other, last)| other != node && *last > since);
                    if silent >= DEATH_AFTER && others_heard {
                        feed.state = State::Dead { keeping_up: None };
                        verdicts.push((*node, Verdict::Dead));
                    } else {
                        *trial = now + BACK_AFTER;
                    }
                }
                _ => {}
            }
        }
        verdicts
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `alerted`: that is done anyway when somebody who is
    /// [well](Self::well) falls silent.
    pub(super) fn poll_timeout(&self, alerted: bool) -> Option<Instant> {
        let waits = |feed: &&Feed| !alerted || feed.state != State::Well || feed.is_excused;
        let feeds = self.feeds.values().filter(waits);
        feeds.filter_map(Feed::due).min()
    }

    /// Those from whom nothing is missing, and how long they may be silent.
    pub(super) fn well(&self) -> impl Iterator<Item = Watched> {
        let well = self.feeds.iter().filter(|(_, feed)| feed.state == State::Well);
        well.map(|(peer, feed)| Watched { peer: *peer, silence: feed.patience(), rhythm: feed.rhythm })
    }

    /// When a relay was last heard.
    pub(super) fn last_heard(&self, node: NodeId) -> Option<Instant> {
        self.feeds.get(&node).map(|feed| feed.last)
    }

    /// True if anybody but `node` has been heard since then.
    pub(super) fn hears_others(&self, node: NodeId, since: Instant) -> bool {
        self.others.iter().any(|(other, last)| *other != node && *last >= since)
    }

    /// True while a relay is not to be counted on.
    pub(super) fn is_doubted(&self, node: NodeId) -> bool {
        self.feeds
            .get(&node)
            .is_some_and(|feed| matches!(feed.state, State::Suspected { .. } | State::Dead { .. }))
    }
}

impl Feed {
    fn patience(&self) -> Duration {
        if self.state == State::New {
            return FIRST_WORD;
        }
        let Rhythm { mean_ms, deviation_ms } = self.rhythm;
        let ms = 2.0 * mean_ms + VARIATION_MIN_MS.max(DEVIATIONS * deviation_ms);
        Duration::from_secs_f64(ms / 1_000.0).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    fn due(&self) -> Option<Instant> {
        match self.state {
            State::New | State::Well => Some(self.last + self.patience()),
            State::Suspected { trial, keeping_up } => {
                Some(keeping_up.map_or(trial, |since| trial.min(since + BACK_AFTER)))
            }
            State::Dead { keeping_up } => keeping_up.map(|since| since + BACK_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const MS: Duration = Duration::from_millis(1);

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    /// A relay and somebody else, in steps of a millisecond. `heard` says when the relay, and when the other one, arrives.
    fn run(ms: u32, heard: impl Fn(u32) -> (bool, bool)) -> Vec<(u32, Verdict)> {
        let (start, mut watch, mut told) = (origin(), Watch::default(), Vec::new());
        watch.set(&BTreeSet::from([node(1)]), start);
        for at in 0..ms {
            let now = start + MS * at;
            let (relay, other) = heard(at);
            if relay {
                watch.on_traffic(node(1), now);
            }
            if other {
                watch.on_traffic(node(2), now);
            }
            told.extend(watch.handle_timeout(now).into_iter().map(|(_, verdict)| (at, verdict)));
            assert!(watch.poll_timeout(false).is_none_or(|due| due > now), "awake for nothing at {at} ms");
        }
        told
    }

    #[test]
    fn a_dead_relay_is_suspected_within_three_frames_and_dead_after_a_second() {
        let told = run(5_000, |at| (at.is_multiple_of(20) && at < 2_000, at.is_multiple_of(500)));
        assert_eq!(told, [(1_980 + 61, Verdict::Suspected), (1_980 + 1_000, Verdict::Dead)]);
        let pulses_alone = run(5_000, |at| (at.is_multiple_of(40) && at < 2_000, at.is_multiple_of(500)));
        assert_eq!(pulses_alone, [(1_960 + 100, Verdict::Suspected), (1_960 + 1_000, Verdict::Dead)]);
    }

    #[test]
    fn a_stall_is_forgiven_and_a_lost_frame_or_pulse_not_even_noticed() {
        let stall = |at: u32| (at.is_multiple_of(20) && !(1_000..1_100).contains(&at), true);
        assert_eq!(run(3_000, stall), [(1_042, Verdict::Suspected), (1_350, Verdict::Back)]);
        for beat in [20, 40] {
            assert_eq!(
                run(3_000, |at| (at.is_multiple_of(beat) && !at.is_multiple_of(400), true)),
                [],
                "{beat} ms"
            );
        }
    }

    #[test]
    fn who_is_told_now_and_then_is_no_more_patient_and_trusts_again() {
        let (start, mut watch, mut told) = (origin(), Watch::default(), Vec::new());
        watch.set(&BTreeSet::from([node(1)]), start);
        let (mut last, mut before, mut longest) = (start, start, Duration::ZERO);
        for at in 0..6_000 {
            let now = start + MS * at;
            if at.is_multiple_of(20) && !(2_000..2_200).contains(&at) && at < 5_000 {
                longest = longest.max(now - last);
                last = now;
            }
            if watch.poll_timeout(false).is_some_and(|due| due <= now) {
                if last > before {
                    let longest = std::mem::take(&mut longest);
                    watch.on_heard(node(1), &Heard { at: last, longest, rhythm: None, came: 0, lost: 0 });
                    before = last;
                }
                watch.on_traffic(node(2), now);
                told.extend(watch.handle_timeout(now).into_iter().map(|(_, verdict)| (at, verdict)));
            }
        }
        let expected = [Verdict::Suspected, Verdict::Back, Verdict::Suspected, Verdict::Dead];
        assert_eq!(told.iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>(), expected, "{told:?}");
        assert!(told[0].0 <= 2_080 && told[1].0 <= 3_300 && told[2].0 <= 5_080, "{told:?}");
    }

    #[test]
    fn who_is_well_is_left_to_the_link_and_judged_when_it_says_so() {
        let (start, mut watch) = (origin(), Watch::default());
        watch.set(&BTreeSet::from([node(1)]), start);
        assert!(watch.poll_timeout(true).is_some() && watch.well().next().is_none(), "not heard yet");
        let rhythm = Rhythm { mean_ms: 20.0, deviation_ms: 2.0 };
        for ms in [20, 1_020, 2_020] {
            let heard =
                Heard { at: start + MS * ms, longest: 25 * MS, rhythm: Some(rhythm), came: 50, lost: 0 };
            watch.on_heard(node(1), &heard);
        }
        assert_eq!(watch.poll_timeout(true), None);
        let well: Vec<Watched> = watch.well().collect();
        assert_eq!(well, [Watched { peer: node(1), silence: 60 * MS, rhythm }]);
        // Woken late, it gives the relay another chance, and sees to it by itself: the link says nothing of the same silence twice.
        assert_eq!(watch.handle_timeout(start + MS * 2_120), []);
        assert_eq!(watch.poll_timeout(true), Some(start + MS * 2_180));
        assert_eq!(watch.handle_timeout(start + MS * 2_181), [(node(1), Verdict::Suspected)]);
        assert!(
            watch.poll_timeout(true).is_some() && watch.well().next().is_none(),
            "there are other questions"
        );
    }

    #[test]
    fn who_hears_nobody_blames_nobody() {
        let cut = |at: u32| at.is_multiple_of(20) && !(1_000..4_000).contains(&at);
        assert_eq!(
            run(6_000, |at| (cut(at), cut(at))),
            [(1_042, Verdict::Suspected), (4_250, Verdict::Back)],
            "its own line was down"
        );
    }

    #[test]
    fn a_link_that_is_uneven_is_given_more_time() {
        // Frames that wait up to 50 ms, as on a loaded line.
        let uneven = |at: u32| (at % 100 < 60 && at.is_multiple_of(20) || at % 100 == 99, true);
        assert_eq!(run(6_000, uneven), []);
    }
}
