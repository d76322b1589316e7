//! A plan as a picture: its nodes where their latencies put them, its links between.

use std::collections::BTreeMap;

use alm_planner::{NodeIndex, Plan, Problem, plane_layout};

use super::svg::{Anchor, BLUE, Canvas, FAINT, Font, INK, QUIET, VERMILLION};

/// The picture of one plan under a title, with its figures. A forest is all its trees, one over the other.
pub(super) fn chart(problem: &Problem, plan: &Plan, title: &str, figures: &str) -> String {
    let nodes: Vec<NodeIndex> = plan.members.iter().chain(&plan.helpers).copied().collect();
    let (mut places, scale) = fitted(&plane_layout(problem.latency(), &nodes));
    part(&mut places);
    let at: BTreeMap<NodeIndex, [f64; 2]> = nodes.iter().copied().zip(places).collect();

    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let quiet = Font { size: 13.0, colour: QUIET, bold: false };
    canvas.text([MARGIN, 32.0], Anchor::Start, Font { size: 18.0, colour: INK, bold: true }, title);
    let about = format!("{figures}; distances on paper are about latencies");
    canvas.text([MARGIN, 54.0], Anchor::Start, Font { size: 14.0, ..quiet }, &about);
    let path = longest_path(problem, plan);
    for tree in &plan.trees {
        for &(parent, child) in &tree.edges {
            let critical = path.contains(&(parent, child));
            let (colour, width) = if critical { (VERMILLION, 3.0) } else { ("#9a9a9a", 1.5) };
            if let (Some(&from), Some(&to)) = (at.get(&parent), at.get(&child)) {
                canvas.line(from, to, colour, width);
            }
        }
    }
    for (&node, &place) in &at {
        let helper = plan.helpers.contains(&node);
        if helper {
            canvas.square(place, RADIUS - 1.0, BLUE, "#fff");
        } else if node == plan.root {
            canvas.circle(place, RADIUS, INK, "#fff");
        } else {
            canvas.circle(place, RADIUS, "#fff", INK);
        }
        let colour = if helper || node == plan.root { "#fff" } else { INK };
        let text = node.to_string();
        let size = if text.len() > 3 { 9.0 } else { 11.0 };
        canvas.inscribe(place, Font { size, colour, bold: false }, &text);
    }
    legend(&mut canvas, scale, !plan.helpers.is_empty());
    canvas.finish()
}

/// The links on the way from a tree's top to the member farthest from it.
fn longest_path(problem: &Problem, plan: &Plan) -> Vec<(NodeIndex, NodeIndex)> {
    let mut longest = (0.0, Vec::new());
    for tree in &plan.trees {
        let Some(&(top, _)) = tree.edges.first() else { continue };
        let mut ways: BTreeMap<NodeIndex, (f64, Vec<(NodeIndex, NodeIndex)>)> = BTreeMap::new();
        ways.insert(top, (0.0, Vec::new()));
        for &(parent, child) in &tree.edges {
            let Some((latency, links)) = ways.get(&parent) else { continue };
            let reached = latency + problem.latency().one_way(parent, child).ms();
            let mut links = links.clone();
            links.push((parent, child));
            if reached > longest.0 && plan.members.contains(&child) {
                longest = (reached, links.clone());
            }
            ways.insert(child, (reached, links));
        }
    }
    longest.1
}

/// The places scaled to the page, and how many pixels a millisecond takes.
fn fitted(places: &[[f64; 2]]) -> (Vec<[f64; 2]>, f64) {
    let range = |axis: usize| {
        let values = places.iter().map(|place| place[axis]);
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
    };
    let ((left, right), (low, high)) = (range(0), range(1));
    let room = [WIDTH - 2.0 * MARGIN, HEIGHT - TOP - BOTTOM];
    let scale = (room[0] / (right - left).max(1e-9)).min(room[1] / (high - low).max(1e-9)).min(SCALE_MAX);
    let middle = [f64::midpoint(left, right), f64::midpoint(low, high)];
    let centre = [WIDTH / 2.0, TOP + room[1] / 2.0];
    let fit = |place: &[f64; 2]| [0, 1].map(|axis| centre[axis] + (place[axis] - middle[axis]) * scale);
    (places.iter().map(fit).collect(), scale)
}

/// Moves nodes apart that would cover each other.
fn part(places: &mut [[f64; 2]]) {
    for round in 0..ROUNDS {
        let mut moved = false;
        for i in 0..places.len() {
            for j in 0..i {
                let [dx, dy] = [0, 1].map(|axis| places[i][axis] - places[j][axis]);
                let apart = dx.hypot(dy);
                if apart >= APART {
                    continue;
                }
                // Those on one spot leave it in directions of their own.
                let angle = (i * 7 + j * 3 + round) as f64;
                let way = if apart > 1e-6 { [dx / apart, dy / apart] } else { [angle.cos(), angle.sin()] };
                for axis in 0..2 {
                    let step = (APART - apart) / 2.0 * way[axis];
                    let (low, high) =
                        if axis == 0 { (MARGIN, WIDTH - MARGIN) } else { (TOP, HEIGHT - BOTTOM) };
                    places[i][axis] = (places[i][axis] + step).clamp(low, high);
                    places[j][axis] = (places[j][axis] - step).clamp(low, high);
                }
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}

fn legend(canvas: &mut Canvas, scale: f64, helpers: bool) {
    let (y, font) = (HEIGHT - 22.0, Font { size: 13.0, colour: QUIET, bold: false });
    canvas.line([MARGIN, y - 26.0], [WIDTH - MARGIN, y - 26.0], FAINT, 1.0);
    canvas.circle([MARGIN + 8.0, y - 4.0], 9.0, INK, "#fff");
    canvas.text([MARGIN + 22.0, y], Anchor::Start, font, "root");
    canvas.circle([MARGIN + 80.0, y - 4.0], 6.5, "#fff", INK);
    canvas.text([MARGIN + 92.0, y], Anchor::Start, font, "member");
    if helpers {
        canvas.square([MARGIN + 168.0, y - 4.0], 6.5, BLUE, "#fff");
        canvas.text([MARGIN + 180.0, y], Anchor::Start, font, "helper");
    }
    canvas.line([MARGIN + 246.0, y - 4.0], [MARGIN + 274.0, y - 4.0], VERMILLION, 3.0);
    canvas.text([MARGIN + 282.0, y], Anchor::Start, font, "longest way down");
    let length =
        [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0].into_iter().rfind(|ms| ms * scale <= 140.0);
    if let Some(ms) = length {
        let end = WIDTH - MARGIN;
        canvas.line([end - ms * scale, y - 4.0], [end, y - 4.0], INK, 1.5);
        canvas.text([end - ms * scale - 8.0, y], Anchor::End, font, &format!("{ms:.0} ms"));
    }
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 700.0;
const MARGIN: f64 = 40.0;
const TOP: f64 = 90.0;
const BOTTOM: f64 = 80.0;
/// Pixels between the middles of two nodes, at least.
const APART: f64 = 42.0;
/// Of a node, with its number in it.
const RADIUS: f64 = 13.0;
const ROUNDS: usize = 200;
/// Pixels a millisecond, at most: nodes in one room shall not fill the page.
const SCALE_MAX: f64 = 60.0;
