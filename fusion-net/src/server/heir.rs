//! The heir of a primary that is being moved (PROTOCOL rule 36).

use super::host::Host;
use super::sound::Sound;
use crate::clock;
use fusion_core::config::Configuration;
use fusion_core::heir::Heir;
use fusion_core::id::MemberId;
use fusion_core::message::{Ack, Chunk, Condition, Refusal, Replicate, Route};
use fusion_core::recovery::Image;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// An heir under construction.
#[derive(Debug)]
pub(crate) struct HeirCell {
    /// `None` when it has become the primary.
    heir: Sound<Option<Heir>>,
}

impl HeirCell {
    pub(crate) fn start(config: Arc<Configuration>, id: MemberId) -> Arc<HeirCell> {
        let heir = Heir::create(config, id);
        Arc::new(HeirCell {
            heir: Sound::new(Some(heir)),
        })
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.heir.is_broken()
    }

    pub(crate) fn has_image(&self) -> bool {
        let heir = self.heir.lock();
        heir.is_ok_and(|heir| heir.as_ref().is_some_and(Heir::has_image))
    }

    pub(crate) fn adopt(&self, config: Arc<Configuration>) {
        if let Ok(mut heir) = self.heir.lock()
            && let Some(heir) = heir.as_mut()
        {
            heir.adopt(config);
        }
    }

    /// The structure: this heir is the primary now.
    pub(crate) fn take_image(&self) -> Option<Image> {
        self.heir.lock().ok()?.take().and_then(Heir::into_image)
    }

    /// What it reports beside figures (rule 22).
    pub(crate) fn condition(&self) -> (Condition, Vec<MemberId>) {
        if let Ok(heir) = self.heir.lock()
            && let Some(heir) = heir.as_ref()
        {
            return (heir.condition(), heir.complaints());
        }
        (Condition::Missing, Vec::new())
    }

    /// Looks at the clock (rule 56); returns whether it has something new to complain about.
    pub(crate) fn look(&self) -> bool {
        let heir = self.heir.lock();
        heir.is_ok_and(|mut heir| heir.as_mut().is_some_and(|heir| heir.tick(clock::now())))
    }

    /// The bytes of the pages that it was sent.
    pub(crate) fn taken_bytes(&self) -> u64 {
        let heir = self.heir.lock();
        heir.map_or(0, |heir| heir.as_ref().map_or(0, Heir::taken_bytes))
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
        // Who waited while it broke is refused, too (rule 65).
        let mut heir = self.heir.lock().map_err(|_| Refusal::NotAllowed)?;
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
                let rebuild = || Image::rebuild(copy.seq, copy.pages, copy.expected);
                let image = catch_unwind(AssertUnwindSafe(rebuild)).unwrap_or_else(|fault| {
                    // Nobody would wait for the image but its primary: the heir is broken.
                    let _held = me.heir.lock();
                    host.news.notify_one();
                    resume_unwind(fault)
                });
                if let Err(error) = &image {
                    tracing::error!(cluster = %copy.expected.cluster, %error, "a copied primary is damaged");
                }
                if let Ok(mut heir) = me.heir.lock()
                    && let Some(heir) = heir.as_mut()
                {
                    heir.on_image(image);
                }
                host.news.notify_one();
            });
        }
        result
    }
}
