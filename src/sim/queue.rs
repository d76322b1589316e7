//! What happens when: a queue of events in virtual time. Two at the same time come in the order in which they were put in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::pool::Moment;

/// Events by time.
pub(super) struct Queue<T> {
    /// Time, order and place: what is sorted stays small.
    heap: BinaryHeap<Reverse<(Moment, u64, u32)>>,
    waiting: Store<T>,
    order: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), waiting: Store::new(), order: 0 }
    }

    pub(super) fn push(&mut self, at: Moment, event: T) {
        let place = self.waiting.put(event);
        self.order += 1;
        self.heap.push(Reverse((at, self.order, place)));
    }

    /// The next event before or at `until`.
    pub(super) fn pop(&mut self, until: Moment) -> Option<(Moment, T)> {
        let Reverse((at, _, place)) = *self.heap.peek().filter(|Reverse((at, ..))| *at <= until)?;
        self.heap.pop();
        Some((at, self.waiting.take(place)))
    }
}

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
        let mut names = String::new();
        while let Some((_, name)) = queue.pop(Moment::from_micros(8)) {
            names += name;
        }
        assert_eq!(names, "abcd");
        assert_eq!(queue.pop(Moment::NEVER), Some((Moment::from_micros(9), "e")));
        assert_eq!(queue.pop(Moment::NEVER), None);
    }
}
