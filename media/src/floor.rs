//! Who speaks when more would than the plan carries: those who are not among the loudest hold themselves back.
//!
//! Nobody hands out turns. Levels travel with every frame, so each member knows how loud the others are, and decides for
//! itself by the same rule. Who holds back says so now and then, and how loud it is. Nearly equal voices do not push each
//! other out at once, but who has waited for [`WAIT_MAX`] goes before those who have spoken longer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::level::Level;
use crate::packet::SourceIndex;

/// Voices that every plan carries.
pub const PLACES_MIN: usize = 3;

/// A voice has to be so much louder than another to take its place at once, decibels.
const MARGIN_DB: f64 = 6.0;

/// For how long a voice counts as loud as its loudest frame: the gaps between words.
const LOUD_FOR: Duration = Duration::from_millis(400);

/// A source that has sent nothing for so long sends nothing.
const HEARD_FOR: Duration = Duration::from_millis(500);

/// How long there may be one too many: levels take their time to get around.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long a voice waits for its turn among others that are nearly as loud.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// In a crowd, who holds back says so for so long: one packet may be lost.
const TOLD_FOR: Duration = Duration::from_secs(1);

/// Two who have begun closer together than this have begun at once.
const AT_ONCE: Duration = Duration::from_millis(500);

/// What is to become of the own frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is sent.
    Speak {
        /// It is one of the loudest: where relays have to drop some, others go first.
        priority: bool,
    },
    /// It is held back.
    Hold {
        /// The others are told so, and how loud it is.
        told: bool,
    },
}

/// See the [module](self).
#[derive(Debug)]
pub struct Floor {
    own: SourceIndex,
    places: usize,
    is_crowd: bool,
    others: BTreeMap<SourceIndex, Other>,
    loudest: Loudest,
    /// Since when this node sends; `None` while it holds back.
    since: Option<Instant>,
    /// Since when there has been a voice to be sent.
    voice_since: Option<Instant>,
    /// Since when there have been too many.
    over_since: Option<Instant>,
    /// When this node last went from sending to holding back.
    stopped: Option<Instant>,
}

#[derive(Debug)]
struct Other {
    loudest: Loudest,
    heard_at: Instant,
    /// Since when it sends.
    since: Option<Instant>,
}

/// A level that falls only after a while.
#[derive(Clone, Copy, Debug, Default)]
struct Loudest(Option<(Level, Instant)>);

impl Loudest {
    fn note(&mut self, level: Level, now: Instant) {
        // Greater is quieter.
        if self.at(now) >= level {
            self.0 = Some((level, now));
        }
    }

    fn at(&self, now: Instant) -> Level {
        let held = self.0.filter(|(_, at)| now.saturating_duration_since(*at) < LOUD_FOR);
        held.map_or(Level::SILENCE, |(level, _)| level)
    }
}

impl Floor {
    /// Nobody has said anything yet, and there is room for everybody.
    pub fn new(own: SourceIndex) -> Self {
        Self {
            own,
            places: usize::MAX,
            is_crowd: false,
            others: BTreeMap::new(),
            loudest: Loudest::default(),
            since: None,
            voice_since: None,
            over_since: None,
            stopped: None,
        }
    }

    /// So many voices are carried at once; fewer than [`PLACES_MIN`] count as that.
    pub fn set_places(&mut self, places: usize) {
        self.places = places.max(PLACES_MIN);
    }

    /// So many are in that none but those who speak can be heard of: who is silent sends nothing, and who holds back says so
    /// only when it begins to.
    pub fn set_crowd(&mut self, is_crowd: bool) {
        self.is_crowd = is_crowd;
    }

    /// A frame of another source has come; in a pause, or while it holds back, it sends next to nothing else.
    pub fn on_frame(&mut self, source: SourceIndex, level: Level, is_pause: bool, now: Instant) {
        let fresh = Other { loudest: Loudest::default(), heard_at: now, since: None };
        let other = self.others.entry(source).or_insert(fresh);
        let is_new = now.saturating_duration_since(other.heard_at) >= HEARD_FOR;
        other.heard_at = now;
        other.loudest.note(level, now);
        other.since = match other.since {
            _ if is_pause => None,
            Some(since) if !is_new => Some(since),
            _ => Some(now),
        };
    }

    /// A source is gone.
    pub fn remove(&mut self, source: SourceIndex) {
        self.others.remove(&source);
    }

    /// Whether the own frame, which is as loud as that, is sent.
    pub fn turn(&mut self, level: Level, now: Instant) -> Turn {
        self.loudest.note(level, now);
        let loudest = self.loudest.at(now);
        let (own, is_voice) = (loudest.decibels(), loudest.is_voice());
        self.voice_since = is_voice.then(|| self.voice_since.unwrap_or(now));
        let senders = |other: &&Other| {
            other.since.is_some() && now.saturating_duration_since(other.heard_at) < HEARD_FOR
        };
        let count = |before: &dyn Fn(&SourceIndex, &Other) -> bool| {
            self.others
                .iter()
                .filter(|(_, other)| senders(other))
                .filter(|(i, other)| before(i, other))
                .count()
        };
        let louder_by = |other: &Other| other.loudest.at(now).decibels() - own;
        let sending = count(&|_, _| true);
        let louder = count(&|_, other| louder_by(other) >= MARGIN_DB);
        let Some(since) = self.since else {
            let waited = self.voice_since.is_some_and(|at| now.saturating_duration_since(at) >= WAIT_MAX);
            let no_quieter = count(&|_, other| louder_by(other) > -MARGIN_DB);
            let takes = sending < self.places || no_quieter < self.places || waited && louder < self.places;
            // At first there is nobody to hear the level of, and nothing to tell a voice by.
            let at_first = self.over_since.is_none() && !self.is_crowd && sending < self.places;
            if at_first || is_voice && takes {
                (self.since, self.over_since) = (Some(now), None);
                return Turn::Speak { priority: is_voice && louder < PLACES_MIN };
            }
            let lately = |at: Instant| now.saturating_duration_since(at) < TOLD_FOR;
            return Turn::Hold { told: !self.is_crowd || self.stopped.is_some_and(lately) };
        };
        if self.is_crowd && !is_voice {
            (self.since, self.over_since, self.stopped) = (None, None, Some(now));
            return Turn::Hold { told: true };
        }
        let before = count(&|index, other| {
            let by = louder_by(other);
            let begun = other.since.unwrap_or(now);
            let is_later = begun > since + AT_ONCE;
            let is_earlier = begun + AT_ONCE < since;
            by >= MARGIN_DB || by > -MARGIN_DB && (is_later || !is_earlier && *index < self.own)
        });
        if sending < self.places || before < self.places {
            self.over_since = None;
            return Turn::Speak { priority: is_voice && before < PLACES_MIN };
        }
        let over = *self.over_since.get_or_insert(now);
        if now.saturating_duration_since(over) < PATIENCE {
            return Turn::Speak { priority: false };
        }
        (self.since, self.voice_since, self.stopped) = (None, None, Some(now));
        Turn::Hold { told: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const HELD: Turn = Turn::Hold { told: true };

    fn is_held(turn: Turn) -> bool {
        matches!(turn, Turn::Hold { .. })
    }

    /// Members who all hear each other a little later, each as loud as it likes.
    struct Room {
        floors: Vec<Floor>,
        now: Instant,
        /// Frames until others know.
        delay: usize,
        under_way: std::collections::VecDeque<Vec<(usize, Level, bool)>>,
        turns: Vec<Turn>,
    }

    impl Room {
        fn new(members: usize, places: usize) -> Self {
            let now = origin();
            let mut floors: Vec<Floor> = (0..members).map(|i| Floor::new(SourceIndex(i as u16))).collect();
            floors.iter_mut().for_each(|floor| floor.set_places(places));
            Self { floors, now, delay: 8, under_way: Default::default(), turns: vec![HELD; members] }
        }

        /// A frame of everybody; how many were sent.
        fn frame(&mut self, db: impl Fn(usize) -> u8) -> usize {
            self.now += Duration::from_millis(20);
            let mut sent = Vec::new();
            for (i, floor) in self.floors.iter_mut().enumerate() {
                let level = Level::decibels_below(db(i));
                self.turns[i] = floor.turn(level, self.now);
                sent.push((i, level, is_held(self.turns[i])));
            }
            let speaking = sent.iter().filter(|(_, _, is_held)| !is_held).count();
            self.under_way.push_back(sent);
            if self.under_way.len() > self.delay {
                for (i, level, is_held) in self.under_way.pop_front().unwrap() {
                    for (_, floor) in self.floors.iter_mut().enumerate().filter(|(at, _)| *at != i) {
                        floor.on_frame(SourceIndex(i as u16), level, is_held, self.now);
                    }
                }
            }
            speaking
        }

        fn run(&mut self, frames: usize, db: impl Fn(usize) -> u8) -> usize {
            (0..frames).map(|_| self.frame(&db)).last().unwrap()
        }

        fn speaks(&self, i: usize) -> bool {
            !is_held(self.turns[i])
        }
    }

    #[test]
    fn where_there_is_room_everybody_speaks() {
        let mut room = Room::new(5, 5);
        assert_eq!((0..500).map(|_| room.frame(|i| 20 + i as u8 * 10)).min(), Some(5));
        room.floors[0].set_places(1);
        assert_eq!(room.floors[0].places, PLACES_MIN, "never fewer");
    }

    #[test]
    fn the_loudest_speak_and_who_raises_the_voice_takes_a_place_at_once() {
        let mut room = Room::new(10, 3);
        let loud = |i: usize| if [2, 5, 7].contains(&i) { 20 } else { 50 };
        assert_eq!(room.run(100, loud), 3);
        assert!([2, 5, 7].iter().all(|&i| room.turns[i] == Turn::Speak { priority: true }));
        // One of the loud stops, and one of the silent ones begins.
        room.run(40, |i| if [2, 7].contains(&i) { 20 } else { 90 });
        let loud = |i: usize| if [2, 9, 7].contains(&i) { 20 } else { 90 };
        room.frame(loud);
        assert!(room.speaks(9), "not a syllable is lost");
        // And somebody raises the voice above all.
        room.run(100, loud);
        room.frame(|i| if i == 0 { 10 } else { loud(i) });
        assert!(room.speaks(0));
        assert_eq!(room.run(100, loud), 3);
        assert!([2, 9, 7].iter().all(|&i| room.speaks(i)), "{:?}", room.turns);
        // In silence nobody changes places.
        let before = room.turns.clone();
        room.run(500, |_| 127);
        let kept = before.iter().zip(&room.turns).filter(|(a, b)| is_held(**a) == is_held(**b));
        assert_eq!(kept.count(), 10);
    }

    #[test]
    fn equal_voices_take_turns() {
        let mut room = Room::new(8, 3);
        let (mut heard, mut most) = ([0; 8], 0);
        for frame in 0..3_000 {
            let speaking = room.frame(|_| 12);
            most = if frame > 100 { most.max(speaking) } else { 0 };
            (0..8).filter(|&i| room.speaks(i)).for_each(|i| heard[i] += 1);
        }
        assert!(heard.iter().all(|&frames| frames > 400), "{heard:?}");
        let mean = heard.iter().sum::<usize>() as f64 / 3_000.0;
        assert!(mean < 4.5 && most <= 8, "{mean}, {heard:?}");
    }

    #[test]
    fn in_a_crowd_who_is_silent_says_nothing_and_who_stops_says_so_for_a_while() {
        let mut room = Room::new(100, 3);
        room.floors.iter_mut().for_each(|floor| floor.set_crowd(true));
        let untold =
            |room: &Room| room.turns.iter().filter(|turn| **turn == Turn::Hold { told: false }).count();
        assert_eq!((room.run(100, |_| 127), untold(&room)), (0, 100));
        let loud = |of: [usize; 3]| move |i: usize| if of.contains(&i) { 20 } else { 127 };
        assert_eq!((room.run(50, loud([2, 5, 7])), untold(&room)), (3, 97));
        // Three others begin; those who stop say so, and then no more.
        let mut told = 0;
        for _ in 0..200 {
            room.frame(loud([3, 5, 9]));
            told += usize::from([2, 7].iter().any(|&i| room.turns[i] == Turn::Hold { told: true }));
        }
        assert!((20..100).contains(&told), "{told}");
        assert_eq!(untold(&room), 97);
    }
}
