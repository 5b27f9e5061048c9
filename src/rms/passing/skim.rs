//! Reads what is simple in a request, tag by tag instead of place by place. Most of a message is that; it means the same
//! as the steps, which have the rest.

use super::Passing;
use super::seek::{comment_bytes, is_end_of_name, near, tag_end};
use crate::rms::malformed::Malformed;
use memchr::memchr;

impl Passing {
    /// The text, tags and comments at the beginning of these bytes, up to the last `<` before which each tag is whole: an
    /// attribute has no `<` in it, so each one begins a tag. What is not so simple is left to the steps.
    pub(super) fn skim<'b>(&mut self, rest: &'b [u8]) -> Result<&'b [u8], Malformed> {
        let mut tag = memchr(b'<', rest).unwrap_or(rest.len());
        while let Some((first, after)) = rest.get(tag + 1..).and_then(<[u8]>::split_first) {
            let comment = if *first == b'!' { comment_bytes(after) } else { 0 };
            let Some(next) = near(b'<', after.get(comment..).unwrap_or_default()) else { break };
            let next = comment + next;
            let until_next = after.get(..next).unwrap_or(after);
            let is_simple = match first {
                b'!' => comment > 0,
                b'?' => false,
                b'/' => self.skim_end_tag(tag, until_next)?,
                _ => self.skim_start_tag(tag, *first, until_next)?,
            };
            if !is_simple {
                break;
            }
            tag += 2 + next;
        }
        Ok(rest.get(..tag).unwrap_or(rest))
    }

    /// Whether these bytes, behind `</`, have a tag's end; if so it is over. `at` is where it begins in what is skimmed.
    fn skim_end_tag(&mut self, at: usize, until_next: &[u8]) -> Result<bool, Malformed> {
        if self.open.is_empty() || near(b'>', until_next).is_none() {
            return Ok(false);
        }
        self.markup_at = self.offset + at;
        self.end().map(|()| true)
    }

    /// The same for a start tag, behind `<` and the first byte of its name.
    fn skim_start_tag(&mut self, at: usize, first: u8, until_next: &[u8]) -> Result<bool, Malformed> {
        let Some((end, is_empty)) = tag_end(until_next) else { return Ok(false) };
        if self.is_in_opaque() {
            self.deeper()?;
            self.inside -= usize::from(is_empty);
            return Ok(true);
        }
        if self.open.is_empty() || !self.skim_name(first, until_next) {
            return Ok(false);
        }
        // Behind `<`, its first byte, and `>`.
        self.start(self.offset + at + 3 + end)?;
        if is_empty {
            self.open.pop();
        }
        Ok(true)
    }

    /// Whether a name is simple; then it is the one that was read last.
    fn skim_name(&mut self, first: u8, until_next: &[u8]) -> bool {
        if is_end_of_name(first) {
            return false;
        }
        self.name.begin(first);
        for byte in until_next {
            match byte {
                // The steps take it for a part of the name.
                b'"' | b'\'' => return false,
                b':' => self.name.clear(),
                byte if is_end_of_name(*byte) => return true,
                byte => self.name.push(&[*byte]),
            }
        }
        false
    }
}
