//! The requests on sets of images that are put together in the browser: make one, add images, remove.

use axum::body::to_bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::sets::{AddedImage, MAX_IMAGE, NewImage, SetInfo, Sets};
use crate::serve::problem::Problem;
use crate::serve::site::Site;

/// What is answered here.
pub(super) fn routes() -> Router<Site> {
    let images = post(add_image).delete(remove_image);
    Router::new()
        .route("/api/v1/data/sets", get(list).post(create))
        .route("/api/v1/data/sets/{set}", get(one).delete(remove))
        .route("/api/v1/data/sets/{set}/classes", post(add_class))
        .route("/api/v1/data/sets/{set}/classes/{class}", delete(remove_class))
        .route("/api/v1/data/sets/{set}/images", images)
}

#[derive(Debug, Deserialize)]
struct Titled {
    #[serde(default)]
    title: String,
}

#[derive(Debug, Deserialize)]
struct OfClass {
    class: String,
}

#[derive(Debug, Deserialize)]
struct OfPath {
    path: String,
}

/// Works on the sets beside the server: it waits for the disk.
async fn on_sets<T: Send + 'static>(
    site: Site,
    work: impl FnOnce(&Sets) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(move || work(site.collection())).await.map_err(|_| Problem::Failed)?
}

/// `GET /api/v1/data/sets`
async fn list(State(site): State<Site>) -> Result<Json<Vec<SetInfo>>, Problem> {
    on_sets(site, Sets::list).await.map(Json)
}

/// `POST /api/v1/data/sets?title=TITLE`: an empty set.
async fn create(
    State(site): State<Site>,
    Query(Titled { title }): Query<Titled>,
) -> Result<(StatusCode, Json<SetInfo>), Problem> {
    let made = on_sets(site, move |sets| sets.create(&title)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// `GET /api/v1/data/sets/{set}`
async fn one(State(site): State<Site>, Path(set): Path<String>) -> Result<Json<SetInfo>, Problem> {
    on_sets(site, move |sets| sets.get(&set)).await.map(Json)
}

/// `DELETE /api/v1/data/sets/{set}`: with all its images.
async fn remove(State(site): State<Site>, Path(set): Path<String>) -> Result<StatusCode, Problem> {
    on_sets(site, move |sets| sets.remove(&set)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/data/sets/{set}/classes?class=NAME`: a class without images.
async fn add_class(
    State(site): State<Site>,
    Path(set): Path<String>,
    Query(OfClass { class }): Query<OfClass>,
) -> Result<Json<SetInfo>, Problem> {
    on_sets(site, move |sets| sets.add_class(&set, &class)).await.map(Json)
}

/// `DELETE /api/v1/data/sets/{set}/classes/{class}`: with its images.
async fn remove_class(
    State(site): State<Site>,
    Path((set, class)): Path<(String, String)>,
) -> Result<Json<SetInfo>, Problem> {
    on_sets(site, move |sets| sets.remove_class(&set, &class)).await.map(Json)
}

/// `POST /api/v1/data/sets/{set}/images?class=NAME&name=FILE`: adds the image file in the body to a class, which is made if it is
/// missing. `part=test` or `val` puts it into that part, `folder=NAME` into a folder of the class, such as a patient's.
async fn add_image(
    State(site): State<Site>,
    Path(set): Path<String>,
    Query(image): Query<NewImage>,
    request: Request,
) -> Result<(StatusCode, Json<AddedImage>), Problem> {
    let _turn = site.upload_turn().await?;
    let too_large = || {
        let text =
            format!("the file is larger than {} MiB, or did not arrive; shrink the image", MAX_IMAGE >> 20);
        Problem::Refused(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    let bytes = to_bytes(request.into_body(), MAX_IMAGE as usize).await.map_err(|_| too_large())?;
    let added = on_sets(site.clone(), move |sets| sets.add_image(&set, &image, &bytes)).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// `DELETE /api/v1/data/sets/{set}/images?path=PATH`: removes one image.
async fn remove_image(
    State(site): State<Site>,
    Path(set): Path<String>,
    Query(OfPath { path }): Query<OfPath>,
) -> Result<Json<SetInfo>, Problem> {
    on_sets(site, move |sets| sets.remove_image(&set, &path)).await.map(Json)
}
