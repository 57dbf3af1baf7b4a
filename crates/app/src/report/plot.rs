//! Plots as SVG: lines over axes, with the values under the pointer. Style sheets show these, so there is no script.

use maud::{Markup, PreEscaped, html};

/// Size of a plot, in units of the SVG.
const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 250.0;
/// Height above a plot in a file of its own, for its caption, and for each line of its legend.
const HEAD: f64 = 22.0;
const LEGEND_ENTRY: f64 = 14.0;
/// Most names on an axis that do not touch.
const MAX_NAMES: usize = 6;
/// Edges of the area between the axes.
const LEFT: f64 = 56.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 40.0;

/// Colours and font of a plot in a file of its own, dark on a dark screen; `plot.css` uses them.
const FILE_STYLE: &str = "
svg { --ink: #1d2126; --soft: #5d6670; --paper: #fff; --rule: #dcdfe4; --s0: #2563b0; --s1: #e8b48f;
  --s2: #2a8f5b; --s3: #a04fb0; --s4: #b03a3a; --s5: #8a8a2a; --s6: #2a8a8a; --s7: #5d6670;
  font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8eb; --soft: #9aa3ad; --paper: #14171b; --rule: #343a42;
  --s0: #79b0f2; --s1: #7a5230; } }
.paper { fill: var(--paper); }
";

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Equal differences have equal lengths.
    Linear,
    /// Equal factors have equal lengths.
    Log,
}

/// An axis of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    label: &'static str,
    range: [f64; 2],
    scale: Scale,
    /// Names of the values 0, 1, 2 and so on, instead of numbers; empty for numbers.
    names: Vec<String>,
}

impl Axis {
    /// An axis with this range.
    pub(crate) fn new(label: &'static str, range: [f64; 2]) -> Self {
        Self { label, range, scale: Scale::Linear, names: Vec::new() }
    }

    /// The same with another scale.
    pub(super) fn with_scale(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// An axis of names instead of numbers: the first is at 0, the next at 1.
    pub(crate) fn of_names(label: &'static str, names: Vec<String>) -> Self {
        let range = [-0.5, names.len().max(1) as f64 - 0.5];
        Self { names, ..Self::new(label, range) }
    }

    /// An axis that contains these values: from zero, or with [`Scale::Log`] around those above zero.
    pub(crate) fn around(label: &'static str, scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let values = values.filter(|value| value.is_finite() && (*value > 0.0 || scale == Scale::Linear));
        let [low, high] =
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
        let range = match scale {
            _ if low > high => [0.1, 1.0],
            Scale::Linear => [0.0, if high > 0.0 { 1.05 * high } else { 1.0 }],
            Scale::Log => [low / 1.2, high * 1.2],
        };
        Self { label, range, scale, names: Vec::new() }
    }

    /// The position of a value on the axis, 0 to 1.
    pub(super) fn position(&self, value: f64) -> f64 {
        let [low, high] = self.range;
        let position = match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value / low).ln() / (high / low).ln(),
        };
        position.clamp(0.0, 1.0)
    }

    /// The values that are marked on the axis: 1, 2 or 5 times powers of ten.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let [low, high] = self.range;
        match self.scale {
            Scale::Linear if !self.names.is_empty() => {
                let n = self.names.len();
                // The last one always has its name.
                (0..n).rev().step_by(n.div_ceil(MAX_NAMES)).map(|at| at as f64).collect()
            }
            Scale::Linear => {
                let rough = (high - low) / 5.0;
                let power = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
                let step = step.into_iter().find(|&step| step >= rough).unwrap_or(10.0 * power);
                let first = (low / step).ceil() as i64;
                (first..).map(|at| at as f64 * step).take_while(|&tick| tick <= high * (1.0 + 1e-9)).collect()
            }
            Scale::Log => {
                let powers = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
                let ticks = |factors: &[f64]| -> Vec<f64> {
                    let all =
                        powers.clone().flat_map(|power| factors.iter().map(move |f| f * 10f64.powi(power)));
                    all.filter(|tick| (low..=high).contains(tick)).collect()
                };
                let decades = ticks(&[1.0]);
                if decades.len() >= 3 { decades } else { ticks(&[1.0, 2.0, 5.0]) }
            }
        }
    }

    /// What is written at a tick.
    pub(super) fn tick_text(&self, tick: f64) -> String {
        self.names.get(tick as usize).cloned().unwrap_or_else(|| number(tick))
    }
}

/// Points of a plot that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    /// `[x, y]`, in ascending order of `x`.
    pub(crate) points: Vec<[f64; 2]>,
    pub(crate) style: SeriesStyle,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeriesStyle {
    Line,
    LineWithDots,
    Dots,
}

/// A text that appears when the pointer is near a position on the x axis.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    pub(crate) x: f64,
    pub(crate) text: String,
}

/// What is drawn behind the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guide {
    None,
    /// The line from corner to corner.
    Diagonal,
}

/// Where a plot is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a page, which has its style; caption and legend are beside the SVG.
    Page,
    /// In a file of its own, with style, caption and legend inside the SVG.
    File,
}

/// A plot of `series` with a caption and a legend.
pub(super) fn plot(
    caption: &str,
    x: &Axis,
    y: &Axis,
    series: &[Series<'_>],
    tips: &[Tip],
    guide: Guide,
) -> Markup {
    html! {
        figure.plot {
            figcaption { (caption) }
            (svg(caption, [x, y], series, tips, guide, Place::Page))
            @if series.len() > 1 || series.iter().any(|series| !series.name.is_empty()) {
                p.legend {
                    @for (index, series) in series.iter().enumerate() {
                        span class=(format!("key s{}", index % 8)) { (series.name) }
                    }
                }
            }
        }
    }
}

/// The same as a file of its own, with the caption and the legend inside the SVG.
pub(crate) fn file(caption: &str, x: &Axis, y: &Axis, series: &[Series<'_>], tips: &[Tip]) -> String {
    svg(caption, [x, y], series, tips, Guide::None, Place::File).into_string()
}

fn svg(
    caption: &str,
    [x, y]: [&Axis; 2],
    series: &[Series<'_>],
    tips: &[Tip],
    guide: Guide,
    place: Place,
) -> Markup {
    let is_file = place == Place::File;
    let at_x = |value: f64| LEFT + x.position(value) * (RIGHT - LEFT);
    let at_y = |value: f64| BOTTOM - y.position(value) * (BOTTOM - TOP);
    let path = |points: &[[f64; 2]]| {
        let points = points.iter().filter(|point| point.iter().all(|value| value.is_finite()));
        points.map(|&[px, py]| format!("{:.1},{:.1}", at_x(px), at_y(py))).collect::<Vec<_>>().join(" ")
    };
    let head = if is_file { HEAD + LEGEND_ENTRY * series.len() as f64 } else { 0.0 };
    html! {
        svg viewBox=(format!("0 {} {WIDTH} {}", 0.0 - head, HEIGHT + head)) role="img" aria-label=(caption) xmlns=[is_file.then_some("http://www.w3.org/2000/svg")] {
            @if is_file {
                style { (PreEscaped(FILE_STYLE)) (PreEscaped(include_str!("plot.css"))) }
                rect.paper y=(-head) width=(WIDTH) height=(HEIGHT + head) {}
            }
            @for tick in y.ticks() {
                line.grid x1=(LEFT) x2=(RIGHT) y1=(rounded(at_y(tick))) y2=(rounded(at_y(tick))) {}
                text.tick x=(LEFT - 6.0) y=(rounded(at_y(tick) + 3.5)) text-anchor="end" { (y.tick_text(tick)) }
            }
            @for tick in x.ticks() {
                line.grid x1=(rounded(at_x(tick))) x2=(rounded(at_x(tick))) y1=(TOP) y2=(BOTTOM) {}
                text.tick x=(rounded(at_x(tick))) y=(BOTTOM + 15.0) text-anchor="middle" { (x.tick_text(tick)) }
            }
            text.label x=(f64::midpoint(LEFT, RIGHT)) y=(HEIGHT - 6.0) text-anchor="middle" { (x.label) }
            text.label x="0" y="0" text-anchor="middle"
                transform=(format!("translate(11 {}) rotate(-90)", f64::midpoint(TOP, BOTTOM))) { (y.label) }
            @if guide == Guide::Diagonal {
                line.diagonal x1=(LEFT) y1=(BOTTOM) x2=(RIGHT) y2=(TOP) {}
            }
            @for (index, series) in series.iter().enumerate() {
                @if series.style != SeriesStyle::Dots {
                    polyline class=(format!("line s{}", index % 8)) points=(path(&series.points)) {}
                }
                @if series.style != SeriesStyle::Line {
                    @for &[px, py] in &series.points {
                        circle class=(format!("dot s{}", index % 8)) cx=(rounded(at_x(px))) cy=(rounded(at_y(py))) r="3" {}
                    }
                }
            }
            @if is_file {
                text.value x=(LEFT) y=(16.0 - head) { (caption) }
                @for (row, (index, series)) in series.iter().enumerate().rev().enumerate() {
                    @let y = 0.0 - LEGEND_ENTRY * row as f64;
                    line class=(format!("line s{}", index % 8)) x1=(LEFT) x2=(LEFT + 16.0) y1=(y - 4.0) y2=(y - 4.0) {}
                    text.label x=(LEFT + 21.0) y=(y) { (series.name) }
                }
            }
            @for (index, tip) in tips.iter().enumerate() {
                (hover(index, tips, at_x, &tip.text))
            }
        }
    }
}

/// A strip of the plot that shows a text: from halfway to the previous tip to halfway to the next one.
fn hover(index: usize, tips: &[Tip], at_x: impl Fn(f64) -> f64, text: &str) -> Markup {
    let here = at_x(tips[index].x);
    let before = index.checked_sub(1).map_or(LEFT, |before| f64::midpoint(at_x(tips[before].x), here));
    let after = tips.get(index + 1).map_or(RIGHT, |after| f64::midpoint(at_x(after.x), here));
    // The text must not leave the plot.
    let (anchor, x) =
        if here < f64::midpoint(LEFT, RIGHT) { ("start", here + 5.0) } else { ("end", here - 5.0) };
    html! {
        g.tip {
            rect.strip x=(rounded(before)) width=(rounded((after - before).max(0.5))) y=(TOP) height=(BOTTOM - TOP) {
                title { (text) }
            }
            line.cursor x1=(rounded(here)) x2=(rounded(here)) y1=(TOP) y2=(BOTTOM) {}
            @for (row, line) in text.lines().enumerate() {
                text.value x=(rounded(x)) y=(rounded(TOP + 12.0 + 14.0 * row as f64)) text-anchor=(anchor) { (line) }
            }
        }
    }
}

pub(super) fn rounded(coordinate: f64) -> String {
    format!("{coordinate:.1}")
}

/// A number at an axis, without trailing zeros.
fn number(value: f64) -> String {
    let digits = format!("{value:.6}");
    let short = digits.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Axis::new("", [0.0, 1.0]).ticks().len(), 6);
        assert_eq!(Axis::new("", [1.0, 4.0]).ticks(), [1.0, 2.0, 3.0, 4.0]);
        let decades = Axis::around("", Scale::Log, [0.003, 9.0].into_iter()).ticks();
        assert_eq!(decades, [0.01, 0.1, 1.0, 10.0]);
        let close = Axis::around("", Scale::Log, [0.3, 0.9].into_iter()).ticks();
        assert_eq!(close, [0.5, 1.0]);
    }

    #[test]
    fn names_are_at_their_values_and_do_not_touch() {
        let axis = |n: usize| Axis::of_names("", (0..n).map(|at| format!("name {at}")).collect());
        assert_eq!(axis(2).ticks(), [1.0, 0.0]);
        assert_eq!([axis(2).position(0.0), axis(2).position(1.0)], [0.25, 0.75]);
        assert_eq!(axis(13).ticks(), [12.0, 9.0, 6.0, 3.0, 0.0]);
        assert_eq!(axis(13).tick_text(12.0), "name 12");
        assert!(axis(0).range[0] < axis(0).range[1]);
    }

    #[test]
    fn axes_accept_values_that_are_not_finite_or_positive() {
        for values in [vec![], vec![f64::NAN], vec![0.0], vec![f64::INFINITY, 1.0], vec![-1.0]] {
            for scale in [Scale::Linear, Scale::Log] {
                let axis = Axis::around("", scale, values.iter().copied());
                assert!(axis.range[0] < axis.range[1] && axis.ticks().len() < 20, "{values:?} {axis:?}");
            }
        }
    }

    #[test]
    fn caption_and_legend_of_a_file_are_above_the_plot() {
        let axis = Axis::new("x", [0.0, 2.0]);
        let series =
            ["all", "some"].map(|name| Series { name, points: vec![[0.0, 2.0]], style: SeriesStyle::Line });
        let svg = file("caption", &axis, &axis, &series, &[]);
        for label in [">caption</text>", ">all</text>", ">some</text>"] {
            let before = svg.split_once(label).expect(label).0;
            let y = before
                .rsplit_once(" y=\"")
                .and_then(|(_, after)| after.split('"').next())
                .expect("a y attribute");
            assert!(y.parse::<f64>().is_ok_and(|y| (-50.0 + 11.0..TOP).contains(&y)), "{label} at {y}");
        }
        assert!(svg.contains("viewBox=\"0 -50 380 300\""), "{svg}");
        assert!(
            plot("", &axis, &axis, &[], &[], Guide::None).into_string().contains("viewBox=\"0 0 380 250\"")
        );
    }

    #[test]
    fn a_plot_shows_every_point_and_tip() {
        let axis = Axis::new("x", [0.0, 2.0]);
        let series = Series {
            name: "a <b>",
            points: vec![[0.0, 0.0], [1.0, 2.0], [2.0, f64::NAN]],
            style: SeriesStyle::Line,
        };
        let tips = [Tip { x: 0.0, text: "first\nline".into() }, Tip { x: 2.0, text: "last".into() }];
        let svg = plot("caption", &axis, &axis, &[series], &tips, Guide::Diagonal).into_string();
        assert!(svg.contains("points=\"56.0,210.0 213.0,12.0\""), "{svg}");
        assert!(svg.contains("a &lt;b&gt;") && svg.matches("class=\"tip\"").count() == 2);
        assert_eq!([number(0.5), number(-0.0), number(20.0), number(0.001)], ["0.5", "0", "20", "0.001"]);
    }
}
