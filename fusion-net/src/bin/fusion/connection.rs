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
    #[arg(long, global = true, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    security: SecurityArgs,
}

impl ConnectionArgs {
    /// Connects to the coordinator.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let options = ClientOptions {
            timeout: self.timeout,
            refused_for: Some(REFUSED),
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

/// Whoever types a command has not started a coordinator, or mistyped its address: that is said soon.
const REFUSED: Duration = Duration::from_secs(2);

/// The least and the most that a call may take, in seconds.
const SECONDS: std::ops::RangeInclusive<f64> = 0.1..=600.0;

/// A time in seconds, with or without a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|s| SECONDS.contains(s));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        let (least, most) = (SECONDS.start(), SECONDS.end());
        format!("give seconds from {least} to {most}, such as 30 or 0.5")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It said: invalid digit found in string.
    #[test]
    fn a_time_may_have_a_fraction_and_what_is_none_is_told_what_is() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("600"), Ok(Duration::from_secs(600)));
        for wrong in ["", "x", "0", "-1", "0.01", "601", "inf", "nan", "1s", "1e9"] {
            let said = seconds(wrong).unwrap_err();
            assert!(said.contains("from 0.1 to 600"), "{wrong}: {said}");
        }
    }
}
