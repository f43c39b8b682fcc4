//! The names in dates: of zones, and of months in the languages of Europe.
//!
//! Knows no dates, only what a word is worth.

use super::Scan;

/// A zone in minutes east of UTC: `Z`, `+0200`, `-03:30`, `GMT+1`, `CEST`; what follows it is a remark.
pub(super) fn zone(text: &str) -> Option<i32> {
    let text = text.trim_start_matches([' ', '(', ',', '\t', '\u{a0}']);
    if text.is_empty() {
        return Some(0);
    }
    let mut scan = Scan(text);
    let name = scan.word();
    if name.eq_ignore_ascii_case("etc") && scan.skip(&['/']) {
        return zone(scan.0);
    }
    let utc = ["gmt", "utc", "ut", "z", ""].iter().any(|utc| name.eq_ignore_ascii_case(utc));
    let rest = scan.0.trim_start();
    let sign = match rest.chars().next() {
        Some('+') => 1,
        Some('-' | '\u{2212}' | '\u{2013}') => -1,
        _ => return named_zone(name),
    };
    if !utc {
        return named_zone(name).or(Some(0));
    }
    let mut scan = Scan(rest.get(rest.chars().next()?.len_utf8()..)?.trim_start_matches(['+', '-']));
    let digits = scan.0.bytes().take_while(u8::is_ascii_digit).count();
    let (hours, minutes) = match digits {
        1 | 2 => {
            let hours = scan.digits(1, 2)?;
            (hours, if scan.skip(&[':', '.']) { scan.digits(1, 2)? } else { 0 })
        }
        3 => (scan.digits(1, 1)?, scan.digits(2, 2)?),
        4.. => (scan.digits(2, 2)?, scan.digits(2, 2)?),
        0 => return Some(0),
    };
    Some(sign * (hours as i32 * 60 + minutes as i32))
}

/// Zones by name, in minutes east of UTC. Those of RFC 822 first; of names that several countries use, the most common.
const ZONES: [(&str, i32); 64] = [
    ("gmt", 0),
    ("utc", 0),
    ("ut", 0),
    ("z", 0),
    ("est", -300),
    ("edt", -240),
    ("cst", -360),
    ("cdt", -300),
    ("mst", -420),
    ("mdt", -360),
    ("pst", -480),
    ("pdt", -420),
    ("et", -300),
    ("ct", -360),
    ("mt", -420),
    ("pt", -480),
    ("at", -240),
    ("ast", -240),
    ("adt", -180),
    ("nst", -210),
    ("ndt", -150),
    ("akst", -540),
    ("akdt", -480),
    ("hst", -600),
    ("hast", -600),
    ("hdt", -540),
    ("sst", -660),
    ("wet", 0),
    ("west", 60),
    ("bst", 60),
    ("cet", 60),
    ("cest", 120),
    ("met", 60),
    ("mest", 120),
    ("mez", 60),
    ("mesz", 120),
    ("eet", 120),
    ("eest", 180),
    ("sast", 120),
    ("cat", 120),
    ("eat", 180),
    ("wat", 60),
    ("msk", 180),
    ("msd", 240),
    ("trt", 180),
    ("ist", 330),
    ("pkt", 300),
    ("npt", 345),
    ("ict", 420),
    ("wib", 420),
    ("sgt", 480),
    ("hkt", 480),
    ("awst", 480),
    ("pht", 480),
    ("kst", 540),
    ("jst", 540),
    ("acst", 570),
    ("acdt", 630),
    ("aest", 600),
    ("aedt", 660),
    ("nzst", 720),
    ("nzdt", 780),
    ("brt", -180),
    ("art", -180),
];

/// The zone of that name. An unknown name counts as UTC, as it does for other readers.
fn named_zone(name: &str) -> Option<i32> {
    let name = name.to_ascii_lowercase();
    let known = ZONES.iter().find(|(known, _)| *known == name).map(|(_, minutes)| *minutes);
    let military = match name.as_bytes() {
        [b'a'] => Some(-60),
        [b'm'] => Some(-720),
        [b'n'] => Some(60),
        [b'y'] => Some(720),
        _ => None,
    };
    known.or(military).or(Some(0))
}

/// Months by how their names begin, in English, German, French, Spanish, Italian, Portuguese, Dutch, the Nordic
/// languages, Polish, Czech, Hungarian, Romanian, Turkish, Finnish, Russian, Ukrainian and Greek.
const MONTHS: [&[&str]; 12] = [
    &["jan", "jän", "ene", "gen", "sty", "led", "ian", "oca", "tam", "янв", "січ", "ιαν", "jen"],
    &["feb", "fév", "fev", "lut", "úno", "şub", "sub", "hel", "фев", "лют", "φεβ"],
    &["mar", "mär", "mrz", "maa", "maar", "mrt", "bře", "már", "мар", "бер", "μάρ", "μαρ"],
    &["apr", "avr", "abr", "kwi", "dub", "ápr", "nis", "huh", "апр", "кві", "απρ"],
    &["may", "mai", "maj", "mei", "mag", "kvě", "máj", "tou", "май", "мая", "тра", "μάι", "μαϊ", "μαι"],
    &["jun", "juin", "giu", "cze", "červen", "jún", "iun", "haz", "kes", "июн", "чер", "ιούν", "ιουν"],
    &["jul", "juil", "lug", "lip", "červenec", "júl", "iul", "tem", "hei", "июл", "лип", "ιούλ", "ιουλ"],
    &["aug", "aoû", "aou", "ago", "sie", "srp", "ağu", "agu", "elo", "авг", "сер", "αύγ", "αυγ"],
    &["sep", "set", "wrz", "zář", "sze", "eyl", "syy", "сен", "вер", "σεπ"],
    &["oct", "okt", "out", "ott", "paź", "říj", "eki", "lok", "окт", "жов", "οκτ"],
    &["nov", "lis", "noi", "kas", "mar ", "ноя", "лис", "νοέ", "νοε"],
    &["dec", "dez", "déc", "dic", "des", "gru", "pro", "ara", "jou", "дек", "гру", "δεκ"],
];

const ENGLISH: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The number of the month that the word names, the longest match first.
pub(super) fn month(word: &str) -> Option<u32> {
    // Nearly all feeds write these (RFC 822, section 5), and a search of all names costs as much as reading an item.
    if let Some(at) = ENGLISH.iter().position(|name| *name == word) {
        return Some(at as u32 + 1);
    }
    if word.chars().count() < 3 {
        return None;
    }
    let word = word.to_lowercase();
    let best = MONTHS.iter().enumerate().flat_map(|(at, names)| names.iter().map(move |name| (at, *name)));
    let best = best.filter(|(_, name)| word.starts_with(name)).max_by_key(|(_, name)| name.len())?;
    u32::try_from(best.0).ok().map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_says_what_the_long_one_says() {
        for (at, name) in ENGLISH.iter().enumerate() {
            assert_eq!(month(name), Some(at as u32 + 1));
            assert_eq!(month(&name.to_uppercase()), Some(at as u32 + 1), "the long way");
        }
    }
}
