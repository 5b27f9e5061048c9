//! Requests that are longer than what a front keeps of one.

use super::soap::Message;

pub const MEBIBYTE: usize = 1 << 20;
const PADDING_BYTES: usize = 1 << 10;

/// A request with so many bytes more at the end of its operation.
pub fn padded(message: &Message, bytes: usize) -> String {
    let text = String::from_utf8(message.body()).expect("the recorded requests are UTF-8");
    let end = text.rfind(&format!("{}>", message.operation)).expect("it ends");
    let end = text[..end].rfind("</").expect("an end tag");
    let more = format!("<a>{}</a>", "x".repeat(PADDING_BYTES - 7));
    format!("{}{}{}", &text[..end], more.repeat(bytes / PADDING_BYTES), &text[end..])
}
