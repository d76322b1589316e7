//! The chart of a bench over several sizes of sessions: how much better than `amcast` without helpers.

use alm_planner::Algorithm;

use super::distribution::colour;
use super::summary::Summary;
use crate::cli::svg::{Anchor, Canvas, FAINT, Font, INK, QUIET, spread};

/// The picture.
pub(super) fn chart(summaries: &[Summary]) -> String {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let groups: Vec<usize> = summaries.iter().filter_map(|summary| summary.group).collect();
    let series = series(summaries);
    let (shown, below): (Vec<_>, Vec<_>) = series
        .into_iter()
        .partition(|series| series.points.last().is_some_and(|(_, improvement)| *improvement >= FLOOR));
    let all = || shown.iter().flat_map(|series| series.points.iter().map(|point| point.1.max(FLOOR)));
    let (low, high) = (all().fold(0.0, f64::min), all().fold(0.05, f64::max));
    let step = [0.02, 0.05, 0.1, 0.2].into_iter().find(|step| (high - low) / step <= 8.0).unwrap_or(0.25);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let y = |improvement: f64| BOTTOM - (BOTTOM - TOP) * (improvement.clamp(low, high) - low) / (high - low);
    let x = |group: usize| {
        let (first, last) = (groups[0].max(1) as f64, groups[groups.len() - 1].max(2) as f64);
        LEFT + 20.0 + (RIGHT - LEFT - 40.0) * (group as f64 / first).ln() / (last / first).ln()
    };

    let quiet = Font { size: 13.0, colour: QUIET, bold: false };
    let mut tick = low;
    while tick <= high + step / 2.0 {
        let zero = tick.abs() < step / 2.0;
        canvas.line([LEFT, y(tick)], [RIGHT, y(tick)], if zero { QUIET } else { FAINT }, 1.0);
        let text = if zero { "0 %".to_owned() } else { format!("{:+.0} %", 100.0 * tick) };
        canvas.text([LEFT - 8.0, y(tick) + 4.5], Anchor::End, quiet, &text);
        tick += step;
    }
    for &group in &groups {
        canvas.line([x(group), BOTTOM], [x(group), BOTTOM + 5.0], QUIET, 1.0);
        canvas.text([x(group), BOTTOM + 22.0], Anchor::Middle, quiet, &group.to_string());
    }
    title(&mut canvas, summaries);

    for series in &shown {
        let points: Vec<[f64; 2]> =
            series.points.iter().map(|&(group, share)| [x(group), y(share)]).collect();
        let width = if series.algorithm == Algorithm::Best { 3.0 } else { 1.8 };
        canvas.path(&points, colour(series.algorithm), width);
        for point in points {
            canvas.circle(point, 3.5, colour(series.algorithm), "#fff");
        }
    }
    let ends: Vec<f64> = shown.iter().map(|series| y(series.points[series.points.len() - 1].1)).collect();
    for (series, (end, at)) in shown.iter().zip(ends.iter().zip(spread(&ends, 18.0, TOP, BOTTOM))) {
        let (last, _) = series.points[series.points.len() - 1];
        canvas.line([x(last) + 6.0, *end], [RIGHT + 6.0, at], colour(series.algorithm), 0.7);
        let bold = series.algorithm == Algorithm::Best;
        let font = Font { size: 14.0, colour: colour(series.algorithm), bold };
        let mark = if series.algorithm == Algorithm::Unicast { "*" } else { "" };
        let name = format!("{}{mark}", series.algorithm);
        canvas.text([RIGHT + 10.0, at + 4.5], Anchor::Start, font, &name);
    }
    let mut notes = Vec::new();
    if shown.iter().any(|series| series.algorithm == Algorithm::Unicast) {
        notes.push("* ignores degree bounds".to_owned());
    }
    if !below.is_empty() {
        let last = |series: &Series| series.points.last().map_or(0.0, |point| 100.0 * point.1);
        let named = |series: &Series| format!("{} ({:.0} %)", series.algorithm, last(series));
        let names: Vec<String> = below.iter().map(named).collect();
        notes.push(format!("Far below at the right, not drawn: {}", names.join(", ")));
    }
    let font = Font { size: 12.0, ..quiet };
    canvas.text([LEFT, HEIGHT - 14.0], Anchor::Start, font, &notes.join(". "));
    canvas.finish()
}

struct Series {
    algorithm: Algorithm,
    /// Group size, improvement.
    points: Vec<(usize, f64)>,
}

fn series(summaries: &[Summary]) -> Vec<Series> {
    let of = |&algorithm: &Algorithm| {
        let points: Vec<(usize, f64)> = summaries
            .iter()
            .filter_map(|summary| {
                let row = summary.algorithms.iter().find(|row| row.name == algorithm)?;
                Some((summary.group?, row.improvement?))
            })
            .collect();
        (!points.is_empty()).then_some(Series { algorithm, points })
    };
    Algorithm::ALL.iter().filter_map(of).collect()
}

fn title(canvas: &mut Canvas, summaries: &[Summary]) {
    let font = Font { size: 18.0, colour: INK, bold: true };
    canvas.text([LEFT, 30.0], Anchor::Start, font, "How much better than amcast without helpers?");
    let Some(first) = summaries.first() else { return };
    let quiet = Font { size: 14.0, colour: QUIET, bold: false };
    let objective = first.objective;
    let about = format!(
        "Mean improvement of the {objective} on {}, {} sessions of each size",
        first.matrix, first.sessions
    );
    canvas.text([LEFT, 52.0], Anchor::Start, quiet, &about);
    canvas.text([(LEFT + RIGHT) / 2.0, BOTTOM + 46.0], Anchor::Middle, quiet, "members of a session");
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 580.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 750.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = 490.0;
/// Below that, an algorithm is named but not drawn: it would press all others together.
const FLOOR: f64 = -0.6;
