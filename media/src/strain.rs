//! Whether a sender asks too much of its uplink, and what it does about it: longer frames, which spare headers, before
//! anything is dropped; and once that does not help, among those who speak a place only for the loudest.
//!
//! Two signs count, each for two seconds in a row: the machine's budget is nearly spent, or the ways to most of its neighbours
//! in the plan have become much longer than they were, which is what a queue on its own line does; a single one has a queue of
//! its own. Loss alone is no sign: radios lose packets and longer frames would lose more with each. Nor is a neighbour that
//! is new and far. What is done is undone step by step after a while of calm.

use std::collections::{BTreeMap, VecDeque};

use crate::codec::FrameLength;

/// A round trip that has grown by so much has a queue in it, milliseconds.
const QUEUE_MS: f64 = 120.0;

/// What the round trip is compared with: its least in so many seconds.
const REMEMBERED_S: usize = 60;

/// Before so many seconds of a neighbour nothing is concluded: its first round trips are guesses.
const KNOWN_S: usize = 5;

/// So many datagrams in a second that find the budget nearly spent are no mere burst.
const PRESSED_MIN: u64 = 10;

/// Seconds of strain before something is done.
const STRAINED_S: u32 = 2;

/// Seconds of calm before one step is undone.
const CALM_S: u32 = 10;

/// The longest frames.
const FRAME_MICROS: [u64; 3] = [20_000, 40_000, 60_000];

/// After the longest frames there is one step more.
const STEPS: usize = FRAME_MICROS.len();

/// See the [module](self). Neighbours are told apart by `K`.
#[derive(Debug)]
pub struct Strain<K> {
    /// Datagrams that found the budget nearly spent, ever.
    pressed: u64,
    round_trips_ms: BTreeMap<K, VecDeque<f64>>,
    strained: u32,
    calm: u32,
    steps: usize,
}

impl<K> Default for Strain<K> {
    fn default() -> Self {
        Self { pressed: 0, round_trips_ms: BTreeMap::new(), strained: 0, calm: 0, steps: 0 }
    }
}

impl<K: Ord> Strain<K> {
    /// A second has passed: `pressed` datagrams so far found the machine's budget nearly spent, and these are the round trips
    /// to the neighbours, as far as they are known. Whether what is to be done has changed.
    pub fn on_second(&mut self, pressed: u64, round_trips_ms: impl IntoIterator<Item = (K, f64)>) -> bool {
        let is_pressed = pressed.saturating_sub(std::mem::replace(&mut self.pressed, pressed)) >= PRESSED_MIN;
        let is_queued = self.is_queued(round_trips_ms);
        let before = self.steps;
        if is_pressed || is_queued {
            (self.strained, self.calm) = (self.strained + 1, 0);
            if self.strained >= STRAINED_S {
                self.strained = 0;
                self.steps = (self.steps + 1).min(STEPS);
            }
        } else {
            (self.strained, self.calm) = (0, self.calm + 1);
            if self.calm >= CALM_S {
                self.calm = 0;
                self.steps = self.steps.saturating_sub(1);
            }
        }
        self.steps != before
    }

    /// True when longer frames have not been enough.
    pub fn leaves_room_for_the_loudest_alone(&self) -> bool {
        self.steps == STEPS
    }

    /// The frames to send in, where `usual` ones were asked for: never shorter than those.
    pub fn frame(&self, usual: FrameLength) -> FrameLength {
        if self.steps == 0 {
            return usual;
        }
        let longer =
            FRAME_MICROS.into_iter().filter_map(FrameLength::from_micros).filter(|frame| *frame > usual);
        longer.take(self.steps).last().unwrap_or(usual)
    }

    /// Whether the ways to most neighbours have grown; neighbours that are none any more are forgotten.
    fn is_queued(&mut self, round_trips_ms: impl IntoIterator<Item = (K, f64)>) -> bool {
        let mut before = std::mem::take(&mut self.round_trips_ms);
        let (mut compared, mut grown) = (0, 0);
        for (neighbour, ms) in round_trips_ms {
            let mut known = before.remove(&neighbour).unwrap_or_default();
            let least = known.iter().copied().fold(f64::INFINITY, f64::min);
            if known.len() >= KNOWN_S {
                compared += 1;
                grown += usize::from(ms > least + QUEUE_MS);
            }
            known.push_back(ms);
            if known.len() > REMEMBERED_S {
                known.pop_front();
            }
            self.round_trips_ms.insert(neighbour, known);
        }
        2 * grown > compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(frame: FrameLength) -> f64 {
        frame.ms()
    }

    #[test]
    fn frames_grow_under_strain_and_shrink_again_in_calm() {
        let mut strain = Strain::default();
        let usual = FrameLength::MS_20;
        let (mut frames, mut crowded) = (Vec::new(), Vec::new());
        for second in 0..50_u64 {
            // Pressed from the sixth second to the twelfth.
            strain.on_second(second.clamp(5, 12) * PRESSED_MIN, [(1, 30.0)]);
            frames.push(ms(strain.frame(usual)));
            crowded.push(strain.leaves_room_for_the_loudest_alone());
        }
        assert_eq!(frames[..6], [20.0; 6]);
        assert_eq!((frames[7], frames[9], frames[12]), (40.0, 60.0, 60.0), "{frames:?}");
        assert_eq!((crowded[9], crowded[12], crowded[23]), (false, true, false), "{crowded:?}");
        assert_eq!((frames[23], frames[33], frames[43]), (60.0, 40.0, 20.0), "{frames:?}");
    }

    #[test]
    fn a_queue_is_noticed_and_a_long_way_is_not_one() {
        let mut strain = Strain::default();
        let far = |ms| [(1, ms - 280.0), (2, ms)];
        (0..20).for_each(|_| assert!(!strain.on_second(0, [(1, 20.0)])));
        (0..90).for_each(|_| assert!(!strain.on_second(0, far(300.0)), "new and far"));
        assert!(!strain.on_second(0, far(900.0)), "once is nothing");
        strain.on_second(0, far(300.0));
        (0..9).for_each(|_| assert!(!strain.on_second(0, [(1, 20.0), (2, 900.0)]), "a way of its own"));
        strain.on_second(0, far(900.0));
        assert!(strain.on_second(0, far(900.0)));
        let short = FrameLength::from_micros(5_000).unwrap();
        assert_eq!(ms(strain.frame(short)), 20.0);
        let long = FrameLength::from_micros(60_000).unwrap();
        assert_eq!(ms(strain.frame(long)), 60.0);
        assert!(!Strain::<u8>::default().on_second(0, []));
    }

    #[test]
    fn first_round_trips_are_guesses_and_a_burst_is_no_strain() {
        let mut strain = Strain::default();
        for second in 0..60 {
            let guess = if second < 2 { 1.0 } else { 330.0 };
            let trips = (second < 4).then_some((1, guess));
            assert!(!strain.on_second(second, trips), "{second}");
        }
    }
}
