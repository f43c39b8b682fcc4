//! Dates as feeds write them: RFC 822, RFC 3339 and ISO 8601 with parts missing, `asctime`, database dumps, and the
//! names of months and days in the languages of Europe.
//!
//! Pure text to instant: no clock, no local time. Without a zone a time is UTC; without a time, the day's first instant.

use chrono::{Datelike, Days, NaiveDate, TimeDelta};

mod names;

use self::names::{month, zone};
use crate::model::Timestamp;

/// Longest text that may be a date, in bytes.
const MAX_DATE_BYTES: usize = 100;
/// Most names in a date: of a day, a month, half a day, a zone, and some remarks.
const MAX_NAMES: usize = 8;

/// Reads a date; `None` where the text is none.
pub(in crate::feeds) fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_DATE_BYTES {
        return None;
    }
    if let Some(plain) = of_east_asia(text) {
        return read(&plain);
    }
    iso(text).or_else(|| truncated(text)).or_else(|| free(text))
}

/// A date of Korea, Japan or China in ISO's words: `2004년 05월 28일 오후 1:31:15`, `2004年5月28日`. Korean hosts write the
/// time of Korea without saying so.
fn of_east_asia(text: &str) -> Option<String> {
    let korean = |c: char| ('\u{ac00}'..='\u{d7a3}').contains(&c);
    let marked = text.contains(|c: char| korean(c) || matches!(c, '年' | '午'));
    if !marked || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let afternoon = ["오후", "下午", "午後"].iter().any(|half| text.contains(half));
    let morning = ["오전", "上午", "午前"].iter().any(|half| text.contains(half));
    let half = if afternoon {
        " pm"
    } else if morning {
        " am"
    } else {
        ""
    };
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '년' | '年' | '월' | '月' => plain.push('-'),
            '시' | '時' | '时' | '분' | '分' => plain.push(':'),
            '일' | '日' => plain.push(' '),
            c if c.is_ascii() => plain.push(c),
            _ => {}
        }
    }
    let plain = plain.replace("- ", "-");
    let plain = plain.trim_matches([' ', ':', '-']);
    let zone = if text.contains(korean) && !plain.contains('+') { " +0900" } else { "" };
    let timed = plain.contains(':');
    Some(if timed { format!("{plain}{half}{zone}") } else { plain.to_owned() })
}

/// Dates without a century, as ISO 8601 once allowed: `-0312`, `-03-12`, `031231`, `03335`.
fn truncated(text: &str) -> Option<Timestamp> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let mut scan = Scan(&digits);
    let year = i32::try_from(full_year(scan.digits(2, 2)?, 2)).ok()?;
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let date = match shape.as_str() {
        "-9999" | "-99-99" => NaiveDate::from_ymd_opt(year, scan.digits(2, 2)?, 1)?,
        "999999" => NaiveDate::from_ymd_opt(year, scan.digits(2, 2)?, scan.digits(2, 2)?)?,
        "99999" => NaiveDate::from_yo_opt(year, scan.digits(3, 3)?)?,
        _ => return None,
    };
    Moment::at(date).timestamp()
}

/// A date and a time of day, not yet known to exist.
#[derive(Clone, Copy, Debug)]
struct Moment {
    date: NaiveDate,
    hour: u32,
    minute: u32,
    second: u32,
    millis: u32,
    offset_minutes: i32,
}

impl Moment {
    fn at(date: NaiveDate) -> Self {
        Self { date, hour: 0, minute: 0, second: 0, millis: 0, offset_minutes: 0 }
    }

    fn timestamp(self) -> Option<Timestamp> {
        // The first hour of a day may be written as the last of the one before, and a leap second exists.
        let (date, hour) = match self.hour {
            24 => (self.date.checked_add_days(Days::new(1))?, 0),
            hour => (self.date, hour),
        };
        let time = date.and_hms_milli_opt(hour, self.minute, self.second.min(59), self.millis)?;
        if self.second > 60 || self.offset_minutes.abs() > 24 * 60 {
            return None;
        }
        let utc = time.checked_sub_signed(TimeDelta::minutes(i64::from(self.offset_minutes)))?;
        // What is written back has four digits for the year (RFC 3339, section 5.6).
        (1..=9999).contains(&utc.year()).then(|| Timestamp::from_millis(utc.and_utc().timestamp_millis()))
    }
}

/// Takes digits off the front of a text.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        digits.parse().ok()
    }

    fn skip(&mut self, one_of: &[char]) -> bool {
        match self.0.strip_prefix(one_of) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> &'a str {
        let end = self.0.find(|c: char| !c.is_alphabetic()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }
}

/// ISO 8601 and what is near it (RFC 3339; W3C-DTF; `2024-01-01 10:00:00.0 +0200`).
fn iso(text: &str) -> Option<Timestamp> {
    let mut scan = Scan(text);
    let year = match text.as_bytes() {
        // `04-01-31`
        [b'0'..=b'9', b'0'..=b'9', b'-', b'0' | b'1', _, b'-', ..] => full_year(scan.digits(2, 2)?, 2) as i32,
        _ => scan.digits(4, 4)? as i32,
    };
    let dashed = scan.skip(&['-']);
    let date = if !dashed && scan.0.is_empty() {
        NaiveDate::from_ymd_opt(year, 1, 1)?
    } else if dashed && scan.skip(&['W', 'w']) {
        let week = scan.digits(2, 2)?;
        let day = if scan.skip(&['-']) || !scan.0.is_empty() { scan.digits(1, 1).unwrap_or(1) } else { 1 };
        NaiveDate::from_isoywd_opt(year, week, weekday(day)?)?
    } else if dashed {
        let digits = scan.0.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 3 && scan.0.as_bytes().get(3) == Some(&b'-') {
            // A month with a zero too many.
            let month = scan.digits(3, 3)?;
            scan.skip(&['-']);
            NaiveDate::from_ymd_opt(year, month, scan.digits(1, 2)?)?
        } else if digits == 3 {
            NaiveDate::from_yo_opt(year, scan.digits(3, 3)?)?
        } else if digits == 0 {
            // `2004-july-13`
            let month = month(scan.word())?;
            let day = if scan.skip(&['-']) { scan.digits(1, 2)? } else { 1 };
            NaiveDate::from_ymd_opt(year, month, day)?
        } else {
            let month = scan.digits(1, 2)?;
            let day = if scan.skip(&['-']) { scan.digits(1, 2)? } else { 1 };
            NaiveDate::from_ymd_opt(year, month, day)?
        }
    } else if scan.0.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        let count = scan.0.bytes().take_while(u8::is_ascii_digit).count();
        match count {
            3 => NaiveDate::from_yo_opt(year, scan.digits(3, 3)?)?,
            2 => NaiveDate::from_ymd_opt(year, scan.digits(2, 2)?, 1)?,
            6 | 9 => {
                // Seconds or milliseconds since 1970 have ten or thirteen digits.
                return epoch(text);
            }
            4 => NaiveDate::from_ymd_opt(year, scan.digits(2, 2)?, scan.digits(2, 2)?)?,
            10 => {
                let date = NaiveDate::from_ymd_opt(year, scan.digits(2, 2)?, scan.digits(2, 2)?)?;
                return time(&mut scan, Moment::at(date))?.timestamp();
            }
            _ => return None,
        }
    } else {
        return None;
    };
    let mut moment = Moment::at(date);
    // A date alone may carry a zone.
    if scan.0.is_empty() {
        return moment.timestamp();
    }
    scan.0 = scan.0.strip_prefix(['T', 't']).unwrap_or(scan.0).trim_start_matches([' ', ',', '\t', '\u{a0}']);
    scan.0 = scan.0.trim_start_matches(|c: char| !c.is_ascii()).trim_start();
    if scan.0.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        moment = time(&mut scan, moment)?;
    } else {
        moment.offset_minutes = zone(scan.0.trim())?;
    }
    moment.timestamp()
}

fn weekday(number: u32) -> Option<chrono::Weekday> {
    u8::try_from(number.checked_sub(1)?).ok().and_then(|day| chrono::Weekday::try_from(day).ok())
}

fn epoch(digits: &str) -> Option<Timestamp> {
    let number: i64 = digits.parse().ok()?;
    Some(if digits.len() > 10 { Timestamp::from_millis(number) } else { Timestamp::from_seconds(number) })
}

/// The time of day that starts the text, and the zone behind it.
fn time(scan: &mut Scan, mut moment: Moment) -> Option<Moment> {
    moment.hour = scan.digits(1, 2)?;
    let colon = scan.skip(&[':', '.']);
    if colon || scan.0.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        moment.minute = scan.digits(1, 2)?;
        if scan.skip(&[':', '.']) || !colon && scan.0.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            moment.second = scan.digits(1, 2)?;
            if scan.skip(&['.', ',', ':']) {
                let fraction = scan.0.bytes().take_while(u8::is_ascii_digit).count();
                let millis: String = scan.0[..fraction].chars().chain("000".chars()).take(3).collect();
                moment.millis = millis.parse().ok()?;
                scan.0 = &scan.0[fraction..];
            }
        }
    }
    scan.0 = scan.0.trim_start();
    let half = scan.0.get(..2).map(str::to_ascii_lowercase);
    if let Some(half @ ("am" | "pm")) = half.as_deref()
        && !scan.0[2..].starts_with(char::is_alphabetic)
        && (1..=12).contains(&moment.hour)
    {
        moment.hour = moment.hour % 12 + if half == "pm" { 12 } else { 0 };
        scan.0 = scan.0[2..].trim_start();
    }
    moment.offset_minutes = zone(scan.0).unwrap_or(0);
    Some(moment)
}

/// Any order of day, month by name, year, time and zone (RFC 822, `asctime`, and what people type).
fn free(text: &str) -> Option<Timestamp> {
    let mut day = None;
    let mut year = None;
    let mut found_month = None;
    let mut clock = None;
    let mut names = 0;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() {
            let count = rest.bytes().take_while(u8::is_ascii_digit).count();
            let after = rest.as_bytes().get(count).copied();
            // Some write a time with dots; a date would come first.
            let dotted = after == Some(b'.') && year.is_some() && found_month.is_some();
            if clock.is_none() && (after == Some(b':') || dotted) {
                let mut scan = Scan(rest);
                let any = NaiveDate::from_ymd_opt(2000, 1, 1)?;
                let moment = time(&mut scan, Moment::at(any))?;
                clock = Some(moment);
                rest = scan.0;
                continue;
            }
            if matches!(after, Some(b'/' | b'.'))
                && found_month.is_none()
                && let Some((date, len)) = numeric_date(rest)
            {
                (day, year, found_month) = (Some(date.2), Some(date.0), Some(date.1));
                rest = rest.get(len..)?;
                continue;
            }
            let number: u32 = rest.get(..count)?.parse().ok()?;
            if clock.is_some() && year.is_some() {
                // A zone's digits, already read with the time.
            } else if count >= 3 || number > 31 && day.is_some() {
                year.get_or_insert(full_year(number, count));
            } else if number > 31 {
                return None;
            } else if day.is_none() {
                day = Some(number);
            } else if year.is_none() && (found_month.is_some() || number > 31) {
                year = Some(full_year(number, count));
            } else if found_month.is_none() && year.is_none() {
                return None;
            }
            rest = rest.get(count..)?;
        } else if c.is_alphabetic() {
            let mut scan = Scan(rest);
            let word = scan.word();
            names += 1;
            if names > MAX_NAMES {
                return None;
            }
            if clock.is_none() || found_month.is_none() {
                // A later name counts before an earlier one: the first may be that of a day (`mar.`, `dom`).
                if let Some(month) = month(word)
                    && (day.is_none() || found_month.is_none() || year.is_none())
                {
                    found_month = Some(month);
                }
            }
            rest = scan.0;
        } else {
            rest = rest.get(c.len_utf8()..)?;
            // A zone was read with the time, though the year may follow it.
            if clock.is_some() && matches!(c, '+' | '-') {
                rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
            }
        }
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year?).ok()?, found_month?, day.unwrap_or(1))?;
    let moment = clock.unwrap_or_else(|| Moment::at(date));
    Moment { date, ..moment }.timestamp()
}

/// A year of two digits is one between 1970 and 2069 (RFC 2822, section 4.3, and what came after).
fn full_year(number: u32, digits: usize) -> u32 {
    match (digits, number) {
        (1 | 2, 0..=69) => number + 2000,
        (1..=3, _) => number + 1900,
        _ => number,
    }
}

/// `2006/09/15`, `15.09.2006`, `9/15/2006`: year, month, day, and the length of the text. Which of two small numbers is
/// the month only says the separator: dots are European; slashes leave it open.
fn numeric_date(text: &str) -> Option<((u32, u32, u32), usize)> {
    let mut scan = Scan(text);
    let first_digits = scan.0.bytes().take_while(u8::is_ascii_digit).count();
    let first = scan.digits(1, 4)?;
    let separator = scan.0.chars().next()?;
    scan.skip(&[separator]);
    let second = scan.digits(1, 2)?;
    if !scan.skip(&[separator]) {
        return None;
    }
    let third_digits = scan.0.bytes().take_while(u8::is_ascii_digit).count();
    let third = scan.digits(1, 4)?;
    let length = text.len() - scan.0.len();
    let date = match (first_digits, separator) {
        (4, _) => (first, second, third),
        (_, '.') => (full_year(third, third_digits), second, first),
        _ if first > 12 => (full_year(third, third_digits), second, first),
        _ if second > 12 => (full_year(third, third_digits), first, second),
        _ if first == second => (full_year(third, third_digits), first, second),
        _ => return None,
    };
    Some((date, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_feeds_write_them() {
        for (written, meant) in [
            // RFC 822 and its relatives.
            ("Thu, 01 Jan 2004 19:48:21 GMT", "2004-01-01T19:48:21Z"),
            ("Thu, 01 Jan 2004 19:48:21 +0100", "2004-01-01T18:48:21Z"),
            ("Thu, 1 Jan 04 19:48 EST", "2004-01-02T00:48:00Z"),
            ("01 Jan 2004", "2004-01-01T00:00:00Z"),
            ("Thu 01 Jan 2004 19:48:21 CEST", "2004-01-01T17:48:21Z"),
            ("Thursday, 01 January 2004 07:48:21 PM PST", "2004-01-02T03:48:21Z"),
            ("Thu, 01 Jan 2004 19:48:21", "2004-01-01T19:48:21Z"),
            ("Thu, 01 Jan 2004 19:48:21 GMT+02:00", "2004-01-01T17:48:21Z"),
            ("Thu, 01 Jan 2004 19:48:21 Etc/GMT", "2004-01-01T19:48:21Z"),
            ("Thu, 01 Jan 2004 19:48:21 XYZ", "2004-01-01T19:48:21Z"),
            ("Thu, 31 Dec 1999 24:00:00 GMT", "2000-01-01T00:00:00Z"),
            ("Thu, 31 Dec 1998 23:59:60 GMT", "1998-12-31T23:59:59Z"),
            ("Thu Jan 01 19:48:21 2004", "2004-01-01T19:48:21Z"),
            ("Thu Jan  1 19:48:21 PST 2004", "2004-01-02T03:48:21Z"),
            ("Sun Jul 15 01:16:00 +0200 2012", "2012-07-14T23:16:00Z"),
            ("Mon, 02 Jan 2006 24:04:05 +0530", "2006-01-02T18:34:05Z"),
            ("Mon, 02 Jan 2006 15.04.05 GMT", "2006-01-02T15:04:05Z"),
            ("Jan 5, 2024 3:04 pm", "2024-01-05T15:04:00Z"),
            ("Fri, 2006/09/15 08:19:53 EDT", "2006-09-15T12:19:53Z"),
            ("15.09.2006 08:19", "2006-09-15T08:19:00Z"),
            ("9/15/2006", "2006-09-15T00:00:00Z"),
            // ISO 8601 and its relatives.
            ("2003-12-31T10:14:55Z", "2003-12-31T10:14:55Z"),
            ("2003-12-31T10:14:55.125+02:00", "2003-12-31T08:14:55.125Z"),
            ("2003-12-31T10:14:55-0330", "2003-12-31T13:44:55Z"),
            ("2003-12-31 10:14:55 CEST", "2003-12-31T08:14:55Z"),
            ("2003-12-31 10:14:55", "2003-12-31T10:14:55Z"),
            ("2003-12-31T10:14Z", "2003-12-31T10:14:00Z"),
            ("2003-12-31", "2003-12-31T00:00:00Z"),
            ("04-01-31", "2004-01-31T00:00:00Z"),
            ("2003-12", "2003-12-01T00:00:00Z"),
            ("2003", "2003-01-01T00:00:00Z"),
            ("20031231", "2003-12-31T00:00:00Z"),
            ("20031231T101455Z", "2003-12-31T10:14:55Z"),
            ("20031231101455", "2003-12-31T10:14:55Z"),
            ("2003-365", "2003-12-31T00:00:00Z"),
            ("2003335", "2003-12-01T00:00:00Z"),
            ("2004-W01-4", "2004-01-01T00:00:00Z"),
            ("2003-012-31T10:14:55+00:00", "2003-12-31T10:14:55Z"),
            ("-0312", "2003-12-01T00:00:00Z"),
            ("-03-12", "2003-12-01T00:00:00Z"),
            ("031231", "2003-12-31T00:00:00Z"),
            ("03335", "2003-12-01T00:00:00Z"),
            ("1072986501", "2004-01-01T19:48:21Z"),
            // Other languages.
            ("mar., 05 janv. 2024 10:00:00 +0100", "2024-01-05T09:00:00Z"),
            ("Do, 16 Mär 2023 10:00:00 +0100", "2023-03-16T09:00:00Z"),
            ("dom, 07 abr 2024 10:00:00 GMT", "2024-04-07T10:00:00Z"),
            ("Κυρ, 11 Ιούλ 2004 12:00:00 EST", "2004-07-11T17:00:00Z"),
            ("2004-július-13T9:15-05:00", "2004-07-13T14:15:00Z"),
            ("2004-05-25 오전 11:23:17", "2004-05-25T02:23:17Z"),
            ("2004-05-25 오후 11:23:17", "2004-05-25T14:23:17Z"),
            ("2004년 05월 28일  01:31:15", "2004-05-27T16:31:15Z"),
            ("2024年5月28日", "2024-05-28T00:00:00Z"),
            ("2024年05月28日 下午3:04", "2024-05-28T15:04:00Z"),
            ("Пн, 22 апр 2024 10:00:00 +0300", "2024-04-22T07:00:00Z"),
        ] {
            let found = read(written).map(Timestamp::to_rfc3339);
            assert_eq!(found.as_deref(), Some(meant), "{written}");
        }
    }

    #[test]
    fn what_is_no_date_gives_none() {
        for text in [
            "",
            "soon",
            "2004-13-01",
            "Thu, 32 Jan 2004 10:00 GMT",
            "25:00",
            "1/2/2024",
            "1",
            "99",
            "-",
            "2004-01-01T99:00",
            "9999-12-31T24:00:00",
            "Mon, 01 Jan 0001 00:00:00 +0530",
            "Mon, 02 Jan 2006 24:61:00 GMT",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
