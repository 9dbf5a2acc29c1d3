use super::*;

/// Servers 1, 2, ... on these hosts, each host in its zone; all usable and without members.
fn fleet(hosts: &[usize], zones: &[usize]) -> BTreeMap<ServerId, ServerView> {
    let view = |(i, &host): (usize, &usize)| {
        let view = ServerView {
            address: format!("{host}:{i}"),
            last_heard_ms: 1,
            host: format!("h{host}").into(),
            zone: format!("z{}", zones[host]).into(),
            ..ServerView::default()
        };
        (ServerId(i as u64 + 1), view)
    };
    hosts.iter().enumerate().map(view).collect()
}

/// All ways to write `len` digits below `base`.
fn digits(len: usize, base: usize) -> impl Iterator<Item = Vec<usize>> {
    let number = move |n: usize| {
        let digit = move |i: u32| n / base.pow(i) % base;
        (0..len as u32).map(digit).collect()
    };
    (0..base.pow(len as u32)).map(number)
}

/// As [`digits`], each way once, whatever the hosts are called: a new one has the next number.
fn on_hosts(servers: usize, hosts: usize) -> impl Iterator<Item = Vec<usize>> {
    digits(servers, hosts).filter(|on| {
        let mut next = 0;
        on.iter().all(|&host| {
            let named = host <= next;
            next += usize::from(host == next);
            named
        })
    })
}

struct Counts {
    /// Members that are too many on their host.
    on_hosts: usize,
    /// Members that are too many in their zone.
    in_zones: usize,
}

fn counts(on: &[ServerId], faults: usize, servers: &BTreeMap<ServerId, ServerView>) -> Counts {
    let too_many = |names: Vec<&str>, may: usize| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        names
            .into_iter()
            .for_each(|n| *counts.entry(n).or_default() += 1);
        counts.values().map(|n| n.saturating_sub(may)).sum()
    };
    Counts {
        on_hosts: too_many(on.iter().map(|s| &*servers[s].host).collect(), 1),
        in_zones: too_many(on.iter().map(|s| &*servers[s].zone).collect(), faults),
    }
}

/// How many members there is room for: on hosts of their own, and with at most `faults` in a zone.
fn room(hosts: &[usize], zones: &[usize], faults: usize) -> (usize, usize) {
    let used: BTreeSet<usize> = hosts.iter().copied().collect();
    let mut by_zone: BTreeMap<usize, usize> = BTreeMap::new();
    for &host in &used {
        *by_zone.entry(zones[host]).or_default() += 1;
    }
    let zoned = by_zone.values().map(|n| n.min(&faults)).sum();
    (used.len(), zoned)
}

/// Every fleet of up to 5 servers on up to 4 hosts in up to 3 zones, every cluster of up to 4 members.
#[test]
fn members_are_put_on_hosts_of_their_own_and_within_f_of_a_zone_wherever_that_can_be() {
    let mut fleets = 0;
    for servers in 1..=5 {
        for hosts in on_hosts(servers, 4) {
            for zones in digits(4, 3) {
                let fleet = fleet(&hosts, &zones);
                for (members, faults) in [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2)] {
                    let (on_hosts, in_zones) = room(&hosts, &zones, faults);
                    let placed = place(members, faults, false, &fleet);
                    assert_eq!(placed.is_some(), on_hosts >= members, "{hosts:?} {zones:?}");
                    let both = place(members, faults, true, &fleet).unwrap();
                    for placed in placed.iter().chain([&both]) {
                        let on: Vec<ServerId> = placed.iter().map(|h| h.server).collect();
                        let counts = counts(&on, faults, &fleet);
                        let hosts_short = members.saturating_sub(on_hosts);
                        assert_eq!(counts.on_hosts, hosts_short, "{hosts:?} {on:?}");
                        if in_zones >= members {
                            assert_eq!(counts.in_zones, 0, "{hosts:?} {zones:?} {on:?}");
                        }
                    }
                    fleets += 1;
                }
            }
        }
    }
    assert_eq!(fleets, 5 * 81 * (1 + 2 + 5 + 15 + 51));
}

/// However three members came to stand on the servers: they are moved one by one until none is too close to another,
/// where that can be, and then they stay. No move makes it worse, and there are never more moves than members.
#[test]
fn members_that_stand_too_close_are_moved_apart_and_then_stay() {
    let (members, faults) = (3, 1);
    for hosts in on_hosts(5, 3) {
        for zones in digits(3, 2) {
            let servers = fleet(&hosts, &zones);
            let (on_hosts, in_zones) = room(&hosts, &zones, faults);
            for start in digits(members, 5) {
                let mut on: Vec<ServerId> = start.iter().map(|&s| ServerId(s as u64 + 1)).collect();
                let mut moves = 0;
                while let Some((i, to)) = (0..members).find_map(|i| {
                    let mut places = Places::new(faults, true, &servers);
                    on.iter().for_each(|&s| places.stand(s));
                    places.better(on[i]).map(|host| (i, host.server))
                }) {
                    let before = counts(&on, faults, &servers);
                    on[i] = to;
                    let after = counts(&on, faults, &servers);
                    let order = |c: &Counts| (c.on_hosts, c.in_zones);
                    assert!(order(&after) < order(&before), "{hosts:?} {zones:?} {on:?}");
                    moves += 1;
                    assert!(moves <= 2 * members, "{hosts:?} {zones:?} {start:?}");
                }
                let end = counts(&on, faults, &servers);
                assert_eq!(end.on_hosts, members.saturating_sub(on_hosts), "{on:?}");
                if in_zones >= members {
                    assert_eq!(end.in_zones, 0, "{hosts:?} {zones:?} {start:?} {on:?}");
                }
            }
        }
    }
}

#[test]
fn a_server_that_does_not_say_where_it_runs_is_on_a_host_of_its_own() {
    let mut servers = fleet(&[0, 0, 0], &[0]);
    assert_eq!(place(2, 1, false, &servers), None);
    for view in servers.values_mut() {
        view.host = "".into();
    }
    assert_eq!(place(3, 1, false, &servers).unwrap().len(), 3);
}

#[test]
fn the_less_loaded_server_counts_within_what_hosts_and_zones_leave() {
    let mut servers = fleet(&[0, 1, 2, 3], &[0, 0, 0, 1]);
    servers.get_mut(&ServerId(4)).unwrap().load = 9;
    servers.get_mut(&ServerId(1)).unwrap().load = 2;
    let placed = place(2, 1, false, &servers).unwrap();
    let on: Vec<u64> = placed.iter().map(|h| h.server.0).collect();
    assert_eq!(
        on,
        [2, 4],
        "the second one is in the other zone, loaded as it is"
    );
}

#[test]
fn a_host_that_a_member_leaves_is_free_for_it() {
    let servers = fleet(&[0, 0, 1], &[0, 0]);
    let mut places = Places::new(1, false, &servers);
    places.stand(ServerId(1));
    places.stand(ServerId(3));
    assert_eq!(places.clone().pop(), None);
    assert_eq!(places.take(ServerId(2)), None);
    places.leave(ServerId(1));
    assert_eq!(places.pop().unwrap().server, ServerId(2));
}
