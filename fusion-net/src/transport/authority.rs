//! An authority of one's own: makes the certificates that the processes of a deployment prove themselves by.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio_rustls::rustls::pki_types::ServerName;

/// Clocks of other machines may be so much behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Why there is no certificate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// What was given for the authority's certificate or key is none.
    #[error("this is no authority: {0}")]
    NoAuthority(rcgen::Error),
    /// The host has no such name.
    #[error("{0:?} is neither the name of a host nor an IP address")]
    BadName(String),
    /// No name was given.
    #[error("a certificate needs the name of at least one host")]
    NoName,
    /// It could not be made.
    #[error("the certificate could not be made: {0}")]
    Failed(#[from] rcgen::Error),
}

/// Issues certificates. Whoever has its key can enter the deployment.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    key: KeyPair,
}

/// A certificate and its private key, both in PEM form.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// A new one, good for so long.
    ///
    /// # Errors
    /// [`CertificateError::Failed`].
    pub fn new(lifetime: Duration) -> Result<Authority, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = params("Fusion authority", lifetime);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Authority { certificate, key })
    }

    /// One that was made before, from its certificate and its key in PEM form.
    ///
    /// # Errors
    /// [`CertificateError::NoAuthority`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Authority, CertificateError> {
        let key = KeyPair::from_pem(key).map_err(CertificateError::NoAuthority)?;
        Issuer::from_ca_cert_pem(certificate, &key).map_err(CertificateError::NoAuthority)?;
        Ok(Authority {
            certificate: certificate.to_owned(),
            key,
        })
    }

    /// Its own certificate, in PEM form: what every process must believe.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its private key, in PEM form.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// A certificate for a process that is reached by these names or IP addresses, or that only connects to others.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn issue(&self, hosts: &[String], lifetime: Duration) -> Result<Issued, CertificateError> {
        let first = hosts.first().ok_or(CertificateError::NoName)?;
        if let Some(bad) = hosts
            .iter()
            .find(|h| ServerName::try_from(h.as_str()).is_err())
        {
            return Err(CertificateError::BadName(bad.clone()));
        }
        let key = KeyPair::generate()?;
        let mut params = params(first, lifetime);
        params.subject_alt_names = CertificateParams::new(hosts)?.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, &self.key);
        let issuer = issuer.map_err(CertificateError::NoAuthority)?;
        Ok(Issued {
            certificate: params.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl std::fmt::Debug for Issued {
    /// Nothing of the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

fn params(name: &str, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + lifetime).into();
    params
}
