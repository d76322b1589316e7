//! What a plan comes to on latencies that it may not have been made on.

use crate::names::Objective;
use crate::plan::{Plan, Tree};
use crate::problem::Problem;
use crate::units::OneWay;
use crate::verify::{figures, figures_of, latencies_from};

/// The same trees with the height and the diameter that they have under `problem`'s latencies.
pub fn judged(problem: &Problem, plan: Plan) -> Plan {
    let (height, diameter) = figures(problem, &plan);
    Plan { height: OneWay::from_sum(height), diameter: OneWay::from_sum(diameter), ..plan }
}

/// The largest and the mean latency over all pairs of a source and another member, without hop cost. Where several
/// trees carry a source, they are stripes of its stream, and the last one counts; or they protect each other, and the
/// first one does. Zero for a session of one.
pub fn pair_latencies(problem: &Problem, plan: &Plan) -> (OneWay, OneWay) {
    pairs(problem, plan, if problem.protect { f64::min } else { f64::max })
}

/// The same for the copy that comes last: what a listener waits who plays no copy before the other is there, too.
pub fn later_pair_latencies(problem: &Problem, plan: &Plan) -> (OneWay, OneWay) {
    pairs(problem, plan, f64::max)
}

/// The objective that each tree comes to by itself.
pub fn tree_values(problem: &Problem, plan: &Plan) -> Vec<OneWay> {
    let value = |tree: &Tree| {
        let (height, diameter) = figures_of(problem, plan, std::slice::from_ref(tree));
        OneWay::from_sum(if plan.objective == Objective::Height { height } else { diameter })
    };
    plan.trees.iter().map(value).collect()
}

fn pairs(problem: &Problem, plan: &Plan, counts: fn(f64, f64) -> f64) -> (OneWay, OneWay) {
    let (mut worst, mut sum, mut pairs) = (0.0_f64, 0.0_f64, 0_u32);
    for &source in &plan.members {
        let carried = plan.trees.iter().filter(|tree| tree.sources.contains(&source));
        let ways: Vec<_> = carried.map(|tree| latencies_from(problem, source, tree)).collect();
        for member in plan.members.iter().filter(|&&member| member != source) {
            let heard = ways.iter().filter_map(|way| way.get(member).copied()).reduce(counts);
            if let Some(latency) = heard {
                worst = worst.max(latency);
                sum += latency;
                pairs += 1;
            }
        }
    }
    (OneWay::from_sum(worst), OneWay::from_sum(if pairs == 0 { 0.0 } else { sum / f64::from(pairs) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Degree, LatencyMatrix, Objective, plan};

    fn problem(scale: f64, objective: Objective) -> Problem {
        let latency =
            LatencyMatrix::from_one_way(4, |i, j| OneWay::from_ms(scale * i.abs_diff(j) as f64).unwrap());
        let degrees = vec![Degree(2); 4];
        Problem::builder(latency, degrees, vec![0, 1, 2, 3]).objective(objective).build().unwrap()
    }

    #[test]
    fn a_plan_is_measured_anew() {
        let one = problem(1.0, Objective::Height);
        let made = plan(&one, Algorithm::Amcast).unwrap();
        assert_eq!(judged(&one, made.clone()), made);
        let double = judged(&problem(2.0, Objective::Height), made.clone());
        assert_eq!(double.height.ms(), 2.0 * made.height.ms());
        assert_eq!(double.diameter.ms(), 2.0 * made.diameter.ms());
    }

    #[test]
    fn pairs_are_counted_from_the_sources() {
        let height = problem(1.0, Objective::Height);
        let made = plan(&height, Algorithm::Exact).unwrap();
        assert_eq!(pair_latencies(&height, &made).0, made.height);
        let shared = problem(1.0, Objective::Diameter);
        let made = plan(&shared, Algorithm::Exact).unwrap();
        let (worst, mean) = pair_latencies(&shared, &made);
        assert_eq!((worst.ms(), mean.ms()), (3.0, (3.0 + 2.0 * 2.0 + 3.0 * 1.0) / 6.0));
    }
}
