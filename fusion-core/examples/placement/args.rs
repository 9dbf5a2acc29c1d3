//! What the user asks for.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Simulates where members of many clusters are placed, and what is lost when many servers die at once.
///
/// Compares the coordinator's own placement with servers drawn at random and with copysets, and shows what a long time
/// of single failures does to each. `model` computes a fleet of servers on paper instead.
#[derive(Parser)]
#[command(name = "placement", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) mode: Option<Mode>,
    #[command(flatten)]
    pub(crate) simulation: Simulation,
}

#[derive(Subcommand)]
pub(crate) enum Mode {
    /// Computes network, processors, memory, recovery and loss of a fleet from named inputs
    Model(Model),
}

#[derive(Args)]
pub(crate) struct Fleet {
    /// Servers
    #[arg(long, default_value_t = 1000, allow_negative_numbers = true, value_parser = count(2, 100_000), value_name = "N")]
    pub(crate) servers: usize,
    /// Primaries of each cluster
    #[arg(long, default_value_t = 5, allow_negative_numbers = true, value_parser = count(1, 100), value_name = "N")]
    pub(crate) primaries: usize,
    /// Faults that each cluster tolerates
    #[arg(long, default_value_t = 2, allow_negative_numbers = true, value_parser = count(1, 20), value_name = "F")]
    pub(crate) faults: usize,
    /// Clusters
    #[arg(long, default_value_t = 2000, allow_negative_numbers = true, value_parser = count(1, 65_536), value_name = "N")]
    pub(crate) clusters: usize,
    /// Also writes the tables to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Simulation {
    #[command(flatten)]
    pub(crate) fleet: Fleet,
    /// What chance begins with: the same seed gives the same tables
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Failures tried for each probability
    #[arg(long, default_value_t = 100_000, allow_negative_numbers = true, value_parser = count(100, 10_000_000), value_name = "N")]
    pub(crate) runs: usize,
    /// How many per cent of the servers die at once
    #[arg(long, default_value = "0.5,1,2,5", value_delimiter = ',', allow_negative_numbers = true, value_parser = share, value_name = "PERCENT")]
    pub(crate) dead: Vec<f64>,
    /// Scatter widths of the copysets
    #[arg(long, default_value = "6,12,24", value_delimiter = ',', allow_negative_numbers = true, value_parser = count(1, 10_000), value_name = "N")]
    pub(crate) scatter: Vec<usize>,
    /// Different layouts for placements that rest on chance; the runs are shared out over them
    #[arg(long, default_value_t = 10, allow_negative_numbers = true, value_parser = count(1, 1000), value_name = "N")]
    pub(crate) layouts: usize,
    /// Racks of equal size
    #[arg(long, default_value_t = 25, allow_negative_numbers = true, value_parser = count(2, 10_000), value_name = "N")]
    pub(crate) racks: usize,
    /// Servers that die, one after another, before the placement is looked at again
    #[arg(long, default_value_t = 3000, allow_negative_numbers = true, value_parser = count(1, 1_000_000), value_name = "N")]
    pub(crate) deaths: usize,
    /// Whenever so many servers have died, all of them come back empty; 1: each before the next one dies
    #[arg(long, default_value = "1,10,50", value_delimiter = ',', allow_negative_numbers = true, value_parser = count(1, 10_000), value_name = "N")]
    pub(crate) away: Vec<usize>,
}

/// The inputs of the model.
#[derive(Args)]
pub(crate) struct Model {
    #[command(flatten)]
    pub(crate) fleet: Fleet,
    /// What chance begins with where servers are drawn at random
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Writes a second to each primary (assumed)
    #[arg(long, default_value_t = 10_000.0, allow_negative_numbers = true, value_parser = positive, value_name = "RATE")]
    pub(crate) writes: f64,
    /// Elements of each primary (assumed)
    #[arg(long, default_value_t = 1_000_000.0, allow_negative_numbers = true, value_parser = positive, value_name = "N")]
    pub(crate) elements: f64,
    /// What a put of a 64-byte value costs beside its fused members, microseconds of processor (measured: fusion bench
    /// scale, 64 in flight: 7.38, 10.0, 12.4 and 15.5 us for 5+1 to 5+4; least squares, at f = 0)
    #[arg(long, default_value_t = 4.63, allow_negative_numbers = true, value_parser = positive, value_name = "US")]
    pub(crate) primary_us: f64,
    /// What each fused member adds to that, the primary's sending included, microseconds (measured: the same, slope)
    #[arg(long, default_value_t = 2.68, allow_negative_numbers = true, value_parser = positive, value_name = "US")]
    pub(crate) fused_us: f64,
    /// A put of a 1,024-byte value at all servers of 5+2 together, microseconds (measured: fusion bench scale)
    #[arg(long, default_value_t = 11.2, allow_negative_numbers = true, value_parser = positive, value_name = "US")]
    pub(crate) put_1k_us: f64,
    /// A put of a 16,384-byte value at all servers of 5+2 together, microseconds (measured: fusion bench scale)
    #[arg(long, default_value_t = 41.9, allow_negative_numbers = true, value_parser = positive, value_name = "US")]
    pub(crate) put_16k_us: f64,
    /// What a change carries beside the value, bytes (measured: store_speed, 82.5 for an overwrite by 64 bytes)
    #[arg(long, default_value_t = 18.5, allow_negative_numbers = true, value_parser = positive, value_name = "BYTES")]
    pub(crate) change_bytes: f64,
    /// Bytes of pages for an element of 16 B + 64 B (measured: store_speed)
    #[arg(long, default_value_t = 88.1, allow_negative_numbers = true, value_parser = positive, value_name = "BYTES")]
    pub(crate) page_bytes: f64,
    /// Bytes of pages for an element of 16 B + 1,024 B (measured: store_speed 20000 1024)
    #[arg(long, default_value_t = 1154.5, allow_negative_numbers = true, value_parser = positive, value_name = "BYTES")]
    pub(crate) page_1k_bytes: f64,
    /// Bytes of index for an element at a primary (measured: store_speed)
    #[arg(long, default_value_t = 12.6, allow_negative_numbers = true, value_parser = positive, value_name = "BYTES")]
    pub(crate) index_bytes: f64,
    /// Rebuilding the index, nanoseconds an element (measured: store_speed)
    #[arg(long, default_value_t = 280.0, allow_negative_numbers = true, value_parser = positive, value_name = "NS")]
    pub(crate) rebuild_ns: f64,
    /// Recovery of one of 5 primaries with 2,000,000 elements each, from detection to serving, seconds (measured: fusion
    /// bench recovery)
    #[arg(long, default_value_t = 1.166, allow_negative_numbers = true, value_parser = positive, value_name = "S")]
    pub(crate) recovery_s: f64,
    /// Multiplying pages into an image, GB/s (measured: jerasure, update of 4 KiB by avx2)
    #[arg(long, default_value_t = 49.0, allow_negative_numbers = true, value_parser = positive, value_name = "GBS")]
    pub(crate) multiply_gbs: f64,
    /// Detection, seconds (the default of --suspect-after-ms)
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = positive, value_name = "S")]
    pub(crate) detect_s: f64,
    /// Network of a server, Gbit/s each way (assumed)
    #[arg(long, default_value = "10,25", value_delimiter = ',', allow_negative_numbers = true, value_parser = positive, value_name = "GBITS")]
    pub(crate) network: Vec<f64>,
    /// Cores of a server (assumed)
    #[arg(long, default_value_t = 16.0, allow_negative_numbers = true, value_parser = positive, value_name = "N")]
    pub(crate) cores: f64,
    /// Mean time between failures of a server, hours (assumed)
    #[arg(long, default_value_t = 10_000.0, allow_negative_numbers = true, value_parser = positive, value_name = "H")]
    pub(crate) mtbf_h: f64,
}

fn count(least: usize, most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let number = text.parse().ok();
        let number = number.filter(|n| (least..=most).contains(n));
        number.ok_or_else(|| format!("give a whole number from {least} to {most}"))
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|n: &f64| (1e-9..=1e15).contains(n));
    number.ok_or_else(|| "give a number above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|n: &f64| (1e-9..=100.0).contains(n));
    number.ok_or_else(|| "give per cent above 0 and up to 100".to_owned())
}

impl Fleet {
    pub(crate) fn members(&self) -> usize {
        self.primaries + self.faults
    }

    /// What the parser cannot see.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (members, servers) = (self.members(), self.servers);
        if members >= servers {
            return Err(format!(
                "clusters of {members} members need more than {members} servers, not {servers}: one dies and the others \
                 take over; raise --servers"
            ));
        }
        Ok(())
    }
}

impl Simulation {
    /// How many servers die at once, for each share asked for.
    pub(crate) fn dead(&self) -> Vec<usize> {
        let servers = self.fleet.servers as f64;
        let dead = |percent: &f64| (servers * percent / 100.0).round() as usize;
        self.dead.iter().map(dead).collect()
    }

    /// What the parser cannot see.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.fleet.check()?;
        let (servers, members) = (self.fleet.servers, self.fleet.members());
        if self.racks > servers {
            return Err(format!(
                "{} racks are more than {servers} servers; lower --racks",
                self.racks
            ));
        }
        if let Some(share) = self
            .dead
            .iter()
            .zip(self.dead())
            .find(|(_, n)| *n == 0)
            .map(|(s, _)| s)
        {
            return Err(format!(
                "{share} % of {servers} servers is none; raise --dead or --servers"
            ));
        }
        if let Some(away) = self.away.iter().find(|a| *a + members > servers) {
            return Err(format!(
                "with {away} of {servers} servers away there is no place for {members} members; lower --away"
            ));
        }
        if let Some(scatter) = self.scatter.iter().find(|s| **s >= servers) {
            return Err(format!(
                "a scatter width of {scatter} needs more than {servers} servers; lower --scatter"
            ));
        }
        Ok(())
    }
}
