//! What each pass of a convolution needs at the peak of arithmetic, beside what it takes.

use super::conv_layers::ConvLayer;
use super::conv_work::Work;

/// A row for each pass of each layer, headings first, the sum last.
pub(super) fn rows(layers: &[ConvLayer], peak_gflops: f64) -> Vec<Vec<String>> {
    let heading = ["layer", "pass", "by", "10^9 products", "ms at peak", "MB read", "ms", "share"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let mut row = |names: [&str; 3], work: Work, ms: f64| {
        let at_peak = work.ms_at_peak(peak_gflops);
        let mut cells = names.map(str::to_owned).to_vec();
        cells.extend([
            format!("{:.2}", work.products / 1e9),
            format!("{at_peak:.1}"),
            format!("{:.1}", work.bytes_read / 1e6),
            format!("{ms:.1}"),
            format!("{:.0} %", at_peak / ms * 100.0),
        ]);
        rows.push(cells);
    };
    for layer in layers {
        for (pass, result) in layer.passes() {
            row([&layer.name, pass, &layer.algorithm], result.work, result.ms);
        }
    }
    let passes = || layers.iter().flat_map(ConvLayer::passes).map(|(_, result)| result);
    let all = |of: fn(Work) -> f64| passes().map(|result| of(result.work)).sum();
    let sum = Work { products: all(|work| work.products), bytes_read: all(|work| work.bytes_read) };
    row(["all", "", ""], sum, passes().map(|result| result.ms).sum());
    rows
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::conv2d::Conv2dGeometry;

    use super::*;

    #[test]
    fn the_share_is_the_time_at_the_peak_by_the_time_taken() {
        let geometry = Conv2dGeometry::new(1, 8, 8, 1, 16);
        let layer = ConvLayer::measure("conv1", &geometry, true, 1.0);
        let products = 8.0 * 8.0 * 9.0 * 16.0;
        let rows = rows(std::slice::from_ref(&layer), 1e-3);
        assert_eq!(rows.len(), 1 + layer.passes().count() + 1);
        let ms = 2.0 * products / 1e-3 / 1e6;
        assert_eq!(rows[1][3..6], ["0.00".to_owned(), format!("{ms:.1}"), "0.0".to_owned()]);
        let share = format!("{:.0} %", ms / layer.forward.ms * 100.0);
        assert_eq!([&rows[1][1], &rows[1][7]], ["forward", &share]);
        assert_eq!(rows[3][4], format!("{:.1}", 2.0 * ms), "the sum");
        let narrow = crate::terminal::screen::table(&rows).iter().all(|line| line.chars().count() <= 80);
        assert!(narrow);
    }
}
