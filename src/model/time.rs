//! Instants, as milliseconds since the Unix epoch in UTC. Knows no clock: `now` is always an argument.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, Timelike, Utc};

/// An instant in UTC with millisecond resolution.
///
/// Its range is that of RFC 3339 years 0000 to 9999; constructors clamp into it, so that it can always be printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const EARLIEST_MILLIS: i64 = -62_167_219_200_000; // 0000-01-01T00:00:00Z
const LATEST_MILLIS: i64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999Z

impl Timestamp {
    /// The earliest instant that can be printed.
    pub const MIN: Self = Self(EARLIEST_MILLIS);
    /// The latest instant that can be printed.
    pub const MAX: Self = Self(LATEST_MILLIS);

    /// The instant `millis` milliseconds after the Unix epoch, clamped to the printable range.
    pub const fn from_millis(millis: i64) -> Self {
        if millis < EARLIEST_MILLIS {
            Self::MIN
        } else if millis > LATEST_MILLIS {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// The instant `seconds` seconds after the Unix epoch, clamped to the printable range.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole days since the Unix epoch, rounded down.
    pub const fn days(self) -> i64 {
        self.0.div_euclid(86_400_000)
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant moved forward by `by`, at most to [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved backward by `by`, at most to [`Timestamp::MIN`].
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// `2026-11-22T20:37:12Z`, with a fraction only where there is one (RFC 3339, section 5.6).
    pub fn to_rfc3339(self) -> String {
        let mut text = String::with_capacity("2026-11-22T20:37:12.000Z".len());
        let time = self.utc();
        digits(&mut text, time.year() as u32, 1000);
        for (before, part) in [('-', time.month()), ('-', time.day()), ('T', time.hour())] {
            text.push(before);
            digits(&mut text, part, 10);
        }
        for part in [time.minute(), time.second()] {
            text.push(':');
            digits(&mut text, part, 10);
        }
        let millis = self.0.rem_euclid(1000) as u32;
        if millis > 0 {
            text.push('.');
            digits(&mut text, millis, 100);
        }
        text.push('Z');
        text
    }

    /// `Sun, 22 Nov 2026 20:37:12 +0000` (RFC 822 as amended by RFC 1123: what RSS asks for).
    pub fn to_rfc822(self) -> String {
        self.utc().format("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }

    /// `Sun, 22 Nov 2026 20:37:12 GMT` (RFC 9110, section 5.6.7).
    pub fn to_http_date(self) -> String {
        self.utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// Reads an RFC 3339 date and time; `None` where it is none.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|time| Self::from_millis(time.timestamp_millis()))
    }

    /// The same instant as a calendar date and time of the `chrono` crate.
    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).expect("the range of a Timestamp lies inside chrono's")
    }
}

/// Writes a number with as many digits as `most` has, the weight of the first. By hand, because a page says hundreds of
/// times and a status tens of thousands: the calendar's own formatting takes ten times as long.
fn digits(text: &mut String, number: u32, most: u32) {
    let mut weight = most;
    while weight > 0 {
        let digit = u8::try_from(number / weight % 10).unwrap_or_default();
        text.push(char::from(b'0' + digit));
        weight /= 10;
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self::from_millis(time.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_the_formats_ask_for() {
        let time = Timestamp::from_seconds(1_795_379_832);
        assert_eq!(time.to_rfc3339(), "2026-11-22T20:37:12Z");
        assert_eq!(time.to_rfc822(), "Sun, 22 Nov 2026 20:37:12 +0000");
        assert_eq!(time.to_http_date(), "Sun, 22 Nov 2026 20:37:12 GMT");
        assert_eq!(Timestamp::from_millis(1).to_rfc3339(), "1970-01-01T00:00:00.001Z");
        assert_eq!(Timestamp::from_millis(-1).to_rfc3339(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-11-22T21:37:12+01:00"), Some(time));
    }

    #[test]
    fn out_of_range_is_clamped_and_printable() {
        assert_eq!(Timestamp::from_millis(i64::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.minus(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::from_millis(i64::MAX).to_rfc3339(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::MIN.to_rfc3339(), "0000-01-01T00:00:00Z");
    }
}
