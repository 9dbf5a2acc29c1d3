//! What a recovery makes.

use crate::entry::Descriptor;
use crate::id::Seq;
use crate::page::PageTable;
use crate::structure::{RebuildError, Structure};

/// A lost primary as it was, ready to serve again.
#[derive(Debug)]
pub struct Image {
    seq: Seq,
    /// `None`: nothing of it, not even its descriptor, had come to any fused member.
    structure: Option<Structure>,
}

impl Image {
    /// Builds the structure and its indexes from the recovered pages. Takes time linear in the number of elements.
    ///
    /// # Errors
    /// [`RebuildError`] when the pages are not those of the expected structure, which a correct recovery excludes.
    pub fn rebuild(
        seq: Seq,
        pages: PageTable,
        expected: Descriptor,
    ) -> Result<Image, RebuildError> {
        let structure = if seq == Seq(0) {
            None
        } else {
            let structure = Structure::rebuild(pages)?;
            structure.check_descriptor(expected)?;
            Some(structure)
        };
        Ok(Image { seq, structure })
    }

    /// The last change that it includes.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The structure; `None` when the primary died before anything of it was safe, and so is to be started empty.
    #[must_use]
    pub fn into_structure(self) -> Option<Structure> {
        self.structure
    }
}
