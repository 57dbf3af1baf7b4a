//! `roentgen serve`: pages in the browser of this machine, to choose and inspect images, train models on them, compare the
//! models, and try them on new images.
//!
//! The server listens on loopback alone, unless the user gives an address and a token ([`access`]). [`guard`] decides which
//! requests are answered, before anything else reads them; the answers come from the same functions as the commands.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use roentgen_data::disk;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::AppError;
use crate::error::serve::ServeError;
use crate::terminal::screen::Screen;
use crate::training::interrupt;
use access::Listen;
use connections::Limits;
use guard::Guard;
use link_file::LinkFile;
use site::Site;

pub(crate) mod access;
mod assets;
mod batching;
mod below;
mod bodies;
mod connections;
#[cfg(test)]
mod connections_tests;
mod counters;
mod data;
mod data_set;
mod guard;
#[cfg(test)]
mod hostile_uploads_tests;
mod layout;
mod link_file;
mod loaded_model;
mod manage;
#[cfg(test)]
mod manage_tests;
mod metrics;
mod model_list;
mod names;
mod openapi;
#[cfg(test)]
mod openapi_tests;
mod page_words;
mod problem;
mod quality;
mod runs;
mod site;
#[cfg(test)]
mod tests;
mod training;
mod trial;

/// Longest time until a request is answered, once it has arrived: a large image on a slow machine. Also the longest until more of a
/// request arrives.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The warning of a server that other machines reach.
const PLAIN_HTTP: &str = "this is plain HTTP: who can read the network can read the token and every image; put a reverse proxy with \
                          TLS before it, or use `ssh -L`";

/// How to serve.
#[derive(Clone, Debug)]
pub(crate) struct ServeRequest {
    /// A folder of run folders, or one of them.
    pub runs: PathBuf,
    /// Whether that folder is made if it is missing.
    pub makes_runs: bool,
    /// The folder below which images may be.
    pub root: PathBuf,
    /// An address that other machines reach, with a token; without, the server listens on loopback with a token of its own.
    pub listen: Option<Listen>,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// Number of threads of all predictions together.
    pub threads: usize,
    /// Whether to open the page in a browser.
    pub opens: bool,
}

/// Serves until a signal; requests that have begun are answered first.
///
/// # Errors
/// [`ServeError`] if the folder cannot be read, the port is taken, or the system gives no token or thread.
pub(crate) fn run(request: &ServeRequest, screen: &Screen) -> Result<(), AppError> {
    let made = if request.makes_runs { disk::create_folders(&request.runs) } else { Ok(()) };
    made.and_then(|()| runs::list(&request.runs))
        .map_err(|source| ServeError::RunsUnreadable { path: request.runs.clone(), source })?;
    link_file::remove_left_behind(&request.runs);
    let listen = request.listen.as_ref();
    let new_token =
        || access::new_token().map_err(|source| ServeError::NoToken { reason: source.to_string() });
    let token = listen.map_or_else(new_token, Listen::token)?;
    let site = Site::new(&request.runs, &request.root, request.threads)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|source| ServeError::NotStarted { source })?;
    let stop = Arc::new(Notify::new());
    let on_signal = Arc::clone(&stop);
    let trainings = site.trainings().clone();
    let end = {
        let trainings = trainings.clone();
        move || {
            trainings.close();
            on_signal.notify_one();
        }
    };
    interrupt::listen(end).map_err(|source| ServeError::NotStarted { source })?;
    let ip = listen.map_or(IpAddr::from(Ipv4Addr::LOCALHOST), |listen| listen.address);
    let address = SocketAddr::new(ip, request.port);
    let served: io::Result<()> = runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        let link = announce(request, &token, port, screen);
        let _link_file = (request.opens && listen.is_none()).then(|| open_browser(request, &link, screen));
        let router = router(site, Guard::with_hosts(&token, port, access::hosts(listen, port)));
        connections::serve(listener, router, Limits::default(), stop.notified()).await;
        Ok(())
    });
    trainings.wait(screen);
    served.map_err(|source| ServeError::CannotListen { address, source }.into())
}

/// Prints where the page is and who can reach it, and returns the link. A token of the user is not printed.
fn announce(request: &ServeRequest, token: &str, port: u16, screen: &Screen) -> String {
    let host = request.listen.as_ref().map_or("127.0.0.1".to_owned(), |listen| {
        listen.hosts.first().cloned().unwrap_or_else(|| access::host(listen.address))
    });
    let link = format!("http://{host}:{port}/?token=");
    let shown = if request.listen.is_some() { "TOKEN" } else { token };
    screen.line(&format!("{link}{shown}"));
    screen.field("runs", &request.runs.display().to_string());
    if let Some(listen) = &request.listen {
        screen.field("token", &format!("TOKEN is what {} holds", listen.token_file.display()));
        screen.field("stop", "with Ctrl-C");
        screen.note("note", PLAIN_HTTP);
        let root = request.root.display();
        screen.note(
            "note",
            &format!(
                "who has the token can use all models, train, see all reports, and read the images below {root}"
            ),
        );
    } else {
        screen.field("stop", "with Ctrl-C; the link is valid until then, for this machine alone");
    }
    link + token
}

/// Opens the page in a browser. Returns the file by which the browser finds it.
fn open_browser(request: &ServeRequest, link: &str, screen: &Screen) -> Option<LinkFile> {
    let token = access::new_token().ok()?;
    let file = LinkFile::new(&request.runs, link, &token).ok();
    if file.as_ref().is_none_or(|file| open::that_detached(file.path()).is_err()) {
        screen.note("note", "no browser could be opened; open the link by hand");
    }
    file
}

/// All that can be asked for, with the document of what is below `/api/v1`.
fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::with_openapi(openapi::empty())
        .merge(data::routes())
        .merge(manage::routes())
        .merge(metrics::routes())
        .merge(model_list::routes())
        .merge(training::routes())
        .merge(trial::routes())
        .route("/static/{name}", get(assets::file))
        .route("/healthz", get(|| async { "ok" }))
        .routes(routes!(document))
}

/// All that can be asked for by those who may.
fn router(site: Site, guard: Guard) -> Router {
    Router::from(routes())
        .with_state(site.clone())
        .layer(from_fn_with_state(TIMEOUT, bodies::limit_time))
        .layer(from_fn(bodies::check_length))
        .layer(from_fn(problem::in_sentences))
        .layer(from_fn_with_state(guard, guard::check))
        .layer(from_fn_with_state(site, metrics::count))
        .layer(from_fn(bodies::receive))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "server", operation_id = "openapi",
    responses((status = 200, body = Object, description = "OpenAPI 3.1, as JSON")))]
async fn document() -> impl IntoResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| openapi::complete(routes().into_openapi()));
    ([(header::CONTENT_TYPE, "application/json")], text.as_str())
}

/// Whether a path is a run that can be tried.
fn is_run(path: &Path) -> bool {
    path.join(crate::run_dir::file_names::MODEL).is_file()
}
