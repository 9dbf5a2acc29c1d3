//! Regions that end, or begin, where memory that cannot be touched begins, or ends.

use std::{ptr, slice};

/// At which end of the region the next byte is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Start,
    End,
}

/// Bytes in pages of their own, between two pages without any permission.
pub(crate) struct Guarded {
    pages: *mut u8,
    pages_len: usize,
    start: *mut u8,
    bytes: usize,
}

impl Guarded {
    /// A copy of `contents`, flush with a guard page at one edge.
    pub(crate) fn new(contents: &[u8], edge: Edge) -> Self {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).expect("pages have a size");
        let bytes = contents.len();
        let inner = bytes.next_multiple_of(page).max(page);
        let pages_len = inner + 2 * page;
        let (access, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping wherever the system likes; the inner part of it is made writable, and it is ours.
        let (pages, start) = unsafe {
            let pages = libc::mmap(ptr::null_mut(), pages_len, access, flags, -1, 0);
            assert_ne!(pages, libc::MAP_FAILED);
            let pages = pages.cast::<u8>();
            let writable = libc::PROT_READ | libc::PROT_WRITE;
            assert_eq!(libc::mprotect(pages.add(page).cast(), inner, writable), 0);
            let displacement = if edge == Edge::End { inner - bytes } else { 0 };
            (pages, pages.add(page + displacement))
        };
        let mut guarded = Self {
            pages,
            pages_len,
            start,
            bytes,
        };
        guarded.as_mut().copy_from_slice(contents);
        guarded
    }
}

impl AsRef<[u8]> for Guarded {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: so many readable bytes of our own mapping, zeroed by the system or written.
        unsafe { slice::from_raw_parts(self.start, self.bytes) }
    }
}

impl AsMut<[u8]> for Guarded {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_ref`, and writable, borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, unmapped once.
        let status = unsafe { libc::munmap(self.pages.cast(), self.pages_len) };
        assert_eq!(status, 0);
    }
}
