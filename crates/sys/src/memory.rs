//! Advice about memory.
#![allow(unsafe_code)]

/// An empty buffer with room for `capacity` octets, in large pages where the kernel has them: for many look-ups in a large
/// buffer, whose time goes into finding the small pages.
pub fn large_buffer(capacity: usize) -> Vec<u8> {
    let mut buffer: Vec<u8> = Vec::with_capacity(capacity);
    let start = buffer.as_mut_ptr() as usize;
    let page = 4096;
    let first = start.next_multiple_of(page);
    let end = (start + buffer.capacity()) / page * page;
    if end > first {
        // SAFETY: the pages are within the buffer's own allocation, and this advice changes nothing of what is in them.
        // Where it is not taken there is nothing to be done.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_buffer_like_any_other() {
        for capacity in [0, 1, 4096, 3 << 20] {
            let mut buffer = large_buffer(capacity);
            assert!(buffer.is_empty() && buffer.capacity() >= capacity);
            buffer.resize(capacity, 7);
            assert!(buffer.iter().all(|&octet| octet == 7));
        }
    }
}
