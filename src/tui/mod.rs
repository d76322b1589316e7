//! The terminal screen of a conference: [`screen`] draws what [`crate::face`] knows, [`keys`] says what a key means,
//! [`run`] is the loop between them and the terminal.

mod keys;
mod screen;
mod talk;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, KeyEventKind};
use ratatui::crossterm::style::Print;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, SetTitle};
use ratatui::crossterm::{ExecutableCommand, event::Event as Happening};
use tokio::sync::mpsc;

use self::keys::Screen;
use crate::face::Conference;
use crate::live::Command;

/// Shows the conference until `is_over`; what keys ask for goes to `commands`. The terminal is left as it was, also after a
/// panic. Who `hosts` begins with the id.
pub fn run(
    conference: &Mutex<Conference>,
    commands: &mpsc::Sender<Command>,
    hosts: bool,
    mut is_over: impl FnMut() -> bool,
) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let shown = (|| {
        io::stdout().execute(SetTitle("alm"))?;
        let mut screen = Screen::new(hosts);
        while !is_over() {
            if std::mem::take(&mut screen.aside) {
                let aside = aside(&lock(conference));
                show_aside(&aside, &mut is_over)?;
                terminal.clear()?;
            }
            // Copied, so that nobody waits for a slow terminal.
            let seen = lock(conference).clone();
            terminal.draw(|frame| screen::draw(&seen, &screen, frame))?;
            let mut wish = None;
            if event::poll(REFRESH)?
                && let Happening::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                wish = screen.press(key, &seen, now());
            }
            // A driver that does not keep up with keys has more to do than this.
            for command in wish.into_iter().chain(screen.tick(now())) {
                let _ = commands.try_send(command);
            }
        }
        Ok(())
    })();
    ratatui::restore();
    shown
}

/// What there is to copy.
fn aside(conference: &Conference) -> String {
    let id = conference.session.as_ref().map(|session| session.id.clone()).unwrap_or_default();
    let page = conference.page.as_ref().map(|link| format!("\r\nas a page: {link}")).unwrap_or_default();
    let guests = conference.guests.iter().map(|(name, link)| format!("\r\nfor guests ({name}): {link}"));
    let guests: String = guests.collect();
    let print = conference.fingerprint.as_ref();
    let print = print.map(|print| format!("\r\ntheir browsers warn once, of the certificate {print}"));
    format!("{id}{page}{guests}{}\r\n(any key goes back)\r\n", print.unwrap_or_default())
}

/// Shows what there is to copy on the terminal's own page until a key is pressed: there the id is one line, however it is
/// wrapped, and in a box it would be copied in pieces.
fn show_aside(text: &str, is_over: &mut impl FnMut() -> bool) -> io::Result<()> {
    io::stdout().execute(LeaveAlternateScreen)?.execute(Print(text))?;
    while !is_over() {
        if event::poll(REFRESH)? && matches!(event::read()?, Happening::Key(_)) {
            break;
        }
    }
    io::stdout().execute(EnterAlternateScreen).map(drop)
}

#[expect(clippy::disallowed_methods, reason = "how long a key is held, nobody else knows")]
fn now() -> Instant {
    Instant::now()
}

/// A reader that panicked has changed nothing.
fn lock(conference: &Mutex<Conference>) -> MutexGuard<'_, Conference> {
    conference.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two looks at the conference; a key is taken at once.
const REFRESH: Duration = Duration::from_millis(100);
