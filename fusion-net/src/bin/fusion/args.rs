//! What the command line may say.

use crate::security::SecurityArgs;
use crate::{bench, certificate, chaos, cluster, demo, list, map, queue, relocation, status};
use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand};
use fusion_net::client::Addresses;
use fusion_net::labels::Label;
use std::path::PathBuf;

/// Fault-tolerant lists, maps and queues at the price of erasure codes.
#[derive(Debug, Parser)]
#[command(
    name = "fusion",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  fusion demo
  fusion dev
  fusion cluster create scores --kind map --primaries 3 --faults 2
  fusion map put scores ada 36
  fusion status

Exit status: 0 done; 1 not done, with one line on standard error that says why; 2 wrong arguments."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play the paper's tests on real processes, lose servers, and show that no data is lost
    Demo(demo::DemoArgs),
    /// Measure throughput, recovery and memory on real processes
    Bench(bench::BenchArgs),
    /// Break real processes and their network under load, and check that nothing is lost
    Chaos(chaos::ChaosArgs),
    /// Run a standing local cluster of real processes until Ctrl-C
    Dev(DevArgs),
    /// Run one server process, or empty one
    Server(Box<ServerCommandArgs>),
    /// Run the coordinator process
    Coordinator(CoordinatorArgs),
    /// Make the certificates of a deployment that speaks TLS
    Certificate(certificate::CertificateArgs),
    /// Create, list, show and remove clusters
    Cluster(cluster::ClusterArgs),
    /// Use a map, or one primary of it
    Map(map::MapArgs),
    /// Use a list
    List(list::ListArgs),
    /// Use a queue
    Queue(queue::QueueArgs),
    /// Show servers and clusters, and how many more faults each cluster tolerates
    Status(status::StatusArgs),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Logs and the coordinator's store go to a temporary folder that is removed in the end: nothing outlives the command.

Examples:
  fusion dev
  fusion dev --servers 20 --coordinator-port 0")]
pub(crate) struct DevArgs {
    /// How many server processes
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) servers: u16,
    /// The coordinator's port on 127.0.0.1; 0 means any free one
    #[arg(long, default_value_t = 7400, value_name = "PORT")]
    pub(crate) coordinator_port: u16,
}

#[derive(Debug, ClapArgs)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  fusion server --listen 10.0.0.5:7500 --coordinator 10.0.0.1:7400\n  \
                  fusion server --listen db1.example.com:7500 --coordinator 10.0.0.1:7400 --insecure\n  fusion server drain 7\n\n\
                  Logs go to standard error. RUST_LOG chooses what of them: RUST_LOG=warn, RUST_LOG=fusion_net=debug, or several\n\
                  such with commas; fusion_net=info,tarpc=off,warn when it is not set. A line that comes again and again is\n\
                  told once, and then with a count."
)]
pub(crate) struct ServerCommandArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ServerCommand>,
    #[command(flatten)]
    pub(crate) serve: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Move all members off a server, without loss of tolerance, so that it may be stopped
    Drain(relocation::DrainArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServerArgs {
    /// The address to listen on, or a name that stands for one; port 0 means any free one; without TLS a loopback address
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT", value_parser = fusion_net::addresses::address)]
    pub(crate) listen: String,
    /// The address that others reach this server at, when it is not the one it listens on
    #[arg(long, value_name = "HOST:PORT", value_parser = fusion_net::addresses::reachable)]
    pub(crate) advertise: Option<String>,
    /// Where it stands: host=NAME (what its address says otherwise), zone=NAME, or any other KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<Label>,
    /// The coordinator's address, or those of all coordinators with commas between them
    #[arg(
        long,
        required = is_not_given("FUSION_COORDINATOR"),
        env = "FUSION_COORDINATOR",
        value_name = "HOST:PORT,..."
    )]
    pub(crate) coordinator: Option<Addresses>,
    /// How much memory this server may take, such as 512M or 16G; what its control group, ulimit or machine gives, if nothing
    /// is said. An eighth of it (48 MiB at least) is kept for recoveries: beyond the rest writes are refused, not removals
    #[arg(long, env = "FUSION_MEMORY_LIMIT", value_name = "BYTES", value_parser = memory_bytes)]
    pub(crate) memory_limit: Option<u64>,
    /// Speak tarpc only: offer no streams for operations and changes. Slower; to compare, or to look for a fault
    #[arg(long, env = "FUSION_NO_STREAMS", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_streams: bool,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

/// The least limit that a server is given: below it there is no room for anything.
const LEAST_MEMORY: u64 = 16 << 20;

/// A number of bytes, with K, M, G or T behind it for powers of 1024.
fn memory_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..]
        .to_ascii_uppercase()
        .trim_end_matches("IB")
    {
        "" => Some(0),
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        "T" => Some(40),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(shift);
    let bytes = bytes.and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes
        .filter(|b| *b >= LEAST_MEMORY)
        .ok_or_else(|| "give bytes, 16M at least, such as 512M or 16G".to_owned())
}

#[derive(Debug, ClapArgs)]
#[command(
    group = ArgGroup::new("place").required(is_not_given("FUSION_ETCD")),
    after_help = "Examples:\n  fusion coordinator --listen 10.0.0.1:7400 --data /var/lib/fusion/coordinator.redb\n  \
                  fusion coordinator --data /var/lib/fusion/new.redb --rebuild\n  \
                  fusion coordinator --listen 10.0.0.1:7400 --etcd http://10.0.0.7:2379,http://10.0.0.8:2379\n\n\
                  Logs go to standard error. RUST_LOG chooses what of them: RUST_LOG=warn, RUST_LOG=fusion_net=debug, or several\n\
                  such with commas; fusion_net=info,tarpc=off,warn when it is not set. A line that comes again and again is\n\
                  told once, and then with a count."
)]
pub(crate) struct CoordinatorArgs {
    /// The address to listen on, or a name that stands for one; port 0 means any free one; without TLS a loopback address
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "HOST:PORT", value_parser = fusion_net::addresses::address)]
    pub(crate) listen: String,
    /// The address that others reach this coordinator at, when it is not the one it listens on
    #[arg(long, value_name = "HOST:PORT", value_parser = fusion_net::addresses::reachable)]
    pub(crate) advertise: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// A server that is silent for so long is taken for dead and replaced
    #[arg(long, default_value_t = 1000, value_name = "MS", value_parser = clap::value_parser!(u32).range(100..=600_000))]
    pub(crate) suspect_after_ms: u32,
    /// The file was lost: make a new one of what the servers know. They must all be there
    #[arg(long, requires = "data")]
    pub(crate) rebuild: bool,
    /// Your word that so many servers are enough, because the others are dead
    #[arg(long, value_name = "N", requires = "rebuild", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) servers: Option<u16>,
    /// Your word that a cluster was not removed, though a server has forgotten it; may be given several times
    #[arg(long, value_name = "CLUSTER", requires = "rebuild")]
    pub(crate) keep: Vec<String>,
    /// Leave a cluster out: its members are dropped; may be given several times
    #[arg(long, value_name = "CLUSTER", requires = "rebuild")]
    pub(crate) drop: Vec<String>,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

/// Whether the environment does not give what an argument would: usage lines ask for what is missing only.
fn is_not_given(variable: &str) -> bool {
    std::env::var_os(variable).is_none_or(|value| value.is_empty())
}

/// Where a coordinator keeps the configurations.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub(crate) struct StoreArgs {
    /// The file that keeps the configurations, for one coordinator; made when it is not there
    #[arg(long, value_name = "FILE", group = "place")]
    pub(crate) data: Option<PathBuf>,
    /// The etcd that keeps them, for any number of coordinators, of which one is active
    #[arg(
        long,
        value_name = "URL,...",
        group = "place",
        conflicts_with = "data",
        env = "FUSION_ETCD"
    )]
    pub(crate) etcd: Option<String>,
    /// The beginning of all keys in etcd, one for each deployment
    #[arg(
        long,
        value_name = "PREFIX",
        requires = "etcd",
        default_value = "/fusion/"
    )]
    pub(crate) etcd_prefix: String,
    /// How long an active coordinator on etcd may be silent before another one takes its place
    #[arg(long, value_name = "SECONDS", requires = "etcd", default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=60))]
    pub(crate) lease_seconds: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ProcessArgs {
    /// End when standard input closes, so that the process does not outlive the one that started it
    #[arg(long)]
    pub(crate) exit_with_parent: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_memory_is_read_with_its_unit() {
        for (text, bytes) in [
            ("512M", 512 << 20),
            ("16g", 16 << 30),
            ("20MiB", 20 << 20),
            ("1T", 1 << 40),
            ("16777216", 16 << 20),
        ] {
            assert_eq!(memory_bytes(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "M",
            "1.5G",
            "-1G",
            "100",
            "20X",
            "20 GB",
            "99999999999T",
        ] {
            assert!(memory_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
