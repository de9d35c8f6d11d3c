use bytes::BytesMut;

/// The end of a buffer that is written to: room is made in large steps, and small pieces are stored without a call each.
pub(crate) struct Tail<'a> {
    out: &'a mut BytesMut,
    /// Where the next piece goes; what lies behind is zeros.
    at: usize,
}

impl<'a> Tail<'a> {
    /// Behind what is there and as many zeros as `prefix` says, with room for about this much.
    pub(crate) fn new(out: &'a mut BytesMut, prefix: usize, expected: usize) -> Self {
        let at = out.len() + prefix;
        out.resize(at + expected, 0);
        Self { out, at }
    }

    /// Room for this many bytes at least. Follow with [`advance`](Self::advance).
    #[inline]
    pub(crate) fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.out.len() - self.at < bytes {
            self.grow(bytes);
        }
        self.out.get_mut(self.at..).unwrap_or_default()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, bytes: usize) {
        self.out.resize(self.at + bytes + 512, 0);
    }

    /// So many bytes of the room were written.
    #[inline]
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Writes bytes as they are.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if let Some(slot) = self.room(bytes.len()).get_mut(..bytes.len()) {
            slot.copy_from_slice(bytes);
        }
        self.advance(bytes.len());
    }

    /// Writes a piece whose length the compiler knows.
    #[inline]
    pub(crate) fn put_array<const N: usize>(&mut self, bytes: &[u8; N]) {
        match self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut::<N>) {
            Some(slot) => {
                *slot = *bytes;
                self.at += N;
            }
            None => self.put_after_growing(bytes, &[]),
        }
    }

    /// Writes a piece whose length the compiler knows, and one behind it.
    #[inline]
    pub(crate) fn put_both<const N: usize>(&mut self, first: &[u8; N], second: &[u8]) {
        let rest = self.out.get_mut(self.at..).and_then(<[u8]>::split_first_chunk_mut::<N>);
        if let Some((slot, rest)) = rest
            && let Some(rest) = rest.get_mut(..second.len())
        {
            *slot = *first;
            self.at += N + second.len();
            rest.copy_from_slice(second);
            return;
        }
        self.put_after_growing(first, second);
    }

    #[cold]
    #[inline(never)]
    fn put_after_growing(&mut self, first: &[u8], second: &[u8]) {
        self.grow(first.len() + second.len());
        self.put(first);
        self.put(second);
    }

    /// Where the next piece goes.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Writes four bytes at an earlier place.
    pub(crate) fn patch(&mut self, position: usize, bytes: [u8; 4]) {
        if let Some(slot) = self.out.get_mut(position..position + 4) {
            slot.copy_from_slice(&bytes);
        }
    }

    /// Ends the buffer behind what was written.
    pub(crate) fn finish(self) {
        self.out.truncate(self.at);
    }
}
