//! What there is to see, as lines: who is linked to whom, and how the voices come through.

use super::view::{Person, Plan, Tree, View};

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ink {
    pub(super) colours: bool,
}

/// How far along it all is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// What goes on.
    pub(super) doing: String,
    /// How much of the talk is over, 0 to 1.
    pub(super) done: f64,
    /// Whether they talk, so that there are figures.
    pub(super) talking: bool,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31";
/// One for each speaker.
const COLOURS: [&str; 5] = ["36", "32", "33", "35", "94"];

const BAR_WIDTH: usize = 40;
/// Where the tree's remarks begin.
const LABEL_WIDTH: usize = 24;

impl Ink {
    fn paint(self, colour: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint(BOLD, text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint(DIM, text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint(GREEN, text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint(RED, text)
    }

    /// In the colour of the speaker of that name, at least `width` wide.
    pub(super) fn name(self, view: &View, name: &str, width: usize) -> String {
        let speaker = view.speakers().iter().position(|person| person.name == name);
        self.paint(speaker.map_or(BOLD, |speaker| COLOURS[speaker]), &format!("{name:<width$}"))
    }
}

/// All of it, for a screen of 80 by 24 at least.
pub(super) fn picture(view: &View, progress: &Progress, ink: Ink) -> Vec<String> {
    let mut lines = head(progress, ink);
    lines.push(String::new());
    match view.plan() {
        Some(plan) => {
            lines.extend(tree(view, plan, ink));
            lines.push(String::new());
            lines.extend(table(view, plan, ink));
        }
        None => lines.extend(waiting(view, ink)),
    }
    lines
}

fn head(progress: &Progress, ink: Ink) -> Vec<String> {
    let filled = (progress.done.clamp(0.0, 1.0) * BAR_WIDTH as f64) as usize;
    let bar = format!("{}{}", ink.good(&"━".repeat(filled)), ink.dim(&"─".repeat(BAR_WIDTH - filled)));
    vec![
        format!(" {}  five people, three helpers, no server", ink.bold("alm demo")),
        format!(" {bar}  {}", progress.doing),
    ]
}

fn waiting(view: &View, ink: Ink) -> Vec<String> {
    let there = |person: &&Person| !person.node.is_empty();
    let who = view
        .people
        .iter()
        .filter(there)
        .map(|person| format!(" {} {}", mark(view, &person.node), ink.name(view, person.name, 0)));
    who.collect()
}

fn mark(view: &View, node: &str) -> &'static str {
    if view.helpers().iter().any(|helper| helper.node == node) { "◇" } else { "●" }
}

/// The plan, with box characters. Of several trees, the one with the longest way.
pub(super) fn tree(view: &View, plan: &Plan, ink: Ink) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(tree) = plan.deepest() else { return lines };
    let top = match plan.trees.len() {
        1 => &plan.root,
        trees => {
            let source = tree.sources.first().unwrap_or(&plan.root);
            let worst = plan.worst_ms;
            let what =
                format!(" {trees} trees, one for each voice; worst pair {worst:.1} ms; the longest is");
            lines.push(format!("{}{}", ink.dim(&what), ink.dim(&format!(" {}'s:", view.name(source)))));
            source
        }
    };
    branch(&Drawing { view, tree, ink }, top, None, " ", " ", &mut lines);
    let idle: Vec<&str> = view
        .helpers()
        .iter()
        .filter(|helper| !helper.node.is_empty() && !plan.helpers.contains(&helper.node))
        .map(|helper| helper.name)
        .collect();
    if !idle.is_empty() {
        lines.push(ink.dim(&format!(" ◇ {}: not needed", idle.join(", "))));
    }
    lines
}

struct Drawing<'a> {
    view: &'a View,
    tree: &'a Tree,
    ink: Ink,
}

/// A node and what hangs below it; `first` stands before its own line, `rest` before those below.
fn branch(
    drawing: &Drawing<'_>,
    node: &str,
    parent: Option<&str>,
    first: &str,
    rest: &str,
    lines: &mut Vec<String>,
) {
    let Drawing { view, tree, ink } = *drawing;
    let children: Vec<&str> =
        tree.edges.iter().filter(|(from, _)| from == node).map(|(_, to)| to.as_str()).collect();
    let name = view.name(node);
    let used = first.chars().count() + 2 + name.chars().count();
    let gap = " ".repeat(LABEL_WIDTH.saturating_sub(used));
    let mut remarks = Vec::new();
    if let Some(rtt_ms) = parent.and_then(|parent| rtt_ms(view, parent, node)) {
        remarks.push(format!("{rtt_ms:.1} ms there and back"));
    }
    match children.len() {
        _ if parent.is_none() && tree.sources.len() == 1 => remarks.push("speaks".to_owned()),
        _ if parent.is_none() => remarks.push("hosts".to_owned()),
        0 => {}
        1 => remarks.push(format!("relays for {}", view.name(children[0]))),
        n => remarks.push(format!("relays for {n} below it")),
    }
    let line = format!("{first}{} {}{gap}", mark(view, node), ink.name(view, name, 0));
    lines.push(format!("{line}{}", ink.dim(&remarks.join(" · "))).trim_end().to_owned());
    for (i, child) in children.iter().enumerate() {
        let (turn, below) = if i + 1 == children.len() { ("└─", "  ") } else { ("├─", "│ ") };
        branch(drawing, child, Some(node), &format!("{rest}{turn}"), &format!("{rest}{below}"), lines);
    }
}

/// As either end measured it.
fn rtt_ms(view: &View, one: &str, other: &str) -> Option<f64> {
    let told = |here: &str, peer: &str| {
        view.people.iter().find(|person| person.node == here)?.links.get(peer)?.rtt_ms
    };
    told(other, one).or_else(|| told(one, other))
}

/// One line a speaker and a helper that relays.
pub(super) fn table(view: &View, plan: &Plan, ink: Ink) -> Vec<String> {
    let head = format!(
        " {:<9}{:<19}{:>8}{:>5}{:>7}{:>7}{:>6}{:>5}{:>12}",
        "", "hears", "packets", "lost", "jitter", "buffer", "path", "hops", "out/in"
    );
    let mut lines = vec![ink.dim(&head)];
    lines.extend(view.speakers().iter().map(|speaker| {
        let media = || speaker.media.values();
        let worst = |figure: fn(&super::view::Media) -> f64| media().map(figure).fold(0.0, f64::max);
        let (packets, lost) = (media().map(|m| m.packets).sum::<u64>(), media().map(|m| m.lost).sum::<u64>());
        let hops = media().map(|m| m.hops).max().unwrap_or(0);
        let lost = format!("{lost:>5}");
        format!(
            " {}{}{packets:>8}{}{:>7.1}{:>7.0}{:>6.1}{hops:>5}{:>12}",
            ink.name(view, speaker.name, 9),
            hears(view, speaker, ink),
            if lost.trim() == "0" { lost } else { ink.bad(&lost) },
            worst(|m| m.jitter_ms),
            worst(|m| m.buffer_ms),
            worst(|m| m.path_ms.unwrap_or(0.0)),
            links(speaker, plan),
        )
    }));
    let relays = view.helpers().iter().filter(|helper| plan.helpers.contains(&helper.node));
    lines.extend(relays.map(|helper| {
        let can = format!("{:<57}", "relays, and understands none of it");
        format!(" {}{}{:>12}", ink.name(view, helper.name, 9), ink.dim(&can), links(helper, plan))
    }));
    lines.push(ink.dim(" ms: jitter, buffer, path (the worst voice's); out/in: packets over the links"));
    lines
}

fn hears(view: &View, ear: &Person, ink: Ink) -> String {
    let slots = view.speakers().iter().map(|voice| {
        if ear.hears.contains(&voice.node) {
            ink.name(view, voice.name, 3)
        } else {
            ink.dim(if ear.node == voice.node { " - " } else { " · " })
        }
    });
    slots.collect::<Vec<_>>().join(" ")
}

/// Packets sent and received over a node's links of today.
fn links(person: &Person, plan: &Plan) -> String {
    let peers = plan.peers(&person.node);
    let links = || person.links.values().filter(|link| peers.contains(link.peer.as_str()));
    let (sent, received): (u64, u64) =
        (links().map(|link| link.sent).sum(), links().map(|link| link.received).sum());
    format!("{sent}/{received}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::view::{HOST, Told};
    use tokio::time::Instant;

    /// Everybody there, ada - helper-1 - (ben - dee, chi - eli).
    fn view() -> View {
        let (mut view, now) = (View::new(), Instant::now());
        for who in 0..view.people.len() {
            let node = view.people[who].name.to_uppercase();
            view.on_told(who, Told::Ready { node, listen: vec![] }, now);
        }
        let sources = view.speakers().iter().map(|person| person.node.clone()).collect();
        let edge = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        let edges =
            [("ADA", "HELPER-1"), ("HELPER-1", "BEN"), ("BEN", "DEE"), ("HELPER-1", "CHI"), ("CHI", "ELI")];
        let trees = vec![Tree { sources, edges: edges.map(edge).to_vec() }];
        let plan = Plan {
            epoch: 5,
            root: "ADA".to_owned(),
            trees,
            helpers: vec!["HELPER-1".to_owned()],
            worst_ms: 0.0,
        };
        for who in 0..view.speakers().len() {
            view.on_told(who, Told::Tree(plan.clone()), now);
        }
        view
    }

    #[test]
    fn the_tree_is_drawn_with_its_branches() {
        let view = view();
        let lines = tree(&view, view.plan().unwrap(), Ink { colours: false });
        let labels: Vec<String> = lines.iter().map(|line| line.chars().take(LABEL_WIDTH).collect()).collect();
        let labels: Vec<&str> = labels.iter().map(|label| label.trim_end()).collect();
        let drawn = [
            " ● ada",
            " └─◇ helper-1",
            "   ├─● ben",
            "   │ └─● dee",
            "   └─● chi",
            "     └─● eli",
            " ◇ helper-2, helper-3: n",
        ];
        assert_eq!(labels, drawn);
    }

    #[test]
    fn of_a_forest_the_longest_tree_is_drawn() {
        let mut view = view();
        let tree_of = |source: &str, edges: &[(&str, &str)]| Tree {
            sources: vec![source.to_owned()],
            edges: edges.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        };
        let trees = vec![
            tree_of("ADA", &[("ADA", "BEN"), ("ADA", "CHI"), ("ADA", "DEE"), ("ADA", "ELI")]),
            tree_of("BEN", &[("BEN", "CHI"), ("BEN", "HELPER-1"), ("HELPER-1", "ADA"), ("HELPER-1", "ELI")]),
        ];
        let plan = Plan { trees, worst_ms: 41.25, ..view.plan().unwrap().clone() };
        view.on_told(HOST, Told::Tree(plan), Instant::now());
        let lines = tree(&view, view.plan().unwrap(), Ink { colours: false });
        assert_eq!(lines[0], " 2 trees, one for each voice; worst pair 41.2 ms; the longest is ben's:");
        assert_eq!(lines[1], " ● ben                  speaks");
        assert_eq!(
            lines[2..6].iter().map(|line| line.trim_end()).collect::<Vec<_>>(),
            [" ├─● chi", " └─◇ helper-1           relays for 2 below it", "   ├─● ada", "   └─● eli",]
        );
    }

    #[test]
    fn it_fits_a_small_terminal() {
        let progress = Progress { doing: "12 of 12 s".to_owned(), done: 1.0, talking: true };
        let lines = picture(&view(), &progress, Ink { colours: false });
        assert!(lines.len() < 23, "{}", lines.len());
        for line in lines {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
