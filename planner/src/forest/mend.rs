//! An installed forest on today's problem: every tree keeps the links that may still be, as far as the budgets go, and
//! what has come off hangs where it is reached soonest. First all trees keep what they can, then all are put together.
//! Where no node in reach may send a copy more, one hands a child over: to what would hang from it, or to a helper that
//! then carries both.

use super::copies::Copies;
use super::grove::NO;
use super::installed::Links;
use super::view::View;

/// Parents in every tree, as a grove takes them. `None` if something finds no place.
pub(super) fn mend(view: &View, links: &Links) -> Option<Vec<u32>> {
    let mut mending = Mending::new(view);
    let pieces: Vec<Vec<u32>> = (links.iter().enumerate())
        .map(|(tree, links)| mending.keep(tree, links.as_deref().unwrap_or(&[])))
        .collect();
    for (tree, pieces) in pieces.into_iter().enumerate() {
        mending.join(tree, pieces)?;
        mending.tidy(tree);
    }
    Some(mending.parent)
}

struct Mending<'v> {
    view: &'v View,
    copies: Copies,
    /// By tree and node, as are `kids` and `delay`.
    parent: Vec<u32>,
    kids: Vec<Vec<u32>>,
    delay: Vec<f64>,
}

/// The best place of a piece that waits: when its top would be reached, and from where.
#[derive(Clone, Copy)]
struct Offer {
    top: u32,
    delay: f64,
    place: u32,
}

impl<'v> Mending<'v> {
    fn new(view: &'v View) -> Self {
        let (nodes, trees) = (view.len(), view.trees());
        Self {
            view,
            copies: Copies::new(view.budget.clone(), view.speakers, (nodes - 1) * view.trees_each),
            parent: vec![NO; trees * nodes],
            kids: vec![Vec::new(); trees * nodes],
            delay: vec![0.0; trees * nodes],
        }
    }

    fn at(&self, tree: usize, node: u32) -> usize {
        tree * self.view.len() + node as usize
    }

    fn source(&self, tree: usize) -> u32 {
        self.view.source(tree as u32)
    }

    fn kids(&self, tree: usize, node: u32) -> u32 {
        self.kids[self.at(tree, node)].len() as u32
    }

    /// Copies that `node` sends of the tree's source.
    fn sent(&self, tree: usize, node: u32) -> u32 {
        let other = self.view.twin(tree as u32).map_or(0, |twin| self.kids(twin as usize, node));
        self.kids(tree, node) + other
    }

    /// Whether `node` must be a leaf in the tree, as in a grove.
    fn is_barred(&self, tree: usize, node: u32) -> bool {
        let Some(twin) = self.view.twin(tree as u32) else { return false };
        let source = self.source(tree);
        let fellows = self.view.fellows(node);
        let relays = |node: u32| self.kids(twin as usize, node) > 0;
        node != source
            && !fellows.contains(&source)
            && (relays(node) || fellows.iter().any(|&fellow| relays(fellow)))
    }

    fn has_room(&self, tree: usize, node: u32) -> bool {
        !self.is_barred(tree, node) && self.copies.fits(node, self.sent(tree, node))
    }

    /// Hangs what can be kept; the tops of the pieces that wait, members that have no link among them.
    fn keep(&mut self, tree: usize, links: &[(u32, u32)]) -> Vec<u32> {
        let nodes = self.view.len();
        let mut kept: Vec<(u32, u32)> =
            links.iter().copied().filter(|&(a, b)| self.view.cost(a, b).is_finite()).collect();
        // A helper that serves nobody goes, and then perhaps the one above it.
        loop {
            let mut is_parent = vec![false; nodes];
            kept.iter().for_each(|&(parent, _)| is_parent[parent as usize] = true);
            let before = kept.len();
            kept.retain(|&(_, child)| !self.view.is_helper(child) || is_parent[child as usize]);
            if kept.len() == before {
                break;
            }
        }
        let mut placed = vec![false; nodes];
        for (parent, child) in kept {
            let is_free = self.parent[self.at(tree, child)] == NO && child != self.source(tree);
            placed[parent as usize] = true;
            placed[child as usize] = true;
            if is_free && self.has_room(tree, parent) {
                self.tie(tree, child, parent);
            }
        }
        let waits = |node: &u32| {
            let member = (*node as usize) < self.view.members;
            *node != self.source(tree)
                && self.parent[self.at(tree, *node)] == NO
                && (member || (placed[*node as usize] && self.kids(tree, *node) > 0))
        };
        (0..nodes as u32).filter(waits).collect()
    }

    fn tie(&mut self, tree: usize, node: u32, parent: u32) {
        let (at, above) = (self.at(tree, node), self.at(tree, parent));
        self.copies.add(parent, self.sent(tree, parent));
        self.kids[above].push(node);
        self.parent[at] = parent;
    }

    fn untie(&mut self, tree: usize, node: u32) {
        let at = self.at(tree, node);
        let parent = std::mem::replace(&mut self.parent[at], NO);
        let above = self.at(tree, parent);
        self.copies.remove(parent, self.sent(tree, parent));
        self.kids[above].retain(|&kid| kid != node);
    }

    /// Hangs the pieces, the one that is reached soonest next.
    fn join(&mut self, tree: usize, tops: Vec<u32>) -> Option<()> {
        let source = self.source(tree);
        let mut main = self.measure(tree, source, 0.0);
        let mut waiting: Vec<Offer> =
            tops.into_iter().map(|top| Offer { top, delay: f64::INFINITY, place: NO }).collect();
        for offer in &mut waiting {
            self.improve(tree, offer, &main);
        }
        while !waiting.is_empty() {
            let soonest =
                (0..waiting.len()).min_by(|&a, &b| waiting[a].delay.total_cmp(&waiting[b].delay))?;
            let Offer { top, delay, place } = waiting[soonest];
            if place == NO {
                let bridged = (0..waiting.len()).find(|&at| self.bridge(tree, waiting[at].top, &main))?;
                waiting.swap_remove(bridged);
                main = self.measure(tree, source, 0.0);
                for offer in &mut waiting {
                    (offer.delay, offer.place) = (f64::INFINITY, NO);
                    self.improve(tree, offer, &main);
                }
                continue;
            }
            waiting.swap_remove(soonest);
            self.tie(tree, top, place);
            let new = self.measure(tree, top, delay);
            main.extend_from_slice(&new);
            let full = !self.has_room(tree, place);
            for offer in &mut waiting {
                if full && offer.place == place {
                    (offer.delay, offer.place) = (f64::INFINITY, NO);
                    self.improve(tree, offer, &main);
                } else {
                    self.improve(tree, offer, &new);
                }
            }
        }
        Some(())
    }

    /// Makes room for `top`: between a node and one of its children come either `top` itself, or a helper from which both
    /// hang, so that the later of the two is reached as soon as possible.
    fn bridge(&mut self, tree: usize, top: u32, main: &[u32]) -> bool {
        let helpers = self.helpers_for(tree);
        let own = self.has_room(tree, top);
        let mut best: Option<(f64, u32, u32, u32)> = None;
        for &place in main {
            let at = self.at(tree, place);
            for &kid in &self.kids[at] {
                let between = own.then_some(top).into_iter().chain(helpers.iter().copied());
                for middle in between {
                    let start = self.delay[at] + self.view.cost(place, middle);
                    let beside = if middle == top { 0.0 } else { self.view.cost(middle, top) };
                    let value = start + beside.max(self.view.cost(middle, kid));
                    if value.is_finite() && best.is_none_or(|(least, ..)| value < least) {
                        best = Some((value, place, kid, middle));
                    }
                }
            }
        }
        let Some((_, place, kid, middle)) = best else { return false };
        self.untie(tree, kid);
        self.tie(tree, middle, place);
        self.tie(tree, kid, middle);
        if middle != top {
            self.tie(tree, top, middle);
        }
        true
    }

    /// Helpers that may come into the tree and carry two there; new ones only as far as their number goes.
    fn helpers_for(&self, tree: usize) -> Vec<u32> {
        let nodes = self.view.len();
        let is_used =
            |helper: usize| self.parent.iter().skip(helper).step_by(nodes).any(|&parent| parent != NO);
        let used: Vec<bool> = (0..nodes).map(|node| node >= self.view.members && is_used(node)).collect();
        let more = used.iter().filter(|&&used| used).count() < self.view.helpers_max;
        let may_come = |&helper: &u32| {
            let is_absent = self.parent[self.at(tree, helper)] == NO && self.kids(tree, helper) == 0;
            let may_relay = !self.is_barred(tree, helper) && self.copies.fits_change(helper, 0, 2);
            is_absent && (more || used[helper as usize]) && may_relay
        };
        (self.view.members as u32..nodes as u32).filter(may_come).collect()
    }

    /// Delays below `top`, which is reached at `delay`; the nodes there.
    fn measure(&mut self, tree: usize, top: u32, delay: f64) -> Vec<u32> {
        let mut nodes = vec![top];
        let at = self.at(tree, top);
        self.delay[at] = delay;
        let mut next = 0;
        while next < nodes.len() {
            let node = nodes[next];
            for kid in 0..self.kids[self.at(tree, node)].len() {
                let child = self.kids[self.at(tree, node)][kid];
                let at = self.at(tree, child);
                self.delay[at] = self.delay[self.at(tree, node)] + self.view.cost(node, child);
                nodes.push(child);
            }
            next += 1;
        }
        nodes
    }

    fn improve(&self, tree: usize, offer: &mut Offer, places: &[u32]) {
        for &place in places {
            let at = self.at(tree, place);
            let delay = self.delay[at] + self.view.cost(place, offer.top);
            if delay < offer.delay && self.has_room(tree, place) {
                (offer.delay, offer.place) = (delay, place);
            }
        }
    }

    /// Helpers leave that have lost all that hung from them.
    fn tidy(&mut self, tree: usize) {
        for helper in self.view.members as u32..self.view.len() as u32 {
            let mut node = helper;
            loop {
                let at = self.at(tree, node);
                let parent = self.parent[at];
                if parent == NO || !self.view.is_helper(node) || !self.kids[at].is_empty() {
                    break;
                }
                self.untie(tree, node);
                node = parent;
            }
        }
    }
}
