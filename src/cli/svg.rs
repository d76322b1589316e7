//! A small canvas for charts: shapes and text as SVG, in colours that colour-blind readers tell apart.

use std::fmt::Write;

/// A picture in the making.
#[derive(Debug)]
pub(super) struct Canvas {
    body: String,
    width: f64,
    height: f64,
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font {
    pub(super) size: f64,
    pub(super) colour: &'static str,
    pub(super) bold: bool,
}

/// What is to be read first, what second, and what only if needed.
pub(super) const INK: &str = "#1a1a1a";
pub(super) const QUIET: &str = "#6b6b6b";
pub(super) const FAINT: &str = "#e3e3e3";
/// From the palette of Okabe and Ito.
pub(super) const VERMILLION: &str = "#d55e00";
pub(super) const BLUE: &str = "#0072b2";
pub(super) const SKY: &str = "#3a96cf";
pub(super) const GREEN: &str = "#009e73";
pub(super) const PURPLE: &str = "#a8558a";

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    pub(super) fn line(&mut self, from: [f64; 2], to: [f64; 2], colour: &str, width: f64) {
        let ([x1, y1], [x2, y2]) = (from, to);
        self.push(&format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
             stroke-width=\"{width}\"/>"
        ));
    }

    /// Through the points, from one to the next.
    pub(super) fn path(&mut self, points: &[[f64; 2]], colour: &str, width: f64) {
        let points: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        self.push(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
            points.join(" ")
        ));
    }

    pub(super) fn circle(&mut self, at: [f64; 2], radius: f64, fill: &str, stroke: &str) {
        let [x, y] = at;
        self.push(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"1.5\"/>"
        ));
    }

    /// A square around a point.
    pub(super) fn square(&mut self, at: [f64; 2], half: f64, fill: &str, stroke: &str) {
        let ([x, y], side) = (at, 2.0 * half);
        self.push(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{side}\" height=\"{side}\" rx=\"2\" fill=\"{fill}\" stroke=\"{stroke}\" \
             stroke-width=\"1.5\"/>",
            x - half,
            y - half
        ));
    }

    /// Text with a white edge, so that lines behind it do not make it hard to read.
    pub(super) fn text(&mut self, at: [f64; 2], anchor: Anchor, font: Font, text: &str) {
        self.write(at, anchor, font, text, "");
    }

    /// Text in the middle of a shape.
    pub(super) fn inscribe(&mut self, at: [f64; 2], font: Font, text: &str) {
        let below = [at[0], at[1] + 0.35 * font.size];
        self.write(below, Anchor::Middle, font, text, " style=\"stroke: none\"");
    }

    fn write(&mut self, at: [f64; 2], anchor: Anchor, font: Font, text: &str, style: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if font.bold { " font-weight=\"600\"" } else { "" };
        self.push(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"{}\" fill=\"{}\"{weight}{style}>{}</text>",
            at[0],
            at[1],
            font.size,
            font.colour,
            escaped(text)
        ));
    }

    pub(super) fn finish(self) -> String {
        let (width, height) = (self.width, self.height);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif\">\n\
             <style>text {{ paint-order: stroke; stroke: #fff; stroke-width: 3px; stroke-linejoin: round; }}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}</svg>\n",
            self.body
        )
    }

    fn push(&mut self, element: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

/// Moves points on a line apart so that they are at least `gap` from each other and within `low..=high`, as near as can
/// be to where they were and in the same order.
pub(super) fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // Clusters of neighbours that touch: where the first point stands, how many there are, and the sum of where each of
    // them would have the first one.
    let mut clusters: Vec<(f64, usize, f64)> = Vec::new();
    for &at in &order {
        clusters.push((wanted[at], 1, wanted[at]));
        while let [.., (first, count, sum), (next, more, sum_next)] = *clusters.as_slice()
            && next < first + gap * count as f64
        {
            let (count_both, shift) = (count + more, gap * (count * more) as f64);
            let sum = sum + sum_next - shift;
            clusters.truncate(clusters.len() - 2);
            clusters.push((sum / count_both as f64, count_both, sum));
        }
    }
    let mut placed = vec![0.0; wanted.len()];
    let mut at = 0;
    for (first, count, _) in clusters {
        let first = first.min(high - gap * (count - 1) as f64).max(low);
        for step in 0..count {
            placed[order[at]] = first + gap * step as f64;
            at += 1;
        }
    }
    // What was pushed back from the end pushes on.
    for pair in (1..order.len()).rev() {
        let (before, after) = (order[pair - 1], order[pair]);
        placed[before] = placed[before].min(placed[after] - gap);
    }
    placed
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_that_touch_move_apart_around_their_middle() {
        assert_eq!(spread(&[10.0, 50.0], 5.0, 0.0, 100.0), [10.0, 50.0]);
        assert_eq!(spread(&[50.0, 50.0, 50.0], 10.0, 0.0, 100.0), [40.0, 50.0, 60.0]);
        assert_eq!(spread(&[99.0, 100.0], 10.0, 0.0, 100.0), [90.0, 100.0]);
        let placed = spread(&[3.0, 1.0, 2.0, 2.5, 40.0], 4.0, 0.0, 100.0);
        let mut sorted = placed.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 4.0 - 1e-9), "{placed:?}");
        assert_eq!(placed[4], 40.0);
    }

    #[test]
    fn text_cannot_break_the_picture() {
        let mut canvas = Canvas::new(10.0, 10.0);
        let font = Font { size: 12.0, colour: INK, bold: false };
        canvas.text([0.0, 0.0], Anchor::Start, font, "<a&b>");
        assert!(canvas.finish().contains(">&lt;a&amp;b&gt;</text>"));
    }
}
