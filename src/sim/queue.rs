//! What happens when: a queue of events in virtual time. Two at the same time come in the order in which they were put in.
//!
//! Only what happens soon is kept in order, few enough events to stay in the processor's nearest cache; the many that are far off are
//! looked through once in a while.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::pool::Moment;

/// Events by time.
pub(super) struct Queue<T> {
    /// Those before `horizon`. Empty only if there are no others.
    soon: BinaryHeap<Entry<T>>,
    horizon: Moment,
    /// The others, in no order.
    later: Vec<Entry<T>>,
    order: u64,
}

/// How far the horizon is beyond the first event when it is moved.
const SOON: Duration = Duration::from_millis(60);

struct Entry<T> {
    at: Moment,
    order: u64,
    event: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { soon: BinaryHeap::new(), horizon: Moment::ZERO, later: Vec::new(), order: 0 }
    }

    pub(super) fn push(&mut self, at: Moment, event: T) {
        self.order += 1;
        let entry = Entry { at, order: self.order, event };
        if at < self.horizon {
            self.soon.push(entry);
        } else {
            self.later.push(entry);
            self.fill();
        }
    }

    /// When the next event is; without any, never.
    pub(super) fn next_at(&self) -> Moment {
        self.soon.peek().map_or(Moment::NEVER, |entry| entry.at)
    }

    /// The next event before `end`.
    pub(super) fn pop(&mut self, end: Moment) -> Option<(Moment, T)> {
        let entry = if self.next_at() < end { self.soon.pop() } else { None }?;
        self.fill();
        Some((entry.at, entry.event))
    }

    fn fill(&mut self) {
        if self.soon.is_empty()
            && let Some(first) = self.later.iter().map(|entry| entry.at).min()
        {
            self.horizon = first + SOON;
            self.soon.extend(self.later.extract_if(.., |entry| entry.at < first + SOON));
        }
    }
}

impl<T> Ord for Entry<T> {
    /// The heap's greatest is the soonest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

/// Values that come and go, without an allocation for each.
pub(super) struct Store<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Store<T> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// Where it is to be found.
    pub(super) fn put(&mut self, value: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(value);
            return place;
        }
        self.places.push(Some(value));
        u32::try_from(self.places.len() - 1).expect("memory ends before four billion values wait")
    }

    /// What is there.
    pub(super) fn get(&self, place: u32) -> &T {
        self.places[place as usize].as_ref().expect("as for take")
    }

    /// Takes what was put there, once.
    pub(super) fn take(&mut self, place: u32) -> T {
        self.free.push(place);
        self.places[place as usize].take().expect("a place is taken from once for each time it is filled")
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_order() {
        let mut queue = Queue::new();
        for (at, name) in [(5, "c"), (3, "a"), (5, "d"), (4, "b"), (9, "e")] {
            queue.push(Moment::from_micros(at), name);
        }
        assert_eq!(queue.next_at(), Moment::from_micros(3));
        let mut names = String::new();
        while let Some((_, name)) = queue.pop(Moment::from_micros(9)) {
            names += name;
        }
        assert_eq!(names, "abcd");
        assert_eq!(queue.pop(Moment::NEVER), Some((Moment::from_micros(9), "e")));
        assert_eq!((queue.pop(Moment::NEVER), queue.next_at()), (None, Moment::NEVER));
    }

    #[test]
    fn what_is_far_off_comes_in_its_turn() {
        let random = &mut StdRng::seed_from_u64(1);
        let (mut queue, mut all, mut taken) = (Queue::new(), Vec::new(), Vec::new());
        let mut now = Moment::ZERO;
        for number in 0..3_000_u32 {
            let at = now + SOON.mul_f64(random.random_range(0.0..4.0));
            queue.push(at, number);
            all.push((at, number));
            if random.random_ratio(1, 2) {
                let next = queue.pop(Moment::NEVER).unwrap();
                now = next.0;
                taken.push(next);
            }
        }
        taken.extend(std::iter::from_fn(|| queue.pop(Moment::NEVER)));
        all.sort_unstable();
        assert_eq!(taken, all);
    }
}
