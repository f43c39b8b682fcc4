//! How much work it is to read something hostile, told beside ordinary work of the same minute: a limit in seconds would
//! fail on a busy machine and hold nothing on a fast one.

use std::fmt::Write as _;
use std::time::Duration;

use listend::feeds::parse::parse;
use rustix::time::{ClockId, clock_gettime};
use url::Url;

/// So many times as much as an ordinary document of the same length, at most. What is read in proportion to its length
/// takes no more than a fifth of this; what compares everything with everything takes hundreds of times as much.
const MOST: f64 = 100.0;
/// The bytes of the ordinary document, and the least that anything counts as.
const ORDINARY: usize = 256 << 10;
/// How often the work may be measured: a processor that others share now and then gives bad measures.
const TRIES: usize = 3;

/// Does the work, which reads so many bytes; fails if it is out of proportion.
pub(crate) fn check(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut most = Duration::ZERO;
    let mut took = Duration::ZERO;
    for _ in 0..TRIES {
        took = cpu_time(&mut work);
        most = ordinary().mul_f64(MOST * bytes.max(ORDINARY) as f64 / ORDINARY as f64);
        println!("{name:<36} {:>7.1} of {:>7.1} ms", took.as_secs_f64() * 1e3, most.as_secs_f64() * 1e3);
        if took < most {
            return;
        }
    }
    panic!("{name}: {bytes} bytes took {took:?}, an ordinary document of that length may take {most:?}");
}

/// What reading an ordinary document takes.
fn ordinary() -> Duration {
    let mut document = String::from("<rss version='2.0'><channel><title>Ordinary</title>");
    for item in 0.. {
        write!(
            document,
            "<item><title>Post {item}</title><link>https://example.org/{item}</link><guid>{item}</guid>\
             <pubDate>Mon, 05 Oct 2026 10:00:00 GMT</pubDate><description>{}</description></item>",
            "&lt;p&gt;What somebody &lt;b&gt;has to say&lt;/b&gt; on a Monday.&lt;/p&gt; ".repeat(20),
        )
        .unwrap();
        if document.len() >= ORDINARY {
            break;
        }
    }
    let url = Url::parse("https://example.org/feed").unwrap();
    cpu_time(|| drop(parse(document.as_bytes(), None, &url).unwrap()))
}

/// The processor time that this thread takes for something.
fn cpu_time(work: impl FnOnce()) -> Duration {
    let clock = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let before = clock();
    work();
    clock().saturating_sub(before)
}
