//! The member that takes an active primary's place on another server (PROTOCOL rule 36): a copy of its pages, made while
//! it serves.
//!
//! It learns as a fused learner does: the pages of one snapshot, each added once, and the changes after it, in order
//! among themselves; XOR makes the order between the two no matter. When the primary has stopped, and all its changes
//! are here, the structure is rebuilt from the pages, and only then is the heir ready.

use crate::change::add_to_pages;
use crate::config::{Configuration, PrimaryState};
use crate::entry::Descriptor;
use crate::fault::{Fault, planted};
use crate::id::{MemberId, PrimaryIndex, Seq};
use crate::listening::Listening;
use crate::message::{Ack, Chunk, Condition, JoinSnapshot, Refusal, Replicate, Route};
use crate::page::PageTable;
use crate::primary::{check_route, unsealed};
use crate::recovery::Image;
use crate::structure::RebuildError;
use crate::time::Time;
use std::sync::Arc;

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

/// What is to be made into a structure, where it may take its time: [`Image::rebuild`] takes all three.
#[derive(Debug)]
pub struct Copy {
    /// The last change that the pages include.
    pub seq: Seq,
    /// The primary's pages.
    pub pages: PageTable,
    /// What they must be.
    pub expected: Descriptor,
}

/// The image, as far as it is made.
#[derive(Debug)]
enum Building {
    Not,
    /// Somebody makes it.
    Taken,
    Built(Box<Image>),
}

/// An heir.
#[derive(Debug)]
pub struct Heir {
    config: Arc<Configuration>,
    id: MemberId,
    index: PrimaryIndex,
    pages: PageTable,
    copied: Option<Copied>,
    seq: Seq,
    /// The primary said in this epoch that it has stopped after this change.
    last: Option<Seq>,
    building: Building,
    /// What it was sent is no copy of a structure: it counts as dead.
    failed: bool,
    listening: Listening,
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
            pages: PageTable::new(),
            copied: None,
            seq: Seq(0),
            last: None,
            building: Building::Not,
            failed: false,
            listening: Listening::default(),
        };
        heir.listen();
        heir
    }

    fn listen(&mut self) {
        let primary = self.config.primary(self.index).map(|s| s.id);
        self.listening.to(primary);
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<Configuration> {
        &self.config
    }

    /// Whose place it takes.
    #[must_use]
    pub fn index(&self) -> PrimaryIndex {
        self.index
    }

    /// Adopts a higher configuration that still names it as an heir: what was copied stays, but that the primary has
    /// stopped was true of the old epoch only (rules 7, 36).
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
        self.last = None;
        self.building = Building::Not;
        self.listen();
    }

    /// What it reports to the coordinator.
    #[must_use]
    pub fn condition(&self) -> Condition {
        if self.failed {
            return Condition::Missing;
        }
        if let Building::Built(image) = &self.building {
            return Condition::Ready { seq: image.seq() };
        }
        let (done, total) = self.copied.as_ref().map_or((0, 0), |c| {
            let done = c.added.iter().filter(|&&a| a).count();
            (done as u64, c.added.len() as u64)
        });
        if self.has_snapshot() {
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

    /// Takes changes of the primary. It gives no lease: nobody has to ask it before the primary is replaced.
    ///
    /// # Errors
    /// [`Refusal`] when the epochs differ, the sender is not the primary that it copies, it has failed, or the bytes
    /// do not parse.
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
        for (seq, change) in message.changes.unpack()? {
            let next = self.seq.next();
            if seq < next {
                continue;
            }
            if seq > next {
                break;
            }
            if add_to_pages(&mut self.pages, &change, xor).is_err() {
                // It would be refused for ever: leave, so that the move ends (rule 21).
                self.failed = true;
                return Err(Refusal::Malformed);
            }
            self.seq = seq;
        }
        if message.last.is_some() {
            self.last = message.last;
        }
        Ok(Ack {
            seq: self.seq,
            sent_at: message.sent_at,
            number: message.number,
        })
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
        *added = true;
        copied.count += 1;
        for (id, page) in &chunk.pages.pages {
            copied.bytes += page.len() as u64;
            xor(self.pages.get_mut(*id), page);
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

    /// What is to be rebuilt now, once: the primary has stopped, and everything up to its last change is here.
    pub fn take_copy(&mut self) -> Option<Copy> {
        let whole = self.last == Some(self.seq) && self.has_snapshot() && !self.failed;
        if !whole || !matches!(self.building, Building::Not) {
            return None;
        }
        self.building = Building::Taken;
        Some(self.copy())
    }

    fn copy(&self) -> Copy {
        let mut pages = self.pages.clone();
        pages.drop_zeros();
        Copy {
            seq: self.seq,
            pages,
            expected: Descriptor {
                kind: self.config.kind,
                cluster: self.config.cluster,
                index: self.index,
            },
        }
    }

    /// What [`take_copy`](Self::take_copy) gave was rebuilt, or is no structure: then this heir counts as dead. An image
    /// from before the primary went on is of no use.
    pub fn on_image(&mut self, image: Result<Image, RebuildError>) {
        if !matches!(self.building, Building::Taken) {
            return;
        }
        match image {
            Ok(image) if Some(image.seq()) == self.last && image.seq() == self.seq => {
                self.building = Building::Built(Box::new(image));
            }
            Ok(_) => self.building = Building::Not,
            Err(_) => self.failed = true,
        }
    }

    /// Whether it could be the primary now.
    #[must_use]
    pub fn has_image(&self) -> bool {
        matches!(self.building, Building::Built(_)) || planted(Fault::HeirUnconfirmed)
    }

    /// The structure, for whom it is the primary now.
    #[must_use]
    pub fn into_image(self) -> Option<Image> {
        match self.building {
            Building::Built(image) => Some(*image),
            _ if planted(Fault::HeirUnconfirmed) => {
                let copy = self.copy();
                Image::rebuild(copy.seq, copy.pages, copy.expected).ok()
            }
            _ => None,
        }
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
