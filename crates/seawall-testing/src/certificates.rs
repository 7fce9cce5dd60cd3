//! Certificates for servers under test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, and a certificate from it for `localhost` and 127.0.0.1, as PEM files.
#[derive(Debug)]
pub struct TestCertificates {
    folder: TempDir,
}

impl TestCertificates {
    /// Makes new ones.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn make() -> Self {
        let folder = TempDir::with_prefix("seawall-certificates-").expect("a temporary folder");
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pem = authority
            .self_signed(&authority_key)
            .expect("a certificate")
            .pem();
        let issuer = Issuer::new(authority, authority_key);
        let server_key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).expect("names of the field's form");
        let server_pem = server
            .signed_by(&server_key, &issuer)
            .expect("a certificate")
            .pem();
        let certificates = Self { folder };
        for (path, text) in [
            (certificates.authority(), authority_pem),
            (certificates.certificate(), server_pem),
            (certificates.key(), server_key.serialize_pem()),
        ] {
            fs::write(path, text).expect("a temporary file");
        }
        certificates
    }

    /// The authority that signed the server's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.file("authority.pem")
    }

    /// The server's certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// The server's key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.file("server.key")
    }

    /// The folder that holds the files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
