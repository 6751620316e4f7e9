//! Every route, in one table: the router is built from it and the authorisation test walks it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Form, Path, Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get, post};
use futures::{Stream, StreamExt as _};
use serde::Deserialize;
use tokio_stream::wrappers::{ReceiverStream, WatchStream};

use super::access::Access;
use super::console::{Console, ConsoleError, ExportAsk, HealthState};
use super::page;

/// The longest request body: an export's question, or a sign-in.
const LONGEST_BODY: usize = 64 * 1024;
/// Rows of each list on the page.
const PAGE_ROWS: u32 = 12;
/// Rows of each list in the API.
const API_ROWS: u32 = 200;
/// What the page counts: the last 90 days.
const PERIOD_MICROS: i64 = 90 * 24 * 3600 * 1_000_000;

/// A route: method, path, and whether it answers without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// As axum writes it.
    pub path: &'static str,
    /// Whether it answers anybody.
    pub open: bool,
}

/// All of them. `/login` answers anybody, with nothing but a refusal unless the token is right.
pub const ROUTES: [Route; 11] = [
    Route { method: "GET", path: "/healthz", open: true },
    Route { method: "GET", path: "/readyz", open: true },
    Route { method: "GET", path: "/login", open: true },
    Route { method: "POST", path: "/login", open: true },
    Route { method: "GET", path: "/", open: false },
    Route { method: "GET", path: "/overview", open: false },
    Route { method: "GET", path: "/live", open: false },
    Route { method: "GET", path: "/metrics", open: false },
    Route { method: "GET", path: "/api/v1/overview", open: false },
    Route { method: "GET", path: "/api/v1/records/{seq}", open: false },
    Route { method: "POST", path: "/api/v1/exports", open: false },
];

#[derive(Clone)]
struct App {
    console: Arc<dyn Console>,
    access: Access,
}

/// The whole service.
pub fn router(console: Arc<dyn Console>, access: Access) -> Router {
    let app = App { console, access };
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, handler(route));
    }
    router
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

fn handler(route: Route) -> MethodRouter<App> {
    match (route.method, route.path) {
        ("GET", "/healthz") => get(async || "ok\n"),
        ("GET", "/readyz") => get(ready),
        ("GET", "/login") => get(login_by_link),
        ("POST", "/login") => post(login_by_form),
        ("GET", "/") => get(whole_page),
        ("GET", "/overview") => get(fragment),
        ("GET", "/live") => get(live),
        ("GET", "/metrics") => get(metrics),
        ("GET", "/api/v1/overview") => get(overview),
        ("GET", "/api/v1/records/{seq}") => get(record),
        ("POST", "/api/v1/exports") => post(export),
        _ => MethodRouter::new(),
    }
}

/// Lets a request through only with the token, unless its route is open. What is not in the table
/// is refused like everything else, so that nobody learns which paths exist.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let open = ROUTES.iter().any(|route| {
        route.open
            && route.path == request.uri().path()
            && route.method == request.method().as_str()
    });
    let mut response = if open || app.access.check(request.method(), request.headers()).is_some() {
        next.run(request).await
    } else if wants_page(&request) {
        (StatusCode::UNAUTHORIZED, page::sign_in(None)).into_response()
    } else {
        refusal(StatusCode::UNAUTHORIZED, "show the token as `Authorization: Bearer TOKEN`")
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(&page::CONTENT_POLICY));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    response
}

fn wants_page(request: &Request) -> bool {
    request
        .headers()
        .get("accept")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"))
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(serde_json::json!({ "error": message }))).into_response()
}

impl IntoResponse for ConsoleError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Failed(cause) => {
                tracing::error!(cause = %display_chain(cause.as_ref()), "a request failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        refusal(status, &self.to_string())
    }
}

fn display_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Runs what may block on the disk where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConsoleError> + Send + 'static,
) -> Result<T, ConsoleError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ConsoleError::Failed(Box::new(error))),
    }
}

async fn ready(State(app): State<App>) -> Response {
    let failing: Vec<String> = app
        .console
        .health()
        .into_iter()
        .filter(|health| health.state == HealthState::Failing)
        .map(|health| health.part)
        .collect();
    if failing.is_empty() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("failing: {}\n", failing.join(", ")))
            .into_response()
    }
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
}

async fn login_by_link(State(app): State<App>, Query(shown): Query<Token>) -> Response {
    login(&app, &shown.token)
}

async fn login_by_form(State(app): State<App>, Form(shown): Form<Token>) -> Response {
    login(&app, &shown.token)
}

fn login(app: &App, token: &str) -> Response {
    if !app.access.is_token(token) {
        let why = (!token.is_empty()).then_some("That is not the token of this server.");
        return (StatusCode::UNAUTHORIZED, page::sign_in(why)).into_response();
    }
    // The redirect takes the token out of the address bar and the history.
    let headers = [(SET_COOKIE, app.access.cookie()), (LOCATION, "/".to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}

async fn view(app: &App, rows: u32) -> Result<page::View, ConsoleError> {
    let console = Arc::clone(&app.console);
    blocking(move || {
        let now = console.now();
        let since = now.plus_micros(-PERIOD_MICROS);
        Ok(page::View {
            cluster: console.cluster(),
            now,
            since,
            overview: console.overview(since, rows)?,
            controls: console.controls(),
            health: console.health(),
            ledger: console.ledger()?,
        })
    })
    .await
}

async fn whole_page(State(app): State<App>) -> Result<Html<String>, ConsoleError> {
    page::whole(&view(&app, PAGE_ROWS).await?)
}

async fn fragment(State(app): State<App>) -> Result<Html<String>, ConsoleError> {
    page::fragment(&view(&app, PAGE_ROWS).await?)
}

async fn overview(State(app): State<App>) -> Result<Json<page::View>, ConsoleError> {
    Ok(Json(view(&app, API_ROWS).await?))
}

/// Names of policies and how often each refuses are told to whoever shows the token: a Prometheus is
/// given the token's file as `authorization.credentials_file`.
async fn metrics(State(app): State<App>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], app.console.metrics()).into_response()
}

async fn record(State(app): State<App>, Path(seq): Path<String>) -> Result<Response, ConsoleError> {
    let number = seq
        .parse::<u64>()
        .map_err(|_| ConsoleError::Bad(format!("`{seq}` is not a record number")))?;
    let console = Arc::clone(&app.console);
    Ok(Json(blocking(move || console.record(number)).await?).into_response())
}

/// Tells the page that something changed, at most twice a second.
async fn live(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = WatchStream::new(app.console.changes());
    let events = changes.then(|number| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(Event::default().event("changed").data(number.to_string()))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// Streams the bundle as it is written; a failure midway ends the stream without its end mark, so
/// that whoever unpacks it notices.
async fn export(State(app): State<App>, body: Bytes) -> Result<Response, ConsoleError> {
    let ask: ExportAsk = serde_json::from_slice(&body)
        .map_err(|error| ConsoleError::Bad(format!("the question is not understood: {error}")))?;
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(8);
    let console = Arc::clone(&app.console);
    tokio::task::spawn_blocking(move || {
        let mut out = std::io::BufWriter::with_capacity(64 * 1024, Channel(sender.clone()));
        let result = console.export(ask, "token", &mut out).and_then(|()| {
            std::io::Write::flush(&mut out).map_err(|error| ConsoleError::Failed(Box::new(error)))
        });
        if let Err(error) = result {
            let _ = sender.blocking_send(Err(std::io::Error::other(error)));
        }
    });
    // Nothing is promised before the first bytes are there: a bad question gets its own status.
    match receiver.recv().await {
        Some(Ok(first)) => {
            let rest = ReceiverStream::new(receiver);
            let stream = futures::stream::once(async { Ok(first) }).chain(rest);
            Ok(([(CONTENT_TYPE, "application/x-tar")], Body::from_stream(stream)).into_response())
        }
        Some(Err(error)) => Err(error
            .downcast::<ConsoleError>()
            .unwrap_or_else(|error| ConsoleError::Failed(Box::new(error)))),
        None => Err(ConsoleError::Failed("the export ended without a word".into())),
    }
}

struct Channel(tokio::sync::mpsc::Sender<Result<Bytes, std::io::Error>>);

impl std::io::Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
