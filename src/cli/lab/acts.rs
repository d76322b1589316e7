//! What the script's steps do.

use std::time::Duration;

use super::node::{LabNode, now};
use super::plans::{backup_of, busiest_link, dependants};
use super::script::{Act, Link, Step, Who};
use super::{CliError, Lab};
use crate::event::Plan;
use crate::identity::SessionId;
use crate::live::Command;
use crate::net::emulated::PathProfile;
use crate::pool::{Priority, Reservation};
use crate::session::Moderation;

/// The two parts of a divided network.
const OTHERS: usize = 0;
const SIDE: usize = 1;
/// The conference that takes helpers away, and for how long.
const RIVAL: [u8; 20] = [0x52; 20];
const LEASE_MS: u32 = 60_000;

impl Lab<'_> {
    /// Does what a step says, now.
    pub(super) async fn act(&mut self, step: &Step) -> Result<(), CliError> {
        let mut whom = Vec::new();
        match &step.act {
            Act::Kill(all) => {
                for who in all {
                    let node = self.find(who, whom.last().copied(), step)?;
                    whom.push(node);
                }
                for &node in &whom {
                    // Its socket first: a process that is killed says nothing more.
                    let site = self.nodes[node].site;
                    self.common.network.with_core(|core| core.set_alive(site, false));
                    self.nodes[node].kill();
                }
            }
            Act::Join(count) => {
                for _ in 0..*count {
                    let number = self.members().count();
                    self.join(number).await?;
                }
            }
            Act::Leave(who) => {
                whom.push(self.find(who, None, step)?);
                self.nodes[whom[0]].leave();
            }
            Act::Kick(who) => {
                let (host, node) = (self.find(&Who::Host, None, step)?, self.find(who, None, step)?);
                whom.push(node);
                let kick = Moderation::Kick(self.nodes[node].node);
                self.nodes[host].command(Command::Moderate(kick));
                self.nodes[node].ended = Some(now());
                self.kicked.push((now(), node));
            }
            Act::Preempt(who) => {
                let helper = self.find(who, None, step)?;
                whom.push(helper);
                self.preempt(helper, step)?;
            }
            Act::Loss(share) => {
                self.loss = *share;
                self.common.network.with_core(|core| core.set_loss(*share));
            }
            Act::Part(all) => {
                for who in all {
                    whom.push(self.find(who, None, step)?);
                }
                self.part(&whom);
            }
            Act::PartShare(share) => {
                let members: Vec<usize> = self.alive(true);
                let count = (members.len() as f64 * share).round() as usize;
                let side = members[members.len() - count.min(members.len() - 1)..].to_vec();
                self.part(&side);
            }
            Act::Heal => {
                self.common.network.with_core(|core| {
                    (0..core.nodes()).for_each(|site| core.set_part(site, OTHERS));
                });
                if let Some((_, until @ None)) = self.apart.last_mut() {
                    *until = Some(now());
                    self.healed.push(None);
                }
            }
            Act::Spoil(link, loss, delay) => {
                whom = match link {
                    Link::Busiest => self.busiest_link(step)?.to_vec(),
                    Link::Between(one, other) => {
                        vec![self.find(one, None, step)?, self.find(other, None, step)?]
                    }
                };
                let [a, b] = [self.nodes[whom[0]].site, self.nodes[whom[1]].site];
                self.spoiled.push((a, b));
                self.set_path(a, b, self.loss.max(*loss), *delay);
            }
            Act::Clear => {
                for (a, b) in std::mem::take(&mut self.spoiled) {
                    self.set_path(a, b, self.loss, Duration::ZERO);
                }
            }
            Act::Cut(who) | Act::Mend(who) => {
                whom.push(self.find(who, None, step)?);
                let (site, up) = (self.nodes[whom[0]].site, matches!(step.act, Act::Mend(_)));
                self.common.network.with_core(|core| core.set_alive(site, up));
            }
        }
        let names: Vec<&str> = whom.iter().map(|node| self.nodes[*node].name.as_str()).collect();
        let said = |name: &&str| step.text.split_whitespace().any(|word| word == *name);
        let text = if names.iter().all(said) {
            step.text.clone()
        } else {
            format!("{} ({})", step.text, names.join(", "))
        };
        self.done.push((now(), text));
        Ok(())
    }

    fn part(&mut self, side: &[usize]) {
        let sites: Vec<usize> = side.iter().map(|node| self.nodes[*node].site).collect();
        self.common.network.with_core(|core| {
            sites.iter().for_each(|site| core.set_part(*site, SIDE));
        });
        self.apart.push((now(), None));
    }

    /// A conference of higher priority wants all links of a helper; one of its neighbours says so.
    fn preempt(&self, helper: usize, step: &Step) -> Result<(), CliError> {
        let id = &self.nodes[helper].id;
        let edges = self.plan().into_iter().flat_map(|plan| plan.trees).flat_map(|tree| tree.edges);
        let others = edges.filter_map(|(a, b)| if a == *id { Some(b) } else { (b == *id).then_some(a) });
        let mut others = others.filter_map(|other| self.by_id(&other));
        let by = others.find(|other| self.nodes[*other].is_alive() && self.nodes[*other].voice.is_some());
        let lends = self.nodes[helper].voice.is_none();
        let by = by.filter(|_| lends).ok_or_else(|| {
            let what = format!("{} is no helper of the plan then", self.nodes[helper].name);
            CliError::failed(what, format_args!("{} at {:?}", step.text, step.at), "write preempt helper")
        })?;
        let degrees = self.job.degrees[self.job.members + helper].0;
        let (priority, session) = (Priority::OWN, SessionId(RIVAL));
        let wanted = Reservation { request: 0, session, priority, degrees, lease_ms: LEASE_MS, grant: None };
        self.nodes[by].command(Command::Reserve(self.nodes[helper].node, wanted));
        Ok(())
    }

    /// How the path between two sites is from now on, both ways.
    fn set_path(&self, a: usize, b: usize, loss: f64, delay: Duration) {
        for (from, to) in [(a, b), (b, a)] {
            let path = self.sites.path(from, to, self.job.args.jitter, loss);
            let path = PathProfile { one_way: path.one_way + delay, ..path };
            self.common.network.with_core(|core| core.set_path(from, to, path));
        }
    }

    /// The ends of the link by which most hear those who talk.
    fn busiest_link(&self, step: &Step) -> Result<[usize; 2], CliError> {
        let link = self.plan().and_then(|plan| busiest_link(&plan, |id| self.talks(id)));
        let ends = link.and_then(|(a, b)| Some([self.by_id(&a)?, self.by_id(&b)?]));
        let what = "no link of the plan leads to anybody";
        ends.ok_or_else(|| CliError::failed(what, format_args!("{} at {:?}", step.text, step.at), ""))
    }

    fn talks(&self, id: &str) -> bool {
        let voice = self.by_id(id).and_then(|node| self.nodes[node].voice);
        voice.is_some_and(|voice| voice < self.common.voices)
    }

    fn alive(&self, members: bool) -> Vec<usize> {
        let fits = |node: &LabNode| node.is_alive() && (node.voice.is_some() == members);
        (0..self.nodes.len()).filter(|node| fits(&self.nodes[*node])).collect()
    }

    /// The plan that most recently came to a living member.
    pub(super) fn plan(&self) -> Option<Plan> {
        let plans = self.members().filter(|member| member.is_alive()).filter_map(|member| {
            let notes = member.notes();
            Some((notes.epochs.last()?.0, notes.conference.plan.clone()?))
        });
        plans.max_by_key(|(at, plan)| (*at, plan.epoch)).map(|(_, plan)| plan)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// Whom a step means, as things stand.
    fn find(&self, who: &Who, before: Option<usize>, step: &Step) -> Result<usize, CliError> {
        let plan = self.plan();
        let plan = plan.as_ref();
        let relay = |members: bool| {
            let plan = plan?;
            let relays = dependants(plan, |id| self.talks(id)).into_iter().filter(|(id, _)| *id != plan.root);
            let known = relays.filter_map(|(id, count)| Some((self.by_id(&id)?, count)));
            let fits = |node: &LabNode| node.is_alive() && node.voice.is_some() == members;
            let fitting = known.filter(|(node, _)| fits(&self.nodes[*node]));
            fitting.max_by_key(|(_, count)| *count).map(|(node, _)| node)
        };
        let found = match who {
            Who::Relay => relay(true),
            Who::Helper => relay(false),
            Who::Host => plan.and_then(|plan| self.by_id(&plan.root)),
            Who::Backup => {
                let dead = before.or_else(|| relay(true)).map(|node| self.nodes[node].id.clone());
                dead.and_then(|dead| self.by_id(&backup_of(plan?, &dead)?))
            }
            Who::Named(name) => self.nodes.iter().position(|node| node.name == *name),
        };
        found.filter(|node| self.nodes[*node].is_alive()).ok_or_else(|| {
            let what = match who {
                Who::Named(name) => format!("there is no {name} then"),
                _ => "there is nobody of that kind then".to_owned(),
            };
            CliError::failed(what, format_args!("{} at {:?}", step.text, step.at), "name one by m3 or h2")
        })
    }
}
