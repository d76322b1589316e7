//! What a node carries: the epochs of every session that it is a member of or helps, and the forwarding table.
//!
//! A node carries only edges of an epoch that the session's task manager has signed. Epochs live side by side, told
//! apart by their trees' numbers: a new one is installed while the old one carries the media, then it is activated, and
//! the old one is kept for the packets still on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alm_media::{TableError, TreeId, TreeLinks};

use super::feeds::{CarriedTree, Repeats};
use super::graft::{Graft, Grown};
use super::keys::{Delegation, Signed};
use super::overlap::{OVERLAP, lingering};
use super::plan::{Installation, PlanDefect, SessionPlan, Share, TreePart, budget_bps, degrees_of};
use super::routes::Routes;
use crate::identity::{NodeId, SessionId};
use crate::net::Budget;

/// How long an epoch is still carried after its successor has been activated.
const DRAIN: Duration = Duration::from_secs(2);
/// How long a session that has lost its degrees here is still carried: for its manager to plan without this node, install
/// that, and have voices go along both ways for a while. What the machine sends in all stays bounded meanwhile.
const NOTICE: Duration = Duration::from_secs(5);
/// How long neighbours may take to connect before the manager is told.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long an epoch may wait for its links and its activation.
const PENDING_MAX: Duration = Duration::from_secs(20);
/// Epochs of one session side by side: the active one, its successor, and those that drain.
const EPOCHS_PER_SESSION_MAX: usize = 6;
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
    /// A change of a plan that is not here.
    #[error("the plan that this one differs from is not here")]
    NoBase,
    /// An epoch that is not newer than what is installed.
    #[error("the plan is out of date")]
    OutOfDate,
    /// The session changes its plan faster than packets leave the old one.
    #[error("more than {EPOCHS_PER_SESSION_MAX} plans of one session at once")]
    TooManyEpochs,
    /// More degrees than were reserved.
    #[error("the plan asks for {asked} degrees where {held} are held")]
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
    /// Nodes to be connected to, or to stay so: neighbours, and those that may become neighbours when others die.
    pub wanted: Vec<NodeId>,
    /// Some of them are neighbours: their connections come first.
    pub waits: bool,
    /// No epoch of its own: what carries the media has a leaf more.
    pub is_graft: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Carrier {
    /// Copied before it is changed while somebody else still reads it.
    pub(super) routes: Arc<Routes>,
    epochs_taken: u64,
    budgets: BTreeMap<SessionId, Arc<Budget>>,
    /// Sessions that hold nothing here any more, and until when they are carried.
    notices: BTreeMap<SessionId, Instant>,
    pub(super) carried: BTreeMap<SessionId, Vec<Epoch>>,
    /// What came lately by links that are not the plan's.
    pub(super) repeats: Repeats,
}

#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) number: u64,
    term: u64,
    pub(super) manager: NodeId,
    delegation: Delegation,
    /// The forwarding table's name for it.
    handle: u64,
    pub(super) trees: Vec<CarriedTree>,
    /// This node listens.
    pub(super) deliver: bool,
    /// Degrees that the session holds here.
    pub(super) held: u32,
    neighbours: BTreeSet<NodeId>,
    missing: BTreeSet<NodeId>,
    /// When to tell the manager who is still missing.
    report_at: Option<Instant>,
    plan: Option<Grown>,
    /// Trees along which own media still goes after the epoch has been replaced, and until when.
    lingering: Option<(Instant, Vec<TreeId>)>,
    pub(super) stage: Stage,
}

/// An epoch's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Taken up; forgotten at that time unless it is activated.
    Pending(Instant),
    /// Own media goes along its trees.
    Active,
    /// Kept for packets on their way until that time.
    Draining(Instant),
}

impl Stage {
    fn ends(self) -> Option<Instant> {
        match self {
            Self::Pending(at) | Self::Draining(at) => Some(at),
            Self::Active => None,
        }
    }
}

impl Carrier {
    /// Takes up this node's part of an epoch. `held` is what the session holds here, degrees; a member listens.
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
        let Installation { session: of, epoch: number, share } = content;
        let is_mine = match &share {
            Share::Part { to, .. } => *to == me && !is_member,
            Share::Plan(..) | Share::Graft(_) => is_member,
        };
        if of != session || !is_mine {
            return Err(InstallError::Malformed);
        }
        let term = signed.delegation.term;
        let share = match share {
            Share::Graft(graft) => return self.graft((session, number), graft, signed, me),
            other => other,
        };
        let epochs = self.carried.entry(session).or_default();
        // As delegations supersede each other: two sides of a cut may have had managers of the same term.
        let word = (term, signed.delegation.manager, number);
        if epochs.iter().any(|known| (known.term, known.manager, known.number) >= word) {
            return Err(InstallError::OutOfDate);
        }
        let carried = epochs.iter().filter_map(|epoch| epoch.plan.as_ref().map(Grown::told));
        let (trees, plan) = match share {
            Share::Part { trees, .. } => (trees, None),
            Share::Plan(news, grafts) => {
                let plan = Grown::new(news.read(carried).ok_or(InstallError::NoBase)?, grafts)?;
                if plan.told().epoch != number {
                    return Err(InstallError::Malformed);
                }
                (plan.plan().parts_of(me), Some(plan))
            }
            Share::Graft(_) => return Err(InstallError::Malformed),
        };
        let asked = degrees_of(&trees);
        if asked > held {
            return Err(InstallError::TooManyLinks { asked, held });
        }
        let neighbours: BTreeSet<NodeId> = trees.iter().flat_map(|part| part.neighbours()).collect();
        let mut met = neighbours.clone();
        met.extend(trees.iter().flat_map(|part| part.reserves()));
        if met.contains(&me) || self.routes.links_known() + met.len() > LINKS_KNOWN_MAX {
            return Err(InstallError::Malformed);
        }
        let routes = Arc::make_mut(&mut self.routes);
        for neighbour in &met {
            routes.link_to(*neighbour);
        }
        let trees: Vec<CarriedTree> = trees.into_iter().map(CarriedTree::new).collect();
        let links: Vec<TreeLinks> = trees.iter().map(|tree| tree.links(routes, is_member)).collect();
        if epochs.len() >= EPOCHS_PER_SESSION_MAX {
            // Many have come or gone at once: what has been replaced longest makes room before its time.
            let drains = |epoch: &Epoch| matches!(epoch.stage, Stage::Draining(_));
            let oldest = epochs.iter().position(drains).ok_or(InstallError::TooManyEpochs)?;
            epochs.remove(oldest).retire(routes, &mut self.repeats);
        }
        routes.table.install(self.epochs_taken, &links)?;
        let rate_bps = budget_bps(held);
        let budget = self.budgets.entry(session).or_insert_with(|| Arc::new(Budget::new(rate_bps, now)));
        budget.set_rate(rate_bps);
        routes.charge(&links, budget);
        // The manager has given up what it did not activate before it went on to this one.
        for abandoned in epochs.extract_if(.., |epoch| matches!(epoch.stage, Stage::Pending(_))) {
            abandoned.retire(routes, &mut self.repeats);
        }
        let missing: BTreeSet<NodeId> = neighbours.iter().copied().filter(|node| !is_joined(*node)).collect();
        let wanted = met.into_iter().collect();
        let waits = !missing.is_empty();
        let report_at = waits.then_some(now + CONNECT_TIMEOUT);
        epochs.push(Epoch {
            report_at,
            number,
            term,
            manager: signed.delegation.manager,
            delegation: signed.delegation.clone(),
            handle: self.epochs_taken,
            trees,
            deliver: is_member,
            held,
            neighbours,
            missing,
            plan,
            lingering: None,
            stage: Stage::Pending(now + PENDING_MAX),
        });
        self.epochs_taken += 1;
        self.notices.remove(&session);
        Ok(Installed { session, epoch: number, wanted, waits, is_graft: false })
    }

    /// Has an epoch that is here carry one more leaf.
    fn graft(
        &mut self,
        (session, number): (SessionId, u64),
        graft: Graft,
        signed: &Signed,
        me: NodeId,
    ) -> Result<Installed, InstallError> {
        let word = (signed.delegation.term, signed.delegation.manager, number);
        let is_it = |epoch: &&mut Epoch| (epoch.term, epoch.manager, epoch.number) == word;
        let epochs = self.carried.get_mut(&session).into_iter().flatten();
        let epoch = epochs.filter(is_it).last().ok_or(InstallError::NoBase)?;
        let plan = epoch.plan.as_mut().ok_or(InstallError::NoBase)?;
        if plan.grafts().contains(&graft) {
            return Err(InstallError::OutOfDate);
        }
        let whole = plan.with(graft)?;
        let parts = whole.parts_of(me);
        let asked = degrees_of(&parts);
        if asked > epoch.held {
            return Err(InstallError::TooManyLinks { asked, held: epoch.held });
        }
        let met: BTreeSet<NodeId> =
            parts.iter().flat_map(|part| part.neighbours().chain(part.reserves())).collect();
        // A graft is no way into a tree for who is not in it.
        let is_known = |part: &TreePart| epoch.trees.iter().any(|tree| tree.part.tree == part.tree);
        let many = self.routes.links_known() + met.len() > LINKS_KNOWN_MAX;
        if met.contains(&me) || many || !parts.iter().all(is_known) {
            return Err(InstallError::Malformed);
        }
        let routes = Arc::make_mut(&mut self.routes);
        for node in &met {
            routes.link_to(*node);
        }
        epoch.neighbours = parts.iter().flat_map(|part| part.neighbours()).collect();
        for part in parts {
            for tree in epoch.trees.iter_mut().filter(|tree| tree.part.tree == part.tree) {
                tree.part = part.clone();
                let links = tree.links(routes, epoch.deliver);
                routes.table.amend(&links);
            }
        }
        plan.add(graft, whole);
        let wanted = met.into_iter().collect();
        Ok(Installed { session, epoch: number, wanted, waits: false, is_graft: true })
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
        if !matches!(epochs[position].stage, Stage::Pending(_)) {
            return None;
        }
        if let Some(before) = epochs.iter().position(|epoch| epoch.stage == Stage::Active) {
            epochs[before].stage = Stage::Draining(now + DRAIN);
            if let (Some(old), Some(new)) = (&epochs[before].plan, &epochs[position].plan) {
                let uses =
                    |tree| [before, position].iter().any(|at| epochs[*at].own_trees().any(|own| own == tree));
                let lingering = (now + OVERLAP, lingering(old.plan(), new.plan(), uses));
                epochs[before].lingering = Some(lingering);
            }
            // Changes are told of the new one from now on.
            epochs[before].plan = None;
        }
        epochs[position].stage = Stage::Active;
        epochs[position].plan.as_ref().map(Grown::plan)
    }

    /// A session holds nothing here any more: it is forgotten when its manager has had time to do without.
    pub fn give_notice(&mut self, session: SessionId, now: Instant) {
        if self.carried.contains_key(&session) {
            self.notices.entry(session).or_insert(now + NOTICE);
        }
    }

    /// Forgets all epochs of a session.
    pub fn drop_session(&mut self, session: SessionId) {
        for epoch in self.carried.remove(&session).unwrap_or_default() {
            epoch.retire(Arc::make_mut(&mut self.routes), &mut self.repeats);
        }
    }

    /// Forgets the epochs whose time is over; says which still wait for neighbours that should be there by now.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Readiness> {
        let mut late = Vec::new();
        for (session, _) in self.notices.extract_if(.., |_, until| *until <= now).collect::<Vec<_>>() {
            self.drop_session(session);
        }
        for (session, epochs) in &mut self.carried {
            for over in epochs.extract_if(.., |epoch| epoch.stage.ends().is_some_and(|ends| ends <= now)) {
                over.retire(Arc::make_mut(&mut self.routes), &mut self.repeats);
            }
            for epoch in epochs.iter_mut().filter(|epoch| epoch.report_at.is_some_and(|at| at <= now)) {
                epoch.report_at = None;
                late.push(epoch.readiness(*session));
            }
        }
        self.carried.retain(|_, epochs| !epochs.is_empty());
        self.budgets.retain(|session, _| self.carried.contains_key(session));
        late
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let epochs = self.carried.values().flatten();
        let epochs = epochs.flat_map(|epoch| [epoch.stage.ends(), epoch.report_at]).flatten();
        epochs.chain(self.notices.values().copied()).min()
    }

    /// Where packets go now. Another one whenever that changes.
    #[must_use]
    pub fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// The trees along which this node's own media leaves now: the plan's, and for a while those of the plan before.
    pub fn own_trees(&self, session: SessionId, now: Instant) -> impl Iterator<Item = TreeId> + '_ {
        let epochs = self.carried.get(&session).into_iter().flatten();
        let lingering = epochs.filter_map(|epoch| epoch.lingering.as_ref());
        let lingering = lingering.filter(move |(until, _)| now < *until).flat_map(|(_, trees)| trees);
        let active = self.active(session).into_iter().flat_map(Epoch::own_trees);
        active.chain(lingering.copied())
    }

    /// The peers that carry the session's media to and from this node now.
    pub fn neighbours(&self, session: SessionId) -> impl Iterator<Item = NodeId> + '_ {
        self.active(session).into_iter().flat_map(|epoch| epoch.neighbours.iter().copied())
    }

    /// The nodes that become neighbours when others are missed.
    pub fn reserves(&self, session: SessionId) -> impl Iterator<Item = NodeId> + '_ {
        let trees = self.active(session).into_iter().flat_map(|epoch| &epoch.trees);
        trees.flat_map(|tree| tree.part.reserves())
    }

    /// The plan that carries the media now.
    #[must_use]
    pub fn plan(&self, session: SessionId) -> Option<&SessionPlan> {
        self.active(session)?.plan.as_ref().map(Grown::plan)
    }

    /// The same as it was told to all, and who has been grafted to it since, as far as this node has been told.
    #[must_use]
    pub fn told(&self, session: SessionId) -> Option<(&SessionPlan, &[Graft])> {
        let grown = self.active(session)?.plan.as_ref()?;
        Some((grown.told(), grown.grafts()))
    }

    /// Who has signed what carries the media of a session now.
    #[must_use]
    pub fn manager(&self, session: SessionId) -> Option<NodeId> {
        self.active(session).map(|epoch| epoch.manager)
    }

    /// The word by which a session is managed, as far as this node carries it.
    #[must_use]
    pub fn delegation(&self, session: SessionId) -> Option<&Delegation> {
        let epochs = self.carried.get(&session)?;
        epochs
            .iter()
            .max_by_key(|epoch| (epoch.term, epoch.manager, epoch.number))
            .map(|epoch| &epoch.delegation)
    }

    /// The sessions that this node carries anything for.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.carried.keys().copied()
    }

    pub(super) fn active(&self, session: SessionId) -> Option<&Epoch> {
        self.carried.get(&session)?.iter().find(|epoch| epoch.stage == Stage::Active)
    }
}

impl Epoch {
    /// The trees along which the own voice goes: those that this node is at the top of alone, or else the shared ones.
    fn own_trees(&self) -> impl Iterator<Item = TreeId> + '_ {
        let is_own = |tree: &CarriedTree| !tree.part.shared && tree.part.parent.is_none();
        let has_own = self.trees.iter().any(is_own);
        let goes = move |tree: &&CarriedTree| if has_own { is_own(tree) } else { tree.part.shared };
        self.trees.iter().filter(goes).map(CarriedTree::id)
    }

    fn retire(&self, routes: &mut Routes, repeats: &mut Repeats) {
        let trees: Vec<TreeId> = self.trees.iter().map(CarriedTree::id).collect();
        routes.retire(self.handle, &trees);
        for tree in &self.trees {
            repeats.forget_tree(tree.id());
            routes.guard(tree.id(), false);
        }
    }

    fn readiness(&self, session: SessionId) -> Readiness {
        let missing = self.missing.iter().copied().collect();
        Readiness { session, epoch: self.number, manager: self.manager, missing }
    }
}

#[cfg(test)]
mod tests;
