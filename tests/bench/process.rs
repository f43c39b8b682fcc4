//! Processes that are measured: started, watched from outside, asked over HTTP, ended. Reads `/proc`, so Linux only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use listend::model::Timestamp;

/// The time by the machine's clock.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the world outside goes by the machine's clock")]
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// A point on the steady clock.
pub(crate) fn moment() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a measurement asks the clock")]
    Instant::now()
}

/// Ticks a second of the times in `/proc/PID/stat`: part of the kernel's interface, the same on all that listend runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// Processor time (user and system) that a process has used, all of its threads together, those that ended too; in
/// seconds. `process` is its number or `self`.
pub(crate) fn cpu_seconds(process: &str) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in brackets, which may hold anything (proc_pid_stat(5)).
    let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let ticks = |field: usize| rest.split_whitespace().nth(field - 3).and_then(|ticks| ticks.parse::<f64>().ok());
    let (user, system) = ticks(14).zip(ticks(15)).context("/proc/PID/stat has no times")?;
    Ok((user + system) / TICKS_A_SECOND)
}

/// Memory of a process in MiB: `VmRSS` now, `VmHWM` at most.
pub(crate) fn memory_mib(process: &str, which: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("/proc/{process}/status has no {which}"))? / 1024.0)
}

/// A process that is ended when this goes.
pub(crate) struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Running {
    /// Starts one whose standard output is read here. Its log goes where `command` says, by default to our own.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let started = command.spawn();
        let mut child =
            started.with_context(|| format!("{} cannot be started", command.get_program().to_string_lossy()))?;
        let said = BufReader::new(child.stdout.take().context("its output was asked for")?);
        Ok(Self { child, said })
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.said.read_line(&mut line)? > 0, "the process ended by itself: {}", self.child.wait()?);
        Ok(line.trim_end().to_owned())
    }

    /// Its number.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Asks it to end and waits until it has; says how long that took.
    pub(crate) fn stop(mut self) -> anyhow::Result<Duration> {
        let asked = moment();
        self.ask_to_end();
        self.child.wait()?;
        Ok(asked.elapsed())
    }

    fn ask_to_end(&self) {
        // A process that has ended was waited for, so the number still means this one.
        let _ = Command::new("sh").args(["-c", &format!("kill -s TERM {}", self.child.id())]).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.ask_to_end();
            let _ = self.child.wait();
        }
    }
}

/// What a server answered.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Status line and fields.
    pub(crate) head: String,
    /// The body as it came.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Whether the body has these words.
    pub(crate) fn has(&self, words: &str) -> bool {
        self.body.windows(words.len()).any(|part| part == words.as_bytes())
    }
}

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);

/// Sends one request on a connection of its own. `fields` are whole lines.
pub(crate) fn ask(server: SocketAddr, request: &str, fields: &str) -> anyhow::Result<Answer> {
    #[expect(clippy::disallowed_methods, reason = "whoever measures asks, too")]
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let request =
        format!("{request} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{fields}Content-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("an answer has no end of its head")?;
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer has no status")?;
    Ok(Answer { status, head, body })
}

/// Waits until something is so; asks again after each pause. Says how long it took.
pub(crate) fn wait_until(
    what: &str,
    patience: Duration,
    pause: Duration,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let started = moment();
    while !is_so()? {
        if started.elapsed() > patience {
            bail!("not within {}: {what}", humantime::format_duration(patience));
        }
        std::thread::sleep(pause);
    }
    Ok(started.elapsed())
}
