//! A node's degrees and who holds them (the patent's Table C).

use super::SessionNumber;

/// With which right degrees are held; a lesser one yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right(u8);

impl Right {
    /// On one's own member's machine: before everything else, so that every session can run.
    pub const OWN: Self = Self(0);

    /// Takes nothing from anybody.
    pub(super) const LEAST: Self = Self(u8::MAX);

    /// Elsewhere, for a session of priority 1 to 3.
    pub fn helper(priority: u8) -> Self {
        Self(priority.clamp(1, 3))
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct DegreeTable {
    bound: u32,
    held: Vec<(SessionNumber, Right, u32)>,
}

impl DegreeTable {
    /// A table of `bound` degrees, all free.
    pub fn new(bound: u32) -> Self {
        Self { bound, held: Vec::new() }
    }

    /// What `session` could hold with this right: all but what others hold with the same right or a better one.
    pub fn available(&self, session: SessionNumber, right: Right) -> u32 {
        let firm = self.held.iter().filter(|(holder, held, _)| *holder != session && *held <= right);
        self.bound.saturating_sub(firm.map(|(.., degrees)| degrees).sum())
    }

    /// Has `session` hold `degrees`, no more than [`available`](Self::available), and says who loses all it held here: the
    /// least rights first, and of equal ones the latest, as far as needed.
    pub fn take(&mut self, session: SessionNumber, right: Right, degrees: u32) -> Vec<SessionNumber> {
        debug_assert!(degrees <= self.available(session, right), "plans keep to what is available");
        self.release(session);
        let mut losers = Vec::new();
        while self.held.iter().map(|(.., held)| held).sum::<u32>() + degrees > self.bound {
            let least = (0..self.held.len()).max_by_key(|&i| (self.held[i].1, i));
            let Some(least) = least.filter(|&i| self.held[i].1 > right) else { break };
            losers.push(self.held.remove(least).0);
        }
        self.held.push((session, right, degrees));
        losers
    }

    /// Frees what `session` holds.
    pub fn release(&mut self, session: SessionNumber) {
        self.held.retain(|(holder, ..)| *holder != session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patents_table_c() {
        let mut x = DegreeTable::new(4);
        assert!(x.take(4, Right::helper(1), 2).is_empty());
        assert!(x.take(12, Right::helper(3), 1).is_empty());
        assert_eq!(x.available(99, Right::helper(3)), 1, "one free degree");
        assert_eq!(x.available(99, Right::helper(2)), 2, "and what priority 3 holds");
        let mut y = DegreeTable::new(2);
        assert!(y.take(5, Right::OWN, 2).is_empty());
        assert_eq!(y.available(99, Right::helper(1)), 0);
    }

    #[test]
    fn the_least_right_yields_first_and_equals_do_not() {
        let mut table = DegreeTable::new(4);
        table.take(1, Right::helper(2), 2);
        table.take(2, Right::helper(3), 2);
        assert_eq!(table.available(3, Right::helper(2)), 2);
        assert_eq!(table.take(3, Right::helper(2), 2), [2]);
        assert_eq!(table.take(4, Right::OWN, 3), [3, 1], "own members come first, on all that is held");
    }
}
