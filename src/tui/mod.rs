//! The terminal screen of a conference: [`screen`] draws what [`crate::face`] knows, [`keys`] says what a key means,
//! [`run`] is the loop between them and the terminal.

mod keys;
mod screen;

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ratatui::crossterm::event::{self, KeyEventKind};
use ratatui::crossterm::terminal::SetTitle;
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
            // Copied, so that nobody waits for a slow terminal.
            let seen = conference.lock().unwrap_or_else(PoisonError::into_inner).clone();
            terminal.draw(|frame| screen::draw(&seen, &screen, frame))?;
            if event::poll(REFRESH)?
                && let Happening::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && let Some(command) = screen.press(key, &seen)
            {
                // A driver that does not keep up with keys has more to do than this.
                let _ = commands.try_send(command);
            }
        }
        Ok(())
    })();
    ratatui::restore();
    shown
}

/// Between two looks at the conference; a key is taken at once.
const REFRESH: Duration = Duration::from_millis(100);
