//! What is new: from the session for the audio, from the audio for the session, and from both for whoever reads events.

use alm_media::SourceIndex;
use tokio::time::Instant;

use super::{AudioState, Driver};
use crate::event::Event;
use crate::live::audio::{Audio, FromAudio, OwnVoice, ToAudio};
use crate::live::notices;
use crate::live::stand_in::StandIn;
use crate::net::Link;
use crate::node::Input;
use crate::session::{self, Participant, Roster};

impl<L: Link> Driver<L> {
    pub(super) fn on_session(&mut self, event: session::Event) {
        match event {
            session::Event::Entered { title, own, .. } => {
                self.title.clone_from(&title);
                self.start_audio(own);
                if let Some(invite) = &self.invite {
                    self.tell(Event::Session { id: invite.to_string(), name: title, role: self.role });
                }
                if self.muted {
                    self.tell(Event::Voice { muted: true });
                }
            }
            session::Event::MemberJoined(member) => {
                let source = SourceIndex(member.index);
                self.hand_audio(ToAudio::Name(source, member.node, member.name.clone()));
                if member.node != self.me {
                    self.sources.insert(source, (member.node, member.salt));
                    self.met.remove(&source);
                    if self.node.roster().is_none_or(Roster::is_mesh) {
                        self.meet(source);
                    }
                }
                let (node, records) = (member.node.to_string(), member.records);
                self.tell(Event::MemberJoined { node, name: member.name, records });
            }
            session::Event::MemberLeft(node, reason) => {
                let gone: Vec<SourceIndex> =
                    self.sources.iter().filter(|(_, (n, _))| *n == node).map(|(source, _)| *source).collect();
                for source in gone {
                    self.sources.remove(&source);
                    self.met.remove(&source);
                    self.unopened.remove(&source);
                    self.standings.remove(&source);
                    self.hand_audio(ToAudio::RemoveSource(source));
                }
                self.tell(Event::MemberLeft { node: node.to_string(), reason });
            }
            session::Event::Said(line) => {
                let (node, sent) = (line.author.to_string(), line.sent_ms as f64 / 1_000.0);
                self.tell(Event::Chat { node, text: line.text, sent });
            }
            session::Event::Keys(keys) => self.on_keys(keys),
            session::Event::Tree(plan) => {
                self.hand_audio(ToAudio::Constant(!plan.helpers.is_empty()));
                self.uplink.on_plan(&plan);
                self.hand_audio(ToAudio::Places(self.uplink.voices()));
                self.hand_audio(ToAudio::Crowd(plan.is_large()));
                self.tell(notices::tree(&plan, self.me));
            }
            session::Event::Secret(secret) => {
                if let Some(invite) = &mut self.invite {
                    invite.secret = secret;
                    let (id, name) = (invite.to_string(), self.title.clone());
                    self.tell(Event::Session { id, name, role: self.role });
                }
            }
            session::Event::Repair { what, lost, detected, repaired } => {
                self.tell(notices::repair(what, lost, detected, repaired));
            }
            session::Event::Detour { parent, over, cause } => {
                let over = over.map(|over| over.to_string());
                self.tell(Event::Detour { parent: parent.to_string(), over, cause });
            }
            session::Event::FalseAlarm { relay, given_up } => {
                self.tell(Event::FalseAlarm { node: relay.to_string(), given_up });
            }
            session::Event::Trouble(message) => self.tell(Event::Error { message }),
            session::Event::Ended(_) => {}
        }
    }

    fn start_audio(&mut self, own: Participant) {
        let now = Instant::now().into_std();
        let (source, identity, salt) = (SourceIndex(own.index), self.identity.clone(), own.salt);
        let voice = OwnVoice { source, identity, salt };
        let handle = match std::mem::replace(&mut self.audio, AudioState::None) {
            AudioState::Ready(mut config) => {
                config.muted = self.muted;
                Audio::start(*config, voice, now)
            }
            AudioState::StandIn(ends) => StandIn::start(ends, voice),
            other @ (AudioState::None | AudioState::Running(_)) => {
                self.audio = other;
                return;
            }
        };
        self.audio = AudioState::Running(handle);
        self.own = Some(own);
        if let Some(clock) = self.node.clock() {
            self.hand_audio(ToAudio::Clock(clock));
        }
        self.hand_own_key();
        self.hand_audio(ToAudio::Places(self.uplink.voices()));
    }

    pub(super) fn on_audio(&mut self, from_audio: FromAudio) {
        match from_audio {
            FromAudio::Packet(packet) => self.handle(Input::Own(packet)),
            FromAudio::Trouble(message) => self.tell(Event::Error { message }),
            FromAudio::Gaps(input_gaps, output_gaps) => self.tell(Event::Device { input_gaps, output_gaps }),
            FromAudio::Gap(source, length) => {
                if let Some((source, _)) = self.sources.get(&source) {
                    self.tell(notices::gap(*source, length));
                }
            }
            FromAudio::Levels(input, voices) => {
                self.tell_speakers(input, &voices);
                let named = voices.into_iter().filter_map(|(source, level)| {
                    Some((self.sources.get(&source)?.0.to_string(), level.decibels()))
                });
                let voices = named.collect();
                self.tell(Event::Levels { input_db: input.decibels(), voices });
            }
            FromAudio::Heard(heard) => {
                for (stats, path_ms) in heard {
                    let Some((node, _)) = self.sources.get(&stats.source).copied() else { continue };
                    self.watch_keys(stats.source, node, stats.unknown_key);
                    self.watch_standing(stats.source, node, &stats.witness);
                    let hops = self.node.plan().and_then(|plan| plan.hops(node, self.me)).unwrap_or(0);
                    let repaired = self.node.mended(stats.source).unwrap_or(0);
                    self.tell(notices::media(node, &stats, repaired, hops, path_ms));
                }
            }
        }
    }

    pub(super) fn tell_rules(&mut self) {
        let Some(laid_down) = self.node.rules().map(|rules| (rules.locked, rules.quiet)) else { return };
        if laid_down != self.laid_down {
            self.laid_down = laid_down;
            let (locked, quiet) = laid_down;
            self.tell(Event::Rules { locked, quiet });
        }
    }

    pub(super) fn tell_links(&mut self) {
        if let Some(percent) = self.node.own_loss(Instant::now().into_std()) {
            self.hand_audio(ToAudio::ExpectLoss(percent));
        }
        let links = self.node.links();
        let round_trips = links.iter().filter_map(|(peer, rtt, _)| Some((*peer, (*rtt)?)));
        if self.uplink.on_second(self.link.pressed(), round_trips) {
            self.hand_audio(ToAudio::Frame(self.uplink.frame()));
            self.hand_audio(ToAudio::Places(self.uplink.voices()));
        }
        for (peer, rtt, mut counts) in links {
            let switched = self.link.switch_counts(peer);
            counts.sent += switched.sent;
            counts.received += switched.received;
            counts.dropped += switched.dropped;
            self.tell(notices::link(peer, rtt, counts, switched));
        }
    }

    pub(super) fn tell_places(&mut self) {
        let Some(plan) = self.node.plan() else { return };
        let nodes =
            plan.trees.iter().flat_map(|tree| &tree.edges).flat_map(|(parent, child)| [*parent, *child]);
        for (node, place) in self.places.news(nodes, |node| self.node.pool().place(node)) {
            self.tell(notices::place(node, place));
        }
    }
}
