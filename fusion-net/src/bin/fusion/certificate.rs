//! `fusion certificate`: an authority of one's own and the certificates of a deployment.

use crate::output::say;
use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use fusion_net::transport::{Authority, Tls, TlsFiles};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tempfile::NamedTempFile;

/// The files that are made.
const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// Certificates for mutual TLS.
#[derive(Debug, Args)]
#[command(after_help = "\
Every process of a deployment, servers, coordinators and clients, proves itself by a certificate of one authority. \
Whoever has the authority's key (ca.key) can make more: keep it apart.

Examples:
  fusion certificate authority --out ca
  fusion certificate issue --authority ca --name server1.example.com,10.0.0.5 --out server1
  fusion server --listen 10.0.0.5:7500 --coordinator 10.0.0.1:7400 \\
      --tls-cert server1/cert.pem --tls-key server1/key.pem --tls-ca server1/ca.pem")]
pub(crate) struct CertificateArgs {
    #[command(subcommand)]
    command: CertificateCommand,
}

#[derive(Debug, Subcommand)]
enum CertificateCommand {
    /// Make an authority: ca.pem, and its private key ca.key
    #[command(after_help = "Example:\n  fusion certificate authority --out ca")]
    Authority {
        #[command(flatten)]
        files: Files,
        /// How long it is good
        #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
    /// Issue a certificate: cert.pem, its private key key.pem, and a copy of the authority's ca.pem
    #[command(
        after_help = "Examples:\n  fusion certificate issue --authority ca --name server1.example.com,10.0.0.5 --out server1\n  fusion certificate issue --authority ca --name operator --out operator"
    )]
    Issue {
        /// The folder of the authority
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
        /// The names or IP addresses that others reach the process at; any name for one that only connects
        #[arg(long, value_name = "HOST,...", value_delimiter = ',', required = true)]
        name: Vec<String>,
        #[command(flatten)]
        files: Files,
        /// How long it is good
        #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
}

#[derive(Debug, Args)]
struct Files {
    /// The folder that they go to; made when it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

/// Runs `fusion certificate`.
pub(crate) fn run(args: CertificateArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        CertificateCommand::Authority { files, days } => {
            let authority = Authority::new(lifetime(days))?;
            files.write(&[
                (AUTHORITY_KEY, &authority.key(), Reader::Owner),
                (AUTHORITY, authority.certificate(), Reader::Anybody),
            ])?;
        }
        CertificateCommand::Issue {
            authority,
            name,
            files,
            days,
        } => {
            let certificate = read(&authority.join(AUTHORITY))?;
            let key = read(&authority.join(AUTHORITY_KEY))?;
            let found = Authority::from_pem(&certificate, &key);
            let found = found.with_context(|| format!("cannot use {}", authority.display()))?;
            let issued = found.issue(&name, lifetime(days))?;
            files.write(&[
                (KEY, &issued.key, Reader::Owner),
                (CERTIFICATE, &issued.certificate, Reader::Anybody),
                (AUTHORITY, found.certificate(), Reader::Anybody),
            ])?;
            files.try_out()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn lifetime(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Owner,
    Anybody,
}

impl Files {
    /// Writes all of them, or none: each is made beside its place first.
    fn write(&self, files: &[(&str, &str, Reader)]) -> anyhow::Result<()> {
        let out = self.out.display();
        fs::create_dir_all(&self.out).with_context(|| format!("cannot make the folder {out}"))?;
        let mut made = Vec::new();
        for &(name, contents, reader) in files {
            let place = self.out.join(name);
            if !self.overwrite && place.exists() {
                bail!(
                    "{} is there already; --overwrite replaces it",
                    place.display()
                );
            }
            let file = self.make(contents, reader);
            made.push((
                file.with_context(|| format!("cannot write to {out}"))?,
                place,
            ));
        }
        for (file, place) in made {
            let placed = if self.overwrite {
                file.persist(&place)
            } else {
                file.persist_noclobber(&place)
            };
            placed.map_err(|e| anyhow!("cannot write {}: {}", place.display(), e.error))?;
            say!("{}", place.display())?;
        }
        Ok(())
    }

    fn make(&self, contents: &str, reader: Reader) -> std::io::Result<NamedTempFile> {
        // Nobody else may read such a file from the first moment on.
        let mut file = NamedTempFile::new_in(&self.out)?;
        file.write_all(contents.as_bytes())?;
        if reader == Reader::Anybody {
            file.as_file()
                .set_permissions(Permissions::from_mode(0o644))?;
        }
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// What does not work is better said now than by the process that is to use it.
    fn try_out(&self) -> anyhow::Result<()> {
        Tls::load(&TlsFiles {
            certificate: self.out.join(CERTIFICATE),
            key: self.out.join(KEY),
            authority: self.out.join(AUTHORITY),
        })?;
        Ok(())
    }
}
