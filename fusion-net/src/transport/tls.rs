//! Mutual TLS: each side shows a certificate, and takes the other's only from the same authority.

use super::stream::{Stream, Tcp};
use super::{ReachError, Unreached};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, RootCertStore, ServerConfig,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The files that a process proves itself by, in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of this process, then those between it and the authority, if there are any.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The certificates of the authorities that the other sides' certificates may come from.
    pub authority: PathBuf,
}

/// What a process proves itself by, and whom it believes. Read once: new files count after a restart.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    own: Arc<Own>,
}

/// What this process shows, and how the others look at it.
struct Own {
    chain: Vec<CertificateDer<'static>>,
    path: PathBuf,
    verifier: Arc<WebPkiServerVerifier>,
}

/// Why there can be no TLS.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file is not in PEM form, or something else in that form.
    #[error("{} holds no {wanted} in PEM form", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was sought there.
        wanted: &'static str,
    },
    /// A certificate of an authority does not parse.
    #[error("{} holds a certificate that no authority can have: {reason}", path.display())]
    BadAuthority {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The private key belongs to another certificate.
    #[error("the private key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    OtherKey {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The private key is of a kind that is not supported.
    #[error("the private key in {} cannot be used: {reason}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The certificate's time is over.
    #[error("the certificate in {} has expired; issue a new one", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
    },
    /// The certificate comes from another authority.
    #[error("the certificate in {} was not issued by the authority in {}", path.display(), authority.display())]
    OtherAuthority {
        /// The file of the certificate.
        path: PathBuf,
        /// The file of the authority.
        authority: PathBuf,
    },
    /// The certificate is for other hosts.
    #[error("the certificate in {} is not for {host}, where others reach this process; issue one with that name", path.display())]
    OtherHost {
        /// The file.
        path: PathBuf,
        /// The host.
        host: String,
    },
    /// The certificate does not do otherwise.
    #[error("the certificate in {} does not do: {reason}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl Tls {
    /// Reads the files, and makes sure that they fit together: others would only be told by each peer in turn.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(files: &TlsFiles) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&files.certificate)?;
        let key = private_key(&files.key)?;
        let roots = Arc::new(roots(&files.authority)?);
        let verifier = verifier(&roots, &provider, files)?;
        check(&chain, verifier.as_ref(), files)?;

        let others =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| bad_authority(&files.authority, &error))?;
        let own = Own {
            chain: chain.clone(),
            path: files.certificate.clone(),
            verifier: Arc::clone(&others),
        };

        let not_usable = |error: Error| match error {
            Error::InconsistentKeys(_) => TlsError::OtherKey {
                key: files.key.clone(),
                certificate: files.certificate.clone(),
            },
            error => TlsError::BadKey {
                path: files.key.clone(),
                reason: error.to_string(),
            },
        };
        let versions = &[&TLS13];
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(not_usable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(not_usable)?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(not_usable)?
            .with_webpki_verifier(others)
            .with_client_auth_cert(chain, key)
            .map_err(not_usable)?;
        // Connections last, and each is to be proved anew: an old ticket must not outlive a certificate.
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        Ok(Tls {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            own: Arc::new(own),
        })
    }

    /// Whether others who ask for `host` will take this process's certificate.
    pub(super) fn check_host(&self, host: &str) -> Result<(), TlsError> {
        let other_host = || TlsError::OtherHost {
            path: self.own.path.clone(),
            host: host.to_owned(),
        };
        let name = ServerName::try_from(host).map_err(|_| other_host())?;
        let Some((own, between)) = self.own.chain.split_first() else {
            return Err(other_host());
        };
        let verifier = &self.own.verifier;
        match verifier.verify_server_cert(own, between, &name, &[], UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Err(other_host()),
            Err(error) => Err(TlsError::BadCertificate {
                path: self.own.path.clone(),
                reason: error.to_string(),
            }),
        }
    }

    /// Agrees with the holder of a certificate for `host`.
    pub(super) async fn connect(&self, tcp: Tcp, host: &str) -> Result<Stream, ReachError> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| ReachError::BadName(host.to_owned()))?;
        let stream = self.connector.connect(name, tcp).await;
        stream.map(Stream::tls).map_err(ReachError::from)
    }

    /// Agrees with whoever has connected; on an error hands back the stream, on which the reason was said.
    pub(super) async fn accept(&self, tcp: Tcp) -> Result<Stream, Unreached> {
        let accepted = self.acceptor.accept(tcp).into_fallible().await;
        accepted.map(Stream::tls).map_err(|(error, tcp)| Unreached {
            error: error.into(),
            stream: Some(Stream::plain(tcp)),
        })
    }
}

impl std::fmt::Debug for Tls {
    /// Nothing of the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let all: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(TlsError::NotPem {
            path: path.to_owned(),
            wanted: "certificate",
        }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| TlsError::NotPem {
        path: path.to_owned(),
        wanted: "private key",
    })
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| bad_authority(path, &error))?;
    }
    Ok(roots)
}

fn bad_authority(path: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::BadAuthority {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn verifier(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    files: &TlsFiles,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
    let verifier = builder.build();
    verifier.map_err(|error| bad_authority(&files.authority, &error))
}

/// Looks at this process's own certificate as others will.
fn check(
    chain: &[CertificateDer<'static>],
    verifier: &dyn ClientCertVerifier,
    files: &TlsFiles,
) -> Result<(), TlsError> {
    let Some((own, between)) = chain.split_first() else {
        return Ok(());
    };
    let path = files.certificate.clone();
    match verifier.verify_client_cert(own, between, UnixTime::now()) {
        Ok(_) => Ok(()),
        Err(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Err(TlsError::Expired { path }),
        Err(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => Err(TlsError::OtherAuthority {
            path,
            authority: files.authority.clone(),
        }),
        Err(error) => Err(TlsError::BadCertificate {
            path,
            reason: error.to_string(),
        }),
    }
}

/// What TLS says is wrong, if that is what an `io::Error` is about.
pub(super) fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Puts what TLS says into words that tell whose fault it is.
pub(super) fn explain(cause: &Error) -> ReachError {
    match cause {
        // Not a record of TLS at all, or none that begins a conversation.
        Error::InvalidMessage(_) => ReachError::PlainThere,
        Error::InvalidCertificate(reason) => ReachError::BadCertificate(reason.to_string()),
        Error::NoCertificatesPresented => ReachError::BadCertificate("it shows none".to_owned()),
        Error::AlertReceived(alert) if is_about_certificates(*alert) => {
            ReachError::Refused(format!("{alert:?}"))
        }
        other => ReachError::Tls(other.to_string()),
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    )
}
