//! `fusion status`: servers and clusters as they are now.

use crate::connection::ConnectionArgs;
use crate::output::{self, say};
use crate::table::{Table, bytes, count};
use clap::Args;
use fusion_core::membership::Waiting;
use fusion_net::service::{ClusterStatus, ControlPlane, Event, MemberState, Role, ServerStatus};
use serde::Serialize;
use std::fmt;
use std::process::ExitCode;

/// How it stands.
#[derive(Debug, Args)]
#[command(after_help = "\
Members report to the coordinator a few times a second: element counts and memory are as fresh as that.

Examples:
  fusion status
  fusion status --json | jq '.clusters[].tolerates'")]
pub(crate) struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct StatusReport {
    coordinator: String,
    servers: Vec<ServerStatus>,
    clusters: Vec<Report>,
    events: Vec<Event>,
    problem: Option<String>,
    strangers: Vec<String>,
    control: ControlPlane,
}

/// A cluster with its sums.
#[derive(Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) cluster: ClusterStatus,
    pub(crate) memory: Memory,
}

/// What a cluster's members hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Elements of all primaries.
    pub(crate) elements: u64,
    /// Bytes of their keys and values.
    pub(crate) payload_bytes: u64,
    /// Bytes of the primaries' pages.
    pub(crate) primary_page_bytes: u64,
    /// Bytes of the fused members' pages.
    pub(crate) fused_page_bytes: u64,
    /// What the primaries' pages would take in f + 1 copies.
    pub(crate) copies_page_bytes: u64,
}

impl Memory {
    /// The sums over a cluster's members.
    pub(crate) fn of(cluster: &ClusterStatus) -> Memory {
        let mut memory = Memory::default();
        for member in &cluster.members {
            memory.elements += member.elements;
            memory.payload_bytes += member.payload_bytes;
            match member.role {
                Role::Primary => memory.primary_page_bytes += member.page_bytes,
                Role::Fused => memory.fused_page_bytes += member.page_bytes,
            }
        }
        memory.copies_page_bytes = memory.primary_page_bytes * (cluster.faults as u64 + 1);
        memory
    }
}

impl Report {
    /// Sums a cluster up.
    pub(crate) fn new(cluster: ClusterStatus) -> Report {
        let memory = Memory::of(&cluster);
        Report { cluster, memory }
    }
}

/// Runs `fusion status`.
pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let status = args.connection.client().await?.status().await?;
    let report = StatusReport {
        coordinator: args.connection.coordinator.to_string(),
        servers: status.servers,
        clusters: status.clusters.into_iter().map(Report::new).collect(),
        events: status.events,
        problem: status.problem,
        strangers: status.strangers,
        control: status.control,
    };
    if args.json {
        output::json(&report)?;
    } else {
        say!("{report}")?;
    }
    Ok(ExitCode::SUCCESS)
}

impl fmt::Display for StatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control = &self.control;
        writeln!(
            f,
            "coordinator {}, store: {}",
            control.answers, control.store
        )?;
        if !control.standbys.is_empty() {
            writeln!(f, "standing by: {}", control.standbys.join(", "))?;
        }
        if let Some(problem) = &control.problem {
            writeln!(
                f,
                "the store does not answer, and soon no coordinator will be active: {problem}"
            )?;
        }
        writeln!(f)?;
        if let Some(problem) = &self.problem {
            writeln!(
                f,
                "the coordinator's store refuses changes, and nothing is mended until it takes them: {problem}\n"
            )?;
        }
        if !self.strangers.is_empty() {
            writeln!(
                f,
                "refused: {} at {}, with members that another store made. Start the coordinator with that store; if it is lost, \
                 with --rebuild and a new --data; or restart those servers to discard what they hold\n",
                plural(self.strangers.len() as u64, "server"),
                self.strangers.join(", ")
            )?;
        }
        let mut servers =
            Table::new(["SERVER", "PID", "ADDRESS", "STATE", "MEMBERS", "LAST HEARD"]);
        for s in &self.servers {
            servers.row([
                s.id.to_string(),
                s.pid.to_string(),
                s.address.clone(),
                server_state(s).to_owned(),
                s.members.to_string(),
                format!("{} ms ago", count(s.heard_ms_ago)),
            ]);
        }
        write!(f, "{servers}")?;
        if self.servers.is_empty() {
            write!(
                f,
                "\nno servers yet: start some with `fusion server --coordinator {}`",
                self.coordinator
            )?;
        } else if self.clusters.is_empty() {
            write!(
                f,
                "\n\nno clusters yet: make one with `fusion cluster create`"
            )?;
        }
        for cluster in &self.clusters {
            write!(f, "\n\n{cluster}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (c, m) = (&self.cluster, &self.memory);
        writeln!(
            f,
            "cluster {}: {}, {} primary + {} fused, epoch {}, {}; tolerates {}",
            c.name,
            c.kind,
            c.primaries,
            c.faults,
            c.epoch,
            plural(m.elements, "element"),
            tolerance(c)
        )?;
        if let Some(waiting) = &c.waiting {
            writeln!(f, "  {}", explain(waiting))?;
        }
        let mut members = Table::new([
            "ROLE", "INDEX", "SERVER", "ADDRESS", "STATE", "EPOCH", "ELEMENTS", "PAYLOAD", "PAGES",
        ])
        .indent(2);
        for member in &c.members {
            let primary = member.role == Role::Primary;
            let of_primary = |text: String| if primary { text } else { "-".to_owned() };
            members.row([
                if primary { "primary" } else { "fused" }.to_owned(),
                member.index.to_string(),
                member.server.to_string(),
                member.address.clone(),
                state(member.state),
                c.epoch.to_string(),
                of_primary(count(member.elements)),
                of_primary(bytes(member.payload_bytes)),
                bytes(member.page_bytes),
            ]);
        }
        writeln!(f, "{members}")?;
        write!(
            f,
            "  memory: keys and values {}; pages of primaries {} + of fused {} = {}; {} copies would take {}",
            bytes(m.payload_bytes),
            bytes(m.primary_page_bytes),
            bytes(m.fused_page_bytes),
            bytes(m.primary_page_bytes + m.fused_page_bytes),
            c.faults + 1,
            bytes(m.copies_page_bytes)
        )
    }
}

/// How many more faults, in words.
pub(crate) fn tolerance(cluster: &ClusterStatus) -> String {
    let faults = cluster.faults;
    let more = match cluster.tolerates {
        now if now == faults => plural(faults as u64, "fault"),
        now => format!("{now} of {}", plural(faults as u64, "fault")),
    };
    if cluster.serving {
        more
    } else {
        more + ", some primaries do not serve"
    }
}

/// A number of things in words.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(number))
}

/// A server's state in words.
fn server_state(server: &ServerStatus) -> &'static str {
    match (server.alive, server.draining, server.members) {
        (false, ..) => "dead",
        (true, true, 0) => "drained",
        (true, true, _) => "draining",
        (true, false, _) => "alive",
    }
}

/// A member's state in words.
pub(crate) fn state(state: MemberState) -> String {
    match state {
        MemberState::Active => "active".to_owned(),
        MemberState::Dead => "dead".to_owned(),
        MemberState::Recovering { done, total } => format!("recovering {done}/{total} pages"),
        MemberState::Moving { done, total } => format!("moving {done}/{total} chunks"),
        MemberState::Joining { done, total } => format!("joining {done}/{total} chunks"),
    }
}

/// Why a cluster is not whole, and what to do.
pub(crate) fn explain(waiting: &Waiting) -> String {
    match waiting {
        Waiting::MoreThanF { primaries, in_sync } => {
            let lost: Vec<String> = primaries.iter().map(|p| p.0.to_string()).collect();
            format!(
                "waits: more than it can bear is dead: primaries {} with {in_sync} fused members in sync left; resume one of their processes if it is only stopped; else their data is lost: `fusion cluster accept-loss` goes on with the others",
                lost.join(", ")
            )
        }
        Waiting::NoServer { needed } => format!(
            "waits for servers: {needed} more without a member of this cluster; start them with `fusion server`"
        ),
        Waiting::Recovering => "recovers: members are being made again".to_owned(),
        Waiting::StoreBehind => "waits: the coordinator's store is older than what a member knows, or another one: nothing is decided; start the coordinator on the right file, or make the store anew from the servers with `fusion coordinator --data NEW --rebuild`".to_owned(),
        Waiting::Moving => "moves: a member is being copied to another server; nothing is lost meanwhile".to_owned(),
        Waiting::NoRoomToDrain { server } => format!(
            "waits: server {server} is to be emptied, but no other one without a member of this cluster is alive; start one with `fusion server`"
        ),
        Waiting::Evidence => {
            "recovers: primaries are being asked about the dead fused members".to_owned()
        }
    }
}
