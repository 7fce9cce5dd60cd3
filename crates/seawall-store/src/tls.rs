//! TLS towards the servers that hold the sessions: rustls, with certificates verified by default.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

/// Whom a connection trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust<'a> {
    /// Whoever answers: safe from listeners, not from impostors.
    Anyone,
    /// Servers with a certificate from one of the authorities in this PEM file.
    File(&'a Path),
    /// Servers with a certificate from one of the system's authorities.
    System,
}

/// A client's configuration.
///
/// # Errors
/// What is wrong with the authorities, for people.
pub(crate) fn client_config(trust: &Trust<'_>) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = if *trust == Trust::Anyone {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyone(provider)))
    } else {
        builder.with_root_certificates(authorities(trust)?)
    };
    Ok(builder.with_no_client_auth())
}

fn authorities(trust: &Trust<'_>) -> Result<RootCertStore, String> {
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(certificates(trust)?);
    if authorities.is_empty() {
        return Err("none of the authorities' certificates can be read".to_owned());
    }
    Ok(authorities)
}

/// The certificates of the authorities that are trusted.
///
/// # Errors
/// Why there are none, for people.
pub(crate) fn certificates(trust: &Trust<'_>) -> Result<Vec<CertificateDer<'static>>, String> {
    let (certificates, nothing) = match trust {
        Trust::Anyone => return Ok(Vec::new()),
        Trust::File(path) => {
            let path_shown = path.display();
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            let certificates: Vec<_> = read.map_err(|error| {
                format!("the authorities' file {path_shown} cannot be read: {error}")
            })?;
            (
                certificates,
                format!("{path_shown} holds no certificate in PEM form"),
            )
        }
        Trust::System => (
            rustls_native_certs::load_native_certs().certs,
            "the system has no certificate authorities; install ca-certificates, or name a file \
             of authorities in the store's URL"
                .to_owned(),
        ),
    };
    if certificates.is_empty() {
        return Err(nothing);
    }
    Ok(certificates)
}

/// Checks that the server holds the key of its certificate, and not whose certificate that is.
#[derive(Debug)]
struct AcceptAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
