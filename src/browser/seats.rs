//! Which voice is on which track, where there are more voices than tracks: who speaks takes a free one, or that of who has
//! been silent the longest.

use std::time::{Duration, Instant};

use alm_media::{Level, SourceIndex};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Seats {
    seats: Vec<Option<Seat>>,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    source: SourceIndex,
    /// When it was last loud enough to be speech.
    spoke: Instant,
    came: Instant,
}

impl Seats {
    pub(super) fn new(count: usize) -> Self {
        Self { seats: vec![None; count] }
    }

    /// The track for a frame, and whether another voice was on it before; none if there is no track for it now.
    pub(super) fn seat(&mut self, source: SourceIndex, level: Level, now: Instant) -> Option<(usize, bool)> {
        let speaks = level < SPEECH;
        let own = self.seats.iter_mut().enumerate().find_map(|(at, seat)| {
            let seat = seat.as_mut()?;
            (seat.source == source).then_some((at, seat))
        });
        if let Some((at, seat)) = own {
            seat.came = now;
            if speaks {
                seat.spoke = now;
            }
            return Some((at, false));
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        let is_free = |seat: &Option<Seat>| seat.is_none_or(|seat| since(seat.came) > GONE);
        let place = self.seats.iter().position(is_free).or_else(|| {
            let silent = |seat: &Option<Seat>| seat.map_or(Duration::MAX, |seat| since(seat.spoke));
            let (at, longest) =
                self.seats.iter().map(silent).enumerate().max_by_key(|(_, silent)| *silent)?;
            (speaks && longest > HOLD).then_some(at)
        })?;
        self.seats[place] = Some(Seat { source, spoke: now, came: now });
        Some((place, true))
    }
}

/// Louder is speech: where a quiet room ends.
const SPEECH: Level = Level::decibels_below(55);
/// Who speaks keeps a track over pauses as long as between two sentences.
const HOLD: Duration = Duration::from_millis(1_500);
/// Who sends nothing for so long has left, or is in a long pause.
const GONE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
    fn who_speaks_takes_the_track_of_who_has_been_silent_longest() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let (loud, quiet) = (Level::decibels_below(20), Level::SILENCE);
        let [a, b, c, d] = [1, 2, 3, 4].map(SourceIndex);
        let mut seats = Seats::new(2);
        assert_eq!(seats.seat(a, quiet, start), Some((0, true)), "there is room");
        assert_eq!(seats.seat(b, loud, start), Some((1, true)));
        assert_eq!(seats.seat(c, loud, start + ms(100)), None, "both have only just spoken");
        for time in (0..2_000).step_by(20) {
            assert_eq!(seats.seat(a, quiet, start + ms(time)), Some((0, false)));
            assert_eq!(seats.seat(b, loud, start + ms(time)), Some((1, false)));
        }
        assert_eq!(seats.seat(c, quiet, start + ms(2_000)), None, "silence needs no track");
        assert_eq!(seats.seat(c, loud, start + ms(2_000)), Some((0, true)));
        assert_eq!(seats.seat(a, quiet, start + ms(2_020)), None);
        // Who has left makes room for anybody.
        assert_eq!(seats.seat(c, loud, start + ms(6_000)), Some((0, false)));
        assert_eq!(seats.seat(d, quiet, start + ms(6_000)), Some((1, true)));
    }
}
