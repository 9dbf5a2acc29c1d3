//! `fusion queue`: a queue from the shell.

use crate::connection::ConnectionArgs;
use crate::name::PrimaryName;
use crate::output::{self, say};
use anyhow::Context;
use clap::{Args, Subcommand};
use fusion_net::client::{Client, Queue};
use std::process::ExitCode;

/// Values are text.
#[derive(Debug, Args)]
#[command(after_help = "\
NAME/I is primary I of the cluster NAME: a queue of its own.
dequeue and peek of an empty queue fail with status 1, so that a shell loop ends:
  while job=$(fusion queue dequeue jobs/0); do echo \"$job\"; done

Examples:
  fusion queue enqueue jobs/0 \"resize cat.png\"
  fusion queue peek jobs/0
  fusion queue dequeue jobs/0")]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// Put a value at the back
    #[command(after_help = "Example:\n  fusion queue enqueue jobs/0 \"resize cat.png\"")]
    Enqueue {
        /// The queue
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
        /// What
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove the value at the front and print it; an empty queue is a failure
    #[command(after_help = "Example:\n  fusion queue dequeue jobs/0")]
    Dequeue {
        /// The queue
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
    },
    /// Print the value at the front; an empty queue is a failure
    #[command(after_help = "Example:\n  fusion queue peek jobs/0")]
    Peek {
        /// The queue
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
    },
    /// Print the number of values
    #[command(after_help = "Example:\n  fusion queue len jobs/0")]
    Len {
        /// The queue
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
    },
    /// Print all values from front to back, a line each
    #[command(
        after_help = "Examples:\n  fusion queue dump jobs/0\n  fusion queue dump jobs/0 --json"
    )]
    Dump {
        /// The queue
        #[arg(value_name = "NAME/I")]
        name: PrimaryName,
        /// Print one JSON array instead
        #[arg(long)]
        json: bool,
    },
}

impl QueueCommand {
    fn name(&self) -> &PrimaryName {
        match self {
            QueueCommand::Enqueue { name, .. }
            | QueueCommand::Dequeue { name }
            | QueueCommand::Peek { name }
            | QueueCommand::Len { name }
            | QueueCommand::Dump { name, .. } => name,
        }
    }
}

/// Runs `fusion queue`.
pub(crate) async fn run(args: QueueArgs) -> anyhow::Result<ExitCode> {
    let QueueArgs {
        command,
        connection,
    } = args;
    connection
        .with_client(async |client| execute(client, command).await)
        .await
}

async fn execute(client: &Client, command: QueueCommand) -> anyhow::Result<ExitCode> {
    let name = command.name();
    let queue: Queue<String> = client.queue(&name.cluster, name.primary).await?;
    let empty = || format!("the queue {name} is empty");
    match &command {
        QueueCommand::Enqueue { value, .. } => queue.enqueue(value).await?,
        QueueCommand::Dequeue { .. } => say!("{}", queue.dequeue().await?.with_context(empty)?)?,
        QueueCommand::Peek { .. } => say!("{}", queue.peek().await?.with_context(empty)?)?,
        QueueCommand::Len { .. } => say!("{}", queue.len().await?)?,
        QueueCommand::Dump { json: true, .. } => output::json(&queue.to_vec().await?)?,
        QueueCommand::Dump { .. } => output::lines(queue.to_vec().await?.iter())?,
    }
    Ok(ExitCode::SUCCESS)
}
