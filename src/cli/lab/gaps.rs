//! What was missing at every ear, from when to when, and what had happened before.
//!
//! Two witnesses: the ears' own tones tell where a voice was silent, and the jitter buffers tell what of a voice they made
//! up. A gap is what either says.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Lab;
use super::ears::samples;
use super::node::LabNode;
use crate::event::Event;

/// Something that an ear missed of a voice.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Gap {
    pub(super) cause: String,
    /// From when all were in.
    pub(super) at_s: f64,
    /// Whose ear.
    pub(super) member: String,
    /// Whose voice.
    pub(super) source: String,
    pub(super) gap_ms: f64,
}

/// Two gaps that are nearer than this are one: a frame between two that are missing.
const JOINED: Duration = Duration::from_millis(20);
/// What happened is taken for the cause of what is missing so long after it.
const BLAMED_FOR: Duration = Duration::from_secs(10);
/// A change of the plan, for so long.
const PLAN_BLAMED_FOR: Duration = Duration::from_secs(2);

impl Lab<'_> {
    /// All gaps, in the order of their times.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        for ear in self.members() {
            for source in self.members().filter(|source| source.voice != ear.voice) {
                let missing = self.missing(ear, source);
                gaps.extend(missing.into_iter().map(|(from, to)| Gap {
                    cause: self.cause(from),
                    at_s: rounded(from.saturating_duration_since(self.zero).as_secs_f64()),
                    member: ear.name.clone(),
                    source: source.name.clone(),
                    gap_ms: rounded((to - from).as_secs_f64() * 1_000.0),
                }));
            }
        }
        gaps.sort_by(|a, b| a.at_s.total_cmp(&b.at_s).then_with(|| a.member.cmp(&b.member)));
        gaps
    }

    /// What one ear missed of one voice while both were there, once it had heard it.
    fn missing(&self, ear: &LabNode, source: &LabNode) -> Vec<(Instant, Instant)> {
        let heard = {
            let record = ear.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            source.voice.and_then(|voice| record.get(&voice).cloned())
        };
        let Some(heard) = heard else { return vec![] };
        let (Some(first), Some(last)) = (heard.first, heard.last) else { return vec![] };
        let end = [ear.ended, source.ended].into_iter().flatten().fold(super::now(), Instant::min);
        let begin = first.max(self.zero);
        let mut spans = heard.holes;
        if last + samples(super::ears::TAIL) < end {
            spans.push((last, end));
        }
        for (at, event) in &ear.notes().told {
            if let Event::Gap { source: id, gap_ms } = event
                && *id == source.id
            {
                let length = Duration::from_secs_f64(gap_ms / 1_000.0);
                spans.push((at.checked_sub(length).unwrap_or(*at), *at));
            }
        }
        spans.sort_unstable();
        let mut joined: Vec<(Instant, Instant)> = Vec::new();
        // What began after the source had ended is no loss.
        for (from, to) in spans.into_iter().filter(|(from, to)| *to > begin && *from < end) {
            let (from, to) = (from.max(begin), to.min(end));
            match joined.last_mut() {
                Some((_, until)) if from <= *until + JOINED => *until = to.max(*until),
                _ => joined.push((from, to)),
            }
        }
        joined
    }

    /// Part of the network was cut off then, seconds after all were in, or shortly before.
    pub(super) fn was_divided(&self, at_s: f64) -> bool {
        let at = self.zero + Duration::from_secs_f64(at_s.max(0.0));
        let lately = |until: Instant| at.saturating_duration_since(until) < BLAMED_FOR;
        let parted = self.apart.iter().any(|(begun, until)| at >= *begun && until.is_none_or(lately));
        let line = |(done, text): &(Instant, String)| {
            at >= *done && lately(*done) && ["cut ", "mend "].iter().any(|verb| text.starts_with(verb))
        };
        parted || self.done.iter().any(line)
    }

    fn cause(&self, from: Instant) -> String {
        let since = |at: Instant| from.checked_duration_since(at);
        let apart = self.apart.iter().any(|(begun, until)| {
            from >= *begun && until.is_none_or(|until| since(until).is_none_or(|since| since < BLAMED_FOR))
        });
        let step = self.done.iter().rev().find(|(at, _)| since(*at).is_some_and(|since| since < BLAMED_FOR));
        if let Some((_, step)) = step {
            return step.clone();
        }
        if apart {
            return "partition".to_owned();
        }
        if self.loss > 0.0 {
            return "loss".to_owned();
        }
        let epochs = self.members().filter_map(|member| {
            let notes = member.notes();
            let recent =
                |(at, ..): &&(Instant, u64, String)| since(*at).is_some_and(|since| since < PLAN_BLAMED_FOR);
            notes.epochs.iter().rev().find(recent).map(|(_, _, reason)| format!("plan ({reason})"))
        });
        epochs.into_iter().next().unwrap_or_else(|| "unknown".to_owned())
    }
}

/// To the microsecond or the millisecond, whichever the unit is.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
