//! Where it is shown: drawn anew in place on a terminal, or as plain lines.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use terminal_size::{Height, terminal_size};
use tokio::time::Instant;

use super::picture::{Ink, Progress, picture, table, tree};
use super::view::View;
use crate::cli::error::CliError;

/// Between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(3);

/// See the [module](self).
pub(super) struct Screen<'a> {
    out: &'a mut dyn Write,
    is_terminal: bool,
    pub(super) ink: Ink,
    /// Lines of the picture that stands there now.
    drawn: usize,
    /// When the last plain line was written.
    said: Option<Instant>,
    /// What goes on, as last said in plain lines.
    doing: String,
    /// The epoch last drawn or told of.
    epoch: u64,
}

impl<'a> Screen<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        let is_terminal =
            io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (said, doing) = (None, String::new());
        Self { out, is_terminal, ink: Ink { colours }, drawn: 0, said, doing, epoch: 0 }
    }

    /// Shows how things are at `now`.
    pub(super) fn show(&mut self, view: &View, progress: &Progress, now: Instant) -> Result<(), CliError> {
        let shown = if self.is_terminal { self.draw(view, progress) } else { self.tell(view, progress, now) };
        shown.and_then(|()| self.out.flush()).map_err(CliError::from_stdout)
    }

    /// Whether a plan is there that has not been shown.
    pub(super) fn is_outdated(&self, view: &View) -> bool {
        view.is_complete() && view.plan().is_some_and(|plan| plan.epoch != self.epoch)
    }

    /// Draws over what stands there.
    fn draw(&mut self, view: &View, progress: &Progress) -> io::Result<()> {
        self.epoch = view.plan().map_or(0, |plan| plan.epoch);
        let rows = terminal_size().map_or(24, |(_, Height(rows))| usize::from(rows));
        let mut lines = picture(view, progress, self.ink);
        // What scrolls out of sight cannot be drawn over.
        lines.truncate(rows.saturating_sub(1).max(1));
        // No cursor and no wrapping while it is drawn; from the first of its lines on.
        write!(self.out, "\x1b[?25l\x1b[?7l")?;
        if self.drawn > 0 {
            write!(self.out, "\x1b[{}A", self.drawn)?;
        }
        for line in &lines {
            writeln!(self.out, "\r{line}\x1b[K")?;
        }
        write!(self.out, "\x1b[J\x1b[?7h")?;
        self.drawn = lines.len();
        Ok(())
    }

    fn tell(&mut self, view: &View, progress: &Progress, now: Instant) -> io::Result<()> {
        // Plans for some of the members are on the way there, and no news.
        if let Some(plan) = view.plan().filter(|plan| plan.epoch != self.epoch && view.is_complete()) {
            self.epoch = plan.epoch;
            writeln!(self.out, "tree {}:", plan.epoch)?;
            for line in tree(view, plan, self.ink) {
                writeln!(self.out, "{line}")?;
            }
        }
        let due = self.said.is_none_or(|said| now - said >= PLAIN_INTERVAL);
        if !progress.talking {
            if progress.doing != self.doing {
                writeln!(self.out, "{}", progress.doing)?;
                self.doing.clone_from(&progress.doing);
            }
        } else if due {
            self.said = Some(now);
            let all = view.speakers().len();
            let media = || view.speakers().iter().flat_map(|speaker| speaker.media.values());
            let (packets, lost): (u64, u64) =
                (media().map(|m| m.packets).sum(), media().map(|m| m.lost).sum());
            let path_ms = media().filter_map(|m| m.path_ms).fold(0.0, f64::max);
            writeln!(
                self.out,
                "{}: {} of {all} hear all others, {packets} packets, {lost} lost, longest path {path_ms:.1} ms",
                progress.doing,
                view.hear_all(),
            )?;
        }
        Ok(())
    }

    /// Where there is no picture: the figures, once.
    pub(super) fn figures(&mut self, view: &View) -> Result<(), CliError> {
        match view.plan() {
            Some(plan) if !self.is_terminal => self.lines(&table(view, plan, self.ink)),
            _ => Ok(()),
        }
    }

    /// Writes lines below the picture.
    pub(super) fn lines(&mut self, lines: &[String]) -> Result<(), CliError> {
        let mut write = || {
            lines.iter().try_for_each(|line| writeln!(self.out, "{line}"))?;
            self.out.flush()
        };
        write().map_err(CliError::from_stdout)
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        if self.is_terminal {
            // The cursor again, and a line without the `^C` that the terminal may have put there. Nobody can be told
            // if the terminal is gone.
            let _ = write!(self.out, "\r\x1b[K\x1b[?25h\x1b[?7h").and_then(|()| self.out.flush());
        }
    }
}
