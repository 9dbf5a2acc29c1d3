//! How client commands reach the cluster.

use crate::security::SecurityArgs;
use clap::Args;
use fusion_net::client::{Addresses, Client, ClientOptions};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of every client command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The coordinator's address, or those of all coordinators with commas between them
    #[arg(
        long,
        global = true,
        env = "FUSION_COORDINATOR",
        value_name = "HOST:PORT,...",
        default_value = "127.0.0.1:7400"
    )]
    pub(crate) coordinator: Addresses,
    /// How long one call may take, with all its retries
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,
    #[command(flatten)]
    security: SecurityArgs,
}

impl ConnectionArgs {
    /// Connects to the coordinator.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let options = ClientOptions {
            timeout: Duration::from_secs(self.timeout),
            network: self.security.network()?,
            ..ClientOptions::default()
        };
        Ok(Client::connect_to(self.coordinator.clone(), options).await?)
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
