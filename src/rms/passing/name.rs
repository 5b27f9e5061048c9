//! The local part of a name, which may come in pieces.

/// The local part of a name; longer ones are none that is looked for.
#[derive(Debug)]
pub(super) struct Name {
    bytes: [u8; NAME_BYTES],
    length: usize,
}

impl Default for Name {
    fn default() -> Self {
        Name { bytes: [0; NAME_BYTES], length: 0 }
    }
}

impl Name {
    /// Begins with this byte.
    pub(super) fn begin(&mut self, byte: u8) {
        self.clear();
        self.push(&[byte]);
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(free) = self.bytes.get_mut(self.length) {
                *free = *byte;
            }
            // One that is too long must not look like its beginning.
            self.length = self.length.saturating_add(1);
        }
    }

    /// Nothing, if it is too long to be kept.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(super) fn shown(&self) -> String {
        let kept = self.bytes.get(..self.length.min(NAME_BYTES)).unwrap_or_default();
        String::from_utf8_lossy(kept).into_owned()
    }
}

/// The longest name that is looked for has 23 bytes.
const NAME_BYTES: usize = 32;
