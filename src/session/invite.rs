//! The id that people pass around: which session, the secret that admits, and where to look first.
//!
//! `alm` and base 32 of: version, session id (20 bytes), secret (16), up to four entry points, checksum (4). Letters and
//! digits only, so it is one word in a shell, in a URL and under a double click; case does not matter.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ring::digest;

use crate::identity::SessionId;

/// Addresses that an id carries; they are hints, and the session outlives them.
pub const ENTRY_POINTS_MAX: usize = 4;

/// See the [module](self).
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// The session.
    pub session: SessionId,
    /// Whoever knows it may enter.
    pub secret: [u8; 16],
    /// Where somebody who knows the session was listening.
    pub entry_points: Vec<SocketAddr>,
}

/// A word that is no id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InviteError {
    /// Not made by this program.
    #[error("that is not a session id")]
    NotAnId,
    /// A letter is wrong or missing.
    #[error("the session id is cut short or mistyped")]
    Damaged,
    /// Made by a newer program.
    #[error("the session id is of a newer version")]
    Version,
}

const PREFIX: &str = "alm";
const VERSION: u8 = 1;
const CHECKSUM_LEN: usize = 4;
/// Longer words are not looked at.
const TEXT_MAX: usize = 200;

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bytes.extend(self.session.0);
        bytes.extend(self.secret);
        for addr in self.entry_points.iter().take(ENTRY_POINTS_MAX) {
            match addr.ip() {
                IpAddr::V4(ip) => {
                    bytes.push(4);
                    bytes.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(6);
                    bytes.extend(ip.octets());
                }
            }
            bytes.extend(addr.port().to_be_bytes());
        }
        bytes.extend(checksum(&bytes));
        write!(f, "{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invite({:?} at {:?})", self.session, self.entry_points)
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.trim().to_ascii_lowercase();
        let body = text.strip_prefix(PREFIX).ok_or(InviteError::NotAnId)?;
        if text.len() > TEXT_MAX {
            return Err(InviteError::NotAnId);
        }
        let bytes = data_encoding::BASE32_NOPAD
            .decode(body.to_ascii_uppercase().as_bytes())
            .map_err(|_| InviteError::Damaged)?;
        let (content, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(InviteError::Damaged)?;
        if checksum(content) != *sum {
            return Err(InviteError::Damaged);
        }
        let (version, content) = content.split_first().ok_or(InviteError::Damaged)?;
        if *version != VERSION {
            return Err(InviteError::Version);
        }
        let (session, content) = content.split_first_chunk().ok_or(InviteError::Damaged)?;
        let (secret, mut rest) = content.split_first_chunk().ok_or(InviteError::Damaged)?;
        let mut entry_points = Vec::new();
        while !rest.is_empty() && entry_points.len() < ENTRY_POINTS_MAX {
            let (addr, behind) = entry_point(rest).ok_or(InviteError::Damaged)?;
            entry_points.push(addr);
            rest = behind;
        }
        Ok(Self { session: SessionId(*session), secret: *secret, entry_points })
    }
}

fn entry_point(bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (family, rest) = bytes.split_first()?;
    let (ip, rest) = match family {
        4 => rest.split_first_chunk::<4>().map(|(ip, rest)| (IpAddr::from(*ip), rest))?,
        6 => rest.split_first_chunk::<16>().map(|(ip, rest)| (IpAddr::from(*ip), rest))?,
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), rest))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let hash = digest::digest(&digest::SHA256, bytes);
    std::array::from_fn(|i| hash.as_ref()[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite() -> Invite {
        Invite {
            session: SessionId([7; 20]),
            secret: [9; 16],
            entry_points: vec!["192.0.2.1:4433".parse().unwrap(), "[2001:db8::1]:9".parse().unwrap()],
        }
    }

    #[test]
    fn an_id_is_one_short_word_that_comes_back_whole() {
        let text = invite().to_string();
        assert_eq!(text.parse(), Ok(invite()));
        assert_eq!(text.to_ascii_uppercase().parse(), Ok(invite()));
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()), "{text}");
        let longest = Invite { entry_points: vec!["[2001:db8::1]:9".parse().unwrap(); 9], ..invite() };
        assert!(longest.to_string().len() <= 200);
        assert_eq!(longest.to_string().parse::<Invite>().unwrap().entry_points.len(), ENTRY_POINTS_MAX);
    }

    #[test]
    fn a_wrong_letter_or_a_cut_is_noticed() {
        let text = invite().to_string();
        for i in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[i] = if wrong[i] == b'a' { b'b' } else { b'a' };
            assert!(String::from_utf8(wrong).unwrap().parse::<Invite>().is_err(), "letter {i}");
            assert!(text[..i].parse::<Invite>().is_err(), "cut at {i}");
        }
        assert_eq!("hello".parse::<Invite>(), Err(InviteError::NotAnId));
        assert_eq!("".parse::<Invite>(), Err(InviteError::NotAnId));
    }
}
