//! `fusion cluster`: what clusters there are.

use crate::acceptance;
use crate::connection::ConnectionArgs;
use crate::output::{self, say};
use crate::relocation;
use crate::status::{Report, may_lose, plural, tolerance};
use crate::table::{Table, count};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use fusion_core::config::Reads;
use fusion_core::id::{PrimaryIndex, Row, ServerId};
use fusion_core::membership::{Acceptance, What};
use fusion_net::client::{ClusterSpec, Kind};
use fusion_net::service::{ClusterStatus, Untold};
use std::io::Write;
use std::process::ExitCode;

/// A cluster: structures of one kind, coded together.
#[derive(Debug, Args)]
#[command(after_help = "\
A cluster has N primary structures of one kind and F fused ones that hold their codes, each on a server of its \
own; any F of the N + F may be lost at a time.

Examples:
  fusion cluster create scores --kind map --primaries 3 --faults 2
  fusion cluster list
  fusion cluster show scores
  fusion cluster remove scores")]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Create a cluster, and wait until it answers
    #[command(
        after_help = "Examples:\n  fusion cluster create scores --kind map --primaries 3 --faults 2\n  fusion cluster create jobs --kind queue --primaries 1 --faults 1 --colocate\n  fusion cluster create safe --kind map --primaries 2 --faults 1 --reads confirmed"
    )]
    Create {
        /// Its name: 1 to 64 letters, digits, '-', '_' or '.', the first no '-' or '.'
        name: String,
        /// What its structures are
        #[arg(long, value_enum)]
        kind: KindArg,
        /// How many primary structures
        #[arg(long, value_name = "N")]
        primaries: usize,
        /// How many members may be lost at a time
        #[arg(long, value_name = "F")]
        faults: usize,
        /// Let members share servers when there are too few: one server's loss is several members' then
        #[arg(long)]
        colocate: bool,
        /// What reads rest on
        #[arg(long, value_enum, default_value = "leased")]
        reads: ReadsArg,
        /// Execute changes only while so many fused structures are in sync, at most F; 0: go on without any, and lose what is
        /// written then with its primary
        #[arg(long, value_name = "K", default_value_t = 0)]
        min_in_sync: usize,
    },
    /// Print all clusters
    #[command(after_help = "Example:\n  fusion cluster list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one cluster with its members and memory
    #[command(after_help = "Example:\n  fusion cluster show scores")]
    Show {
        /// The cluster
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what it costs to go on after more members died than are tolerated; with --lose, go on: lost primaries begin
    /// empty, the others keep everything
    #[command(
        after_help = "Without --lose nothing is changed: what is lost is printed, who lives and would be wiped, and the command that goes on. What the lost primaries held is gone for good then.\n\nExamples:\n  fusion cluster accept-loss scores\n  fusion cluster accept-loss scores --lose 0,2 --wipe 7 --processes-are-dead"
    )]
    AcceptLoss {
        /// The cluster
        name: String,
        /// The primaries that begin empty: exactly those that are lost
        #[arg(long, value_name = "INDEX", value_delimiter = ',')]
        lose: Vec<u16>,
        /// The servers with members that live and lose their state
        #[arg(long, value_name = "SERVER", value_delimiter = ',', requires = "lose")]
        wipe: Vec<u64>,
        /// Your word that no process of a lost primary runs any more, not even cut off: it could answer reads
        #[arg(long, requires = "lose")]
        processes_are_dead: bool,
    },
    /// Move a member to another server, without loss of tolerance, and wait until it is there
    #[command(
        group(ArgGroup::new("member").required(true).args(["primary", "row"])),
        after_help = "A primary serves while it is copied, and stops for a moment only, in which clients wait.\n\nExamples:\n  fusion cluster move scores --primary 2\n  fusion cluster move scores --row 0 --to 7\n  fusion cluster move scores --primary 2 --cancel"
    )]
    Move {
        /// The cluster
        name: String,
        /// Which primary, from 0
        #[arg(long, value_name = "INDEX")]
        primary: Option<u16>,
        /// Which fused structure, from 0
        #[arg(long)]
        row: Option<u16>,
        /// The id of the server that takes it; the best free one otherwise
        #[arg(long, value_name = "SERVER")]
        to: Option<u64>,
        /// Let it stay where it is instead: it is being moved
        #[arg(long, conflicts_with = "to")]
        cancel: bool,
    },
    /// Remove a cluster and all that is in it
    #[command(after_help = "Example:\n  fusion cluster remove scores")]
    Remove {
        /// The cluster
        name: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    /// Access by index
    List,
    /// Keys with values
    Map,
    /// First in, first out
    Queue,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Kind {
        match kind {
            KindArg::List => Kind::List,
            KindArg::Map => Kind::Map,
            KindArg::Queue => Kind::Queue,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ReadsArg {
    /// Leases: answered at once, while clocks are off by at most 10 % and go on when their machine is stopped
    Leased,
    /// Acknowledgements, and no clock: a round trip for each; for machines that a hypervisor may stop
    Confirmed,
}

impl From<ReadsArg> for Reads {
    fn from(reads: ReadsArg) -> Reads {
        match reads {
            ReadsArg::Leased => Reads::Leased,
            ReadsArg::Confirmed => Reads::Confirmed,
        }
    }
}

/// Runs `fusion cluster`.
pub(crate) async fn run(args: ClusterArgs) -> anyhow::Result<ExitCode> {
    let client = args.connection.client().await?;
    match args.command {
        ClusterCommand::Create {
            name,
            kind,
            primaries,
            faults,
            colocate,
            reads,
            min_in_sync,
        } => {
            let spec = ClusterSpec::new(&name, kind.into(), primaries, faults)
                .colocate(colocate)
                .reads(reads.into())
                .min_in_sync(min_in_sync);
            client.create(&spec).await?;
            // Nobody may know or read it: the cluster is there all the same.
            let created = client.cluster(&name).await.ok();
            if let Some(created) = &created {
                say!("{name} is created; it may lose {}", may_lose(created))?;
            }
            if let Some(warning) = created.as_ref().and_then(shared) {
                let _ = writeln!(std::io::stderr(), "fusion: {warning}");
            }
        }
        ClusterCommand::List { json } => {
            let clusters = client.status().await?.clusters;
            let reports: Vec<Report> = clusters.into_iter().map(Report::new).collect();
            if json {
                output::json(&reports)?;
            } else {
                say!("{}", listing(&reports))?;
            }
        }
        ClusterCommand::Show { name, json } => {
            let report = Report::new(client.cluster(&name).await?);
            if json {
                output::json(&report)?;
            } else {
                say!("{report}")?;
            }
        }
        ClusterCommand::AcceptLoss {
            name,
            lose,
            wipe,
            processes_are_dead,
        } => {
            let acceptance = Acceptance {
                lose: lose.into_iter().map(PrimaryIndex).collect(),
                wipe: wipe.into_iter().map(ServerId).collect(),
                processes_are_dead,
            };
            acceptance::run(&client, &name, &acceptance).await?;
        }
        ClusterCommand::Move {
            name,
            primary,
            row,
            to,
            cancel,
        } => {
            let what = match (primary, row) {
                (Some(index), _) => What::Primary(PrimaryIndex(index)),
                (None, row) => What::Row(Row(row.unwrap_or_default())),
            };
            if cancel {
                client.cancel_move(&name, what).await?;
                say!("{what} of {name} stays where it is")?;
            } else {
                relocation::move_member(&client, &name, what, to.map(ServerId)).await?;
            }
        }
        ClusterCommand::Remove { name } => {
            for Untold { server, address } in client.remove(&name).await? {
                say!(
                    "{name} is removed, but server {server} at {address} has not heard of it: if it is dead, nothing is left; if it is only cut off, it may answer clients that reach it until it hears"
                )?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What members that stand too close together mean for the faults that are tolerated.
fn shared(cluster: &ClusterStatus) -> Option<String> {
    let (may, faults) = (cluster.may_lose, cluster.faults);
    let mut more = Vec::new();
    if may.hosts < faults.min(cluster.tolerates) {
        more.push("hosts");
    }
    // As many as hosts may be lost cannot be asked of zones: but one.
    if may.zones == Some(0) {
        more.push("zones");
    }
    (!more.is_empty()).then(|| {
        format!(
            "{} tolerates the loss of {}, and members stand closer together than that: it may lose {}; start servers on more \
             {}, and members are moved there",
            cluster.name,
            plural(faults as u64, "member"),
            may_lose(cluster),
            more.join(" and in more "),
        )
    })
}

fn listing(reports: &[Report]) -> Table {
    let mut table = Table::new([
        "NAME",
        "KIND",
        "PRIMARIES",
        "FUSED",
        "EPOCH",
        "ELEMENTS",
        "TOLERATES",
    ]);
    for report in reports {
        let c = &report.cluster;
        table.row([
            c.name.clone(),
            c.kind.to_string(),
            c.primaries.to_string(),
            c.faults.to_string(),
            c.epoch.to_string(),
            if report.memory.unknown_primaries == 0 {
                count(report.memory.elements)
            } else {
                "?".to_owned()
            },
            tolerance(c),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{cluster, member};
    use fusion_core::membership::MayLose;
    use fusion_net::service::Role;

    /// A cluster of two and `faults` that may lose so many hosts and zones.
    fn warning(faults: usize, hosts: usize, zones: Option<usize>) -> Option<String> {
        let primaries = (0..2).map(|i| member(Role::Primary, i, None));
        let fused = (0..faults).map(|i| member(Role::Fused, i, None));
        let mut cluster = cluster(primaries.chain(fused).collect());
        cluster.may_lose = MayLose {
            servers: hosts,
            hosts,
            zones,
        };
        shared(&cluster)
    }

    #[test]
    fn who_stands_closer_together_than_f_is_told_what_may_be_lost() {
        assert_eq!(warning(2, 2, None), None);
        assert_eq!(warning(2, 2, Some(1)), None);
        let host = warning(2, 1, None).unwrap();
        assert!(host.contains("the loss of 2 members,"), "{host}");
        assert!(
            host.contains("may lose any 1 server, any 1 host;"),
            "{host}"
        );
        assert!(host.contains("on more hosts,"), "{host}");
        let both = warning(1, 0, Some(0)).unwrap();
        assert!(both.contains("no server, no host, no zone;"), "{both}");
        assert!(both.contains("hosts and in more zones"), "{both}");
    }
}
