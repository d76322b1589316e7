//! What a key means, and what of the screen is its own: which member is chosen, what lies on top.

use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::talk::Talk;
use crate::face::Conference;
use crate::live::Command;
use crate::session::CHAT_TEXT_MAX;

/// The screen's own state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Screen {
    /// The line of the member that is looked at.
    pub(super) chosen: usize,
    /// What covers the rest.
    pub(super) overlay: Option<Overlay>,
    /// The id is asked for on the terminal's own page, to be copied.
    pub(super) aside: bool,
    /// What is being written to all.
    pub(super) draft: Option<String>,
    /// Whether space is held to talk.
    pub(super) talk: Talk,
    /// Lines of the overlay that are above the window.
    pub(super) scrolled: u16,
}

/// What can cover the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Overlay {
    /// The id, to copy and to photograph.
    Invite,
    /// The whole plan.
    Plan,
    /// All keys.
    Help,
    /// Whether to leave.
    Leave,
}

impl Screen {
    /// A host begins with the id in front of them: it is what the others wait for.
    pub(super) fn new(hosts: bool) -> Self {
        Self { overlay: hosts.then_some(Overlay::Invite), ..Self::default() }
    }

    /// Takes a key that was pressed at `now`; what it asks of the driver.
    pub(super) fn press(&mut self, key: KeyEvent, conference: &Conference, now: Instant) -> Option<Command> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Command::Leave);
        }
        if self.overlay == Some(Overlay::Leave) {
            self.overlay = None;
            return match key.code {
                KeyCode::Char('y' | 'Y') | KeyCode::Enter => Some(Command::Leave),
                KeyCode::Char('e' | 'E') if hosts(conference) => Some(Command::End),
                _ => None,
            };
        }
        if let Some(draft) = &mut self.draft {
            match key.code {
                KeyCode::Char(c) if draft.len() < CHAT_TEXT_MAX => draft.push(c),
                KeyCode::Backspace => drop(draft.pop()),
                KeyCode::Esc => self.draft = None,
                KeyCode::Enter => return self.draft.take().filter(|text| !text.is_empty()).map(Command::Say),
                _ => {}
            }
            return None;
        }
        match key.code {
            KeyCode::Char('s') => self.draft = Some(String::new()),
            KeyCode::Char(' ') if self.talk != Talk::Off => {
                return self.talk.press(now).then_some(Command::Mute(false));
            }
            KeyCode::Char('m' | ' ') => {
                // Who switches by hand is no longer held to holding.
                self.talk = Talk::Off;
                return Some(Command::Mute(!conference.muted));
            }
            KeyCode::Char('p') => {
                self.talk = if self.talk == Talk::Off { Talk::Ready } else { Talk::Off };
                return Some(Command::Mute(true));
            }
            KeyCode::Char('+' | '=') => {
                return self.volume(conference, |percent| percent.saturating_add(VOLUME_STEP));
            }
            KeyCode::Char('-') => {
                return self.volume(conference, |percent| percent.saturating_sub(VOLUME_STEP));
            }
            KeyCode::Char('x') => {
                return self.volume(conference, |percent| if percent == 0 { 100 } else { 0 });
            }
            KeyCode::Char('q') => self.cover(Overlay::Leave),
            KeyCode::Char('c') => self.aside = true,
            KeyCode::Char('i') => self.cover(Overlay::Invite),
            KeyCode::Char('t') => self.cover(Overlay::Plan),
            KeyCode::Char('?' | 'h') => self.cover(Overlay::Help),
            KeyCode::Esc | KeyCode::Enter => self.overlay = None,
            KeyCode::Up | KeyCode::Char('k') => self.step(-1, conference),
            KeyCode::Down | KeyCode::Char('j') => self.step(1, conference),
            KeyCode::PageUp => self.step(-PAGE, conference),
            KeyCode::PageDown => self.step(PAGE, conference),
            _ => {}
        }
        None
    }

    /// What time alone asks of the driver.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Command> {
        self.talk.tick(now).then_some(Command::Mute(true))
    }

    /// Whom one looks at, played louder or less loud here.
    fn volume(&self, conference: &Conference, change: impl Fn(u16) -> u16) -> Option<Command> {
        let people = conference.people();
        let (node, _) = people.get(self.chosen).filter(|(node, _)| *node != conference.node)?;
        let before = conference.volumes.get(*node).copied().unwrap_or(100);
        Some(Command::Volume(node.parse().ok()?, change(before)))
    }

    /// Shows an overlay, or takes it away where it is shown.
    fn cover(&mut self, overlay: Overlay) {
        self.overlay = (self.overlay != Some(overlay)).then_some(overlay);
        self.scrolled = 0;
    }

    fn step(&mut self, lines: i16, conference: &Conference) {
        if self.overlay.is_some() {
            self.scrolled = self.scrolled.saturating_add_signed(lines);
        } else {
            let last = conference.members.len().saturating_sub(1);
            self.chosen = self.chosen.saturating_add_signed(isize::from(lines)).min(last);
        }
    }
}

/// Whether this node can end the conference.
pub(super) fn hosts(conference: &Conference) -> bool {
    conference.session.as_ref().is_some_and(|session| session.role == "host")
}

/// What a key changes of a member's loudness, percent.
const VOLUME_STEP: u16 = 10;
/// Lines of a page.
const PAGE: i16 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
    fn press(screen: &mut Screen, code: KeyCode, conference: &Conference) -> Option<Command> {
        screen.press(KeyEvent::from(code), conference, Instant::now())
    }

    #[test]
    fn keys_mute_choose_and_leave_after_a_question() {
        let (mut screen, mut conference) = (Screen::default(), Conference::default());
        for node in ["a", "b"] {
            conference.apply(&Event::MemberJoined { node: node.into(), name: node.into(), records: false });
        }
        assert_eq!(press(&mut screen, KeyCode::Char('m'), &conference), Some(Command::Mute(true)));
        conference.apply(&Event::Voice { muted: true });
        assert_eq!(press(&mut screen, KeyCode::Char(' '), &conference), Some(Command::Mute(false)));
        for _ in 0..5 {
            press(&mut screen, KeyCode::Down, &conference);
        }
        assert_eq!(screen.chosen, 1);
        assert_eq!(press(&mut screen, KeyCode::Char('q'), &conference), None);
        assert_eq!(press(&mut screen, KeyCode::Char('n'), &conference), None);
        assert_eq!(screen.overlay, None, "anything but yes stays");
        press(&mut screen, KeyCode::Char('q'), &conference);
        assert_eq!(press(&mut screen, KeyCode::Char('y'), &conference), Some(Command::Leave));
        press(&mut screen, KeyCode::Char('q'), &conference);
        assert_eq!(press(&mut screen, KeyCode::Char('e'), &conference), None, "only the host ends it");
        let (id, name) = (String::new(), String::new());
        conference.apply(&Event::Session { id, name, role: "host" });
        press(&mut screen, KeyCode::Char('q'), &conference);
        assert_eq!(press(&mut screen, KeyCode::Char('e'), &conference), Some(Command::End));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
    fn space_is_held_to_talk_where_that_is_wanted() {
        let (mut screen, mut conference, start) = (Screen::default(), Conference::default(), Instant::now());
        let key = |code| KeyEvent::from(code);
        assert_eq!(press(&mut screen, KeyCode::Char('p'), &conference), Some(Command::Mute(true)));
        conference.apply(&Event::Voice { muted: true });
        let space = KeyCode::Char(' ');
        assert_eq!(screen.press(key(space), &conference, start), Some(Command::Mute(false)));
        let later = start + std::time::Duration::from_millis(500);
        assert_eq!((screen.press(key(space), &conference, later), screen.tick(later)), (None, None));
        assert_eq!(screen.tick(later + std::time::Duration::from_secs(1)), Some(Command::Mute(true)));
        // A letter of what is written is no word to the microphone.
        press(&mut screen, KeyCode::Char('s'), &conference);
        assert_eq!(press(&mut screen, space, &conference), None);
        press(&mut screen, KeyCode::Esc, &conference);
        assert_eq!(press(&mut screen, KeyCode::Char('m'), &conference), Some(Command::Mute(false)));
        assert_eq!(screen.talk, Talk::Off, "it is a switch again");
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.press(ctrl_c, &conference, start), Some(Command::Leave));
    }

    #[test]
    fn an_overlay_comes_scrolls_and_goes() {
        let (mut screen, conference) = (Screen::default(), Conference::default());
        press(&mut screen, KeyCode::Char('t'), &conference);
        press(&mut screen, KeyCode::PageDown, &conference);
        assert_eq!((screen.overlay, screen.scrolled), (Some(Overlay::Plan), 10));
        press(&mut screen, KeyCode::Char('?'), &conference);
        assert_eq!((screen.overlay, screen.scrolled), (Some(Overlay::Help), 0));
        press(&mut screen, KeyCode::Esc, &conference);
        assert_eq!(screen.overlay, None);
    }
}
