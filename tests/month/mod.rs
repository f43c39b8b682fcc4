//! A month of polling on a clock of its own: the schedule, the queue of hosts and the network's verdicts, driven as the
//! daemon drives them, against sites of mixed temper; what is read is stored and taken by retention. Every request is held
//! against the rules, which are written down here once more on their own.

pub(crate) mod keeping;
pub(crate) mod sites;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fastrand::Rng;
use keeping::{Day, Keeping};
use listend::feeds::host::outage::{Fault, Network};
use listend::feeds::host::{Politeness, Queue, Standing};
use listend::feeds::schedule::{self, Limits, Outcome};
use listend::model::{FeedId, FeedState, Pace, Schedule, Timestamp};
use sites::{DAY, HOUR, MINUTE, Reply, SECOND, Site, Temper, hour};

/// Mon, 2 Nov 2026 00:00:00 GMT.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_793_577_600);
const GAP: Duration = SECOND;
const PER_HOST: usize = 2;

/// What happens in the month.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) feeds: usize,
    pub(crate) days: u32,
    pub(crate) seed: u64,
    /// Our own network is down for two hours from then on.
    pub(crate) outage: Duration,
    /// The machine sleeps for an hour from then on.
    pub(crate) sleep: Duration,
    /// The daemon is restarted ten times within five minutes from then on.
    pub(crate) restarts: Duration,
    /// Whether what is read is stored.
    pub(crate) keeps: bool,
}

pub(crate) const OUTAGE: Duration = Duration::from_hours(2);
pub(crate) const SLEEP: Duration = HOUR;
const RESTARTS: u32 = 10;
const RESTART_EVERY: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Default)]
pub(crate) struct Report {
    /// The instant, feed and temper of each request.
    pub(crate) requests: Vec<(Timestamp, FeedId, Temper)>,
    /// By temper, how long each post took to be listed.
    pub(crate) delays: BTreeMap<Temper, Vec<Duration>>,
    /// How often each rule was broken.
    pub(crate) broken: BTreeMap<&'static str, usize>,
    /// Failures counted against feeds while our own network was down.
    pub(crate) blamed: usize,
    /// Requests let out while it was held to be down.
    pub(crate) probes: usize,
    /// What there was at the end of each day.
    pub(crate) days: Vec<Day>,
}

impl Report {
    /// How many requests were sent from `from` on for `length`.
    pub(crate) fn sent(&self, from: Timestamp, length: Duration) -> usize {
        self.requests.iter().filter(|(at, ..)| *at >= from && *at < from.plus(length)).count()
    }

    /// Memory that it takes itself.
    fn bytes(&self) -> usize {
        let delays: usize = self.delays.values().map(Vec::len).sum();
        self.requests.len() * size_of::<(Timestamp, FeedId, Temper)>() + delays * size_of::<Duration>()
    }
}

/// What the rules say about one site, told from what it answered alone.
#[derive(Clone, Default)]
struct Told {
    is_under_way: bool,
    last_answer: Option<Timestamp>,
    not_before: Option<Timestamp>,
    retry_after: Option<Timestamp>,
    skipped_hours: u32,
    gone_since: Option<Timestamp>,
    is_gone: bool,
}

#[derive(Default)]
struct ToldByHost {
    under_way: usize,
    last_start: Option<Timestamp>,
    spared_until: Option<Timestamp>,
}

struct Month {
    plan: Plan,
    random: Rng,
    limits: Limits,
    sites: Vec<Site>,
    schedules: Vec<Schedule>,
    has_moved: Vec<bool>,
    /// Up to when each site's posts were listed.
    listed: Vec<Option<Timestamp>>,
    queue: Queue,
    network: Network,
    /// Requests that end, by when, each with when it was sent.
    ends: BTreeSet<(Timestamp, FeedId, Timestamp)>,
    told: Vec<Told>,
    hosts: HashMap<String, ToldByHost>,
    keeping: Option<Keeping>,
    report: Report,
}

/// Lives through the month.
pub(crate) fn live(plan: Plan) -> Report {
    let mut random = Rng::with_seed(plan.seed);
    let sites = sites::settle(plan.feeds, plan.days, START, &mut random);
    let limits = Limits::default();
    let mut month = Month {
        plan,
        random,
        limits,
        schedules: vec![Schedule::new(START); sites.len()],
        has_moved: vec![false; sites.len()],
        listed: vec![None; sites.len()],
        queue: fresh_queue(),
        network: Network::new(limits.min_interval),
        ends: BTreeSet::new(),
        told: vec![Told::default(); sites.len()],
        hosts: HashMap::new(),
        keeping: plan.keeps.then(|| Keeping::begin(&sites)),
        report: Report::default(),
        sites,
    };
    month.run();
    Report { days: month.keeping.map(|keeping| keeping.days).unwrap_or_default(), ..month.report }
}

fn fresh_queue() -> Queue {
    Queue::new(Politeness { concurrency: 64, per_host: PER_HOST, gap: GAP })
}

fn index(feed: FeedId) -> usize {
    feed.0 as usize
}

impl Month {
    fn run(&mut self) {
        let end = START.plus(DAY * self.plan.days);
        let (sleep, first_restart) = (START.plus(self.plan.sleep), START.plus(self.plan.restarts));
        let (mut has_slept, mut restarts) = (false, 0);
        let mut now = START;
        self.enqueue_all(now);
        while now < end {
            if !has_slept && now >= sleep {
                has_slept = true;
                now = now.plus(SLEEP);
                self.spread_out(sleep, now);
            }
            if restarts < RESTARTS && now >= first_restart.plus(RESTART_EVERY * restarts) {
                restarts += 1;
                // What is under way is waited for.
                while let Some((at, feed, sent)) = self.ends.pop_first() {
                    now = now.max(at);
                    self.ended(feed, sent, now);
                }
                if let Some(keeping) = &mut self.keeping {
                    keeping.restart();
                }
                (self.queue, self.network) = (fresh_queue(), Network::new(self.limits.min_interval));
                self.enqueue_all(now);
                for (site, schedule) in self.sites.iter().zip(&self.schedules) {
                    if let Some(until) = schedule::host_spared_until(schedule).filter(|until| *until > now) {
                        self.queue.slow_down(&site.host, until.since(now), now);
                    }
                }
            }
            while let Some((at, feed, sent)) = self.ends.pop_first_if(now) {
                self.ended(feed, sent, at.max(now));
            }
            let verdicts = self.network.overdue(now);
            self.judge(verdicts, now);
            self.look(now);
            while self.queue.wake_at().is_some_and(|at| at <= now) && self.network.may_ask(now) {
                let Some(feed) = self.queue.next(now) else { break };
                self.start(feed, now);
            }
            let due = self.queue.wake_at().map(|at| self.network.next_probe().map_or(at, |probe| probe.max(at)));
            let ends = self.ends.first().map(|(at, ..)| *at);
            let pending = (!has_slept).then_some(sleep);
            let restart = (restarts < RESTARTS).then(|| first_restart.plus(RESTART_EVERY * restarts));
            let next = [due, ends, self.network.verdict_at(), pending, restart].into_iter().flatten().min();
            now = next.unwrap_or(end).max(now.plus(Duration::from_millis(1)));
        }
        self.look(end);
    }

    fn look(&mut self, now: Timestamp) {
        if let Some(keeping) = &mut self.keeping {
            keeping.look(now, self.report.bytes());
        }
    }

    fn enqueue_all(&mut self, now: Timestamp) {
        for feed in 0..self.sites.len() {
            self.enqueue(FeedId(feed as u32), now);
        }
    }

    fn enqueue(&mut self, feed: FeedId, now: Timestamp) {
        let schedule = &self.schedules[index(feed)];
        if schedule.state != FeedState::Gone {
            let due = schedule::due_at(schedule, &self.limits, now);
            let standing = Standing::of(schedule.state, None);
            self.queue.insert(feed, &self.sites[index(feed)].host, due, standing);
        }
    }

    fn spread_out(&mut self, since: Timestamp, now: Timestamp) {
        for place in 0..self.sites.len() {
            let schedule = &self.schedules[place];
            if schedule.state == FeedState::Gone || schedule.next_poll >= now || self.told[place].is_under_way {
                continue;
            }
            let due = schedule::after_pause(schedule, &self.limits, since, now, self.random.f64());
            let standing = Standing::of(schedule.state, None);
            self.queue.insert(FeedId(place as u32), &self.sites[place].host, due, standing);
        }
    }

    fn is_cut_off(&self, at: Timestamp) -> bool {
        let from = START.plus(self.plan.outage);
        at >= from && at < from.plus(OUTAGE)
    }

    fn start(&mut self, feed: FeedId, now: Timestamp) {
        self.check(feed, now);
        let place = index(feed);
        let site = &self.sites[place];
        self.report.requests.push((now, feed, site.temper));
        if self.network.down_since().is_some() {
            self.report.probes += 1;
        }
        self.told[place].is_under_way = true;
        let host = self.hosts.entry(site.host.clone()).or_default();
        host.under_way += 1;
        let takes = if self.is_cut_off(now) {
            Duration::from_millis(2)
        } else {
            match site.answer(now, self.has_moved[place], None) {
                Reply::Silence(after) => after,
                Reply::Answer(..) => Duration::from_millis(200 + self.random.u64(0..800)),
            }
        };
        self.ends.insert((now.plus(takes), feed, now));
    }

    /// Holds a request against the rules.
    fn check(&mut self, feed: FeedId, now: Timestamp) {
        let place = index(feed);
        let (told, site) = (&self.told[place], &self.sites[place]);
        let lies_ahead = |at: Option<Timestamp>| at.is_some_and(|at| now < at);
        let host = self.hosts.get(&site.host);
        let host_start = host.and_then(|host| host.last_start);
        for (rule, is_broken) in [
            ("two at once for one feed", told.is_under_way),
            ("before due", now < self.schedules[place].next_poll),
            ("within the least interval", told.last_answer.is_some_and(|at| now < at.plus(self.limits.min_interval))),
            ("within ttl, sy:* or max-age", lies_ahead(told.not_before)),
            ("within Retry-After", lies_ahead(told.retry_after)),
            ("in skipped hours", told.skipped_hours >> hour(now) & 1 == 1),
            ("to a gone feed", told.is_gone),
            ("over the limit per host", host.is_some_and(|host| host.under_way >= PER_HOST)),
            ("within the gap of its host", host_start.is_some_and(|at| now.since(at) < GAP)),
            ("to a host that asked to be spared", host.is_some_and(|host| lies_ahead(host.spared_until))),
        ] {
            *self.report.broken.entry(rule).or_default() += usize::from(is_broken);
        }
        self.hosts.entry(site.host.clone()).or_default().last_start = Some(now);
    }

    fn ended(&mut self, feed: FeedId, sent: Timestamp, now: Timestamp) {
        let place = index(feed);
        self.told[place].is_under_way = false;
        self.queue.finished(feed, now);
        let host = self.hosts.get_mut(&self.sites[place].host).expect("it was asked");
        host.under_way -= 1;
        let asked_before = self.told_host_before(feed, sent);
        if self.is_cut_off(sent) {
            return self.unreached(feed, now);
        }
        let Reply::Answer(answer, pace) = self.sites[place].answer(sent, self.has_moved[place], asked_before) else {
            return self.unreached(feed, now);
        };
        if let Some(since) = self.network.down_since() {
            self.network.reached();
            self.spread_out(since, now);
        } else {
            let verdicts = self.network.reached();
            self.judge(verdicts, now);
        }
        self.tell(feed, &answer, &pace, now);
        if let Some(pause) = schedule::host_pause(&answer) {
            self.queue.slow_down(&self.sites[place].host, pause, now);
        }
        let outcome =
            if answer.status == 200 { self.list(feed, sent, now, answer, pace) } else { Outcome::Refused { answer } };
        self.apply(feed, &outcome, now);
    }

    /// When another request was last sent to this feed's host, before the one sent at `sent`.
    fn told_host_before(&self, feed: FeedId, sent: Timestamp) -> Option<Timestamp> {
        if self.sites[index(feed)].temper != Temper::Limited {
            return None;
        }
        let host = &self.sites[index(feed)].host;
        let earlier = self
            .report
            .requests
            .iter()
            .rev()
            .filter(|(at, other, _)| *at <= sent && *other != feed && self.sites[index(*other)].host == *host);
        earlier.map(|(at, ..)| *at).next()
    }

    /// Lists what was posted since the feed was last read.
    fn list(
        &mut self,
        feed: FeedId,
        sent: Timestamp,
        now: Timestamp,
        answer: schedule::Answered,
        pace: Pace,
    ) -> Outcome {
        let place = index(feed);
        let site = &self.sites[place];
        let upto = site.posts.partition_point(|at| *at <= sent);
        let from = self.listed[place].map(|seen| site.posts.partition_point(|at| *at <= seen));
        if let Some(from) = from {
            let delays = self.report.delays.entry(site.temper).or_default();
            delays.extend(site.posts[from..upto].iter().map(|at| now.since(*at)));
        }
        self.listed[place] = Some(sent);
        if from == Some(upto) {
            return Outcome::Unchanged { answer, newest: upto.checked_sub(1).map(|last| site.posts[last]) };
        }
        let dates = site.posts[upto.saturating_sub(15)..upto].to_vec();
        Outcome::Fetched { answer, pace, dates }
    }

    /// Notes what the answer asks of whoever reads it.
    fn tell(&mut self, feed: FeedId, answer: &schedule::Answered, pace: &Pace, now: Timestamp) {
        let place = index(feed);
        let told = &mut self.told[place];
        told.last_answer = Some(now);
        told.retry_after = answer.retry_after.map(|asked| now.plus(asked));
        if let (429 | 503, Some(asked)) = (answer.status, answer.retry_after) {
            let host = self.hosts.entry(self.sites[place].host.clone()).or_default();
            host.spared_until = Some(now.plus(asked.min(HOUR)));
        }
        told.is_gone = answer.status == 410 && told.gone_since.is_some_and(|at| now.since(at) >= HOUR * 23);
        told.gone_since = (answer.status == 410).then(|| told.gone_since.unwrap_or(now));
        if answer.status == 200 {
            let ttl = MINUTE * pace.ttl_minutes.unwrap_or(0);
            let period = pace.update_period.map_or(Duration::ZERO, |period| SECOND * period.seconds);
            let wait = ttl.max(period).max(answer.freshness.unwrap_or_default()).min(self.limits.max_interval);
            told.not_before = Some(now.plus(wait));
            told.skipped_hours = pace.skip_hours;
        }
    }

    fn unreached(&mut self, feed: FeedId, now: Timestamp) {
        let standing = Standing::of(self.schedules[index(feed)].state, None);
        let verdicts = self.network.unreached(feed, &self.sites[index(feed)].host, standing, now);
        self.judge(verdicts, now);
    }

    fn judge(&mut self, verdicts: Vec<(FeedId, Fault)>, now: Timestamp) {
        for (feed, fault) in verdicts {
            let outcome = match fault {
                Fault::Ours => Outcome::Offline,
                Fault::Theirs => Outcome::Failed { why: "no connection: refused".into() },
            };
            let temper = self.sites[index(feed)].temper;
            if fault == Fault::Theirs && self.is_cut_off(now) && !matches!(temper, Temper::Dead | Temper::Nightly) {
                self.report.blamed += 1;
            }
            self.apply(feed, &outcome, now);
        }
    }

    fn apply(&mut self, feed: FeedId, outcome: &Outcome, now: Timestamp) {
        let place = index(feed);
        let next = schedule::next(&self.schedules[place], outcome, &self.limits, now, self.random.f64());
        if let Some(keeping) = &mut self.keeping {
            let upto = self.listed[place].map_or(0, |seen| self.sites[place].posts.partition_point(|at| *at <= seen));
            match outcome {
                Outcome::Fetched { .. } => keeping.read(feed, &self.sites[place], upto, &next.schedule, now),
                _ => keeping.note(feed, &next.schedule, now),
            }
        }
        self.schedules[place] = next.schedule;
        self.has_moved[place] |= next.adopted.is_some();
        self.enqueue(feed, now);
    }
}

/// The first of an ordered set, if its time has come.
trait PopFirstIf {
    fn pop_first_if(&mut self, now: Timestamp) -> Option<(Timestamp, FeedId, Timestamp)>;
}

impl PopFirstIf for BTreeSet<(Timestamp, FeedId, Timestamp)> {
    fn pop_first_if(&mut self, now: Timestamp) -> Option<(Timestamp, FeedId, Timestamp)> {
        if self.first()?.0 <= now { self.pop_first() } else { None }
    }
}
