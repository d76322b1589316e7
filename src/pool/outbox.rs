//! What a state machine has for those around it to take: a queue that keeps no memory once it is empty. A simulator has many nodes, few
//! of which have anything to say at a time, and the memory that the last one has given back is still in the processor's cache.

use std::collections::VecDeque;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Outbox<T>(VecDeque<T>);

impl<T> Outbox<T> {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn push_back(&mut self, value: T) {
        self.0.push_back(value);
    }

    /// What was put in first.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let next = self.0.pop_front();
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
        next
    }
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Extend<T> for Outbox<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        self.0.extend(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_first_comes_out_first_and_nothing_is_kept() {
        let mut outbox = Outbox::default();
        outbox.extend([1, 2]);
        outbox.push_back(3);
        let taken: Vec<u8> = std::iter::from_fn(|| outbox.pop_front()).collect();
        assert_eq!((taken, outbox.0.capacity()), (vec![1, 2, 3], 0));
    }
}
