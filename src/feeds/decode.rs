//! Bytes to text: which encoding a document is really in.
//!
//! Believes, in this order: a byte order mark; the pattern of the first bytes; bytes that are valid UTF-8; the media type's
//! `charset`; the document's own declaration; and last what the bytes look like. Knows nothing of feeds beyond where a
//! declaration stands, and never fails: a byte that fits nowhere becomes U+FFFD.

use std::borrow::Cow;
use std::io::Read;

use chardetng::EncodingDetector;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

mod pages;

/// Most bytes that an unannounced gzip or zlib body may unfold to.
pub const MAX_INFLATED_BYTES: u64 = 8 << 20;
/// How far into a document its declaration may end, in bytes.
const DECLARATION_WITHIN_BYTES: usize = 1024;
/// How many bytes the guess looks at.
const GUESS_BYTES: usize = 64 << 10;

/// The text of a document.
///
/// `body` is what came over the wire, `content_type` the header of that name. Borrows where the bytes are UTF-8 already.
/// A body that is gzip or zlib though nobody said so is inflated first, up to [`MAX_INFLATED_BYTES`].
pub fn decode<'a>(body: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    match inflate(body) {
        Some(inflated) => Cow::Owned(to_text(&inflated, content_type).0.into_owned()),
        None => to_text(body, content_type).0,
    }
}

/// The name of the encoding that [`decode`] reads the body in: a WHATWG name, `UTF-32BE` or `UTF-32LE`, or the name of an
/// old code page.
pub fn encoding_name(body: &[u8], content_type: Option<&str>) -> &'static str {
    match inflate(body) {
        Some(inflated) => to_text(&inflated, content_type).1,
        None => to_text(body, content_type).1,
    }
}

/// The content of gzip (RFC 1952) and zlib (RFC 1950) bytes, as far as it can be read.
fn inflate(body: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    match body {
        [0x1f, 0x8b, 8, ..] => {
            // An error after the first bytes is a cut-off body: what came before it counts.
            let _ = flate2::read::MultiGzDecoder::new(body).take(MAX_INFLATED_BYTES).read_to_end(&mut inflated);
        }
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            let _ = flate2::read::ZlibDecoder::new(body).take(MAX_INFLATED_BYTES).read_to_end(&mut inflated);
        }
        _ => return None,
    }
    (!inflated.is_empty()).then_some(inflated)
}

fn to_text<'a>(body: &'a [u8], content_type: Option<&str>) -> (Cow<'a, str>, &'static str) {
    if let Some((text, name)) = by_first_bytes(body) {
        return (text, name);
    }
    let declared = charset(content_type).or_else(|| declaration(body));
    let (declared, page) = match declared {
        Some(Declared::Web(encoding)) => (Some(encoding), None),
        Some(Declared::Old(page)) => (None, Some(page)),
        None => (None, None),
    };
    if let Ok(text) = std::str::from_utf8(body) {
        let escapes = declared.is_some_and(|encoding| encoding == encoding_rs::ISO_2022_JP);
        if !(escapes && body.contains(&0x1b) || is_short_legacy(declared, text)) {
            return (Cow::Borrowed(text), UTF_8.name());
        }
    }
    if let Some(page) = page {
        return (Cow::Owned(page.decode(body)), page.name);
    }
    if let Some(encoding) = declared.filter(|encoding| *encoding != UTF_8) {
        let (text, faults) = encoding.decode_without_bom_handling(body);
        if !faults {
            return (text, encoding.name());
        }
        // Declared, but not in it: unless the bytes clearly are something else, a few faults do not change what it is.
        let guess = guess(body);
        if guess == encoding || !guess.decode_without_bom_handling(body).1 {
            return (guess.decode_without_bom_handling(body).0, guess.name());
        }
        return (text, encoding.name());
    }
    if is_mostly_utf8(body) {
        return (Cow::Owned(mixed(body)), UTF_8.name());
    }
    // Declared UTF-8 or nothing, and not in it.
    let guess = guess(body);
    (guess.decode_without_bom_handling(body).0, guess.name())
}

/// Reads a byte order mark, or the zeros that UTF-16 and UTF-32 have beside a `<`, `{` or white space (XML 1.0,
/// appendix F).
fn by_first_bytes(body: &[u8]) -> Option<(Cow<'_, str>, &'static str)> {
    let utf16 = |encoding: &'static Encoding, bytes| (encoding.decode_without_bom_handling(bytes).0, encoding.name());
    Some(match body {
        [0, 0, 0xfe, 0xff, rest @ ..] | rest @ [0, 0, 0, b'<' | b'{', ..] => {
            (utf32(rest, u32::from_be_bytes), "UTF-32BE")
        }
        [0xff, 0xfe, 0, 0, rest @ ..] | rest @ [b'<' | b'{', 0, 0, 0, ..] => {
            (utf32(rest, u32::from_le_bytes), "UTF-32LE")
        }
        [0xfe, 0xff, rest @ ..] | rest @ [0, b'<' | b'{' | b'\n' | b' ' | b'\r', ..] => utf16(UTF_16BE, rest),
        [0xff, 0xfe, rest @ ..] | rest @ [b'<' | b'{' | b'\n' | b' ' | b'\r', 0, ..] => utf16(UTF_16LE, rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => match std::str::from_utf8(rest) {
            Ok(text) => (Cow::Borrowed(text), UTF_8.name()),
            Err(_) => (Cow::Owned(mixed(rest)), UTF_8.name()),
        },
        _ => return None,
    })
}

fn utf32(bytes: &[u8], from: fn([u8; 4]) -> u32) -> Cow<'static, str> {
    let characters = bytes.chunks_exact(4).map(|four| {
        let code = four.try_into().map_or(0xfffd, from);
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    });
    Cow::Owned(characters.collect())
}

/// An encoding as it is declared.
#[derive(Clone, Copy)]
enum Declared {
    /// One that browsers know.
    Web(&'static Encoding),
    /// One that they do not.
    Old(&'static pages::Page),
}

/// The encoding that the media type's `charset` names.
fn charset(content_type: Option<&str>) -> Option<Declared> {
    let parameters = content_type?.split_once(';')?.1;
    let mut named = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let (_, value) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    encoding(value)
}

/// The encoding that the document declares at its beginning, as XML or as HTML does.
fn declaration(body: &[u8]) -> Option<Declared> {
    let head = &body[..body.len().min(DECLARATION_WITHIN_BYTES)];
    let head: String = head.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let start = head.find("<?xml");
    let xml = start.and_then(|at| head.get(at..)).map(|from| from.split("?>").next().unwrap_or(from));
    let named = xml.and_then(|declaration| after(declaration, "encoding"));
    let named = named.or_else(|| {
        let is_page = head.to_ascii_lowercase().contains("<html");
        after(&head, "charset").filter(|_| is_page)
    });
    encoding(named?)
}

/// The quoted or bare value of `name=`.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.split_once(name)?.1.trim_start().strip_prefix('=')?.trim_start();
    let rest = rest.trim_start_matches(['"', '\'']);
    rest.split(['"', '\'', ' ', '>', ';', '?']).next()
}

/// The encoding of that name, also as it is spelt outside of the web's standard.
fn encoding(name: &str) -> Option<Declared> {
    let name = name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    let dashed = name.to_ascii_lowercase().replace('_', "-");
    let other = match dashed.as_str() {
        // The last ones would have been known by the pattern of their bytes: what is left is a declaration that somebody
        // forgot to change when converting.
        "u8" | "utf" | "utf8-ucs2" | "utf-8-sig" | "unicode-1-1-utf-8" | "utf-16" | "utf16" | "u16" | "utf-16le"
        | "utf-16be" | "utf-32" | "utf32" | "u32" | "ucs-2" | "unicode" => "utf-8",
        "latin-1" | "latin" | "l1" | "8859" | "iso8859" | "cp819" => "iso-8859-1",
        "cp1250" | "cp1251" | "cp1252" | "cp1253" | "cp1254" | "cp1255" | "cp1256" | "cp1257" | "cp1258" => {
            return Encoding::for_label(format!("windows-{}", &dashed[2..]).as_bytes()).map(Declared::Web);
        }
        "936" | "cp936" | "ms936" | "eucgb2312-cn" | "euc-cn" | "euccn" | "gb2312-1980" | "gb2312-80" => "gbk",
        "949" | "cp949" | "ms949" | "uhc" | "ks-c-5601" | "euckr" => "euc-kr",
        "950" | "cp950" | "big5-tw" | "csbig5" => "big5",
        "932" | "cp932" | "ms932" | "mskanji" | "ms-kanji" | "sjis" | "s-jis" | "shiftjis" => "shift_jis",
        "eucjp" | "ujis" | "u-jis" => "euc-jp",
        "koi8" => "koi8-r",
        "ms-cyrl" => "windows-1251",
        "macroman" | "mac-roman" => "macintosh",
        "maccyrillic" | "mac-cyrillic" => "x-mac-cyrillic",
        other => other,
    };
    Encoding::for_label_no_replacement(name.as_bytes())
        .filter(|e| e.is_ascii_compatible() || *e == encoding_rs::ISO_2022_JP)
        .or_else(|| Encoding::for_label_no_replacement(other.as_bytes()))
        .map(Declared::Web)
        .or_else(|| pages::page(&dashed).map(Declared::Old))
}

/// Whether a text is valid UTF-8 by accident: declared in an encoding of several bytes, readable in it, and with too few
/// characters outside of ASCII to be sure.
fn is_short_legacy(declared: Option<&'static Encoding>, text: &str) -> bool {
    let Some(declared) = declared.filter(|encoding| *encoding != UTF_8 && !encoding.is_single_byte()) else {
        return false;
    };
    let foreign = text.chars().filter(|c| !c.is_ascii()).take(4).count();
    (1..=3).contains(&foreign) && !declared.decode_without_bom_handling(text.as_bytes()).1
}

/// Whether the bytes hold more characters of UTF-8 than bytes that are none.
fn is_mostly_utf8(body: &[u8]) -> bool {
    let (mut characters, mut faults) = (0usize, 0usize);
    for chunk in body.utf8_chunks() {
        characters += chunk.valid().bytes().filter(|byte| *byte >= 0xc0).count();
        faults += chunk.invalid().len();
    }
    characters > faults
}

/// UTF-8 with stray bytes, each of which is read as Windows-1252: what pasting from elsewhere leaves behind.
fn mixed(body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len() + body.len() / 16);
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.push_str(&WINDOWS_1252.decode_without_bom_handling(chunk.invalid()).0);
    }
    text
}

/// What the bytes look like, as a browser would guess.
fn guess(body: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new();
    // Markup says nothing of the language.
    let head = &body[..body.len().min(GUESS_BYTES)];
    let foreign = head.iter().position(|byte| !byte.is_ascii()).unwrap_or(0);
    let _ = detector.feed(&head[foreign.saturating_sub(1)..], true);
    detector.guess(None, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], content_type: Option<&str>, expected: &str) {
        assert_eq!(decode(body, content_type), expected, "{:?} {content_type:?}", String::from_utf8_lossy(body));
    }

    #[test]
    fn marks_and_patterns() {
        check(b"\xef\xbb\xbf<a>", None, "<a>");
        check(b"\xff\xfe<\0a\0>\0", Some("text/xml; charset=utf-8"), "<a>");
        check(b"\xfe\xff\0<\0a\0>", None, "<a>");
        check(b"<\0a\0>\0", None, "<a>");
        check(b"\0<\0a\0>", None, "<a>");
        check(b"\0\0\xfe\xff\0\0\0<\0\0\0a", None, "<a");
        check(b"<\0\0\0a\0\0\0", None, "<a");
        check(b"", None, "");
    }

    #[test]
    fn declared_encodings() {
        check(b"<a>caf\xe9", Some("text/xml; charset=\"ISO-8859-1\""), "<a>café");
        check(
            b"<?xml version='1.0' encoding='windows-1251'?>\xcf\xf0",
            None,
            "<?xml version='1.0' encoding='windows-1251'?>Пр",
        );
        check(b"<?xml version='1.0' encoding = 'koi8_r'?>\xf0", None, "<?xml version='1.0' encoding = 'koi8_r'?>П");
        check(b"<?xml version='1.0' encoding='cp850'?>\x81", None, "<?xml version='1.0' encoding='cp850'?>ü");
        check(b"<a>\x8a", Some("text/xml; charset=macroman"), "<a>ä");
        check(b"<html><meta charset=iso-8859-2>\xb1", None, "<html><meta charset=iso-8859-2>ą");
    }

    #[test]
    fn wrong_declarations() {
        let utf8 = "<?xml version='1.0' encoding='ISO-8859-1'?>é – 테스트";
        check(utf8.as_bytes(), Some("text/xml; charset=us-ascii"), utf8);
        check(b"<?xml version='1.0' encoding='utf-8'?>caf\xe9", None, "<?xml version='1.0' encoding='utf-8'?>café");
        check("<?xml encoding='utf-16'?>é".as_bytes(), None, "<?xml encoding='utf-16'?>é");
        check(b"gr\xc3\xbc\xc3\x9fe, it\x92s", Some("text/xml; charset=utf-8"), "grüße, it’s");
        check(b"<a>nothing said</a> \xe9", Some("text/xml; charset=bogus"), "<a>nothing said</a> é");
    }

    #[test]
    fn unannounced_compression_is_bounded() {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![b' '; 1 << 20];
        for _ in 0..20 {
            gzip.write_all(&zeros).expect("memory takes it");
        }
        let bomb = gzip.finish().expect("memory takes it");
        assert_eq!(decode(&bomb, None).len() as u64, MAX_INFLATED_BYTES);
        assert!(decode(&bomb[..bomb.len() / 2], None).len() > 1 << 20, "what came before the cut is kept");
    }
}
