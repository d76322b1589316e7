//! Cycles of heating and cooling within a budget of unknown length.

/// Shares out a budget that is known only by the share of it that is spent: into cycles of heating and cooling.
pub(super) struct Pace {
    /// Share that was spent at the start, or when the cycles began.
    start: f64,
    done: u64,
    /// How many fit; none before that is known.
    cycles: f64,
    stage: u64,
}

impl Pace {
    pub(super) fn new(spent: f64) -> Self {
        Self { start: spent, done: 0, cycles: 0.0, stage: u64::MAX }
    }

    /// If another stage has begun: how much of a cycle is over, and whether the cycles are long ones.
    pub(super) fn stage(&mut self, spent: f64, more: u64, members: usize) -> Option<(f64, bool)> {
        self.done += more;
        if self.cycles == 0.0 {
            if self.done < PROPOSALS_FIRST {
                return None;
            }
            let left = self.done as f64 * (1.0 - spent) / (spent - self.start).max(1e-9);
            let cycles = left / (PROPOSALS_A_CYCLE * members as f64);
            self.cycles = if cycles < 1.0 { 0.5 } else { cycles.floor().min(CYCLES_MAX) };
            self.start = spent;
        }
        let over = (spent - self.start) / (1.0 - self.start).max(1e-9) * self.cycles.ceil();
        let stage = (over * STAGES) as u64;
        let is_new = stage != self.stage;
        self.stage = stage;
        is_new.then_some((over.fract(), self.cycles >= 1.0))
    }
}

/// Steps in which the width shrinks.
const STAGES: f64 = 40.0;
/// Proposals a member in a cycle. Longer ones find more, more of them find other things.
const PROPOSALS_A_CYCLE: f64 = 500.0;
const CYCLES_MAX: f64 = 64.0;
/// Proposals after which the rest of the budget is estimated.
const PROPOSALS_FIRST: u64 = 1024;
