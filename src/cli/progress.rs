//! Progress of what takes longer than a second: a bar on stderr if that is a terminal, else nothing.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over so many of what `noun` names.
pub(super) fn bar(count: u64, noun: &str) -> ProgressBar {
    styled(count, &format!("{{bar:40}} {{pos}}/{{len}} {noun}, {{eta}} left"))
}

/// A bar of shares: `set_position` takes thousandths.
pub(super) fn share_bar(what: &str) -> ProgressBar {
    styled(1000, &format!("{{bar:40}} {{percent}} % of {what}, {{eta}} left"))
}

fn styled(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
