//! `fusion list`: a list from the shell.

use crate::connection::ConnectionArgs;
use crate::name::PrimaryName;
use crate::output::{self, say};
use clap::{Args, Subcommand};
use fusion_net::client::{Client, List};
use std::process::ExitCode;

/// Values are text.
#[derive(Debug, Args)]
#[command(after_help = "\
NAME/I is primary I of the cluster NAME: a list of its own. Indices count from 0.

Examples:
  fusion list append todo/0 \"buy milk\"
  fusion list insert todo/0 0 \"get up\"
  fusion list get todo/0 1
  fusion list dump todo/0 --json")]
pub(crate) struct ListArgs {
    #[command(subcommand)]
    command: ListCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum ListCommand {
    /// Put a value before the one at an index; the length as index appends
    #[command(after_help = "Example:\n  fusion list insert todo/0 0 \"get up\"")]
    Insert {
        /// The list
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
        /// Where
        index: u64,
        /// What
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Put a value at the end, and print its index
    #[command(after_help = "Example:\n  fusion list append todo/0 \"buy milk\"")]
    Append {
        /// The list
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
        /// What
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Print the value at an index; an index that is not there is a failure
    #[command(after_help = "Example:\n  fusion list get todo/0 1")]
    Get {
        /// The list
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
        /// Which
        index: u64,
    },
    /// Replace the value at an index; an index that is not there is a failure
    #[command(after_help = "Example:\n  fusion list set todo/0 1 \"buy oat milk\"")]
    Set {
        /// The list
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
        /// Which
        index: u64,
        /// The new value
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove the value at an index and print it; an index that is not there is a failure
    #[command(after_help = "Example:\n  fusion list remove todo/0 1")]
    Remove {
        /// The list
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
        /// Which
        index: u64,
    },
    /// Print the number of values
    #[command(after_help = "Example:\n  fusion list len todo/0")]
    Len {
        /// The list
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
    },
    /// Print all values in order, a line each
    #[command(
        after_help = "Examples:\n  fusion list dump todo/0\n  fusion list dump todo/0 --json"
    )]
    Dump {
        /// The list
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
        /// Print one JSON array instead
        #[arg(long)]
        json: bool,
    },
}

impl ListCommand {
    fn name(&self) -> &PrimaryName {
        match self {
            ListCommand::Insert { name, .. }
            | ListCommand::Append { name, .. }
            | ListCommand::Get { name, .. }
            | ListCommand::Set { name, .. }
            | ListCommand::Remove { name, .. }
            | ListCommand::Len { name }
            | ListCommand::Dump { name, .. } => name,
        }
    }
}

/// Runs `fusion list`.
pub(crate) async fn run(args: ListArgs) -> anyhow::Result<ExitCode> {
    let ListArgs {
        command,
        connection,
    } = args;
    connection
        .with_client(async |client| execute(client, command).await)
        .await
}

async fn execute(client: &Client, command: ListCommand) -> anyhow::Result<ExitCode> {
    let name = command.name();
    let list: List<String> = client.list(&name.cluster, name.primary).await?;
    match &command {
        ListCommand::Insert { index, value, .. } => list.insert(*index, value).await?,
        ListCommand::Append { value, .. } => say!("{}", list.append(value).await?)?,
        ListCommand::Get { index, .. } => say!("{}", list.get(*index).await?)?,
        ListCommand::Set { index, value, .. } => list.set(*index, value).await?,
        ListCommand::Remove { index, .. } => say!("{}", list.remove(*index).await?)?,
        ListCommand::Len { .. } => say!("{}", list.len().await?)?,
        ListCommand::Dump { json: true, .. } => output::json(&list.to_vec().await?)?,
        ListCommand::Dump { .. } => output::lines(list.to_vec().await?.iter())?,
    }
    Ok(ExitCode::SUCCESS)
}
