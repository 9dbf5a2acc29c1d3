//! The model on paper of a fleet: each figure is computed from the inputs by the formula in docs/scale.md; only who shares
//! clusters with whom is taken from a simulated layout.

mod inputs;
pub(crate) mod load;
pub(crate) mod losses;
mod memory;
pub(crate) mod recovery;
pub(crate) mod sources;

use crate::args::{Fleet, Model};
use crate::churn::Fleet as _;
use crate::fleet::RealFleet;
use crate::layout::{Layout, Seats};
use crate::rng::Rng;
use crate::table::Output;
use anyhow::Result;
use recovery::Way;
use sources::Sources;

const SHAPES: [(usize, usize); 6] = [(1, 2), (5, 1), (5, 2), (10, 2), (10, 4), (20, 2)];

/// # Errors
/// When the file cannot be written, or clusters cannot be placed.
pub(crate) fn run(model: &Model) -> Result<()> {
    let mut output = Output::new(model.fleet.markdown.as_deref())?;
    output.table(&model.inputs())?;
    output.table(&model.processors())?;
    output.table(&model.member_network())?;
    output.table(&model.server_load())?;
    output.table(&model.memory())?;
    output.table(&model.against_measured())?;
    let placements = Placements::new(&model.fleet, model.seed)?;
    let (table, times) = model.recovery(&placements.ways());
    output.table(&table)?;
    let fleets = [&placements.real, &placements.copies];
    output.table(&model.losses(&times, fleets))?;
    output.finish()
}

/// Clusters, or groups of copies, and where they are.
pub(crate) struct Groups {
    pub(crate) name: &'static str,
    pub(crate) primaries: usize,
    pub(crate) faults: usize,
    pub(crate) count: usize,
    /// Members of a server, on average, and those of them with an index.
    pub(crate) members: f64,
    pub(crate) indexed: f64,
    /// Different sets of f+1 servers that have more of some group than it can lose.
    pub(crate) fatal: f64,
    /// Too many sets to be listed: counted as if no two groups shared any.
    pub(crate) fatal_guessed: bool,
    pub(crate) sources: Sources,
}

impl Groups {
    pub(crate) fn new(
        name: &'static str,
        layout: &Layout,
        seats: &[Seats],
        all_indexed: bool,
    ) -> Groups {
        let first = seats.first();
        let (primaries, faults) = first.map_or((0, 0), |s| (s.primaries.len(), s.fused.len()));
        let a_server = |members: usize| (seats.len() * members) as f64 / layout.machines as f64;
        let indexed = if all_indexed {
            primaries + faults
        } else {
            primaries
        };
        let mut groups = Groups {
            name,
            primaries,
            faults,
            count: seats.len(),
            members: a_server(primaries + faults),
            indexed: a_server(indexed),
            fatal: 0.0,
            fatal_guessed: false,
            sources: Sources::of(layout.machines, seats),
        };
        let fatal = layout.fatal_sets(faults + 1);
        groups.fatal_guessed = fatal.is_none();
        groups.fatal = fatal.map_or(groups.all_sets(), |sets| sets as f64);
        groups
    }

    /// Sets of f+1 servers that have more of a group than it can lose, each counted for every such group.
    pub(crate) fn all_sets(&self) -> f64 {
        let members = self.primaries + self.faults;
        let sets = (0..=self.faults).fold(1.0, |c, i| c * (members - i) as f64 / (i + 1) as f64);
        self.count as f64 * sets
    }
}

struct Placements {
    real: Groups,
    random: Groups,
    copies: Groups,
}

impl Placements {
    fn new(fleet: &Fleet, seed: u64) -> Result<Placements> {
        let (servers, clusters) = (fleet.servers, fleet.clusters);
        let (n, f) = (fleet.primaries, fleet.faults);
        let mut rng = Rng::new(seed);
        let real = RealFleet::new(servers, clusters, n, f)?;
        let random = Layout::random(servers, clusters, n + f, &mut rng);
        let copies = Layout::random(servers, clusters * n, f + 1, &mut rng);
        Ok(Placements {
            real: Groups::new("Fusion", &real.layout(), &real.seats(), false),
            random: Groups::new("random", &random, &random.seats(n), false),
            // A copy is the code of a group of one; it has an index, as it must to serve at once.
            copies: Groups::new("copies", &copies, &copies.seats(1), true),
        })
    }

    fn ways(&self) -> [Way<'_>; 5] {
        let way = |name, groups, makers| Way {
            name,
            groups,
            makers,
        };
        let Placements {
            real,
            random,
            copies,
        } = self;
        [
            way("`place`: each member at another server", real, real.members),
            way("`place`: all at one empty server", real, 1.0),
            way("random: each at another server", random, random.members),
            way(
                "copies, random: each at another server",
                copies,
                copies.members,
            ),
            way("copies: all at one empty server", copies, 1.0),
        ]
    }
}

impl Model {
    fn f(&self) -> f64 {
        self.fleet.faults as f64
    }

    /// Primaries of a server, on average.
    fn primaries_a_server(&self) -> f64 {
        (self.fleet.primaries * self.fleet.clusters) as f64 / self.fleet.servers as f64
    }

    /// Members of a server, on average.
    fn members_a_server(&self) -> f64 {
        (self.fleet.members() * self.fleet.clusters) as f64 / self.fleet.servers as f64
    }

    fn change(&self, value: f64) -> f64 {
        value + self.change_bytes
    }

    /// Bytes of a primary's pages.
    fn pages(&self) -> f64 {
        self.elements * self.page_bytes
    }
}
