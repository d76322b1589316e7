//! The chart of a bench: for each algorithm, how large a share of its plans is how near to the lower bound.

use alm_planner::Algorithm;

use super::session::SessionLine;
use super::summary::{Summary, percentile};
use crate::cli::svg::{
    Anchor, BLUE, Canvas, FAINT, Font, GREEN, INK, PURPLE, QUIET, SKY, VERMILLION, spread,
};

/// The picture.
pub(super) fn chart(lines: &[SessionLine], summaries: &[Summary]) -> String {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let curves = curves(lines);
    frame(&mut canvas, lines, summaries);
    for curve in &curves {
        let steps = curve.above.iter().enumerate();
        let share = |count: usize| count as f64 / curve.above.len() as f64;
        let mut points = vec![[x(curve.above[0]), y(0.0)]];
        for (at, &above) in steps {
            points.push([x(above), y(share(at))]);
            points.push([x(above), y(share(at + 1))]);
        }
        points.dedup();
        canvas.path(
            &points,
            colour(curve.algorithm),
            if curve.algorithm == Algorithm::Best { 3.0 } else { 1.8 },
        );
    }
    label(&mut canvas, &curves);
    canvas.finish()
}

struct Curve {
    algorithm: Algorithm,
    /// Above the bound, as a share of it, ascending.
    above: Vec<f64>,
}

fn curves(lines: &[SessionLine]) -> Vec<Curve> {
    let of = |&algorithm: &Algorithm| {
        let plans = lines.iter().flat_map(|line| &line.plans).filter(|plan| plan.algorithm == algorithm);
        // A plan that breaks the degrees may be below any plan's bound.
        let mut above: Vec<f64> = plans
            .filter(|plan| plan.degree_excess == 0)
            .filter_map(|plan| plan.ratio_to_bound)
            .map(|r| r - 1.0)
            .collect();
        above.sort_by(f64::total_cmp);
        (!above.is_empty()).then_some(Curve { algorithm, above })
    };
    Algorithm::ALL.iter().filter_map(of).collect()
}

fn frame(canvas: &mut Canvas, lines: &[SessionLine], summaries: &[Summary]) {
    let quiet = Font { size: 13.0, colour: QUIET, bold: false };
    for (above, text) in TICKS {
        canvas.line([x(above), TOP], [x(above), BOTTOM], FAINT, 1.0);
        canvas.text([x(above), BOTTOM + 20.0], Anchor::Middle, quiet, text);
    }
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        canvas.line([LEFT, at], [RIGHT, at], FAINT, 1.0);
        canvas.text([LEFT - 8.0, at + 4.5], Anchor::End, quiet, &format!("{percent} %"));
    }
    let (matrix, objective) = summaries
        .first()
        .map_or((String::new(), String::new()), |s| (s.matrix.clone(), s.objective.to_string()));
    let group = lines.first().map_or(0, |line| line.group);
    let title = Font { size: 18.0, colour: INK, bold: true };
    canvas.text([LEFT, 30.0], Anchor::Start, title, "How near do plans come to what no plan can beat?");
    let about =
        format!("Share of {} sessions of {group} members on {matrix}, objective {objective}", lines.len());
    canvas.text([LEFT, 52.0], Anchor::Start, Font { size: 14.0, ..quiet }, &about);
    let axis = format!("{objective} above the lower bound");
    canvas.text([(LEFT + RIGHT) / 2.0, BOTTOM + 44.0], Anchor::Middle, Font { size: 14.0, ..quiet }, &axis);
}

/// Each name in a column beside the curves, with a line to where the curve leaves its middle.
fn label(canvas: &mut Canvas, curves: &[Curve]) {
    // From left to right, curves are named from top to bottom: at levels where they are well apart.
    let mut order: Vec<(f64, &Curve)> =
        curves.iter().filter_map(|curve| Some((percentile(curve.above.clone(), 0.5)?, curve))).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = order.len().max(2) as f64 - 1.0;
    let wanted: Vec<f64> = (0..order.len()).map(|at| y(0.93 - 0.86 * at as f64 / count)).collect();
    let levels = spread(&wanted, 19.0, TOP + 12.0, BOTTOM - 8.0);
    for ((_, curve), level) in order.iter().zip(levels) {
        let share = (BOTTOM - level) / (BOTTOM - TOP);
        let Some(above) = percentile(curve.above.clone(), share) else { continue };
        let at = [x(above), level];
        let name = curve.algorithm.name();
        let bold = curve.algorithm == Algorithm::Best;
        let font = Font { size: 14.0, colour: colour(curve.algorithm), bold };
        canvas.circle(at, 3.0, colour(curve.algorithm), "#fff");
        if at[0] < RIGHT - 90.0 {
            canvas.text([at[0] + 8.0, level + 4.5], Anchor::Start, font, name);
        } else {
            canvas.text([at[0] - 8.0, level + 4.5], Anchor::End, font, name);
        }
    }
}

/// By family: ours, the seed's with helpers, the seed's without, the optimum, stars and meshes and the rest.
pub(super) fn colour(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Best => VERMILLION,
        Algorithm::Exact => GREEN,
        Algorithm::Critical | Algorithm::CriticalAdjust | Algorithm::ClosestAdjust => BLUE,
        Algorithm::Amcast | Algorithm::AmcastAdjust => SKY,
        Algorithm::Compact => PURPLE,
        _ => QUIET,
    }
}

/// Logarithmic in the distance from the bound, which is where good plans differ.
fn x(above: f64) -> f64 {
    let span = (MOST / LEAST).ln();
    LEFT + (RIGHT - LEFT) * (above.clamp(LEAST, MOST) / LEAST).ln() / span
}

fn y(share: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * share
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 870.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = 490.0;
/// The ends of the axis: at the bound for all that matters, and ten times above.
const LEAST: f64 = 0.001;
const MOST: f64 = 10.0;
const TICKS: [(f64, &str); 9] = [
    (0.001, "≤ 0.1 %"),
    (0.003, "0.3 %"),
    (0.01, "1 %"),
    (0.03, "3 %"),
    (0.1, "10 %"),
    (0.3, "30 %"),
    (1.0, "100 %"),
    (3.0, "300 %"),
    (10.0, "1000 %"),
];
