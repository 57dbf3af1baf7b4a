//! The requests on sets of images that are put together in the browser: make one, add images, remove.

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use roentgen_data::{ImageSource, LoadOptions};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sets::{AddedImage, ClassImages, NewImage, SetInfo, Sets};
use super::thumbnail;
use super::trainings_on_sets::{check_resumable, names_in_use};
use crate::serve::bodies::MAX_BYTES;
use crate::serve::openapi::FileBytes;
use crate::serve::problem::Problem;
use crate::serve::site::Site;

/// What is answered here.
pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(one, remove))
        .routes(routes!(add_class))
        .routes(routes!(remove_class))
        .routes(routes!(list_images, add_image, remove_image))
        .routes(routes!(image_thumbnail))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Titled {
    /// What people call the set; by default, its date and time.
    #[serde(default)]
    title: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfClass {
    /// The name of the class.
    class: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfPath {
    /// The path of the image in the set.
    path: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfPage {
    /// The name of the class.
    class: String,
    /// The path of the last image of the page before; without it, the first page.
    #[serde(default)]
    after: String,
}

#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Anyway {
    /// Whether the change is made although a training that has not ended can then not be resumed.
    #[serde(default)]
    anyway: bool,
}

/// Works on the sets beside the server: it waits for the disk.
async fn on_sets<T: Send + 'static>(
    site: Site,
    work: impl FnOnce(&Sets) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    site.beside(move |site| work(site.collection())).await
}

/// Fails if a training on the set could not be resumed after a change, unless the change is confirmed.
async fn check_change(site: &Site, set: &str, Anyway { anyway }: Anyway) -> Result<(), Problem> {
    if anyway {
        return Ok(());
    }
    let set = set.to_owned();
    site.beside(move |site| check_resumable(site, &site.collection().path(&set)?)).await
}

/// Removes something of a set, unless a training reads its images, or one could not be resumed then and that is not confirmed.
async fn on_unread_set<T: Send + 'static>(
    site: Site,
    set: String,
    anyway: Anyway,
    work: impl FnOnce(&Sets, &str) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    site.beside(move |site| {
        let path = site.collection().path(&set)?;
        site.trainings().check_unread(&path)?;
        if !anyway.anyway {
            check_resumable(site, &path)?;
        }
        work(site.collection(), &set)
    })
    .await
}

/// The sets of images that were put together here, the latest first.
#[utoipa::path(get, path = "/api/v1/data/sets", tag = "data", operation_id = "list_sets",
    responses((status = 200, body = Vec<SetInfo>)))]
async fn list(State(site): State<Site>) -> Result<Json<Vec<SetInfo>>, Problem> {
    on_sets(site, Sets::list).await.map(Json)
}

/// Makes an empty set.
#[utoipa::path(post, path = "/api/v1/data/sets", tag = "data", operation_id = "create_set", params(Titled), responses(
    (status = 201, body = SetInfo),
    (status = 400, body = String, description = "The title cannot be used."),
    (status = 507, body = String, description = "There are 1,000 sets, or the disk is full."),
))]
async fn create(
    State(site): State<Site>,
    Query(Titled { title }): Query<Titled>,
) -> Result<(StatusCode, Json<SetInfo>), Problem> {
    let create = move |site: &Site| site.collection().create(&title, &names_in_use(site)?);
    let made = site.beside(create).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// A set of images.
#[utoipa::path(get, path = "/api/v1/data/sets/{set}", tag = "data", operation_id = "set", params(("set" = String, Path, description = "The name of the set")), responses(
    (status = 200, body = SetInfo),
    (status = 404, body = String, description = "There is no such set."),
))]
async fn one(State(site): State<Site>, Path(set): Path<String>) -> Result<Json<SetInfo>, Problem> {
    on_sets(site, move |sets| sets.get(&set)).await.map(Json)
}

/// Removes a set with all its images.
#[utoipa::path(delete, path = "/api/v1/data/sets/{set}", tag = "data", operation_id = "remove_set", params(("set" = String, Path, description = "The name of the set"), Anyway), responses(
    (status = 204, description = "It is removed."),
    (status = 404, body = String, description = "There is no such set."),
    (status = 409, body = String, description = "A training is reading the images."),
    (status = 428, body = String, description = "A training could not be resumed after the change: see `anyway`."),
))]
async fn remove(
    State(site): State<Site>,
    Path(set): Path<String>,
    Query(anyway): Query<Anyway>,
) -> Result<StatusCode, Problem> {
    on_unread_set(site, set, anyway, Sets::remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a class without images to a set.
#[utoipa::path(post, path = "/api/v1/data/sets/{set}/classes", tag = "data", params(("set" = String, Path, description = "The name of the set"), OfClass, Anyway), responses(
    (status = 200, body = SetInfo),
    (status = 400, body = String, description = "The name cannot be that of a class."),
    (status = 404, body = String, description = "There is no such set."),
    (status = 409, body = String, description = "The set has a class of the same letter in another case."),
    (status = 428, body = String, description = "A training could not be resumed after the change: see `anyway`."),
    (status = 507, body = String, description = "The set has 1,000 classes, or the disk is full."),
))]
async fn add_class(
    State(site): State<Site>,
    Path(set): Path<String>,
    Query(OfClass { class }): Query<OfClass>,
    Query(anyway): Query<Anyway>,
) -> Result<Json<SetInfo>, Problem> {
    check_change(&site, &set, anyway).await?;
    on_sets(site, move |sets| sets.add_class(&set, &class)).await.map(Json)
}

/// Removes a class with its images from a set.
#[utoipa::path(delete, path = "/api/v1/data/sets/{set}/classes/{class}", tag = "data",
    params(("set" = String, Path, description = "The name of the set"), ("class" = String, Path, description = "The name of the class"), Anyway),
    responses(
        (status = 200, body = SetInfo),
        (status = 404, body = String, description = "There is no such set, or no such class."),
        (status = 409, body = String, description = "A training is reading the images."),
    (status = 428, body = String, description = "A training could not be resumed after the change: see `anyway`."),
    ))]
async fn remove_class(
    State(site): State<Site>,
    Path((set, class)): Path<(String, String)>,
    Query(anyway): Query<Anyway>,
) -> Result<Json<SetInfo>, Problem> {
    on_unread_set(site, set, anyway, move |sets, set| sets.remove_class(set, &class)).await.map(Json)
}

/// The images of a class of a set, 60 at a time.
#[utoipa::path(get, path = "/api/v1/data/sets/{set}/images", tag = "data", params(("set" = String, Path, description = "The name of the set"), OfPage), responses(
    (status = 200, body = ClassImages),
    (status = 404, body = String, description = "There is no such set, or no such class."),
))]
async fn list_images(
    State(site): State<Site>,
    Path(set): Path<String>,
    Query(OfPage { class, after }): Query<OfPage>,
) -> Result<Json<ClassImages>, Problem> {
    on_sets(site, move |sets| sets.images(&set, &class, &after)).await.map(Json)
}

/// An image of a set at a small size, as a JPEG.
#[utoipa::path(get, path = "/api/v1/data/sets/{set}/thumbnail", tag = "data", params(("set" = String, Path, description = "The name of the set"), OfPath), responses(
    (status = 200, body = FileBytes, content_type = "image/jpeg"),
    (status = 404, body = String, description = "There is no such set, or no such image."),
    (status = 422, body = String, description = "The file cannot be read."),
))]
async fn image_thumbnail(
    State(site): State<Site>,
    Path(set): Path<String>,
    Query(OfPath { path }): Query<OfPath>,
) -> Result<Response, Problem> {
    let file = on_sets(site.clone(), move |sets| sets.image(&set, &path)).await?;
    let turn = site.turn().await?;
    let picture = site.compute(move || {
        let _held = turn;
        ImageSource::File(file).open(&LoadOptions::default()).map(thumbnail::thumbnail)
    });
    let unreadable = |reason: String| {
        Problem::Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("the image cannot be read: {reason}"))
    };
    let picture = picture.await?.map_err(unreadable)?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], picture).into_response())
}

/// Adds an image to a set.
#[utoipa::path(post, path = "/api/v1/data/sets/{set}/images", tag = "data", params(("set" = String, Path, description = "The name of the set"), NewImage, Anyway),
    request_body(content = FileBytes, content_type = "application/octet-stream",
        description = "An image file, 64 MiB at most"),
    responses(
        (status = 201, body = AddedImage),
        (status = 400, body = String, description = "The name of the class or folder cannot be used."),
        (status = 404, body = String, description = "There is no such set."),
        (status = 409, body = String, description = "The set has a class of the same letter in another case."),
        (status = 428, body = String, description = "A training could not be resumed after the change: see `anyway`."),
        (status = 413, body = String, description = "The file is larger than 64 MiB, or did not arrive."),
        (status = 415, body = String, description = "The file is no image of a known format."),
        (status = 507, body = String, description = "The set is full, or the disk."),
    ))]
async fn add_image(
    State(site): State<Site>,
    Path(set): Path<String>,
    Query(image): Query<NewImage>,
    Query(anyway): Query<Anyway>,
    request: Request,
) -> Result<(StatusCode, Json<AddedImage>), Problem> {
    // Before the file arrives: what is refused now may be sent again.
    check_change(&site, &set, anyway).await?;
    let reason =
        format!("the file is larger than {} MiB, or did not arrive; shrink the image", MAX_BYTES >> 20);
    let incomplete = Problem::Refused(StatusCode::PAYLOAD_TOO_LARGE, reason);
    let (bytes, _memory) = site.upload_bodies().read(request.into_body(), incomplete).await?;
    // Not before: a slow client keeps no other waiting.
    let _turn = site.upload_turn().await?;
    let added = on_sets(site.clone(), move |sets| sets.add_image(&set, &image, &bytes)).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// Removes an image from a set.
#[utoipa::path(delete, path = "/api/v1/data/sets/{set}/images", tag = "data", params(("set" = String, Path, description = "The name of the set"), OfPath, Anyway), responses(
    (status = 200, body = SetInfo),
    (status = 404, body = String, description = "There is no such set, or no such image."),
    (status = 409, body = String, description = "A training is reading the images."),
    (status = 428, body = String, description = "A training could not be resumed after the change: see `anyway`."),
))]
async fn remove_image(
    State(site): State<Site>,
    Path(set): Path<String>,
    Query(OfPath { path }): Query<OfPath>,
    Query(anyway): Query<Anyway>,
) -> Result<Json<SetInfo>, Problem> {
    on_unread_set(site, set, anyway, move |sets, set| sets.remove_image(set, &path)).await.map(Json)
}
