//! A tree that has come to pieces, and how it is put together again: every piece hangs where that costs the objective
//! least, the tallest piece first, because it has the least choice. A piece that would take the last free link while
//! others wait lets them go first.
//!
//! With P pieces and N nodes, O(P N) for the height and for the diameter, and as much again for each piece that has more
//! than one node.

use super::reach::{Reach, measure};
use crate::draft::NONE;
use crate::instance::Instance;
use crate::names::Objective;

/// The tree's pieces; local numbers of an instance.
pub(super) struct Pieces<'a> {
    instance: &'a Instance<'a>,
    shared: bool,
    /// Links that every node may still take.
    free: Vec<u32>,
    /// In every node's piece, the node above.
    parent: Vec<usize>,
    reach: Vec<Reach>,
    /// The piece that grows, parents first.
    main: Vec<usize>,
    /// Those that wait, each with its top first.
    waiting: Vec<Vec<usize>>,
}

/// Where a piece would hang: (what it would come to, node of the main piece, node of the piece).
type Offer = (f64, usize, usize);

impl<'a> Pieces<'a> {
    /// Pieces by their nodes, parents first in each; `parent` of a top is `NONE`. The first piece is the main one.
    pub(super) fn new(
        instance: &'a Instance<'a>,
        free: Vec<u32>,
        parent: Vec<usize>,
        mut pieces: Vec<Vec<usize>>,
    ) -> Self {
        let main = pieces.remove(0);
        let mut whole = Self {
            instance,
            shared: instance.problem.objective != Objective::Height,
            free,
            parent,
            reach: vec![Reach::NONE; instance.len()],
            main,
            waiting: Vec::new(),
        };
        whole.measure_main();
        for piece in &pieces {
            whole.measure_piece(piece);
        }
        whole.waiting = pieces;
        let tall = |piece: &Vec<usize>| whole.reach[piece[0]].to;
        let mut order: Vec<(f64, usize)> =
            whole.waiting.iter().enumerate().map(|(at, piece)| (tall(piece), at)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut taken = std::mem::take(&mut whole.waiting);
        whole.waiting = order.iter().map(|&(_, at)| std::mem::take(&mut taken[at])).collect();
        whole
    }

    /// Puts a helper in the place of a node that has gone, if one can be had: below that of its neighbours which is in the
    /// main piece, and above those which are in others, the tallest first.
    pub(super) fn substitute(&mut self, neighbours: &[usize], helpers_max: usize) {
        let instance = self.instance;
        let is_free = |&&node: &&usize| self.free[node] > 0;
        let Some(&place) = neighbours.iter().filter(is_free).find(|node| self.main.contains(node)) else {
            return;
        };
        let waits = |node: usize| self.waiting.iter().any(|piece| piece.contains(&node));
        let mut kids: Vec<usize> =
            neighbours.iter().filter(is_free).copied().filter(|&node| waits(node)).collect();
        kids.sort_by(|&a, &b| self.reach[b].to.total_cmp(&self.reach[a].to));
        if kids.len() < 2 {
            return;
        }
        // Where both directions cost the same, these few rows tell all that is asked below.
        for &node in kids.iter().chain([&place]) {
            instance.costs(node);
        }
        // The number of those that the helper cannot take, and how far down the others reach.
        let rank = |helper: usize| {
            let room = instance.degree[helper] as usize - 1;
            let legs = kids.iter().map(|&kid| instance.cost(helper, kid) + self.reach[kid].to);
            let far = legs.take(room).fold(0.0, f64::max) + instance.cost(place, helper);
            (kids.len().saturating_sub(room), far)
        };
        let ranked = self.outside(helpers_max).into_iter().map(|helper| (rank(helper), helper));
        let best = ranked
            .filter(|((_, far), _)| far.is_finite())
            .min_by(|((a, far), _), ((b, other), _)| a.cmp(b).then(far.total_cmp(other)));
        let Some((_, helper)) = best else { return };
        self.parent[helper] = place;
        self.free[place] -= 1;
        self.free[helper] = instance.degree[helper] - 1;
        self.main.push(helper);
        for kid in kids {
            let at = self.waiting.iter().position(|piece| piece.contains(&kid));
            if let Some(at) = at.filter(|_| self.free[helper] > 0) {
                self.hang(at, helper, kid);
            }
        }
    }

    /// Hangs all pieces, by any of their nodes; where nothing is free or in reach, over a helper or through a node with
    /// links to spare. The links of the whole tree; `None` if a piece finds no place.
    pub(super) fn join(mut self, helpers_max: usize) -> Option<Vec<(usize, usize)>> {
        while !self.waiting.is_empty() {
            if let Some((at, (_, place, end))) = self.next(false, &|_| false) {
                self.hang(at, place, end);
            } else {
                self.bridge(helpers_max)?;
            }
        }
        Some(self.main[1..].iter().map(|&node| (self.parent[node], node)).collect())
    }

    /// Hangs the pieces by their tops, as far as there is room for them. Of the places, those that `avoided` names are
    /// only taken where there is no other. For each piece that found one, the place and the top.
    pub(super) fn hang_tops(mut self, avoided: &dyn Fn(usize) -> bool) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        while let Some((at, (_, place, top))) = self.next(true, avoided).or_else(|| self.closing(avoided)) {
            self.hang(at, place, top);
            found.push((place, top));
        }
        found
    }

    /// The next piece that should hang, and where: the tallest that leaves a free link for the others.
    fn next(&self, tops: bool, avoided: &dyn Fn(usize) -> bool) -> Option<(usize, Offer)> {
        let free: u64 = self.links_free(&self.main);
        let last = self.waiting.len() == 1;
        (0..self.waiting.len()).find_map(|at| {
            let stays_open = last || free + self.links_free(&self.waiting[at]) > 2;
            let offer = if stays_open { self.best_place(at, tops, avoided) } else { None };
            offer.map(|offer| (at, offer))
        })
    }

    /// The tallest piece that finds a place at all: some will be left.
    fn closing(&self, avoided: &dyn Fn(usize) -> bool) -> Option<(usize, Offer)> {
        (0..self.waiting.len()).find_map(|at| Some((at, self.best_place(at, true, avoided)?)))
    }

    fn links_free(&self, nodes: &[usize]) -> u64 {
        nodes.iter().map(|&node| u64::from(self.free[node])).sum()
    }

    fn best_place(&self, at: usize, tops: bool, avoided: &dyn Fn(usize) -> bool) -> Option<Offer> {
        let piece = &self.waiting[at];
        let ends = if tops { &piece[..1] } else { &piece[..] };
        let mut best: Option<(bool, Offer)> = None;
        for &place in self.main.iter().filter(|&&place| self.free[place] > 0) {
            let avoid = avoided(place);
            for &end in ends.iter().filter(|&&end| self.free[end] > 0) {
                let value = self.value(place, end);
                let better = |&(other, (least, ..)): &(bool, Offer)| (avoid, value) < (other, least);
                if value.is_finite() && best.as_ref().is_none_or(better) {
                    best = Some((avoid, (value, place, end)));
                }
            }
        }
        best.map(|(_, offer)| offer)
    }

    /// The longest way over a link between the two.
    fn value(&self, place: usize, end: usize) -> f64 {
        let (there, back) = (self.instance.cost(place, end), self.instance.cost(end, place));
        if there.is_finite() { self.reach[place].across(there, back, self.reach[end]) } else { f64::INFINITY }
    }

    /// The `at`-th piece becomes part of the main one.
    fn hang(&mut self, at: usize, place: usize, end: usize) {
        let piece = self.waiting.remove(at);
        self.turn(end);
        self.parent[end] = place;
        self.free[end] -= 1;
        self.free[place] -= 1;
        self.append(&piece, end);
        self.measure_main();
    }

    /// Makes `top` the top of its piece.
    fn turn(&mut self, top: usize) {
        let (mut at, mut above) = (top, NONE);
        while at != NONE {
            let next = std::mem::replace(&mut self.parent[at], above);
            (above, at) = (at, next);
        }
    }

    /// Puts the nodes of a piece that hangs in the tree already behind those of the main one, parents first.
    fn append(&mut self, piece: &[usize], top: usize) {
        let mut kids: Vec<(usize, usize)> =
            piece.iter().filter(|&&node| node != top).map(|&node| (self.parent[node], node)).collect();
        kids.sort_unstable();
        let mut at = self.main.len();
        self.main.push(top);
        while at < self.main.len() {
            let node = self.main[at];
            let from = kids.partition_point(|&(parent, _)| parent < node);
            let own = kids[from..].iter().take_while(|&&(parent, _)| parent == node);
            self.main.extend(own.map(|&(_, kid)| kid));
            at += 1;
        }
    }

    /// Reach in the main piece: for the height, from the root alone.
    fn measure_main(&mut self) {
        if self.shared {
            let main = std::mem::take(&mut self.main);
            self.measure_piece(&main);
            self.main = main;
            return;
        }
        for (at, &node) in self.main.iter().enumerate() {
            let parent = self.parent[node];
            let from = if at == 0 { 0.0 } else { self.reach[parent].from + self.instance.cost(parent, node) };
            self.reach[node] = Reach { from, ..Reach::NONE };
        }
    }

    /// Reach in a piece: for the height, to its members alone.
    fn measure_piece(&mut self, piece: &[usize]) {
        let Self { instance, shared, reach, parent, .. } = self;
        let own = |node| if instance.is_helper(node) { Reach::NONE } else { Reach::MEMBER };
        measure(piece, parent, own, |a, b| instance.cost(a, b), reach);
        if !*shared {
            for &node in piece {
                reach[node].from = f64::NEG_INFINITY;
            }
        }
    }

    /// Brings the tallest piece that can be had so into reach: over a helper below a free link, over a helper that comes
    /// into a link, or by a node of the piece itself that comes into a link. Where other pieces wait, only if a free link
    /// is left then.
    fn bridge(&mut self, helpers_max: usize) -> Option<()> {
        let instance = self.instance;
        let helpers = self.outside(helpers_max);
        let free = self.links_free(&self.main);
        for at in 0..self.waiting.len() {
            let piece = &self.waiting[at];
            let spare = free + self.links_free(piece);
            let needed = u64::from(self.waiting.len() > 1);
            let mut best: Option<(f64, Bridge)> = None;
            let mut offer = |value: f64, bridge| {
                if value.is_finite() && best.as_ref().is_none_or(|&(least, _)| value < least) {
                    best = Some((value, bridge));
                }
            };
            for &end in piece.iter().filter(|&&end| self.free[end] > 0) {
                for &helper in &helpers {
                    let degree = u64::from(instance.degree[helper]);
                    let leg = self.reach[end].to + instance.cost(helper, end);
                    if !leg.is_finite() {
                        continue;
                    }
                    for &place in &self.main {
                        let parent = self.parent[place];
                        if self.free[place] > 0 && degree + spare >= 4 + needed {
                            let value = self.reach[place].from + instance.cost(place, helper) + leg;
                            offer(value, Bridge::Below { place, helper, end });
                        }
                        if parent != NONE && degree >= 3 && degree + spare >= 4 + needed {
                            let detour = instance.cost(parent, helper) + instance.cost(helper, place);
                            let value = self.reach[parent].from
                                + instance.cost(parent, helper)
                                + leg.max(detour - instance.cost(parent, place));
                            offer(value, Bridge::Into { node: place, helper: Some(helper), end });
                        }
                    }
                }
                if self.free[end] > 1 && spare >= 2 + needed {
                    for &place in self.main.iter().filter(|&&place| self.parent[place] != NONE) {
                        let parent = self.parent[place];
                        let up = self.reach[parent].from + instance.cost(parent, end);
                        let value = up + self.reach[end].to.max(instance.cost(end, place));
                        offer(value, Bridge::Into { node: place, helper: None, end });
                    }
                }
            }
            if let Some((_, bridge)) = best {
                self.build(at, bridge);
                return Some(());
            }
        }
        None
    }

    /// Helpers that may still come.
    fn outside(&self, helpers_max: usize) -> Vec<usize> {
        let instance = self.instance;
        let inside = || self.main.iter().chain(self.waiting.iter().flatten());
        let more = inside().filter(|&&node| instance.is_helper(node)).count() < helpers_max;
        let mut outside = vec![more; instance.len()];
        inside().for_each(|&node| outside[node] = false);
        instance.helpers().filter(|&helper| outside[helper]).collect()
    }

    fn build(&mut self, at: usize, bridge: Bridge) {
        match bridge {
            Bridge::Below { place, helper, end } => {
                self.parent[helper] = place;
                self.free[place] -= 1;
                self.free[helper] = self.instance.degree[helper] - 1;
                self.main.push(helper);
                self.hang(at, helper, end);
            }
            Bridge::Into { node, helper: Some(helper), end } => {
                self.parent[helper] = self.parent[node];
                self.parent[node] = helper;
                self.free[helper] = self.instance.degree[helper] - 2;
                let place = self.main.iter().position(|&other| other == node).unwrap_or(self.main.len());
                self.main.insert(place, helper);
                self.hang(at, helper, end);
            }
            Bridge::Into { node, helper: None, end } => {
                // The link that `node` gives up above is the one that `end` takes.
                let parent = self.parent[node];
                self.free[parent] += 1;
                self.hang(at, parent, end);
                self.parent[node] = end;
                self.free[end] -= 1;
                self.reorder();
                self.measure_main();
            }
        }
    }

    /// Parents first again, after a node has come to hang below one that stands behind it.
    fn reorder(&mut self) {
        let mut main = std::mem::take(&mut self.main);
        let top = main[0];
        main.sort_unstable();
        self.append(&main, top);
    }
}

/// How a piece is brought into reach.
#[derive(Clone, Copy)]
enum Bridge {
    /// A helper hangs below `place`, and `end` below the helper.
    Below { place: usize, helper: usize, end: usize },
    /// A helper, or `end` itself, comes between `node` and its parent; `end` hangs below the helper.
    Into { node: usize, helper: Option<usize>, end: usize },
}
