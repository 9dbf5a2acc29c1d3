//! How fast members are made: replacements, learners and heirs, from one report to the next.

use crate::service::Progress;
use fusion_core::config::{Configuration, PrimaryState};
use fusion_core::id::{ClusterId, MemberId};
use fusion_core::message::{Condition, MemberReport};
use std::collections::{BTreeMap, BTreeSet};

/// Between two lines of the log about one member.
const SAY_MS: u64 = 3_000;
/// Between two such lines about any members: after a great loss not each one of them has its line.
const SAY_ANY_MS: u64 = 100;

/// Of every member that the newest configurations want made: no more than those name. What is made is kept until it is
/// heard to serve.
#[derive(Debug, Default)]
pub(super) struct Paces {
    members: BTreeMap<(ClusterId, MemberId), Pace>,
    said_ms: Option<u64>,
}

#[derive(Debug)]
struct Pace {
    begun_ms: u64,
    /// The last look before anything came: from here it is counted.
    from: Look,
    last: Look,
    said_ms: u64,
}

/// What a member had, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    at_ms: u64,
    /// Pages or chunks, as in its report.
    done: u64,
    total: u64,
    bytes: u64,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It goes on.
    UnderWay {
        done: u64,
        total: u64,
        progress: Progress,
    },
    /// It is made, and serves.
    Made { elements: u64, progress: Progress },
}

impl Paces {
    /// `config` is the newest one from now on.
    pub(super) fn installed(&mut self, config: &Configuration, now: u64) {
        let cluster = config.cluster;
        let lost = config.primaries.iter();
        let lost = lost.filter(|s| s.state == PrimaryState::Lost).map(|s| s.id);
        let heirs = config.heirs().map(|(_, heir)| heir.id);
        let learners = config.learners().map(|s| s.id);
        let wanted: BTreeSet<MemberId> = match config.removed {
            true => BTreeSet::new(),
            false => lost.chain(heirs).chain(learners).collect(),
        };
        let named = |id| !config.removed && config.host_of(id).is_some();
        let of_cluster = (cluster, MemberId(0))..=(cluster, MemberId(u64::MAX));
        let known = self.members.range(of_cluster).map(|(&(_, id), _)| id);
        let gone: Vec<MemberId> = known.filter(|&id| !named(id)).collect();
        for id in gone {
            self.members.remove(&(cluster, id));
        }
        for id in wanted {
            let pace = self.members.entry((cluster, id));
            pace.or_insert_with(|| Pace::new(now));
        }
    }

    /// What a member says of itself; answers what is worth a line in the log.
    pub(super) fn hear(&mut self, report: &MemberReport, now: u64) -> Option<News> {
        let key = (report.cluster, report.member);
        let pace = self.members.get_mut(&key)?;
        let (done, total) = match report.condition {
            Condition::Recovering { done, total } | Condition::Learning { done, total } => {
                (done, total)
            }
            Condition::Ready { .. } | Condition::Complete => (pace.last.total, pace.last.total),
            Condition::Serving => {
                let progress = pace.progress(now);
                let elements = report.elements;
                self.members.remove(&key);
                return Some(News::Made { elements, progress });
            }
            _ => return None,
        };
        pace.look(Look {
            at_ms: now,
            done,
            total,
            bytes: report.taken_bytes,
        });
        let lately = |said: u64, pause| now.saturating_sub(said) < pause;
        if lately(pace.said_ms, SAY_MS) || self.said_ms.is_some_and(|s| lately(s, SAY_ANY_MS)) {
            return None;
        }
        pace.said_ms = now;
        self.said_ms = Some(now);
        let progress = pace.progress(now);
        Some(News::UnderWay {
            done,
            total,
            progress,
        })
    }

    /// How a member gets on, if it is being made.
    pub(super) fn progress(
        &self,
        cluster: ClusterId,
        member: MemberId,
        now: u64,
    ) -> Option<Progress> {
        let pace = self.members.get(&(cluster, member))?;
        Some(pace.progress(now))
    }

    /// What it had of what it needs, when it said so last.
    pub(super) fn pages(&self, cluster: ClusterId, member: MemberId) -> Option<(u64, u64)> {
        let last = self.members.get(&(cluster, member))?.last;
        (last.total > 0).then_some((last.done, last.total))
    }
}

impl Pace {
    fn new(now: u64) -> Pace {
        let look = Look {
            at_ms: now,
            ..Look::default()
        };
        Pace {
            begun_ms: now,
            from: look,
            last: look,
            said_ms: now,
        }
    }

    fn look(&mut self, look: Look) {
        // Nothing has come yet, or it began anew.
        if look.done == 0 || look.done < self.last.done {
            self.from = look;
        }
        // When something came last: what waits for its leases has not become slower.
        let same = (look.done, look.bytes) == (self.last.done, self.last.bytes);
        let at_ms = if same { self.last.at_ms } else { look.at_ms };
        self.last = Look { at_ms, ..look };
    }

    fn progress(&self, now: u64) -> Progress {
        let (from, last) = (self.from, self.last);
        let complete = last.done >= last.total;
        let until = if complete { last.at_ms } else { now };
        let took_ms = until.saturating_sub(from.at_ms);
        let rate = |came: u64, per: u64| {
            let rate = u128::from(came) * u128::from(per);
            u64::try_from(rate / u128::from(took_ms.max(1))).unwrap_or(u64::MAX)
        };
        let bytes = last.bytes.saturating_sub(from.bytes);
        let (came, missing) = (
            last.done.saturating_sub(from.done),
            last.total.saturating_sub(last.done),
        );
        let left = u128::from(missing) * u128::from(took_ms) / u128::from(came.max(1));
        Progress {
            for_ms: now.saturating_sub(self.begun_ms),
            taken_bytes: last.bytes,
            bytes_per_second: (took_ms > 0 && bytes > 0).then(|| rate(bytes, 1000)),
            left_ms: (!complete && came > 0).then(|| u64::try_from(left).unwrap_or(u64::MAX)),
        }
    }
}

/// A line in the log.
pub(super) fn say(config: &Configuration, member: MemberId, news: &News) {
    let (cluster, what) = (&config.name, describe(config, member));
    match *news {
        News::UnderWay {
            done,
            total,
            progress,
        } => {
            let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
            let left = progress.left_ms.map(seconds);
            let (mib, rate) = (mib(progress.taken_bytes), progress.bytes_per_second);
            tracing::info!(
                %cluster, %member,
                "{what} is being made: {done} of {total} pieces ({percent} %), {mib:.1} MiB{}{}",
                rate.map_or(String::new(), |r| format!(" at {:.1} MiB/s", self::mib(r))),
                left.map_or(String::new(), |s| format!(", about {s:.1} s left")),
            );
        }
        News::Made { elements, progress } => {
            let (took, mib) = (seconds(progress.for_ms), mib(progress.taken_bytes));
            let primary = config.index_of(member).is_some();
            let elements = match primary {
                true => {
                    let rate = elements as f64 / took.max(0.001);
                    format!("{elements} elements ({rate:.0} a second), ")
                }
                false => String::new(),
            };
            tracing::info!(
                %cluster, %member,
                "{what} is made and serves: {elements}{mib:.1} MiB of pages taken, {took:.2} s from the decision on"
            );
        }
    }
}

fn describe(config: &Configuration, member: MemberId) -> String {
    let row = || config.fused.iter().find(|s| s.id == member).map(|s| s.row);
    let heir = || config.inherits(member);
    match (config.index_of(member), heir()) {
        (Some(index), _) => format!("primary {}", index.0),
        (None, Some(index)) => format!("the new place of primary {}", index.0),
        (None, None) => row().map_or("a member".to_owned(), |r| {
            format!("fused structure {}", r.0)
        }),
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusion_core::config::{ClusterShape, Host};
    use fusion_core::id::{Epoch, Row, Seq, ServerId};
    use fusion_core::op::Kind;

    const CLUSTER: ClusterId = ClusterId(1);
    const MIB: u64 = 1 << 20;

    fn host(server: u64) -> Host {
        Host {
            server: ServerId(server),
            address: format!("a:{server}"),
        }
    }

    fn created() -> Configuration {
        let shape = ClusterShape::new("c", Kind::Map, 2, 1, false).unwrap();
        Configuration::create(7, CLUSTER, 1, &shape, &[host(1), host(2), host(3)])
    }

    /// With a learner of row 0.
    fn joining() -> (Configuration, MemberId) {
        let mut config = created().successor(2);
        config.add_learner(Row(0), host(4));
        let learner = config.fused.last().unwrap().id;
        (config, learner)
    }

    fn report(member: MemberId, condition: Condition, mib: u64) -> MemberReport {
        MemberReport {
            taken_bytes: mib * MIB,
            ..MemberReport::new(CLUSTER, member, Epoch(2), condition)
        }
    }

    fn learning(done: u64, total: u64) -> Condition {
        Condition::Learning { done, total }
    }

    #[test]
    fn rate_and_time_left_are_counted_from_when_the_first_pages_came() {
        let (config, id) = joining();
        let mut paces = Paces::default();
        paces.installed(&config, 1_000);
        let fresh = paces.progress(CLUSTER, id, 1_500).unwrap();
        assert_eq!(
            (fresh.for_ms, fresh.bytes_per_second, fresh.left_ms),
            (500, None, None)
        );
        // It was waited for something else until 2,000.
        assert_eq!(paces.hear(&report(id, learning(0, 0), 0), 2_000), None);
        paces.hear(&report(id, learning(10, 100), 5), 2_500);
        let progress = paces.progress(CLUSTER, id, 2_500).unwrap();
        assert_eq!(
            progress,
            Progress {
                for_ms: 1_500,
                taken_bytes: 5 * MIB,
                bytes_per_second: Some(10 * MIB),
                left_ms: Some(4_500),
            }
        );
        // Nothing more comes: the rate falls, and it takes longer.
        let stuck = paces.progress(CLUSTER, id, 3_000).unwrap();
        assert_eq!(
            (stuck.bytes_per_second, stuck.left_ms),
            (Some(5 * MIB), Some(9_000))
        );
        // All is there, and leases are waited for: it was as fast as it was.
        paces.hear(&report(id, learning(100, 100), 50), 4_000);
        paces.hear(&report(id, Condition::Complete, 50), 6_000);
        let complete = paces.progress(CLUSTER, id, 9_000).unwrap();
        assert_eq!(
            (complete.bytes_per_second, complete.left_ms),
            (Some(25 * MIB), None)
        );
        assert_eq!(paces.pages(CLUSTER, id), Some((100, 100)));
    }

    #[test]
    fn what_begins_anew_is_counted_anew() {
        let (config, id) = joining();
        let mut paces = Paces::default();
        paces.installed(&config, 0);
        paces.hear(&report(id, learning(0, 100), 0), 0);
        paces.hear(&report(id, learning(90, 100), 90), 1_000);
        paces.hear(&report(id, learning(4, 100), 4), 10_000);
        paces.hear(&report(id, learning(24, 100), 24), 12_000);
        let progress = paces.progress(CLUSTER, id, 12_000).unwrap();
        assert_eq!(progress.bytes_per_second, Some(10 * MIB));
        assert_eq!(progress.left_ms, Some(7_600));
    }

    #[test]
    fn a_member_has_a_line_every_few_seconds_and_one_when_it_serves_and_is_then_forgotten() {
        let (config, id) = joining();
        let mut paces = Paces::default();
        paces.installed(&config, 0);
        let mut lines = Vec::new();
        for step in 0..80_u64 {
            let now = step * 100;
            lines.extend(paces.hear(&report(id, learning(step, 80), step), now));
        }
        let done: Vec<u64> = lines
            .iter()
            .map(|line| match line {
                News::UnderWay { done, .. } => *done,
                News::Made { .. } => panic!("it is not made yet"),
            })
            .collect();
        assert_eq!(done, [30, 60]);
        let made = paces.hear(&report(id, Condition::Serving, 0), 8_200);
        let Some(News::Made { progress, .. }) = made else {
            panic!("{made:?}");
        };
        assert_eq!((progress.for_ms, progress.taken_bytes), (8_200, 79 * MIB));
        assert_eq!(paces.hear(&report(id, Condition::Serving, 0), 8_400), None);
        assert!(paces.members.is_empty());
    }

    #[test]
    fn of_many_members_not_each_has_its_line() {
        let (mut config, _) = joining();
        for server in 5..25 {
            config.add_learner(Row(0), host(server));
        }
        let mut paces = Paces::default();
        paces.installed(&config, 0);
        let ids: Vec<MemberId> = paces.members.keys().map(|(_, id)| *id).collect();
        let lines = |paces: &mut Paces, now| {
            let heard = ids.iter().map(|&id| report(id, learning(1, 2), 1));
            heard.filter_map(|r| paces.hear(&r, now)).count()
        };
        assert_eq!(ids.len(), 21);
        assert_eq!(lines(&mut paces, SAY_MS), 1);
        assert_eq!(lines(&mut paces, SAY_MS + SAY_ANY_MS - 1), 0);
        assert_eq!(lines(&mut paces, SAY_MS + SAY_ANY_MS), 1);
    }

    #[test]
    fn only_members_that_the_newest_configuration_wants_made_are_kept() {
        let (config, id) = joining();
        let mut paces = Paces::default();
        paces.installed(&created(), 0);
        assert!(
            paces.members.is_empty(),
            "nobody is made who was there from the start"
        );
        paces.installed(&config, 0);
        let serving = report(config.primaries[0].id, Condition::Serving, 0);
        assert_eq!(paces.hear(&serving, 1), None);
        assert!(paces.progress(CLUSTER, id, 1).is_some());
        // The learner is taken out again.
        paces.installed(&created().successor(3), 2);
        assert!(paces.members.is_empty());
        paces.installed(&config, 3);
        let others = [ClusterId(0), ClusterId(2)].map(|cluster| Configuration {
            cluster,
            ..config.clone()
        });
        for other in &others {
            paces.installed(other, 3);
        }
        let mut removed = config.successor(4);
        removed.removed = true;
        paces.installed(&removed, 4);
        let left: Vec<ClusterId> = paces.members.keys().map(|(of, _)| *of).collect();
        assert_eq!(left, others.map(|other| other.cluster));
    }

    #[test]
    fn an_absurd_report_is_no_overflow() {
        let (config, id) = joining();
        let mut paces = Paces::default();
        paces.installed(&config, 0);
        let absurd = MemberReport {
            taken_bytes: u64::MAX,
            ..report(id, learning(u64::MAX, u64::MAX), 0)
        };
        let line = paces.hear(&absurd, u64::MAX).unwrap();
        say(&config, id, &line);
        paces.hear(&report(id, learning(1, u64::MAX), 0), u64::MAX);
        paces.hear(&report(id, Condition::Ready { seq: Seq(1) }, 0), 1);
        assert!(paces.progress(CLUSTER, id, 0).is_some());
    }
}
