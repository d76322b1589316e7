//! The moves that bring helpers in and send them away.

use super::moves::{Change, Extras, Judged, Move};
use super::smooth::{NO, SmoothTree};

impl SmoothTree<'_> {
    /// Also takes along, as `extras`, those of `others` that are better off below the helper, and one of them in any
    /// case if `crowd`.
    pub(super) fn judge_insert(
        &self,
        helper: u32,
        at: u32,
        others: &[u32],
        crowd: bool,
        extras: &mut Extras,
    ) -> Option<Judged> {
        extras.clear();
        if at == self.top || self.is_placed(helper) || self.node(helper).room == 0 {
            return None;
        }
        let weight = self.weight_in_place(at, helper);
        let mut change = Change::default();
        self.add(&mut change, at, weight * self.factor(helper, at) * self.node(at).sum - self.part(at));
        self.take_along(helper, at, weight, 1, others, crowd, extras, &mut change);
        self.judged(Move::Insert(helper, at), change, 1)
    }

    pub(super) fn judge_insert_two(&self, upper: u32, lower: u32, at: u32) -> Option<Judged> {
        let rooms = self.node(upper).room.min(self.node(lower).room);
        if at == self.top || upper == lower || self.is_placed(upper) || self.is_placed(lower) || rooms == 0 {
            return None;
        }
        let weight = self.weight_in_place(at, upper) * self.factor(upper, lower) * self.factor(lower, at);
        let mut change = Change::default();
        self.add(&mut change, at, weight * self.node(at).sum - self.part(at));
        self.judged(Move::InsertTwo(upper, lower, at), change, 2)
    }

    pub(super) fn judge_add(
        &self,
        helper: u32,
        to: u32,
        others: &[u32],
        extras: &mut Extras,
    ) -> Option<Judged> {
        extras.clear();
        if self.is_placed(helper) || self.node(helper).room == 0 || !self.has_free(to) {
            return None;
        }
        let weight = self.node(to).weight * self.factor(to, helper);
        let mut change = Change::default();
        self.take_along(helper, to, weight, 0, others, false, extras, &mut change);
        if extras.is_empty() { None } else { self.judged(Move::Add(helper, to), change, 1) }
    }

    #[expect(clippy::too_many_arguments, reason = "one loop of two callers")]
    fn take_along(
        &self,
        helper: u32,
        at: u32,
        weight: f64,
        kids_first: u32,
        others: &[u32],
        crowd: bool,
        extras: &mut Extras,
        change: &mut Change,
    ) {
        let mut kids = kids_first;
        for &other in others {
            if kids == self.node(helper).room {
                break;
            }
            // Below the node itself, moving it up would change that node's own sum.
            let within = kids_first > 0 && self.is_below(other, at);
            if self.is_fixed(other) || self.is_below(at, other) || within {
                continue;
            }
            let overlaps =
                |&(taken, _): &(u32, u32)| self.is_below(other, taken) || self.is_below(taken, other);
            if extras.iter().any(overlaps) {
                continue;
            }
            let there = self.node(other).sum * weight * self.factor(helper, other);
            let here = self.part(other);
            if there < here || crowd && extras.is_empty() {
                self.add(change, at, there);
                self.add(change, other, -here);
                kids += 1;
                extras.push((other, helper));
            }
        }
    }

    pub(super) fn judge_replace(&self, old: u32, new: u32) -> Option<Judged> {
        if !self.is_helper(old) || self.is_placed(new) || self.node(old).kids > self.node(new).room {
            return None;
        }
        let mut change = Change::default();
        let there = self.weight_in_place(old, new) * self.sum_with_children(new, old, NO);
        self.add(&mut change, old, there - self.part(old));
        self.judged(Move::Replace(old, new), change, 0)
    }

    pub(super) fn judge_relieve(&self, member: u32, helper: u32) -> Option<Judged> {
        let entry = self.node(member);
        if member == self.top
            || self.is_helper(member)
            || self.is_placed(helper)
            || entry.kids == 0
            || entry.kids + 1 > self.node(helper).room
        {
            return None;
        }
        let sum = self.sum_with_children(helper, member, NO) + self.factor(helper, member);
        let mut change = Change::default();
        self.add(&mut change, member, self.weight_in_place(member, helper) * sum - self.part(member));
        self.judged(Move::Relieve(member, helper), change, 1)
    }

    pub(super) fn judge_fill(&self, member: u32, helper: u32) -> Option<Judged> {
        if !self.is_helper(helper) || self.is_helper(member) || self.is_fixed(member) {
            return None;
        }
        let from_here = self.node(member).parent == helper;
        let kids = self.node(helper).kids - u32::from(from_here);
        let far_below = !from_here && self.is_below(member, helper);
        if self.node(member).kids != 0 || kids > self.node(member).room || far_below {
            return None;
        }
        let sum = self.sum_with_children(member, helper, member);
        let mut change = Change::default();
        self.add(&mut change, helper, self.weight_in_place(helper, member) * sum - self.part(helper));
        if !from_here {
            self.add(&mut change, member, -self.part(member));
        }
        self.judged(Move::Fill(member, helper), change, -1)
    }

    /// The children go to their grandparent while it has links, the others to the best of `places`.
    pub(super) fn judge_drop(&self, helper: u32, places: &[u32], extras: &mut Extras) -> Option<Judged> {
        extras.clear();
        if !self.is_helper(helper) {
            return None;
        }
        let parent = self.node(helper).parent;
        if self.is_fixed(helper) {
            // Its only child may stand beside the middle instead.
            let child = self.node(helper).first;
            if self.node(helper).kids != 1 {
                return None;
            }
            let mut change = Change::default();
            let there = self.weight_in_place(helper, child) * self.node(child).sum;
            self.add(&mut change, helper, there - self.part(helper));
            return self.judged(Move::Drop(helper), change, -1);
        }
        let mut change = Change::default();
        self.add(&mut change, helper, -self.part(helper));
        let mut child = self.node(helper).first;
        while child != NO {
            let entry = self.node(child);
            let (mut best, mut least) = (NO, f64::INFINITY);
            for &place in places.iter().chain([&parent]) {
                let taken = extras.iter().filter(|&&(_, to)| to == place).count() as u32;
                let kids = self.node(place).kids + taken - u32::from(place == parent);
                if kids >= self.node(place).room || self.is_below(place, helper) {
                    continue;
                }
                let there = self.node(place).weight * self.factor(place, child);
                if there < least {
                    (best, least) = (place, there);
                }
            }
            if best == NO {
                return None;
            }
            self.add(&mut change, best, entry.sum * least);
            extras.push((child, best));
            child = entry.next;
        }
        self.judged(Move::Drop(helper), change, -1)
    }
}
