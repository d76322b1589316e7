//! The picture: people at the left, the ways of the voices at the right, news below, a line of keys at the bottom.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph, Wrap};

use super::keys::{Overlay, Screen, hosts};
use super::talk::Talk;
use crate::event::{Media, Plan};
use crate::face::{Conference, TreeFormat};

/// Draws all of it; any size will do.
pub(super) fn draw(conference: &Conference, screen: &Screen, frame: &mut Frame<'_>) {
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(4),
        Constraint::Length(NEWS_LINES + 2),
        Constraint::Length(1),
    ]);
    let [head, middle, news, keys] = rows.areas(frame.area());
    let [people, ways] =
        Layout::horizontal([Constraint::Percentage(45), Constraint::Percentage(55)]).areas(middle);
    frame.render_widget(title(conference, screen.talk, head.width), head);
    frame.render_widget(people_pane(conference, screen, people), people);
    frame.render_widget(ways_pane(conference, screen), ways);
    let lines = conference.news.iter().rev().take(usize::from(NEWS_LINES)).rev();
    let lines: Vec<Line<'_>> = lines.map(|news| Line::from(plain(news))).collect();
    frame.render_widget(Paragraph::new(lines).block(pane("news")), news);
    match &screen.draft {
        // The end of it, where the next letter goes.
        Some(draft) => {
            let room = usize::from(keys.width.saturating_sub(6));
            let skipped = draft.chars().count().saturating_sub(room);
            let end: String = draft.chars().skip(skipped).collect();
            frame.render_widget(Line::from(format!(" say: {end}▏")).bold(), keys);
        }
        None => frame.render_widget(Line::from(KEYS).dim(), keys),
    }
    if let Some(overlay) = screen.overlay {
        cover(conference, screen, overlay, frame);
    }
}

fn pane(title: &'static str) -> Block<'static> {
    Block::bordered().border_type(BorderType::Rounded).border_style(Style::new().dim()).title(title)
}

/// What the conference is, and whether one is heard.
fn title(conference: &Conference, talk: Talk, width: u16) -> Line<'_> {
    let name = conference.session.as_ref().map_or("entering…", |session| session.name.as_str());
    let mut about = vec![Span::from(" "), Span::from(plain(name)).bold()];
    if !conference.members.is_empty() {
        about.push(Span::from(format!("  {} here", conference.members.len())));
    }
    if conference.locked {
        about.push(Span::from(", nobody new is let in").dim());
    }
    if conference.quiet {
        about.push(Span::from(", only the host is heard").dim());
    }
    if let Some(pool) = conference.pool.as_ref().filter(|pool| pool.size > 1) {
        about.push(Span::from(format!(", {} nodes in the pool", pool.size)).dim());
    }
    if !conference.recorders.is_empty() {
        about.push(Span::from("  "));
        about.push(Span::from(" recorded ").white().on_red());
    }
    let microphone = match (conference.muted, talk) {
        (true, Talk::Off) => Span::from(" mic OFF ").white().on_red(),
        (true, _) => Span::from(" mic OFF: hold space to talk ").white().on_red(),
        (false, _) => Span::from(" mic on ").black().on_green(),
    };
    let taken: usize = about.iter().map(Span::width).sum::<usize>() + microphone.width();
    about.push(Span::from(" ".repeat(usize::from(width).saturating_sub(taken))));
    about.push(microphone);
    Line::from(about)
}

fn people_pane<'a>(conference: &'a Conference, screen: &Screen, area: Rect) -> Paragraph<'a> {
    let room = usize::from(area.width.saturating_sub(2));
    let lines: Vec<Line<'_>> = conference
        .people()
        .into_iter()
        .enumerate()
        .map(|(i, (node, name))| {
            let own = node == conference.node;
            let heard = conference.heard.iter().any(|source| source == node);
            let mark = if own && conference.muted {
                Span::from("✕ ").red()
            } else if own || heard {
                Span::from("● ").green()
            } else {
                Span::from("○ ").dim()
            };
            let level = if own { conference.input_db } else { conference.levels_db.get(node).copied() };
            let right = match (conference.media.get(node), conference.volumes.get(node)) {
                _ if own => format!("{} you", meter(level)),
                (_, Some(0)) => format!("{} muted here", meter(level)),
                (Some(media), volume) => {
                    let changed = volume.filter(|percent| **percent != 100);
                    let how = changed.map_or_else(
                        || quality(media).to_owned(),
                        |percent| format!("{:<6}", format!("{percent} %")),
                    );
                    format!("{} {:>6} {how}", meter(level), ms(media.path_ms))
                }
                (None, _) => "not heard yet".to_owned(),
            };
            let right = if conference.recorders.contains(node) { format!("rec {right}") } else { right };
            let name: String =
                plain(name).chars().take(room.saturating_sub(right.chars().count() + 4)).collect();
            let gap =
                " ".repeat(room.saturating_sub(
                    3 + Span::from(name.as_str()).width() + Span::from(right.as_str()).width(),
                ));
            let line = Line::from(vec![mark, Span::from(name), Span::from(gap), Span::from(right).dim()]);
            if i == screen.chosen { line.style(Style::new().add_modifier(Modifier::REVERSED)) } else { line }
        })
        .collect();
    let above = screen.chosen.saturating_sub(usize::from(area.height.saturating_sub(3)));
    let words = conference.phrase.as_ref().map_or_else(String::new, |words| format!(" {words} "));
    Paragraph::new(lines)
        .block(pane("people").title_bottom(words))
        .scroll((u16::try_from(above).unwrap_or(u16::MAX), 0))
}

/// How loud somebody is, in blocks of 10 dB from -55 dB on.
fn meter(level_db: Option<f64>) -> String {
    let blocks = level_db.map_or(0.0, |db| ((db + 55.0) / 10.0).ceil().clamp(0.0, 5.0)) as usize;
    format!("{:<5}", "▮".repeat(blocks))
}

/// In a word, what one hears of a voice.
fn quality(media: &Media) -> &'static str {
    match media.standing {
        "unconfirmed" => return "unsure",
        "silenced" => return "barred",
        _ => {}
    }
    let missing = media.lost.saturating_sub(media.recovered);
    match (missing * 1_000).checked_div(media.packets + media.lost) {
        None => "silent",
        Some(0..=9) => "good  ",
        Some(10..=49) => "fair  ",
        Some(_) => "poor  ",
    }
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"))
}

/// How the chosen member's voice comes here and where it goes on to, and the plan as a whole.
fn ways_pane<'a>(conference: &'a Conference, screen: &Screen) -> Paragraph<'a> {
    let mut lines = Vec::new();
    if let Some(plan) = &conference.plan {
        if let Some((node, name)) = conference.people().get(screen.chosen).copied() {
            lines.extend(voice_lines(conference, plan, node, name));
        }
        lines.push(Line::default());
        lines.push(Line::from(format!(
            "plan {} ({}): worst pair {}",
            plan.epoch,
            plan.reason,
            plan.worst_pair()
        )));
        let helpers: Vec<&str> = plan.helpers.iter().map(|helper| conference.name(helper)).collect();
        lines.push(match helpers.len() {
            0 => Line::from("no helper is needed").dim(),
            1 => Line::from(format!("helper {}", helpers[0])).fg(Color::Blue),
            _ => Line::from(format!("helpers {}", helpers.join(", "))).fg(Color::Blue),
        });
        for link in conference.links.values() {
            let one_way = link.rtt_ms.map(|rtt_ms| rtt_ms / 2.0);
            let name = plain(conference.name(&link.peer));
            lines.push(
                Line::from(format!("link {name}: {}, {} out, {} in", ms(one_way), link.sent, link.received))
                    .dim(),
            );
        }
    } else {
        lines.push(Line::from("no tree yet: it comes when somebody joins").dim());
    }
    Paragraph::new(lines).block(pane("the way of a voice")).wrap(Wrap { trim: false })
}

fn voice_lines<'a>(conference: &'a Conference, plan: &'a Plan, node: &str, name: &str) -> Vec<Line<'a>> {
    let mut lines = vec![Line::from(plain(name)).bold()];
    let Some(tree) = plan.trees.iter().find(|tree| tree.sources.iter().any(|source| source == node)) else {
        lines.push(Line::from("is not in the plan yet").dim());
        return lines;
    };
    let (parent, children) = conference.neighbours(tree);
    let names =
        |nodes: &[&str]| nodes.iter().map(|node| plain(conference.name(node))).collect::<Vec<_>>().join(", ");
    if node == conference.node {
        let to = if children.is_empty() { "nobody yet".to_owned() } else { names(&children) };
        lines.push(Line::from(format!("you send to {to}")));
        return lines;
    }
    if let Some(parent) = parent {
        let how = if parent == node {
            "straight to you".to_owned()
        } else {
            format!("to you by {}", plain(conference.name(parent)))
        };
        lines.push(Line::from(how));
        if let Some(backup) = &tree.backup {
            let [backup, parent] = [backup, parent].map(|node| plain(conference.name(node)));
            lines.push(Line::from(format!("{backup} would take over from {parent}")).dim());
        }
    }
    if !children.is_empty() {
        lines.push(Line::from(format!("you pass it on to {}", names(&children))));
    }
    if let Some(media) = conference.media.get(node) {
        lines.push(Line::from(format!(
            "{} on its way, {} {}, {:.0} ms buffered",
            ms(media.path_ms),
            media.hops,
            if media.hops == 1 { "hop" } else { "hops" },
            media.buffer_ms
        )));
        lines.push(
            Line::from(format!("{} packets, {} lost, {} mended", media.packets, media.lost, media.recovered))
                .dim(),
        );
    }
    lines
}

fn cover(conference: &Conference, screen: &Screen, overlay: Overlay, frame: &mut Frame<'_>) {
    let (title, text) = match overlay {
        Overlay::Invite => {
            ("the id: others run `alm join ID`; c to copy it", invite(conference, frame.area()))
        }
        Overlay::Plan => {
            let plan = conference.draw(TreeFormat::Text).unwrap_or_else(|| "there is no plan yet".to_owned());
            ("the plan", Text::from(plan))
        }
        Overlay::Help => ("keys", Text::from(HELP)),
        Overlay::Leave => {
            let text = if hosts(conference) {
                "Leave the conference? The others go on,\nand one of them becomes the host.\n\n\
                 y  leave      e  end it for everybody\nany other key  stay"
            } else {
                "Leave the conference?\n\ny  leave      any other key  stay"
            };
            ("leave", Text::from(text))
        }
    };
    let width =
        u16::try_from(text.width()).unwrap_or(u16::MAX).saturating_add(4).max(30).min(frame.area().width);
    let height = u16::try_from(text.height()).unwrap_or(u16::MAX).saturating_add(2).min(frame.area().height);
    let area = frame.area().centered(Constraint::Length(width), Constraint::Length(height));
    frame.render_widget(Clear, area);
    let block = Block::bordered().border_type(BorderType::Rounded).title(title);
    let most = u16::try_from(text.height()).unwrap_or(u16::MAX).saturating_sub(height.saturating_sub(2));
    frame.render_widget(Paragraph::new(text).block(block).scroll((screen.scrolled.min(most), 0)), area);
}

/// The id to copy, and below it to photograph where there is room.
fn invite<'a>(conference: &Conference, area: Rect) -> Text<'a> {
    let Some(session) = &conference.session else { return Text::from("not in a conference yet") };
    let width = usize::from(area.width.saturating_sub(4)).max(10);
    let letters: Vec<char> = session.id.chars().collect();
    let mut lines: Vec<Line<'_>> =
        letters.chunks(width).map(|part| Line::from(part.iter().collect::<String>()).bold()).collect();
    let square = qr(&session.id);
    if square.len() + lines.len() + 2 <= usize::from(area.height) {
        // Dark on light whatever the terminal's colours are, or no camera reads it.
        lines.extend(
            square
                .into_iter()
                .map(|row| Line::from(row).style(Style::new().fg(Color::Black).bg(Color::White))),
        );
    } else {
        lines.push(Line::from("a higher window shows it as a QR code, too").dim());
    }
    Text::from(lines)
}

/// The id as a QR code, two modules a character, with a light edge of two. In capitals, in which an id may be written, it
/// takes fewer modules.
fn qr(id: &str) -> Vec<String> {
    use qrcode::render::unicode::Dense1x2;
    use qrcode::{EcLevel, QrCode};

    let Ok(code) = QrCode::with_error_correction_level(id.to_ascii_uppercase(), EcLevel::L) else {
        return Vec::new();
    };
    let square = code.render::<Dense1x2>().quiet_zone(false).build();
    let edge = std::iter::once(" ".repeat(code.width() + 4));
    edge.clone().chain(square.lines().map(|row| format!("  {row}  "))).chain(edge).collect()
}

/// Without what could move the cursor; names come from others.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

const NEWS_LINES: u16 = 5;
const KEYS: &str = " m mute  p talk key  s say  ↑↓ who  +-x volume  i id  t plan  ? keys  q leave";
const HELP: &str = "\
m, space   microphone off and on
p          push to talk: on while space is held; m ends it
↑ ↓, j k   look at another member, scroll
s          write to all: enter sends, esc does not
+ -        louder and less loud, whom you look at
x          muted here, and not
i          the id, and its QR code
c          the id in one piece, to copy
t          the whole plan
?, h       this
esc        back
q, ctrl-c  leave";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Link, Tree};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn conference() -> Conference {
        let mut conference = Conference::default();
        let nodes = [("aaaa", "Ada"), ("bbbb", "Ben\u{1b}[31m"), ("cccc", "Chi")];
        conference.apply(&Event::Levels { input_db: -51.0, voices: [("bbbb".to_owned(), -30.0)].into() });
        conference.apply(&Event::Phrase { words: "lusab babad gutih tugad".into() });
        conference.apply(&Event::Ready { node: "aaaa".into(), ring: "0".into(), listen: vec![] });
        let id = format!("alm{}", "a".repeat(77));
        conference.apply(&Event::Session { id, name: "standup".into(), role: "host" });
        for (node, name) in nodes {
            conference.apply(&Event::MemberJoined {
                node: node.into(),
                name: name.into(),
                records: node == "cccc",
            });
        }
        let edge = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        let tree = |source: &str, edges: &[(&str, &str)]| Tree {
            sources: vec![source.to_owned()],
            edges: edges.iter().copied().map(edge).collect(),
            backup: (source == "bbbb").then(|| "cccc".to_owned()),
            backups: vec![],
        };
        let trees = vec![
            tree("aaaa", &[("aaaa", "bbbb"), ("aaaa", "cccc")]),
            tree("bbbb", &[("bbbb", "hhhhhhhhhh"), ("hhhhhhhhhh", "aaaa"), ("aaaa", "cccc")]),
        ];
        let (objective, root, reason) = ("forest".into(), "aaaa".into(), "Chi joined".into());
        let helpers = vec!["hhhhhhhhhh".to_owned()];
        let (height_ms, diameter_ms, planned_us, probes) = (9.0, 12.0, 80, 0);
        conference.apply(&Event::Tree(Plan {
            protected: false,
            epoch: 3,
            objective,
            root,
            trees,
            helpers,
            worst_ms: 21.42,
            estimated: false,
            height_ms,
            diameter_ms,
            planned_us,
            probes,
            reason,
        }));
        let source = "bbbb".to_owned();
        let (packets, lost, recovered, repaired, late, duplicates, hops) = (500, 3, 2, 0, 0, 0, 2);
        let (forged, unknown_key, confirmed, contradicted, standing) = (0, 0, 0, 0, "confirmed");
        let (concealed_ms, buffer_ms, jitter_ms, path_ms) = (20.0, 40.0, 0.3, Some(12.1));
        conference.apply(&Event::Media(Media {
            source,
            packets,
            lost,
            recovered,
            repaired,
            concealed_ms,
            late,
            duplicates,
            forged,
            unknown_key,
            confirmed,
            contradicted,
            standing,
            buffer_ms,
            jitter_ms,
            hops,
            path_ms,
        }));
        let (rtt_ms, sent, received, dropped) = (Some(9.8), 100, 200, 0);
        conference.apply(&Event::Link(Link {
            peer: "hhhhhhhhhh".into(),
            rtt_ms,
            sent,
            received,
            dropped,
            lost_up: 0,
            lost_down: 0,
        }));
        conference
    }

    fn shown(conference: &Conference, screen: &Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(conference, screen, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        buffer
            .content()
            .chunks(usize::from(width))
            .map(|row| row.iter().map(|cell| cell.symbol()).collect())
            .collect()
    }

    #[test]
    fn at_80_by_24_all_is_there() {
        let lines = shown(&conference(), &Screen { chosen: 1, ..Screen::default() }, 80, 24);
        let all = lines.join("\n");
        for words in [
            "standup  3 here   recorded ",
            "mic on",
            "● Ben[31m",
            "12 ms good",
            "▮▮▮    12 ms good",
            "▮     you",
            "lusab babad gutih tugad",
            "rec not heard yet",
            "to you by hhhhhhhh",
            "you pass it on to Chi",
            "Chi would take over from hhhhhhhh",
            "2 hops, 40 ms buffered",
            "plan 3 (Chi joined): worst pair 21.4 ms",
            "helper hhhhhhhh",
            "link hhhhhhhh: 5 ms, 100 out, 200 in",
            "Chi is here and records",
            "q leave",
        ] {
            assert!(all.contains(words), "{words} is missing:\n{all}");
        }
    }

    #[test]
    fn every_overlay_fits_every_size() {
        let mut conference = conference();
        conference.apply(&Event::Voice { muted: true });
        for overlay in
            [None, Some(Overlay::Invite), Some(Overlay::Plan), Some(Overlay::Help), Some(Overlay::Leave)]
        {
            for (width, height) in [(80, 24), (200, 60), (20, 6), (3, 2), (1, 1)] {
                let screen = Screen { overlay, scrolled: 400, ..Screen::default() };
                shown(&conference, &screen, width, height);
                shown(&Conference::default(), &screen, width, height);
            }
        }
        for (percent, words) in [(50, "12 ms 50 %"), (0, "muted here")] {
            conference.apply(&Event::Volume { node: "bbbb".into(), percent });
            assert!(shown(&conference, &Screen::default(), 80, 24).join("\n").contains(words), "{words}");
        }
        let screen = Screen { overlay: Some(Overlay::Leave), ..Screen::default() };
        assert!(shown(&conference, &screen, 80, 24).join("\n").contains("e  end it for everybody"));
        let screen = Screen { talk: Talk::Ready, ..Screen::default() };
        assert!(shown(&conference, &screen, 80, 24).join("\n").contains("mic OFF: hold space to talk"));
        let screen = Screen { overlay: Some(Overlay::Invite), ..Screen::default() };
        let invite = shown(&conference, &screen, 80, 24).join("\n");
        assert!(invite.contains("almaaaa") && invite.contains("  █▀▀▀▀▀█ "), "dark is printed:\n{invite}");
    }
}
