//! `alm sim watch`: false alarms of the watch over tree links on recorded lines.
//!
//! A series of round trips is taken for the delay of a line that fills and empties: what lies above half the shortest round
//! trip is a queue on the way of the media, which comes out in order. An unanswered ping stands for lost media.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

use crate::cli::error::CliError;
use crate::cli::input;
use crate::cli::units;
use crate::session::rehearse;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Recorded round trips of one line, ms, one a line, -1 where none came back; may be repeated
    #[arg(long, value_name = "FILE", required = true)]
    series: Vec<PathBuf>,

    /// From one round trip of a series to the next
    #[arg(long, value_name = "T", default_value = "100ms", value_parser = units::duration)]
    spacing: Duration,

    /// From one packet of the relay's to the next
    #[arg(long, value_name = "T", default_value = "20ms", value_parser = units::duration)]
    every: Duration,

    /// How the outcome is written
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
}

const EXAMPLE: &str = "\
Example:
  $ printf '20\\n21\\n250\\n240\\n22\\n' > line.series
  $ alm sim watch --series line.series";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One object a line for each series and place of the line
    Json,
}

/// One series, with the line at one end of the tree link.
#[derive(Debug, Serialize)]
struct Row {
    series: String,
    /// Whose line it is: the listener's, over which all comes to it, or the relay's alone.
    line_of: &'static str,
    hours: f64,
    /// The backup parent was asked as well.
    suspected_per_hour: f64,
    /// The parent was given up.
    given_up_per_hour: f64,
}

/// No packets closer together than Opus makes them.
const EVERY_MIN: Duration = Duration::from_micros(2_500);

/// Replays all series.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    if args.every < EVERY_MIN || args.spacing < EVERY_MIN {
        let what = format!("less than {EVERY_MIN:?} from one to the next");
        return Err(CliError::wrong(what, "--every or --spacing", "give longer times"));
    }
    let mut rows = Vec::new();
    for path in &args.series {
        rows.extend(replay(path, args)?);
    }
    write(&rows, args.format, out).map_err(CliError::from_stdout)
}

fn write(rows: &[Row], format: Format, out: &mut dyn Write) -> std::io::Result<()> {
    if let Format::Json = format {
        return rows.iter().try_for_each(|row| {
            serde_json::to_writer(&mut *out, row)?;
            writeln!(out)
        });
    }
    writeln!(
        out,
        "{:32} {:>8} {:>8} {:>12} {:>12}",
        "series", "line of", "hours", "suspected/h", "given up/h"
    )?;
    rows.iter().try_for_each(|row| {
        let Row { series, line_of, hours, suspected_per_hour, given_up_per_hour } = row;
        writeln!(
            out,
            "{series:32} {line_of:>8} {hours:8.3} {suspected_per_hour:12.1} {given_up_per_hour:12.1}"
        )
    })
}

fn replay(path: &Path, args: &Args) -> Result<[Row; 2], CliError> {
    let series = read(path)?;
    let shortest_ms = series.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let ms = |at: Duration| at.as_secs_f64() * 1_000.0;
    // Each value holds until the next: the harshest reading of what lies between.
    let place = |at: Duration| ((ms(at) / ms(args.spacing)) as usize).min(series.len() - 1);
    let time = args.spacing * series.len() as u32;
    let sent = |offset: Duration| {
        let all = std::iter::successors(Some(offset), |at| Some(*at + args.every));
        all.take_while(|at| *at < time).collect::<Vec<Duration>>()
    };
    let arrivals = |sent: Vec<Duration>| -> Vec<Duration> {
        let mut last = Duration::ZERO;
        let arrives = |at: Duration| {
            let delay_ms = series[place(at)]? - shortest_ms / 2.0;
            Some(at + Duration::from_secs_f64(delay_ms.max(0.0) / 1_000.0))
        };
        let mut in_order = |at: Duration| {
            last = last.max(at);
            last
        };
        sent.into_iter().filter_map(arrives).map(&mut in_order).collect()
    };
    let relay = arrivals(sent(Duration::ZERO));
    let behind = arrivals(sent(args.every / 2));
    let hours = time.as_secs_f64() / 3_600.0;
    let row = |line_of, others: &[Duration]| {
        let wrong = rehearse(&relay, others, origin());
        Row {
            series: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            line_of,
            hours,
            suspected_per_hour: wrong.suspected as f64 / hours,
            given_up_per_hour: wrong.dead as f64 / hours,
        }
    };
    Ok([row("listener", &behind), row("relay", &sent(args.every / 2))])
}

fn read(path: &Path) -> Result<Vec<Option<f64>>, CliError> {
    let text = input::read(path)?;
    let value = |(line, text): (usize, &str)| {
        let value = text.trim().parse::<f64>().ok().filter(|ms| *ms == -1.0 || (0.0..=MS_MAX).contains(ms));
        value.map(|ms| (ms >= 0.0).then_some(ms)).ok_or_else(|| {
            let place = format!("{}:{line}", path.display());
            CliError::wrong(format_args!("'{text}' is no round trip"), place, "write milliseconds, or -1")
        })
    };
    let series = input::data_lines(&text).map(value).collect::<Result<Vec<_>, _>>()?;
    if series.iter().flatten().next().is_none() {
        return Err(CliError::wrong("no round trip in the series", path.display(), "write one a line, ms"));
    }
    Ok(series)
}

#[expect(clippy::disallowed_methods, reason = "a time to count from; nothing waits")]
fn origin() -> Instant {
    Instant::now()
}

/// No round trip is longer.
const MS_MAX: f64 = 600_000.0;
