//! `fusion map`: a map from the shell.

use crate::connection::ConnectionArgs;
use crate::name::AnyName;
use crate::output::{self, say};
use clap::{Args, Subcommand};
use fusion_net::client::{Client, Error, MapPart};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Keys and values are text.
#[derive(Debug, Args)]
#[command(after_help = "\
NAME is the whole map, its keys spread over the primaries; NAME/I is primary I alone, a map of its own.
Use a cluster in one of the two ways: a key put into NAME/I is found through NAME only if it belongs to that primary.

Examples:
  fusion map put scores ada 36
  fusion map get scores ada
  fusion map dump scores --json
  fusion map put own/0 only-here 1")]
pub(crate) struct MapArgs {
    #[command(subcommand)]
    command: MapCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum MapCommand {
    /// Set the value of a key
    #[command(after_help = "Example:\n  fusion map put scores ada 36")]
    Put {
        /// The map
        #[arg(value_name = "NAME[/I]")]
        name: AnyName,
        /// The key
        #[arg(allow_hyphen_values = true)]
        key: String,
        /// Its new value
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Print the value of a key; a key that is not there is a failure
    #[command(after_help = "Example:\n  fusion map get scores ada")]
    Get {
        /// The map
        #[arg(value_name = "NAME[/I]")]
        name: AnyName,
        /// The key
        #[arg(allow_hyphen_values = true)]
        key: String,
    },
    /// Remove a key and print the value that it had; a key that is not there is a failure
    #[command(after_help = "Example:\n  fusion map remove scores ada")]
    Remove {
        /// The map
        #[arg(value_name = "NAME[/I]")]
        name: AnyName,
        /// The key
        #[arg(allow_hyphen_values = true)]
        key: String,
    },
    /// Print the number of entries
    #[command(after_help = "Example:\n  fusion map len scores")]
    Len {
        /// The map
        #[arg(value_name = "NAME[/I]")]
        name: AnyName,
    },
    /// Print all entries, sorted by key: a line each, key and value separated by a tab
    #[command(
        after_help = "Examples:\n  fusion map dump scores\n  fusion map dump scores/0 --json"
    )]
    Dump {
        /// The map
        #[arg(value_name = "NAME[/I]")]
        name: AnyName,
        /// Print one JSON object instead
        #[arg(long)]
        json: bool,
    },
}

type Part = MapPart<String, String>;

/// Runs `fusion map`.
pub(crate) async fn run(args: MapArgs) -> anyhow::Result<ExitCode> {
    let MapArgs {
        command,
        connection,
    } = args;
    connection
        .with_client(async |client| execute(client, command).await)
        .await
}

async fn execute(client: &Client, command: MapCommand) -> anyhow::Result<ExitCode> {
    match command {
        MapCommand::Put { name, key, value } => {
            part(client, &name, &key).await?.put(&key, &value).await?;
        }
        MapCommand::Get { name, key } => {
            say!("{}", part(client, &name, &key).await?.get(&key).await?)?;
        }
        MapCommand::Remove { name, key } => {
            say!("{}", part(client, &name, &key).await?.remove(&key).await?)?;
        }
        MapCommand::Len { name } => {
            let mut len = 0;
            for part in parts(client, &name).await? {
                len += part.len().await?;
            }
            say!("{len}")?;
        }
        MapCommand::Dump { name, json } => {
            let mut all = BTreeMap::new();
            for part in parts(client, &name).await? {
                all.extend(part.entries().await?);
            }
            if json {
                output::json(&all)?;
            } else {
                output::lines(all.iter().map(|(key, value)| format!("{key}\t{value}")))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The part that has the key, or would have it.
async fn part(client: &Client, name: &AnyName, key: &String) -> Result<Part, Error> {
    match name.primary {
        Some(primary) => client.map_part(&name.cluster, primary).await,
        None => {
            let map = client.map::<String, String>(&name.cluster).await?;
            Ok(map.part_of(key)?.clone())
        }
    }
}

async fn parts(client: &Client, name: &AnyName) -> Result<Vec<Part>, Error> {
    match name.primary {
        Some(primary) => Ok(vec![client.map_part(&name.cluster, primary).await?]),
        None => Ok(client.map(&name.cluster).await?.parts().to_vec()),
    }
}
