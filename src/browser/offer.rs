//! What a browser offers (RFC 8829), as far as it has to be known before the library takes it up.

use crate::web::Refused;

/// Lines of media in an offer: as many voices as can be told apart. Where they are sealed, nobody here knows which of them
/// speak, so that each has a line of its own.
pub(super) const LINES_MAX: usize = 16;
/// An offer's length, bytes: a browser's own takes 2 KiB, and 1 KiB more for each line.
pub(super) const OFFER_MAX: usize = crate::web::OFFER_MAX;

/// A line of sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// The other side would send on it.
    pub(super) sends: bool,
    /// The other side would listen on it.
    pub(super) listens: bool,
    /// Its number for Opus.
    pub(super) opus: u8,
    /// Its number for the loudness of a packet (RFC 6464).
    pub(super) level: Option<u8>,
}

/// Reads the lines of an offer.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, Refused> {
    let malformed = |what: &str| Refused::Malformed(what.to_owned());
    if text.len() > OFFER_MAX {
        return Err(malformed("the offer is too long"));
    }
    if !text.starts_with("v=0") {
        return Err(malformed("this is no offer: SDP begins with v=0"));
    }
    let mut sections = text.split("\nm=").skip(1);
    let lines: Vec<Line> = sections.by_ref().take(LINES_MAX).map(line).collect::<Result<_, _>>()?;
    if lines.is_empty() || sections.next().is_some() {
        return Err(Refused::Malformed(format!("an offer has 1 to {LINES_MAX} lines of sound")));
    }
    Ok(lines)
}

fn line(section: &str) -> Result<Line, Refused> {
    if !section.starts_with("audio ") {
        return Err(Refused::Malformed("only sound is taken: offer m=audio and nothing else".to_owned()));
    }
    let attributes = || section.lines().filter_map(|line| line.trim_end().strip_prefix("a="));
    let has = |name: &str| attributes().any(|attribute| attribute == name);
    let opus = attributes().find_map(|attribute| {
        let (number, codec) = attribute.strip_prefix("rtpmap:")?.split_once(' ')?;
        let number = number.parse().ok().filter(|number| *number < PAYLOAD_TYPES)?;
        codec.to_ascii_lowercase().starts_with("opus/48000").then_some(number)
    });
    let level = attributes().find_map(|attribute| {
        let (number, name) = attribute.strip_prefix("extmap:")?.split_once(' ')?;
        let number = number.split('/').next()?.parse().ok()?;
        (name.split(' ').next() == Some(LEVEL_EXTENSION)).then_some(number)
    });
    let opus = opus.ok_or_else(|| Refused::Malformed("Opus is not offered".to_owned()))?;
    let (sends, listens) = (!has("recvonly") && !has("inactive"), !has("sendonly") && !has("inactive"));
    Ok(Line { sends, listens, opus, level })
}

/// An answer, asking the other side's encoder for what we want. The library says again what was offered; Opus is all there is
/// in it, so that each format is Opus's.
pub(super) fn with_wishes(answer: &str) -> String {
    let wish = |line: &str| match line.strip_prefix("a=fmtp:").and_then(|rest| rest.split_once(' ')) {
        Some((number, _)) => format!("a=fmtp:{number} {OPUS_FORMAT}\r\n"),
        None => format!("{line}\r\n"),
    };
    answer.lines().map(wish).collect()
}

/// What is asked of an encoder (RFC 7587, section 6.1): one channel, in-band error correction, the rate that plans count with,
/// and packets of one size, which say nothing of what is in them.
pub(super) const OPUS_FORMAT: &str = "minptime=10;useinbandfec=1;maxaveragebitrate=32000;cbr=1";

/// RFC 6464, section 4.
pub(super) const LEVEL_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// RTP has seven bits for them.
const PAYLOAD_TYPES: u8 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn section(direction: &str) -> String {
        format!(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=extmap:1 {LEVEL_EXTENSION}\r\na=rtpmap:0 PCMU/8000\r\n\
             a=rtpmap:111 opus/48000/2\r\na={direction}\r\n"
        )
    }

    #[test]
    fn an_offer_says_who_sends_and_by_which_numbers() {
        let text = format!("v=0\r\ns=-\r\n{}{}", section("recvonly"), section("sendonly"));
        let found = lines(&text).unwrap();
        assert_eq!(found[0], Line { sends: false, listens: true, opus: 111, level: Some(1) });
        assert_eq!(found[1], Line { sends: true, listens: false, opus: 111, level: Some(1) });
    }

    #[test]
    fn an_answer_asks_for_packets_of_one_size() {
        let answer =
            "v=0\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=recvonly\r\n";
        let asked = with_wishes(answer);
        assert_eq!(asked, answer.replace("minptime=10;useinbandfec=1", OPUS_FORMAT));
        assert!(asked.contains("cbr=1"));
    }

    #[test]
    fn what_is_no_offer_of_sound_is_refused() {
        let many = format!("v=0\r\n{}", section("recvonly").repeat(LINES_MAX + 1));
        let long = format!("v=0\r\n{}{}", section("recvonly"), "a=x\r\n".repeat(OFFER_MAX));
        let video = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n";
        let other = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=rtpmap:0 PCMU/8000\r\n";
        for text in ["", "hello", "v=0", "v=0\r\n", &many, &long, video, other] {
            assert!(matches!(lines(text), Err(Refused::Malformed(_))), "{:?}", text.get(..60));
        }
    }
}
