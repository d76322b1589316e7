//! A plan on paper: JSON for programs, a tree for people, a graph for graphviz.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use alm_planner::{
    Algorithm, Backups, Moves, NodeIndex, Objective, OneWay, Plan, PlanError, Problem, Tree, degree_excess,
    later_pair_latencies, pair_latencies, tree_values,
};
use serde::Serialize;

use super::plan::Format;
use super::plan_svg;
use super::planning::ProbeCount;

/// What one algorithm answered, and how long it took.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) algorithm: Algorithm,
    pub(super) plan: Plan,
    pub(super) elapsed: Duration,
    pub(super) count: Option<ProbeCount>,
    /// Only where it was planned from an installed plan.
    pub(super) moves: Option<Moves>,
    pub(super) backups: Option<AnyBackups>,
}

/// Where every node goes when its parent dies.
#[derive(Debug)]
pub(super) enum AnyBackups {
    /// In the one tree.
    Tree(Backups),
    /// In each tree of a forest: (node, backup parent).
    Forest(Vec<Vec<(NodeIndex, NodeIndex)>>),
}

/// Writes the answer in `format`, ending with a line break.
pub(super) fn write(
    format: Format,
    problem: &Problem,
    answer: &Answer,
    bound: OneWay,
    seed: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Json => write_json(problem, answer, bound, seed, out),
        Format::Text => write_text(problem, answer, bound, out),
        Format::Dot => write_dot(problem, answer, out),
        Format::Svg => {
            let title = format!("{}, {}", answer.algorithm, parties(&answer.plan));
            out.write_all(
                plan_svg::chart(problem, &answer.plan, &title, &figures(problem, &answer.plan)).as_bytes(),
            )
        }
    }
}

/// The contract's object.
#[derive(Serialize)]
struct Json<'a> {
    algorithm: Algorithm,
    objective: Objective,
    root: NodeIndex,
    members: &'a [NodeIndex],
    helpers: &'a [NodeIndex],
    /// Of the one tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    edges: Option<&'a [(NodeIndex, NodeIndex)]>,
    /// Several trees.
    #[serde(skip_serializing_if = "Option::is_none")]
    trees: Option<&'a [Tree]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worst_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_ms: Option<f64>,
    /// Of two trees that protect each other: what the objective comes to along either, and the pairs by the later copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    trees_ms: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    later_worst_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    later_mean_ms: Option<f64>,
    /// Of a forest.
    #[serde(skip_serializing_if = "Option::is_none")]
    speakers: Option<u32>,
    height_ms: f64,
    diameter_ms: f64,
    lower_bound_ms: f64,
    /// Links too many at the most overloaded node (in a forest, copies), for those algorithms that may have any.
    #[serde(skip_serializing_if = "Option::is_none")]
    degree_excess: Option<u32>,
    /// Links that were probed for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    probes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe_rounds: Option<usize>,
    /// Of a plan made from an installed one: links that it moved, those it kept, and nodes that came and went.
    #[serde(skip_serializing_if = "Option::is_none")]
    moves: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links_kept: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes_came: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes_gone: Option<usize>,
    /// [node, its backup parent].
    #[serde(skip_serializing_if = "Option::is_none")]
    backups: Option<&'a [(NodeIndex, NodeIndex)]>,
    /// The same for each tree of a forest, in the order of `trees`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tree_backups: Option<&'a [Vec<(NodeIndex, NodeIndex)>]>,
    /// The child of the root that takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    heir: Option<NodeIndex>,
    elapsed_us: u64,
    seed: u64,
}

fn write_json(
    problem: &Problem,
    answer: &Answer,
    bound: OneWay,
    seed: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    let plan = &answer.plan;
    let forest = plan.objective == Objective::Forest;
    let one = if let ([tree], false) = (plan.trees.as_slice(), forest) { Some(tree) } else { None };
    let (worst, mean) = pair_latencies(problem, plan);
    let protected = problem.is_protected();
    let (later_worst, later_mean) = later_pair_latencies(problem, plan);
    let tree_backups = match &answer.backups {
        Some(AnyBackups::Tree(backups)) => Some(backups),
        _ => None,
    };
    let json = Json {
        algorithm: answer.algorithm,
        objective: plan.objective,
        root: plan.root,
        members: &plan.members,
        helpers: &plan.helpers,
        edges: one.map(|tree| tree.edges.as_slice()),
        trees: one.is_none().then_some(plan.trees.as_slice()),
        worst_ms: one.is_none().then(|| round(worst.ms())),
        mean_ms: one.is_none().then(|| round(mean.ms())),
        trees_ms: protected.then(|| values(problem, plan)),
        later_worst_ms: protected.then(|| round(later_worst.ms())),
        later_mean_ms: protected.then(|| round(later_mean.ms())),
        speakers: forest.then(|| problem.speakers()),
        height_ms: round(plan.height.ms()),
        diameter_ms: round(plan.diameter.ms()),
        // Downwards, so that it stays a bound.
        lower_bound_ms: (bound.ms() * 1000.0).floor() / 1000.0,
        degree_excess: answer.algorithm.may_exceed_degrees().then(|| degree_excess(problem, plan)),
        probes: answer.count.map(|count| count.probes),
        probe_rounds: answer.count.map(|count| count.rounds),
        moves: answer.moves.map(|moves| moves.moved),
        links_kept: answer.moves.map(|moves| moves.kept),
        nodes_came: answer.moves.map(|moves| moves.came),
        nodes_gone: answer.moves.map(|moves| moves.gone),
        backups: tree_backups.map(|backups| backups.pairs.as_slice()),
        tree_backups: match &answer.backups {
            Some(AnyBackups::Forest(trees)) => Some(trees),
            _ => None,
        },
        heir: tree_backups.and_then(|backups| backups.heir),
        elapsed_us: u64::try_from(answer.elapsed.as_micros()).unwrap_or(u64::MAX),
        seed,
    };
    serde_json::to_writer(&mut *out, &json)?;
    writeln!(out)
}

/// What to do about a session that has no plan.
pub(super) fn todo(error: &PlanError) -> &'static str {
    match error {
        PlanError::TooManyNodes { .. } => "plan fewer members, or draw helpers with --helpers random:4",
        PlanError::DirectionsDiffer(_) => "leave --directed out",
        PlanError::Unsupported(_, Objective::Forest) => "use --algorithm best",
        PlanError::Unprotected(_) => "use an algorithm that keeps degrees, such as best",
        PlanError::DegreesTooSmallForTwo { .. } | PlanError::NoSecondTree(_) | PlanError::TooFewRelays => {
            "raise --degrees, allow more --helpers, or leave --protect out"
        }
        PlanError::Unsupported(..) => "use another --objective",
        _ => "raise --degrees or allow --helpers",
    }
}

fn values(problem: &Problem, plan: &Plan) -> Vec<f64> {
    tree_values(problem, plan).into_iter().map(|value| round(value.ms())).collect()
}

/// Microseconds are finer than any measurement.
fn round(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

fn write_text(problem: &Problem, answer: &Answer, bound: OneWay, out: &mut dyn Write) -> io::Result<()> {
    let plan = &answer.plan;
    let (named, reached) = match plan.objective {
        Objective::Height => ("height", plan.height),
        Objective::Diameter => ("diameter", plan.diameter),
        Objective::Forest => ("worst pair", plan.diameter),
    };
    for tree in &plan.trees {
        let (top, is) = match plan.objective {
            Objective::Height | Objective::Diameter => (plan.root, "root"),
            Objective::Forest => (tree.sources[0], "source"),
        };
        writeln!(out, "{top} ({is})")?;
        Branches::new(problem, plan, tree).write_below(top, 0.0, "", out)?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "{}: {}, {}, planned in {:.1} ms",
        answer.algorithm,
        parties(plan),
        figures(problem, plan),
        answer.elapsed.as_secs_f64() * 1000.0,
    )?;
    if problem.is_protected() {
        let other = values(problem, plan).into_iter().fold(0.0, f64::max);
        writeln!(out, "the {named} is {reached} along the better tree, {other:.1} ms along the other")?;
    }
    if let Some(ProbeCount { probes, rounds }) = answer.count {
        writeln!(out, "{} probed in {}", count(probes, "planned link"), count(rounds, "round"))?;
    }
    if let Some(Moves { kept, moved, came, gone }) = answer.moves {
        let (kept, moved) = (count(kept, "link"), count(moved, "link"));
        writeln!(
            out,
            "{kept} kept, {moved} moved; {} came, {} gone",
            count(came, "node"),
            count(gone, "node")
        )?;
    }
    match &answer.backups {
        Some(AnyBackups::Tree(backups)) => write_backups(backups, out)?,
        Some(AnyBackups::Forest(trees)) => {
            for (tree, pairs) in plan.trees.iter().zip(trees) {
                writeln!(out, "in the tree of {}: {}", tree.sources[0], backup_parents(pairs))?;
            }
        }
        None => {}
    }
    let excess = degree_excess(problem, plan);
    if excess > 0 {
        let what = match (plan.objective, excess) {
            (Objective::Forest, 1) => "1 copy".to_owned(),
            (Objective::Forest, _) => format!("{excess} copies"),
            _ => count(excess as usize, "link"),
        };
        writeln!(out, "it takes {what} more at one node than that can carry")?;
    }
    let percent = (reached.ms() / bound.ms() - 1.0) * 100.0;
    let verdict = if percent >= 0.5 { format!("is {percent:.0} % above") } else { "reaches it".to_owned() };
    writeln!(out, "no plan has a {named} below {bound}; this one {verdict}")
}

/// Who goes where when its parent dies.
fn write_backups(backups: &Backups, out: &mut dyn Write) -> io::Result<()> {
    if backups.pairs.is_empty() {
        return writeln!(out, "there is no room for a backup parent");
    }
    writeln!(out, "{}", backup_parents(&backups.pairs))?;
    backups.heir.map_or(Ok(()), |heir| writeln!(out, "when the root dies, {heir} takes its place"))
}

fn backup_parents(pairs: &[(NodeIndex, NodeIndex)]) -> String {
    if pairs.is_empty() {
        return "no backup parents".to_owned();
    }
    let pairs: Vec<String> = pairs.iter().map(|(node, to)| format!("{node} goes to {to}")).collect();
    format!("backup parents: {}", pairs.join(", "))
}

fn parties(plan: &Plan) -> String {
    format!("{}, {}", count(plan.members.len(), "member"), count(plan.helpers.len(), "helper"))
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A tree by parent, to be drawn.
struct Branches<'a> {
    problem: &'a Problem,
    plan: &'a Plan,
    children: BTreeMap<NodeIndex, Vec<NodeIndex>>,
}

impl<'a> Branches<'a> {
    fn new(problem: &'a Problem, plan: &'a Plan, tree: &Tree) -> Self {
        let mut children: BTreeMap<NodeIndex, Vec<NodeIndex>> = BTreeMap::new();
        for &(parent, child) in &tree.edges {
            children.entry(parent).or_default().push(child);
        }
        Self { problem, plan, children }
    }

    /// One line a node: its number, the latency of its link and from the root, and whether it is a helper. Walks with
    /// a stack of its own, because a chain of thousands of nodes is a tree too.
    fn write_below(&self, root: NodeIndex, at: f64, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        let mut open = self.lines_below(root, at, indent);
        while let Some(Line { node, above, indent, last, parent }) = open.pop() {
            let link = self.problem.latency().one_way(parent, node);
            let reached = above + link.ms();
            let bend = if last { "└── " } else { "├── " };
            let helper = if self.plan.helpers.contains(&node) { "  helper" } else { "" };
            writeln!(out, "{indent}{bend}{node}  +{link}, at {reached:.1} ms{helper}")?;
            let deeper = format!("{indent}{}", if last { "    " } else { "│   " });
            open.extend(self.lines_below(node, reached, &deeper));
        }
        Ok(())
    }

    /// The lines directly below a node, the first one last.
    fn lines_below(&self, parent: NodeIndex, above: f64, indent: &str) -> Vec<Line> {
        let children = self.children.get(&parent).map_or(&[][..], Vec::as_slice);
        let mut lines: Vec<Line> = (children.iter().enumerate())
            .map(|(at, &node)| Line {
                node,
                parent,
                above,
                indent: indent.to_owned(),
                last: at + 1 == children.len(),
            })
            .collect();
        lines.reverse();
        lines
    }
}

struct Line {
    node: NodeIndex,
    parent: NodeIndex,
    above: f64,
    indent: String,
    last: bool,
}

fn figures(problem: &Problem, plan: &Plan) -> String {
    match plan.objective {
        Objective::Height | Objective::Diameter => {
            format!("height {}, diameter {}", plan.height, plan.diameter)
        }
        Objective::Forest => {
            let (worst, mean) = pair_latencies(problem, plan);
            format!("worst pair {worst}, mean pair {mean}")
        }
    }
}

fn write_dot(problem: &Problem, answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
    let plan = &answer.plan;
    writeln!(out, "digraph \"{}\" {{", answer.algorithm)?;
    writeln!(out, "  label=\"{}: {}\";", answer.algorithm, figures(problem, plan))?;
    writeln!(out, "  node [shape=circle];")?;
    if plan.objective == Objective::Forest {
        plan.trees.iter().try_for_each(|tree| write_dot_tree(problem, plan, tree, out))?;
        return writeln!(out, "}}");
    }
    writeln!(out, "  {} [shape=doublecircle];", plan.root)?;
    for helper in &plan.helpers {
        writeln!(out, "  {helper} [shape=box];")?;
    }
    for (at, tree) in plan.trees.iter().enumerate() {
        let style = if at == 0 { "" } else { " style=dashed" };
        for &(parent, child) in &tree.edges {
            let link = problem.latency().one_way(parent, child);
            writeln!(out, "  {parent} -> {child} [label=\"{link}\"{style}];")?;
        }
    }
    writeln!(out, "}}")
}

/// One tree of a forest, in a frame of its own. Its nodes are named by the source too, because each is in every tree.
fn write_dot_tree(problem: &Problem, plan: &Plan, tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let source = tree.sources[0];
    writeln!(out, "  subgraph cluster_{source} {{")?;
    writeln!(out, "    label=\"from {source}\";")?;
    writeln!(out, "    \"{source}:{source}\" [label=\"{source}\" shape=doublecircle];")?;
    for &(parent, child) in &tree.edges {
        let shape = if plan.helpers.binary_search(&child).is_ok() { " shape=box" } else { "" };
        writeln!(out, "    \"{source}:{child}\" [label=\"{child}\"{shape}];")?;
        let link = problem.latency().one_way(parent, child);
        writeln!(out, "    \"{source}:{parent}\" -> \"{source}:{child}\" [label=\"{link}\"];")?;
    }
    writeln!(out, "  }}")
}
