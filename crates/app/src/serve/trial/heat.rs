//! What a prediction is based on, as a heat map for a page to lay over the picture; and the picture.

use std::io::Cursor;
use std::ops::RangeInclusive;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbaImage};
use ndarray::Array2;
use roentgen_data::ImageSource;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::upload::{Written, unusable, with_image};
use crate::commands::explain::{ExplainedImage, HidingEffect, find_class, greatest};
use crate::report::overlay::transparent;
use crate::report::picture::{scaled, to_jpeg};
use crate::serve::openapi::{FileBytes, OfImage, OfRun};
use crate::serve::problem::Problem;
use crate::serve::site::{LoadedModel, Site};

/// Long side of a picture, in pixels, and of its heat maps; where none is asked for.
const SIDE: u32 = 800;
/// The long sides that can be asked for.
const SIDES: RangeInclusive<u32> = 16..=1600;

/// The parameters of the address of a heat map.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HeatParameters {
    /// How the prediction is explained.
    method: Method,
    /// The class to explain; the predicted one without it.
    class: Option<String>,
}

/// How a prediction is explained.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Method {
    GradCam,
    Occlusion,
}

/// A heat map.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeatMap)]
pub(super) struct HeatAnswer {
    method: Method,
    /// The explained class.
    class: String,
    /// Its probability.
    probability: f64,
    /// What the map shows, in words.
    text: String,
    /// The value of the most opaque colour; null without a map.
    greatest: Option<f32>,
    /// The map as a PNG in base64, as large as the picture; null where the text is all.
    overlay: Option<String>,
    /// What the model sees, as shares of the width and the height: left, top, right, bottom.
    window: [f64; 4],
}

impl HeatAnswer {
    /// The map of an image file.
    ///
    /// # Errors
    /// If the file cannot be used, or the model has no such class.
    fn new(
        loaded: &LoadedModel,
        source: &ImageSource,
        HeatParameters { method, class }: &HeatParameters,
    ) -> Result<Self, Problem> {
        let model = &loaded.model;
        let class = class.as_deref().map(|class| find_class(&model.card, class)).transpose();
        let class = class.map_err(|error| Problem::BadBody(StatusCode::BAD_REQUEST, error.to_string()))?;
        let explained = ExplainedImage::read(model, source, class).map_err(|reason| unusable(&reason))?;
        let (map, text) = match method {
            Method::GradCam => grad_cam(&explained),
            Method::Occlusion => occlusion(&explained),
        };
        let (picture, scale) = scaled(&explained.image, SIDE);
        let overlay = map.as_ref().map(|map| {
            let window = explained.window.scaled(scale);
            STANDARD.encode(to_png(&transparent(picture.dimensions(), window, map)))
        });
        Ok(Self {
            method: *method,
            class: explained.class().to_owned(),
            probability: explained.explanation.probabilities[explained.explanation.class],
            greatest: map.as_ref().map(greatest),
            text,
            overlay,
            window: explained.window.resized(explained.image.dimensions(), (1, 1)).edges(),
        })
    }
}

/// The map, if it shows anything, and what it shows in plain words.
fn grad_cam(explained: &ExplainedImage<'_>) -> (Option<Array2<f32>>, String) {
    let (map, class) = (explained.explanation.grad_cam(), explained.class());
    if greatest(&map) > 0.0 {
        let text = format!(
            "Colours show where the network finds evidence for {class}; a stronger colour means more evidence."
        );
        return (Some(map), text);
    }
    (None, format!("The network finds no evidence for {class} in this image."))
}

/// The same by hiding parts of the image.
fn occlusion(explained: &ExplainedImage<'_>) -> (Option<Array2<f32>>, String) {
    let (occlusion, class) = (explained.explanation.occlusion(), explained.class());
    let text = match explained.effect_of_hiding(&occlusion) {
        HidingEffect::Less { before, after } => format!(
            "Colours show where {class} becomes less probable if that part is hidden. At most, its probability falls from \
             {before} to {after}."
        ),
        HidingEffect::Hardly { probability } => format!(
            "Hiding any one part hardly changes the answer: the probability of {class} remains {probability}. Colours show \
             where it changes most, however little."
        ),
        HidingEffect::None => return (None, format!("Hiding any one part makes {class} no less probable.")),
    };
    (Some(occlusion.lost_log_odds), text)
}

fn to_png(image: &RgbaImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).expect("an image of some pixels fits into memory");
    bytes.into_inner()
}

/// A heat map of what the prediction for an image is based on, as `roentgen explain` makes it.
#[utoipa::path(post, path = "/api/v1/runs/{run}/explain", tag = "images", params(OfRun, HeatParameters, Written),
    request_body(content = FileBytes, content_type = "application/octet-stream",
        description = "An image file: png, jpeg, DICOM, tiff, bmp, webp or gif, 64 MiB at most"),
    responses(
        (status = 200, body = HeatAnswer),
        OfImage,
        (status = 400, body = String, description = "The model has no such class, or there is no such method."),
        (status = 422, body = String, description = "The file is no image that can be used."),
    ))]
pub(super) async fn explain(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(parameters): Query<HeatParameters>,
    Query(of_page): Query<Written>,
    request: Request,
) -> Result<Json<HeatAnswer>, Problem> {
    let work = move |loaded: &LoadedModel, source: ImageSource| HeatAnswer::new(loaded, &source, &parameters);
    with_image(&site, &run, of_page, String::new(), request, work).await?.map(Json)
}

/// The parameters of the address of a picture.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PictureParameters {
    /// Its long side, in pixels.
    #[param(minimum = 16, maximum = 1600, default = 800)]
    side: Option<u32>,
}

/// An image as a JPEG, for formats that browsers do not show.
#[utoipa::path(post, path = "/api/v1/runs/{run}/picture", tag = "images", params(OfRun, PictureParameters, Written),
    request_body(content = FileBytes, content_type = "application/octet-stream",
        description = "An image file: png, jpeg, DICOM, tiff, bmp, webp or gif, 64 MiB at most"),
    responses(
        (status = 200, body = FileBytes, content_type = "image/jpeg"),
        OfImage,
        (status = 422, body = String, description = "The file is no image that can be used."),
    ))]
pub(super) async fn picture(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(PictureParameters { side }): Query<PictureParameters>,
    Query(of_page): Query<Written>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let side = side.unwrap_or(SIDE);
    if !SIDES.contains(&side) {
        let expected = format!("expected {} to {} pixels", SIDES.start(), SIDES.end());
        return Err(Problem::BadBody(StatusCode::BAD_REQUEST, format!("side is {side}: {expected}")));
    }
    let work = move |loaded: &LoadedModel, source: ImageSource| {
        let image = source.open(&loaded.model.card.image_options())?.to_rgb8();
        Ok(to_jpeg(&scaled(&image, side).0))
    };
    let jpeg: Result<Vec<u8>, String> =
        with_image(&site, &run, of_page, String::new(), request, work).await?;
    let jpeg = jpeg.map_err(|reason| unusable(&reason))?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], jpeg))
}
