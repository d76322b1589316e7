//! Who heard whom, from the recordings alone, and what it comes to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alm_media::{Playing, SAMPLE_RATE, WavError, heard, read_wav};
use tokio::task::spawn_blocking;

use super::cast::SPEAKERS;
use super::folder::Folder;
use super::picture::Ink;
use super::view::{Plan, View};
use crate::cli::error::{CliError, reason};

/// The share of a voice's windows from which on it was heard. A voice that is not there is found in fewer than one of
/// six by chance; all of a voice that is there are found unless the machine has no time for eight processes.
const HEARD_MIN: f64 = 0.6;
/// The share of the own voice's windows from which on it is an echo.
const ECHO_MIN: f64 = 0.3;

/// Shares of speech windows found, 0 to 1: for each ear, of each voice.
pub(super) struct Hearing {
    shares: Vec<Vec<f64>>,
}

impl Hearing {
    /// Listens to the first `lengths` of the recordings, all at once.
    pub(super) async fn of(folder: &Folder, lengths: &[Duration]) -> Result<Self, CliError> {
        let voices: Vec<Vec<f32>> =
            SPEAKERS.iter().map(|speaker| read(&folder.voice(speaker.name))).collect::<Result<_, _>>()?;
        let voices = Arc::new(voices);
        let ears = SPEAKERS.iter().zip(lengths).map(|(speaker, length)| {
            let (voices, recording) = (voices.clone(), folder.recording(speaker.name));
            let samples = (length.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize;
            spawn_blocking(move || {
                let mut recording = read(&recording)?;
                recording.truncate(samples);
                let voices: Vec<&[f32]> = voices.iter().map(Vec::as_slice).collect();
                Ok(heard(&voices, Playing::Looped, &recording).iter().map(|heard| heard.share).collect())
            })
        });
        let mut shares = Vec::new();
        for ear in ears.collect::<Vec<_>>() {
            let row =
                ear.await.map_err(|_| CliError::failed("an ear broke down", "", "please report this"))?;
            shares.push(row?);
        }
        Ok(Self { shares })
    }

    /// As a table: rows are ears, columns voices.
    pub(super) fn table(&self, view: &View, ink: Ink) -> Vec<String> {
        let names = || SPEAKERS.iter().map(|speaker| speaker.name);
        let head: String = names().map(|name| format!("    {}", ink.name(view, name, 3))).collect();
        let mut lines = vec![format!(" {}{head}", ink.dim(&format!("{:<11}", "heard by")))];
        for ((ear, name), shares) in names().enumerate().zip(&self.shares) {
            let cell = |(voice, share): (usize, &f64)| {
                let text = if voice == ear && *share < ECHO_MIN { "-".to_owned() } else { percent(*share) };
                let text = format!("{text:>7}");
                if is_right(ear, voice, *share) { text } else { ink.bad(&text) }
            };
            let cells: String = shares.iter().enumerate().map(cell).collect();
            lines.push(format!(" {}   {cells}", ink.name(view, name, 8)));
        }
        lines
    }

    /// The sentence that it all comes to.
    pub(super) fn verdict(&self, plan: &Plan, folder: &Folder, ink: Ink) -> Result<String, CliError> {
        let out = folder.out().display();
        let failed = |what: String| CliError::failed(what, format_args!("{out}"), "listen to the WAVs there");
        let wrong = self.wrong();
        if !wrong.is_empty() {
            return Err(failed(wrong.join(", ")));
        }
        let relays = plan.relays();
        let helpers = plan.helpers.iter().filter(|helper| relays.contains(helper.as_str())).count();
        let members = relays.len() - helpers - usize::from(relays.contains(plan.root.as_str()));
        // The degrees are made for one tree, which takes both; a forest may do without.
        let is_shared = plan.trees.len() == 1;
        if is_shared && helpers == 0 {
            return Err(failed("no helper relayed".to_owned()));
        }
        if is_shared && members == 0 {
            return Err(failed("no member relayed but the host".to_owned()));
        }
        let pairs = self.pairs().filter(|(ear, voice, _)| ear != voice);
        let worst = pairs.map(|(.., share)| share).fold(1.0, f64::min);
        let hops = plan.trees.iter().map(super::view::Tree::hops_max).max().unwrap_or(0);
        Ok(format!(
            "{}: {} members heard each other (worst {}) over {} and {}; longest path {hops} hops; WAVs in {out}",
            ink.good("OK"),
            SPEAKERS.len(),
            percent(worst),
            counted(helpers, "helper"),
            counted(members, "relaying member"),
        ))
    }

    /// Sentences about pairs that are not as they should be.
    fn wrong(&self) -> Vec<String> {
        let wrong = self.pairs().filter(|(ear, voice, share)| !is_right(*ear, *voice, *share));
        wrong
            .map(|(ear, voice, share)| {
                let (ear_name, voice_name, share) =
                    (SPEAKERS[ear].name, SPEAKERS[voice].name, percent(share));
                if ear == voice {
                    format!("{ear_name} heard the own voice ({share})")
                } else {
                    format!("{ear_name} did not hear {voice_name} ({share})")
                }
            })
            .collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize, f64)> {
        let row = |(ear, row): (usize, &Vec<f64>)| {
            row.iter().enumerate().map(|(voice, share)| (ear, voice, *share)).collect::<Vec<_>>()
        };
        self.shares.iter().enumerate().flat_map(row)
    }
}

fn is_right(ear: usize, voice: usize, share: f64) -> bool {
    if ear == voice { share < ECHO_MIN } else { share >= HEARD_MIN }
}

fn percent(share: f64) -> String {
    // Cut off, not rounded: 100 % is all of it.
    format!("{} %", (share * 100.0) as u32)
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn read(path: &Path) -> Result<Vec<f32>, CliError> {
    read_wav(path).map_err(|error| match &error {
        WavError::Malformed { what, .. } => {
            let (what, todo) = what.split_once("; ").unwrap_or((what, ""));
            CliError::failed(what, path.display(), todo)
        }
        WavError::Io { source, .. } => {
            CliError::failed(format_args!("cannot read a recording ({})", reason(source)), path.display(), "")
        }
        WavError::Full(_) => CliError::failed(&error, "", ""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::view::Tree;

    fn hearing(change: impl Fn(usize, usize) -> Option<f64>) -> Hearing {
        let share = |ear, voice| change(ear, voice).unwrap_or(if ear == voice { 0.0 } else { 0.97 });
        Hearing { shares: (0..5).map(|ear| (0..5).map(|voice| share(ear, voice)).collect()).collect() }
    }

    fn plan(edges: &[(&str, &str)], helpers: &[&str]) -> Plan {
        let sources = SPEAKERS.iter().map(|speaker| speaker.name.to_owned()).collect();
        let edges = edges.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let helpers = helpers.iter().map(|helper| (*helper).to_owned()).collect();
        Plan {
            epoch: 1,
            root: "ada".to_owned(),
            trees: vec![Tree { sources, edges }],
            helpers,
            worst_ms: 0.0,
        }
    }

    const GOOD: [(&str, &str); 5] =
        [("ada", "h"), ("h", "ben"), ("h", "chi"), ("ben", "dee"), ("chi", "eli")];

    fn verdict(hearing: &Hearing, plan: &Plan) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::make(dir.path()).unwrap();
        let place = dir.path().display().to_string();
        let verdict = hearing.verdict(plan, &folder, Ink { colours: false });
        verdict.map(|line| line.replace(&place, "DIR")).map_err(|e| e.to_string().replace(&place, "DIR"))
    }

    #[test]
    fn all_is_well() {
        let line = verdict(&hearing(|_, _| None), &plan(&GOOD, &["h"])).unwrap();
        let said = "OK: 5 members heard each other (worst 97 %) over 1 helper and 2 relaying members; \
                    longest path 4 hops; WAVs in DIR";
        assert_eq!(line, said);
    }

    #[test]
    fn who_did_not_hear_whom_is_named() {
        let deaf = hearing(|ear, voice| ((ear, voice) == (1, 4)).then_some(0.125));
        let said = verdict(&deaf, &plan(&GOOD, &["h"])).unwrap_err();
        assert_eq!(said, "ben did not hear eli (12 %): DIR; listen to the WAVs there");
        let echo = hearing(|ear, voice| ((ear, voice) == (0, 0)).then_some(0.9));
        assert!(
            verdict(&echo, &plan(&GOOD, &["h"])).unwrap_err().starts_with("ada heard the own voice (90 %)")
        );
    }

    #[test]
    fn without_relays_it_proves_nothing() {
        let chain = [("ada", "ben"), ("ben", "chi"), ("chi", "dee"), ("dee", "eli")];
        let said = verdict(&hearing(|_, _| None), &plan(&chain, &[])).unwrap_err();
        assert!(said.starts_with("no helper relayed"), "{said}");
        let star = [("ada", "h"), ("h", "ben"), ("h", "chi"), ("h", "dee"), ("h", "eli")];
        let said = verdict(&hearing(|_, _| None), &plan(&star, &["h"])).unwrap_err();
        assert!(said.starts_with("no member relayed but the host"), "{said}");
    }
}
