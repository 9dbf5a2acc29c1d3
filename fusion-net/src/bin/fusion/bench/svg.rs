//! Charts with two logarithmic axes, as SVG.

use crate::table::count;
use std::fmt::Write;

/// The size of a chart in pixels, and the part of it around the plane.
const WIDTH: f64 = 470.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 42.0;
/// A line of the legend, and the page's edge.
const LINE: f64 = 20.0;
const EDGE: f64 = 16.0;
/// An axis reaches at least so many times from its first to its last figure, so that two of [`FINE`] are on it.
const REACH: f64 = 2.0;
/// Where an axis has ticks in each decade: of several decades, of few, and where less would leave fewer than two.
const COARSE: &[f64] = &[1.0];
const USUAL: &[f64] = &[1.0, 2.0, 5.0];
const FINE: &[f64] = &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// Without gaps, and with dots at its points.
    Solid,
    /// Long dashes.
    Dashed,
    /// Short dashes.
    Dotted,
}

impl Stroke {
    fn dashes(self) -> &'static str {
        match self {
            Stroke::Solid => "",
            Stroke::Dashed => " stroke-dasharray=\"6 4\"",
            Stroke::Dotted => " stroke-dasharray=\"1.5 3.5\"",
        }
    }
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Above 0, from left to right.
    pub(crate) points: Vec<(f64, f64)>,
    /// As CSS names it.
    pub(crate) color: &'static str,
    /// How it is drawn.
    pub(crate) stroke: Stroke,
}

/// A plane with lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chart {
    /// Above it.
    pub(crate) title: String,
    /// Below it, with the unit.
    pub(crate) x: &'static str,
    /// At its left, with the unit.
    pub(crate) y: &'static str,
    /// The lines.
    pub(crate) series: Vec<Series>,
}

/// What colors and strokes mean.
#[derive(Clone, Debug)]
pub(crate) struct Legend {
    /// In which color and stroke.
    pub(crate) color: &'static str,
    /// See there.
    pub(crate) stroke: Stroke,
    /// What.
    pub(crate) text: String,
}

/// A logarithmic axis.
#[derive(Clone, Copy, Debug)]
struct Axis {
    from: f64,
    to: f64,
    /// Where these two are, in pixels.
    at: (f64, f64),
}

impl Axis {
    /// Around these figures.
    fn around(figures: impl Iterator<Item = f64>, at: (f64, f64)) -> Axis {
        let (mut from, mut to) = (f64::INFINITY, 0f64);
        for figure in figures.filter(|f| *f > 0.0 && f.is_finite()) {
            (from, to) = (from.min(figure), to.max(figure));
        }
        if from > to {
            (from, to) = (1.0, 10.0);
        }
        let edge = (REACH * from / to).sqrt().max(1.15);
        Axis {
            from: from / edge,
            to: to * edge,
            at,
        }
    }

    fn place(&self, figure: f64) -> f64 {
        let part = (figure.max(self.from) / self.from).ln() / (self.to / self.from).ln();
        self.at.0 + part * (self.at.1 - self.at.0)
    }

    /// Round figures, two or more.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.to / self.from).log10();
        let usual = if decades > 3.0 { COARSE } else { USUAL };
        let ticks = self.multiples(usual);
        if ticks.len() < 2 {
            return self.multiples(FINE);
        }
        ticks
    }

    /// These figures of each decade, where they are on the axis.
    fn multiples(&self, steps: &[f64]) -> Vec<f64> {
        let (low, high) = (
            self.from.log10().floor() as i32,
            self.to.log10().ceil() as i32,
        );
        let all = (low..=high).flat_map(|e| steps.iter().map(move |s| s * 10f64.powi(e)));
        all.filter(|t| (self.from..=self.to).contains(t)).collect()
    }
}

/// A figure in a few letters.
fn short(figure: f64) -> String {
    let (value, unit) = match figure {
        f if f >= 1e6 => (f / 1e6, "M"),
        f if f >= 1e3 => (f / 1e3, "k"),
        f => (f, ""),
    };
    format!("{}{unit}", (value * 100.0).round() / 100.0)
}

/// A figure that was asked for, in full where it cannot be short: 100k, but 1,024.
fn exact(figure: f64) -> String {
    let is_short = (figure * 100.0).fract() == 0.0 && (figure < 1e3 || figure % 1e3 == 0.0);
    if is_short || figure.fract() != 0.0 {
        short(figure)
    } else {
        count(figure as u64)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl Chart {
    fn draw(&self, out: &mut String, left: f64, top: f64) -> std::fmt::Result {
        let points = || self.series.iter().flat_map(|s| &s.points);
        let (x0, x1) = (left + LEFT, left + WIDTH - RIGHT);
        let (y0, y1) = (top + HEIGHT - BOTTOM, top + TOP);
        let xs = Axis::around(points().map(|p| p.0), (x0, x1));
        let ys = Axis::around(points().map(|p| p.1), (y0, y1));
        let middle = (x0 + x1) / 2.0;
        writeln!(
            out,
            "<text x=\"{x0}\" y=\"{}\" font-weight=\"bold\">{}</text>",
            top + TOP - 12.0,
            escape(&self.title)
        )?;
        for tick in ys.ticks() {
            let y = ys.place(tick);
            writeln!(out, "<path d=\"M{x0} {y:.1}H{x1}\" stroke=\"#e3e3e3\"/>")?;
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                x0 - 6.0,
                y + 4.0,
                short(tick)
            )?;
        }
        // At the figures themselves, since only these were measured.
        let mut at: Vec<f64> = points().map(|p| p.0).collect();
        at.sort_unstable_by(f64::total_cmp);
        at.dedup();
        for tick in at {
            let x = xs.place(tick);
            writeln!(out, "<path d=\"M{x:.1} {y0}V{y1}\" stroke=\"#f0f0f0\"/>")?;
            writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                y0 + 16.0,
                exact(tick)
            )?;
        }
        writeln!(
            out,
            "<path d=\"M{x0} {y1}V{y0}H{x1}\" fill=\"none\" stroke=\"#777\"/>"
        )?;
        writeln!(
            out,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444\">{}</text>",
            y0 + 34.0,
            escape(self.x)
        )?;
        let (x, y) = (left + 13.0, (y0 + y1) / 2.0);
        writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"#444\" transform=\"rotate(-90 {x:.1} {y:.1})\">{}</text>",
            escape(self.y)
        )?;
        for series in &self.series {
            series.draw(out, &xs, &ys)?;
        }
        Ok(())
    }
}

impl Series {
    fn draw(&self, out: &mut String, xs: &Axis, ys: &Axis) -> std::fmt::Result {
        let place = |p: &(f64, f64)| (xs.place(p.0), ys.place(p.1));
        let points: Vec<_> = self.points.iter().map(place).collect();
        let line: Vec<String> = points
            .iter()
            .map(|p| format!("{:.1},{:.1}", p.0, p.1))
            .collect();
        let (color, dashes) = (self.color, self.stroke.dashes());
        writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" stroke-linejoin=\"round\"{dashes}/>",
            line.join(" ")
        )?;
        if self.stroke == Stroke::Solid {
            for (x, y) in points {
                writeln!(
                    out,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
                )?;
            }
        }
        Ok(())
    }
}

/// So many entries of a legend in a row, as there are charts.
const LEGEND: usize = 2;

/// A page with a heading of some lines, a legend, and charts two in a row.
pub(crate) fn page(heading: &str, legend: &[Legend], charts: &[Chart]) -> String {
    let mut out = String::new();
    // A string takes whatever is written to it.
    let _ = draw(&mut out, heading, legend, charts);
    out
}

fn draw(out: &mut String, heading: &str, legend: &[Legend], charts: &[Chart]) -> std::fmt::Result {
    let legend_rows = legend.len().div_ceil(LEGEND) as f64;
    let lines: Vec<&str> = heading.lines().collect();
    let below = EDGE + lines.len() as f64 * 15.0;
    let top = below + 12.0 + legend_rows * LINE;
    let width = 2.0 * (WIDTH + EDGE) + EDGE;
    let height = top + charts.len().div_ceil(2) as f64 * (HEIGHT + EDGE) + EDGE;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">"
    )?;
    writeln!(out, "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>")?;
    for (i, line) in lines.into_iter().enumerate() {
        let y = EDGE + 10.0 + i as f64 * 15.0;
        writeln!(
            out,
            "<text x=\"{EDGE}\" y=\"{y}\" font-size=\"11\" fill=\"#444\">{}</text>",
            escape(line)
        )?;
    }
    for (i, entry) in legend.iter().enumerate() {
        let (x, y) = (
            EDGE + (i % LEGEND) as f64 * (WIDTH + EDGE),
            below + 18.0 + (i / LEGEND) as f64 * LINE,
        );
        let (color, dashes) = (entry.color, entry.stroke.dashes());
        writeln!(
            out,
            "<path d=\"M{x:.1} {:.1}h28\" stroke=\"{color}\" stroke-width=\"2.5\"{dashes}/>",
            y - 4.0
        )?;
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            x + 36.0,
            escape(&entry.text)
        )?;
    }
    for (i, chart) in charts.iter().enumerate() {
        let left = EDGE + (i % 2) as f64 * (WIDTH + EDGE);
        chart.draw(out, left, top + (i / 2) as f64 * (HEIGHT + EDGE))?;
    }
    writeln!(out, "</svg>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decade_takes_the_same_room_everywhere() {
        let axis = Axis {
            from: 1.0,
            to: 1000.0,
            at: (0.0, 300.0),
        };
        let places = [1.0, 10.0, 100.0, 1000.0].map(|f| axis.place(f).round());
        assert_eq!(places, [0.0, 100.0, 200.0, 300.0]);
        assert_eq!(
            axis.ticks(),
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
        );
    }

    #[test]
    fn nothing_measured_is_still_a_picture() {
        let none = Chart::default();
        let text = page("a < b", &[], &[none]);
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
        assert!(text.contains("a &lt; b") && !text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn an_axis_has_two_ticks_whatever_was_measured() {
        for percent in 100..1000 {
            let figure = f64::from(percent) / 100.0;
            for times in [1.0, 1.2, 1.7, 2.3] {
                let axis = Axis::around([figure, figure * times].into_iter(), (0.0, 1.0));
                assert!(axis.ticks().len() >= 2, "{figure}, {times}: {axis:?}");
            }
        }
    }

    #[test]
    fn what_was_asked_for_is_not_rounded() {
        assert_eq!(
            [
                exact(8.0),
                exact(1024.0),
                exact(16384.0),
                exact(1e5),
                exact(1e6)
            ],
            ["8", "1,024", "16,384", "100k", "1M"]
        );
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(
            [short(1.0), short(2500.0), short(1e6), short(0.05)],
            ["1", "2.5k", "1M", "0.05"]
        );
    }
}
