//! `fusion status`: servers and clusters as they are now.

use crate::connection::ConnectionArgs;
use crate::fullness::{memory, memory_warning};
use crate::output::{self, say};
use crate::saving::Memory;
use crate::shown::Shown;
use crate::table::{Table, bytes, count};
use clap::Args;
use fusion_core::config::Reads;
use fusion_core::membership::{Content, MayLose, Waiting};
use fusion_net::service::{
    ClusterStatus, ControlPlane, Event, MemberState, MemberStatus, Progress, Role, ServerStatus,
};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
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
    /// List every server and member, however many there are
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct StatusReport {
    /// The active one, which answered.
    coordinator: String,
    #[serde(skip)]
    asked: String,
    servers: Vec<ServerStatus>,
    clusters: Vec<Report>,
    events: Vec<Event>,
    problem: Option<String>,
    strangers: Vec<String>,
    control: ControlPlane,
    #[serde(skip)]
    all: bool,
}

/// A cluster with its sums.
pub(crate) struct Report {
    pub(crate) cluster: ClusterStatus,
    pub(crate) memory: Memory,
    /// Whether its text lists all members.
    all: bool,
}

impl Serialize for Report {
    /// The id of a cluster is a random number of 64 bits. Many readers of JSON keep 53 of them: it is a text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut cluster = serde_json::to_value(&self.cluster).map_err(S::Error::custom)?;
        cluster["id"] = self.cluster.id.0.to_string().into();
        cluster["memory"] = serde_json::to_value(self.memory).map_err(S::Error::custom)?;
        cluster.serialize(serializer)
    }
}

impl Report {
    /// Sums a cluster up.
    pub(crate) fn new(cluster: ClusterStatus) -> Report {
        let memory = Memory::of(&cluster);
        Report {
            cluster,
            memory,
            all: true,
        }
    }
}

/// Runs `fusion status`.
pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let status = args.connection.client().await?.status().await?;
    let report = StatusReport {
        coordinator: status.control.answers.clone(),
        asked: args.connection.coordinator.to_string(),
        servers: status.servers,
        clusters: (status.clusters.into_iter().map(Report::new))
            .map(|report| Report {
                all: args.all,
                ..report
            })
            .collect(),
        events: status.events,
        problem: status.problem,
        strangers: status.strangers,
        control: status.control,
        all: args.all,
    };
    if args.json {
        output::json(&report)?;
    } else {
        say!("{report}")?;
    }
    Ok(ExitCode::SUCCESS)
}

impl StatusReport {
    /// The wrong one of two may destroy what there is: a store made anew beside a living coordinator acts against it.
    fn what_to_do_with_strangers(&self) -> &'static str {
        let in_use = !self.clusters.is_empty() || self.servers.iter().any(|s| s.alive);
        match (in_use, self.control.shared) {
            (true, _) => {
                "Point them at the coordinator of that store, or restart them to discard what they hold"
            }
            (false, true) => {
                "This store is empty: start the coordinators with the --etcd and --etcd-prefix of that one"
            }
            (false, false) => {
                "This store is empty: start the coordinator with the file of that one; only if that is lost, and no other \
                 coordinator runs, with --rebuild and a new --data"
            }
        }
    }
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
            writeln!(f, "{problem}\n")?;
        }
        if !self.strangers.is_empty() {
            writeln!(
                f,
                "refused: {} at {}, with members that another store made. {}\n",
                plural(self.strangers.len() as u64, "server"),
                self.strangers.join(", "),
                self.what_to_do_with_strangers()
            )?;
        }
        let mut servers = Table::new([
            "SERVER",
            "PID",
            "ADDRESS",
            "HOST",
            "ZONE",
            "STATE",
            "MEMBERS",
            "MEMORY",
            "LAST HEARD",
        ]);
        let well = |s: &ServerStatus| s.alive && !s.draining;
        let shown = Shown::of(&self.servers, self.all, well);
        for s in &shown.listed {
            servers.row([
                s.id.to_string(),
                s.pid.to_string(),
                s.address.clone(),
                s.host.clone(),
                s.zone.clone().unwrap_or_default(),
                server_state(s).to_owned(),
                s.members.to_string(),
                memory(s),
                last_heard(s),
            ]);
        }
        shown.write(f, "", "server", &servers)?;
        for warning in self.servers.iter().filter_map(memory_warning) {
            write!(f, "\n{warning}")?;
        }
        if self.servers.is_empty() && self.strangers.is_empty() && self.problem.is_none() {
            write!(
                f,
                "\nno servers yet: start some with `fusion server --coordinator {}`",
                self.asked
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
            elements(m),
            tolerance(c)
        )?;
        if c.reads == Reads::Confirmed {
            writeln!(f, "  reads are confirmed: they rest on no clock")?;
        }
        if c.in_sync < c.min_in_sync {
            writeln!(
                f,
                "  changes wait: {} of at least {} fused members are in sync (--min-in-sync {}); reads wait where changes were \
                 under way",
                c.in_sync, c.min_in_sync, c.min_in_sync
            )?;
        }
        writeln!(f, "  may lose {}", may_lose(c))?;
        if let Some(waiting) = &c.waiting {
            writeln!(f, "  {}", explain(waiting))?;
        }
        let mut members = Table::new([
            "ROLE", "INDEX", "SERVER", "ADDRESS", "STATE", "EPOCH", "ELEMENTS", "PAYLOAD", "PAGES",
        ])
        .indent(2);
        let well = |m: &MemberStatus| m.state == MemberState::Active;
        let shown = Shown::of(&c.members, self.all, well);
        for member in &shown.listed {
            let primary = member.role == Role::Primary;
            let of_primary = |text: String| if primary { text } else { "-".to_owned() };
            members.row([
                if primary { "primary" } else { "fused" }.to_owned(),
                member.index.to_string(),
                member.server.to_string(),
                member.address.clone(),
                state(member),
                c.epoch.to_string(),
                of_primary(known(member.elements, count)),
                of_primary(known(member.payload_bytes, bytes)),
                known(member.page_bytes, bytes),
            ]);
        }
        shown.write(f, "  ", "member", &members)?;
        write!(
            f,
            "\n  memory: keys and values {}; pages of primaries {} + of fused {} = {}; {} copies would take {}",
            bytes(m.payload_bytes),
            bytes(m.primary_page_bytes),
            bytes(m.fused_page_bytes),
            bytes(m.primary_page_bytes + m.fused_page_bytes),
            c.faults + 1,
            bytes(m.copies_page_bytes)
        )?;
        let frozen: u64 = c.members.iter().filter_map(|m| m.frozen_bytes).sum();
        if frozen > 0 {
            write!(
                f,
                "\n  kept for recoveries and learners until they end: {}",
                bytes(frozen)
            )?;
        }
        m.saving.map_or(Ok(()), |saving| write!(f, "\n  {saving}"))
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

/// What may be lost at a time, in words.
pub(crate) fn may_lose(cluster: &ClusterStatus) -> String {
    let MayLose {
        servers,
        hosts,
        zones,
    } = cluster.may_lose;
    let any = |number: usize, noun: &str| match number {
        0 => format!("no {noun}"),
        n => format!("any {}", plural(n as u64, noun)),
    };
    let zones = zones.map(|n| format!(", {}", any(n, "zone")));
    let (servers, hosts) = (any(servers, "server"), any(hosts, "host"));
    format!("{servers}, {hosts}{}", zones.unwrap_or_default())
}

/// A number of things in words.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(number))
}

/// When it was heard last, in words.
fn last_heard(server: &ServerStatus) -> String {
    let known = server.heard_ms_ago;
    known.map_or("not yet".to_owned(), |ms| format!("{} ms ago", count(ms)))
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

/// A member's state in words, with how it gets on.
pub(crate) fn state(member: &MemberStatus) -> String {
    let (what, done, total, pieces) = match member.state {
        MemberState::Active => return "active".to_owned(),
        MemberState::Dead => return "dead".to_owned(),
        MemberState::Recovering { done, total } => ("recovering", done, total, "pages"),
        MemberState::Moving { done, total } => ("moving", done, total, "chunks"),
        MemberState::Joining { done, total } => ("joining", done, total, "chunks"),
    };
    let far = match done.saturating_mul(100).checked_div(total) {
        Some(percent) => format!(" {done}/{total} {pieces} ({percent} %)"),
        None => String::new(),
    };
    format!("{what}{far}{}", member.progress.map_or(String::new(), pace))
}

/// How fast, and how long yet.
fn pace(progress: Progress) -> String {
    let rate = (progress.bytes_per_second).map(|rate| format!(", {}/s", bytes(rate)));
    let left = (progress.left_ms).map(|ms| format!(", {:.1} s left", ms as f64 / 1e3));
    rate.unwrap_or_default() + &left.unwrap_or_default()
}

/// A figure, or that nobody has told it.
fn known(figure: Option<u64>, show: impl Fn(u64) -> String) -> String {
    figure.map_or("?".to_owned(), show)
}

fn primaries(number: usize) -> String {
    match number {
        1 => "1 primary".to_owned(),
        more => format!("{more} primaries"),
    }
}

/// How many elements a cluster has, as far as that is known.
pub(crate) fn elements(memory: &Memory) -> String {
    let elements = plural(memory.elements, "element");
    match memory.unknown_primaries {
        0 => elements,
        unknown => format!("{elements} ({} not counted)", primaries(unknown)),
    }
}

/// Why a cluster is not whole, and what to do.
pub(crate) fn explain(waiting: &Waiting) -> String {
    match waiting {
        Waiting::MoreThanF { primaries, in_sync } => {
            let lost: Vec<String> = primaries.iter().map(|p| p.0.to_string()).collect();
            let s = if lost.len() == 1 { "y" } else { "ies" };
            format!(
                "waits: more than it can bear is dead: primar{s} {} with {} in sync left; resume one of their processes if it is only stopped; else their data is lost: `fusion cluster accept-loss` says what it costs to go on with the others",
                lost.join(", "),
                plural(*in_sync as u64, "fused member")
            )
        }
        Waiting::NoServer { needed } => format!(
            "waits for servers: {needed} more without a member of this cluster; start them with `fusion server`"
        ),
        Waiting::NoMemory {
            needed,
            servers,
            bytes: takes,
        } => {
            let servers: Vec<String> = servers.iter().map(|s| s.0.to_string()).collect();
            format!(
                "waits: {needed} more servers with {} of free memory are needed for a member; servers {} have less: give them \
                 more, or start others with `fusion server`",
                bytes(*takes),
                servers.join(", ")
            )
        }
        Waiting::Avoided { needed, servers } => {
            let servers: Vec<String> = servers.iter().map(|s| s.0.to_string()).collect();
            format!(
                "waits: {needed} more servers are needed, and on servers {} members were given up a moment ago: they are tried again after a while; see that other servers reach the addresses that they advertise, or start others with `fusion server`",
                servers.join(", ")
            )
        }
        Waiting::Recovering => "recovers: members are being made again".to_owned(),
        Waiting::StoreBehind => "waits: the coordinator's store is older than what a member knows, or another one: nothing is decided; start the coordinator on the right file, or make the store anew from the servers with `fusion coordinator --data NEW --rebuild`".to_owned(),
        Waiting::TwoContents { contents } => {
            let content = |c: &Content| match c.servers.is_empty() {
                true => format!("{:016x} is this store's", c.nonce),
                false => {
                    let servers: Vec<_> = c.servers.iter().map(ToString::to_string).collect();
                    format!("{:016x} is known at server {}", c.nonce, servers.join(", "))
                }
            };
            let contents: Vec<_> = contents.iter().map(content).collect();
            format!(
                "stopped: two stores have made one epoch ({}); who has heard of both serves nobody and keeps what it holds: restart the servers whose content is wrong, which discards theirs, and make the store anew from the others with `fusion coordinator --data NEW --rebuild`",
                contents.join("; ")
            )
        }
        Waiting::Moving => "moves: a member is being copied to another server; nothing is lost meanwhile".to_owned(),
        Waiting::NoRoomToDrain { server } => format!(
            "waits: server {server} is to be emptied, but no other one without a member of this cluster is alive; start one with `fusion server`"
        ),
        Waiting::Evidence => {
            "recovers: primaries are being asked about the dead fused members".to_owned()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use fusion_core::id::{ClusterId, Epoch, MemberId, ServerId};
    use fusion_core::op::Kind;

    /// A member that serves, with pages of so many bytes.
    pub(crate) fn member(role: Role, index: usize, pages: Option<u64>) -> MemberStatus {
        MemberStatus {
            id: MemberId(index as u64),
            role,
            index,
            server: ServerId(index as u64 + 1),
            address: format!("127.0.0.1:{index}"),
            state: MemberState::Active,
            progress: None,
            elements: pages,
            payload_bytes: pages,
            page_bytes: pages,
            frozen_bytes: pages.map(|_| 0),
        }
    }

    /// A cluster of these.
    pub(crate) fn cluster(members: Vec<MemberStatus>) -> ClusterStatus {
        let of = |role| members.iter().filter(|m| m.role == role).count();
        ClusterStatus {
            name: "scores".to_owned(),
            id: ClusterId(1),
            kind: Kind::Map,
            epoch: Epoch(1),
            primaries: of(Role::Primary),
            faults: of(Role::Fused),
            reads: Reads::Leased,
            min_in_sync: 0,
            in_sync: of(Role::Fused),
            tolerates: of(Role::Fused),
            may_lose: MayLose::default(),
            serving: true,
            waiting: None,
            members,
        }
    }

    fn report(control: ControlPlane) -> StatusReport {
        StatusReport {
            asked: "127.0.0.1:7400".to_owned(),
            coordinator: "127.0.0.1:7400".to_owned(),
            servers: Vec::new(),
            clusters: Vec::new(),
            events: Vec::new(),
            problem: None,
            strangers: Vec::new(),
            control,
            all: false,
        }
    }

    /// It said that the store refuses changes.
    #[test]
    fn a_store_that_is_made_anew_is_not_called_one_that_refuses_changes() {
        let problem = "the store is being made anew: no server was heard; waits for servers";
        let text = StatusReport {
            problem: Some(problem.to_owned()),
            ..report(ControlPlane::default())
        };
        let text = text.to_string();
        assert!(text.lines().any(|line| line == problem), "{text}");
    }

    #[test]
    fn a_file_in_a_folder_named_etcd_is_no_etcd() {
        let advice = |store: &str, shared| {
            let control = ControlPlane {
                store: store.to_owned(),
                shared,
                ..ControlPlane::default()
            };
            let strangers = vec!["127.0.0.1:1".to_owned()];
            let report = report(control);
            StatusReport {
                strangers,
                ..report
            }
            .to_string()
        };
        let file = advice("redb /srv/etcd/coordinator.redb", false);
        assert!(
            file.contains("a new --data") && !file.contains("--etcd"),
            "{file}"
        );
        let etcd = advice("etcd 127.0.0.1:2379 (prefix fusion/)", true);
        assert!(
            etcd.contains("--etcd-prefix") && !etcd.contains("--data"),
            "{etcd}"
        );
    }

    #[test]
    fn a_member_that_is_made_again_shows_how_far_it_is_how_fast_and_how_long_yet() {
        let mut m = member(Role::Primary, 0, None);
        m.state = MemberState::Recovering {
            done: 812,
            total: 2048,
        };
        m.progress = Some(Progress {
            for_ms: 1100,
            taken_bytes: 50 << 20,
            bytes_per_second: Some(48 << 20),
            left_ms: Some(1540),
        });
        assert_eq!(
            state(&m),
            "recovering 812/2048 pages (39 %), 48.0 MiB/s, 1.5 s left"
        );
        m.state = MemberState::Joining { done: 0, total: 0 };
        m.progress = None;
        assert_eq!(state(&m), "joining");
    }

    /// It showed 0.
    #[test]
    fn what_is_not_known_of_a_dead_primary_is_no_number() {
        let mut lost = member(Role::Primary, 0, None);
        lost.state = MemberState::Dead;
        let members = vec![
            lost,
            member(Role::Primary, 1, Some(7)),
            member(Role::Fused, 0, Some(9)),
        ];
        let text = Report::new(cluster(members)).to_string();
        let row = text.lines().find(|l| l.contains("dead")).unwrap();
        assert!(row.ends_with("?        ?      ?"), "{text}");
        assert!(
            text.contains("7 elements (1 primary not counted)"),
            "{text}"
        );
    }

    #[test]
    fn the_text_of_hundreds_of_members_is_short_and_names_those_that_are_not_well() {
        let mut members: Vec<_> = (0..300)
            .map(|i| member(Role::Primary, i, Some(1)))
            .collect();
        members.push(member(Role::Fused, 0, Some(1)));
        members[250].state = MemberState::Dead;
        let mut report = Report::new(cluster(members));
        assert!(report.to_string().lines().count() > 300);
        report.all = false;
        let text = report.to_string();
        assert!(text.lines().count() < 10, "{text}");
        assert!(
            text.contains("127.0.0.1:250") && text.contains("300 members well"),
            "{text}"
        );
    }
}
