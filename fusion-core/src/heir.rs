//! The member that is to take an active primary's place on another server (PROTOCOL rule 36): a copy, made while that one
//! serves, and kept ready.
//!
//! It learns as a fused learner does: the pages of one snapshot, each added once, and the changes after it, in order
//! among themselves; XOR makes the order between the two no matter. Of the whole copy a structure is built, with its
//! indexes, and follows from then on, change by change. When it has that, and every fused member in sync has answered it
//! in this epoch, it is complete: nobody needs to stop for it. What it does when it is named is
//! [`takeover`](crate::takeover).

use crate::change::add_to_pages;
use crate::config::{Configuration, PrimaryState};
use crate::entry::Descriptor;
use crate::fault::{Fault, planted};
use crate::id::{MemberId, PrimaryIndex, Seq};
use crate::limits::{Bounds, FOLLOW_BYTES, TRANSFER_BYTES};
use crate::listening::Listening;
use crate::log::ChangeLog;
use crate::message::{
    Ack, ChangeRun, Chunk, Condition, JoinSnapshot, RecoveryRequest, Refusal, Replicate, Route,
};
use crate::page::PageTable;
use crate::primary::{check_route, unsealed};
use crate::structure::{FollowError, Follower, RebuildError, Structure};
use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A fused member that does not answer is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What the heir has of the primary's snapshot.
#[derive(Debug)]
struct Copied {
    about: JoinSnapshot,
    added: Vec<bool>,
    /// How many of them.
    count: u32,
    /// Of the pages added.
    bytes: u64,
}

/// The pages, of which a structure is to be built where it may take its time.
#[derive(Debug)]
pub struct Copy {
    /// The last change that the pages include.
    pub seq: Seq,
    /// The primary's pages.
    pub pages: PageTable,
    /// What they must be.
    pub expected: Descriptor,
}

/// A structure that is built, and what it still has to follow where it may take its time.
#[derive(Debug)]
pub struct Built {
    seq: Seq,
    follower: Box<Follower>,
    changes: Option<ChangeRun>,
}

impl Copy {
    /// Builds the structure and its indexes. Takes time linear in the number of elements.
    ///
    /// # Errors
    /// [`RebuildError`] when the pages are not those of the expected structure.
    pub fn build(self) -> Result<Built, RebuildError> {
        let structure = Structure::rebuild(self.pages)?;
        structure.check_descriptor(self.expected)?;
        Ok(Built {
            seq: self.seq,
            follower: Box::new(Follower::new(structure)),
            changes: None,
        })
    }
}

impl Built {
    /// Follows the changes that it was handed.
    ///
    /// # Errors
    /// [`FollowError`] when they are none of that structure.
    pub fn follow(mut self) -> Result<Built, FollowError> {
        if let Some(run) = self.changes.take() {
            follow_run(&mut self.follower, &mut self.seq, &run)?;
        }
        Ok(self)
    }
}

/// Takes in what comes after `seq`.
fn follow_run(follower: &mut Follower, seq: &mut Seq, run: &ChangeRun) -> Result<(), FollowError> {
    // It was checked when it was taken.
    for (this, change) in run.unpack().unwrap_or_default() {
        if this == seq.next() {
            follower.follow(&change)?;
            *seq = this;
        }
    }
    Ok(())
}

/// What is known of the primary's data.
#[derive(Debug)]
enum Data {
    /// Pages, to which chunks and changes are added.
    Pages(PageTable),
    /// The same, all of them, while somebody builds a structure of what they were after this change.
    Building(PageTable, Seq),
    /// The structure, which follows.
    Following(Box<Follower>),
}

/// An heir.
#[derive(Debug)]
pub struct Heir {
    config: Arc<Configuration>,
    id: MemberId,
    index: PrimaryIndex,
    data: Data,
    copied: Option<Copied>,
    seq: Seq,
    /// What some code may lack: the changes after what all have.
    log: ChangeLog,
    /// All have the primary's changes up to here, as it was told.
    stable: Seq,
    /// The fused members in sync that have not answered in this epoch, and when to ask them again.
    unanswered: BTreeMap<MemberId, Time>,
    /// What it was sent is no copy of a structure: it counts as dead.
    failed: bool,
    bounds: Bounds,
    listening: Listening,
}

/// What an heir hands to the primary that it becomes.
#[derive(Debug)]
pub(crate) struct Inheritance {
    pub(crate) follower: Box<Follower>,
    pub(crate) seq: Seq,
    pub(crate) log: ChangeLog,
}

impl Heir {
    /// Starts without anything.
    ///
    /// # Panics
    /// When `config` does not name `id` as an heir (a bug of the caller).
    #[must_use]
    pub fn create(config: Arc<Configuration>, id: MemberId) -> Heir {
        let index = config
            .inherits(id)
            .expect("the configuration names the heir");
        let mut heir = Heir {
            config,
            id,
            index,
            data: Data::Pages(PageTable::new()),
            copied: None,
            seq: Seq(0),
            log: ChangeLog::after(Seq(0)),
            stable: Seq(0),
            unanswered: BTreeMap::new(),
            failed: false,
            bounds: Bounds::USUAL,
            listening: Listening::default(),
        };
        heir.begin_epoch();
        heir
    }

    /// Whom it needs to be answered by in this epoch (rule 7), and whom it listens to.
    fn begin_epoch(&mut self) {
        let in_sync = self.config.in_sync().map(|s| (s.id, Time(0)));
        self.unanswered = in_sync.collect();
        let primary = self.config.primary(self.index).map(|s| s.id);
        self.listening.to(primary);
    }

    #[cfg(test)]
    pub(crate) fn limit_log(&mut self, log_bytes: usize) {
        self.bounds.log_bytes = log_bytes;
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<Configuration> {
        &self.config
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Whose place it takes.
    #[must_use]
    pub fn index(&self) -> PrimaryIndex {
        self.index
    }

    /// Adopts a higher configuration that still names it as an heir: what was copied stays, but that all have answered was
    /// true of the old epoch only (rule 7).
    ///
    /// # Panics
    /// When the configuration is not higher or does not name this heir (a bug of the caller).
    pub fn adopt(&mut self, config: Arc<Configuration>) {
        assert!(
            config.epoch > self.config.epoch,
            "only a higher configuration is adopted"
        );
        assert_eq!(config.inherits(self.id), Some(self.index), "still an heir");
        self.config = config;
        self.begin_epoch();
    }

    /// What it reports to the coordinator.
    #[must_use]
    pub fn condition(&self) -> Condition {
        if self.failed {
            return Condition::Missing;
        }
        let (done, total) = self.copied.as_ref().map_or((0, 0), |c| {
            let done = c.added.iter().filter(|&&a| a).count();
            (done as u64, c.added.len() as u64)
        });
        // What comes after its log is in every code; and it has what they have, or nearly.
        let start = self.copied.as_ref().map_or(Seq(0), |c| c.about.seq);
        let reaches_back = self.stable >= start || planted(Fault::HeirLogTooShort);
        if self.is_ready() && reaches_back && self.seq >= self.stable && self.unanswered.is_empty()
        {
            Condition::Complete
        } else {
            Condition::Learning { done, total }
        }
    }

    /// The bytes of the pages that it was sent.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        self.copied.as_ref().map_or(0, |c| c.bytes)
    }

    fn has_snapshot(&self) -> bool {
        let whole = |c: &Copied| c.added.iter().all(|&a| a);
        self.copied.as_ref().is_some_and(whole)
    }

    /// Looks at the clock and counts silence (rule 56). To be called by a timer of the process's own, T_h / 4 to T_h
    /// apart; returns whether there is something new to complain about.
    pub fn tick(&mut self, now: Time) -> bool {
        let timing = self.config.timing;
        self.listening.look(now, &timing)
    }

    /// The primary, if it had not been heard of for T_c at the last [`tick`](Self::tick), for the next report (rule 22).
    #[must_use]
    pub fn complaints(&self) -> Vec<MemberId> {
        self.listening.complaints(&self.config.timing)
    }

    /// Whom to ask what now: once it has its structure, every fused member in sync must have answered in this epoch, so
    /// that it is known to reach them.
    pub fn requests(&mut self, now: Time) -> Vec<(MemberId, RecoveryRequest)> {
        if !self.is_ready() {
            return Vec::new();
        }
        let mut asked = Vec::new();
        for (&id, at) in self.unanswered.iter_mut().filter(|(_, at)| **at <= now) {
            *at = now.after(ASK_AGAIN);
            self.listening.also_to(id);
            asked.push((id, RecoveryRequest::Vector));
        }
        asked
    }

    /// When to look for requests again; [`Time::NEVER`] when there are none to come.
    #[must_use]
    pub fn wake_at(&self) -> Time {
        let next = self.unanswered.values().copied().min();
        next.filter(|_| self.is_ready()).unwrap_or(Time::NEVER)
    }

    /// A fused member has answered what it was asked in the route's epoch.
    pub fn on_reply(&mut self, route: Route) {
        if route.epoch == self.config.epoch {
            self.unanswered.remove(&route.to);
            self.listening.no_more_to(route.to);
        }
    }

    /// Takes changes of the primary. It gives no lease: nobody has to ask it before the primary is replaced.
    ///
    /// # Errors
    /// [`Refusal`] when the epochs differ, the sender is not the primary that it copies, it has failed, it holds too much,
    /// or the bytes do not parse.
    pub fn on_replicate(
        &mut self,
        route: Route,
        message: &Replicate,
        now: Time,
    ) -> Result<Ack, Refusal> {
        self.check_primary(route, message.index)?;
        self.listening.hear(route.from, now);
        self.begin(message.join)?;
        let has = self.copied.as_ref().map_or(0, |c| c.count);
        if message.changes.first > self.seq.next() || message.taken > has {
            // It has acknowledged more than it has: it was set back (rule 63).
            self.failed = true;
            return Err(Refusal::NotAllowed);
        }
        self.let_go(message.stable);
        let full = self.log.bytes() + message.changes.bytes.len() > self.bounds.log_bytes;
        if full && self.log.bytes() > 0 {
            // The primary's log fills in turn, and it complains: the move is given up.
            return Err(Refusal::Busy);
        }
        for (seq, change) in message.changes.unpack()? {
            let next = self.seq.next();
            if seq < next {
                continue;
            }
            if seq > next {
                break;
            }
            let taken = match &mut self.data {
                Data::Pages(pages) | Data::Building(pages, _) => {
                    add_to_pages(pages, &change, xor).map_err(FollowError::from)
                }
                Data::Following(follower) => follower.follow(&change),
            };
            if taken.is_err() {
                // It would be refused for ever: leave, so that the move ends (rule 21).
                self.failed = true;
                return Err(Refusal::Malformed);
            }
            self.log.push(change);
            self.seq = seq;
        }
        self.let_go(message.stable);
        Ok(Ack {
            seq: self.seq,
            sent_at: message.sent_at,
            number: message.number,
            full: None,
        })
    }

    /// All have the changes up to `stable`; who builds a structure has yet to follow those after its copy.
    fn let_go(&mut self, stable: Seq) {
        self.stable = self.stable.max(stable);
        let kept = match self.data {
            Data::Building(_, from) => from,
            _ => self.seq,
        };
        self.log.drop_to(self.stable.min(self.seq).min(kept));
    }

    /// Takes one chunk of the primary's snapshot; answers once it is added.
    ///
    /// # Errors
    /// As [`on_replicate`](Self::on_replicate), and [`Refusal::NotAllowed`] when the chunk is of another snapshot.
    pub fn on_chunk(&mut self, route: Route, chunk: &Chunk, now: Time) -> Result<(), Refusal> {
        self.check_primary(route, chunk.index)?;
        self.listening.hear(route.from, now);
        self.begin(Some(chunk.join))?;
        let copied = self.copied.as_mut().ok_or(Refusal::NotAllowed)?;
        let added = copied.added.get_mut(chunk.number as usize);
        let added = added.ok_or(Refusal::Malformed)?;
        if *added {
            return Ok(());
        }
        for (id, page) in &chunk.pages.pages {
            id.check(page.len()).map_err(|_| Refusal::Malformed)?;
        }
        let Data::Pages(pages) = &mut self.data else {
            return Err(Refusal::NotAllowed);
        };
        *added = true;
        copied.count += 1;
        for (id, page) in &chunk.pages.pages {
            copied.bytes += page.len() as u64;
            xor(pages.get_mut(*id), page);
        }
        Ok(())
    }

    fn check_primary(&self, route: Route, index: PrimaryIndex) -> Result<(), Refusal> {
        check_route(&self.config, self.id, route)?;
        let seat = self.config.primary(self.index);
        let named = seat.is_some_and(|s| s.id == route.from && s.state == PrimaryState::Active);
        if index == self.index && (named || unsealed()) && !self.failed {
            Ok(())
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    /// The first message fixes the snapshot that it starts from, as at a learner (rule 19).
    fn begin(&mut self, join: Option<JoinSnapshot>) -> Result<(), Refusal> {
        match (&self.copied, join) {
            (Some(have), Some(about)) if have.about == about => Ok(()),
            (None, Some(about)) if about.chunks <= JoinSnapshot::MAX_CHUNKS => {
                self.seq = about.seq;
                self.log = ChangeLog::after(about.seq);
                self.copied = Some(Copied {
                    about,
                    added: vec![false; about.chunks as usize],
                    count: 0,
                    bytes: 0,
                });
                Ok(())
            }
            (None, Some(_)) => Err(Refusal::Malformed),
            _ => Err(Refusal::NotAllowed),
        }
    }

    /// What a structure is to be built of now, once: the whole copy as it is. Its changes go on meanwhile.
    pub fn take_copy(&mut self) -> Option<Copy> {
        if !self.has_snapshot() || self.failed {
            return None;
        }
        let Data::Pages(pages) = &mut self.data else {
            return None;
        };
        let mut pages = std::mem::take(pages);
        pages.drop_zeros();
        let copy = Copy {
            seq: self.seq,
            pages: pages.clone(),
            expected: Descriptor {
                kind: self.config.kind,
                cluster: self.config.cluster,
                index: self.index,
            },
        };
        self.data = Data::Building(pages, self.seq);
        Some(copy)
    }

    /// What [`take_copy`](Self::take_copy) gave was built. If much has come since, it is handed out again: it is to
    /// [`follow`](Built::follow) that first, where nobody waits for it. If the bytes are no structure, this heir counts as
    /// dead.
    pub fn on_built(&mut self, built: Result<Built, FollowError>) -> Option<Built> {
        let Data::Building(_, from) = &mut self.data else {
            return None;
        };
        let Ok(mut built) = built else {
            self.failed = true;
            return None;
        };
        *from = built.seq;
        let most = 4 * TRANSFER_BYTES;
        let behind = self.log.run(built.seq, self.seq, most);
        let behind = behind.expect("the log reaches back to what is being built");
        if behind.bytes.len() > FOLLOW_BYTES {
            built.changes = Some(behind);
            return Some(built);
        }
        let followed = follow_run(&mut built.follower, &mut built.seq, &behind);
        if followed.is_err() || built.seq != self.seq {
            self.failed = true;
            return None;
        }
        self.data = Data::Following(built.follower);
        None
    }

    /// Whether it has its structure, and so could be the primary.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.data, Data::Following(_)) && !self.failed
    }

    /// What it has, for the primary that it is now; `None` if it is not ready.
    pub(crate) fn into_inheritance(self) -> Option<Inheritance> {
        if self.failed {
            return None;
        }
        let Data::Following(follower) = self.data else {
            return None;
        };
        Some(Inheritance {
            follower,
            seq: self.seq,
            log: self.log,
        })
    }

    /// The last change that it has.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }
}

fn xor(onto: &mut [u8], bytes: &[u8]) {
    for (a, b) in onto.iter_mut().zip(bytes) {
        *a ^= b;
    }
}

#[cfg(test)]
mod tests;
