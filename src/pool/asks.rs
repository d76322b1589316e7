//! Questions to whoever hosts a logical point: looked up, sent, tried again, and answered, some of them more than once.

use std::time::Duration;

use super::moment::Moment;
use super::outbox::Outbox;
use super::peer::Peer;
use super::somo::{Answer, Question, Region, SomoMessage};
use crate::identity::Position;

/// Questions under way or registered.
#[derive(Debug, Default)]
pub(super) struct Asks {
    open: Vec<Ask>,
    numbers: u32,
    actions: Outbox<Action>,
}

/// What is to be done for them.
#[derive(Debug)]
pub(super) enum Action {
    /// Who answers for the key? To be said by [`Asks::on_host`].
    LookUp(u32, Position),
    Send(Peer, SomoMessage),
    /// The answer to one, and whose it is; nothing if nobody answers.
    Answered(u32, Option<(Peer, Box<Answer>)>),
}

#[derive(Debug)]
struct Ask {
    number: u32,
    key: Position,
    region: Region,
    question: Question,
    host: Option<Peer>,
    tries: u8,
    /// When it is tried again, or, once answered, no answer is expected any more.
    until: Moment,
    answered: bool,
}

/// Questions at once.
const OPEN_MAX: usize = 16;
/// How long an answer is waited for, its host's lookup included, and how often it is tried.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const TRIES_MAX: u8 = 3;

impl Asks {
    /// A question about a region whose point is at `key`. Its number; nothing if too many are open.
    pub(super) fn ask(
        &mut self,
        key: Position,
        region: Region,
        question: Question,
        now: Moment,
    ) -> Option<u32> {
        if self.open.len() >= OPEN_MAX {
            return None;
        }
        self.numbers = self.numbers.wrapping_add(1);
        let (number, until) = (self.numbers, now + ANSWER_WITHIN);
        let (host, tries, answered) = (None, 1, false);
        self.open.push(Ask { number, key, region, question, host, tries, until, answered });
        self.actions.push_back(Action::LookUp(number, key));
        Some(number)
    }

    /// Who hosts the point; nobody could be found if it is none.
    pub(super) fn on_host(&mut self, number: u32, host: Option<Peer>) {
        let Some(ask) = self.open.iter_mut().find(|ask| ask.number == number && !ask.answered) else {
            return;
        };
        ask.host = host;
        if let Some(host) = host {
            let question = ask.question.clone();
            let message = SomoMessage::Ask { number, region: ask.region, question };
            self.actions.push_back(Action::Send(host, message));
        }
    }

    /// An answer has come. Only who was asked may give it.
    pub(super) fn on_answer(&mut self, from: Peer, number: u32, answer: Answer, now: Moment) {
        let asked =
            |ask: &Ask| ask.number == number && ask.host.is_some_and(|host| host.position == from.position);
        let Some(at) = self.open.iter().position(asked) else { return };
        let ask = &mut self.open[at];
        match (&ask.question, &answer) {
            (Question::Helpers { keep_s, .. }, Answer::Helpers { kept: true, .. }) => {
                if !ask.answered {
                    ask.until = now + Duration::from_secs((*keep_s).into());
                }
                ask.answered = true;
            }
            _ => {
                self.open.swap_remove(at);
            }
        }
        self.actions.push_back(Action::Answered(number, Some((from, Box::new(answer)))));
    }

    /// Another node acts as the root, says who owns its point.
    pub(super) fn on_regent(&mut self, from: Peer, delegate: Peer) {
        let of_owner = |ask: &Ask| {
            let asked = ask.host.is_some_and(|host| host.position == from.position);
            asked && ask.region == Region::WHOLE && !ask.answered
        };
        let sent_on = self.open.iter().filter(|ask| of_owner(ask)).map(|ask| ask.number);
        for number in sent_on.collect::<Vec<_>>() {
            self.on_host(number, Some(delegate));
        }
    }

    pub(super) fn poll_timeout(&self) -> Moment {
        self.open.iter().map(|ask| ask.until).fold(Moment::NEVER, Moment::min)
    }

    pub(super) fn on_timeout(&mut self, now: Moment) {
        self.open.retain(|ask| !(ask.answered && ask.until <= now));
        while let Some(at) = self.open.iter().position(|ask| ask.until <= now) {
            let ask = &mut self.open[at];
            if ask.tries < TRIES_MAX {
                ask.tries += 1;
                ask.until = now + ANSWER_WITHIN;
                self.actions.push_back(Action::LookUp(ask.number, ask.key));
            } else {
                let number = self.open.swap_remove(at).number;
                self.actions.push_back(Action::Answered(number, None));
            }
        }
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::identity::NodeId;
    use crate::pool::peer::Place;
    use crate::pool::records::RecordsConfig;
    use crate::pool::ring::RingConfig;
    use crate::pool::somo::{HelperQuery, Offer, SomoConfig};
    use crate::pool::swarm::{Event, Input, SwarmMessage, SwarmNode};

    const ONE_WAY: Duration = Duration::from_millis(20);

    /// Nodes on one ring, the messages between them carried by hand.
    struct Net {
        nodes: Vec<SwarmNode>,
        under_way: BTreeMap<(Moment, u64), (Peer, Peer, SwarmMessage)>,
        sent: u64,
        now: Moment,
        events: Vec<(usize, Event)>,
    }

    impl Net {
        fn joined(nodes: usize) -> Self {
            let (under_way, events) = (BTreeMap::new(), Vec::new());
            let mut net = Self { nodes: Vec::new(), under_way, sent: 0, now: Moment::ZERO, events };
            for node in 0..nodes {
                let me = Peer::new(NodeId([node as u8 + 1; 32]), ([10, 0, 0, node as u8], 1).into());
                let somo = SomoConfig { interval: Duration::from_secs(1), ..SomoConfig::default() };
                let (ring, records) = (RingConfig::default(), RecordsConfig::default());
                let chance = StdRng::seed_from_u64(node as u64);
                let mut newcomer = SwarmNode::new(me, ring, somo, records, 0, chance, net.now);
                newcomer.handle(Input::Offer(offer(9)), net.now);
                if let Some(first) = net.nodes.first() {
                    newcomer.handle(Input::Bootstrap(first.ring().me()), net.now);
                }
                net.nodes.push(newcomer);
                net.drain(node);
                net.run(Duration::from_millis(300));
            }
            net.run(Duration::from_secs(40));
            net.events.clear();
            net
        }

        fn drain(&mut self, node: usize) {
            let from = self.nodes[node].ring().me();
            while let Some((to, message)) = self.nodes[node].poll_transmit() {
                self.sent += 1;
                self.under_way.insert((self.now + ONE_WAY, self.sent), (from, to, message));
            }
            while let Some(event) = self.nodes[node].poll_event() {
                self.events.push((node, event));
            }
        }

        fn run(&mut self, duration: Duration) {
            let until = self.now + duration;
            loop {
                let waking = (0..self.nodes.len()).map(|node| (self.nodes[node].poll_timeout(), node)).min();
                let arriving = self.under_way.first_key_value().map_or(Moment::NEVER, |((at, _), _)| *at);
                let (wake, mut node) = waking.unwrap_or((Moment::NEVER, 0));
                let next = wake.min(arriving).max(self.now);
                if next > until {
                    self.now = until;
                    return;
                }
                self.now = next;
                let mut input = Input::Timeout;
                if arriving <= wake
                    && let Some((_, (from, to, message))) = self.under_way.pop_first()
                {
                    node = self.nodes.iter().position(|node| node.ring().me().node == to.node).unwrap();
                    input = Input::Message(from, message);
                }
                self.nodes[node].handle(input, self.now);
                self.drain(node);
            }
        }

        fn ask(&mut self, node: usize, region: Region, question: Question) -> Vec<Answer> {
            let now = self.now;
            let number = self.nodes[node].ask(region, question, now).unwrap();
            self.drain(node);
            self.run(Duration::from_secs(2));
            self.answers(node, number)
        }

        fn answers(&mut self, node: usize, number: u32) -> Vec<Answer> {
            let of = |(who, event): (usize, Event)| match event {
                Event::Answered(answered, Some((_, answer))) if (who, answered) == (node, number) => {
                    Some(*answer)
                }
                _ => None,
            };
            std::mem::take(&mut self.events).into_iter().filter_map(of).collect()
        }
    }

    fn offer(degree: u8) -> Offer {
        Offer { lends: true, free: [degree; 3], ..Offer::default() }
    }

    #[test]
    fn any_node_asks_the_root_for_helpers_and_hears_when_they_change() {
        let mut net = Net::joined(24);
        let near: Vec<Place> = net.nodes.iter().map(|node| node.ring().me().place).take(8).collect();
        let query = HelperQuery { near, within_ms: 500, degree: 4, priority: 3, most: 20, of: Vec::new() };
        let question = Question::Helpers { query, keep_s: 60 };
        for asker in [3, 17] {
            let answers = net.ask(asker, Region::WHOLE, question.clone());
            let [Answer::Helpers { nodes: 24, helpers, kept: true, .. }] = answers.as_slice() else {
                panic!("{answers:?}")
            };
            assert!(helpers.len() >= 8, "{helpers:?}");
        }
        let now = net.now;
        for node in &mut net.nodes {
            node.handle(Input::Offer(offer(2)), now);
        }
        net.run(Duration::from_secs(10));
        let told = |(who, event): &(usize, Event)| match event {
            Event::Answered(_, Some((_, answer))) => match answer.as_ref() {
                Answer::Helpers { helpers, .. } => Some((*who, helpers.len())),
                Answer::Report(_) => None,
            },
            _ => None,
        };
        let last: BTreeMap<usize, usize> = net.events.iter().filter_map(told).collect();
        assert_eq!(last, BTreeMap::from([(3, 0), (17, 0)]), "both have been notified");
    }

    #[test]
    fn a_region_is_asked_and_told_alone() {
        let mut net = Net::joined(24);
        let fanout = SomoConfig::default().fanout;
        let positions: Vec<Position> = net.nodes.iter().map(|node| node.ring().me().position).collect();
        let mut counted = 0;
        for index in 0..8 {
            let region = Region { level: 1, index };
            let answers = net.ask(5, region, Question::Report);
            let [Answer::Report(report)] = answers.as_slice() else { panic!("{answers:?}") };
            counted += report.nodes;
        }
        assert!(
            (23..=25).contains(&counted),
            "{counted}: each is counted once but for zones across a border"
        );
        let now = net.now;
        let root = net.nodes.iter().position(SwarmNode::is_root).unwrap();
        assert!(net.nodes[root].tell(Region::WHOLE, vec![7; 100], now));
        assert!(!net.nodes[root].tell(Region::WHOLE, vec![7; 5_000], now), "too much");
        let other = (root + 1) % 24;
        assert!(!net.nodes[other].tell(Region::WHOLE, vec![1], now), "it does not host the point");
        net.drain(root);
        net.run(Duration::from_secs(2));
        let heard = |net: &mut Net| -> Vec<usize> {
            let events = std::mem::take(&mut net.events).into_iter();
            let mut heard: Vec<usize> =
                events.filter(|(_, event)| matches!(event, Event::News(_))).map(|(node, _)| node).collect();
            heard.sort_unstable();
            heard
        };
        assert_eq!(heard(&mut net), (0..24).collect::<Vec<_>>(), "each once");
        let region = Region { level: 1, index: 2 };
        let now = net.now;
        let host = (0..24).find(|node| net.nodes[*node].tell(region, vec![7], now)).unwrap();
        net.drain(host);
        net.run(Duration::from_secs(2));
        let inside = |node: &usize| region.holds(fanout, positions[*node]);
        let expected: Vec<usize> = (0..24).filter(inside).collect();
        let heard = heard(&mut net);
        assert!(heard.iter().all(|node| expected.contains(node)) && heard.len() + 1 >= expected.len());
    }

    #[test]
    fn who_asks_too_much_is_not_answered() {
        let mut net = Net::joined(3);
        let root = net.nodes.iter().position(SwarmNode::is_root).unwrap();
        let stranger = Peer::new(NodeId([99; 32]), ([10, 9, 9, 9], 1).into());
        let answered = (0..50).filter(|number| {
            let (region, question) = (Region::WHOLE, Question::Report);
            let ask = SwarmMessage::Somo(SomoMessage::Ask { number: *number, region, question });
            net.nodes[root].handle(Input::Message(stranger, ask), net.now);
            let sent = std::iter::from_fn(|| net.nodes[root].poll_transmit());
            sent.filter(|(to, _)| *to == stranger).count() > 0
        });
        assert!(answered.count() <= 6);
    }
}
