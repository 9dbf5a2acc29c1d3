//! The simulation: placements side by side.

use crate::args::Simulation;
use crate::churn::{Fleet as _, Recoveries, Rule, RuledFleet, churn};
use crate::fleet::RealFleet;
use crate::layout::{Layout, Spread};
use crate::loss::Losses;
use crate::rng::Rng;
use crate::table::{Output, Table, percent, short};
use anyhow::Result;

/// Copies that tolerate as many faults, for comparison: a group for each primary.
const COPIES: &str = "copies instead of codes, random";
const REAL: &str = "Fusion's `place`";

struct Scheme {
    name: String,
    layouts: Vec<Layout>,
}

/// # Errors
/// When the file cannot be written, or the simulation contradicts itself.
pub(crate) fn run(args: &Simulation) -> Result<()> {
    let mut output = Output::new(args.fleet.markdown.as_deref())?;
    let mut rng = Rng::new(args.seed);
    let fresh = schemes(args, &mut rng)?;
    let head = format!(
        "{} servers, {} clusters of {}+{}, seed {}, {} failures tried for each probability.",
        args.fleet.servers,
        args.fleet.clusters,
        args.fleet.primaries,
        args.fleet.faults,
        args.seed,
        args.runs
    );
    output.table(&structure(args, &head, &fresh))?;
    let losses: Vec<Vec<Losses>> = fresh
        .iter()
        .map(|s| all_losses(args, &s.layouts, &mut rng))
        .collect::<Result<_>>()?;
    let text = "Probability that any cluster loses data when servers drawn at random die at once (interval of 95 %).";
    output.table(&of_losses(args, text, &fresh, &losses, probability))?;
    let text = "Clusters that lose data when any does (groups, for copies; interval of 95 %).";
    output.table(&of_losses(args, text, &fresh, &losses, amount))?;
    let (after, table) = after_churn(args, &mut rng)?;
    output.table(&table)?;
    output.table(&racks(args, &fresh, &after, &mut rng))?;
    output.finish()
}

fn schemes(args: &Simulation, rng: &mut Rng) -> Result<Vec<Scheme>> {
    let f = &args.fleet;
    let (servers, clusters, members) = (f.servers, f.clusters, f.members());
    let real = RealFleet::new(servers, clusters, f.primaries, f.faults)?;
    let mut schemes = vec![Scheme {
        name: REAL.to_owned(),
        layouts: vec![real.layout()],
    }];
    let mut add = |name: String, make: &mut dyn FnMut() -> Layout| {
        let layouts = (0..args.layouts).map(|_| make()).collect();
        schemes.push(Scheme { name, layouts });
    };
    add("random".to_owned(), &mut || {
        Layout::random(servers, clusters, members, rng)
    });
    for &scatter in &args.scatter {
        add(format!("copysets, scatter width {scatter}"), &mut || {
            Layout::copysets(servers, clusters, members, scatter, rng)
        });
    }
    add(COPIES.to_owned(), &mut || {
        Layout::random(servers, clusters * f.primaries, f.faults + 1, rng)
    });
    Ok(schemes)
}

fn range(spread: &Spread) -> String {
    if spread.least == spread.most {
        return spread.least.to_string();
    }
    format!("{} to {}", spread.least, spread.most)
}

fn mean_and_range(spread: &Spread) -> String {
    if spread.least == spread.most {
        return spread.least.to_string();
    }
    format!(
        "{} ({} to {})",
        short(spread.mean),
        spread.least,
        spread.most
    )
}

fn sets(layout: &Layout, faults: usize) -> String {
    let sets = layout.fatal_sets(faults + 1);
    sets.map_or_else(|| "too many to list".to_owned(), |n| short(n as f64))
}

fn structure(args: &Simulation, head: &str, schemes: &[Scheme]) -> Table {
    let columns = [
        "placement".to_owned(),
        "members a server".to_owned(),
        "scatter width".to_owned(),
        format!("sets of {} that lose data", args.fleet.faults + 1),
    ];
    let mut table = Table::new(head, columns);
    for scheme in schemes {
        let layout = &scheme.layouts[0];
        table.row([
            scheme.name.clone(),
            range(&layout.loads()),
            mean_and_range(&layout.scatter()),
            sets(layout, args.fleet.faults),
        ]);
    }
    table
}

fn dead_columns(args: &Simulation) -> Vec<String> {
    let columns = args.dead.iter().zip(args.dead());
    let columns = columns.map(|(share, n)| format!("{share} % die ({n})"));
    std::iter::once("placement".to_owned())
        .chain(columns)
        .collect()
}

fn probability(losses: &Losses) -> String {
    let (p, least, most) = losses.probability();
    format!("{} ({} to {})", percent(p), percent(least), percent(most))
}

fn all_losses(args: &Simulation, layouts: &[Layout], rng: &mut Rng) -> Result<Vec<Losses>> {
    let dead = args.dead();
    let losses = dead
        .iter()
        .map(|&dead| Losses::of_machines(layouts, args.fleet.faults, dead, args.runs as u64, rng));
    losses.collect()
}

fn of_losses(
    args: &Simulation,
    text: &str,
    schemes: &[Scheme],
    losses: &[Vec<Losses>],
    cell: fn(&Losses) -> String,
) -> Table {
    let mut table = Table::new(text, dead_columns(args));
    for (scheme, losses) in schemes.iter().zip(losses) {
        let cells = losses.iter().map(cell);
        table.row(std::iter::once(scheme.name.clone()).chain(cells));
    }
    table
}

fn amount(losses: &Losses) -> String {
    match losses.given_loss() {
        Some((mean, half)) if losses.with_loss() >= 30 => {
            format!("{} ± {}", short(mean), short(half))
        }
        Some((mean, _)) => format!("{} (of {} cases)", short(mean), losses.with_loss()),
        None => "none lost".to_owned(),
    }
}

/// All placements after many single failures.
fn after_churn(args: &Simulation, rng: &mut Rng) -> Result<(Vec<Scheme>, Table)> {
    let share = args.dead[args.dead.len().min(2) - 1];
    let dead = args.dead()[args.dead.len().min(2) - 1];
    let text = format!(
        "After {} servers died one after another, each mended before the next. Last two columns: one dead server's \
         members, averaged over the last quarter.",
        args.deaths
    );
    let columns = [
        "where lost members go".to_owned(),
        "come back".to_owned(),
        "members a server".to_owned(),
        "scatter width".to_owned(),
        format!("sets of {} that lose data", args.fleet.faults + 1),
        format!("P(loss), {share} % die"),
        "servers that took over".to_owned(),
        "of its members, to the busiest".to_owned(),
    ];
    let mut table = Table::new(&text, columns);
    let mut after = Vec::new();
    let f = &args.fleet;
    for &away in &args.away {
        let real = || RealFleet::new(f.servers, f.clusters, f.primaries, f.faults);
        let mut fleets: Vec<(String, Box<dyn crate::churn::Fleet>)> =
            vec![(format!("{REAL} and `plan`"), Box::new(real()?))];
        let start = real()?.layout();
        let rules = [
            ("at equal load to whom shares clusters", Rule::Company),
            (
                "to whom shares clusters, up to the mean load and one",
                Rule::Near,
            ),
            ("all to one server below the mean load", Rule::Together),
            ("one to each server", Rule::Apart),
        ];
        for (name, rule) in rules {
            let fleet = RuledFleet::new(rule, &start);
            fleets.push((name.to_owned(), Box::new(fleet)));
        }
        for (name, mut fleet) in fleets {
            // All meet the same fate.
            let mut fate = Rng::new(args.seed ^ away as u64);
            let recoveries = churn(fleet.as_mut(), args.deaths, away, &mut fate)?;
            let layouts = vec![fleet.layout()];
            let losses = Losses::of_machines(&layouts, f.faults, dead, args.runs as u64, rng)?;
            table.row(churned(
                &name,
                away,
                &layouts[0],
                f.faults,
                &losses,
                &recoveries,
            ));
            if name.starts_with(REAL) {
                let name = format!("{REAL}, after {} deaths, {}", args.deaths, back(away));
                after.push(Scheme { name, layouts });
            }
        }
    }
    Ok((after, table))
}

fn back(away: usize) -> String {
    if away == 1 {
        "one by one".to_owned()
    } else {
        format!("{away} together")
    }
}

fn churned(
    name: &str,
    away: usize,
    layout: &Layout,
    faults: usize,
    losses: &Losses,
    recoveries: &Recoveries,
) -> [String; 8] {
    [
        name.to_owned(),
        back(away),
        range(&layout.loads()),
        mean_and_range(&layout.scatter()),
        sets(layout, faults),
        probability(losses),
        short(recoveries.machines),
        format!(
            "{} of {}",
            short(recoveries.busiest),
            short(recoveries.lost)
        ),
    ]
}

fn racks(args: &Simulation, fresh: &[Scheme], after: &[Scheme], rng: &mut Rng) -> Table {
    let (servers, racks) = (args.fleet.servers, args.racks);
    let text = format!(
        "One of {racks} racks of about {} servers dies, or two do: every one and every pair was tried. Only the last \
         placement knows of racks, and Fusion does not have it.",
        servers / racks
    );
    let columns = [
        "placement",
        "servers registered",
        "P(loss), one rack",
        "clusters lost then",
        "P(loss), two racks",
        "clusters lost then",
    ];
    let mut table = Table::new(&text, columns);
    let in_blocks = [(0..servers)
        .map(|m| m * racks / servers)
        .collect::<Vec<_>>()];
    let in_turn = [(0..servers).map(|m| m % racks).collect::<Vec<_>>()];
    let mut mix = |_| {
        let order = rng.shuffled(servers);
        order.iter().map(|&m| in_blocks[0][m as usize]).collect()
    };
    let mixed: Vec<Vec<usize>> = (0..args.layouts).map(&mut mix).collect();
    let mut add = |name: &str, order: &str, layouts: &[Layout], racks: &[Vec<usize>]| {
        let one = Losses::of_racks(layouts, args.fleet.faults, racks, false);
        let two = Losses::of_racks(layouts, args.fleet.faults, racks, true);
        table.row([
            name.to_owned(),
            order.to_owned(),
            percent(one.probability().0),
            amount_mean(&one),
            percent(two.probability().0),
            amount_mean(&two),
        ]);
    };
    for scheme in fresh {
        if scheme.name == REAL {
            add(&scheme.name, "rack by rack", &scheme.layouts, &in_blocks);
            add(&scheme.name, "in any order", &scheme.layouts, &mixed);
            add(
                &scheme.name,
                "from each rack in turn",
                &scheme.layouts,
                &in_turn,
            );
        } else {
            add(&scheme.name, "in any order", &scheme.layouts, &in_blocks);
        }
    }
    for scheme in after {
        add(&scheme.name, "rack by rack", &scheme.layouts, &in_blocks);
        let order = "from each rack in turn";
        add(&scheme.name, order, &scheme.layouts, &in_turn);
    }
    let members = args.fleet.members();
    let aware = [Layout::over_racks(
        args.fleet.clusters,
        members,
        &in_blocks[0],
    )];
    add("one member a rack", "in any order", &aware, &in_blocks);
    table
}

/// All cases were tried: there is no interval.
fn amount_mean(losses: &Losses) -> String {
    losses
        .given_loss()
        .map_or_else(|| "none".to_owned(), |(mean, _)| short(mean))
}
