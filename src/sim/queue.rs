//! What happens when: a queue of events in virtual time. Two at the same time come in the order in which they were put in.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::pool::Moment;

/// Events by time.
pub(super) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    order: u64,
}

struct Entry<T> {
    at: Moment,
    order: u64,
    event: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), order: 0 }
    }

    pub(super) fn push(&mut self, at: Moment, event: T) {
        self.order += 1;
        self.heap.push(Entry { at, order: self.order, event });
    }

    /// When the next event is; without any, never.
    pub(super) fn next_at(&self) -> Moment {
        self.heap.peek().map_or(Moment::NEVER, |entry| entry.at)
    }

    /// The next event before `end`.
    pub(super) fn pop(&mut self, end: Moment) -> Option<(Moment, T)> {
        if self.next_at() < end { self.heap.pop().map(|entry| (entry.at, entry.event)) } else { None }
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
}
