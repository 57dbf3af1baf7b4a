//! The matrices of Winograd's convolution.
//!
//! Each set is Toom-Cook interpolation at a few points and infinity (Lavin and Gray 2016; Blahut,
//! "Fast Algorithms for Signal Processing", 2010, chapter 5). For a point `a` among the finite points:
//!
//! ```text
//! row of Bt:     coefficients of the product over the other points b of (x - b)
//! row of G:      (1, a, a^2) over the product over the other points b of (a - b)
//! column of At:  (1, a, a^2, ...)
//! ```
//!
//! For infinity they are the product over all points, `(0, 0, 1)` and `(..., 0, 1)`. For `M = 2` and `M = 6` the first rows
//! of `Bt` and `G` have the opposite sign.
//!
//! The convolution of a whole small map needs fewer products, because the padding around it is zero: [`Map2`] and [`Map3`],
//! derived in `docs/backprop.md`. Their input tile begins at the padding, so the first column of `Bt` is zero.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::fmt::Debug;
use std::marker::PhantomData;

use super::transform::{Constant, Transform, transpose};
use crate::conv2d::FILTER_SIDE;

/// The matrices of one dimension: `M` outputs from `T` inputs.
pub(super) trait TileMatrices<const T: usize, const M: usize>: Debug + Sync {
    /// `Bt`.
    const INPUT: [[f32; T]; T];
    /// `G`.
    const FILTER: [[f32; FILTER_SIDE]; T];
    /// `At`.
    const OUTPUT: [[f32; T]; M];
}

/// `Bt`, applied to tiles of the input.
#[derive(Debug)]
pub(super) struct InputMatrix<Matrices, const M: usize>(PhantomData<Matrices>);
/// `G`, applied to the filter.
#[derive(Debug)]
pub(super) struct FilterMatrix<Matrices, const M: usize>(PhantomData<Matrices>);
/// `At`, which gives tiles of the output.
#[derive(Debug)]
pub(super) struct OutputMatrix<Matrices, const M: usize>(PhantomData<Matrices>);
/// `A`, applied to tiles of the gradient of the output.
#[derive(Debug)]
pub(super) struct OutputGradMatrix<Matrices, const M: usize>(PhantomData<Matrices>);
/// `Gt`, which gives the gradient of the filter.
#[derive(Debug)]
pub(super) struct FilterGradMatrix<Matrices, const M: usize>(PhantomData<Matrices>);

impl<Matrices: TileMatrices<T, M>, const T: usize, const M: usize> Constant<T, T>
    for InputMatrix<Matrices, M>
{
    const TRANSFORM: Transform<T, T> = Transform::new(Matrices::INPUT);
}

impl<Matrices: TileMatrices<T, M>, const T: usize, const M: usize> Constant<T, FILTER_SIDE>
    for FilterMatrix<Matrices, M>
{
    const TRANSFORM: Transform<T, FILTER_SIDE> = Transform::new(Matrices::FILTER);
}

impl<Matrices: TileMatrices<T, M>, const T: usize, const M: usize> Constant<M, T>
    for OutputMatrix<Matrices, M>
{
    const TRANSFORM: Transform<M, T> = Transform::new(Matrices::OUTPUT);
}

impl<Matrices: TileMatrices<T, M>, const T: usize, const M: usize> Constant<T, M>
    for OutputGradMatrix<Matrices, M>
{
    const TRANSFORM: Transform<T, M> = Transform::new(transpose(Matrices::OUTPUT));
}

impl<Matrices: TileMatrices<T, M>, const T: usize, const M: usize> Constant<FILTER_SIDE, T>
    for FilterGradMatrix<Matrices, M>
{
    const TRANSFORM: Transform<FILTER_SIDE, T> = Transform::new(transpose(Matrices::FILTER));
}

/// F(2, 3), from the points 0, 1, -1.
#[derive(Debug)]
pub(super) struct F2;

impl TileMatrices<4, 2> for F2 {
    const INPUT: [[f32; 4]; 4] =
        [[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, -1.0, 0.0, 1.0]];
    const FILTER: [[f32; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    const OUTPUT: [[f32; 4]; 2] = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, 1.0]];
}

/// F(3, 3), from the points 0, 1, -1, 2.
#[derive(Debug)]
pub(super) struct F3;

impl TileMatrices<5, 3> for F3 {
    const INPUT: [[f32; 5]; 5] = [
        [2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 1.0, 0.0],
        [0.0, 2.0, -3.0, 1.0, 0.0],
        [0.0, -1.0, 0.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0],
    ];
    const FILTER: [[f32; 3]; 5] = [
        [1.0 / 2.0, 0.0, 0.0],
        [-1.0 / 2.0, -1.0 / 2.0, -1.0 / 2.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0],
        [0.0, 0.0, 1.0],
    ];
    const OUTPUT: [[f32; 5]; 3] =
        [[1.0, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, 2.0, 0.0], [0.0, 1.0, 1.0, 4.0, 1.0]];
}

/// F(4, 3), from the points 0, 1, -1, 2, -2.
#[derive(Debug)]
pub(super) struct F4;

impl TileMatrices<6, 4> for F4 {
    const INPUT: [[f32; 6]; 6] = [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ];
    const FILTER: [[f32; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    const OUTPUT: [[f32; 6]; 4] = [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ];
}

/// F(6, 3), from the points 0, 1, -1, 2, -2, 1/2, -1/2.
#[derive(Debug)]
pub(super) struct F6;

impl TileMatrices<8, 6> for F6 {
    const INPUT: [[f32; 8]; 8] = [
        [1.0, 0.0, -5.25, 0.0, 5.25, 0.0, -1.0, 0.0],
        [0.0, 1.0, 1.0, -4.25, -4.25, 1.0, 1.0, 0.0],
        [0.0, -1.0, 1.0, 4.25, -4.25, -1.0, 1.0, 0.0],
        [0.0, 0.5, 0.25, -2.5, -1.25, 2.0, 1.0, 0.0],
        [0.0, -0.5, 0.25, 2.5, -1.25, -2.0, 1.0, 0.0],
        [0.0, 2.0, 4.0, -2.5, -5.0, 0.5, 1.0, 0.0],
        [0.0, -2.0, 4.0, 2.5, -5.0, -0.5, 1.0, 0.0],
        [0.0, -1.0, 0.0, 5.25, 0.0, -5.25, 0.0, 1.0],
    ];
    const FILTER: [[f32; 3]; 8] = [
        [1.0, 0.0, 0.0],
        [-2.0 / 9.0, -2.0 / 9.0, -2.0 / 9.0],
        [-2.0 / 9.0, 2.0 / 9.0, -2.0 / 9.0],
        [1.0 / 90.0, 1.0 / 45.0, 2.0 / 45.0],
        [1.0 / 90.0, -1.0 / 45.0, 2.0 / 45.0],
        [32.0 / 45.0, 16.0 / 45.0, 8.0 / 45.0],
        [32.0 / 45.0, -16.0 / 45.0, 8.0 / 45.0],
        [0.0, 0.0, 1.0],
    ];
    const OUTPUT: [[f32; 8]; 6] = [
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.25, 0.25, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 0.125, -0.125, 0.0],
        [0.0, 1.0, 1.0, 16.0, 16.0, 0.0625, 0.0625, 0.0],
        [0.0, 1.0, -1.0, 32.0, -32.0, 0.03125, -0.03125, 1.0],
    ];
}

/// A whole map of 2 pixels with its padding: 3 products.
#[derive(Debug)]
pub(super) struct Map2;

impl TileMatrices<3, 2> for Map2 {
    const INPUT: [[f32; 3]; 3] = [[0.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    const FILTER: [[f32; 3]; 3] = [[0.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, -1.0, 1.0]];
    const OUTPUT: [[f32; 3]; 2] = [[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]];
}

/// A whole map of 3 pixels with its padding: 4 products.
#[derive(Debug)]
pub(super) struct Map3;

impl TileMatrices<4, 3> for Map3 {
    const INPUT: [[f32; 4]; 4] =
        [[0.0, 1.0, 2.0, 1.0], [0.0, -1.0, 2.0, -1.0], [0.0, 1.0, SQRT_2, -1.0], [0.0, -1.0, SQRT_2, 1.0]];
    const FILTER: [[f32; 3]; 4] = [
        [1.0 / 8.0, 1.0 / 4.0, 1.0 / 8.0],
        [1.0 / 8.0, -1.0 / 4.0, 1.0 / 8.0],
        [-FRAC_1_SQRT_2 / 4.0, 1.0 / 4.0, FRAC_1_SQRT_2 / 4.0],
        [-FRAC_1_SQRT_2 / 4.0, -1.0 / 4.0, FRAC_1_SQRT_2 / 4.0],
    ];
    const OUTPUT: [[f32; 4]; 3] =
        [[1.0, 1.0, 1.0, 1.0], [2.0, -2.0, -SQRT_2, SQRT_2], [1.0, 1.0, -1.0, -1.0]];
}
