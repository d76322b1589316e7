//! Simulated annealing (Kirkpatrick, Gelatt and Vecchi, "Optimization by simulated annealing", Science 220, 1983) over
//! all trees of a forest at once.
//!
//! Energy, in milliseconds: the smoothed worst pair, `MEAN_WEIGHT` times the mean pair, and a price for each helper in
//! use. Width of the smoothing and temperature shrink together as the budget is spent.

use super::change::Change;
use super::grove::{Grove, NO};
use super::installed::Installed;
use super::moves::Judged;
use crate::best::Budget;
use crate::best::draws::Draws;

/// How the annealing cools, as shares of the worst pair's delay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Widths of the smoothing at the start and at the end.
    pub(super) width: (f64, f64),
    /// Temperatures.
    pub(super) heat: (f64, f64),
    /// What each helper costs.
    pub(super) price: f64,
}

/// One walk from forest to forest.
pub(super) struct Walk<'g, 'a> {
    grove: &'g mut Grove<'a>,
    draws: Draws,
    schedule: Schedule,
    /// The only tree that may change, if there is one.
    tree: Option<u32>,
    /// What is installed, if links that move have a price.
    installed: Option<&'g Installed>,
    takers: Vec<u32>,
    scale: f64,
    price: f64,
    /// What a move may cost, by chance.
    limits: Vec<f64>,
    best_value: f64,
    best: Vec<u32>,
}

impl<'g, 'a> Walk<'g, 'a> {
    pub(super) fn new(
        grove: &'g mut Grove<'a>,
        schedule: Schedule,
        tree: Option<u32>,
        installed: Option<&'g Installed>,
        seed: u64,
    ) -> Self {
        let scale = grove.worst().max(1e-3);
        let best = vec![NO; grove.view.trees() * grove.view.len()];
        let mut walk = Self {
            grove,
            draws: Draws::new(seed),
            schedule,
            tree,
            installed,
            takers: Vec::new(),
            scale,
            price: schedule.price * scale,
            limits: vec![0.0; CHANCES],
            best_value: f64::INFINITY,
            best,
        };
        walk.note();
        walk
    }

    /// Cools as the budget is spent; then gives the parents in the best forest on the way.
    pub(super) fn run(mut self, budget: &mut Budget<'_>) -> Vec<u32> {
        let (mut stage, mut done, mut unseen) = (usize::MAX, 0, 0);
        let mut evictions = EVICTIONS.iter().peekable();
        loop {
            let share = budget.spent(done);
            if share >= 1.0 {
                break;
            }
            let now = (share * STAGES as f64) as usize;
            if now != stage {
                stage = now;
                if evictions.next_if(|&&at| share >= at).is_some() {
                    self.evict();
                }
                self.cool(now as f64 / STAGES as f64);
            }
            for _ in 0..PROPOSALS_A_POLL {
                self.step();
            }
            done += PROPOSALS_A_POLL;
            unseen += PROPOSALS_A_POLL;
            // A look at all pairs takes as long as a few proposals each.
            if unseen as f64 >= self.grove.pairs() {
                unseen = 0;
                self.note();
            }
        }
        self.note();
        self.best
    }

    /// Lets helpers go that bring less than twice their price now; what follows may make up for it.
    fn evict(&mut self) {
        if self.tree.is_some() {
            return;
        }
        let mut helpers = self.grove.used.clone();
        helpers.sort_by_key(|&helper| (self.grove.trees_with(helper), helper));
        for helper in helpers {
            // Others may have gone with it.
            if !self.grove.is_used(helper) {
                continue;
            }
            if let Some(without) = self.grove.without(helper)
                && self.value(&without) < self.value(self.grove) + self.price
            {
                *self.grove = without;
            }
        }
    }

    fn value(&self, grove: &Grove<'_>) -> f64 {
        let moved = self.installed.map_or(0.0, |old| old.price * f64::from(old.moved(grove)));
        grove.value(self.price) + moved
    }

    fn cool(&mut self, share: f64) {
        let between = |(from, to): (f64, f64)| from * (to / from).powf(share) * self.scale;
        let width = between(self.schedule.width).max(self.scale / 150.0);
        let heat = between(self.schedule.heat);
        self.grove.set_width(width);
        for (at, limit) in self.limits.iter_mut().enumerate() {
            // Exponentially distributed, for chances spread evenly.
            *limit = -((at as f64 + 0.5) / CHANCES as f64).ln() * heat;
        }
    }

    fn step(&mut self) {
        let Some((step, change)) = self.propose() else { return };
        let limit = self.limits[self.draws.below(CHANCES)];
        let mut energy = self.energy(change);
        if let Some(installed) = self.installed {
            // Most proposals are out of the question, whatever links they would bring back.
            if energy - f64::from(LINKS_BACK_MAX) * installed.price > limit {
                return;
            }
            energy += installed.price * f64::from(installed.change(self.grove, step, &self.takers));
        }
        if energy <= limit {
            self.grove.make(step, &self.takers);
        }
    }

    #[inline]
    fn energy(&self, change: Change) -> f64 {
        let grove = &self.grove;
        grove.width * (1.0 + (change.sum / grove.sum).max(-0.999_999)).ln()
            + MEAN_WEIGHT * change.delay / grove.pairs()
            + self.price * f64::from(change.helpers)
    }

    /// Keeps the forest if it is the best so far.
    fn note(&mut self) {
        let value = self.value(self.grove);
        if value < self.best_value - 1e-9 {
            self.best_value = value;
            self.grove.write_parents(&mut self.best);
        }
    }

    fn propose(&mut self) -> Judged {
        let tree = self.tree.unwrap_or_else(|| self.draws.below(self.grove.view.trees()) as u32);
        let node = self.node_in(tree);
        let grove = &*self.grove;
        let source = grove.source(tree);
        if node == source {
            return None;
        }
        let helpers = grove.view.len() > grove.view.members;
        match self.draws.below(if helpers { 20 } else { 14 }) {
            0..=7 => self.propose_hang(tree, node),
            8..=9 => {
                let other = self.draws.below(grove.view.members) as u32;
                if other == source { None } else { grove.judge_swap(tree, node, other) }
            }
            10 => grove.judge_rise(tree, node),
            11..=12 => {
                let other = self.draws.below(grove.view.members) as u32;
                if grove.spot(tree, node).kids == 0 {
                    let inner = if self.draws.below(2) == 0 { grove.spot(tree, node).parent } else { other };
                    grove.judge_exchange(tree, node, inner)
                } else {
                    grove.judge_exchange(tree, other, node)
                }
            }
            13 => {
                // Up by one: below the grandparent.
                let parent = grove.spot(tree, node).parent;
                if parent == source {
                    None
                } else {
                    grove.judge_hang(tree, node, grove.spot(tree, parent).parent)
                }
            }
            14..=17 => self.propose_insert(tree, node),
            _ => self.propose_replace(tree),
        }
    }

    /// A node, mostly one that is reached late, or one above it.
    fn node_in(&mut self, tree: u32) -> u32 {
        let members = self.grove.view.members;
        let mut node = self.draws.below(members) as u32;
        if self.draws.below(2) == 0 {
            let other = self.draws.below(members) as u32;
            if self.grove.spot(tree, other).delay > self.grove.spot(tree, node).delay {
                node = other;
            }
        }
        let source = self.grove.source(tree);
        while node != source && self.draws.below(4) == 0 {
            node = self.grove.spot(tree, node).parent;
        }
        node
    }

    /// A placed node that might carry `node`.
    fn place_for(&mut self, tree: u32, node: u32) -> u32 {
        let grove = &*self.grove;
        match self.draws.below(4) {
            0 => grove.source(tree),
            1 if !grove.used.is_empty() => self.draws.one_of(&grove.used),
            2 => self.draws.one_of(grove.view.near(node)),
            _ => self.draws.below(grove.view.members) as u32,
        }
    }

    fn propose_hang(&mut self, tree: u32, node: u32) -> Judged {
        let mut to = self.place_for(tree, node);
        let other = self.place_for(tree, node);
        let delay = |walk: &Self, to: u32| {
            let reached = walk.grove.spot(tree, to).delay + walk.grove.view.cost(to, node);
            if walk.grove.is_placed(tree, to) { reached } else { f64::INFINITY }
        };
        if self.draws.below(2) == 0 && delay(self, other) < delay(self, to) {
            to = other;
        }
        let grove = &*self.grove;
        if to == node || !grove.is_placed(tree, to) {
            return None;
        }
        if grove.has_room(tree, to) {
            return grove.judge_hang(tree, node, to);
        }
        let kids = grove.spot(tree, to).kids;
        if kids > 0 && self.draws.below(3) == 0 {
            let child = grove.child(tree, to, self.draws.below(kids as usize));
            return grove.judge_swap(tree, node, child);
        }
        // Make room: a child there goes elsewhere, in this tree or another that counts.
        let other = self.tree.unwrap_or_else(|| {
            let mut other = tree;
            for _ in 0..TREES_TRIED {
                let drawn = self.draws.below(grove.view.trees()) as u32;
                if grove.spot(drawn, to).kids > grove.spot(other, to).kids || other == tree {
                    other = drawn;
                }
            }
            other
        });
        let kids = grove.spot(other, to).kids;
        if kids == 0 {
            return None;
        }
        let child = grove.child(other, to, self.draws.below(kids as usize));
        let (mut best, mut least) = (NO, f64::INFINITY);
        for _ in 0..PLACES_TRIED {
            let place = self.place_for(other, child);
            let grove = &*self.grove;
            let reached = grove.spot(other, place).delay + grove.view.cost(place, child);
            if place != to && reached < least && grove.is_placed(other, place) && grove.has_room(other, place)
            {
                (best, least) = (place, reached);
            }
        }
        if best == NO { None } else { self.grove.judge_relieve([tree, node, to], [other, child, best]) }
    }

    fn propose_insert(&mut self, tree: u32, node: u32) -> Judged {
        let parent = self.grove.spot(tree, node).parent;
        let helper = self.helper_for(tree, parent, node)?;
        let grove = &*self.grove;
        self.takers.clear();
        self.takers.push(node);
        let mut child = grove.spot(tree, parent).first;
        while child != NO && self.takers.len() < TAKERS_MAX {
            self.takers.push(child);
            child = grove.spot(tree, child).next;
        }
        for _ in 0..2 {
            let drawn = self.draws.below(grove.view.members) as u32;
            if drawn != grove.source(tree) {
                self.takers.push(drawn);
            }
        }
        let crowd = self.draws.below(2) == 0;
        grove.judge_insert(tree, helper, parent, crowd, &mut self.takers)
    }

    fn propose_replace(&mut self, tree: u32) -> Judged {
        if self.grove.used.is_empty() {
            return None;
        }
        let helper = self.draws.one_of(&self.grove.used);
        if !self.grove.is_placed(tree, helper) {
            return None;
        }
        let parent = self.grove.spot(tree, helper).parent;
        if self.draws.below(2) == 0 {
            return self.grove.judge_replace(tree, helper, parent);
        }
        let child = self.grove.spot(tree, helper).first;
        let by = self.helper_for(tree, parent, child)?;
        self.grove.judge_replace(tree, helper, by)
    }

    /// A helper that is not in the tree and lies on the way from `from` to `to`: the best of a few. A new one only if
    /// one more may be used.
    fn helper_for(&mut self, tree: u32, from: u32, to: u32) -> Option<u32> {
        let view = self.grove.view;
        let more = self.grove.used.len() < view.helpers_max;
        let (mut best, mut least) = (None, f64::INFINITY);
        for _ in 0..1 + self.draws.below(HELPERS_TRIED) {
            let used = !self.grove.used.is_empty() && (!more || self.draws.below(2) == 0);
            let helper = if used {
                self.draws.one_of(&self.grove.used)
            } else if more {
                (view.members + self.draws.below(view.len() - view.members)) as u32
            } else {
                return None;
            };
            let way = view.cost(from, helper) + view.cost(helper, to);
            if way < least && !self.grove.is_placed(tree, helper) {
                (best, least) = (Some(helper), way);
            }
        }
        best
    }
}

/// What the mean pair counts, by the worst pair.
pub(super) const MEAN_WEIGHT: f64 = 1.0;
/// Links that one move may bring back, of those that count before it is looked at closely.
const LINKS_BACK_MAX: i32 = 4;
/// Proposals between two looks at the budget.
const PROPOSALS_A_POLL: u64 = 256;
/// Steps of the cooling.
const STAGES: usize = 60;
/// Shares of the budget after which helpers are looked at one by one.
const EVICTIONS: [f64; 2] = [0.6, 0.8];
/// How finely chance is graded.
const CHANCES: usize = 256;
/// Trees that are looked at for a child that may leave.
const TREES_TRIED: usize = 3;
/// Places that are compared for a child that must move.
const PLACES_TRIED: usize = 3;
/// Helpers that are compared for a link.
const HELPERS_TRIED: usize = 6;
/// Nodes that a helper may take over when it comes.
const TAKERS_MAX: usize = 8;
