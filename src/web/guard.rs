//! Who may ask. Any program of this machine and any page in its browser can reach the port; only who has the token learns or
//! changes anything.
//!
//! - `Host` names the address that was reached, or a name that somebody points here would make another site's scripts ours
//!   (DNS rebinding).
//! - What changes anything comes from the page itself, by `Origin` and `Sec-Fetch-Site`, or from no browser at all.
//! - The token travels in a header (in the link, behind `#`, where it is sent to nobody), so that no cookie is at the mercy
//!   of other ports, whose cookies are the same. `?token=` does as well, for programs that only know addresses.
//!
//! The port for guests is another one: there the links that were made for them count ([`Guests`]), and this node's own token
//! does not, so that it never leaves the machine.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use data_encoding::Encoding;
use subtle::ConstantTimeEq;

use super::guests::{Guests, Known};

/// What the link ends with: 128 bits of chance, as 26 letters and digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Written down.
    #[must_use]
    pub fn new(chance: [u8; 16]) -> Self {
        Self(encoding().encode(&chance))
    }

    pub(super) fn is(&self, said: &str) -> bool {
        self.0.as_bytes().ct_eq(said.as_bytes()).into()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Logs and panics do not show it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

fn encoding() -> Encoding {
    let mut letters = data_encoding::Specification::new();
    letters.symbols.push_str("abcdefghijkmnopqrstuvwxyz2345678");
    letters.encoding().expect("32 different letters are an encoding")
}

/// See the [module](self).
#[derive(Clone)]
pub(super) enum Guard {
    /// For whoever runs this node, from this machine.
    Own(Token),
    /// For guests, from anywhere; and the name that their links give this machine, if not its address.
    Guests(Arc<Guests>, Option<String>),
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Who {
    /// Whoever runs this node.
    Owner,
    /// Who came by the link of that number.
    Guest(u64),
    /// Anybody: what is the same everywhere.
    Anybody,
}

/// Why somebody is turned away: a status, and a sentence that says what to do.
pub(super) type Refusal = (StatusCode, &'static str);

impl Guard {
    /// Lets a request through that came to the address `reached`, or says why not.
    pub(super) fn check(
        &self,
        reached: SocketAddr,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Who, Refusal> {
        let is_own = |host: &str| self.is_own(host, reached);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let also = uri.authority().is_none_or(|named| is_own(named.as_str()));
        if !is_own(host) || !also {
            return Err((
                StatusCode::MISDIRECTED_REQUEST,
                "this is not that host: use the link as it was printed",
            ));
        }
        if method != Method::GET && method != Method::HEAD {
            let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
            let own = |origin: &str| origin.strip_prefix(self.scheme()).is_some_and(is_own);
            let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
            let foreign = site.is_some_and(|site| site != b"same-origin" && site != b"none");
            if origin.is_some_and(|origin| !own(origin)) || foreign {
                return Err((StatusCode::FORBIDDEN, "another site asks for this: only the page itself may"));
            }
        }
        if is_open(uri.path()) {
            return Ok(Who::Anybody);
        }
        self.who(said(uri, headers).unwrap_or_default())
    }

    fn who(&self, said: &str) -> Result<Who, Refusal> {
        let known = match self {
            Self::Own(token) if token.is(said) => return Ok(Who::Owner),
            Self::Own(_) => Known::No,
            Self::Guests(guests, _) => guests.known(said),
        };
        match known {
            Known::Open(number) => Ok(Who::Guest(number)),
            Known::Revoked => Err((
                StatusCode::FORBIDDEN,
                "this link was taken back by who had given it: ask them for another one",
            )),
            Known::No => Err((
                StatusCode::UNAUTHORIZED,
                "the token is missing or wrong: use the link as it was printed",
            )),
        }
    }

    /// What addresses begin with here.
    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Self::Own(_) => "http://",
            Self::Guests(..) => "https://",
        }
    }

    fn is_own(&self, host: &str, reached: SocketAddr) -> bool {
        let port = format!(":{}", reached.port());
        // Browsers leave the port out where it is the usual one.
        let named = match host.strip_suffix(&port) {
            Some(named) => named,
            None if reached.port() == HTTPS_PORT => host,
            None => return false,
        };
        let ip = reached.ip();
        let is_address =
            named == ip.to_string() || named == format!("[{ip}]") || named == "localhost" && ip.is_loopback();
        is_address || matches!(self, Self::Guests(_, Some(name)) if name == named)
    }
}

/// The token that somebody shows.
fn said<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = header.and_then(|value| value.strip_prefix("Bearer "));
    let query = || uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="));
    bearer.or_else(query)
}

const HTTPS_PORT: u16 = 443;

/// The page's own files hold no secret: they are the same everywhere.
fn is_open(path: &str) -> bool {
    !["/api/", "/whip", "/whep"].iter().any(|start| path.starts_with(start)) && path != "/metrics"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> Option<u16> {
        checked(&Guard::Own(Token::new([7; 16])), "127.0.0.1:4000", method, uri, headers).err()
    }

    fn checked(
        guard: &Guard,
        reached: &str,
        method: Method,
        uri: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Who, u16> {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let checked = guard.check(reached.parse().unwrap(), &method, &uri.parse().unwrap(), &headers);
        checked.map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn guests_come_by_their_links_and_by_the_address_they_reached() {
        let guests = Arc::new(Guests::new(|| [9; 16]));
        guests.serve_at("https://192.0.2.1/".to_owned());
        let link = guests.make("friends").unwrap();
        let token = link.split_once('#').unwrap().1;
        let guard = Guard::Guests(Arc::clone(&guests), Some("conf.example".to_owned()));
        let state = format!("/api/v1/state?token={token}");
        let ask =
            |reached: &str, host: &str| checked(&guard, reached, Method::GET, &state, &[("host", host)]);
        for (reached, host) in [
            ("192.0.2.1:8443", "192.0.2.1:8443"),
            ("192.0.2.1:8443", "conf.example:8443"),
            ("192.0.2.1:443", "conf.example"),
            ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
            ("127.0.0.1:8443", "localhost:8443"),
        ] {
            assert_eq!(ask(reached, host), Ok(Who::Guest(1)), "{host}");
        }
        for host in ["evil.example:8443", "192.0.2.2:8443", "localhost:8443", "conf.example", ""] {
            assert_eq!(ask("192.0.2.1:8443", host), Err(421), "{host}");
        }
        let host = ("host", "192.0.2.1:8443");
        let post = |origin: &str| {
            checked(&guard, "192.0.2.1:8443", Method::POST, &state, &[host, ("origin", origin)])
        };
        assert_eq!(post("https://192.0.2.1:8443"), Ok(Who::Guest(1)));
        assert_eq!(post("http://192.0.2.1:8443"), Err(403));
        assert_eq!(checked(&guard, "192.0.2.1:8443", Method::GET, "/whip", &[host]), Err(401));
        guests.revoke("friends");
        assert_eq!(ask("192.0.2.1:8443", "192.0.2.1:8443"), Err(403));
    }

    #[test]
    fn only_the_own_address_is_answered() {
        for host in ["127.0.0.1:4000", "localhost:4000"] {
            assert_eq!(check(Method::GET, "/", &[("host", host)]), None);
        }
        for host in [
            "",
            "evil.example",
            "evil.example:4000",
            "127.0.0.1",
            "127.0.0.1:4001",
            "localhost",
            "[::1]:4000",
        ] {
            assert_eq!(check(Method::GET, "/", &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(check(Method::GET, "/", &[]), Some(421));
        assert_eq!(check(Method::GET, "http://evil.example/", &[("host", "localhost:4000")]), Some(421));
    }

    #[test]
    fn what_is_known_takes_the_token() {
        let (host, token) = (("host", "127.0.0.1:4000"), Token::new([7; 16]));
        let (right, wrong) = (format!("Bearer {token}"), format!("Bearer {}", Token::new([8; 16])));
        for path in ["/api/v1/state", "/api/v1/do", "/metrics", "/api/", "/whip", "/whep", "/whip/0"] {
            assert_eq!(check(Method::GET, path, &[host]), Some(401), "{path}");
            assert_eq!(check(Method::GET, path, &[host, ("authorization", &wrong)]), Some(401), "{path}");
            assert_eq!(check(Method::GET, &format!("{path}?token="), &[host]), Some(401), "{path}");
            assert_eq!(check(Method::GET, path, &[host, ("authorization", &right)]), None, "{path}");
            assert_eq!(check(Method::GET, &format!("{path}?a=b&token={token}"), &[host]), None, "{path}");
        }
    }

    #[test]
    fn another_site_changes_nothing_even_with_the_token() {
        let right = format!("Bearer {}", Token::new([7; 16]));
        let post = |more: &[(&'static str, &str)]| {
            let own = [("host", "127.0.0.1:4000"), ("authorization", right.as_str())];
            check(Method::POST, "/api/v1/do", &[&own, more].concat())
        };
        assert_eq!(post(&[]), None, "a program");
        assert_eq!(post(&[("origin", "http://127.0.0.1:4000"), ("sec-fetch-site", "same-origin")]), None);
        for origin in ["null", "http://evil.example", "https://127.0.0.1:4000", "http://127.0.0.1:4001", ""] {
            assert_eq!(post(&[("origin", origin)]), Some(403), "{origin}");
        }
        for site in ["cross-site", "same-site", "new"] {
            assert_eq!(post(&[("sec-fetch-site", site)]), Some(403), "{site}");
        }
    }

    #[test]
    fn a_token_is_one_word_and_kept_out_of_logs() {
        let token = Token::new([255; 16]);
        assert_eq!(token.to_string().len(), 26);
        assert!(token.to_string().chars().all(|c| c.is_ascii_alphanumeric()));
        assert_eq!(format!("{token:?}"), "Token");
    }
}
