//! The certificate by which guests know this machine: one that was given, or one that is made on the spot, which browsers warn
//! of once.

use std::fmt::Write;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// See the [module](self).
#[derive(Clone)]
pub struct Certificate {
    pub(super) config: Arc<ServerConfig>,
    fingerprint: Option<String>,
}

impl Certificate {
    /// Reads a chain of certificates and its key, both as PEM (RFC 7468).
    ///
    /// # Errors
    /// A sentence that says what is wrong with them.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the certificate is no PEM ({error})"))?;
        if chain.is_empty() {
            return Err("there is no certificate in it".to_owned());
        }
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key is no PEM ({error})"))?;
        Ok(Self { config: config(chain, key)?, fingerprint: None })
    }

    /// Makes one for these names and addresses.
    ///
    /// # Errors
    /// A sentence: a name is none.
    pub fn made(names: Vec<String>) -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed(names)
            .map_err(|error| format!("no certificate can be made ({error})"))?;
        let chain = vec![made.cert.der().clone()];
        let fingerprint = Some(fingerprint(&chain[0]));
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Ok(Self { config: config(chain, key.into())?, fingerprint })
    }

    /// What to compare with what a browser shows, SHA-256; none for one that was given.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("certificate and key do not belong together ({error})"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn fingerprint(certificate: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    digest.as_ref().iter().enumerate().fold(String::new(), |mut text, (at, byte)| {
        let colon = if at == 0 { "" } else { ":" };
        // A string takes everything.
        let _ = write!(text, "{colon}{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_its_key_are_taken_and_others_refused() {
        let [one, other] = [(), ()].map(|()| rcgen::generate_simple_self_signed(vec!["localhost".into()]));
        let (one, other) = (one.unwrap(), other.unwrap());
        let pem = |kind: &str, bytes: &[u8]| {
            let text = data_encoding::BASE64.encode(bytes);
            format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n").into_bytes()
        };
        let cert = pem("CERTIFICATE", one.cert.der());
        let key = pem("PRIVATE KEY", &one.signing_key.serialize_der());
        assert!(Certificate::read(&cert, &key).is_ok_and(|read| read.fingerprint().is_none()));
        let wrong = pem("PRIVATE KEY", &other.signing_key.serialize_der());
        for (cert, key) in [(&cert, &wrong), (&key, &key), (&cert, &cert), (&b"x".to_vec(), &key)] {
            assert!(Certificate::read(cert, key).is_err());
        }
        let made = Certificate::made(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        assert_eq!(made.fingerprint().map(str::len), Some(32 * 3 - 1));
    }
}
