//! What honest nodes are told when they ask for helpers, among nodes that lie.

use std::collections::BTreeSet;

use crate::pool::somo::{Answer, HelperQuery, Question};
use crate::pool::{Peer, Place};

/// See the [module](self).
#[derive(Default)]
pub(super) struct Queries {
    under_way: BTreeSet<(u32, u32)>,
    pub(super) asked: u64,
    /// No answer, or one that names no honest helper.
    pub(super) lost: u64,
    shares: f64,
}

/// As a task manager asks: helpers of two links or more, near a place.
pub(super) fn question(near: Place) -> Question {
    let (near, within_ms, of) = (vec![near], u16::MAX, Vec::new());
    Question::Helpers {
        query: HelperQuery { near, within_ms, degree: 2, priority: 3, most: 32, of },
        keep_s: 0,
    }
}

impl Queries {
    /// True while one has not ended.
    pub(super) fn are_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    pub(super) fn start(&mut self, slot: u32, number: u32) {
        self.under_way.insert((slot, number));
    }

    pub(super) fn on_answer(
        &mut self,
        slot: u32,
        number: u32,
        answer: Option<Answer>,
        is_honest: impl Fn(&Peer) -> bool,
    ) {
        if !self.under_way.remove(&(slot, number)) {
            return;
        }
        self.asked += 1;
        let helpers = match answer {
            Some(Answer::Helpers { helpers, .. }) => helpers,
            Some(Answer::Report(_)) | None => Vec::new(),
        };
        let honest = helpers.iter().filter(|helper| is_honest(&helper.peer)).count();
        self.lost += u64::from(honest == 0);
        self.shares += honest as f64 / helpers.len().max(1) as f64;
    }

    /// Of the helpers that an answer names, the share that is honest, mean.
    pub(super) fn honest(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.shares / self.asked as f64)
    }
}
