//! Frozen pages: a snapshot that is handed out piece by piece.

use crate::message::Pages;
use crate::page::{PageId, PageTable};
use bytes::Bytes;

/// The pages of a snapshot in a fixed order, numbered from 0.
#[derive(Clone, Debug)]
pub struct FrozenPages {
    table: PageTable,
    ids: Vec<PageId>,
}

impl FrozenPages {
    /// Freezes a cheap clone of a page table.
    #[must_use]
    pub fn new(table: PageTable) -> Self {
        let ids = table.iter().map(|(id, _)| id).collect();
        FrozenPages { table, ids }
    }

    /// How many pages.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    /// The bytes that it keeps in memory: of pages that `live`, which it was frozen from, has written or let go since
    /// (rule 67). Takes time linear in the number of pages.
    #[must_use]
    pub fn kept_bytes(&self, live: &PageTable) -> u64 {
        self.table.bytes_apart_from(live)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Pages `from..from + count`, cut short after about `max_bytes` but never to nothing.
    #[must_use]
    pub fn read(&self, from: u64, count: u32, max_bytes: usize) -> Pages {
        let start = usize::try_from(from)
            .unwrap_or(usize::MAX)
            .min(self.ids.len());
        let mut bytes = 0;
        let mut pages = Vec::new();
        for &id in self.ids[start..].iter().take(count as usize) {
            let page = self.table.get(id).unwrap_or_default();
            if !pages.is_empty() && bytes + page.len() > max_bytes {
                break;
            }
            bytes += page.len();
            pages.push((id, Bytes::copy_from_slice(page)));
        }
        Pages { pages }
    }

    /// Splits the pages into chunks of about `chunk_bytes`; answers where each begins.
    #[must_use]
    pub fn chunk_starts(&self, chunk_bytes: usize) -> Vec<u64> {
        let mut starts = Vec::new();
        let mut bytes = usize::MAX;
        for (i, &id) in self.ids.iter().enumerate() {
            let page = self.table.get(id).unwrap_or_default().len();
            if bytes.saturating_add(page) > chunk_bytes {
                starts.push(i as u64);
                bytes = 0;
            }
            bytes += page;
        }
        starts
    }
}
