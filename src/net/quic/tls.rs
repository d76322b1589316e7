//! TLS 1.3 with raw public keys on both sides (RFC 7250): the key is the peer, no certificate is involved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring as provider};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::identity::{Identity, NodeId};

/// The protocol and its version, negotiated in the first flight (RFC 7301).
pub(super) const ALPN: &[u8] = b"alm/1";

/// An Ed25519 key as SubjectPublicKeyInfo (RFC 8410, section 4): this, then the 32 bytes.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// An Ed25519 secret as PKCS #8 (RFC 8410, section 7): this, then the 32 bytes.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// This node's key as both sides of a handshake need it.
pub(super) struct Tls {
    key: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl Tls {
    pub(super) fn new(identity: &Identity) -> Self {
        let pkcs8 = [PKCS8_PREFIX.as_slice(), identity.seed()].concat();
        let signer = provider::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8))
            .expect("a PKCS #8 frame around 32 bytes is an Ed25519 key");
        let spki = [SPKI_PREFIX.as_slice(), &identity.node_id().0].concat();
        let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], signer));
        Self { key, provider: Arc::new(provider::default_provider()) }
    }

    pub(super) fn server(&self) -> quinn::ServerConfig {
        let verifier = PeerVerifier::new(None, &self.provider);
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Tickets would let a connection start before its key is proven anew.
        config.send_tls13_tickets = 0;
        let crypto =
            QuicServerConfig::try_from(config).expect("the provider has QUIC's initial cipher suite");
        quinn::ServerConfig::with_crypto(Arc::new(crypto))
    }

    /// A client that accepts only `expected`, if given, and the verifier that remembers whether it refused.
    pub(super) fn client(&self, expected: Option<NodeId>) -> (quinn::ClientConfig, Arc<PeerVerifier>) {
        self.client_of(expected, ALPN)
    }

    /// A client of any protocol: another version than this program's, in tests.
    pub(super) fn client_of(
        &self,
        expected: Option<NodeId>,
        alpn: &[u8],
    ) -> (quinn::ClientConfig, Arc<PeerVerifier>) {
        let verifier = PeerVerifier::new(expected, &self.provider);
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        let crypto =
            QuicClientConfig::try_from(config).expect("the provider has QUIC's initial cipher suite");
        (quinn::ClientConfig::new(Arc::new(crypto)), verifier)
    }
}

/// The key that the other side of a connection has proven.
pub(super) fn peer_of(connection: &quinn::Connection) -> Option<NodeId> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    node_id_of(chain.first()?)
}

fn node_id_of(spki: &CertificateDer<'_>) -> Option<NodeId> {
    let key = spki.as_ref().strip_prefix(SPKI_PREFIX.as_slice())?;
    Some(NodeId(key.try_into().ok()?))
}

/// Takes any Ed25519 key, or just one, and has its possession proven.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    expected: Option<NodeId>,
    refused: AtomicBool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PeerVerifier {
    fn new(expected: Option<NodeId>, provider: &CryptoProvider) -> Arc<Self> {
        let algorithms = provider.signature_verification_algorithms;
        Arc::new(Self { expected, refused: AtomicBool::new(false), algorithms })
    }

    /// True once another key than the expected one was shown.
    pub(super) fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn check(&self, spki: &CertificateDer<'_>) -> Result<(), Error> {
        let node = node_id_of(spki).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if self.expected.is_some_and(|expected| expected != node) {
            self.refused.store(true, Ordering::Relaxed);
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(())
    }

    fn check_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(spki.as_ref());
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
}

const NO_TLS12: &str = "TLS 1.2 is not offered";

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(NO_TLS12.into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(NO_TLS12.into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
