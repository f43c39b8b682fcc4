//! Behind nginx and Caddy, over TLS, with the configurations that are shipped: every page, link, form and redirect works
//! through them. Each test skips, and says so, where its proxy is absent; `tests/run` installs both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::harness::{Answer, Daemon, Home, PATIENCE, opml, outline, until};
use crate::origin::{Origin, TLS_ROOT, answer};
use crate::village::origin::now;

/// The name in [`TLS_ROOT`], which stands for the one that the shipped configurations have.
const NAME: &str = "tls.test";
/// More entries than a page has.
const ENTRIES: usize = 130;
/// So many addresses are asked for in a crawl, at most.
const MOST_VISITED: usize = 400;
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// How proxy and daemon are put together.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// The path of the base address, with a slash at its end.
    prefix: &'static str,
    /// Whether the proxy cuts the prefix off.
    is_stripped: bool,
    over_unix_socket: bool,
}

/// As shipped; then each way in which docs/proxies.md says that it may be changed.
const SETTINGS: [Setting; 3] = [
    Setting { prefix: "/listend/", is_stripped: false, over_unix_socket: false },
    Setting { prefix: "/", is_stripped: false, over_unix_socket: true },
    Setting { prefix: "/listend/", is_stripped: true, over_unix_socket: true },
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Nginx,
    Caddy,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
        }
    }

    /// The program; `None`, and a line that says so, where it is not installed.
    fn program(self) -> Option<PathBuf> {
        // Debian has nginx where only administrators look.
        let path = std::env::var("PATH").unwrap_or_default();
        let mut directories = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
        let found = directories.find_map(|at| Some(Path::new(at).join(self.name())).filter(|file| file.is_file()));
        if found.is_none() {
            eprintln!("SKIPPED: there is no {}; tests/run installs it", self.name());
        }
        found
    }
}

#[test]
fn nginx_as_it_is_shipped() {
    let Some(nginx) = Kind::Nginx.program() else { return };
    for setting in SETTINGS {
        works_behind(Kind::Nginx, &nginx, setting);
    }
}

#[test]
fn caddy_as_it_is_shipped() {
    let Some(caddy) = Kind::Caddy.program() else { return };
    for setting in SETTINGS {
        works_behind(Kind::Caddy, &caddy, setting);
    }
}

#[test]
fn tokens_are_shown_through_a_proxy() {
    for kind in [Kind::Nginx, Kind::Caddy] {
        let Some(program) = kind.program() else { continue };
        let scene = Scene::new(kind, &program, SETTINGS[0], "tokens = [\"a secret\"]");
        let basic = format!("Basic {}", STANDARD.encode("ann:a secret"));
        let refused = scene.get("listen.atom", &[]);
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Basic realm=\"listend\""));
        for path in ["", "listen.atom", "status", "voices"] {
            assert_eq!(scene.get(path, &[("authorization", &basic)]).status, 200, "{kind:?} {path}");
            assert_eq!(scene.get(path, &[("authorization", "Bearer a secret")]).status, 200, "{kind:?} {path}");
            assert_eq!(scene.get(&format!("{path}?token=a+secret"), &[]).status, 200, "{kind:?} {path}");
        }
        let entry = scene.entry(&[("authorization", &basic)]);
        let noted = scene.send("POST", &format!("{entry}?token=a%20secret"), &[FORM], "kind=thanked");
        assert_eq!(noted.status, 303, "{}", noted.text());
        let after = scene.base.join(noted.header("location")).unwrap();
        assert_eq!(scene.browser.get(&after, &[]).status, 200, "the token goes with the redirect to {after}");
    }
}

fn works_behind(kind: Kind, program: &Path, setting: Setting) {
    let scene = Scene::new(kind, program, setting, "");
    every_link_leads_somewhere(&scene);
    forms_are_sent_and_redirects_followed(&scene);
    answers_are_the_daemons_own(&scene);
    if let Kind::Nginx = kind {
        // Caddy knows by itself which names are its own.
        let answer = scene.get("status", &[("host", "evil.example")]);
        assert_eq!(answer.status, 421, "somebody else's name: {}", answer.text());
    }
    if setting.prefix != "/" {
        let answer = scene.browser.get(&scene.base.join("/listend").unwrap(), &[]);
        assert!(matches!(answer.status, 301 | 308), "{setting:?}");
        assert_eq!(scene.base.join(answer.header("location")).unwrap(), scene.base, "{setting:?}");
    }
}

/// Follows every link from the front page and from the feeds, as far as there are any below our own host.
fn every_link_leads_somewhere(scene: &Scene) {
    let formats = ["atom", "rss", "json", "html", "opml"].map(|ending| format!("listen.{ending}"));
    let others = ["", "status", "voices", "health.atom", "listen?limit=20&per_voice=2"].map(str::to_owned);
    let mut waiting: VecDeque<Url> = formats.iter().chain(&others).map(|path| scene.base.join(path).unwrap()).collect();
    let mut seen: BTreeSet<Url> = waiting.iter().cloned().collect();
    let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut visited = 0;
    while let Some(url) = waiting.pop_front().filter(|_| visited < MOST_VISITED) {
        visited += 1;
        assert!(url.path().starts_with(scene.base.path()), "{:?}: a link leads out, to {url}", scene.setting);
        let answer = scene.browser.get(&url, &[("accept", "text/html")]);
        assert!(answer.headers.get("set-cookie").is_none(), "{url}");
        let mut links = links(&answer, &scene.base);
        if answer.status == 308 {
            links.push(scene.base.join(answer.header("location")).unwrap());
        } else {
            assert_eq!(answer.status, 200, "{:?}: {url}: {}", scene.setting, answer.text());
        }
        *kinds.entry(kind_of(&url, scene.base.path())).or_default() += 1;
        // Each entry has such a page; a few of them are enough.
        let is_enough = |link: &Url| link.path().contains("/answered/") && kinds.get("answered").copied() >= Some(8);
        for link in links.into_iter().filter(|link| !is_enough(link)) {
            if seen.insert(link.clone()) {
                waiting.push_back(link);
            }
        }
    }
    let kinds: Vec<&str> = kinds.into_keys().collect();
    assert_eq!(
        kinds,
        ["answered", "before", "css", "front", "list", "listen", "status", "voice", "voices"],
        "{:?}: {visited} pages",
        scene.setting
    );
}

/// What kind of page an address is, in a word.
fn kind_of(url: &Url, prefix: &str) -> &'static str {
    let path = url.path().strip_prefix(prefix).unwrap_or_default();
    match path.split(['/', '.']).next().unwrap_or_default() {
        _ if url.query().is_some_and(|query| query.contains("before=")) => "before",
        _ if path.starts_with("style-") => "css",
        "" => "front",
        "voices" if path.contains('/') => "voice",
        "answered" => "answered",
        "listen" => "listen",
        "status" => "status",
        "voices" => "voices",
        _ => "list",
    }
}

/// The links to our own host in an answer, whatever its format: whole ones everywhere, paths in pages.
fn links(answer: &Answer, base: &Url) -> Vec<Url> {
    let text = answer.text().replace("&amp;", "&").replace("\\/", "/");
    let host = base.join("/").unwrap();
    let words = text.split(['"', '\'', '\\', '<', '>', ' ', '\n']).filter(|word| word.starts_with(host.as_str()));
    let mut links: Vec<&str> = words.collect();
    if answer.header("content-type").starts_with("text/html") {
        for attribute in [" href=\"", " action=\"", " src=\""] {
            let values = text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
            links.extend(values.filter(|value| value.starts_with('/')));
        }
    }
    let links = links.into_iter().filter_map(|link| base.join(link).ok());
    links
        .map(|mut link| {
            link.set_fragment(None);
            link
        })
        .collect()
}

fn forms_are_sent_and_redirects_followed(scene: &Scene) {
    let entry = scene.entry(&[]);
    let outside = scene.base.origin().ascii_serialization();
    for (headers, status) in [
        (&[("sec-fetch-site", "same-origin"), ("origin", &outside)][..], 303),
        (&[("origin", &outside)], 303),
        (&[("origin", "https://evil.example")], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
    ] {
        let noted = scene.send("POST", &entry, &[&[FORM], headers].concat(), "kind=thanked&note=On+paper.");
        assert_eq!(noted.status, status, "{headers:?}: {}", noted.text());
        if status == 303 {
            let after = scene.base.join(noted.header("location")).unwrap();
            assert_eq!(after, scene.base.join(&entry).unwrap());
            assert!(scene.browser.get(&after, &[]).text().contains("It is noted"), "{after}");
        }
    }
    // A voice that stood elsewhere before has moved to its own address.
    scene.home.write_list("desired", &fs::read_to_string(scene.home.list("followers")).unwrap());
    fs::remove_file(scene.home.list("followers")).unwrap();
    let moved = until("the list is gone", || {
        Some(scene.get("followers/kiln-lane.atom", &[])).filter(|answer| answer.status != 200)
    });
    assert_eq!(moved.status, 308, "{}", moved.text());
    assert_eq!(moved.header("location"), scene.base.join("voices/kiln-lane.atom").unwrap().as_str());
    assert_eq!(scene.get("voices/kiln-lane.atom", &[]).status, 200);
}

/// Nothing is lost or changed on the way: tags, codings, large bodies.
fn answers_are_the_daemons_own(scene: &Scene) {
    // The feed moved a moment ago, and is read again: what is compared has to be of one state.
    let (plain, packed) = until("a page that stands still, whose tags are recognised", || {
        let (plain, packed) = (scene.get("listen.atom", &[]), scene.get("listen.atom", &[("accept-encoding", "gzip")]));
        let is_known =
            |answer: &Answer| scene.get("listen.atom", &[("if-none-match", answer.header("etag"))]).status == 304;
        let is_still = is_known(&plain) && is_known(&packed) && is_known(&plain);
        is_still.then_some((plain, packed))
    });
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    assert_eq!(plain.header("vary"), "Accept, Accept-Encoding");
    let (plain_tag, packed_tag) = (plain.header("etag"), packed.header("etag"));
    assert!(plain_tag.starts_with('"') && packed_tag.starts_with('"') && plain_tag != packed_tag, "{plain_tag}");
    until("the length of a head is that of the answer, and the body that of the daemon", || {
        let plain = scene.get("listen.atom", &[]);
        let head = scene.send("HEAD", "listen.atom", &[], "");
        let direct = scene.direct.as_ref().map(|url| crate::harness::fetch(&format!("{url}listen.atom"), &[]).unwrap());
        let is_same =
            direct.is_none_or(|direct| (direct.header("etag"), &direct.body) == (plain.header("etag"), &plain.body));
        let length = plain.body.len().to_string();
        ((head.status, head.header("content-length")) == (200, length.as_str()) && is_same).then_some(())
    });
    // Hubs push whole feeds. The daemon knows no such address and says so; the proxy lets it say that.
    let push = scene.send("POST", "websub/nobody", &[("content-type", "application/atom+xml")], &"x".repeat(4 << 20));
    assert_eq!(push.status, 410, "{}", push.text());
    let claim = format!("source=http%3A%2F%2Fann.example%2F&target={}", scene.base);
    let claimed = scene.send("POST", "webmention", &[FORM], &claim);
    assert_eq!(claimed.status, 400, "no page of ours: {}", claimed.text());
}

/// A daemon with one neighbour behind a proxy, asked as a browser asks.
struct Scene {
    setting: Setting,
    base: Url,
    /// Where the daemon itself answers; `None` on a Unix socket.
    direct: Option<String>,
    home: Home,
    browser: Browser,
    _proxy: Proxy,
    _daemon: Daemon,
    _origin: Origin,
}

impl Scene {
    fn new(kind: Kind, program: &Path, setting: Setting, server: &str) -> Self {
        let origin = Origin::serve(|_| answer(200, "Content-Type: application/rss+xml\r\n", neighbour()));
        let (outside, inside) = (free_address(), free_address());
        let base = Url::parse(&format!("https://{NAME}:{}{}", outside.port(), setting.prefix)).unwrap();
        let home = Home::new()
            .allowing(&[origin.address])
            .with("[listen]\ncontact_links = true\n[webmention]\nenabled = true");
        let home = home.serving(&format!("base_url = \"{base}\"\n{server}"));
        let listen = if setting.over_unix_socket {
            format!("unix:{}", home.path("http.sock").display())
        } else {
            inside.to_string()
        };
        let toml = fs::read_to_string(home.configuration()).unwrap();
        fs::write(home.configuration(), toml.replace("127.0.0.1:0", &listen)).unwrap();
        home.write_list("followers", &opml(&outline("Kiln Lane", &origin.url("/rss"))));
        let daemon = home.start();
        let upstream = match kind {
            _ if !setting.over_unix_socket => listen,
            Kind::Nginx => listen,
            Kind::Caddy => listen.replace("unix:", "unix/"),
        };
        let proxy = Proxy::start(kind, program, &home.path("proxy"), outside, &upstream, setting);
        let browser = Browser::new(outside, &proxy.root);
        let scene = Self {
            setting,
            base,
            direct: (!setting.over_unix_socket).then(|| format!("http://{inside}/")),
            home,
            browser,
            _proxy: proxy,
            _daemon: daemon,
            _origin: origin,
        };
        let basic = format!("Basic {}", STANDARD.encode("ann:a secret"));
        until("the feed was read", || {
            let answer = scene.get("listen.json?limit=1", &[("authorization", &basic)]);
            answer.text().contains("Bowl").then_some(())
        });
        scene
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "")
    }

    /// Sends a request through the proxy; the path is below the base address.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.browser.try_send(method, &self.base.join(path).unwrap(), headers, body).unwrap()
    }

    /// The path, below the base address, of what can be answered first.
    fn entry(&self, headers: &[(&str, &str)]) -> String {
        let text = self.get("listen.atom", headers).text();
        let name = text.split("/answered/").nth(1).unwrap_or_else(|| panic!("nothing can be answered: {text}"));
        format!("answered/{}", &name[..32])
    }
}

fn neighbour() -> String {
    let mut items = String::new();
    for number in 0..ENTRIES {
        let date = now().minus(Duration::from_hours(number as u64 + 2)).to_rfc822();
        let _ = write!(
            items,
            "<item><guid>{number}</guid><link>http://kiln.example/{number}</link><title>Bowl {number}</title>\
             <pubDate>{date}</pubDate><description>It holds.</description></item>"
        );
    }
    format!("<rss version=\"2.0\"><channel><title>Kiln Lane</title>{items}</channel></rss>")
}

/// An address that is free now, and most likely still when it is bound.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A proxy in a process of our own, with the shipped configuration but for addresses and certificates.
struct Proxy {
    child: Child,
    /// The certificate (PEM) that vouches for it.
    root: Vec<u8>,
}

impl Proxy {
    fn start(kind: Kind, program: &Path, at: &Path, outside: SocketAddr, upstream: &str, setting: Setting) -> Self {
        fs::create_dir(at).unwrap();
        let log = fs::File::create(at.join("said")).unwrap();
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        match kind {
            Kind::Nginx => nginx(&mut command, at, outside, upstream, setting),
            Kind::Caddy => caddy(&mut command, at, outside, upstream, setting),
        }
        let mut proxy = Self { child: command.spawn().unwrap(), root: Vec::new() };
        let ended =
            |child: &mut Child| child.try_wait().unwrap().map(|status| (status, fs::read_to_string(at.join("said"))));
        until("the proxy answers", || {
            if let Some(ended) = ended(&mut proxy.child) {
                panic!("{kind:?} {setting:?}: {ended:?}");
            }
            proxy.root = match kind {
                Kind::Nginx => pem("CERTIFICATE", TLS_ROOT),
                Kind::Caddy => fs::read(at.join("caddy/pki/authorities/local/root.crt")).ok()?,
            };
            let livez = format!("https://{NAME}:{}{}livez", outside.port(), setting.prefix);
            let answer = Browser::new(outside, &proxy.root).try_send("GET", &Url::parse(&livez).unwrap(), &[], "");
            answer.is_ok_and(|answer| answer.text() == "alive\n").then_some(())
        });
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nginx(command: &mut Command, at: &Path, outside: SocketAddr, upstream: &str, setting: Setting) {
    let mut site = shipped("config/nginx/listend.conf");
    fs::write(at.join("certificate.pem"), pem("CERTIFICATE", TLS_ROOT)).unwrap();
    fs::write(at.join("key.pem"), pem("PRIVATE KEY", include_bytes!("tls/key.der"))).unwrap();
    let path = |name: &str| at.join(name).display().to_string();
    for (from, to) in [
        ("    listen [::]:80;\n", ""),
        ("    listen [::]:443 ssl;\n", ""),
        ("listen 80;", &format!("listen {};", free_address())),
        ("listen 443 ssl;", &format!("listen {outside} ssl;")),
        ("server_name listen.example.org;", &format!("server_name {NAME};")),
        ("server 127.0.0.1:8470;", &format!("server {upstream};")),
        ("/etc/letsencrypt/live/listen.example.org/fullchain.pem", &path("certificate.pem")),
        ("/etc/letsencrypt/live/listen.example.org/privkey.pem", &path("key.pem")),
        ("location /listend/ {", &format!("location {} {{", setting.prefix)),
    ] {
        site = replaced(&site, from, to);
    }
    if setting.is_stripped {
        site = replaced(&site, "proxy_pass http://listend;", "proxy_pass http://listend/;");
    }
    fs::write(at.join("site.conf"), site).unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.map(|name| format!("{name}_temp_path {};\n", path(name))).concat();
    let main = format!(
        "daemon off;\nmaster_process off;\npid {};\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}include {};\n}}\n",
        path("pid"),
        path("site.conf"),
    );
    fs::write(at.join("nginx.conf"), main).unwrap();
    command.args(["-e", "stderr", "-c"]).arg(at.join("nginx.conf"));
}

fn caddy(command: &mut Command, at: &Path, outside: SocketAddr, upstream: &str, setting: Setting) {
    let mut site = shipped("config/caddy/Caddyfile");
    let whole = setting.prefix == "/";
    for (from, to) in [
        ("\nlisten.example.org {", format!("\n{NAME}:{} {{\n\tbind 127.0.0.1", outside.port())),
        ("\treverse_proxy 127.0.0.1:8470 {", format!("\treverse_proxy {upstream} {{")),
        (
            "\tredir /listend /listend/ permanent\n",
            if whole { "" } else { "\tredir /listend /listend/ permanent\n" }.to_owned(),
        ),
        (
            "\thandle /listend/* {",
            match (whole, setting.is_stripped) {
                (true, _) => "\thandle {",
                (false, true) => "\thandle_path /listend/* {",
                (false, false) => "\thandle /listend/* {",
            }
            .to_owned(),
        ),
    ] {
        site = replaced(&site, from, &to);
    }
    // Its certificates are its own here, and nothing of it leaves the directory.
    let global = "{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n";
    fs::write(at.join("Caddyfile"), format!("{global}{site}")).unwrap();
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(at.join("Caddyfile"));
    command.env("XDG_DATA_HOME", at).env("XDG_CONFIG_HOME", at).env("HOME", at);
}

fn shipped(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the shipped configuration has no {from:?} any more");
    text.replace(from, to)
}

/// DER as text (RFC 7468).
fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    let _ = writeln!(text, "-----END {label}-----");
    text.into_bytes()
}

/// A client that knows where [`NAME`] is and whom to trust; it follows nothing and decodes nothing.
struct Browser {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Browser {
    fn new(proxy: SocketAddr, root: &[u8]) -> Self {
        // A second test in this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().no_gzip().no_brotli().no_deflate().timeout(PATIENCE);
        let client = client.redirect(reqwest::redirect::Policy::none()).resolve(NAME, proxy);
        let client = client.tls_certs_only([reqwest::Certificate::from_pem(root).unwrap()]).build().unwrap();
        Self { runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(), client }
    }

    fn get(&self, url: &Url, headers: &[(&str, &str)]) -> Answer {
        self.try_send("GET", url, headers, "").unwrap_or_else(|error| panic!("{url}: {error:?}"))
    }

    fn try_send(&self, method: &str, url: &Url, headers: &[(&str, &str)], body: &str) -> reqwest::Result<Answer> {
        self.runtime.block_on(async {
            let mut request = self.client.request(method.parse().unwrap(), url.clone());
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
}
