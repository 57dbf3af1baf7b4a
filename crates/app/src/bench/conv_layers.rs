//! Each convolution of the model alone, in its three passes.

use roentgen_tensor::conv2d::{
    Conv2dGeometry, conv2d_backward_input, conv2d_backward_weight, conv2d_forward,
};
use roentgen_tensor::rng::{CounterRng, Purpose};
use serde::Serialize;

use super::timing::measure;

/// Seconds spent on each pass of each layer.
const BUDGET_S: f64 = 0.5;

/// One convolution and its passes.
#[derive(Debug, Serialize)]
pub(super) struct ConvLayer {
    pub(super) name: &'static str,
    pub(super) c_in: usize,
    pub(super) c_out: usize,
    pub(super) h: usize,
    w: usize,
    batch: usize,
    pub(super) algorithm: &'static str,
    pub(super) forward: PassFigures,
    /// The first layer needs none: nothing asks for the gradient of the images.
    pub(super) backward_input: Option<PassFigures>,
    pub(super) backward_weight: PassFigures,
}

/// One pass.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct PassFigures {
    ms: f64,
    /// Of the direct algorithm, whichever is used.
    gflops: f64,
    pub(super) share_of_peak: f64,
}

impl PassFigures {
    fn measure(geometry: &Conv2dGeometry, peak_gflops: f64, work: impl FnMut()) -> Self {
        let seconds = measure(BUDGET_S, work).median_s;
        let gflops = geometry.flops() / seconds / 1e9;
        Self { ms: seconds * 1e3, gflops, share_of_peak: gflops / peak_gflops }
    }

    /// As cells of a table.
    pub(super) fn cells(self) -> [String; 3] {
        [
            format!("{:.1}", self.ms),
            format!("{:.0}", self.gflops),
            format!("{:.0} %", self.share_of_peak * 100.0),
        ]
    }
}

/// Measures every layer of a list.
pub(super) fn measure_conv_layers(
    layers: &[(&'static str, Conv2dGeometry)],
    peak_gflops: f64,
) -> Vec<ConvLayer> {
    let mut rng = CounterRng::new(0, Purpose::Synthetic, 0, 0);
    let mut random = |len: usize| (0..len).map(|_| rng.range(-1.0, 1.0)).collect::<Vec<f32>>();
    let layer = |(index, (name, g)): (usize, &(&'static str, Conv2dGeometry))| {
        let (x, weight, bias) = (random(g.x_len()), random(g.weight_len()), random(g.c_out));
        let (mut y, grad_y) = (vec![0.0; g.y_len()], random(g.y_len()));
        let (mut grad_x, mut grad_weight) = (vec![0.0; g.x_len()], vec![0.0; g.weight_len()]);
        let forward = || conv2d_forward(g, &x, &weight, &bias, &mut y);
        let to_input = || conv2d_backward_input(g, &grad_y, &weight, &mut grad_x);
        let to_weight = || conv2d_backward_weight(g, &x, &grad_y, &mut grad_weight);
        ConvLayer {
            name,
            c_in: g.c_in,
            c_out: g.c_out,
            h: g.h,
            w: g.w,
            batch: g.n,
            algorithm: g.algorithm().name(),
            forward: PassFigures::measure(g, peak_gflops, forward),
            backward_input: (index > 0).then(|| PassFigures::measure(g, peak_gflops, to_input)),
            backward_weight: PassFigures::measure(g, peak_gflops, to_weight),
        }
    };
    layers.iter().enumerate().map(layer).collect()
}
