//! What happens during a run, and when: steps from flags and from a file, one a line.

use std::path::Path;
use std::time::Duration;

use crate::cli::error::CliError;
use crate::cli::input;
use crate::cli::units;

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// From when on all are in.
    pub(super) at: Duration,
    pub(super) act: Act,
    /// As it was written.
    pub(super) text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// Their processes end without a word, all at once.
    Kill(Vec<Who>),
    /// So many more come in.
    Join(usize),
    /// One says goodbye.
    Leave(Who),
    /// Another conference takes all that a helper carries.
    Preempt(Who),
    /// The host puts one out.
    Kick(Who),
    /// Every path loses this share of packets.
    Loss(f64),
    /// These reach nobody but each other.
    Part(Vec<Who>),
    /// A share of the members, the last ones, reach nobody but each other; the host is among the others.
    PartShare(f64),
    /// All reach all again.
    Heal,
    /// Between two, both ways: the share lost, and what is added to the delay.
    Spoil(Link, f64, Duration),
    /// All that was spoiled is as it was.
    Clear,
    /// An access line goes down.
    Cut(Who),
    /// And up again.
    Mend(Who),
}

/// A path between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// The link of the plan by which most hear those who talk.
    Busiest,
    /// Between these.
    Between(Who, Who),
}

/// Whom it happens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The member that relays for most others, but not the host.
    Relay,
    /// The helper that does.
    Helper,
    /// Whoever most would turn to when the relay before in the list is dead.
    Backup,
    /// The task manager.
    Host,
    /// `m3` or `h2`.
    Named(String),
}

/// What a step may be, for who wrote something else.
const STEPS: &str = "write TIME and one of: kill WHO..., join [N [every TIME]], leave WHO, kick WHO, preempt WHO, loss SHARE, partition WHO...|SHARE, heal, \
                     cut WHO, mend WHO, spoil link|WHO WHO [loss SHARE] [delay TIME], clear; WHO is relay, helper, backup, host, m3 or h2";
/// More members than one step lets in.
const JOIN_MAX: usize = 1_000;

impl Step {
    /// `WHO@TIME`, as `--kill` takes it.
    pub(super) fn kill(text: &str) -> Result<Self, String> {
        let (who, at) = text.split_once('@').ok_or("write WHO@TIME, such as relay@10s")?;
        let names = who.split('+');
        let all = names.map(Who::parse).collect::<Option<Vec<Who>>>();
        let act = Act::Kill(all.ok_or("kill relay, helper, backup, host or one by its name: m3, h2")?);
        Ok(Self { at: units::duration(at)?, act, text: format!("kill {who}") })
    }

    /// All lines of a file, in the order of their times.
    pub(super) fn read(path: &Path) -> Result<Vec<Self>, CliError> {
        let text = input::read(path)?;
        let steps = |(line, text): (usize, &str)| {
            Self::parse_all(text).ok_or_else(|| {
                let place = format!("{}:{line}", path.display());
                CliError::wrong(format_args!("'{text}' is no step"), place, STEPS)
            })
        };
        let all: Vec<Vec<Self>> = input::data_lines(&text).map(steps).collect::<Result<_, _>>()?;
        Ok(all.into_iter().flatten().collect())
    }

    /// A line's step, or those that it says come one after the other.
    fn parse_all(line: &str) -> Option<Vec<Self>> {
        let Some((first, every)) = line.split_once(" every ") else { return Some(vec![Self::parse(line)?]) };
        let (first, every) = (Self::parse(first)?, units::duration(every.trim()).ok()?);
        let Act::Join(count) = first.act else { return None };
        let nth = |nth: usize| Self {
            at: first.at + every * nth as u32,
            act: Act::Join(1),
            text: "join".to_owned(),
        };
        Some((0..count).map(nth).collect())
    }

    fn parse(line: &str) -> Option<Self> {
        let (time, text) = line.split_once(char::is_whitespace)?;
        let at = units::duration(time).ok()?;
        let mut words = text.split_whitespace();
        let (verb, rest): (&str, Vec<&str>) = (words.next()?, words.collect());
        let everybody = || rest.iter().map(|word| Who::parse(word)).collect::<Option<Vec<Who>>>();
        let act = match (verb, rest.as_slice()) {
            ("kill", [_, ..]) => Act::Kill(everybody()?),
            ("join", []) => Act::Join(1),
            ("join", [count]) => Act::Join(joiners(count)?),
            ("leave", [who]) => Act::Leave(Who::parse(who)?),
            ("kick", [who]) => Act::Kick(Who::parse(who)?),
            ("preempt", [who]) => Act::Preempt(Who::parse(who)?),
            ("loss", [share]) => Act::Loss(units::share(share).ok()?),
            ("partition", [share]) if units::share(share).is_ok() => {
                Act::PartShare(units::share(share).ok()?)
            }
            ("partition", [_, ..]) => Act::Part(everybody()?),
            ("heal", []) => Act::Heal,
            ("spoil", rest) => spoil(rest)?,
            ("clear", []) => Act::Clear,
            ("cut", [who]) => Act::Cut(Who::parse(who)?),
            ("mend", [who]) => Act::Mend(Who::parse(who)?),
            _ => return None,
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Self { at, act, text })
    }
}

fn joiners(count: &str) -> Option<usize> {
    count.parse().ok().filter(|count| (1..=JOIN_MAX).contains(count))
}

/// `link` or two names, and then how bad the path between them is to be.
fn spoil(words: &[&str]) -> Option<Act> {
    let (link, how) = match words {
        ["link", how @ ..] => (Link::Busiest, how),
        [one, other, how @ ..] => (Link::Between(Who::parse(one)?, Who::parse(other)?), how),
        _ => return None,
    };
    let (mut loss, mut delay) = (0.0, Duration::ZERO);
    for pair in how.chunks(2) {
        match *pair {
            ["loss", share] => loss = units::share(share).ok()?,
            ["delay", time] => delay = units::duration(time).ok()?,
            _ => return None,
        }
    }
    (!how.is_empty()).then_some(Act::Spoil(link, loss, delay))
}

impl Who {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "relay" => Self::Relay,
            "helper" => Self::Helper,
            "backup" => Self::Backup,
            "host" => Self::Host,
            name => {
                let number = name.strip_prefix(['m', 'h'])?;
                number.parse::<usize>().ok()?;
                Self::Named(name.to_owned())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_back() {
        let act = |line: &str| Step::parse(line).map(|step| step.act);
        assert_eq!(act("5s kill relay backup"), Some(Act::Kill(vec![Who::Relay, Who::Backup])));
        assert_eq!(act("250ms join"), Some(Act::Join(1)));
        let apart = Step::parse_all("1s join 3 every 2s").unwrap();
        let seconds: Vec<u64> = apart.iter().map(|step| step.at.as_secs()).collect();
        assert_eq!(seconds, [1, 3, 5]);
        assert!(apart.iter().all(|step| step.act == Act::Join(1)));
        assert_eq!(act("1m  leave  m3"), Some(Act::Leave(Who::Named("m3".into()))));
        assert_eq!(act("2s preempt helper"), Some(Act::Preempt(Who::Helper)));
        assert_eq!(act("3s loss 5%"), Some(Act::Loss(0.05)));
        assert_eq!(act("3s partition 50%"), Some(Act::PartShare(0.5)));
        assert_eq!(
            act("3s partition m3 h1"),
            Some(Act::Part(vec![Who::Named("m3".into()), Who::Named("h1".into())]))
        );
        assert_eq!(act("9s heal"), Some(Act::Heal));
        let ms = Duration::from_millis;
        assert_eq!(act("9s spoil link loss 20% delay 80ms"), Some(Act::Spoil(Link::Busiest, 0.2, ms(80))));
        let between = Link::Between(Who::Host, Who::Named("h2".into()));
        assert_eq!(act("9s spoil host h2 delay 80ms"), Some(Act::Spoil(between, 0.0, ms(80))));
        assert_eq!(act("9s clear"), Some(Act::Clear));
        for bad in [
            "",
            "5s",
            "kill relay",
            "5 kill relay",
            "5s kill",
            "5s kill x",
            "5s join 0",
            "5s loss 2",
            "5s spoil link",
            "5s spoil m1 loss 2%",
            "5s spoil m1 m2 loss",
            "5s dance",
        ] {
            assert_eq!(act(bad), None, "{bad}");
        }
        assert_eq!(Step::kill("relay+backup@2s").unwrap().act, act("2s kill relay backup").unwrap());
        assert!(Step::kill("relay").is_err() && Step::kill("x@2s").is_err());
    }
}
