//! How a command's connections are secured.

use anyhow::bail;
use clap::Args;
use fusion_net::transport::{Network, Tls, TlsFiles};
use std::path::PathBuf;

/// Arguments of every command that listens or connects.
#[derive(Debug, Args)]
#[command(next_help_heading = "Security")]
pub(crate) struct SecurityArgs {
    /// The certificate of this process, in PEM form (`fusion certificate` makes some)
    #[arg(long, global = true, env = "FUSION_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate
    #[arg(long, global = true, env = "FUSION_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The authority that all certificates of the deployment come from
    #[arg(long, global = true, env = "FUSION_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Go without TLS beyond this machine: whoever reaches a port may read and change everything
    #[arg(long, global = true)]
    insecure: bool,
}

impl SecurityArgs {
    /// The network that was asked for.
    pub(crate) fn network(&self) -> anyhow::Result<Network> {
        let files = match (&self.tls_cert, &self.tls_key, &self.tls_ca) {
            (None, None, None) if self.insecure => return Ok(Network::insecure()),
            (None, None, None) => return Ok(Network::loopback()),
            (Some(certificate), Some(key), Some(authority)) => TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                authority: authority.clone(),
            },
            (certificate, key, _) => {
                let missing = match (certificate, key) {
                    (None, _) => "--tls-cert (FUSION_TLS_CERT)",
                    (_, None) => "--tls-key (FUSION_TLS_KEY)",
                    _ => "--tls-ca (FUSION_TLS_CA)",
                };
                bail!(
                    "TLS takes --tls-cert, --tls-key and --tls-ca together; {missing} is not given"
                );
            }
        };
        if self.insecure {
            bail!("--insecure means to go without TLS: leave it out, or the files of TLS");
        }
        Ok(Network::tls(Tls::load(&files)?))
    }
}
