//! Each convolution of the model alone, in its three passes.

use roentgen_tensor::conv2d::{
    Conv2dGeometry, conv2d_backward_input, conv2d_backward_weight, conv2d_forward,
};
use roentgen_tensor::rng::{CounterRng, Purpose};
use serde::{Deserialize, Serialize};

use super::timing::measure;

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
    algorithm: String,
    pub(super) forward: PassFigures,
    /// The first layer needs none: nothing asks for the gradient of the images.
    pub(super) backward_input: Option<PassFigures>,
    pub(super) backward_weight: PassFigures,
}

/// One pass.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct PassFigures {
    pub(super) ms: f64,
    /// Of the direct algorithm, whichever is used.
    gflops: f64,
    share_of_peak: f64,
}

impl PassFigures {
    fn measure(geometry: &Conv2dGeometry, peak_gflops: f64, work: impl FnMut()) -> Self {
        let seconds = measure(BUDGET_S, work).median_s;
        let gflops = geometry.flops() / seconds / 1e9;
        Self { ms: seconds * 1e3, gflops, share_of_peak: gflops / peak_gflops }
    }

    /// As cells of a table.
    fn cells(self) -> [String; 3] {
        let mark = if self.share_of_peak > 1.0 { "*" } else { " " };
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
            forward: PassFigures::measure(g, peak_gflops, forward),
            backward_input: (!is_first).then(|| PassFigures::measure(g, peak_gflops, to_input)),
            backward_weight: PassFigures::measure(g, peak_gflops, to_weight),
        }
    }

    /// The passes by name.
    pub(super) fn passes(&self) -> impl Iterator<Item = (&'static str, PassFigures)> {
        let passes = [
            ("forward", Some(self.forward)),
            ("to input", self.backward_input),
            ("to weight", Some(self.backward_weight)),
        ];
        passes.into_iter().filter_map(|(name, pass)| Some((name, pass?)))
    }
}

/// The layers as rows of a table, headings first.
pub(super) fn rows(layers: &[ConvLayer]) -> Vec<Vec<String>> {
    let heading = |cells: [&str; 12]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![
        heading(["", "", "", "", "forward", "", "", "to input", "", "", "to weight", ""]),
        heading([
            "layer",
            "shape",
            "algorithm",
            "ms",
            "GFLOP/s",
            "peak",
            "ms",
            "GFLOP/s",
            "peak",
            "ms",
            "GFLOP/s",
            "peak",
        ]),
    ];
    for layer in layers {
        let shape = format!("{}->{} @{}", layer.c_in, layer.c_out, layer.h);
        let mut row = vec![layer.name.clone(), shape, layer.algorithm.clone()];
        for pass in [Some(layer.forward), layer.backward_input, Some(layer.backward_weight)] {
            row.extend(pass.map_or(["-", "-", "- "].map(str::to_owned), PassFigures::cells));
        }
        rows.push(row);
    }
    rows
}
