//! Certificates for a Redis that speaks TLS, made anew for each test.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, and a certificate of it for `localhost` and 127.0.0.1 that servers and clients may
/// show, as PEM files.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes a new authority; another one's certificates are strangers to it.
    pub fn make() -> Certificates {
        Certificates::make_for(&["localhost", "127.0.0.1"])
    }

    /// As [`Certificates::make`], for other names.
    pub fn make_for(names: &[&str]) -> Certificates {
        let folder = TempDir::new().expect("a temporary folder");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "an authority of tests");
        let (authority_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let ca = authority.self_signed(&authority_key).expect("a certificate").pem();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut holder = CertificateParams::new(names).expect("names");
        holder.distinguished_name.push(DnType::CommonName, "a holder of tests");
        let cert =
            holder.signed_by(&key, &Issuer::new(authority, authority_key)).expect("a certificate").pem();
        for (file, text) in [("ca", ca), ("cert", cert), ("key", key.serialize_pem())] {
            std::fs::write(folder.path().join(file), text).expect("a written file");
        }
        Certificates { folder }
    }

    /// The file of the authority.
    pub fn ca(&self) -> String {
        self.file("ca")
    }

    /// The file of the certificate.
    pub fn cert(&self) -> String {
        self.file("cert")
    }

    /// The file of its private key.
    pub fn key(&self) -> String {
        self.file("key")
    }

    fn file(&self, name: &str) -> String {
        PathBuf::from(self.folder.path()).join(name).display().to_string()
    }
}
