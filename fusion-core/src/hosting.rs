//! What a configuration means for the members of one server process (PROTOCOL rules 4, 8).

use crate::config::{Configuration, FusedState, Origin, PrimaryState};
use crate::fault::{Fault, planted};
use crate::id::{MemberId, PrimaryIndex, ServerId};
use std::collections::BTreeMap;

/// What a server holds of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// An active primary, or a suspended one.
    Primary,
    /// A fused structure.
    Fused,
    /// A replacement of a lost primary, with or without the finished image.
    Replacement {
        /// Whether the image is finished.
        image: bool,
    },
    /// The heir of a primary that is being moved.
    Heir {
        /// Whether it has everything that it needs to take over.
        ready: bool,
    },
    /// A primary that takes over by a move, and does not serve yet.
    Successor,
    /// A member that a fault of this program has broken: it counts as dead, and is never started again here.
    Broken,
}

/// What a server does with a member when it adopts a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on in the new epoch, or serves again after it was suspended.
    Adopt,
    /// It was taken for dead: it serves nobody, and keeps its state until a replacement is active (rule 25), or, of a code,
    /// as long as it may return (rule 52).
    Suspend,
    /// The replacement is the primary now. Or it was, and was taken for dead before its server heard so: then it begins
    /// suspended, with all that the primary has (rule 50).
    Activate,
    /// The heir is the primary now, and serves as soon as it knows that it may (rule 36). Or it was that, and was taken for
    /// dead before its server heard so: then it begins suspended (rule 50).
    TakeOver,
    /// It was moved: it serves nobody any more, tells the one that takes over, and keeps its state until it does (rule 36).
    Retire,
    /// The replacement begins anew, but may keep a finished image (rule 35).
    Restart,
    /// It is not named any more: its state goes, for ever.
    Drop,
    /// A primary is started empty, with its cluster.
    CreatePrimary,
    /// A fused structure is started empty, with its cluster or as a learner.
    CreateFused,
    /// A replacement is started.
    StartReplacement,
    /// An heir is started.
    StartHeir,
    /// It should have state, which is not here: it must not serve, and is reported.
    Missing,
}

/// What `server` does with each member that it holds or should hold, now that it adopts `config`.
///
/// A server adopts only configurations of higher epochs than it has seen of the cluster, so that a member that was
/// dropped is never started again.
#[must_use]
pub fn actions(
    config: &Configuration,
    server: ServerId,
    held: &BTreeMap<MemberId, Held>,
) -> BTreeMap<MemberId, Action> {
    let mut actions: BTreeMap<MemberId, Action> =
        held.keys().map(|&id| (id, Action::Drop)).collect();
    if planted(Fault::DeposedGoesOn) {
        actions.retain(|id, _| held.get(id) != Some(&Held::Primary));
    }
    if config.removed {
        return actions;
    }
    // Who has served is named without what it was moved from. One that is an heir still, or takes over, went back to before
    // that (rule 63): it lacks what was answered since, and codes that know of no move would never answer it.
    let moves = |j: PrimaryIndex| {
        let seat = config.primary(j);
        seat.is_some_and(|s| s.moved_from.is_some())
    };
    for (j, former) in config.formers() {
        let action = match held.get(&former.id) {
            Some(Held::Heir { .. } | Held::Successor) if !moves(j) => continue,
            Some(Held::Primary | Held::Successor) => Action::Suspend,
            // Who is named as former was Active, by the evidence of this image, or of what it has learned.
            Some(Held::Replacement { image: true }) if !planted(Fault::UnheardFormerDropped) => {
                Action::Activate
            }
            Some(Held::Heir { ready: true }) => Action::TakeOver,
            _ => continue,
        };
        actions.insert(former.id, action);
    }
    for former in config.codes_away() {
        if held.get(&former.id) == Some(&Held::Fused) {
            actions.insert(former.id, Action::Suspend);
        }
    }
    for (_, former) in config.moved() {
        if held.get(&former.id) == Some(&Held::Primary) {
            actions.insert(former.id, Action::Retire);
        }
    }
    for (j, seat) in (0..).map(PrimaryIndex).zip(&config.primaries) {
        if seat.host.server != server {
            continue;
        }
        let action = match (held.get(&seat.id), seat.state, seat.origin) {
            (Some(Held::Heir { .. } | Held::Successor), PrimaryState::Active, _) if !moves(j) => {
                Action::Missing
            }
            (Some(Held::Primary | Held::Successor), PrimaryState::Active, _) => Action::Adopt,
            (Some(Held::Replacement { image: true }), PrimaryState::Active, _) => Action::Activate,
            (Some(Held::Heir { ready: true }), PrimaryState::Active, _) => Action::TakeOver,
            (Some(Held::Replacement { .. }), PrimaryState::Lost, _) => Action::Restart,
            (None, PrimaryState::Active, Origin::Created) => Action::CreatePrimary,
            (None, PrimaryState::Lost, _) => Action::StartReplacement,
            _ => Action::Missing,
        };
        actions.insert(seat.id, action);
    }
    for (_, heir) in config.heirs().filter(|(_, h)| h.host.server == server) {
        let action = match held.get(&heir.id) {
            Some(Held::Heir { .. }) => Action::Adopt,
            None => Action::StartHeir,
            _ => Action::Missing,
        };
        actions.insert(heir.id, action);
    }
    for seat in config.fused.iter().filter(|s| s.host.server == server) {
        let action = match (held.get(&seat.id), seat.state, seat.origin) {
            (Some(Held::Fused), ..) => Action::Adopt,
            // What returns has its state, or does not return (rule 52).
            _ if config.former_code(seat.id).is_some() => Action::Missing,
            // One that has caught up was here: a process that does not hold it any more must not begin afresh.
            (None, FusedState::InSync, Origin::Created) | (None, FusedState::Copying, _) => {
                Action::CreateFused
            }
            _ => Action::Missing,
        };
        actions.insert(seat.id, action);
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterShape, Host};
    use crate::id::ClusterId;
    use crate::op::Kind;

    fn config() -> Configuration {
        let shape = ClusterShape::new("c", Kind::Map, 2, 1, false).unwrap();
        let hosts = [1, 2, 3].map(|i| Host {
            server: ServerId(i),
            address: String::new(),
        });
        Configuration::create(1, ClusterId(1), 1, &shape, &hosts)
    }

    fn on(config: &Configuration, server: u64, held: &[(u64, Held)]) -> Vec<(u64, Action)> {
        let held = held
            .iter()
            .map(|&(id, held)| (MemberId(id), held))
            .collect();
        actions(config, ServerId(server), &held)
            .into_iter()
            .map(|(id, action)| (id.0, action))
            .collect()
    }

    #[test]
    fn members_of_a_new_cluster_start_empty_where_they_are_named() {
        assert_eq!(on(&config(), 1, &[]), [(1, Action::CreatePrimary)]);
        assert_eq!(on(&config(), 3, &[]), [(3, Action::CreateFused)]);
        assert_eq!(on(&config(), 4, &[]), []);
    }

    #[test]
    fn a_replacement_is_started_restarted_and_activated_only_with_its_image() {
        let mut config = config().successor(2);
        config.primaries[0].state = PrimaryState::Lost;
        config.primaries[0].origin = Origin::Recovered;
        config.primaries[0].id = MemberId(4);
        assert_eq!(
            on(&config, 1, &[(1, Held::Primary)]),
            [(1, Action::Drop), (4, Action::StartReplacement)]
        );
        let without = Held::Replacement { image: false };
        let with = Held::Replacement { image: true };
        assert_eq!(on(&config, 1, &[(4, without)]), [(4, Action::Restart)]);
        config.primaries[0].state = PrimaryState::Active;
        assert_eq!(on(&config, 1, &[(4, with)]), [(4, Action::Activate)]);
        assert_eq!(on(&config, 1, &[(4, without)]), [(4, Action::Missing)]);
        assert_eq!(
            on(&config, 1, &[]),
            [(4, Action::Missing)],
            "never started empty"
        );
    }

    #[test]
    fn a_primary_that_was_taken_for_dead_is_kept_until_its_replacement_serves() {
        let first = config();
        let mut config = first.successor(2);
        config.primaries[0].state = PrimaryState::Lost;
        config.primaries[0].id = MemberId(4);
        config.primaries[0].host = first.fused[0].host.clone();
        config.primaries[0].former = Some(crate::config::Former {
            id: MemberId(1),
            host: first.primaries[0].host.clone(),
            origin: Origin::Created,
            blamed: false,
        });
        let held = [(1, Held::Primary)];
        assert_eq!(on(&config, 1, &held), [(1, Action::Suspend)]);
        assert_eq!(on(&config, 1, &[]), [], "never started again");
        let mut again = first.successor(3);
        assert_eq!(on(&again, 1, &held), [(1, Action::Adopt)]);
        again.primaries[0] = config.primaries[0].clone();
        again.primaries[0].state = PrimaryState::Active;
        again.primaries[0].former = None;
        assert_eq!(on(&again, 1, &held), [(1, Action::Drop)]);
    }

    #[test]
    fn a_primary_that_was_moved_is_kept_until_the_other_serves() {
        let first = config();
        let mut moved = first.successor(2);
        moved.primaries[0].id = MemberId(4);
        moved.primaries[0].host.server = ServerId(4);
        moved.primaries[0].moved_from = Some(crate::config::Former {
            id: MemberId(1),
            host: first.primaries[0].host.clone(),
            origin: Origin::Created,
            blamed: false,
        });
        let held = [(1, Held::Primary)];
        assert_eq!(on(&moved, 1, &held), [(1, Action::Retire)]);
        assert_eq!(on(&moved, 1, &[]), [], "never started again");
        let heir = |ready| [(4, Held::Heir { ready })];
        assert_eq!(on(&moved, 4, &heir(true)), [(4, Action::TakeOver)]);
        assert_eq!(on(&moved, 4, &heir(false)), [(4, Action::Missing)]);
        assert_eq!(on(&moved, 4, &[(4, Held::Successor)]), [(4, Action::Adopt)]);
        let mut over = moved.successor(3);
        over.primaries[0].moved_from = None;
        assert_eq!(on(&over, 1, &held), [(1, Action::Drop)]);
        assert_eq!(on(&over, 4, &[(4, Held::Primary)]), [(4, Action::Adopt)]);
        // It has served: whoever has not is a memory of before that. It was taken for a move that goes on, which no code
        // answers, until the last code was given up for that, and what it had once was served.
        for held in [Held::Heir { ready: true }, Held::Successor] {
            assert_eq!(on(&over, 4, &[(4, held)]), [(4, Action::Missing)]);
        }
    }

    #[test]
    fn a_replacement_that_was_lost_before_it_heard_that_it_was_active_keeps_its_image() {
        let first = config();
        let mut config = first.successor(2);
        config.primaries[0].state = PrimaryState::Lost;
        config.primaries[0].id = MemberId(5);
        config.primaries[0].former = Some(crate::config::Former {
            id: MemberId(4),
            host: first.primaries[0].host.clone(),
            origin: Origin::Recovered,
            blamed: false,
        });
        for (held, action) in [
            (Held::Replacement { image: true }, Action::Activate),
            (Held::Replacement { image: false }, Action::Drop),
            (Held::Broken, Action::Drop),
        ] {
            let actions = on(&config, 1, &[(4, held)]);
            assert!(actions.contains(&(4, action)), "{held:?}: {actions:?}");
        }
    }

    #[test]
    fn one_that_was_moved_and_lost_before_it_served_is_kept_and_so_is_the_one_before() {
        let first = config();
        let former = |id: u64| {
            let mut host = first.primaries[0].host.clone();
            host.server = ServerId(id);
            Some(crate::config::Former {
                id: MemberId(id),
                host,
                origin: Origin::Recovered,
                blamed: false,
            })
        };
        let mut lost = first.successor(2);
        let seat = &mut lost.primaries[0];
        seat.state = PrimaryState::Lost;
        (seat.id, seat.host.server) = (MemberId(5), ServerId(5));
        (seat.former, seat.moved_from) = (former(4), former(1));
        let retired = [(1, Action::Retire)];
        assert_eq!(on(&lost, 1, &[(1, Held::Primary)]), retired);
        for (held, action) in [
            (Held::Primary, Action::Suspend),
            (Held::Successor, Action::Suspend),
            (Held::Heir { ready: true }, Action::TakeOver),
            (Held::Heir { ready: false }, Action::Drop),
        ] {
            assert_eq!(on(&lost, 4, &[(4, held)]), [(4, action)], "{held:?}");
        }
        // It has served before it was lost.
        lost.primaries[0].moved_from = None;
        for held in [Held::Heir { ready: true }, Held::Successor] {
            assert_eq!(on(&lost, 4, &[(4, held)]), [(4, Action::Drop)], "{held:?}");
        }
    }

    #[test]
    fn a_broken_member_is_never_started_empty() {
        assert_eq!(
            on(&config(), 1, &[(1, Held::Broken)]),
            [(1, Action::Missing)]
        );
        assert_eq!(
            on(&config(), 3, &[(3, Held::Broken)]),
            [(3, Action::Missing)]
        );
    }

    #[test]
    fn a_code_that_was_given_up_keeps_its_state_and_is_never_begun_afresh() {
        let mut config = config().successor(2);
        let seat = config.fused.remove(0);
        let former = crate::config::FormerCode {
            id: seat.id,
            host: seat.host.clone(),
            row: seat.row,
            origin: seat.origin,
            lost: Vec::new(),
        };
        config.former_codes.push(former);
        assert_eq!(on(&config, 3, &[(3, Held::Fused)]), [(3, Action::Suspend)]);
        assert_eq!(on(&config, 3, &[(3, Held::Broken)]), [(3, Action::Drop)]);
        assert_eq!(on(&config, 3, &[]), []);
        let state = FusedState::Copying;
        config
            .fused
            .push(crate::config::FusedSeat { state, ..seat });
        assert_eq!(on(&config, 3, &[(3, Held::Fused)]), [(3, Action::Adopt)]);
        assert_eq!(on(&config, 3, &[]), [(3, Action::Missing)]);
    }

    #[test]
    fn removal_drops_everything() {
        let mut config = config().successor(2);
        config.removed = true;
        assert_eq!(on(&config, 1, &[(1, Held::Primary)]), [(1, Action::Drop)]);
        assert_eq!(on(&config, 2, &[]), []);
    }

    #[test]
    fn codes_that_were_learned_are_never_started_empty() {
        let mut config = config().successor(2);
        config.fused[0].origin = Origin::Recovered;
        assert_eq!(on(&config, 3, &[]), [(3, Action::Missing)]);
        config.fused[0].state = FusedState::Joining;
        assert_eq!(on(&config, 3, &[]), [(3, Action::Missing)]);
        config.fused[0].state = FusedState::Copying;
        assert_eq!(on(&config, 3, &[]), [(3, Action::CreateFused)]);
    }
}
