use crate::args::{Arguments, Mode, Model};
use crate::churn::{Churned, Fleet, Rule, RuledFleet, churn};
use crate::fleet::RealFleet;
use crate::layout::{Layout, Seats};
use crate::loss::{Losses, more_than};
use crate::markov::mean_time_to_loss;
use crate::model::Groups;
use crate::model::load::most_writes;
use crate::model::losses::Rates;
use crate::model::sources::Sources;
use crate::rng::Rng;
use crate::table::short;
use anyhow::Result;
use clap::Parser as _;

fn apart(layout: &Layout) -> bool {
    layout.clusters.iter().all(|cluster| {
        let mut machines = cluster.clone();
        machines.sort_unstable();
        machines.dedup();
        machines.len() == cluster.len()
    })
}

#[test]
fn the_simulation_finds_the_probability_that_counting_gives() {
    // 3 of the 15 pairs of 6 machines are in one cluster.
    let layout = Layout {
        machines: 6,
        clusters: vec![vec![0, 1, 2], vec![2, 1, 0]],
    };
    assert_eq!(layout.fatal_sets(2), Some(3));
    assert_eq!(layout.fatal_sets(3), Some(1));
    let losses = Losses::of_machines(&[layout], 1, 2, 100_000, &mut Rng::new(3)).unwrap();
    let (p, least, most) = losses.probability();
    assert!(least < 0.2 && 0.2 < most && most - least < 0.01, "{p}");
    assert_eq!(losses.given_loss().map(|(mean, _)| mean), Some(2.0));
}

#[test]
fn more_than_f_of_a_sample() {
    // Of 6 machines 2 die; a cluster has 3 of them: all pairs within it, of all pairs.
    assert!((more_than(1, 6, 2, 3) - 3.0 / 15.0).abs() < 1e-12);
    assert_eq!(more_than(2, 6, 2, 3), 0.0);
    assert!((more_than(0, 6, 2, 3) - 12.0 / 15.0).abs() < 1e-12);
}

#[test]
fn random_layouts_load_all_machines_alike_and_none_twice() {
    for (machines, clusters, members) in [(10, 30, 7), (8, 2, 7), (100, 200, 7), (9, 1, 3)] {
        let layout = Layout::random(machines, clusters, members, &mut Rng::new(5));
        assert!(apart(&layout));
        let loads = layout.loads();
        assert!(loads.most - loads.least <= 1);
        assert_eq!(layout.clusters.len(), clusters);
    }
}

#[test]
fn copysets_have_the_scatter_width_that_was_asked_for() {
    let layout = Layout::copysets(70, 100, 7, 12, &mut Rng::new(5));
    assert!(apart(&layout) && layout.scatter().most <= 12);
    // 20 groups of 35 sets of 3; two groups seldom share one.
    let sets = layout.fatal_sets(3).unwrap();
    assert!((690..=700).contains(&sets), "{sets}");
}

#[test]
fn over_racks_no_rack_has_two_members_while_racks_last() {
    let racks: Vec<usize> = (0..40).map(|m| m / 5).collect();
    let layout = Layout::over_racks(50, 7, &racks);
    assert!(apart(&layout));
    let losses = Losses::of_racks(&[layout], 2, &[racks], true);
    assert!(losses.given_loss().is_none());
    // Two racks of the first cluster, with one member too many.
    let layout = Layout {
        machines: 4,
        clusters: vec![vec![0, 1, 2], vec![0, 1, 3]],
    };
    let losses = Losses::of_racks(&[layout], 1, &[vec![0, 0, 1, 2]], false);
    assert_eq!(losses.given_loss().map(|(mean, _)| mean), Some(2.0));
    assert!((losses.probability().0 - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn the_real_placement_is_windows_of_neighbours() {
    let layout = RealFleet::new(15, 15, 5, 2).unwrap().layout();
    assert!(apart(&layout));
    assert_eq!((layout.loads().least, layout.loads().most), (7, 7));
    let scatter = layout.scatter();
    assert_eq!((scatter.least, scatter.most), (12, 12));
    // With whole groups it is groups.
    let layout = RealFleet::new(14, 14, 5, 2).unwrap().layout();
    assert_eq!(layout.scatter().most, 6);
}

#[test]
fn clusters_stay_whole_and_apart_whatever_dies() {
    let mut real = RealFleet::new(30, 30, 5, 2).unwrap();
    let start = real.layout();
    let mut fleets: Vec<Box<dyn Fleet>> = vec![Box::new(RealFleet::new(30, 30, 5, 2).unwrap())];
    for rule in [Rule::Company, Rule::Near, Rule::Together, Rule::Apart] {
        fleets.push(Box::new(RuledFleet::new(rule, &start)));
    }
    for mut fleet in fleets {
        let recoveries = churn(fleet.as_mut(), 100, 4, &mut Rng::new(9)).unwrap();
        let layout = fleet.layout();
        assert!(apart(&layout) && layout.clusters.iter().all(|c| c.len() == 7));
        assert!(recoveries.machines >= 1.0 && recoveries.busiest <= recoveries.lost);
    }
    // The one that came back empty takes all of the next.
    let on = |fleet: &RealFleet, m: usize| fleet.layout().by_machine()[m].len();
    real.kill(0).unwrap();
    real.come_back(0);
    assert_eq!(on(&real, 0), 0);
    let had = on(&real, 20);
    let taken: Result<Churned> = real.kill(20);
    assert_eq!(taken.unwrap().busiest(), had);
    assert_eq!(on(&real, 0), had);
}

#[test]
fn mean_time_to_loss_of_small_chains() {
    let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
    close(mean_time_to_loss(4, 0, 100.0, 1.0), 25.0);
    // A mirror: (3 l + m) / (2 l^2).
    let (l, m) = (0.01, 1.0);
    close(
        mean_time_to_loss(2, 1, 1.0 / l, 1.0 / m),
        (3.0 * l + m) / (2.0 * l * l),
    );
}

#[test]
fn figures_have_three_digits() {
    for (value, text) in [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (1.5, "1.5"),
        (99.96, "100"),
        (9_999.0, "9,999"),
        (123_456.0, "123,000"),
        (12_345_678.0, "1.2e7"),
        (0.000_012, "1.2e-5"),
    ] {
        assert_eq!(short(value), text);
    }
}

/// The model with the inputs that it has by itself.
fn model(arguments: &[&str]) -> Model {
    let all = ["placement", "model"].iter().chain(arguments);
    match Arguments::try_parse_from(all).unwrap().mode {
        Some(Mode::Model(model)) => model,
        None => unreachable!(),
    }
}

#[test]
fn a_put_costs_what_was_measured_for_each_number_of_faults() {
    for (faults, measured) in [("1", 7.38), ("2", 10.0), ("3", 12.4), ("4", 15.5)] {
        let put = model(&["--faults", faults]).put_us(64.0);
        assert!((put / measured - 1.0).abs() < 0.03, "{put} {measured}");
    }
    // Longer values keep the proportion of the parts.
    let (two, four) = (model(&[]), model(&["--faults", "4"]));
    assert!((two.put_us(1024.0) - 11.2).abs() < 1e-9);
    let grows = |value| four.put_us(value) / two.put_us(value);
    assert!((grows(16_384.0) - grows(64.0)).abs() < 1e-9);
}

#[test]
fn the_measured_recoveries_come_out() {
    let model = model(&[]);
    let seconds = |elements| model.one_recovery_s(elements, model.page_bytes);
    assert!((seconds(2e6) - 1.166).abs() < 1e-9);
    assert!((seconds(2e5) / 0.100 - 1.0).abs() < 0.2, "{}", seconds(2e5));
}

#[test]
fn one_thread_rebuilds_an_index_however_few_there_are() {
    let model = model(&[
        "--cores",
        "4",
        "--elements",
        "1000000",
        "--rebuild-ns",
        "1000",
    ]);
    for (indexed, seconds) in [
        (0.3, 1.0),
        (1.0, 1.0),
        (4.0, 1.0),
        (5.0, 2.0),
        (8.0, 2.0),
        (8.5, 3.0),
    ] {
        assert!(
            (model.indexes_s(indexed) - seconds).abs() < 1e-9,
            "{indexed}"
        );
    }
}

#[test]
fn the_side_that_sends_or_takes_more_is_the_limit() {
    assert!((most_writes(8.0, 5.0, 2.0, 800.0) - 2e6).abs() < 1e-3);
    assert!((most_writes(8.0, 1.0, 2.0, 800.0) - 5e6).abs() < 1e-3);
}

#[test]
fn the_busiest_source_of_a_small_fleet() {
    // Machines 0 to 5; 2+2. When 0 dies, the first cluster reads from 1 and its first code at 2, the second one as a
    // learner from 1 and 3: from 1 twice.
    let seats = [
        Seats {
            primaries: vec![0, 1],
            fused: vec![2, 3],
        },
        Seats {
            primaries: vec![1, 3],
            fused: vec![4, 0],
        },
    ];
    let sources = Sources::of(6, &seats);
    // 1 dies: 0 and 2; 3 and 4. 2: 0 and 1. 3: 0 and 1; 1 and 4. 4: 1 and 3. 5 has nothing that could be lost.
    let (number, busiest) = ((3 + 4 + 2 + 3 + 2) as f64, (2 + 1 + 1 + 2 + 1) as f64);
    assert!((sources.number - number / 5.0).abs() < 1e-12);
    assert!((sources.busiest - busiest / 5.0).abs() < 1e-12);
}

#[test]
fn neighbours_in_windows_send_ten_of_fourteen_images_and_make_none() {
    let mut fleet = RealFleet::new(100, 200, 5, 2).unwrap();
    let sources = Sources::of(100, &fleet.seats());
    // Six on each side share clusters; the sixth after it has the second code, which nobody reads.
    assert!((sources.number - 11.0).abs() < 1e-12);
    assert!((sources.busiest - 10.0).abs() < 0.2, "{}", sources.busiest);
    let taken = fleet.kill(50).unwrap();
    assert_eq!(taken.machines(), 14);
    assert!((44..=56).all(|m| !taken.has(m)));
}

#[test]
fn losses_are_counted_by_sets_of_servers_that_clusters_share() {
    let shared = Layout {
        machines: 8,
        clusters: vec![vec![0, 1, 2], vec![2, 1, 0]],
    };
    let apart = Layout {
        machines: 8,
        clusters: vec![vec![0, 1, 2], vec![3, 4, 5]],
    };
    let rates = |layout: &Layout| {
        let groups = Groups::new("", layout, &layout.seats(2), false);
        Rates::of(&groups, 10_000.0, 3600.0)
    };
    let (shared, apart) = (rates(&shared), rates(&apart));
    // 3 pairs instead of 6, each of which loses twice as much.
    assert!((apart.events_a_year / shared.events_a_year - 2.0).abs() < 1e-9);
    assert!((apart.primaries_a_year / shared.primaries_a_year - 1.0).abs() < 1e-9);
    // A pair of a cluster of 2+1 has 4/3 primaries.
    let each = apart.primaries_a_year / apart.events_a_year;
    assert!((each - 4.0 / 3.0).abs() < 1e-9);
    // Two clusters that share nothing lose data twice as often as one, as the chain of a cluster says.
    let by_chain = 2.0 / apart.group_years;
    assert!((apart.events_a_year / by_chain - 1.0).abs() < 0.01);
}
