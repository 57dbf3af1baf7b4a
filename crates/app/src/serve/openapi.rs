//! The OpenAPI document: every request below `/api/v1`, collected from the attributes of its handler when it is routed.
//!
//! What holds for every request (who may ask, how long an answer may take) is added here, once.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, OpenApi as _, PartialSchema, ToSchema};

/// Errors of every request, as `components.responses` has them: status, name, and what it means.
const OF_ALL: [(&str, &str, &str); 4] = [
    ("401", "NoToken", "The request has no token, or another one: see the security schemes."),
    (
        "408",
        "TooSlow",
        "The answer was not there 60 seconds after the request, nothing more of the request arrived for 60 seconds, or its \
         image arrived slowly beside too many others.",
    ),
    ("421", "OtherHost", "`Host` is not a name of this server, with its port."),
    ("500", "Failed", "A file cannot be read or written, with the reason; or a fault of the program."),
];
/// Of those that change something.
const OF_CHANGES: (&str, &str, &str) =
    ("403", "OtherPage", "The token came as a cookie, and `Origin` is not that of this server.");
/// Of those with parameters.
const OF_PARAMETERS: (&str, &str, &str) =
    ("400", "BadParameters", "A parameter is missing or has a wrong value.");

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Roentgen",
        description = "What `roentgen serve` answers. The body of an error is one sentence of plain text, for people."
    ),
    tags(
        (name = "runs", description = "Trained models"),
        (name = "images", description = "Predictions for an image. One file per request; the file is not stored."),
        (name = "training", description = "Train a model. One training runs at a time"),
        (name = "data", description = "Images to train on"),
        (name = "server", description = "This document")
    ),
    security(("bearer" = []), ("cookie" = []))
)]
struct Document;

/// The document without requests.
pub(super) fn empty() -> OpenApi {
    Document::openapi()
}

/// The document of all requests, as JSON.
pub(super) fn complete(mut document: OpenApi) -> String {
    let mut components = document.components.take().unwrap_or_default();
    for (_, name, description) in OF_ALL.into_iter().chain([OF_CHANGES, OF_PARAMETERS]) {
        components.responses.insert(name.to_owned(), text(description).into());
    }
    components.security_schemes.extend(security_schemes());
    document.components = Some(components);
    for PathItem { get, post, delete, patch, put, .. } in document.paths.paths.values_mut() {
        get.iter_mut().for_each(|reading| add_errors(reading, &[]));
        let changes = [post, delete, patch, put].into_iter().flatten();
        changes.for_each(|change| add_errors(change, &[OF_CHANGES]));
    }
    document.to_json().expect("a document is JSON")
}

/// Adds the errors that its handler does not name, and the description that the format wants of every answer.
fn add_errors(operation: &mut Operation, more: &[(&str, &str, &str)]) {
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(Response { description, .. }) = response
            && description.is_empty()
        {
            "What was asked for.".clone_into(description);
        }
    }
    let has_parameters = operation.parameters.as_ref().is_some_and(|all| !all.is_empty());
    let of_parameters = has_parameters.then_some(OF_PARAMETERS);
    for &(status, name, _) in OF_ALL.iter().chain(more).chain(&of_parameters) {
        let response = RefOr::Ref(Ref::from_response_name(name));
        operation.responses.responses.entry(status.to_owned()).or_insert(response);
    }
}

fn security_schemes() -> [(String, RefOr<SecurityScheme>); 2] {
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(
        "For scripts: the token of the link that `roentgen serve` prints, or of its --token-file.".to_owned(),
    );
    let cookie = ApiKeyValue::with_description(
        "roentgen-PORT",
        "For browsers: the link sets it. PORT is that of the server. Requests that change something need `Origin` too.",
    );
    [
        ("bearer".to_owned(), SecurityScheme::Http(bearer).into()),
        ("cookie".to_owned(), SecurityScheme::ApiKey(ApiKey::Cookie(cookie)).into()),
    ]
}

/// An answer that is text.
fn text(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(String::schema())).build();
    ResponseBuilder::new().description(description).content("text/plain", content).build()
}

/// The bytes of a file, for the document.
pub(super) enum FileBytes {}

impl PartialSchema for FileBytes {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        let bytes = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
        bytes.description(Some("The bytes of a file, as they are")).into()
    }
}

impl ToSchema for FileBytes {}

/// A request on a run that is in the path: its parameter, and the answer if there is no such run.
pub(super) enum OfRun {}

impl IntoParams for OfRun {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![in_path("run", "The name of the run, which is that of its folder")]
    }
}

impl IntoResponses for OfRun {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        BTreeMap::from([("404".to_owned(), text("There is no such run.").into())])
    }
}

/// A parameter of a path that is a name.
fn in_path(name: &str, description: &str) -> Parameter {
    let named = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    named.description(Some(description)).schema(Some(String::schema())).build()
}

/// The answers to a request with an image file for the model of a run, if it is not looked at.
pub(super) enum OfImage {}

impl IntoResponses for OfImage {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let retry_after =
            HeaderBuilder::new().schema(Some(u32::schema())).description(Some("Seconds to wait")).build();
        let mut busy = text("256 images wait already. Send it again after `Retry-After`.");
        busy.headers.insert("Retry-After".to_owned(), retry_after.into());
        let mut all = OfRun::responses();
        all.insert("409".to_owned(), text("The model is not of the file that `written` names.").into());
        all.insert("413".to_owned(), text("The file is larger than 64 MiB, or did not arrive.").into());
        all.insert("503".to_owned(), busy.into());
        all
    }
}
