//! Where a flag's value comes from when it is not typed: the environment, then the configuration file.
//!
//! Nothing is declared twice: every long flag F of every command gets the variable `ALM_F` and, as its default, the
//! value of key F in the file. A top-level key speaks to all commands that have the flag, a key in `[command]` to
//! that one. Keys that no command has are refused, so that a misspelt one does not go unnoticed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};
use etcetera::{BaseStrategy, choose_base_strategy};
use toml::de::{DeTable, DeValue};

use super::error::{CliError, reason};

/// The values of a configuration file.
#[derive(Debug, Default)]
pub(super) struct Config {
    path: PathBuf,
    entries: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// `None` for a top-level key: any command that has the flag.
    command: Option<String>,
    key: String,
    values: Vec<String>,
    line: usize,
}

impl Config {
    /// The file that `args` or `ALM_CONFIG` name, or else the default one if there is one.
    pub(super) fn find(args: &[OsString]) -> Result<Self, CliError> {
        let named = named_file(args).or_else(|| env::var_os("ALM_CONFIG").filter(|value| !value.is_empty()));
        let explicit = named.is_some();
        let default = || Some(choose_base_strategy().ok()?.config_dir().join("alm").join("config.toml"));
        let Some(path) = named.map(PathBuf::from).or_else(default) else { return Ok(Self::default()) };
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if !explicit && error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CliError::wrong(
                format_args!("cannot read the configuration file ({})", reason(&error)),
                path.display(),
                "name a TOML file with --config",
            )),
        }
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, CliError> {
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            CliError::wrong("the configuration is not TOML", place(&path, line), error.message())
        })?;
        let mut config = Self { path, entries: Vec::new() };
        for (key, value) in table.get_ref() {
            let (name, line) = (key.get_ref().to_string(), line_at(text, key.span().start));
            if let DeValue::Table(inner) = value.get_ref() {
                for (key, value) in inner {
                    let line = line_at(text, key.span().start);
                    config.push(Some(name.clone()), key.get_ref().to_string(), value.get_ref(), line)?;
                }
            } else {
                config.push(None, name, value.get_ref(), line)?;
            }
        }
        Ok(config)
    }

    fn push(
        &mut self,
        command: Option<String>,
        key: String,
        value: &DeValue<'_>,
        line: usize,
    ) -> Result<(), CliError> {
        let values = match value {
            DeValue::Array(values) => values.iter().map(|value| scalar(value.get_ref())).collect(),
            value => scalar(value).map(|value| vec![value]),
        };
        let values = values.ok_or_else(|| {
            let place = place(&self.path, line);
            CliError::wrong(
                format_args!("bad value of '{key}' in the configuration"),
                place,
                "use a string, a number, true or false, or a list of them",
            )
        })?;
        self.entries.push(Entry { command, key, values, line });
        Ok(())
    }

    /// The command line's definition with the environment and this file behind each flag.
    pub(super) fn apply(&self, mut root: Command) -> Result<Command, CliError> {
        self.check_keys(&root)?;
        let names: Vec<String> =
            root.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for name in names {
            root = root.mut_subcommand(&name, |command| command.mut_args(|flag| self.back(&name, flag)));
        }
        Ok(root)
    }

    fn check_keys(&self, root: &Command) -> Result<(), CliError> {
        for entry in &self.entries {
            let commands: Vec<&Command> = root
                .get_subcommands()
                .filter(|command| entry.command.as_deref().is_none_or(|name| name == command.get_name()))
                .collect();
            let place = place(&self.path, entry.line);
            if let (Some(name), true) = (&entry.command, commands.is_empty()) {
                let what = format!("unknown table [{name}] in the configuration");
                return Err(CliError::wrong(what, place, "name it after a command of alm"));
            }
            let known = commands.iter().flat_map(|command| command.get_arguments());
            if !known.filter_map(Arg::get_long).any(|long| long == entry.key) {
                return Err(CliError::wrong(
                    format_args!("unknown key '{}' in the configuration", entry.key),
                    place,
                    "name it after a flag, without the dashes",
                ));
            }
        }
        Ok(())
    }

    fn back(&self, command: &str, flag: Arg) -> Arg {
        let Some(long) = flag.get_long().map(str::to_owned) else { return flag };
        let mut flag = flag.env(variable(&long)).hide_env(true);
        if matches!(flag.get_action(), ArgAction::SetTrue) {
            flag = flag.value_parser(BoolishValueParser::new());
        }
        match self.entry(command, &long) {
            None => flag,
            Some(entry) if matches!(flag.get_action(), ArgAction::Append) => {
                flag.required(false).default_values(entry.values.clone())
            }
            Some(entry) => flag.required(false).default_value(entry.values.join(",")),
        }
    }

    /// What every flag of a command comes to if it is not typed, by name; flags that are not set have no line.
    pub(super) fn settings(&self, command: &Command) -> Vec<(String, String, Origin)> {
        let mut set: Vec<(String, String, Origin)> = command
            .get_arguments()
            .filter_map(|flag| {
                let long = flag.get_long().filter(|long| !matches!(*long, "help" | "version" | "config"))?;
                let variable = variable(long);
                if let Some(value) = env::var_os(&variable).filter(|value| !value.is_empty()) {
                    let value = value.to_string_lossy().into_owned();
                    return Some((long.to_owned(), value, Origin(variable)));
                }
                if let Some(entry) = self.entry(command.get_name(), long) {
                    let origin = Origin(place(&self.path, entry.line));
                    return Some((long.to_owned(), entry.values.join(","), origin));
                }
                let values = flag.get_default_values().iter().map(|value| value.to_string_lossy());
                let value = values.collect::<Vec<_>>().join(",");
                // A switch is off, which every reader takes for granted.
                let switch = matches!(flag.get_action(), ArgAction::SetTrue);
                (!value.is_empty() && !switch).then(|| (long.to_owned(), value, Origin("default".to_owned())))
            })
            .collect();
        set.sort();
        set
    }

    /// What the file says about a flag; the command's own table goes before the top level.
    fn entry(&self, command: &str, long: &str) -> Option<&Entry> {
        let of = |owner: Option<&str>| {
            self.entries.iter().find(|entry| entry.key == long && entry.command.as_deref() == owner)
        };
        of(Some(command)).or_else(|| of(None))
    }

    /// Where a bad value came from: the command line, the environment or this file. `flag` is as clap shows it.
    pub(super) fn place_of(&self, flag: &str, value: &str, args: &[OsString]) -> String {
        let shown = flag.split_whitespace().next().unwrap_or(flag);
        let typed = args.iter().filter_map(|arg| arg.to_str());
        let Some(long) = shown.strip_prefix("--") else { return format!("{shown} {value}") };
        if typed.clone().any(|arg| arg.split('=').next() == Some(shown)) {
            return format!("{shown} {value}").trim_end().to_owned();
        }
        if env::var_os(variable(long)).is_some() {
            return format!("{}={value}", variable(long));
        }
        let entry = typed.filter_map(|arg| self.entry(arg, long)).find(|entry| entry.key == long);
        match entry {
            Some(entry) => format!("{long} = {value} in {}", place(&self.path, entry.line)),
            None => format!("{shown} {value}"),
        }
    }
}

/// Where a setting comes from: a variable, a line of the file, or the program itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Origin(String);

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The environment variable of a flag.
fn variable(long: &str) -> String {
    format!("ALM_{}", long.to_ascii_uppercase().replace('-', "_"))
}

/// What `--config` says; read ahead of everything else, as it decides on the defaults of all other flags.
fn named_file(args: &[OsString]) -> Option<OsString> {
    let mut args = args.iter().skip(1).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().cloned();
        }
        if let Some(file) = arg.to_str().and_then(|arg| arg.strip_prefix("--config=")) {
            return Some(file.into());
        }
    }
    None
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn place(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let flags = || {
            [
                Arg::new("rate").long("rate").required(true),
                Arg::new("helper").long("helper-min").value_parser(clap::value_parser!(u32)),
                Arg::new("quiet").long("quiet").action(ArgAction::SetTrue),
                Arg::new("peer").long("peer").action(ArgAction::Append),
            ]
        };
        Command::new("alm")
            .subcommand(Command::new("plan").args(flags()))
            .subcommand(Command::new("host").args(flags()))
    }

    fn parse(text: &str) -> Config {
        Config::parse("c.toml".into(), text).unwrap()
    }

    fn matches(text: &str, typed: &[&str]) -> clap::ArgMatches {
        let all = ["alm", "plan"].iter().chain(typed);
        let root = parse(text).apply(command()).unwrap().try_get_matches_from(all).unwrap();
        root.subcommand().unwrap().1.clone()
    }

    fn refused(text: &str) -> String {
        let config = Config::parse("c.toml".into(), text);
        config.and_then(|config| config.apply(command())).unwrap_err().to_string()
    }

    #[test]
    fn a_typed_flag_wins_over_the_file_and_the_commands_table_over_the_top() {
        let file = "rate = '1k'\nhelper-min = 3\nquiet = true\npeer = ['a', 'b']\n[plan]\nrate = '2k'\n";
        let found = matches(file, &[]);
        assert_eq!(found.get_one::<String>("rate").unwrap(), "2k");
        assert_eq!(found.get_one::<u32>("helper"), Some(&3));
        assert!(found.get_flag("quiet"));
        assert_eq!(found.get_many::<String>("peer").unwrap().collect::<Vec<_>>(), ["a", "b"]);
        let found = matches(file, &["--rate", "3k", "--peer", "c"]);
        assert_eq!(found.get_one::<String>("rate").unwrap(), "3k");
        assert_eq!(found.get_many::<String>("peer").unwrap().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn settings_say_where_they_come_from() {
        let config = parse("rate = '1k'\n[host]\nrate = '2k'\n");
        let command = command();
        let settings = |name: &str| config.settings(command.find_subcommand(name).unwrap());
        assert_eq!(settings("plan"), [("rate".into(), "1k".into(), Origin("c.toml:1".into()))]);
        assert_eq!(settings("host"), [("rate".into(), "2k".into(), Origin("c.toml:3".into()))]);
    }

    #[test]
    fn what_nobody_knows_is_refused_with_its_line() {
        assert_eq!(
            refused("\nrat = 1\n"),
            "unknown key 'rat' in the configuration: c.toml:2; name it after a flag, without the dashes"
        );
        assert_eq!(
            refused("[plans]\nrate = '1'\n"),
            "unknown table [plans] in the configuration: c.toml:2; name it after a command of alm"
        );
        assert!(refused("rate = 1\nrate =\n").starts_with("the configuration is not TOML: c.toml:2;"));
        assert!(refused("rate = 2020-01-01").contains("bad value of 'rate' in the configuration: c.toml:1"));
    }

    #[test]
    fn a_bad_value_is_traced_to_its_line() {
        let config = parse("\n[plan]\nhelper-min = 'x'\n");
        let args = ["alm", "plan"].map(OsString::from);
        assert_eq!(config.place_of("--helper-min <N>", "x", &args), "helper-min = x in c.toml:3");
        let typed = ["alm", "plan", "--helper-min=y"].map(OsString::from);
        assert_eq!(config.place_of("--helper-min <N>", "y", &typed), "--helper-min y");
    }

    #[test]
    fn the_config_flag_is_found_anywhere_before_two_dashes() {
        let args = |typed: &[&str]| typed.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(named_file(&args(&["alm", "plan", "--config", "x"])), Some("x".into()));
        assert_eq!(named_file(&args(&["alm", "--config=y", "plan"])), Some("y".into()));
        assert_eq!(named_file(&args(&["alm", "plan", "--", "--config", "x"])), None);
    }
}
