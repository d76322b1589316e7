//! Who may ask. Any program of this machine and any page in its browser can reach the port; only who has the token learns or
//! changes anything.
//!
//! - `Host` names the port's own address, or a name that somebody points here would make another site's scripts ours (DNS
//!   rebinding).
//! - What changes anything comes from the page itself, by `Origin` and `Sec-Fetch-Site`, or from no browser at all.
//! - The token travels in a header (in the link, behind `#`, where it is sent to nobody), so that no cookie is at the mercy
//!   of other ports, whose cookies are the same. `?token=` does as well, for programs that only know addresses.

use std::fmt;
use std::net::SocketAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use data_encoding::Encoding;
use subtle::ConstantTimeEq;

/// What the link ends with: 128 bits of chance, as 26 letters and digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Written down.
    #[must_use]
    pub fn new(chance: [u8; 16]) -> Self {
        Self(encoding().encode(&chance))
    }

    fn is(&self, said: &str) -> bool {
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
#[derive(Clone, Debug)]
pub(super) struct Guard {
    addr: SocketAddr,
    token: Token,
}

/// Why somebody is turned away: a status, and a sentence that says what to do.
pub(super) type Refusal = (StatusCode, &'static str);

impl Guard {
    pub(super) fn new(addr: SocketAddr, token: Token) -> Self {
        Self { addr, token }
    }

    /// Lets a request through, or says why not.
    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let also = uri.authority().is_none_or(|named| self.is_own(named.as_str()));
        if !self.is_own(host) || !also {
            return Err((
                StatusCode::MISDIRECTED_REQUEST,
                "this is not that host: use the link as it was printed",
            ));
        }
        if method != Method::GET && method != Method::HEAD {
            let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
            let own = |origin: &str| origin.strip_prefix("http://").is_some_and(|host| self.is_own(host));
            let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
            let foreign = site.is_some_and(|site| site != b"same-origin" && site != b"none");
            if origin.is_some_and(|origin| !own(origin)) || foreign {
                return Err((StatusCode::FORBIDDEN, "another site asks for this: only the page itself may"));
            }
        }
        if !is_open(uri.path()) && !self.knows_token(uri, headers) {
            return Err((
                StatusCode::UNAUTHORIZED,
                "the token is missing or wrong: use the link as it was printed",
            ));
        }
        Ok(())
    }

    fn is_own(&self, host: &str) -> bool {
        let port = self.addr.port();
        host == self.addr.to_string()
            || host.strip_prefix("localhost:").is_some_and(|p| p == port.to_string())
    }

    fn knows_token(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = header.and_then(|value| value.strip_prefix("Bearer "));
        let query = || uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="));
        bearer.or_else(query).is_some_and(|said| self.token.is(said))
    }
}

/// The page's own files hold no secret: they are the same everywhere.
fn is_open(path: &str) -> bool {
    !["/api/", "/whip", "/whep"].iter().any(|start| path.starts_with(start)) && path != "/metrics"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> Option<u16> {
        let guard = Guard::new("127.0.0.1:4000".parse().unwrap(), Token::new([7; 16]));
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        guard.check(&method, &uri.parse().unwrap(), &headers).err().map(|(status, _)| status.as_u16())
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
