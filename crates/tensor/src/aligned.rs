//! Memory of whole pages, so aligned to cache lines: a vector that crosses the border of two lines costs two accesses.

use std::alloc::{Layout, handle_alloc_error};

use memmap2::MmapMut;

/// The size of a huge page of x86-64 and aarch64, in bytes.
const HUGE_PAGE: usize = 2 << 20;

/// A buffer of `f32` that grows but never shrinks.
#[derive(Debug, Default)]
pub(crate) struct AlignedBuffer {
    /// `None` while the buffer is empty.
    pages: Option<MmapMut>,
    len: usize,
}

impl AlignedBuffer {
    /// Sets the length; the values are unspecified.
    pub(crate) fn resize(&mut self, len: usize) -> &mut [f32] {
        let n_bytes = len.saturating_mul(size_of::<f32>());
        if self.pages.as_ref().is_none_or(|pages| pages.len() < n_bytes) {
            // The old pages are given back before there are new ones.
            self.pages = None;
            self.pages = (n_bytes > 0).then(|| zeroed_pages(n_bytes));
        }
        self.len = len;
        self.pages.as_mut().map_or(&mut [], |pages| &mut bytemuck::cast_slice_mut(&mut pages[..])[..len])
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        self.pages.as_ref().map_or(&[], |pages| &bytemuck::cast_slice(&pages[..])[..self.len])
    }
}

/// Pages of at least `n_bytes`. The system hands them out when they are first written, so each is near the thread that uses it.
///
/// A tile is written to many parts of a buffer in turn, which are pages apart. Some processors keep the addresses of 16 pages for
/// writing, and in a virtual machine each other address is looked up in two tables; of huge pages, 16 are enough.
fn zeroed_pages(n_bytes: usize) -> MmapMut {
    let whole = if n_bytes < HUGE_PAGE { Some(n_bytes) } else { n_bytes.checked_next_multiple_of(HUGE_PAGE) };
    let Some(pages) = whole.and_then(|n_bytes| MmapMut::map_anon(n_bytes).ok()) else {
        missing_memory(n_bytes);
    };
    // A system without huge pages says no, and its usual ones do as well.
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::HugePage);
    pages
}

/// Ends the program as a `Vec` does that the system has no memory for, not with a panic.
fn missing_memory(n_bytes: usize) -> ! {
    handle_alloc_error(Layout::array::<u8>(n_bytes).unwrap_or(Layout::new::<u8>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_and_is_aligned() {
        let mut buffer = AlignedBuffer::default();
        assert!(buffer.as_slice().is_empty() && buffer.resize(0).is_empty());
        for len in [1, 1000, 3 << 19, (3 << 19) + 1, 5] {
            let numbers = buffer.resize(len);
            numbers.fill(1.0);
            assert_eq!((numbers.len(), numbers.as_ptr() as usize % 64), (len, 0));
            assert_eq!(buffer.as_slice(), vec![1.0; len]);
        }
    }
}
