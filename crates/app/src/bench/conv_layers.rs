//! Each convolution of the model alone, in its three passes.

use roentgen_tensor::conv2d::Conv2dPass::{self, BackwardInput, BackwardWeight, Forward};
use roentgen_tensor::conv2d::{
    Conv2dGeometry, conv2d_backward_input, conv2d_backward_weight, conv2d_forward,
};
use roentgen_tensor::rng::{CounterRng, Purpose};
use serde::{Deserialize, Serialize};

use super::conv_work::Work;
use super::timing::measure;
use crate::terminal::screen::table;

/// Seconds spent on each pass of each layer.
const BUDGET_S: f64 = 0.5;

/// One convolution and its passes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ConvLayer {
    pub(super) name: String,
    c_in: usize,
    c_out: usize,
    h: usize,
    w: usize,
    batch: usize,
    pub(super) algorithm: String,
    pub(super) forward: PassResult,
    /// `None` for the first layer: the gradient of the images is not needed.
    pub(super) backward_input: Option<PassResult>,
    pub(super) backward_weight: PassResult,
}

/// One pass.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct PassResult {
    pub(super) ms: f64,
    /// Operations of the direct algorithm per second, whichever algorithm is used.
    gflops: f64,
    share_of_peak: f64,
    #[serde(default)]
    pub(super) work: Work,
}

impl PassResult {
    fn measure((g, pass): (&Conv2dGeometry, Conv2dPass), peak_gflops: f64, work: impl FnMut()) -> Self {
        let seconds = measure(BUDGET_S, work).median_s;
        let gflops = g.flops() / seconds / 1e9;
        Self { ms: seconds * 1e3, gflops, share_of_peak: gflops / peak_gflops, work: Work::of(g, pass) }
    }

    fn is_above_peak(&self) -> bool {
        self.share_of_peak > 1.0
    }

    /// The result as cells of a table.
    fn cells(self) -> [String; 3] {
        let mark = if self.is_above_peak() { "*" } else { " " };
        [
            format!("{:.1}", self.ms),
            format!("{:.0}", self.gflops),
            format!("{:.0} %{mark}", self.share_of_peak * 100.0),
        ]
    }
}

impl ConvLayer {
    /// Measures one layer; the first of a network has no pass to its input.
    pub(super) fn measure(name: &str, g: &Conv2dGeometry, is_first: bool, peak_gflops: f64) -> Self {
        let mut rng = CounterRng::new(0, Purpose::Synthetic, 0, 0);
        let mut random = |len: usize| (0..len).map(|_| rng.range(-1.0, 1.0)).collect::<Vec<f32>>();
        let (x, weight, bias) = (random(g.x_len()), random(g.weight_len()), random(g.c_out));
        let (mut y, grad_y) = (vec![0.0; g.y_len()], random(g.y_len()));
        let (mut grad_x, mut grad_weight) = (vec![0.0; g.x_len()], vec![0.0; g.weight_len()]);
        let forward = || conv2d_forward(g, &x, &weight, &bias, &mut y);
        let to_input = || conv2d_backward_input(g, &grad_y, &weight, &mut grad_x);
        let to_weight = || conv2d_backward_weight(g, &x, &grad_y, &mut grad_weight);
        Self {
            name: name.to_owned(),
            c_in: g.c_in,
            c_out: g.c_out,
            h: g.h,
            w: g.w,
            batch: g.n,
            algorithm: g.algorithm().name().to_owned(),
            forward: PassResult::measure((g, Forward), peak_gflops, forward),
            backward_input: (!is_first)
                .then(|| PassResult::measure((g, BackwardInput), peak_gflops, to_input)),
            backward_weight: PassResult::measure((g, BackwardWeight), peak_gflops, to_weight),
        }
    }

    /// The passes by name.
    pub(super) fn passes(&self) -> impl Iterator<Item = (&'static str, PassResult)> {
        let passes = [
            ("forward", Some(self.forward)),
            ("to input", self.backward_input),
            ("to weight", Some(self.backward_weight)),
        ];
        passes.into_iter().filter_map(|(name, pass)| Some((name, pass?)))
    }
}

/// Whether any pass is faster than the direct algorithm can be.
pub(super) fn any_above_peak(layers: &[ConvLayer]) -> bool {
    layers.iter().flat_map(ConvLayer::passes).any(|(_, pass)| pass.is_above_peak())
}

/// The layers as a table; without the GFLOP/s if it is wider than `width`.
pub(super) fn lines(layers: &[ConvLayer], width: usize) -> Vec<String> {
    let all = table(&rows(layers, &[0, 1, 2]));
    let fits = all.iter().all(|line| line.chars().count() <= width);
    if fits { all } else { table(&rows(layers, &[0, 2])) }
}

/// Headings, then a row per layer with the chosen columns of each pass.
fn rows(layers: &[ConvLayer], figures: &[usize]) -> Vec<Vec<String>> {
    let chosen = |cells: [&str; 3]| figures.iter().map(|&i| cells[i].to_owned()).collect::<Vec<_>>();
    let passes = ["forward", "to input", "weight"].map(|pass| {
        // The name of the pass is above the middle of its columns.
        let mut cells = vec![String::new(); figures.len()];
        cells[figures.len() / 2] = pass.to_owned();
        cells
    });
    let names = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![
        [names(["", "", ""]), passes.concat()].concat(),
        [names(["layer", "shape", "by"]), [(); 3].map(|()| chosen(["ms", "GFLOP/s", "peak "])).concat()]
            .concat(),
    ];
    for layer in layers {
        let shape = format!("{}->{} @{}", layer.c_in, layer.c_out, layer.h);
        let mut row = vec![layer.name.clone(), shape, layer.algorithm.clone()];
        for pass in [Some(layer.forward), layer.backward_input, Some(layer.backward_weight)] {
            let cells = pass.map_or(["-", "-", "- "].map(str::to_owned), PassResult::cells);
            row.extend(figures.iter().map(|&i| cells[i].clone()));
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_table_has_no_rates() {
        let layers = [ConvLayer::measure("conv1", &Conv2dGeometry::new(1, 8, 8, 1, 16), true, 1e-2)];
        let (wide, narrow) = (lines(&layers, 100), lines(&layers, 60));
        assert!(wide[1].contains("GFLOP/s") && !narrow[1].contains("GFLOP/s"));
        assert!(narrow[2].len() < wide[2].len(), "{narrow:?}");
        assert!(
            narrow[2].contains('*') && any_above_peak(&layers),
            "the peak given here is tiny: {narrow:?}"
        );
    }
}
