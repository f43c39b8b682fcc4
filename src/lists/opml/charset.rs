//! From the bytes of a list to text: byte order marks, declared encodings, and files that declare the wrong one.
//!
//! Knows nothing of OPML beyond the XML declaration.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How far into a file its XML declaration may reach, in bytes.
const MAX_DECLARATION_BYTES: usize = 1024;

/// The text of a file, and what is wrong with its encoding, if anything.
///
/// A byte order mark wins, then UTF-32 and UTF-16 without one, then the declaration, then UTF-8 (XML 1.0, appendix F). Bytes that
/// are no UTF-8 in a file that says it is become the characters that Windows-1252 has there: that is what such files
/// turn out to be.
pub(super) fn to_text(bytes: &[u8]) -> (String, Option<String>) {
    if let Some((codes, from)) = utf32_of(bytes) {
        return utf32(codes, from);
    }
    let (encoding, mark_bytes, unknown) = encoding_of(bytes);
    let (text, fault) = decode(encoding, bytes.get(mark_bytes..).unwrap_or_default());
    let unknown = unknown.map(|label| format!("the encoding `{}` is not known; read as UTF-8", label.escape_debug()));
    (text, fault.or(unknown))
}

/// How the four bytes of a character are read.
type FromBytes = fn([u8; 4]) -> u32;

/// What follows the byte order mark of a file in UTF-32, and how its numbers are read; `None` for any other.
fn utf32_of(bytes: &[u8]) -> Option<(&[u8], FromBytes)> {
    match bytes {
        [0xFF, 0xFE, 0, 0, rest @ ..] | rest @ [b'<', 0, 0, 0, ..] => Some((rest, u32::from_le_bytes)),
        [0, 0, 0xFE, 0xFF, rest @ ..] | rest @ [0, 0, 0, b'<', ..] => Some((rest, u32::from_be_bytes)),
        _ => None,
    }
}

/// The encoding of a file, the bytes of its byte order mark, and the declared encoding where that is not known.
fn encoding_of(bytes: &[u8]) -> (&'static Encoding, usize, Option<String>) {
    if let Some((encoding, mark_bytes)) = Encoding::for_bom(bytes) {
        return (encoding, mark_bytes, None);
    }
    match bytes {
        [b'<' | b' ' | b'\n' | b'\r', 0, 1..=0xFF, 0, ..] => return (UTF_16LE, 0, None),
        [0, b'<' | b' ' | b'\n' | b'\r', 0, 1..=0xFF, ..] => return (UTF_16BE, 0, None),
        _ => {}
    }
    let Some(label) = declared(bytes) else { return (UTF_8, 0, None) };
    match Encoding::for_label(label.as_bytes()) {
        // The declaration itself was read as ASCII, so the file cannot be UTF-16.
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => (UTF_8, 0, None),
        Some(encoding) => (encoding, 0, None),
        None => (UTF_8, 0, Some(label)),
    }
}

/// `text` as a file with these bytes would have it; what its encoding lacks becomes character references.
pub(super) fn encode(bytes: &[u8], text: &str) -> Vec<u8> {
    let (encoding, _, _) = encoding_of(bytes);
    if encoding == UTF_16LE {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    } else if encoding == UTF_16BE {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    } else {
        encoding.encode(text).0.into_owned()
    }
}

/// How many bytes of a file gave `text`, which its text begins with; `None` where that cannot be said for sure.
pub(super) fn place(bytes: &[u8], text: &str) -> Option<usize> {
    if utf32_of(bytes).is_some() {
        return None;
    }
    let (encoding, mark_bytes, _) = encoding_of(bytes);
    let body = bytes.get(mark_bytes..)?;
    if encoding == UTF_16LE || encoding == UTF_16BE {
        return Some(mark_bytes + 2 * text.encode_utf16().count());
    }
    if encoding.is_single_byte() {
        return Some(mark_bytes + text.chars().count());
    }
    if encoding != UTF_8 {
        let (encoded, _, lacking) = encoding.encode(text);
        return (!lacking && body.starts_with(&encoded)).then_some(mark_bytes + encoded.len());
    }
    let (mut left, mut at) = (text.len(), mark_bytes);
    for chunk in body.utf8_chunks() {
        let valid = chunk.valid().len().min(left);
        (left, at) = (left - valid, at + valid);
        for &byte in chunk.invalid() {
            if left > 0 {
                left = left.checked_sub(WINDOWS_1252.decode_without_bom_handling(&[byte]).0.len())?;
                at += 1;
            }
        }
        if left == 0 {
            break;
        }
    }
    (left == 0).then_some(at)
}

fn utf32(bytes: &[u8], from: FromBytes) -> (String, Option<String>) {
    let codes = bytes.chunks_exact(4).map(|four| four.try_into().ok().and_then(|four| char::from_u32(from(four))));
    let text: String = codes.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let malformed = !bytes.len().is_multiple_of(4) || text.contains(char::REPLACEMENT_CHARACTER);
    (text, malformed.then(|| "some bytes are no UTF-32".to_owned()))
}

fn decode(encoding: &'static Encoding, bytes: &[u8]) -> (String, Option<String>) {
    if encoding != UTF_8 {
        let (text, malformed) = encoding.decode_without_bom_handling(bytes);
        let fault = malformed.then(|| format!("some bytes are no {}", encoding.name()));
        return (text.into_owned(), fault);
    }
    let mut text = String::with_capacity(bytes.len());
    let mut malformed = false;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            malformed = true;
            text.push_str(&WINDOWS_1252.decode_without_bom_handling(chunk.invalid()).0);
        }
    }
    (text, malformed.then(|| "some bytes are no UTF-8; read as Windows-1252".to_owned()))
}

/// The encoding that an XML declaration names, in a file whose ASCII characters are single bytes.
fn declared(bytes: &[u8]) -> Option<String> {
    let head = bytes.get(..bytes.len().min(MAX_DECLARATION_BYTES))?;
    let head = String::from_utf8_lossy(head);
    let declaration = head.trim_start().strip_prefix("<?xml")?;
    let declaration = &declaration[..declaration.find("?>")?];
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    Some(value[1..].split(quote).next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str, fault: bool) {
        let (text, found) = to_text(bytes);
        assert!(text.ends_with(expected), "{text:?} should end in {expected:?}");
        assert_eq!(found.is_some(), fault, "{expected}: {found:?}");
    }

    #[test]
    fn encodings_are_found() {
        check("<opml>é".as_bytes(), "<opml>é", false);
        check(b"\xEF\xBB\xBF<opml>\xC3\xA9", "<opml>é", false);
        check(b"<?xml version='1.0' encoding='ISO-8859-1'?>\xE9", "é", false);
        check(b"\n <?xml version=\"1.0\" encoding = \"koi8-r\" ?>\xC1", "а", false);
        check(b"<?xml version='1.0' encoding='Shift_JIS'?>\x83\x65", "テ", false);
        check(b"<?xml version='1.0' encoding='UTF-16'?>\xC3\xA9", "é", false);
        check(b"<?xml version='1.0' encoding='martian'?>\xC3\xA9", "é", true);
        check(b"<?xml version='1.0' encoding='UTF-8'?>\xC3\xA9 \xE9", "é é", true);
        check(b"\x93quoted\x94", "“quoted”", true);
        let utf16: Vec<u8> = "<?xml?>é".encode_utf16().flat_map(u16::to_le_bytes).collect();
        check(&utf16, "é", false);
        check(&[&[0xFF, 0xFE][..], &utf16].concat(), "é", false);
        let utf16: Vec<u8> = "<opml>é".encode_utf16().flat_map(u16::to_be_bytes).collect();
        check(&utf16, "é", false);
        check(&[&[0xFE, 0xFF][..], &utf16].concat(), "é", false);
        let utf16: Vec<u8> = "\n<?xml?>é".encode_utf16().flat_map(u16::to_le_bytes).collect();
        check(&utf16, "é", false);
        let utf32: Vec<u8> = "<opml>é".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        check(&utf32, "<opml>é", false);
        check(&[&[0xFF, 0xFE, 0, 0][..], &utf32].concat(), "<opml>é", false);
        let utf32: Vec<u8> = "<opml>é".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        check(&utf32, "<opml>é", false);
        check(&[&[0, 0, 0xFE, 0xFF][..], &utf32, &[1]].concat(), "<opml>é", true);
        check(b"", "", false);
    }
}
