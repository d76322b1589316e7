//! The way from a parent turns bad, and what comes from there takes another one.
//!
//! ```text
//! all that comes by a way is late     -> that way is measured, and the one from its detour
//! it is slower, or loses packets      -> the detour that the plan names is asked to feed as well
//! it feeds                            -> both do, so that buffers can follow; then the parent is told to rest
//! the way has been good for a while   -> the parent is told to go on; both do; then the detour is told to stop
//! nobody can help, or nobody better   -> the task manager is told, who plans without that link
//! ```
//! The parent that rests sends signs of life ([`super::pulse`]), which tell what the way loses. Only edges that the task
//! manager has signed for that case are carried, and nobody more than it holds; see [`super::feeds`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use alm_media::TreeId;

use super::carrier::Carrier;
use super::condition::{CALM_LOOK, Counted, LOOK, SLOW_BAD, has_slowed, is_good};
use super::feeds::FromAbove;
use super::message::SessionMessage;
use super::{BadWay, Event, Output};
use crate::identity::{NodeId, SessionId};

/// What a node has measured of the ways to it.
pub struct Measured<'m> {
    /// By how much all that came from a node lately was later than before.
    pub lags: &'m BTreeMap<NodeId, Duration>,
    /// Round trips to a node that ended within a time, the fastest first.
    pub round_trips: &'m dyn Fn(NodeId, Span) -> Vec<Duration>,
    /// This node may be dead.
    pub is_doubted: &'m dyn Fn(NodeId) -> bool,
}

/// From when to when.
pub type Span = (Bound<Instant>, Bound<Instant>);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Detours {
    ways: BTreeMap<NodeId, Way>,
    counted: BTreeMap<NodeId, Counted>,
    branches: BTreeMap<(SessionId, TreeId), Branch>,
    look_at: Option<Instant>,
    /// The link says so when packets are missing, or late.
    alerted: bool,
    /// Until when looks are frequent all the same.
    restless: Option<Instant>,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
}

/// The way from a parent.
#[derive(Debug)]
struct Way {
    state: State,
    /// Looks in a row at which all that had come was late.
    late: u32,
    /// How long it has to be good before it is believed to be; longer when it was not, the last time.
    hold: Duration,
    /// When it was last believed to be good again.
    returned: Option<Instant>,
    /// Nobody is asked before.
    ask_at: Instant,
    /// When the manager may be told again.
    tell_at: Instant,
}

#[derive(Debug)]
enum State {
    Well,
    /// Round trips are measured since then.
    Measured(Instant),
    Bad(Bad),
}

#[derive(Debug)]
struct Bad {
    cause: BadWay,
    /// The share that it lost then.
    loss: f64,
    /// The fastest round trip before.
    round_trip: Option<Duration>,
    /// Detours that are slower than they were as well.
    slow: BTreeSet<NodeId>,
    good_since: Option<Instant>,
    measure_at: Instant,
}

/// A tree that does not come from the parent alone.
#[derive(Debug)]
struct Branch {
    parent: NodeId,
    over: NodeId,
    cause: BadWay,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The detour has been asked, and may take until then.
    Asked(Instant),
    /// Both feed until then.
    Leaving(Instant),
    /// The detour feeds, since then.
    Around(Instant),
    /// Both feed until then.
    Returning(Instant),
}

/// All that comes has to be late at so many looks in a row.
const LATE_LOOKS: u32 = 2;
/// How long looks are frequent after an alert: as long as a way takes to be found bad.
const RESTLESS: Duration = Duration::from_secs(1);
/// How long measuring may take: a long round trip, twice.
const MEASURE_WITHIN: Duration = Duration::from_millis(1_200);
/// How long a detour may take to feed.
const FEED_PATIENCE: Duration = Duration::from_millis(800);
/// How long both feed.
const BOTH: Duration = Duration::from_millis(600);
/// Who had no room, or no good way itself, is asked again after that.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// A way has to be good for so long, and for twice as long each time that it does not last.
const HOLD: Duration = Duration::from_secs(5);
const HOLD_MAX: Duration = Duration::from_secs(80);
/// It has not lasted if it is bad again so soon.
const LASTS: Duration = Duration::from_secs(30);
/// What is measured of a bad way counts for this long.
const LATELY: Duration = Duration::from_secs(2);
/// How often the manager hears of a way that is still bad.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// A detour loses less than the bad way by so much, or it is none.
const BETTER_BY: f64 = 0.03;
/// How long it has to show that.
const SHOWN_IN: Duration = Duration::from_millis(1_500);

impl Detours {
    /// What the link has counted of a node's packets: how many have come, and how many have not.
    pub fn on_counted(&mut self, from: NodeId, came: u64, lost: u64) {
        if let Some(counted) = self.counted.get_mut(&from) {
            counted.note(came, lost);
        }
    }

    /// [`on_alert`](Self::on_alert) is called when packets of somebody are missing, or late.
    pub fn rely_on_alerts(&mut self) {
        self.alerted = true;
    }

    /// Packets of somebody are missing, or late: this is looked into at once, and for a while.
    pub fn on_alert(&mut self, now: Instant) {
        self.restless = Some(now + RESTLESS);
        self.look_at = self.look_at.map(|at| at.min(now));
    }

    /// What this node carries has changed.
    pub fn on_carried(&mut self, carrier: &mut Carrier, now: Instant) {
        let parents = carrier.parents();
        self.ways.retain(|parent, _| parents.contains(parent));
        for parent in parents {
            self.ways.entry(parent).or_insert_with(|| Way::new(now));
        }
        self.branches.retain(|(session, tree), branch| {
            carrier.trees_from(branch.parent).contains(&(*session, *tree, Some(branch.over)))
        });
        self.count();
        self.look_at = if self.ways.is_empty() { None } else { self.look_at.or(Some(now + LOOK)) };
        // A plan that still goes by a way that is bad.
        self.ask(carrier, now);
    }

    /// A node feeds this one along these trees, as it was asked to.
    pub fn on_fed(
        &mut self,
        from: NodeId,
        session: SessionId,
        trees: &[u32],
        carrier: &mut Carrier,
        now: Instant,
    ) {
        let asked = |((of, _), branch): &(&(SessionId, TreeId), &mut Branch)| {
            *of == session && branch.over == from && matches!(branch.stage, Stage::Asked(_))
        };
        let (mut given, mut refused) = (BTreeMap::new(), Vec::new());
        for ((_, tree), branch) in self.branches.iter_mut().filter(asked) {
            if trees.contains(&tree.0) {
                branch.stage = Stage::Leaving(now + BOTH);
                carrier.take_from_above(session, *tree, FromAbove::Both);
                given.insert(branch.parent, branch.cause);
            } else {
                refused.push((session, *tree));
            }
        }
        let told = given.into_iter().map(|(parent, cause)| Event::Detour { parent, over: Some(from), cause });
        self.events.extend(told);
        refused.into_iter().for_each(|name| self.do_without(name, carrier, now));
        self.count();
    }

    /// A node cannot be talked to any more.
    pub fn on_lost(&mut self, node: NodeId, carrier: &mut Carrier, now: Instant) {
        self.give_up(|branch| branch.over == node, carrier, now);
    }

    /// Looks at all ways, when that is due. A call too early does no harm. True if something else is carried from now on.
    pub fn handle_timeout(&mut self, carrier: &mut Carrier, measured: &Measured<'_>, now: Instant) -> bool {
        if self.look_at.is_none_or(|at| at > now) {
            return false;
        }
        let since = now.checked_sub(HOLD_MAX).unwrap_or(now);
        self.counted.values_mut().for_each(|counted| counted.look(since, now));
        self.judge(carrier, measured, now);
        let waits_too_long = |branch: &Branch| matches!(branch.stage, Stage::Asked(until) if until <= now);
        let is_no_better = |branch: &Branch| self.is_no_better(branch, now);
        let useless: BTreeSet<(SessionId, TreeId)> = self
            .branches
            .iter()
            .filter(|(_, branch)| {
                (measured.is_doubted)(branch.over) || waits_too_long(branch) || is_no_better(branch)
            })
            .map(|(name, _)| *name)
            .collect();
        useless.into_iter().for_each(|name| self.do_without(name, carrier, now));
        self.ask(carrier, now);
        self.advance(carrier, now);
        self.tell(carrier, now);
        self.look_at = Some(now + if self.is_calm(now) { CALM_LOOK } else { LOOK });
        self.outputs.iter().any(|output| matches!(output, Output::Message(..)))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Nothing is lost, late or gone around, and who would notice first has said nothing.
    fn is_calm(&self, now: Instant) -> bool {
        self.alerted
            && self.restless.is_none_or(|until| until <= now)
            && self.branches.is_empty()
            && self.ways.values().all(|way| matches!(way.state, State::Well) && way.late == 0)
            && self.counted.values().all(Counted::is_whole)
    }

    /// Counts what comes from all who feed this node, and nobody else.
    fn count(&mut self) {
        let feed: BTreeSet<NodeId> =
            self.ways.keys().copied().chain(self.branches.values().map(|branch| branch.over)).collect();
        self.counted.retain(|node, _| feed.contains(node));
        for node in feed {
            self.counted.entry(node).or_default();
        }
    }

    /// Which ways are bad, and which are good again.
    fn judge(&mut self, carrier: &Carrier, measured: &Measured<'_>, now: Instant) {
        // Where all lose, it is this node's own line, and no detour helps.
        let losses = || self.counted.values().filter_map(Counted::loss);
        let is_own_line = losses().count() > 1 && losses().all(|loss| loss > BETTER_BY);
        let lately = (Bound::Included(now.checked_sub(LATELY).unwrap_or(now)), Bound::Unbounded);
        let mut measure = Vec::new();
        for (parent, way) in &mut self.ways {
            let Some(counted) = self.counted.get(parent) else { continue };
            let is_late = measured.lags.get(parent).is_some_and(|lag| *lag >= SLOW_BAD);
            way.late = if is_late { way.late + 1 } else { 0 };
            let before =
                |node, since| (measured.round_trips)(node, (Bound::Unbounded, Bound::Excluded(since)));
            let after =
                |node, since| (measured.round_trips)(node, (Bound::Included(since), Bound::Unbounded));
            let has_slowed = |node, since| has_slowed(&before(node, since), &after(node, since));
            let detours = || carrier.trees_from(*parent).into_iter().filter_map(|(.., detour)| detour);
            match &mut way.state {
                State::Well | State::Measured(_)
                    if counted.is_lossy() && !is_own_line && !(measured.is_doubted)(*parent) =>
                {
                    let (loss, round_trip) =
                        (counted.loss().unwrap_or(1.0), before(*parent, now).first().copied());
                    way.turn_bad(Bad::new(BadWay::Loss, loss, round_trip, now), now);
                }
                State::Well if way.late >= LATE_LOOKS => {
                    way.state = State::Measured(now);
                    measure.push(*parent);
                    measure.extend(detours().collect::<BTreeSet<_>>());
                }
                State::Measured(since) => {
                    let since = *since;
                    // Where all have slowed, it is this node's own line.
                    let all: BTreeSet<NodeId> = detours().collect();
                    let slow: BTreeSet<NodeId> =
                        all.iter().copied().filter(|over| has_slowed(*over, since)).collect();
                    let may_help = all.is_empty() || slow.len() < all.len();
                    if has_slowed(*parent, since) && way.late > 0 && may_help {
                        let round_trip = before(*parent, since).first().copied();
                        let bad = Bad { slow, ..Bad::new(BadWay::Delay, 0.0, round_trip, now) };
                        way.turn_bad(bad, now);
                    } else if now >= since + MEASURE_WITHIN {
                        (way.state, way.late) = (State::Well, 0);
                    }
                }
                State::Bad(bad) => {
                    if bad.measure_at <= now {
                        bad.measure_at = now + LATELY / 2;
                        measure.push(*parent);
                    }
                    let loss = counted.loss_since(now.checked_sub(LATELY).unwrap_or(now));
                    let trips = (measured.round_trips)(*parent, lately);
                    if !is_good(loss, bad.round_trip, &trips) {
                        bad.good_since = None;
                    } else if *bad.good_since.get_or_insert(now) + way.hold <= now {
                        (way.state, way.returned, way.late) = (State::Well, Some(now), 0);
                    }
                }
                State::Well => {}
            }
        }
        self.outputs.extend(measure.into_iter().map(Output::Measure));
    }

    /// What comes over the detour is lost as well.
    fn is_no_better(&self, branch: &Branch, now: Instant) -> bool {
        let Stage::Around(since) = branch.stage else { return false };
        let bad = match self.ways.get(&branch.parent).map(|way| &way.state) {
            Some(State::Bad(bad)) if bad.cause == BadWay::Loss && now >= since + SHOWN_IN => bad,
            _ => return false,
        };
        let counted = self.counted.get(&branch.over);
        counted.and_then(Counted::loss).is_some_and(|loss| loss + BETTER_BY >= bad.loss)
    }

    /// Asks the detours of bad ways.
    fn ask(&mut self, carrier: &mut Carrier, now: Instant) {
        let mut asks: BTreeMap<(SessionId, NodeId), Vec<u32>> = BTreeMap::new();
        for (parent, way) in self.ways.iter().filter(|(_, way)| way.ask_at <= now) {
            let State::Bad(bad) = &way.state else { continue };
            for (session, tree, detour) in carrier.trees_from(*parent) {
                let Some(over) = detour.filter(|_| !self.branches.contains_key(&(session, tree))) else {
                    continue;
                };
                // Who needs a detour itself is none.
                if bad.slow.contains(&over)
                    || self.ways.get(&over).is_some_and(|way| matches!(way.state, State::Bad(_)))
                {
                    continue;
                }
                let (parent, cause) = (*parent, bad.cause);
                let branch = Branch { parent, over, cause, stage: Stage::Asked(now + FEED_PATIENCE) };
                self.branches.insert((session, tree), branch);
                carrier.take_from_above(session, tree, FromAbove::Asked);
                asks.entry((session, over)).or_default().push(tree.0);
            }
        }
        for ((session, over), trees) in asks {
            self.feed(over, session, trees, true);
        }
        self.count();
    }

    /// Goes on where it is time to.
    fn advance(&mut self, carrier: &mut Carrier, now: Instant) {
        let mut rests: BTreeMap<(SessionId, NodeId, bool), Vec<u32>> = BTreeMap::new();
        let mut stops: BTreeMap<(SessionId, NodeId), Vec<u32>> = BTreeMap::new();
        let mut ended = BTreeMap::new();
        for ((session, tree), branch) in &mut self.branches {
            let is_bad = self.ways.get(&branch.parent).is_some_and(|way| matches!(way.state, State::Bad(_)));
            branch.stage = match branch.stage {
                Stage::Leaving(until) if until <= now => {
                    rests.entry((*session, branch.parent, true)).or_default().push(tree.0);
                    carrier.take_from_above(*session, *tree, FromAbove::Around);
                    Stage::Around(now)
                }
                Stage::Around(_) if !is_bad => {
                    rests.entry((*session, branch.parent, false)).or_default().push(tree.0);
                    carrier.take_from_above(*session, *tree, FromAbove::Both);
                    ended.insert(branch.parent, branch.cause);
                    Stage::Returning(now + BOTH)
                }
                Stage::Returning(until) if is_bad => Stage::Leaving(until),
                Stage::Returning(until) if until <= now => {
                    carrier.take_from_above(*session, *tree, FromAbove::Direct);
                    stops.entry((*session, branch.over)).or_default().push(tree.0);
                    continue;
                }
                stage => stage,
            };
        }
        let told = ended.into_iter().map(|(parent, cause)| Event::Detour { parent, over: None, cause });
        self.events.extend(told);
        for ((session, parent, on), trees) in rests {
            self.rest(parent, session, trees, on);
        }
        for ((session, over), trees) in stops {
            for tree in &trees {
                self.branches.remove(&(session, TreeId(*tree)));
            }
            self.feed(over, session, trees, false);
        }
    }

    /// Tells the managers of bad ways: they plan without them, by and by or at once.
    fn tell(&mut self, carrier: &Carrier, now: Instant) {
        for (parent, way) in &mut self.ways {
            if !matches!(way.state, State::Bad(_)) || way.tell_at > now {
                continue;
            }
            let trees = carrier.trees_from(*parent);
            let sessions: BTreeSet<SessionId> = trees.iter().map(|(session, ..)| *session).collect();
            for session in sessions {
                let mut of = trees.iter().filter(|(other, ..)| *other == session);
                let urgent = of.any(|(_, tree, _)| !self.branches.contains_key(&(session, *tree)));
                if let Some(manager) = carrier.manager(session) {
                    let poor = SessionMessage::Poor { session, node: *parent, urgent };
                    self.outputs.push_back(Output::Message(manager, poor));
                }
            }
            way.tell_at = now + TELL_AGAIN;
        }
    }

    fn give_up(&mut self, useless: impl Fn(&Branch) -> bool, carrier: &mut Carrier, now: Instant) {
        let useless: Vec<(SessionId, TreeId)> =
            self.branches.iter().filter(|(_, branch)| useless(branch)).map(|(name, _)| *name).collect();
        useless.into_iter().for_each(|name| self.do_without(name, carrier, now));
    }

    /// A tree comes from its parent again, such as it is, and the manager is told so.
    fn do_without(&mut self, name: (SessionId, TreeId), carrier: &mut Carrier, now: Instant) {
        let Some(branch) = self.branches.remove(&name) else { return };
        let (session, tree) = name;
        carrier.take_from_above(session, tree, FromAbove::Direct);
        self.feed(branch.over, session, vec![tree.0], false);
        if matches!(branch.stage, Stage::Around(_)) {
            self.rest(branch.parent, session, vec![tree.0], false);
            let Branch { parent, cause, .. } = branch;
            self.events.push_back(Event::Detour { parent, over: None, cause });
        }
        if let Some(way) = self.ways.get_mut(&branch.parent) {
            (way.ask_at, way.tell_at) = (now + ASK_AGAIN, now);
        }
    }

    fn feed(&mut self, over: NodeId, session: SessionId, trees: Vec<u32>, on: bool) {
        let feed = SessionMessage::Feed { session, trees, missed: None, on };
        self.outputs.push_back(Output::Message(over, feed));
    }

    fn rest(&mut self, parent: NodeId, session: SessionId, trees: Vec<u32>, on: bool) {
        self.outputs.push_back(Output::Message(parent, SessionMessage::Rest { session, trees, on }));
    }
}

impl Way {
    fn new(now: Instant) -> Self {
        Self { state: State::Well, late: 0, hold: HOLD, returned: None, ask_at: now, tell_at: now }
    }

    fn turn_bad(&mut self, bad: Bad, now: Instant) {
        let lasted = self.returned.is_none_or(|at| now.saturating_duration_since(at) >= LASTS);
        self.hold = if lasted { HOLD } else { (self.hold * 2).min(HOLD_MAX) };
        // The detour has a moment to answer before the manager is told that there is none.
        self.tell_at = now + FEED_PATIENCE + LOOK;
        self.state = State::Bad(bad);
    }
}

impl Bad {
    fn new(cause: BadWay, loss: f64, round_trip: Option<Duration>, now: Instant) -> Self {
        let slow = BTreeSet::new();
        Self { cause, loss, round_trip, slow, good_since: None, measure_at: now + LATELY / 2 }
    }
}
