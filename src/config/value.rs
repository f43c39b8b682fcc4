//! Values as people write them in the file: durations, sizes, addresses. Each reader says what it would have accepted.

use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::ListenAddress;
use crate::model::Role;

/// `30s`, `15m`, `400d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "is no duration; write 30s, 15m, 24h or 400d".to_owned())
}

/// `512KiB`, `5MiB`, `1GiB`, or a plain number of bytes.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let fault = || "is no size; write 512KiB or 5MiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(fault()),
    };
    number.parse::<usize>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(fault)
}

/// `127.0.0.1:8470` or `unix:/path`.
pub(super) fn listen_address(text: &str) -> Result<ListenAddress, String> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
        return Ok(ListenAddress::Unix(path.into()));
    }
    text.parse()
        .map(ListenAddress::Tcp)
        .map_err(|_| "is no address; write 127.0.0.1:8470 or unix:/run/listend/http.sock".to_owned())
}

/// `127.0.0.1:9000`
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "is no address with a port, as 127.0.0.1:9000".to_owned())
}

/// An absolute http or https URL.
pub(super) fn web_url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| "is no http or https URL".to_owned())
}

/// The word of a role.
pub(super) fn role(text: &str) -> Result<Role, String> {
    [Role::Followers, Role::Desired, Role::Mine, Role::Inbox, Role::Circle]
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| "must be followers, desired, mine, inbox or circle".to_owned())
}
