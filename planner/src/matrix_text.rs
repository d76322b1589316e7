//! Round trips as `.rtt` text: what `parse_matrix` reads.

use std::fmt::Write;

use crate::latency::RoundTrips;

/// The matrix as text, under a name. Microseconds are kept, holes are -1.
pub fn rtt_text(trips: &RoundTrips, name: &str) -> String {
    let nodes = trips.nodes();
    let mut text = format!("# name: {name}\n# n: {nodes}\n# unit: ms round trip\n");
    for i in 0..nodes {
        for j in 0..nodes {
            if j > 0 {
                text.push(' ');
            }
            // Writing to a string cannot fail.
            let _ = match trips.get(i, j) {
                Some(trip) => write!(text, "{}", (trip.ms() * 1000.0).round() / 1000.0),
                None => write!(text, "-1"),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix_format::parse_matrix;
    use crate::units::RoundTrip;

    #[test]
    fn what_is_written_reads_back() {
        let mut trips = RoundTrips::new(3).unwrap();
        trips.set(0, 1, RoundTrip::from_ms(12.3456).unwrap());
        trips.set(2, 0, RoundTrip::from_ms(0.0).unwrap());
        let text = rtt_text(&trips, "three");
        assert!(text.starts_with("# name: three\n# n: 3\n# unit: ms round trip\n-1 12.346 -1\n"), "{text}");
        let read = parse_matrix(&text, None, None).unwrap();
        for i in 0..3 {
            for j in 0..3 {
                let ms = |trips: &RoundTrips| trips.get(i, j).map(|trip| (trip.ms() * 1000.0).round());
                assert_eq!(ms(&read), ms(&trips));
            }
        }
    }
}
