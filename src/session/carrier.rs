//! What a node carries: the epochs of every session that it is a member of or helps, and the forwarding table.
//!
//! A node carries only edges of an epoch that the session's task manager has signed. Epochs live side by side, told
//! apart by their trees' numbers: a new one is installed while the old one carries the media, then it is activated, and
//! the old one is kept for the packets still on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use alm_media::{ForwardingTable, LinkId, Route, TableError, TreeId, TreeLinks};

use super::keys::Signed;
use super::plan::{Installation, PlanDefect, SessionPlan};
use crate::identity::{NodeId, SessionId};
use crate::pool::Contact;

/// How long an epoch is still carried after its successor has been activated.
const DRAIN: Duration = Duration::from_secs(2);
/// How long neighbours may take to connect before the manager is told.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long an epoch may wait for its links and its activation.
const PENDING_MAX: Duration = Duration::from_secs(20);
/// Peers that a node has had tree links with, over its life.
const LINKS_KNOWN_MAX: usize = 65_536;

/// Why an installation is refused. The state is unchanged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InstallError {
    /// A signature is wrong, or the signer is not the manager of that session.
    #[error("the plan is not signed by the session's task manager")]
    Unsigned,
    /// The content cannot be read, or is for another node or session.
    #[error("the plan is malformed")]
    Malformed,
    /// An epoch that is not newer than what is installed.
    #[error("the plan is out of date")]
    OutOfDate,
    /// More links than were reserved.
    #[error("the plan asks for {asked} links where {held} are held")]
    TooManyLinks {
        /// By the plan.
        asked: u32,
        /// By the session, here.
        held: u32,
    },
    /// The whole plan is no set of trees, or the part is not the plan's.
    #[error("{0}")]
    Defective(#[from] PlanDefect),
    /// The forwarding table cannot take it.
    #[error("{0}")]
    Table(#[from] TableError),
}

/// What a node has to tell a manager about an epoch that it has taken up.
#[derive(Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Of which session.
    pub session: SessionId,
    /// Which.
    pub epoch: u64,
    /// Whom to tell.
    pub manager: NodeId,
    /// Neighbours that did not connect in time.
    pub missing: Vec<NodeId>,
}

/// An epoch that has been taken up.
#[derive(Debug)]
pub struct Installed {
    /// Of which session.
    pub session: SessionId,
    /// Which.
    pub epoch: u64,
    /// Neighbours that must be connected first.
    pub missing: Vec<Contact>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Carrier {
    table: ForwardingTable,
    epochs_taken: u64,
    link_of: BTreeMap<NodeId, LinkId>,
    node_of: Vec<NodeId>,
    carried: BTreeMap<SessionId, Vec<Epoch>>,
}

#[derive(Debug)]
struct Epoch {
    number: u64,
    term: u64,
    manager: NodeId,
    /// The forwarding table's name for it.
    handle: u64,
    trees: Vec<TreeId>,
    neighbours: BTreeSet<NodeId>,
    missing: BTreeSet<NodeId>,
    /// When to tell the manager who is still missing.
    report_at: Option<Instant>,
    plan: Option<SessionPlan>,
    active: bool,
    ends: Option<Instant>,
}

impl Carrier {
    /// Takes up this node's part of an epoch. `held` is what the session holds here, tree links; a member listens.
    ///
    /// # Errors
    /// When the installation is not to be trusted or cannot be carried.
    pub fn install(
        &mut self,
        signed: &Signed,
        me: NodeId,
        held: u32,
        is_member: bool,
        is_joined: impl Fn(NodeId) -> bool,
        now: Instant,
    ) -> Result<Installed, InstallError> {
        let session = signed.session().ok_or(InstallError::Unsigned)?;
        let content: Installation =
            postcard::from_bytes(&signed.content).map_err(|_| InstallError::Malformed)?;
        let Installation { epoch: number, trees, contacts, plan, .. } = content;
        if content.session != session || content.to != me || plan.is_some() != is_member {
            return Err(InstallError::Malformed);
        }
        let term = signed.delegation.term;
        let epochs = self.carried.entry(session).or_default();
        if epochs.iter().any(|known| (known.term, known.number) >= (term, number)) {
            return Err(InstallError::OutOfDate);
        }
        if let Some(plan) = &plan {
            plan.check()?;
            if plan.epoch != number || plan.parts_of(me) != trees {
                return Err(InstallError::Malformed);
            }
        }
        let asked = trees.iter().map(|part| part.neighbours().count() as u32).max().unwrap_or(0);
        if asked > held {
            return Err(InstallError::TooManyLinks { asked, held });
        }
        let neighbours: BTreeSet<NodeId> = trees.iter().flat_map(|part| part.neighbours()).collect();
        if neighbours.contains(&me) || self.node_of.len() + neighbours.len() > LINKS_KNOWN_MAX {
            return Err(InstallError::Malformed);
        }
        for neighbour in &neighbours {
            self.link_of.entry(*neighbour).or_insert_with(|| {
                self.node_of.push(*neighbour);
                LinkId(self.node_of.len() as u32 - 1)
            });
        }
        let links: Vec<TreeLinks> = trees
            .iter()
            .map(|part| TreeLinks {
                tree: TreeId(part.tree),
                links: part.neighbours().map(|node| self.link_of[&node]).collect(),
                shared: part.shared,
                parent: part.parent.map(|node| self.link_of[&node]),
                deliver: is_member,
            })
            .collect();
        self.table.install(self.epochs_taken, &links)?;
        let missing: BTreeSet<NodeId> = neighbours.iter().copied().filter(|node| !is_joined(*node)).collect();
        let wanted = contacts.into_iter().filter(|contact| missing.contains(&contact.node)).collect();
        let report_at = (!missing.is_empty()).then_some(now + CONNECT_TIMEOUT);
        epochs.push(Epoch {
            report_at,
            number,
            term,
            manager: signed.delegation.manager,
            handle: self.epochs_taken,
            trees: links.iter().map(|tree| tree.tree).collect(),
            neighbours,
            missing,
            plan,
            active: false,
            ends: Some(now + PENDING_MAX),
        });
        self.epochs_taken += 1;
        Ok(Installed { session, epoch: number, missing: wanted })
    }

    /// A peer is connected: the epochs that were waiting for it alone.
    pub fn on_joined(&mut self, peer: NodeId) -> Vec<Readiness> {
        let mut complete = Vec::new();
        for (session, epochs) in &mut self.carried {
            for epoch in epochs {
                if epoch.missing.remove(&peer) && epoch.missing.is_empty() && epoch.report_at.take().is_some()
                {
                    complete.push(epoch.readiness(*session));
                }
            }
        }
        complete
    }

    /// The manager has an epoch carry the media. The plan, when this node is told it and it is news.
    pub fn activate(
        &mut self,
        session: SessionId,
        number: u64,
        from: NodeId,
        now: Instant,
    ) -> Option<&SessionPlan> {
        let epochs = self.carried.get_mut(&session)?;
        let position = epochs.iter().position(|epoch| epoch.number == number && epoch.manager == from)?;
        if epochs[position].active || epochs.iter().any(|epoch| epoch.active && epoch.number > number) {
            return None;
        }
        for (i, epoch) in epochs.iter_mut().enumerate() {
            match i.cmp(&position) {
                std::cmp::Ordering::Less => {
                    epoch.ends = Some(epoch.ends.map_or(now + DRAIN, |ends| ends.min(now + DRAIN)));
                }
                std::cmp::Ordering::Equal => (epoch.active, epoch.ends) = (true, None),
                std::cmp::Ordering::Greater => {}
            }
        }
        epochs[position].plan.as_ref()
    }

    /// Forgets all epochs of a session.
    pub fn drop_session(&mut self, session: SessionId) {
        for epoch in self.carried.remove(&session).unwrap_or_default() {
            self.table.retire(epoch.handle);
        }
    }

    /// Forgets the epochs whose time is over; says which still wait for neighbours that should be there by now.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Readiness> {
        let mut late = Vec::new();
        for (session, epochs) in &mut self.carried {
            for over in epochs.extract_if(.., |epoch| epoch.ends.is_some_and(|ends| ends <= now)) {
                self.table.retire(over.handle);
            }
            for epoch in epochs.iter_mut().filter(|epoch| epoch.report_at.is_some_and(|at| at <= now)) {
                epoch.report_at = None;
                late.push(epoch.readiness(*session));
            }
        }
        self.carried.retain(|_, epochs| !epochs.is_empty());
        late
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let epochs = self.carried.values().flatten();
        epochs.flat_map(|epoch| [epoch.ends, epoch.report_at]).flatten().min()
    }

    /// Where a packet goes that came from `from` (`None`: from this node's own source).
    #[must_use]
    pub fn route(&self, tree: TreeId, from: Option<NodeId>) -> Option<Route<'_>> {
        let from = match from {
            Some(node) => Some(*self.link_of.get(&node)?),
            None => None,
        };
        self.table.route(tree, from)
    }

    /// The peer at the other end of a link of a [`Route`].
    #[must_use]
    pub fn peer(&self, link: LinkId) -> NodeId {
        self.node_of[link.0 as usize]
    }

    /// The trees along which this node's own media leaves now.
    #[must_use]
    pub fn own_trees(&self, session: SessionId) -> &[TreeId] {
        self.active(session).map_or(&[], |epoch| &epoch.trees)
    }

    /// The peers that carry the session's media to and from this node now.
    pub fn neighbours(&self, session: SessionId) -> impl Iterator<Item = NodeId> + '_ {
        self.active(session).into_iter().flat_map(|epoch| epoch.neighbours.iter().copied())
    }

    /// The plan that carries the media now.
    #[must_use]
    pub fn plan(&self, session: SessionId) -> Option<&SessionPlan> {
        self.active(session)?.plan.as_ref()
    }

    /// The sessions that this node carries anything for.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.carried.keys().copied()
    }

    fn active(&self, session: SessionId) -> Option<&Epoch> {
        self.carried.get(&session)?.iter().rev().find(|epoch| epoch.active)
    }
}

impl Epoch {
    fn readiness(&self, session: SessionId) -> Readiness {
        let missing = self.missing.iter().copied().collect();
        Readiness { session, epoch: self.number, manager: self.manager, missing }
    }
}
