//! The heir of a primary that is being moved (PROTOCOL rule 36).

use super::host::{Host, lock};
use crate::clock;
use fusion_core::config::Configuration;
use fusion_core::heir::Heir;
use fusion_core::id::MemberId;
use fusion_core::message::{Ack, Chunk, Condition, Refusal, Replicate, Route};
use fusion_core::recovery::Image;
use std::sync::{Arc, Mutex};

/// An heir under construction.
#[derive(Debug)]
pub(crate) struct HeirCell {
    /// `None` when it has become the primary.
    heir: Mutex<Option<Heir>>,
}

impl HeirCell {
    pub(crate) fn start(config: Arc<Configuration>, id: MemberId) -> Arc<HeirCell> {
        let heir = Heir::create(config, id);
        Arc::new(HeirCell {
            heir: Mutex::new(Some(heir)),
        })
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.heir.is_poisoned()
    }

    pub(crate) fn has_image(&self) -> bool {
        lock(&self.heir).as_ref().is_some_and(Heir::has_image)
    }

    pub(crate) fn adopt(&self, config: Arc<Configuration>) {
        if let Some(heir) = lock(&self.heir).as_mut() {
            heir.adopt(config);
        }
    }

    /// The structure: this heir is the primary now.
    pub(crate) fn take_image(&self) -> Option<Image> {
        lock(&self.heir).take().and_then(Heir::into_image)
    }

    /// What it reports beside figures (rule 22).
    pub(crate) fn condition(&self) -> (Condition, Vec<MemberId>) {
        match lock(&self.heir).as_ref() {
            Some(heir) => (heir.condition(), heir.complaints()),
            None => (Condition::Missing, Vec::new()),
        }
    }

    /// Looks at the clock (rule 56); returns whether it has something new to complain about.
    pub(crate) fn look(&self) -> bool {
        let mut heir = lock(&self.heir);
        heir.as_mut().is_some_and(|heir| heir.tick(clock::now()))
    }

    /// The bytes of the pages that it was sent.
    pub(crate) fn taken_bytes(&self) -> u64 {
        lock(&self.heir).as_ref().map_or(0, Heir::taken_bytes)
    }

    pub(crate) fn replicate(
        self: &Arc<Self>,
        host: &Arc<Host>,
        route: Route,
        message: &Replicate,
    ) -> Result<Ack, Refusal> {
        self.with(host, |heir| heir.on_replicate(route, message, clock::now()))
    }

    pub(crate) fn chunk(
        self: &Arc<Self>,
        host: &Arc<Host>,
        route: Route,
        chunk: &Chunk,
    ) -> Result<(), Refusal> {
        self.with(host, |heir| heir.on_chunk(route, chunk, clock::now()))
    }

    fn with<T>(
        self: &Arc<Self>,
        host: &Arc<Host>,
        act: impl FnOnce(&mut Heir) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut heir = lock(&self.heir);
        let heir = heir.as_mut().ok_or(Refusal::NotAllowed)?;
        let before = heir.condition();
        let result = act(heir);
        let now = heir.condition();
        if before != now && matches!(now, Condition::Complete | Condition::Missing) {
            host.news.notify_one();
        }
        if let Some(copy) = heir.take_copy() {
            // The index of a large structure takes its time; other members are served meanwhile.
            let (me, host) = (Arc::clone(self), Arc::clone(host));
            tokio::task::spawn_blocking(move || {
                let image = Image::rebuild(copy.seq, copy.pages, copy.expected);
                if let Err(error) = &image {
                    tracing::error!(cluster = %copy.expected.cluster, %error, "a copied primary is damaged");
                }
                if let Some(heir) = lock(&me.heir).as_mut() {
                    heir.on_image(image);
                }
                host.news.notify_one();
            });
        }
        result
    }
}
