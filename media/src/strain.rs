//! Whether a sender asks too much of its uplink, and what it does about it: longer frames, which spare headers, before
//! anything is dropped; and among those who speak, a place only for the loudest.
//!
//! Two signs count, each for two seconds in a row: the machine's budget is nearly spent, or the way to its neighbours in
//! the plan has become much longer than it was, which is what a queue does. Loss alone is no sign: radios lose packets
//! and longer frames would lose more with each. What is done is undone step by step after a while of calm.

use std::collections::VecDeque;

use crate::codec::FrameLength;

/// A round trip that has grown by so much has a queue in it, milliseconds.
const QUEUE_MS: f64 = 120.0;

/// What the round trip is compared with: its least in so many seconds.
const REMEMBERED_S: usize = 60;

/// Seconds of strain before something is done.
const STRAINED_S: u32 = 2;

/// Seconds of calm before one step is undone.
const CALM_S: u32 = 10;

/// The longest frames.
const FRAME_MICROS: [u64; 3] = [20_000, 40_000, 60_000];

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Strain {
    /// Datagrams that found the budget nearly spent, ever.
    pressed: u64,
    round_trips_ms: VecDeque<f64>,
    strained: u32,
    calm: u32,
    steps: usize,
}

impl Strain {
    /// A second has passed: `pressed` datagrams so far found the machine's budget nearly spent, and the worst round trip to a
    /// neighbour is that, where it is known. Whether what is to be done has changed.
    pub fn on_second(&mut self, pressed: u64, round_trip_ms: Option<f64>) -> bool {
        let is_pressed = pressed > std::mem::replace(&mut self.pressed, pressed);
        let least = self.round_trips_ms.iter().copied().fold(f64::INFINITY, f64::min);
        let is_queued = round_trip_ms.is_some_and(|ms| ms > least + QUEUE_MS);
        if let Some(ms) = round_trip_ms {
            self.round_trips_ms.push_back(ms);
            if self.round_trips_ms.len() > REMEMBERED_S {
                self.round_trips_ms.pop_front();
            }
        }
        let before = self.steps;
        if is_pressed || is_queued {
            (self.strained, self.calm) = (self.strained + 1, 0);
            if self.strained >= STRAINED_S {
                self.strained = 0;
                self.steps = (self.steps + 1).min(FRAME_MICROS.len() - 1);
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

    /// Whether there is any strain at present.
    pub fn is_strained(&self) -> bool {
        self.steps > 0
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
        let mut frames = Vec::new();
        for second in 0..40_u64 {
            // Pressed from the fifth second to the twelfth.
            strain.on_second(second.clamp(5, 12), Some(30.0));
            frames.push(ms(strain.frame(usual)));
        }
        assert_eq!(frames[..6], [20.0; 6]);
        assert_eq!((frames[7], frames[9], frames[12]), (40.0, 60.0, 60.0), "{frames:?}");
        assert_eq!((frames[23], frames[33]), (40.0, 20.0), "{frames:?}");
        assert!(!strain.is_strained());
    }

    #[test]
    fn a_queue_is_noticed_and_a_long_way_is_not_one() {
        let mut strain = Strain::default();
        (0..90).for_each(|_| assert!(!strain.on_second(0, Some(300.0))));
        strain.on_second(0, Some(900.0));
        assert!(!strain.is_strained(), "once is nothing");
        strain.on_second(0, Some(300.0));
        strain.on_second(0, Some(900.0));
        assert!(strain.on_second(0, Some(900.0)) && strain.is_strained());
        let short = FrameLength::from_micros(5_000).unwrap();
        assert_eq!(ms(strain.frame(short)), 20.0);
        let long = FrameLength::from_micros(60_000).unwrap();
        assert_eq!(ms(strain.frame(long)), 60.0);
        assert!(!Strain::default().on_second(0, None));
    }
}
