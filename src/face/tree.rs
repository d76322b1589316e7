//! The installed plan for people, for Graphviz and as a picture.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::str::FromStr;

use super::conference::Conference;
use crate::event::{Plan, Tree};

/// How a plan is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TreeFormat {
    /// Indented lines.
    #[default]
    Text,
    /// The language of Graphviz.
    Dot,
    /// A picture that a browser shows.
    Svg,
}

impl FromStr for TreeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "dot" => Ok(Self::Dot),
            "svg" => Ok(Self::Svg),
            _ => Err("use text, dot or svg".to_owned()),
        }
    }
}

impl Conference {
    /// The plan that carries the media; `None` before the first.
    #[must_use]
    pub fn draw(&self, format: TreeFormat) -> Option<String> {
        let plan = self.plan.as_ref()?;
        Some(match format {
            TreeFormat::Text => self.text(plan),
            TreeFormat::Dot => self.dot(plan),
            TreeFormat::Svg => self.svg(plan),
        })
    }

    /// In one tree: who feeds this node, and whom it feeds.
    #[must_use]
    pub fn neighbours<'a>(&'a self, tree: &'a Tree) -> (Option<&'a str>, Vec<&'a str>) {
        let parent =
            tree.edges.iter().find(|(_, child)| *child == self.node).map(|(parent, _)| parent.as_str());
        let children =
            tree.edges.iter().filter(|(parent, _)| *parent == self.node).map(|(_, child)| child.as_str());
        (parent, children.collect())
    }

    fn text(&self, plan: &Plan) -> String {
        let mut text = format!(
            "plan {} ({}): {} {}, worst pair {}, {} {}\n",
            plan.epoch,
            plan.reason,
            plan.trees.len(),
            if plan.trees.len() == 1 { "tree" } else { "trees" },
            plan.worst_pair(),
            plan.helpers.len(),
            if plan.helpers.len() == 1 { "helper" } else { "helpers" },
        );
        if plan.protected {
            let links: usize = plan.trees.iter().map(|tree| tree.edges.len() * tree.sources.len()).sum();
            let voices: BTreeSet<&String> = plan.trees.iter().flat_map(|tree| &tree.sources).collect();
            let _ = writeln!(
                text,
                "each voice along two trees: {:.1} copies of it, about half of them for protection",
                links as f64 / voices.len().max(1) as f64
            );
        }
        for tree in &plan.trees {
            let Some(top) = top(tree) else { continue };
            let _ = match tree.sources.as_slice() {
                [one] => writeln!(text, "\nfrom {}", self.name(one)),
                several => writeln!(text, "\nfrom {} members", several.len()),
            };
            self.branch(plan, tree, top, "", "", &mut text);
        }
        text
    }

    fn branch(&self, plan: &Plan, tree: &Tree, node: &str, first: &str, rest: &str, text: &mut String) {
        let helper = if plan.helpers.iter().any(|helper| helper == node) { " (helper)" } else { "" };
        let here = if node == self.node { " (you)" } else { "" };
        let _ = writeln!(text, "{first}{}{helper}{here}{}", self.name(node), self.delay(node));
        // Trees are as deep as a plan may be, and a plan comes checked: no cycle, each node once.
        let children: Vec<&str> =
            tree.edges.iter().filter(|(parent, _)| parent == node).map(|(_, child)| child.as_str()).collect();
        for (i, child) in children.iter().enumerate() {
            let (turn, below) =
                if i + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.branch(plan, tree, child, &format!("{rest}{turn}"), &format!("{rest}{below}"), text);
        }
    }

    /// What this node has measured to another.
    fn delay(&self, node: &str) -> String {
        let rtt_ms = self.links.get(node).and_then(|link| link.rtt_ms);
        rtt_ms.map_or_else(String::new, |rtt_ms| format!("  {:.1} ms from you", rtt_ms / 2.0))
    }

    fn dot(&self, plan: &Plan) -> String {
        let mut dot = String::from("digraph plan {\n  node [shape=ellipse, fontname=\"Helvetica\"];\n");
        let mut nodes: Vec<&String> =
            plan.trees.iter().flat_map(|tree| &tree.edges).flat_map(|(a, b)| [a, b]).collect();
        nodes.sort();
        nodes.dedup();
        for node in nodes {
            let helper = if plan.helpers.contains(node) {
                ", shape=box, style=filled, fillcolor=lightblue"
            } else {
                ""
            };
            let label = self.name(node).replace('\\', "\\\\").replace('"', "\\\"");
            let _ = writeln!(dot, "  \"{node}\" [label=\"{label}\"{helper}];");
        }
        for (i, tree) in plan.trees.iter().enumerate() {
            let hue = i as f64 / plan.trees.len() as f64;
            for (parent, child) in &tree.edges {
                let _ = writeln!(dot, "  \"{parent}\" -> \"{child}\" [color=\"{hue:.3} 0.8 0.7\"];");
            }
        }
        dot.push_str("}\n");
        dot
    }

    /// The nodes on a circle, the links between them: bold where they touch this node.
    fn svg(&self, plan: &Plan) -> String {
        let mut nodes: Vec<&str> = plan
            .trees
            .iter()
            .flat_map(|tree| &tree.edges)
            .flat_map(|(a, b)| [a.as_str(), b.as_str()])
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        let places: BTreeMap<&str, [f64; 2]> = nodes
            .iter()
            .enumerate()
            .map(|(i, node)| {
                let angle =
                    std::f64::consts::TAU * i as f64 / nodes.len() as f64 - std::f64::consts::FRAC_PI_2;
                (*node, [MIDDLE + RADIUS * angle.cos(), MIDDLE + RADIUS * angle.sin()])
            })
            .collect();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIDE} {SIDE}\" width=\"{SIDE}\" height=\"{SIDE}\" \
             font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\" font-size=\"14\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        for tree in &plan.trees {
            for (parent, child) in &tree.edges {
                let (Some([x1, y1]), Some([x2, y2])) =
                    (places.get(parent.as_str()), places.get(child.as_str()))
                else {
                    continue;
                };
                let own = *parent == self.node || *child == self.node;
                let (colour, width) = if own { ("#d55e00", 2.0) } else { ("#9a9a9a", 1.0) };
                let _ = writeln!(
                    svg,
                    "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
                     stroke-width=\"{width}\"/>"
                );
            }
        }
        for (node, [x, y]) in &places {
            let helper = plan.helpers.iter().any(|helper| helper == node);
            let fill = if helper {
                "#0072b2"
            } else if *node == self.node {
                "#d55e00"
            } else {
                "#1a1a1a"
            };
            let shape = if helper {
                format!(
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"16\" height=\"16\" rx=\"3\" fill=\"{fill}\"/>",
                    x - 8.0,
                    y - 8.0
                )
            } else {
                format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\" fill=\"{fill}\"/>")
            };
            let name = escaped(self.name(node));
            let (anchor, shift) = if *x < MIDDLE - 1.0 { ("end", -14.0) } else { ("start", 14.0) };
            let _ = writeln!(
                svg,
                "{shape}<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#1a1a1a\">{name}</text>",
                x + shift,
                y + 5.0
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The node that a tree hangs from.
fn top(tree: &Tree) -> Option<&str> {
    let is_child = |node: &String| tree.edges.iter().any(|(_, child)| child == node);
    tree.edges.iter().map(|(parent, _)| parent).find(|parent| !is_child(parent)).map(String::as_str)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Of the picture, in pixels.
const SIDE: f64 = 720.0;
const MIDDLE: f64 = SIDE / 2.0;
const RADIUS: f64 = 250.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Link};

    fn conference() -> Conference {
        let mut conference = Conference { node: "b".into(), ..Conference::default() };
        for (node, name) in [("a", "Ada"), ("b", "Ben"), ("c", "<Chi>\"")] {
            conference.apply(&Event::MemberJoined { node: node.into(), name: name.into(), records: false });
        }
        let edges = [("a", "h"), ("h", "b"), ("h", "c")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        conference.apply(&Event::Tree(Plan {
            protected: false,
            epoch: 3,
            objective: "forest".into(),
            root: "a".into(),
            trees: vec![Tree { sources: vec!["a".into()], edges, backup: None, backups: vec![] }],
            helpers: vec!["h".into()],
            worst_ms: 12.34,
            height_ms: 12.34,
            diameter_ms: 20.0,
            estimated: false,
            planned_us: 5,
            probes: 0,
            reason: "join".into(),
        }));
        let (rtt_ms, sent, received, dropped) = (Some(8.0), 0, 0, 0);
        conference.apply(&Event::Link(Link {
            peer: "h".into(),
            rtt_ms,
            sent,
            received,
            dropped,
            lost_up: 0,
            lost_down: 0,
        }));
        conference
    }

    #[test]
    fn a_plan_reads_as_an_indented_tree() {
        let text = conference().draw(TreeFormat::Text).unwrap();
        let expected = "plan 3 (join): 1 tree, worst pair 12.3 ms, 1 helper\n\nfrom Ada\nAda\n└─ h (helper)  4.0 ms from you\n   \
                        ├─ Ben (you)\n   └─ <Chi>\"\n";
        assert_eq!(text, expected);
        assert_eq!(Conference::default().draw(TreeFormat::Text), None);
    }

    #[test]
    fn names_break_neither_graph_nor_picture() {
        let conference = conference();
        let dot = conference.draw(TreeFormat::Dot).unwrap();
        assert!(dot.contains("\"c\" [label=\"<Chi>\\\"\"];") && dot.contains("\"a\" -> \"h\""), "{dot}");
        let svg = conference.draw(TreeFormat::Svg).unwrap();
        assert!(svg.contains(">&lt;Chi&gt;\"</text>") && svg.matches("<line").count() == 3, "{svg}");
    }

    #[test]
    fn own_neighbours_are_found() {
        let conference = conference();
        let tree = &conference.plan.as_ref().unwrap().trees[0];
        assert_eq!(conference.neighbours(tree), (Some("h"), vec![]));
    }
}
