//! Kept pages beside nginx: the same bytes, asked for by the same `wrk`, from one worker each.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use super::listening::Setting;
use super::process::{Running, ask, cpu_seconds, wait_until};

/// How long each is asked.
const SECONDS: u32 = 5;
const CONNECTIONS: u32 = 64;
const PATIENCE: Duration = Duration::from_mins(2);
/// Nothing is polled while pages are served.
const NO_POLLS: Duration = Duration::from_hours(24);

/// What both managed.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Served {
    pub(crate) listend: Rates,
    pub(crate) nginx: Rates,
}

/// Requests a second, and microseconds of the server's processor time for each.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Rates {
    /// 200 with the whole page, compressed.
    pub(crate) whole: f64,
    pub(crate) whole_us: f64,
    /// 304 to whoever has it.
    pub(crate) unchanged: f64,
    pub(crate) unchanged_us: f64,
}

/// The programs that are missing here; empty where everything is there.
pub(crate) fn missing() -> Vec<&'static str> {
    ["wrk", "nginx"].into_iter().filter(|name| found(name).is_none()).collect()
}

fn found(name: &str) -> Option<PathBuf> {
    // Debian has nginx where only administrators look.
    let path = std::env::var("PATH").unwrap_or_default();
    let directories = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    directories.map(|directory| Path::new(directory).join(name)).find(|file| file.is_file())
}

/// Serves the merged feed of a daemon that has listened in this setting, and then the same bytes by nginx.
pub(crate) fn serve(setting: &Setting) -> anyhow::Result<Served> {
    setting.configure(NO_POLLS)?;
    let daemon = setting.start(true)?;
    settle(setting)?;
    let page = ask(daemon.address, "GET /listen.atom", "")?;
    let packed = ask(daemon.address, "GET /listen.atom", "Accept-Encoding: gzip\r\n")?;
    ensure!(packed.field("content-encoding") == Some("gzip"), "listend did not compress its page");
    let listend = rates(&daemon.process, daemon.address, "/listen.atom")?;
    daemon.process.stop()?;

    let home = setting.home.join("nginx");
    std::fs::create_dir_all(home.join("pages"))?;
    std::fs::write(home.join("pages/listen.atom"), &page.body)?;
    std::fs::write(home.join("pages/listen.atom.gz"), &packed.body)?;
    let (nginx, address) = start_nginx(&home)?;
    let nginx_rates = rates(&nginx, address, "/listen.atom")?;
    nginx.stop()?;
    Ok(Served { listend, nginx: nginx_rates })
}

/// Waits until what was due at the start has been polled.
fn settle(setting: &Setting) -> anyhow::Result<()> {
    let mut last = setting.counts()?.requests;
    wait_until("the polls that were due are over", PATIENCE, Duration::from_secs(3), || {
        let before = std::mem::replace(&mut last, setting.counts()?.requests);
        std::thread::sleep(Duration::from_secs(3));
        Ok(before == setting.counts()?.requests)
    })?;
    Ok(())
}

/// nginx as it is set up for files that were compressed before, one process and no log.
fn start_nginx(home: &Path) -> anyhow::Result<(Running, SocketAddr)> {
    // The port is free again when nginx takes it.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let at = home.display();
    let text = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {at}/pid;\nerror_log {at}/log;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n\
         access_log off;\nsendfile on;\ntcp_nopush on;\nkeepalive_requests 100000000;\ngzip_static on;\n\
         open_file_cache max=100;\ntypes {{ application/atom+xml atom; }}\n\
         client_body_temp_path {at}/body;\nproxy_temp_path {at}/proxy;\nfastcgi_temp_path {at}/fastcgi;\n\
         uwsgi_temp_path {at}/uwsgi;\nscgi_temp_path {at}/scgi;\n\
         server {{ listen {address}; root {at}/pages; }}\n}}\n"
    );
    let file = home.join("nginx.conf");
    std::fs::write(&file, text)?;
    let mut command = Command::new(found("nginx").context("nginx was there before")?);
    command.arg("-c").arg(&file).stderr(std::fs::File::create(home.join("said"))?);
    let nginx = Running::start(&mut command)?;
    wait_until("nginx answers", PATIENCE, Duration::from_millis(20), || {
        Ok(ask(address, "GET /listen.atom", "").is_ok_and(|answer| answer.status == 200))
    })?;
    Ok((nginx, address))
}

fn rates(server: &Running, address: SocketAddr, path: &str) -> anyhow::Result<Rates> {
    let gzip = "Accept-Encoding: gzip";
    let answer = ask(address, &format!("GET {path}"), &format!("{gzip}\r\n"))?;
    let etag = answer.field("etag").context("the page has no ETag")?;
    let seen = format!("If-None-Match: {etag}");
    let answer = ask(address, &format!("GET {path}"), &format!("{gzip}\r\n{seen}\r\n"))?;
    ensure!(answer.status == 304, "a page that is known is answered with {}", answer.status);
    let (whole, whole_us) = rate(server, address, path, &[gzip])?;
    let (unchanged, unchanged_us) = rate(server, address, path, &[gzip, &seen])?;
    Ok(Rates { whole, whole_us, unchanged, unchanged_us })
}

/// Requests a second, and microseconds of the server's processor time for each.
fn rate(server: &Running, address: SocketAddr, path: &str, fields: &[&str]) -> anyhow::Result<(f64, f64)> {
    let mut wrk = Command::new(found("wrk").context("wrk was there before")?);
    wrk.args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-d", &format!("{SECONDS}s")]);
    for field in fields {
        wrk.args(["-H", field]);
    }
    let before = cpu_seconds(&server.id())?;
    let said = wrk.arg(format!("http://{address}{path}")).output()?;
    let cpu = cpu_seconds(&server.id())? - before;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "wrk had bad answers:\n{said}");
    let after = |words: &str| said.lines().find_map(|line| line.trim().strip_prefix(words)?.trim().parse::<f64>().ok());
    let a_second = after("Requests/sec:").with_context(|| format!("wrk said no rate:\n{said}"))?;
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in")?.0.parse::<f64>().ok());
    let requests = requests.with_context(|| format!("wrk said no number:\n{said}"))?;
    Ok((a_second, cpu / requests * 1e6))
}
