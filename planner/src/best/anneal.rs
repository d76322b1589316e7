//! Simulated annealing (Kirkpatrick, Gelatt and Vecchi, "Optimization by simulated annealing", Science 220, 1983) on
//! the smoothed height: the width w shrinks from a few per cent of the height to a fraction of one, and a move that
//! makes w ln(sum) larger by x is accepted with probability e^(-x / (r w)), for a ratio r of temperature to width.

use super::draws::Draws;
use super::installed::Installed;
use super::moves::Extras;
use super::near::Near;
use super::pace::Pace;
use super::smooth::SmoothTree;
use crate::draft::Draft;
use crate::instance::Instance;

/// How the annealing cools, and what a helper must bring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Width at the start of a cycle, by the height, and temperature by width: where there is time for whole cycles, and
    /// where there is not.
    pub(super) long: (f64, f64),
    pub(super) short: (f64, f64),
    /// Width at the end of a cycle.
    pub(super) cold: f64,
    /// Share of the height that a helper must bring.
    pub(super) gain: f64,
    /// Most helpers.
    pub(super) helpers_max: usize,
}

/// One walk from tree to tree.
pub(super) struct Walk<'a, 'n> {
    pub(super) tree: SmoothTree<'a>,
    pub(super) near: &'n mut Near<'a>,
    pub(super) draws: Draws,
    pub(super) extras: Extras,
    pub(super) others: Vec<u32>,
    pub(super) schedule: Schedule,
    /// Height before the walk: the scale of widths.
    scale: f64,
    /// Least value so far, and the links of that tree.
    best: (f64, Vec<(u32, u32)>),
    /// Thresholds for a move, by chance: by how much the sum may grow.
    limits: Vec<f64>,
    /// By how much more it must fall for a helper that comes, and for a link that moves.
    toll: f64,
    move_toll: f64,
    /// What is installed, if links that move have a price.
    installed: Option<&'n Installed>,
}

impl<'a, 'n> Walk<'a, 'n> {
    pub(super) fn new(
        instance: &'a Instance<'a>,
        near: &'n mut Near<'a>,
        start: &Draft,
        middle: bool,
        schedule: Schedule,
        installed: Option<&'n Installed>,
        seed: u64,
    ) -> Self {
        let value = start.value(instance);
        let scale = if middle { value / 2.0 } else { value };
        let tree = SmoothTree::new(instance, start, middle, schedule.short.0 * scale);
        let mut walk = Self {
            tree,
            near,
            draws: Draws::new(seed),
            extras: Vec::new(),
            others: Vec::new(),
            schedule,
            scale,
            best: (f64::INFINITY, Vec::new()),
            limits: vec![1.0; CHANCES],
            toll: 1.0,
            move_toll: 1.0,
            installed,
        };
        walk.note();
        walk
    }

    /// Cools as `progress` goes from 0 to 1, which it is asked for now and then; then the best tree on the way.
    pub(super) fn run(mut self, mut progress: impl FnMut(u64) -> f64) -> Draft {
        let start = progress(PROPOSALS_A_POLL);
        let mut pace = Pace::new(start);
        let mut spent = start;
        self.cool(0.0, false);
        while spent < 1.0 {
            for _ in 0..PROPOSALS_A_POLL {
                self.step();
            }
            spent = progress(PROPOSALS_A_POLL);
            if let Some((share, hot)) = pace.stage(spent, PROPOSALS_A_POLL, self.tree.instance.members) {
                self.cool(share, hot);
            }
        }
        self.tree.drafted(&self.best.1)
    }

    /// `share` of a cycle is over.
    fn cool(&mut self, share: f64, is_hot: bool) {
        let Schedule { cold, gain, .. } = self.schedule;
        let (hot, ratio) = if is_hot { self.schedule.long } else { self.schedule.short };
        let share = hot * (cold / hot).powf(share);
        let scale = if self.best.0.is_finite() { self.best.0 } else { self.scale };
        let width = (share * scale).max(self.tree.height() / 400.0);
        self.tree.set_width(width);
        for (at, limit) in self.limits.iter_mut().enumerate() {
            // Exponentially distributed, for chances spread evenly.
            let chance = (at as f64 + 0.5) / CHANCES as f64;
            *limit = (-chance.ln() * ratio).exp();
        }
        self.toll = (gain * scale / width).exp();
        self.move_toll = (self.move_price() / width).exp();
    }

    /// Price of a link, in what the tree's height is measured in: half of the diameter.
    fn move_price(&self) -> f64 {
        let price = self.installed.map_or(0.0, |installed| installed.price);
        if self.tree.has_middle() { price / 2.0 } else { price }
    }

    fn step(&mut self) {
        let Some(judged) = self.propose() else { return };
        let toll = match judged.helpers {
            0 => 1.0,
            1 => self.toll,
            2 => self.toll * self.toll,
            _ => 1.0 / self.toll,
        };
        let limit = self.tree.total() * self.limits[self.draws.below(CHANCES)];
        let mut total = judged.total * toll;
        if let Some(installed) = self.installed {
            // Most proposals are out of the question, whatever links they would bring back.
            if total > limit * self.move_toll.powi(LINKS_BACK_MAX) {
                return;
            }
            total *= self.move_toll.powi(installed.change(&self.tree, judged.step, &self.extras));
        }
        if total <= limit {
            self.tree.make(judged.step, &self.extras);
            self.note();
        }
    }

    /// Keeps the tree if it is the best so far.
    fn note(&mut self) {
        let price = self.schedule.gain * self.scale;
        let mut value = self.tree.height() + price * self.tree.helpers as f64;
        if let Some(installed) = self.installed
            && value < self.best.0
        {
            value += self.move_price() * f64::from(installed.moved(&self.tree));
        }
        if value < self.best.0 - 1e-9 {
            self.best.0 = value;
            self.tree.links(&mut self.best.1);
        }
    }
}

/// Proposals between two looks at the budget: some twenty microseconds.
const PROPOSALS_A_POLL: u64 = 256;
/// Links that one move may bring back, of those that count before it is looked at closely.
const LINKS_BACK_MAX: i32 = 3;
/// How finely chance is graded.
const CHANCES: usize = 256;
