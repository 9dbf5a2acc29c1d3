//! How client commands reach the cluster.

use crate::security::SecurityArgs;
use clap::Args;
use fusion_net::client::{Client, ClientOptions};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of every client command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The coordinator's address
    #[arg(
        long,
        global = true,
        env = "FUSION_COORDINATOR",
        value_name = "HOST:PORT",
        value_parser = address,
        default_value = "127.0.0.1:7400"
    )]
    pub(crate) coordinator: String,
    /// How long one call may take, with all its retries
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,
    #[command(flatten)]
    security: SecurityArgs,
}

/// An address as it is given on the command line; whether the host exists shows later.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match parts.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("give HOST:PORT, as in 127.0.0.1:7400".to_owned()),
    }
}

impl ConnectionArgs {
    /// Connects to the coordinator.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let options = ClientOptions {
            timeout: Duration::from_secs(self.timeout),
            network: self.security.network()?,
        };
        Ok(Client::connect_with(&self.coordinator, options).await?)
    }

    /// Runs a command with a client, and takes leave of the servers afterwards.
    pub(crate) async fn with_client(
        &self,
        act: impl AsyncFnOnce(&Client) -> anyhow::Result<ExitCode>,
    ) -> anyhow::Result<ExitCode> {
        let client = self.client().await?;
        let done = act(&client).await;
        client.close().await;
        done
    }
}
