//! An installed plan, as `alm plan --format json` printed it: what `--from` starts from.

use std::path::Path;

use alm_planner::{NodeIndex, Objective, OneWay, Plan, Tree, verify_tree};
use serde::Deserialize;

use super::error::CliError;
use super::input;

/// Of the contract's object, what a plan takes.
#[derive(Debug, Deserialize)]
struct Json {
    objective: Objective,
    root: NodeIndex,
    members: Vec<NodeIndex>,
    helpers: Vec<NodeIndex>,
    edges: Option<Vec<(NodeIndex, NodeIndex)>>,
    trees: Option<Vec<Tree>>,
    #[serde(default)]
    height_ms: f64,
    #[serde(default)]
    diameter_ms: f64,
}

/// Reads a plan over a matrix of so many nodes, to plan anew for `objective` from.
pub(super) fn read(path: &Path, nodes: usize, objective: Objective) -> Result<Plan, CliError> {
    let text = input::read(path)?;
    let place = path.display();
    let mut objects = serde_json::Deserializer::from_str(&text).into_iter::<Json>();
    let json = match objects.next() {
        Some(Ok(json)) => json,
        Some(Err(error)) => {
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default().to_owned();
            let place = format!("{place}:{}", error.line());
            return Err(CliError::wrong(format_args!("this is no plan ({what})"), place, PRINTED));
        }
        None => return Err(CliError::wrong("there is no plan in the file", place, PRINTED)),
    };
    if objects.next().is_some() {
        return Err(CliError::wrong("the file holds more than one plan", place, "keep one line of it"));
    }
    let plan = plan(json);
    if let Some(node) = outside(&plan, nodes) {
        let what = format!("node {node} of the plan is not in the matrix of {nodes} nodes");
        return Err(CliError::wrong(what, place, "give a plan that was made on the same nodes"));
    }
    if let Err(what) = check(&plan) {
        return Err(CliError::wrong(format_args!("this is no plan ({what})"), place, PRINTED));
    }
    if plan.objective == Objective::Forest && objective != Objective::Forest {
        let what = format!("the plan is a forest, which is no start for the objective {objective}");
        return Err(CliError::wrong(what, place, "use --objective forest"));
    }
    Ok(plan)
}

fn plan(json: Json) -> Plan {
    let Json { objective, root, members, helpers, edges, trees, height_ms, diameter_ms } = json;
    let sources = match objective {
        Objective::Height => vec![root],
        Objective::Diameter | Objective::Forest => members.clone(),
    };
    let trees = trees.or_else(|| Some(vec![Tree { sources, edges: edges? }])).unwrap_or_default();
    let time = |ms| OneWay::from_ms(ms).unwrap_or_default();
    Plan { objective, root, members, helpers, trees, height: time(height_ms), diameter: time(diameter_ms) }
}

fn outside(plan: &Plan, nodes: usize) -> Option<NodeIndex> {
    let linked = plan.trees.iter().flat_map(|tree| &tree.edges).flat_map(|&(a, b)| [a, b]);
    let named = [&plan.members, &plan.helpers].into_iter().flatten().copied();
    linked.chain(named).chain([plan.root]).find(|&node| node >= nodes)
}

/// Whether its trees are trees over its members and helpers.
fn check(plan: &Plan) -> Result<(), String> {
    if plan.trees.is_empty() {
        return Err("it has neither edges nor trees".to_owned());
    }
    for tree in &plan.trees {
        let root = match plan.objective {
            Objective::Height | Objective::Diameter => plan.root,
            Objective::Forest => *tree.sources.first().ok_or("a tree has no source")?,
        };
        // Several trees share the helpers out among them.
        let linked = tree.degrees();
        let helpers: Vec<_> =
            plan.helpers.iter().copied().filter(|helper| linked.contains_key(helper)).collect();
        verify_tree(root, &plan.members, &helpers, tree).map_err(|defect| defect.to_string())?;
    }
    Ok(())
}

const PRINTED: &str = "give what `alm plan --format json` printed";
