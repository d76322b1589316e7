//! A bench for people to read, and as CSV.

use std::io::{self, Write};

use alm_planner::{Algorithm, Objective};

use super::session::SessionLine;
use super::summary::{self, Summary, mean, of_group, percentile, plans};

/// Writes one table a group size.
pub(super) fn write(lines: &[SessionLine], summaries: &[Summary], out: &mut dyn Write) -> io::Result<()> {
    let groups = summary::groups(lines);
    for (at, (summary, group)) in summaries.iter().zip(groups).enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        write_one(&of_group(lines, group), summary, group, out)?;
    }
    Ok(())
}

fn write_one(lines: &[&SessionLine], summary: &Summary, group: usize, out: &mut dyn Write) -> io::Result<()> {
    let bound = mean(lines.iter().map(|line| line.lower_bound_ms)).unwrap_or(0.0);
    let objective = match summary.objective {
        Objective::Forest => "worst pair",
        objective => objective.name(),
    };
    writeln!(
        out,
        "{}: {} sessions of {group}; no {objective} can be below {bound:.1} ms on average",
        summary.matrix, summary.sessions,
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "{:15} {:>22}  {:>22}  {:>8} {:>17}               {:>15}",
        "", "height, ms", "diameter, ms", "better", "over the bound", "planned in"
    )?;
    let columns = "  mean  median     p95";
    writeln!(
        out,
        "{:15} {columns:>22}  {columns:>22}  {:>8} {:>8} {:>8} helpers  hops {:>7} {:>7}",
        "algorithm", "(amcast)", "mean", "p90", "median", "p99"
    )?;
    let mut notes = Vec::new();
    for row in &summary.algorithms {
        let plans = plans(lines, row.name);
        let spread = |figures: Vec<f64>| {
            let mean = mean(figures.iter().copied());
            [mean, percentile(figures.clone(), 0.5), percentile(figures, 0.95)]
                .map(|ms| cell(ms, |ms| format!("{ms:.1}")))
        };
        let [h, h50, h95] = spread(plans.iter().map(|plan| plan.height_ms).collect());
        let [d, d50, d95] = spread(plans.iter().map(|plan| plan.diameter_ms).collect());
        let excess = plans.iter().map(|plan| plan.degree_excess).max().unwrap_or(0);
        let failed = lines.len() - plans.len();
        let mark = if excess > 0 { "*" } else { "" };
        writeln!(
            out,
            "{:15} {h:>6} {h50:>7} {h95:>7}  {d:>6} {d50:>7} {d95:>7}  {:>8} {:>8} {:>8} {:>7} {:>5} {:>7} {:>7}",
            format!("{}{mark}", row.name),
            cell(row.improvement, |share| format!("{:+.1} %", 100.0 * share)),
            cell(row.ratio_to_bound, |ratio| format!("{:.1} %", 100.0 * (ratio - 1.0))),
            cell(row.ratio_to_bound_p90, |ratio| format!("{:.1} %", 100.0 * (ratio - 1.0))),
            cell(row.helpers_mean, |helpers| format!("{helpers:.1}")),
            cell(row.hops_mean, |hops| format!("{hops:.1}")),
            cell(row.plan_us_p50, duration),
            cell(row.plan_us_p99, duration),
        )?;
        if excess > 0 {
            notes.push(format!("* {} gives a node up to {excess} links more than it can carry", row.name));
        }
        if let Some(fit) = row.fit {
            let cell = |ratio: Option<f64>| cell(ratio, |ratio| format!("{:+.1} %", 100.0 * (ratio - 1.0)));
            let (better, other) = (cell(row.over_unprotected), cell(row.other_over_unprotected));
            notes.push(format!(
                "{} fits two trees in {:.0} % of sessions, the better one {better} over one tree alone, the other {other}",
                row.name,
                100.0 * fit
            ));
        }
        if let Some(share) = row.gain_kept {
            let probes = row.probes_mean.map_or(String::new(), |probes| format!(" after {probes:.0} probes"));
            notes.push(format!(
                "{} keeps {:.0} % of what critical+adjust on measurements gains over amcast{probes}",
                row.name,
                100.0 * share
            ));
        }
        if failed > 0 {
            notes.push(format!("{} planned {} of {} sessions", row.name, plans.len(), lines.len()));
        }
    }
    if !notes.is_empty() {
        writeln!(out)?;
    }
    notes.iter().try_for_each(|note| writeln!(out, "{note}"))
}

fn cell<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or("-".to_owned(), text)
}

fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

/// One row an algorithm, the summary's fields as columns.
pub(super) fn write_csv(lines: &[SessionLine], summaries: &[Summary], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "matrix,objective,group,sessions,name,height_ms_mean,diameter_ms_mean,worst_ms_mean,mean_ms_mean,improvement,\
         ratio_to_bound,ratio_to_bound_p90,helpers_mean,hops_mean,fit,over_unprotected,other_over_unprotected,probes_mean,gain_kept,plan_us_p50,plan_us_p99"
    )?;
    for (summary, group) in summaries.iter().zip(summary::groups(lines)) {
        // A comma or a quote in a file's name must not end the cell.
        let matrix = format!("\"{}\"", summary.matrix.replace('"', "\"\""));
        for row in &summary.algorithms {
            let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
            let time = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
            let figures = [
                number(row.height_ms_mean),
                number(row.diameter_ms_mean),
                number(row.worst_ms_mean),
                number(row.mean_ms_mean),
                number(row.improvement),
                number(row.ratio_to_bound),
                number(row.ratio_to_bound_p90),
                number(row.helpers_mean),
                number(row.hops_mean),
                number(row.fit),
                number(row.over_unprotected),
                number(row.other_over_unprotected),
                number(row.probes_mean),
                number(row.gain_kept),
                time(row.plan_us_p50),
                time(row.plan_us_p99),
            ];
            let objective = summary.objective;
            writeln!(
                out,
                "{matrix},{objective},{group},{},{},{}",
                summary.sessions,
                row.name,
                figures.join(",")
            )?;
        }
    }
    Ok(())
}

/// What each algorithm is.
pub(super) fn write_list(out: &mut dyn Write) -> io::Result<()> {
    for &algorithm in Algorithm::ALL {
        writeln!(out, "{:15} {}", algorithm.name(), about(algorithm))?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "All plan for height and diameter, unicast and best for forest too. A bench runs all but exact."
    )
}

fn about(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Unicast => "a star from the root, whatever its degree",
        Algorithm::Random => "a random tree within the degrees",
        Algorithm::Compact => "compact tree (Shi and Turner 2002)",
        Algorithm::Narada => "a mesh with reverse path trees (Chu, Rao, Zhang 2000)",
        Algorithm::Esm => "the same for conferences: wide routes first, then short ones (2001)",
        Algorithm::Overcast => "down the tree while that costs no bandwidth (Jannotti and others 2000)",
        Algorithm::Scribe => "a reverse path tree over prefix routing (Castro and others 2002)",
        Algorithm::Splitstream => "two stripes, nobody interior in both trees (Castro and others 2003)",
        Algorithm::Amcast => "members only, the nearest to the root first",
        Algorithm::AmcastAdjust => "the same, adjusted afterwards",
        Algorithm::Critical => "members and helpers, where a node is about to fill up",
        Algorithm::CriticalAdjust => "the same, adjusted afterwards",
        Algorithm::ClosestAdjust => "the helper closest to that node instead, adjusted",
        Algorithm::Exact => "the optimum of up to 14 members and helpers",
        Algorithm::Best => "from the best of the above; up to 2,000 members never worse",
    }
}
