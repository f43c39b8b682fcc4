//! The sites of the month: when each posts, and what its server answers at any moment. Knows nothing of the daemon.

use std::time::Duration;

use fastrand::Rng;
use listend::feeds::schedule::{Answered, Move};
use listend::model::{FeedUrl, Pace, Timestamp, UpdatePeriod};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// What a site is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Temper {
    /// A post an hour, its document fresh for ten minutes.
    Hourly,
    /// A post a day.
    Daily,
    /// A post a week.
    Weekly,
    /// Five posts within an hour, twice a week.
    Bursty,
    /// Silent for three months and more; one in five posts once this month.
    Silent,
    /// A post an hour, twenty feeds to a host.
    Shared,
    /// A post a day; HTTP 500 for five days.
    Failing,
    /// Refuses every connection.
    Dead,
    /// A post a day; moves by 301, and ten days later its old address is 404.
    Moving,
    /// A post a day, six feeds to a host that answers 429 with `Retry-After` to whoever comes twice in ten minutes.
    Limited,
    /// A post an hour by day; out of reach from 22 to 6 o'clock.
    Nightly,
    /// A post an hour; `ttl` of four hours.
    Ttl,
    /// A post an hour; skips the hours from 0 to 7.
    Skipping,
    /// A post a day; `sy:updatePeriod` daily.
    Syndicated,
    /// A post a day, until it is 410.
    Gone,
}

impl Temper {
    /// Every temper and its share of a thousand sites.
    pub(crate) const SHARES: [(Self, usize); 15] = [
        (Self::Hourly, 150),
        (Self::Daily, 200),
        (Self::Weekly, 160),
        (Self::Bursty, 80),
        (Self::Silent, 100),
        (Self::Shared, 60),
        (Self::Failing, 40),
        (Self::Dead, 20),
        (Self::Moving, 40),
        (Self::Limited, 30),
        (Self::Nightly, 40),
        (Self::Ttl, 20),
        (Self::Skipping, 20),
        (Self::Syndicated, 20),
        (Self::Gone, 20),
    ];

    fn of(place: usize, sites: usize) -> Self {
        let mut upto = 0;
        for (temper, share) in Self::SHARES {
            upto += share;
            if place * 1000 < upto * sites {
                return temper;
            }
        }
        Self::Gone
    }
}

/// A site.
pub(crate) struct Site {
    pub(crate) temper: Temper,
    pub(crate) host: String,
    /// When it posts, in order, from long before the month on.
    pub(crate) posts: Vec<Timestamp>,
    /// When its trouble begins.
    trouble: Timestamp,
}

/// What a request leads to.
pub(crate) enum Reply {
    /// Nothing; after this long it is clear that there is no connection.
    Silence(Duration),
    /// An answer; of a 200 the document's pace.
    Answer(Answered, Pace),
}

/// Makes the sites for so many days from `start` on.
pub(crate) fn settle(count: usize, days: u32, start: Timestamp, random: &mut Rng) -> Vec<Site> {
    let site = |place: usize| {
        let temper = Temper::of(place, count);
        let host = match temper {
            Temper::Shared => format!("shared{}.example:443", place / 20),
            Temper::Limited => format!("limited{}.example:443", place / 6),
            _ => format!("host{place}.example:443"),
        };
        let trouble = start.plus(DAY.mul_f64(f64::from(days) * (0.1 + 0.3 * random.f64())));
        Site { temper, host, posts: posts(temper, days, start, random), trouble }
    };
    (0..count).map(site).collect()
}

fn posts(temper: Temper, days: u32, start: Timestamp, random: &mut Rng) -> Vec<Timestamp> {
    let end = start.plus(DAY * days);
    let (pause, burst) = match temper {
        Temper::Hourly | Temper::Shared | Temper::Nightly | Temper::Ttl | Temper::Skipping => (HOUR, 1),
        Temper::Weekly => (DAY * 7, 1),
        Temper::Bursty => (DAY * 7 / 2, 5),
        Temper::Silent => {
            let last = start.minus(DAY * (90 + random.u32(0..150)));
            let mut posts: Vec<_> = (0..15).rev().map(|n| last.minus(DAY * 9 * n)).collect();
            if random.u8(0..5) == 0 {
                posts.push(start.plus(DAY.mul_f64(f64::from(days) * random.f64())));
            }
            return posts;
        }
        _ => (DAY, 1),
    };
    let mut posts = Vec::new();
    let mut at = start.minus(pause * 15).plus(pause.mul_f64(random.f64()));
    while at < end {
        for n in 0..burst {
            posts.push(at.plus(MINUTE * 12 * n));
        }
        // People are not clocks: half as long to one and a half times as long.
        at = at.plus(pause.mul_f64(0.5 + random.f64()));
    }
    posts
}

/// The hour of the day (GMT).
pub(crate) fn hour(at: Timestamp) -> i64 {
    at.seconds().div_euclid(3600).rem_euclid(24)
}

impl Site {
    /// What its server answers at `now` to a request for the address it had at first, or for the one it moved to.
    /// `host_asked` says when its host was asked before this request.
    pub(crate) fn answer(&self, now: Timestamp, moved: bool, host_asked: Option<Timestamp>) -> Reply {
        let refused = |status, retry_after| {
            Reply::Answer(Answered { status, retry_after, ..Answered::default() }, Pace::default())
        };
        let is_troubled = now >= self.trouble;
        match self.temper {
            Temper::Dead => return Reply::Silence(Duration::from_millis(1)),
            Temper::Nightly if !(6..22).contains(&hour(now)) => return Reply::Silence(SECOND * 5),
            Temper::Failing if is_troubled && now < self.trouble.plus(DAY * 5) => return refused(500, None),
            Temper::Gone if is_troubled => return refused(410, None),
            Temper::Limited if host_asked.is_some_and(|at| now.since(at) < MINUTE * 10) => {
                return refused(429, Some(MINUTE * 30));
            }
            Temper::Moving if now >= self.trouble.plus(DAY * 10) && !moved => return refused(404, None),
            _ => {}
        }
        let mut answer = Answered { status: 200, ..Answered::default() };
        if self.temper == Temper::Hourly {
            answer.freshness = Some(MINUTE * 10);
        }
        if self.temper == Temper::Moving && is_troubled && !moved {
            let to = FeedUrl::parse(&format!("https://{}/moved", self.host)).expect("it is an address");
            answer.moved = Some(Move { to, upgrade: false });
            answer.redirected = true;
        }
        let mut pace = Pace::default();
        match self.temper {
            Temper::Ttl => pace.ttl_minutes = Some(240),
            Temper::Skipping => pace.skip_hours = 0xff,
            Temper::Syndicated => pace.update_period = Some(UpdatePeriod { seconds: 86_400 }),
            _ => {}
        }
        Reply::Answer(answer, pace)
    }
}
