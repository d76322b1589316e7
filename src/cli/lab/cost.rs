//! What the conference costs its task manager and a member: of a core, and in control on the line.

use std::time::Duration;

use serde::Serialize;

use super::Lab;
use super::gaps::rounded;
use super::node::{LabNode, now};

/// What one node has cost so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    core: Duration,
    planning: Duration,
    control_out: u64,
    control_in: u64,
}

/// Over the time since all were in. Time is of this machine's processor, emulated sockets in place of the kernel's, the
/// audio left out.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Cost {
    /// Percent of a core, planning included.
    pub(super) core_percent: f64,
    /// Of that, planning.
    pub(super) planning_percent: f64,
    /// Control sent and received, kbit/s.
    pub(super) control_out_kbps: f64,
    pub(super) control_in_kbps: f64,
}

impl Lab<'_> {
    pub(super) fn tally(&self, node: &LabNode) -> Tally {
        let (sent, came) = self.common.network.with_core(|core| core.carried_at(node.site));
        let (media_sent, media_came) = node.media.so_far();
        Tally {
            core: node.spent.so_far() + node.planning.so_far(),
            planning: node.planning.so_far(),
            control_out: sent.saturating_sub(media_sent),
            control_in: came.saturating_sub(media_came),
        }
    }

    /// Of the host, and the median of each figure over all other members that were there from the beginning to the end.
    pub(super) fn cost(&self) -> Option<(Cost, Cost)> {
        let time = (now() - self.zero).as_secs_f64();
        let since = |(node, before): (&LabNode, &Tally)| {
            let after = self.tally(node);
            let percent =
                |after: Duration, before| (after.saturating_sub(before)).as_secs_f64() / time * 100.0;
            let kbps = |after: u64, before| after.saturating_sub(before) as f64 * 8e-3 / time;
            Cost {
                core_percent: percent(after.core, before.core),
                planning_percent: percent(after.planning, before.planning),
                control_out_kbps: kbps(after.control_out, before.control_out),
                control_in_kbps: kbps(after.control_in, before.control_in),
            }
        };
        let there = self.nodes.iter().zip(&self.tallies);
        let there = there.filter(|(node, _)| node.voice.is_some() && node.is_alive());
        let mut members = there.map(since);
        let host = members.next()?;
        let members: Vec<Cost> = members.collect();
        let median = |figure: fn(&Cost) -> f64| {
            let mut figures: Vec<f64> = members.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or(0.0)
        };
        let member = Cost {
            core_percent: median(|cost| cost.core_percent),
            planning_percent: median(|cost| cost.planning_percent),
            control_out_kbps: median(|cost| cost.control_out_kbps),
            control_in_kbps: median(|cost| cost.control_in_kbps),
        };
        Some((host.rounded(), member.rounded()))
    }
}

impl Cost {
    fn rounded(self) -> Self {
        Self {
            core_percent: rounded(self.core_percent),
            planning_percent: rounded(self.planning_percent),
            control_out_kbps: rounded(self.control_out_kbps),
            control_in_kbps: rounded(self.control_in_kbps),
        }
    }
}
