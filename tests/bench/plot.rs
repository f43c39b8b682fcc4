//! The plot: processor time a feed on a logarithmic scale, what was measured now beside what the peers took.
//!
//! One file of SVG without anything from elsewhere; its colours follow what the viewer prefers, light or dark.

use std::fmt::Write as _;

use super::peers::{MEASURED_ON, PEERS};

/// What was measured now, in milliseconds of processor time a feed.
pub(crate) struct Measured {
    pub(crate) listend_cold: f64,
    pub(crate) listend_unchanged: f64,
    pub(crate) client_unchanged: f64,
    pub(crate) client_cold: f64,
    pub(crate) parser_cold: f64,
    /// When and on what.
    pub(crate) machine: String,
    /// With how many feeds, and how often.
    pub(crate) farm: String,
}

/// Who a bar is for.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Listend,
    Client,
    Peer,
}

struct Bar {
    name: String,
    who: Who,
    ms: f64,
}

const WIDTH: f64 = 760.0;
/// Where the bars begin.
const LEFT: f64 = 290.0;
const RIGHT: f64 = WIDTH - 70.0;
const BAR: f64 = 16.0;
const STEP: f64 = 22.0;
/// The ends of the scale, in milliseconds, as powers of ten.
const DECADES: (i32, i32) = (-2, 2);

/// The plot as a document.
pub(crate) fn svg(measured: &Measured) -> String {
    let bar = |name: &str, who, ms| Bar { name: name.to_owned(), who, ms };
    let peers = |ms: fn(&super::peers::Peer) -> f64| PEERS.iter().map(move |peer| bar(peer.name, Who::Peer, ms(peer)));
    let mut cold = vec![
        bar("listend", Who::Listend, measured.listend_cold),
        bar("bare client, nothing read", Who::Client, measured.client_cold),
        bar("bare client + feed-rs, nothing stored", Who::Client, measured.parser_cold),
    ];
    cold.extend(peers(|peer| peer.cold_ms));
    let mut unchanged = vec![
        bar("listend", Who::Listend, measured.listend_unchanged),
        bar("bare client", Who::Client, measured.client_unchanged),
    ];
    unchanged.extend(peers(|peer| peer.unchanged_ms));
    let mut body = String::new();
    let mut y = 52.0;
    panel(&mut body, &mut y, "First poll of a feed: 20 new entries, read and stored", cold);
    y += 30.0;
    panel(&mut body, &mut y, "Poll of a feed that has not changed (304)", unchanged);
    y += 26.0;
    let notes = [
        format!("listend and the bare client (reqwest): {};", measured.machine),
        format!("{}.", measured.farm),
        format!("Others: measured on {MEASURED_ON}, 2 cores at 2.5 GHz, 1,000 such feeds, with their databases."),
    ];
    for note in notes {
        let _ = writeln!(body, "<text class=\"note\" x=\"16\" y=\"{y:.0}\">{}</text>", escaped(&note));
        y += 18.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" width=\"{WIDTH}\" height=\"{y:.0}\" \
         role=\"img\" aria-labelledby=\"title\">\n<title id=\"title\">Processor time a feed: listend {:.2} ms for the \
         first poll and {:.3} ms for a feed that has not changed, beside a bare client and ten other aggregators</title>\n\
         <style>\n{STYLE}</style>\n<rect class=\"ground\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">Milliseconds of processor time a feed (logarithmic; less is better)</text>\n\
         {body}</svg>\n",
        measured.listend_cold, measured.listend_unchanged
    )
}

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.panel { font-weight: 600; }
.note, .tick { font-size: 11px; fill: #59636e; }
.ground { fill: #ffffff; }
.grid { stroke: #d1d9e0; }
.peer { fill: #a0a9b4; }
.client { fill: #6f8fb3; }
.listend { fill: #c2410c; }
.own { font-weight: 600; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note, .tick { fill: #9198a1; }
  .ground { fill: #0d1117; }
  .grid { stroke: #30363d; }
  .peer { fill: #5b6571; }
  .client { fill: #55789f; }
  .listend { fill: #f0883e; }
}
";

/// Where a value lies on the scale.
fn place(ms: f64) -> f64 {
    let (least, most) = (f64::from(DECADES.0), f64::from(DECADES.1));
    let share = (ms.log10() - least) / (most - least);
    LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
}

fn panel(out: &mut String, y: &mut f64, title: &str, mut bars: Vec<Bar>) {
    bars.sort_by(|a, b| a.ms.total_cmp(&b.ms));
    let _ = writeln!(out, "<text class=\"panel\" x=\"16\" y=\"{:.0}\">{}</text>", *y, escaped(title));
    let (top, bottom) = (*y + 8.0, *y + 12.0 + STEP * bars.len() as f64);
    for decade in DECADES.0..=DECADES.1 {
        let value = 10f64.powi(decade);
        let x = place(value);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.0}\" y2=\"{bottom:.0}\"/>\n\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{value}</text>",
            bottom + 13.0
        );
    }
    *y += 14.0;
    for bar in bars {
        let (class, weight) = match bar.who {
            Who::Listend => ("listend", "own"),
            Who::Client => ("client", ""),
            Who::Peer => ("peer", ""),
        };
        let (end, middle) = (place(bar.ms), *y + 12.5);
        // Two figures: no measurement on a machine that has other things to do is worth more.
        let digits = [0.1, 1.0, 10.0].into_iter().filter(|bound| bar.ms < *bound).count();
        let _ = writeln!(
            out,
            "<text class=\"{weight}\" x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.0}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>\n\
             <text class=\"{weight}\" x=\"{:.1}\" y=\"{middle:.1}\">{:.digits$}</text>",
            LEFT - 8.0,
            escaped(&bar.name),
            *y,
            (end - LEFT).max(1.0),
            end + 6.0,
            bar.ms
        );
        *y += STEP;
    }
    *y = bottom + 13.0;
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
