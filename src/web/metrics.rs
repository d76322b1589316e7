//! The state as numbers for Prometheus (text format 0.0.4): base units, totals end with `_total`, one name one meaning.
//! What is heard is by `source`, what a tree link carries by `peer`: ids, as names may change and are people's own.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The page that Prometheus reads.
pub(super) fn metrics(state: &Value) -> String {
    let mut text = String::new();
    for metric in WHOLE {
        family(&mut text, metric, state.pointer(metric.at).into_iter().map(|value| (None, value)));
    }
    for (part, label, metrics) in PARTS {
        let nothing = Map::new();
        let each = state[part].as_object().unwrap_or(&nothing);
        for metric in *metrics {
            let samples =
                each.iter().filter_map(|(id, one)| Some((Some((*label, id)), one.pointer(metric.at)?)));
            family(&mut text, metric, samples);
        }
    }
    text
}

/// One number of the state, and what it is.
struct Metric {
    name: &'static str,
    help: &'static str,
    /// Where in the state, or in its part; a collection counts as its size.
    at: &'static str,
    /// What makes it the unit that the name says.
    scale: f64,
}

fn family<'a>(
    text: &mut String,
    metric: &Metric,
    samples: impl Iterator<Item = (Option<(&'a str, &'a String)>, &'a Value)>,
) {
    let mut samples = samples.filter_map(|(label, value)| Some((label, number(value)?))).peekable();
    if samples.peek().is_none() {
        return;
    }
    let Metric { name, help, scale, .. } = metric;
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (label, value) in samples {
        let label = label.map(|(key, id)| format!("{{{key}=\"{}\"}}", escaped(id))).unwrap_or_default();
        let _ = writeln!(text, "{name}{label} {}", value * scale);
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Null | Value::String(_) => None,
        Value::Bool(is) => Some(f64::from(u8::from(*is))),
        Value::Number(number) => number.as_f64(),
        Value::Array(all) => Some(all.len() as f64),
        Value::Object(all) => Some(all.len() as f64),
    }
}

/// A label's value, as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

const fn metric(name: &'static str, help: &'static str, at: &'static str, scale: f64) -> Metric {
    Metric { name, help, at, scale }
}

/// Of the node itself.
const WHOLE: &[Metric] = &[
    metric("alm_members", "People in the session, this node included.", "/members", 1.0),
    metric("alm_muted", "1 while nothing of the own voice goes out.", "/muted", 1.0),
    metric("alm_input_level_dbfs", "How loud the own microphone is.", "/input_db", 1.0),
    metric("alm_pool_nodes", "Nodes of the pool as its root sees them.", "/pool/size", 1.0),
    metric("alm_pool_view_age_seconds", "How old the root's view of the pool is.", "/pool/age_ms", 1e-3),
    metric("alm_plan_number", "The plan that carries the media.", "/plan/epoch", 1.0),
    metric("alm_plan_helpers", "Helpers in that plan.", "/plan/helpers", 1.0),
    metric("alm_plan_worst_seconds", "One-way latency of its worst pair.", "/plan/worst_ms", 1e-3),
];

/// By source: what is heard here.
const VOICES: &[Metric] = &[
    metric("alm_voice_packets_total", "Packets that arrived.", "/packets", 1.0),
    metric("alm_voice_lost_packets_total", "Packets that were missing when their turn came.", "/lost", 1.0),
    metric("alm_voice_recovered_packets_total", "Of those, played from redundancy.", "/recovered", 1.0),
    metric(
        "alm_voice_repaired_packets_total",
        "Asked for again hop by hop, and come; not lost.",
        "/repaired",
        1.0,
    ),
    metric("alm_voice_late_packets_total", "Packets that came after their turn.", "/late", 1.0),
    metric("alm_voice_duplicate_packets_total", "Packets that came twice.", "/duplicates", 1.0),
    metric("alm_voice_forged_packets_total", "Packets in its name that it did not make.", "/forged", 1.0),
    metric("alm_voice_unknown_key_packets_total", "Packets under a key not known here.", "/unknown_key", 1.0),
    metric("alm_voice_confirmed_frames_total", "Frames that the speaker has signed for.", "/confirmed", 1.0),
    metric(
        "alm_voice_contradicted_frames_total",
        "Frames by another member in its name.",
        "/contradicted",
        1.0,
    ),
    metric("alm_voice_concealed_seconds_total", "Sound made up for what was lost.", "/concealed_ms", 1e-3),
    metric("alm_voice_buffer_seconds", "Sound that waits in the jitter buffer.", "/buffer_ms", 1e-3),
    metric("alm_voice_jitter_seconds", "Variation of arrivals (RFC 3550).", "/jitter_ms", 1e-3),
    metric("alm_voice_path_seconds", "From capture to arrival here.", "/path_ms", 1e-3),
    metric("alm_voice_hops", "Links of the plan between the source and here.", "/hops", 1.0),
];

/// By peer: what tree links carry.
const LINKS: &[Metric] = &[
    metric("alm_link_round_trip_seconds", "Measured round trip.", "/rtt_ms", 1e-3),
    metric("alm_link_sent_packets_total", "Media packets sent over the link.", "/sent", 1.0),
    metric("alm_link_received_packets_total", "Media packets received over it.", "/received", 1.0),
    metric("alm_link_lost_up_packets_total", "Packets to the peer that it did not take.", "/lost_up", 1.0),
    metric("alm_link_lost_down_packets_total", "Packets of the peer that did not come.", "/lost_down", 1.0),
    metric("alm_link_dropped_packets_total", "Media packets refused that came over it.", "/dropped", 1.0),
];

/// Parts of the state that are by id: their name there, the label, and what is told of each.
const PARTS: &[(&str, &str, &[Metric])] = &[("media", "source", VOICES), ("links", "peer", LINKS)];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_in_base_units_and_absent_when_unknown() {
        let state = json!({
            "members": {"a": "A", "b": "B"}, "muted": true, "input_db": null, "pool": {"size": 6, "age_ms": 250},
            "media": {"b\"\n": {"packets": 7, "path_ms": null, "buffer_ms": 20.0}}, "links": {},
        });
        let text = metrics(&state);
        assert!(text.contains("# HELP alm_members People in the session, this node included.\n# TYPE alm_members gauge\nalm_members 2\n"));
        assert!(
            text.contains("alm_muted 1\n") && text.contains("alm_pool_view_age_seconds 0.25\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "# TYPE alm_voice_packets_total counter\nalm_voice_packets_total{source=\"b\\\"\\n\"} 7\n"
            ),
            "{text}"
        );
        assert!(text.contains("alm_voice_buffer_seconds{source=\"b\\\"\\n\"} 0.02\n"), "{text}");
        for absent in ["alm_input_level_dbfs", "alm_voice_path_seconds", "alm_link_", "alm_plan_"] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
        assert_eq!(metrics(&json!({})), "");
    }
}
