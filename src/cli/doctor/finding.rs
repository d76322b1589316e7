//! What a check has found, as a line for people and as an object for programs.

use serde::Serialize;

use crate::cli::report::unix_seconds;

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It works.
    Ok,
    /// It works less well than it could, or a conference does without.
    Warning,
    /// A conference cannot do without.
    Failed,
    /// It could not be looked at.
    Unknown,
}

/// One line of the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Finding {
    name: &'static str,
    pub(super) verdict: Verdict,
    said: String,
    todo: Option<String>,
}

#[derive(Serialize)]
struct Check<'a> {
    event: &'static str,
    t: f64,
    check: String,
    verdict: Verdict,
    said: &'a str,
    todo: Option<&'a str>,
}

/// Where what was found begins on the line.
const SAID_AT: usize = 24;
/// A screen of 80 columns.
const WIDTH: usize = 80;

impl Finding {
    pub(super) fn ok(name: &'static str, said: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, said: said.into(), todo: None }
    }

    pub(super) fn warning(name: &'static str, said: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, said: said.into(), todo: Some(todo.into()) }
    }

    pub(super) fn failed(name: &'static str, said: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Failed, said: said.into(), todo: Some(todo.into()) }
    }

    pub(super) fn unknown(name: &'static str, said: impl Into<String>, todo: Option<&str>) -> Self {
        Self { name, verdict: Verdict::Unknown, said: said.into(), todo: todo.map(str::to_owned) }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// One object, on one line.
    pub(super) fn json(&self) -> String {
        let check = Check {
            event: "check",
            t: unix_seconds(),
            check: self.name.replace(' ', "_").to_lowercase(),
            verdict: self.verdict,
            said: &self.said,
            todo: self.todo.as_deref(),
        };
        format!("{}\n", serde_json::to_string(&check).unwrap_or_default())
    }

    /// What was found, and below it what to do.
    pub(super) fn text(&self) -> String {
        let mark = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED",
            Verdict::Unknown => "unknown",
        };
        let mut text = format!("{mark:<8} {:<14} ", self.name);
        let mut first = true;
        let todo = self.todo.iter().flat_map(|todo| wrapped(todo).into_iter().enumerate());
        let todo = todo.map(|(i, line)| if i == 0 { format!("> {line}") } else { format!("  {line}") });
        for line in wrapped(&self.said).into_iter().chain(todo) {
            if !std::mem::take(&mut first) {
                text.extend(std::iter::repeat_n(' ', SAID_AT));
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Lines that fit beside the name, and beside a mark of two.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the start");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH - SAID_AT - 2 {
            lines.push(word.to_owned());
        } else {
            line.extend((!line.is_empty()).then_some(' '));
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_fits_a_screen_and_a_program() {
        let long = "the kernel grants 208 KiB of the 1,024 KiB that a relay wants for what comes in";
        let finding = Finding::warning("kernel buffers", long, "sysctl -w net.core.rmem_max=2097152");
        let text = finding.text();
        assert!(text.starts_with("warning  kernel buffers the kernel grants 208 KiB"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.lines().last().is_some_and(|line| line.trim_start().starts_with("> sysctl")), "{text}");
        let check: serde_json::Value = serde_json::from_str(&finding.json()).unwrap();
        assert_eq!((&check["check"], &check["verdict"]), (&"kernel_buffers".into(), &"warning".into()));
        assert_eq!((&check["said"], &check["event"]), (&long.into(), &"check".into()));
        assert!(Finding::ok("clock", "right").json().contains("\"todo\":null"));
    }
}
