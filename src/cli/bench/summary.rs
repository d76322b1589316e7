//! What many sessions come to, by algorithm.

use alm_planner::{Algorithm, Objective};
use serde::{Deserialize, Serialize};

use super::session::{PlanLine, SessionLine, micro, milli};

/// The last line of the JSON output: the contract's object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) summary: bool,
    pub(super) matrix: String,
    pub(super) objective: Objective,
    /// Only where sessions of several sizes were drawn: one summary a size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<usize>,
    pub(super) sessions: usize,
    pub(super) algorithms: Vec<Row>,
}

/// One algorithm over all sessions that it planned; `null` where it planned none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) name: Algorithm,
    pub(super) height_ms_mean: Option<f64>,
    pub(super) diameter_ms_mean: Option<f64>,
    pub(super) worst_ms_mean: Option<f64>,
    pub(super) mean_ms_mean: Option<f64>,
    pub(super) improvement: Option<f64>,
    pub(super) ratio_to_bound: Option<f64>,
    #[serde(default)]
    pub(super) ratio_to_bound_p90: Option<f64>,
    pub(super) helpers_mean: Option<f64>,
    /// Links on the longest way of a plan.
    #[serde(default)]
    pub(super) hops_mean: Option<f64>,
    /// Of two trees that protect each other: the share of sessions in which they fit, and what the objective comes to along
    /// either by what it does for one tree alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fit: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) over_unprotected: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) other_over_unprotected: Option<f64>,
    /// Where plans are made on estimates: links probed, and the share kept of what `critical+adjust` on measurements
    /// improves over `amcast`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) probes_mean: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gain_kept: Option<f64>,
    pub(super) plan_us_p50: Option<u64>,
    pub(super) plan_us_p99: Option<u64>,
}

/// The sizes of the sessions, ascending.
pub(super) fn groups(lines: &[SessionLine]) -> Vec<usize> {
    let mut groups: Vec<usize> = lines.iter().map(|line| line.group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The sessions of one size.
pub(super) fn of_group(lines: &[SessionLine], group: usize) -> Vec<&SessionLine> {
    lines.iter().filter(|line| line.group == group).collect()
}

/// The algorithms in the order in which they were asked for.
pub(super) fn algorithms(lines: &[&SessionLine]) -> Vec<Algorithm> {
    let mut known: Vec<Algorithm> = Vec::new();
    for line in lines {
        let planned = line.plans.iter().map(|plan| plan.algorithm);
        for algorithm in planned.chain(line.failed.iter().map(|failed| failed.algorithm)) {
            if !known.contains(&algorithm) {
                known.push(algorithm);
            }
        }
    }
    known.sort_by_key(|algorithm| Algorithm::ALL.iter().position(|known| known == algorithm));
    known
}

/// All plans of one algorithm.
pub(super) fn plans<'l>(lines: &[&'l SessionLine], algorithm: Algorithm) -> Vec<&'l PlanLine> {
    lines.iter().flat_map(|line| &line.plans).filter(|plan| plan.algorithm == algorithm).collect()
}

/// One summary a group size.
pub(super) fn summaries(lines: &[SessionLine], matrix: &str, objective: Objective) -> Vec<Summary> {
    let groups = groups(lines);
    let several = groups.len() > 1;
    let of = |group: usize| {
        let lines = of_group(lines, group);
        Summary {
            summary: true,
            matrix: matrix.to_owned(),
            objective,
            group: several.then_some(group),
            sessions: lines.len(),
            algorithms: algorithms(&lines).into_iter().map(|algorithm| row(&lines, algorithm)).collect(),
        }
    };
    groups.into_iter().map(of).collect()
}

fn row(lines: &[&SessionLine], name: Algorithm) -> Row {
    let plans = plans(lines, name);
    let mean_of = |figure: fn(&PlanLine) -> Option<f64>| mean(plans.iter().copied().filter_map(figure));
    let protected = lines.iter().any(|line| line.protect);
    let height = lines.first().is_some_and(|line| line.objective == Objective::Height);
    let over_one = |figure: fn(&PlanLine) -> Option<f64>| {
        mean(
            plans.iter().filter_map(|plan| Some(figure(plan)? / plan.unprotected_ms.filter(|ms| *ms > 0.0)?)),
        )
    };
    let times: Vec<u64> = plans.iter().map(|plan| plan.plan_us).collect();
    Row {
        name,
        height_ms_mean: mean_of(|plan| Some(plan.height_ms)).map(milli),
        diameter_ms_mean: mean_of(|plan| Some(plan.diameter_ms)).map(milli),
        worst_ms_mean: mean_of(|plan| Some(plan.worst_ms)).map(milli),
        mean_ms_mean: mean_of(|plan| Some(plan.mean_ms)).map(milli),
        improvement: mean_of(|plan| plan.improvement).map(micro),
        ratio_to_bound: mean_of(|plan| plan.ratio_to_bound).map(micro),
        ratio_to_bound_p90: percentile(plans.iter().filter_map(|plan| plan.ratio_to_bound).collect(), 0.9),
        helpers_mean: mean_of(|plan| Some(plan.helpers as f64)).map(milli),
        hops_mean: mean_of(|plan| plan.hops.map(|hops| hops as f64)).map(milli),
        fit: protected.then(|| micro(plans.len() as f64 / lines.len().max(1) as f64)),
        over_unprotected: over_one(if height {
            |plan| Some(plan.height_ms)
        } else {
            |plan| Some(plan.diameter_ms)
        })
        .map(micro),
        other_over_unprotected: over_one(|plan| plan.other_ms).map(micro),
        probes_mean: mean_of(|plan| plan.probes.map(|probes| probes as f64)).map(milli),
        gain_kept: gain_kept(lines, name),
        plan_us_p50: percentile(times.clone(), 0.5),
        plan_us_p99: percentile(times, 0.99),
    }
}

/// Mean improvement of the algorithm over that of `critical+adjust` on measurements, over the sessions that both planned.
fn gain_kept(lines: &[&SessionLine], name: Algorithm) -> Option<f64> {
    let gains = lines.iter().filter_map(|line| {
        let (amcast, measured) = (line.amcast_ms.filter(|ms| *ms > 0.0)?, line.measured_ms?);
        let plan = line.plans.iter().find(|plan| plan.algorithm == name)?;
        Some((plan.improvement?, (amcast - measured) / amcast))
    });
    let (kept, whole) = gains.fold((0.0, 0.0), |sum, gain| (sum.0 + gain.0, sum.1 + gain.1));
    (whole > 0.0).then(|| micro(kept / whole))
}

/// `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// The least value that at least that share of all do not exceed.
pub(super) fn percentile<T: Copy + PartialOrd>(mut values: Vec<T>, share: f64) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(values.clone(), 0.5), Some(50));
        assert_eq!(percentile(values, 0.99), Some(99));
        assert_eq!(percentile(vec![7.5], 0.99), Some(7.5));
        assert_eq!(percentile(Vec::<u64>::new(), 0.5), None);
    }
}
