//! The one line on stderr and the exit code: `alm: what is wrong: where (file:line or value); what to do`.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::num::ParseIntError;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::config::Config;

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    kind: Kind,
    what: String,
    place: String,
    todo: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The work failed: exit 1.
    Failed,
    /// Arguments or an input file are wrong: exit 2.
    Wrong,
    /// Whoever read stdout is gone: exit 0 and no word.
    Unheard,
}

impl CliError {
    /// The work failed, though the arguments were fine (exit 1): what is wrong, where, and what to do about it. The
    /// last two may be empty.
    pub fn failed(what: impl fmt::Display, place: impl fmt::Display, todo: impl fmt::Display) -> Self {
        Self::new(Kind::Failed, what, place, todo)
    }

    /// Arguments or an input file are wrong (exit 2): what is wrong, where (file:line or the value), and what to do
    /// about it. The last two may be empty.
    pub fn wrong(what: impl fmt::Display, place: impl fmt::Display, todo: impl fmt::Display) -> Self {
        Self::new(Kind::Wrong, what, place, todo)
    }

    /// Writing to stdout failed. A closed pipe ends the program quietly.
    pub fn from_stdout(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Kind::Unheard, "", "", "");
        }
        Self::failed("cannot write the output", format_args!("stdout ({})", reason(&error)), "")
    }

    fn new(kind: Kind, what: impl fmt::Display, place: impl fmt::Display, todo: impl fmt::Display) -> Self {
        Self { kind, what: one_line(what), place: one_line(place), todo: one_line(todo) }
    }

    /// A usage error, in the shape of all others.
    pub(super) fn from_clap(error: &clap::Error, args: &[OsString], config: &Config) -> Self {
        let text = |kind| error.get(kind).map(context_text).filter(|text| !text.is_empty());
        let flag = text(ContextKind::InvalidArg).unwrap_or_default();
        let help = help_command(args);
        let see_help = format!("see `{help}`");
        let suggest = |kind| text(kind).map_or(see_help.clone(), |near| format!("did you mean {near}?"));
        match error.kind() {
            ErrorKind::UnknownArgument if flag.starts_with('-') => {
                Self::wrong("unknown flag", flag, suggest(ContextKind::SuggestedArg))
            }
            ErrorKind::UnknownArgument => Self::wrong("unexpected argument", flag, see_help),
            ErrorKind::InvalidSubcommand => Self::wrong(
                "unknown command",
                text(ContextKind::InvalidSubcommand).unwrap_or_default(),
                suggest(ContextKind::SuggestedSubcommand),
            ),
            ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Self::wrong("a command is missing", "", see_help)
            }
            ErrorKind::MissingRequiredArgument => Self::wrong("a flag is missing", flag, see_help),
            ErrorKind::ArgumentConflict => match text(ContextKind::PriorArg).filter(|prior| *prior != flag) {
                Some(prior) => {
                    let both = format!("{flag} and {prior}");
                    Self::wrong("flags exclude each other", both, "give one of them")
                }
                None => Self::wrong("a flag is given twice", flag, "give it once"),
            },
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
                let value = text(ContextKind::InvalidValue).unwrap_or_default();
                let todo = match (std::error::Error::source(error), text(ContextKind::ValidValue)) {
                    (Some(source), _) if source.is::<ParseIntError>() => "use a whole number".to_owned(),
                    (Some(source), _) => source.to_string(),
                    (None, Some(valid)) => format!("use one of {valid}"),
                    (None, None) => see_help,
                };
                let what = if value.is_empty() { "a value is missing" } else { "bad value" };
                Self::wrong(what, config.place_of(&flag, &value, args), todo)
            }
            _ => Self::wrong(first_line(error), flag, see_help),
        }
    }

    /// What goes to stderr, if anything does.
    pub(super) fn line(&self) -> Option<String> {
        (self.kind != Kind::Unheard).then(|| format!("alm: {self}"))
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Failed => ExitCode::from(1),
            Kind::Wrong => ExitCode::from(2),
            Kind::Unheard => ExitCode::SUCCESS,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.place.is_empty() {
            write!(f, ": {}", self.place)?;
        }
        if !self.todo.is_empty() {
            write!(f, "; {}", self.todo)?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}

/// What the system says about a failed call, without its number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut text = text[..end].to_owned();
    if let Some(first) = text.get(..1) {
        let lower = first.to_ascii_lowercase();
        text.replace_range(..1, &lower);
    }
    text
}

fn context_text(value: &ContextValue) -> String {
    match value {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.join(", "),
        ContextValue::StyledStr(text) => text.to_string(),
        ContextValue::StyledStrs(texts) => {
            texts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        ContextValue::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The command whose help tells more.
fn help_command(args: &[OsString]) -> String {
    let known: Vec<String> = super::command_names();
    let typed = args.iter().skip(1).filter_map(|arg| arg.to_str());
    match typed.into_iter().find(|arg| known.iter().any(|name| name == arg)) {
        Some(name) => format!("alm {name} --help"),
        None => "alm --help".to_owned(),
    }
}

/// The text without line breaks and other control characters, whatever a file name or a value holds.
fn one_line(text: impl fmt::Display) -> String {
    text.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_one_shape() {
        let error = CliError::wrong("bad value", "a.rtt:3", "use a number");
        assert_eq!(error.line().unwrap(), "alm: bad value: a.rtt:3; use a number");
        assert_eq!(CliError::failed("no plan", "", "").line().unwrap(), "alm: no plan");
    }

    #[test]
    fn a_line_stays_one_line_whatever_a_file_is_called() {
        assert_eq!(CliError::wrong("no file", "a\nb\u{1b}c", "").line().unwrap(), "alm: no file: a b c");
    }

    #[test]
    fn a_closed_pipe_is_no_news() {
        let error = CliError::from_stdout(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.line(), None);
    }
}
