//! The built program in a directory of its own, as its user would run it: lists and configuration go in, requests get
//! answers. Tests that use it know nothing of the daemon's inside.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for something that ought to happen soon; a slow machine may take its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory with lists, configuration and state.
pub(crate) struct Home {
    directory: TempDir,
    /// Lines of `[fetch]` and further tables, behind those that every test needs.
    extra: String,
    allowed: Vec<SocketAddr>,
}

impl Home {
    /// An empty home: no lists, state below it, any free port, polls every second.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("lists")).unwrap();
        let home = Self { directory, extra: String::new(), allowed: Vec::new() };
        home.configure();
        home
    }

    /// Lets the daemon fetch from these addresses.
    #[must_use]
    pub(crate) fn allowing(mut self, addresses: &[SocketAddr]) -> Self {
        self.allowed.extend(addresses);
        self.configure();
        self
    }

    /// Adds to the configuration: keys of `[fetch]`, then other tables.
    #[must_use]
    pub(crate) fn with(mut self, toml: &str) -> Self {
        self.extra.push_str(toml);
        self.extra.push('\n');
        self.configure();
        self
    }

    /// Adds keys of `[server]`; the last change to the configuration.
    #[must_use]
    pub(crate) fn serving(self, toml: &str) -> Self {
        let written = fs::read_to_string(self.configuration()).unwrap();
        fs::write(self.configuration(), written.replace("[server]\n", &format!("[server]\n{toml}\n"))).unwrap();
        self
    }

    fn configure(&self) {
        let mut allowed = String::new();
        for address in &self.allowed {
            let _ = write!(allowed, "\"{address}\", ");
        }
        let toml = format!(
            "lists = \"lists\"\nstate = \"state\"\n\n[server]\nlisten = \"127.0.0.1:0\"\n\n[fetch]\nper_host = 16\n\
             per_host_gap = \"0s\"\nmin_interval = \"1s\"\nmax_interval = \"1s\"\nallow_addresses = [{allowed}]\n{}",
            self.extra
        );
        fs::write(self.configuration(), toml).unwrap();
    }

    /// The configuration file.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.path("listend.toml")
    }

    /// A path below the home.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// The file of a list.
    pub(crate) fn list(&self, name: &str) -> PathBuf {
        self.path("lists").join(format!("{name}.opml"))
    }

    /// Writes a list.
    pub(crate) fn write_list(&self, name: &str, opml: &str) {
        fs::write(self.list(name), opml).unwrap();
    }

    /// The program with this home's configuration, ready for more arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_listend"));
        command.arg("--config").arg(self.configuration()).current_dir(self.directory.path());
        command
            .env_remove("STATE_DIRECTORY")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("LISTEND_LOG")
            .env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    /// Runs the program with further arguments until it ends by itself.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub(crate) fn start(&self) -> Daemon {
        let mut daemon = self.launch();
        daemon.wait_until_ready();
        daemon
    }

    /// Starts the daemon so that a limit on the size of files makes its writes fail and does not end it, and waits until
    /// it is ready. It has no log, which is a file too.
    pub(crate) fn start_outliving_limits(&self) -> Daemon {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\" 2>/dev/null"]);
        let command = self.command();
        shell.arg(command.get_program()).args(command.get_args()).current_dir(self.path("")).stdin(Stdio::null());
        let mut daemon = self.spawn(shell);
        daemon.wait_until_ready();
        daemon
    }

    /// Starts the daemon on a socket that is handed over as systemd does it, and waits until it is ready.
    pub(crate) fn start_on(&self, socket: &TcpListener) -> Daemon {
        let mut shell = Command::new("sh");
        // The first socket handed over is descriptor 3, and the variable names the process that it is for.
        shell.args(["-c", "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\""]);
        let command = self.command();
        shell.arg(command.get_program()).args(command.get_args()).current_dir(self.path(""));
        shell.stdin(OwnedFd::from(socket.try_clone().unwrap()));
        let mut daemon = self.spawn(shell);
        daemon.wait_until_ready();
        daemon
    }

    /// Starts the daemon with further variables of the environment, and waits until it is ready.
    pub(crate) fn start_with(&self, variables: &[(&str, &OsStr)]) -> Daemon {
        let mut command = self.command();
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        let mut daemon = self.spawn(command);
        daemon.wait_until_ready();
        daemon
    }

    /// Starts the daemon and waits for nothing.
    pub(crate) fn launch(&self) -> Daemon {
        let mut command = self.command();
        command.stdin(Stdio::null());
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Daemon {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = command.arg("run").stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        Daemon { child, log: self.path("log"), url: String::new() }
    }
}

/// A running daemon. It is killed when it is dropped, and its log is printed when that is because a test failed.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    url: String,
}

impl Daemon {
    fn wait_until_ready(&mut self) {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listend is ready: ");
        url.unwrap_or_else(|| panic!("the daemon said {line:?} instead of being ready")).clone_into(&mut self.url);
    }

    /// The URL that it printed, with the path appended.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// Asks for a path.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// Asks for a path with further headers.
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_get(path, headers).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Sends anything to a path; the body of a `HEAD` is empty.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let sent = send(method, &self.url(path), headers, body);
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks for a path; an error where the daemon does not answer.
    pub(crate) fn try_get(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Result<Answer> {
        fetch(&self.url(path), headers)
    }

    /// `/status.json`.
    pub(crate) fn status(&self) -> Value {
        self.get("/status.json").json()
    }

    /// The items of a view as JSON Feed.
    pub(crate) fn items(&self, path: &str) -> Vec<Value> {
        self.get(path).json()["items"].as_array().unwrap().clone()
    }

    /// Asks it to stop (SIGTERM) and waits until it has; it must say that all went well.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "asked to stop, it ended with {status}");
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        assert!(send_signal(self.pid(), name));
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has logged so far, this start and earlier ones.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("--- the last lines of the daemon's log");
            for line in last.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// Sends a signal; false where there is no such process. The shell's own `kill` is on every machine.
pub(crate) fn send_signal(pid: u32, name: &str) -> bool {
    Command::new("sh").args(["-c", &format!("kill -s {name} {pid}")]).status().unwrap().success()
}

/// An answer, its body as it was sent.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: reqwest::header::HeaderMap,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's text; empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Asks for a URL once, follows nothing, decodes nothing.
pub(crate) fn fetch(url: &str, headers: &[(&str, &str)]) -> reqwest::Result<Answer> {
    send("GET", url, headers, "")
}

/// Sends one request, follows nothing, decodes nothing.
pub(crate) fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> reqwest::Result<Answer> {
    static CLIENT: LazyLock<(tokio::runtime::Runtime, reqwest::Client)> = LazyLock::new(|| {
        // A second test in this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().no_gzip().no_brotli().no_deflate();
        let client = client.redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build().unwrap();
        (tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(), client)
    });
    let (runtime, client) = &*CLIENT;
    runtime.block_on(async {
        let mut request = client.request(method.parse().unwrap(), url);
        if !body.is_empty() {
            request = request.body(body.to_owned());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    })
}

/// Asks again and again until there is something; fails after [`PATIENCE`].
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look).0
}

/// Asks again and again until there is something, and says how long that took.
pub(crate) fn until_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> (T, Duration) {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return (found, start.elapsed());
        }
        assert!(start.elapsed() < patience, "after {:?} still not: {what}", start.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An OPML document around these outlines.
pub(crate) fn opml(outlines: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<opml version=\"2.0\">\n<head><title>A list</title></head>\n<body>\n{outlines}</body>\n</opml>\n"
    )
}

/// The outline of a feed.
pub(crate) fn outline(text: &str, feed: &str) -> String {
    format!("<outline type=\"rss\" text=\"{text}\" xmlUrl=\"{feed}\"/>\n")
}

/// The Python of the project's own environment with its packages; `None`, and a line that says so, where it was not made.
pub(crate) fn python() -> Option<Command> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    if !python.is_file() {
        eprintln!("SKIPPED: there is no .venv; tests/run makes it");
        return None;
    }
    Some(Command::new(python))
}
