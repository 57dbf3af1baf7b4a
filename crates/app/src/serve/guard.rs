//! Who may ask: checked before anything else looks at a request.
//!
//! A page of another site that the user has open can send requests to this machine. Its browser names that site in `Origin`, and
//! after DNS rebinding in `Host` too, so that comparing the two does not help: `Host` is compared with a list of our own. What
//! else a request needs is the token, which is in the link that the user opens, and then in a cookie that no script can read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::link_file::page_to;

/// The parameter of the link.
const PARAMETER: &str = "token=";
/// Path that needs no token: whether the program runs.
const HEALTH: &str = "/healthz";
/// Headers of every answer: a page loads nothing from other servers, and no other page may show it.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What a request is compared with.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    token: Arc<str>,
    /// The name of the cookie. Browsers send cookies to every port of a host, and two servers may run.
    cookie: Arc<str>,
    /// What a browser may send as `Host`.
    hosts: Arc<[String]>,
}

/// Why a request is not let through.
#[derive(Clone, Debug)]
enum Refusal {
    OtherHost,
    NoToken,
    /// With the values of `Host` and `Origin`, of which a proxy may have changed one.
    OtherPage {
        host: String,
        origin: Option<String>,
    },
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, reason) = match self {
            Self::OtherHost => (StatusCode::MISDIRECTED_REQUEST, "this address is not one of this server"),
            Self::NoToken => {
                (StatusCode::UNAUTHORIZED, "open the link that roentgen serve printed, with its token")
            }
            Self::OtherPage { host, origin } => {
                let origin = origin.map_or_else(|| "missing".to_owned(), |origin| format!("{origin:?}"));
                let reason = format!(
                    "the request comes from another page, or through a proxy that changes Host: Host is {host:?} and Origin is \
                     {origin}, and both have to name the same host"
                );
                return (StatusCode::FORBIDDEN, reason).into_response();
            }
        };
        (status, reason).into_response()
    }
}

impl Guard {
    /// For a server on loopback.
    #[cfg(test)]
    pub(super) fn new(token: &str, port: u16) -> Self {
        Self::with_hosts(token, port, super::access::hosts(None, port))
    }

    /// For a server that browsers reach by any of `hosts`.
    pub(super) fn with_hosts(token: &str, port: u16, hosts: Vec<String>) -> Self {
        Self { token: token.into(), cookie: format!("roentgen-{port}").into(), hosts: hosts.into() }
    }

    /// Whether a secret is the token. Digests are compared, which takes the same time whatever is wrong.
    fn is_token(&self, secret: &str) -> bool {
        blake3::hash(secret.as_bytes()) == blake3::hash(self.token.as_bytes())
    }

    /// The values of the cookie.
    fn cookies<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| *name == &*self.cookie).map(|(_, value)| value)
    }

    /// Why a request is refused; `None` for one that may go on.
    fn refusal(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Refusal> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        if !self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Some(Refusal::OtherHost);
        }
        if path == HEALTH {
            return None;
        }
        let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if bearer.is_some_and(|secret| self.is_token(secret)) {
            return None;
        }
        if !self.cookies(headers).any(|secret| self.is_token(secret)) {
            return Some(Refusal::NoToken);
        }
        // https where a reverse proxy has TLS.
        let is_own = |origin: &str| {
            let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            name.is_some_and(|name| name.eq_ignore_ascii_case(host))
        };
        let changes = !matches!(*method, Method::GET | Method::HEAD);
        if changes && !text(header::ORIGIN).is_some_and(is_own) {
            let origin = text(header::ORIGIN).map(str::to_owned);
            return Some(Refusal::OtherPage { host: host.to_owned(), origin });
        }
        None
    }
}

/// The token in the link, if a request has it.
fn token_of(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(PARAMETER))
}

/// Lets through what [`Guard`] allows, and adds the headers of every answer.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let refusal = guard.refusal(method, uri.path(), headers);
    let given = token_of(uri).filter(|secret| guard.is_token(secret));
    let mut response = match (refusal, given) {
        // The link that was printed: from here on the cookie has the token, and the address bar has it no more.
        (None | Some(Refusal::NoToken), Some(secret)) if *method == Method::GET => {
            let cookie = format!("{}={secret}; HttpOnly; SameSite=Strict; Path=/", guard.cookie);
            // No redirect: after a link on another page, such as a file, a browser would follow it without the cookie.
            let path = format!("/{}", uri.path().trim_start_matches('/'));
            ([(header::SET_COOKIE, cookie)], page_to(&path)).into_response()
        }
        (Some(refusal), _) => refusal.into_response(),
        (None, _) => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::super::access::{Listen, hosts as hosts_of};
    use super::*;

    async fn answer(method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        answer_of(Guard::new("secret", 8080), method, path, headers).await
    }

    async fn answer_of(guard: Guard, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let page = get(|| async { "page" }).post(|| async { "changed" });
        let router = Router::new().route("/", page).route(HEALTH, get(|| async { "ok" }));
        let router = router.layer(from_fn_with_state(guard, check));
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer")
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:8080");
    const COOKIES: (&str, &str) = ("cookie", "other=1; roentgen-8080=secret");

    #[tokio::test]
    async fn another_host_is_refused_whatever_else_is_right() {
        for host in ["evil.example:8080", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:8080", ""] {
            let origin = format!("http://{host}");
            for path in ["/", HEALTH, "/?token=secret"] {
                let headers = [("host", host), ("origin", origin.as_str()), COOKIES];
                let status = answer("GET", path, &headers).await.status();
                assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{host} {path}");
            }
        }
        assert_eq!(answer("GET", "/", &[COOKIES]).await.status(), StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(answer("GET", "/", &[("host", "LOCALHOST:8080"), COOKIES]).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_page_needs_the_token_and_a_change_the_origin() {
        let own = ("origin", "http://127.0.0.1:8080");
        let (ok, unknown, forbidden) = (StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN);
        for (method, headers, expected) in [
            ("GET", vec![], unknown),
            ("GET", vec![("cookie", "roentgen-8080=guess")], unknown),
            ("GET", vec![("cookie", "roentgen-8080=")], unknown),
            ("GET", vec![COOKIES], ok),
            ("POST", vec![COOKIES], forbidden),
            ("POST", vec![COOKIES, ("origin", "http://evil.example")], forbidden),
            ("POST", vec![COOKIES, ("origin", "null")], forbidden),
            // Another page of this machine.
            ("POST", vec![COOKIES, ("origin", "http://127.0.0.1:9999")], forbidden),
            ("POST", vec![COOKIES, own], ok),
            ("POST", vec![own], unknown),
            ("POST", vec![("authorization", "Bearer secret")], ok),
            ("POST", vec![("authorization", "Bearer guess"), own], unknown),
        ] {
            let headers = [&[HOST][..], &headers].concat();
            assert_eq!(answer(method, "/", &headers).await.status(), expected, "{method} {headers:?}");
        }
        assert_eq!(answer("GET", HEALTH, &[HOST]).await.status(), ok);
    }

    #[tokio::test]
    async fn a_page_behind_a_proxy_that_names_another_host_gets_the_headers_that_differ() {
        let body = async |headers: &[(&str, &str)]| {
            let response = answer("POST", "/", &[&[HOST, COOKIES][..], headers].concat()).await;
            let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
            String::from_utf8_lossy(&body).into_owned()
        };
        let other = body(&[("origin", "https://films.example")]).await;
        assert!(other.contains("127.0.0.1:8080") && other.contains("https://films.example"), "{other}");
        let missing = body(&[]).await;
        assert!(missing.contains("is missing"), "{missing}");
    }

    #[tokio::test]
    async fn a_server_for_other_machines_has_its_names_alone() {
        let (ok, elsewhere, forbidden) =
            (StatusCode::OK, StatusCode::MISDIRECTED_REQUEST, StatusCode::FORBIDDEN);
        for (host, origin, expected) in [
            ("192.0.2.1:8080", "http://192.0.2.1:8080", ok),
            ("films.example", "https://films.example", ok),
            ("films.example:8080", "http://films.example:8080", ok),
            ("192.0.2.1:8080", "http://films.example:8080", forbidden),
            ("films.example", "https://evil.example", forbidden),
            ("films.example", "https://films.example.evil.example", forbidden),
            ("films.example", "ftp://films.example", forbidden),
            // It does not listen there.
            ("127.0.0.1:8080", "http://127.0.0.1:8080", elsewhere),
            ("evil.example:8080", "http://evil.example:8080", elsewhere),
            ("192.0.2.1", "http://192.0.2.1", elsewhere),
        ] {
            let address = "192.0.2.1".parse().expect("an address");
            let hosts = vec!["films.example".to_owned()];
            let listen = Listen { address, token_file: "unread".into(), hosts };
            let guard = Guard::with_hosts("secret", 8080, hosts_of(Some(&listen), 8080));
            let headers = [("host", host), ("origin", origin), COOKIES];
            let status = answer_of(guard.clone(), "POST", "/", &headers).await.status();
            assert_eq!(status, expected, "{host} {origin}");
            if expected == ok {
                let status = answer_of(guard, "POST", "/", &headers[..2]).await.status();
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{host} without the token");
            }
        }
    }

    #[tokio::test]
    async fn the_link_gives_the_cookie_and_hides_the_token() {
        let response = answer("GET", "/?token=secret", &[HOST]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[header::SET_COOKIE],
            "roentgen-8080=secret; HttpOnly; SameSite=Strict; Path=/"
        );
        let page = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        let page = String::from_utf8_lossy(&page).into_owned();
        assert!(page.contains("0; url=/\"") && !page.contains("secret"), "{page}");
        assert_eq!(answer("GET", "/?token=guess", &[HOST]).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer("POST", "/?token=secret", &[HOST]).await.status(), StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn every_answer_has_the_headers() {
        for (path, headers) in [("/", vec![HOST, COOKIES]), ("/", vec![]), ("/nosuch", vec![HOST, COOKIES])] {
            let response = answer("GET", path, &headers).await;
            for (name, value) in HEADERS {
                assert_eq!(response.headers()[&name], value, "{path}");
            }
        }
    }
}
