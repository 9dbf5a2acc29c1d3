//! Losses of the fleet when servers fail one by one: not of clusters as if each had servers of its own, but of sets of
//! servers, as clusters share them.

use super::{Groups, Model};
use crate::markov::mean_time_to_loss;
use crate::table::{Table, percent, short};

const HOURS_A_YEAR: f64 = 8766.0;

/// How often the fleet loses data, and how much.
pub(crate) struct Rates {
    /// Years until one cluster, or group of copies, has lost data.
    pub(crate) group_years: f64,
    /// How often some set of f+1 servers that have more of a cluster than it can lose are down together.
    pub(crate) events_a_year: f64,
    /// Primaries lost by all of them. Placement has no part in it.
    pub(crate) primaries_a_year: f64,
}

impl Rates {
    /// With members back after so many seconds.
    pub(crate) fn of(groups: &Groups, mtbf_h: f64, seconds: f64) -> Rates {
        let (n, f) = (groups.primaries, groups.faults);
        let years =
            |members| mean_time_to_loss(members, f, mtbf_h, seconds / 3600.0) / HOURS_A_YEAR;
        let set_years = years(f + 1);
        let primaries = (f + 1) as f64 * n as f64 / (n + f) as f64;
        Rates {
            group_years: years(n + f),
            events_a_year: groups.fatal / set_years,
            primaries_a_year: groups.all_sets() * primaries / set_years,
        }
    }
}

impl Model {
    pub(super) fn losses(&self, ways: &[(String, &Groups, f64)], fleet: [&Groups; 2]) -> Table {
        let mut text = format!(
            "Mean time to data loss when servers fail independently, {} h apart each, and the fleet's losses.",
            short(self.mtbf_h)
        );
        if ways.iter().any(|(_, groups, _)| groups.fatal_guessed) {
            text += " Sets that are too many to be listed are counted as if no two clusters shared any.";
        }
        let head = [
            "T".to_owned(),
            "seconds".to_owned(),
            "of one cluster (or group of copies), years".to_owned(),
            format!("sets of {} that lose data", self.fleet.faults + 1),
            "losses a year".to_owned(),
            "fleet loses data within a year".to_owned(),
            "primaries lost each time".to_owned(),
            "primaries lost a year".to_owned(),
        ];
        let mut table = Table::new(&text, head);
        let mut row = |name: &str, groups: &Groups, seconds: f64| {
            let rates = Rates::of(groups, self.mtbf_h, seconds);
            table.row([
                name.to_owned(),
                short(seconds),
                short(rates.group_years),
                short(groups.fatal),
                short(rates.events_a_year),
                percent(-(-rates.events_a_year).exp_m1()),
                short(rates.primaries_a_year / rates.events_a_year),
                short(rates.primaries_a_year),
            ]);
        };
        for (name, groups, seconds) in ways {
            row(name, groups, *seconds);
        }
        for groups in fleet {
            let what = groups.name;
            row(
                &format!("{what}: no free server for an hour"),
                groups,
                3600.0,
            );
            row(&format!("{what}: none for a day"), groups, 86_400.0);
        }
        table
    }
}
