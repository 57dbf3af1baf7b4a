//! Plots as SVG: lines over axes, values shown where one points. No script: style sheets do it.

use maud::{Markup, PreEscaped, html};

/// Size of a plot, in its own units.
const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 250.0;
/// What a plot that stands alone has above it: its caption and the names of its lines.
const HEAD: f64 = 36.0;
/// Columns of a name there.
const NAME: f64 = 110.0;
/// Where its axes are.
const LEFT: f64 = 56.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 40.0;

/// Colours and letters of a plot that stands alone, dark where the reader's screen is; `plot.css` uses them.
const FILE_STYLE: &str = "
svg { --ink: #1d2126; --soft: #5d6670; --paper: #fff; --rule: #dcdfe4; --s0: #2563b0; --s1: #e8b48f;
  font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e8eb; --soft: #9aa3ad; --paper: #14171b; --rule: #343a42;
  --s0: #79b0f2; --s1: #7a5230; } }
.paper { fill: var(--paper); }
";

/// Distances on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Each factor is as long as any other equal one.
    Log,
}

/// One side of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    label: &'static str,
    range: [f64; 2],
    scale: Scale,
}

impl Axis {
    /// An axis with this range.
    pub(crate) fn new(label: &'static str, range: [f64; 2]) -> Self {
        Self { label, range, scale: Scale::Linear }
    }

    /// An axis for these values: for [`Scale::Log`] of those above zero, else from zero.
    pub(crate) fn around(label: &'static str, scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let values = values.filter(|value| value.is_finite() && (*value > 0.0 || scale == Scale::Linear));
        let [low, high] =
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
        let range = match scale {
            _ if low > high => [0.1, 1.0],
            Scale::Linear => [0.0, if high > 0.0 { 1.05 * high } else { 1.0 }],
            Scale::Log => [low / 1.2, high * 1.2],
        };
        Self { label, range, scale }
    }

    /// Where a value lies, 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let [low, high] = self.range;
        let share = match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value / low).ln() / (high / low).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Values to write at the axis: 1, 2 and 5 times powers of ten.
    fn ticks(&self) -> Vec<f64> {
        let [low, high] = self.range;
        match self.scale {
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
}

/// A line.
#[derive(Clone, Debug)]
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    /// In ascending order of the first number.
    pub(crate) points: Vec<[f64; 2]>,
    /// Whether the points themselves show.
    pub(crate) dots: bool,
}

/// What shows when one points at a place on the x axis.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    pub(crate) x: f64,
    pub(crate) text: String,
}

/// A plot of `series` with a caption; `diagonal` draws the line from corner to corner.
pub(crate) fn plot(
    caption: &str,
    x: &Axis,
    y: &Axis,
    series: &[Series<'_>],
    tips: &[Tip],
    diagonal: bool,
) -> Markup {
    html! {
        figure.plot {
            figcaption { (caption) }
            (svg(caption, [x, y], series, tips, diagonal, false))
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

/// The same as a file of its own, its caption and the names of its lines inside.
pub(crate) fn file(caption: &str, x: &Axis, y: &Axis, series: &[Series<'_>], tips: &[Tip]) -> String {
    svg(caption, [x, y], series, tips, false, true).into_string()
}

fn svg(
    caption: &str,
    [x, y]: [&Axis; 2],
    series: &[Series<'_>],
    tips: &[Tip],
    diagonal: bool,
    is_file: bool,
) -> Markup {
    let at_x = |value: f64| LEFT + x.share(value) * (RIGHT - LEFT);
    let at_y = |value: f64| BOTTOM - y.share(value) * (BOTTOM - TOP);
    let path = |points: &[[f64; 2]]| {
        let points = points.iter().filter(|point| point.iter().all(|value| value.is_finite()));
        points.map(|&[px, py]| format!("{:.1},{:.1}", at_x(px), at_y(py))).collect::<Vec<_>>().join(" ")
    };
    let head = if is_file { HEAD } else { 0.0 };
    html! {
        svg viewBox=(format!("0 {} {WIDTH} {}", 0.0 - head, HEIGHT + head)) role="img" aria-label=(caption) xmlns=[is_file.then_some("http://www.w3.org/2000/svg")] {
            @if is_file {
                style { (PreEscaped(FILE_STYLE)) (PreEscaped(include_str!("plot.css"))) }
                rect.paper y=(-HEAD) width=(WIDTH) height=(HEIGHT + HEAD) {}
            }
            @for tick in y.ticks() {
                line.grid x1=(LEFT) x2=(RIGHT) y1=(place(at_y(tick))) y2=(place(at_y(tick))) {}
                text.tick x=(LEFT - 6.0) y=(place(at_y(tick) + 3.5)) text-anchor="end" { (number(tick)) }
            }
            @for tick in x.ticks() {
                line.grid x1=(place(at_x(tick))) x2=(place(at_x(tick))) y1=(TOP) y2=(BOTTOM) {}
                text.tick x=(place(at_x(tick))) y=(BOTTOM + 15.0) text-anchor="middle" { (number(tick)) }
            }
            text.label x=(f64::midpoint(LEFT, RIGHT)) y=(HEIGHT - 6.0) text-anchor="middle" { (x.label) }
            text.label x="0" y="0" text-anchor="middle"
                transform=(format!("translate(11 {}) rotate(-90)", f64::midpoint(TOP, BOTTOM))) { (y.label) }
            @if diagonal {
                line.diagonal x1=(LEFT) y1=(BOTTOM) x2=(RIGHT) y2=(TOP) {}
            }
            @for (index, series) in series.iter().enumerate() {
                polyline class=(format!("line s{}", index % 8)) points=(path(&series.points)) {}
                @if series.dots {
                    @for &[px, py] in &series.points {
                        circle class=(format!("dot s{}", index % 8)) cx=(place(at_x(px))) cy=(place(at_y(py))) r="3" {}
                    }
                }
            }
            @if is_file {
                text.value x=(LEFT) y="-20" { (caption) }
                @for (left, (index, series)) in (0..).map(|at| LEFT + NAME * f64::from(at)).zip(series.iter().enumerate()) {
                    line class=(format!("line s{index}")) x1=(left) x2=(left + 16.0) y1="-4" y2="-4" {}
                    text.label x=(left + 21.0) y="0" { (series.name) }
                }
            }
            @for (index, tip) in tips.iter().enumerate() {
                (hover(index, tips, at_x, &tip.text))
            }
        }
    }
}

/// A strip of the plot, from halfway to the tip before to halfway to the next one, that shows a text.
fn hover(index: usize, tips: &[Tip], at_x: impl Fn(f64) -> f64, text: &str) -> Markup {
    let here = at_x(tips[index].x);
    let before = index.checked_sub(1).map_or(LEFT, |before| f64::midpoint(at_x(tips[before].x), here));
    let after = tips.get(index + 1).map_or(RIGHT, |after| f64::midpoint(at_x(after.x), here));
    // The text stays inside the plot.
    let (anchor, x) =
        if here < f64::midpoint(LEFT, RIGHT) { ("start", here + 5.0) } else { ("end", here - 5.0) };
    html! {
        g.tip {
            rect.strip x=(place(before)) width=(place((after - before).max(0.5))) y=(TOP) height=(BOTTOM - TOP) {
                title { (text) }
            }
            line.cursor x1=(place(here)) x2=(place(here)) y1=(TOP) y2=(BOTTOM) {}
            @for (row, line) in text.lines().enumerate() {
                text.value x=(place(x)) y=(place(TOP + 12.0 + 14.0 * row as f64)) text-anchor=(anchor) { (line) }
            }
        }
    }
}

fn place(coordinate: f64) -> String {
    format!("{coordinate:.1}")
}

/// A number at an axis, as short as it can be.
fn number(value: f64) -> String {
    let rounded = format!("{value:.6}");
    let short = rounded.trim_end_matches('0').trim_end_matches('.');
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
    fn axes_bear_odd_values() {
        for values in [vec![], vec![f64::NAN], vec![0.0], vec![f64::INFINITY, 1.0], vec![-1.0]] {
            for scale in [Scale::Linear, Scale::Log] {
                let axis = Axis::around("", scale, values.iter().copied());
                assert!(axis.range[0] < axis.range[1] && axis.ticks().len() < 20, "{values:?} {axis:?}");
            }
        }
    }

    #[test]
    fn what_a_file_says_of_itself_stands_above_the_plot() {
        let axis = Axis::new("x", [0.0, 2.0]);
        let series = ["all", "some"].map(|name| Series { name, points: vec![[0.0, 2.0]], dots: false });
        let svg = file("caption", &axis, &axis, &series, &[]);
        for words in [">caption</text>", ">all</text>", ">some</text>"] {
            let before = svg.split_once(words).expect(words).0;
            let y =
                before.rsplit_once(" y=\"").and_then(|(_, after)| after.split('"').next()).expect("a place");
            assert!(y.parse::<f64>().is_ok_and(|y| (-HEAD + 11.0..TOP).contains(&y)), "{words} at {y}");
        }
        assert!(svg.contains("viewBox=\"0 -36 380 286\""), "{svg}");
        assert!(plot("", &axis, &axis, &[], &[], false).into_string().contains("viewBox=\"0 0 380 250\""));
    }

    #[test]
    fn a_plot_shows_every_point_and_tip() {
        let axis = Axis::new("x", [0.0, 2.0]);
        let series =
            Series { name: "a <b>", points: vec![[0.0, 0.0], [1.0, 2.0], [2.0, f64::NAN]], dots: false };
        let tips = [Tip { x: 0.0, text: "first\nline".into() }, Tip { x: 2.0, text: "last".into() }];
        let svg = plot("caption", &axis, &axis, &[series], &tips, true).into_string();
        assert!(svg.contains("points=\"56.0,210.0 213.0,12.0\""), "{svg}");
        assert!(svg.contains("a &lt;b&gt;") && svg.matches("class=\"tip\"").count() == 2);
        assert_eq!([number(0.5), number(-0.0), number(20.0), number(0.001)], ["0.5", "0", "20", "0.001"]);
    }
}
