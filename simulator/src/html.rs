//! The report as one page that needs nothing else: numbers, and plots as inline SVG.

use std::fmt::Write;

use crate::limits::PLOT_POINTS_MAX;
use crate::report::{Done, Report, Second};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 28.0;
const TOP: f64 = 12.0;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;\
padding:0 1em;color:#222;background:#fff}table{border-collapse:collapse}td,th{padding:.15em .9em \
.15em 0;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;\
height:auto}pre{background:#f4f4f4;padding:1em;overflow-x:auto}.bad{color:#b00020}.good{color:\
#1a7f37}text{font:12px system-ui,sans-serif;fill:#555}";

struct Line<'a> {
    name: &'a str,
    color: &'a str,
    points: Vec<(f64, f64)>,
}

impl Report {
    /// As an HTML page.
    pub fn to_html(&self) -> String {
        let title = format!("Pollux: {}, {} devices", self.run, self.devices);
        let (class, verdict) = if self.failed() {
            ("bad", "failed: something was lost, doubled or went back")
        } else if self.verified {
            ("good", "verified: everything acknowledged was read back, once")
        } else {
            ("", "not verified")
        };
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{0}</title>\
             <style>{STYLE}</style></head><body><h1>{0}</h1>\
             <p class=\"{class}\">{verdict}</p>",
            escape(&title)
        );
        let seconds = thinned(&self.timeline);
        let line = |name, color, of: fn(&Second) -> f64| Line {
            name,
            color,
            points: seconds.iter().map(|second| (second.at_s, of(second))).collect(),
        };
        page.push_str("<h2>Throughput</h2>");
        let rate = line("a second", "#0b62c4", |s| s.done as f64 / s.elapsed_s.max(0.001));
        page.push_str(&plot(&[rate], "/s"));
        page.push_str("<h2>Latency</h2>");
        let lines = [
            line("p50", "#1a7f37", |s| s.p50_us as f64 / 1000.0),
            line("p99", "#c4570b", |s| s.p99_us as f64 / 1000.0),
            line("longest", "#999999", |s| s.max_us as f64 / 1000.0),
        ];
        page.push_str(&plot(&lines, "ms"));
        page.push_str("<h2>Numbers</h2>");
        page.push_str(&self.table());
        if !self.errors_by_kind.is_empty() {
            page.push_str("<h2>Errors</h2><table>");
            for (kind, count) in &self.errors_by_kind {
                row(&mut page, kind, &count.to_string());
            }
            page.push_str("</table>");
        }
        for history in &self.histories {
            let _never = write!(page, "<pre class=\"bad\">{}</pre>", escape(history));
        }
        // The plots show the timeline already.
        let numbers = Self { timeline: Vec::new(), ..self.clone() };
        let _never = write!(page, "<h2>As JSON</h2><pre>{}</pre>", escape(&numbers.to_json()));
        page.push_str("</body></html>\n");
        page
    }

    fn table(&self) -> String {
        let optional =
            |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| format!("{v:.1}"));
        let bytes = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |v| v.to_string());
        let mut table = "<table>".to_owned();
        let rows = [
            ("reports acknowledged", self.acked.to_string()),
            ("a second", format!("{:.0}", self.acked_per_s)),
            ("p50, us", self.ack_p50_us.to_string()),
            ("p90, us", self.ack_p90_us.to_string()),
            ("p99, us", self.ack_p99_us.to_string()),
            ("p99.9, us", self.ack_p999_us.to_string()),
            ("longest, us", self.ack_max_us.to_string()),
            ("connects a second", format!("{:.0}", self.connects_per_s)),
            ("connect p99, us", self.connect_latency.p99_us.to_string()),
            ("lost", self.lost.to_string()),
            ("doubled", self.doubled.to_string()),
            ("went back", self.went_back.to_string()),
            ("errors", self.errors.to_string()),
            ("server CPU, s", optional(self.server_cpu_s)),
            ("reports per server CPU second", optional(self.acked_per_server_cpu_s)),
            ("connects per server CPU second", optional(self.connects_per_server_cpu_s)),
            ("reads per server CPU second", optional(self.reads_per_server_cpu_s)),
            ("server resident, bytes", bytes(self.server_rss_bytes)),
            ("the same per device", optional(self.server_rss_per_device_bytes)),
        ];
        for (name, value) in rows {
            row(&mut table, name, &value);
        }
        for (name, done) in [
            ("telemetry", &self.telemetry),
            ("desired", &self.desired),
            ("commands", &self.commands),
            ("reads", &self.reads),
        ] {
            let Done { count, per_s, latency } = done;
            if *count > 0 {
                let value = format!("{count}, {per_s:.0}/s, p99 {} us", latency.p99_us);
                row(&mut table, name, &value);
            }
        }
        for (name, count, p50_us, p99_us) in [
            ("failovers", self.failovers, self.failover_p50_us, self.failover_p99_us),
            ("hand-offs", self.handoffs, self.handoff_p50_us, self.handoff_p99_us),
        ] {
            if count > 0 {
                row(&mut table, name, &format!("{count}, p50 {p50_us} us, p99 {p99_us} us"));
            }
        }
        table.push_str("</table>");
        table
    }
}

fn row(table: &mut String, name: &str, value: &str) {
    let (name, value) = (escape(name), escape(value));
    let _never = write!(table, "<tr><td>{name}</td><td class=\"n\">{value}</td></tr>");
}

/// As many seconds as a plot can show: of each group the one with the longest latency.
fn thinned(timeline: &[Second]) -> Vec<Second> {
    let group = timeline.len().div_ceil(PLOT_POINTS_MAX).max(1);
    timeline.chunks(group).filter_map(|g| g.iter().max_by_key(|s| s.max_us).copied()).collect()
}

fn plot(lines: &[Line<'_>], unit: &str) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let (x_max, y_max) =
        all().fold((1.0_f64, 0.0_f64), |(x, y), point| (x.max(point.0), y.max(point.1)));
    let y_max = round_up(y_max);
    let x = |at: f64| LEFT + at / x_max * (WIDTH - LEFT - 10.0);
    let y = |value: f64| HEIGHT - BOTTOM - value / y_max * (HEIGHT - BOTTOM - TOP);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for quarter in 0..=4 {
        let value = y_max * f64::from(quarter) / 4.0;
        let _never = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value} {unit}</text>",
            WIDTH - 10.0,
            LEFT - 6.0,
            y(value) + 4.0,
            y = y(value),
        );
        let at = x_max * f64::from(quarter) / 4.0;
        let _never = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{at:.0} s</text>",
            x(at),
            HEIGHT - 8.0
        );
    }
    for (at, line) in lines.iter().enumerate() {
        let mut points = String::new();
        for (px, py) in &line.points {
            let _never = write!(points, "{:.1},{:.1} ", x(*px), y(*py));
        }
        let Line { name, color, .. } = line;
        let _never = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"1.6\" points=\"{}\"/>\
             <text x=\"{}\" y=\"{TOP}\" style=\"fill:{color}\">{name}</text>",
            points.trim_end(),
            LEFT + 10.0 + 70.0 * at as f64
        );
    }
    svg.push_str("</svg>");
    svg
}

/// The next of 1, 2, 4, 10 times a power of ten: quarters of it are short to write.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-3).log10().floor());
    [1.0, 2.0, 4.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|top| *top >= value)
        .unwrap_or(value)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_plots_and_escapes_what_it_shows() {
        let second = |at: u32| Second {
            at_s: f64::from(at),
            elapsed_s: 1.0,
            done: u64::from(at) * 100,
            p50_us: 900,
            p99_us: 4_000,
            max_us: 9_000,
        };
        let report = Report {
            run: "a <run>".to_owned(),
            timeline: (1..=2_000).map(second).collect(),
            histories: vec!["device \"x\" & co".to_owned()],
            lost: 1,
            ..Report::default()
        };
        let page = report.to_html();
        assert_eq!(page.matches("<polyline").count(), 4);
        assert!(page.contains("a &lt;run&gt;") && page.contains("&amp; co"));
        assert!(page.contains("failed"));
        assert!(!page.contains("http"), "nothing is fetched from elsewhere");
        assert!(page.len() < 100_000, "{}", page.len());
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, top) in
            [(0.7, 1.0), (1.5, 2.0), (3.0, 4.0), (47.0, 100.0), (19_000.0, 20_000.0)]
        {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }
}
