//! Grad-CAM: which regions of an image are evidence for a class.

use ndarray::{Array2, ArrayView3};

use crate::{CLASSIFIER, ResNet};

/// Grad-CAM (Selvaraju et al. 2017) at the last convolution: the positive part of the weighted sum of its channels. The
/// weight of a channel is the gradient of the logit of the class, averaged over the pixels of the channel.
///
/// With a global max pool after the convolution, that gradient is the weight of the classifier at one pixel of the channel
/// and 0 at the others. So its mean is the weight divided by the number of pixels, and no backward pass is needed.
///
/// # Shapes
/// `feature_map` `(h, w, c)`, `weight` `(c, n_classes)`; the result `(h, w)`.
///
/// # Panics
/// If the shapes don't agree, or there is no class `class`.
#[must_use]
pub fn grad_cam(feature_map: ArrayView3<'_, f32>, weight: &[f32], class: usize) -> Array2<f32> {
    let (h, w, c) = feature_map.dim();
    assert!(c > 0 && weight.len().is_multiple_of(c), "grad_cam: {} weights for {c} channels", weight.len());
    let n_classes = weight.len() / c;
    assert!(class < n_classes, "grad_cam: class {class} of {n_classes}");
    Array2::from_shape_fn((h, w), |(row, column)| {
        let channels =
            (0..c).map(|channel| feature_map[[row, column, channel]] * weight[channel * n_classes + class]);
        (channels.sum::<f32>() / (h * w) as f32).max(0.0)
    })
}

impl ResNet {
    /// [`grad_cam`] of one image, whose feature map is from [`Workspace::feature_map`](crate::Workspace::feature_map).
    ///
    /// # Panics
    /// If the feature map is not of this network, or there is no class `class`.
    #[must_use]
    pub fn grad_cam(&self, feature_map: ArrayView3<'_, f32>, class: usize) -> Array2<f32> {
        let (weight, mut heat) = (format!("{CLASSIFIER}.weight"), None);
        self.for_each_parameter(&mut |parameter| {
            if parameter.name == weight {
                heat = Some(grad_cam(feature_map, &parameter.value, class));
            }
        });
        heat.expect("every network has a classifier")
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis};

    use super::*;

    #[test]
    fn grad_cam_matches_its_definition_with_finite_differences() {
        let (h, w, c, n_classes) = (2, 3, 5, 2);
        let value = |seed: usize| (seed * 7919 % 997) as f32 / 499.0 - 1.0;
        let map = Array3::from_shape_fn((h, w, c), |(i, j, k)| value(1 + i * 100 + j * 10 + k));
        let weight: Vec<f32> = (0..c * n_classes).map(|i| value(7000 + i)).collect();
        for class in 0..n_classes {
            let logit = |map: &Array3<f32>| -> f64 {
                let pooled = map.lanes(Axis(2)).into_iter().fold(vec![f32::MIN; c], |most, lane| {
                    most.iter().zip(lane).map(|(a, b)| a.max(*b)).collect()
                });
                pooled
                    .iter()
                    .enumerate()
                    .map(|(k, &p)| f64::from(p) * f64::from(weight[k * n_classes + class]))
                    .sum()
            };
            let step = 1e-3;
            let slopes = map.indexed_iter().map(|(at, _)| {
                let (mut up, mut down) = (map.clone(), map.clone());
                up[at] += step;
                down[at] -= step;
                ((logit(&up) - logit(&down)) / f64::from(2.0 * step)) as f32
            });
            let slopes = Array3::from_shape_vec((h, w, c), slopes.collect()).expect("a slope for each value");
            let importance = slopes.sum_axis(Axis(0)).sum_axis(Axis(0)) / (h * w) as f32;
            let expected = (&map * &importance).sum_axis(Axis(2)).mapv(|x| x.max(0.0));
            let found = grad_cam(map.view(), &weight, class);
            assert!(found.iter().any(|&x| x > 0.0), "something was compared");
            for (a, b) in found.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
    }
}
