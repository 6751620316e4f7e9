//! Nothing but health answers without the token: every route of the table, and what is not in it.

#![allow(clippy::unwrap_used, reason = "a test's own helpers may end it")]

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use proofstream_model::Timestamp;
use proofstream_runtime::projection::Projection;
use proofstream_server::web::console::{ConsoleError, ExportAsk};
use proofstream_server::web::{
    Access, Console, ControlCard, Health, HealthState, LedgerStatus, ROUTES, router,
};
use tokio::sync::watch;
use tower::ServiceExt as _;

const TOKEN: &str = "the-token";

/// A console over an empty projection: the routes are what is tested here.
struct Empty {
    projection: Projection,
    changes: watch::Sender<u64>,
    _folder: tempfile::TempDir,
}

impl Empty {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let projection = Projection::open(&folder.path().join("p.db")).unwrap();
        Self { projection, changes: watch::channel(0).0, _folder: folder }
    }
}

impl Console for Empty {
    fn cluster(&self) -> String {
        "cluster-of-the-test".to_owned()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000)
    }

    fn overview(
        &self,
        since: Timestamp,
        rows: u32,
    ) -> Result<proofstream_runtime::projection::Overview, ConsoleError> {
        self.projection.overview(since, rows).map_err(|error| ConsoleError::Failed(Box::new(error)))
    }

    fn controls(&self) -> Vec<ControlCard> {
        vec![ControlCard {
            id: "workload-hardened".to_owned(),
            title: "Workloads run hardened <script>".to_owned(),
            claim: "c".to_owned(),
            requirements: vec!["soc2-2017/CC6.1".parse().unwrap()],
            shown_by: vec![],
            not_evaluated: vec![],
        }]
    }

    fn health(&self) -> Vec<Health> {
        vec![Health {
            part: "admission".to_owned(),
            state: HealthState::Failing,
            detail: "x".to_owned(),
        }]
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }

    fn ledger(&self) -> Result<LedgerStatus, ConsoleError> {
        Ok(LedgerStatus {
            origin: "proofstream/c/00000000".to_owned(),
            segments: 0,
            sealed_records: 0,
            checkpoint_time: None,
            checkpoint: None,
            folder: "/data/ledger".to_owned(),
        })
    }

    fn record(&self, seq: u64) -> Result<serde_json::Value, ConsoleError> {
        Err(ConsoleError::Missing(format!("there is no record {seq}")))
    }

    fn export(&self, ask: ExportAsk, _: &str, out: &mut dyn Write) -> Result<(), ConsoleError> {
        if ask.framework != "soc2-2017" {
            return Err(ConsoleError::Bad(format!("there is no framework `{}`", ask.framework)));
        }
        out.write_all(b"bundle").map_err(|error| ConsoleError::Failed(Box::new(error)))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

fn service() -> Router {
    router(Arc::new(Empty::new()), Access::new(TOKEN))
}

async fn send(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

const BEARER: (&str, &str) = ("authorization", "Bearer the-token");

/// What a route answers with the token: (path, body, status).
fn asked(route: &str) -> (&str, &str, StatusCode) {
    let export =
        r#"{"framework":"soc2-2017","from":"2026-07-01T00:00:00Z","to":"2026-10-01T00:00:00Z"}"#;
    match route {
        "GET /readyz" => ("/readyz", "", StatusCode::SERVICE_UNAVAILABLE),
        "GET /login" | "POST /login" => ("/login", "token=wrong", StatusCode::UNAUTHORIZED),
        "GET /api/v1/records/{seq}" => ("/api/v1/records/4", "", StatusCode::NOT_FOUND),
        "POST /api/v1/exports" => ("/api/v1/exports", export, StatusCode::OK),
        other => (other.split_once(' ').unwrap().1, "", StatusCode::OK),
    }
}

#[tokio::test]
async fn every_route_asks_for_the_token() {
    for route in ROUTES {
        let name = format!("{} {}", route.method, route.path);
        let (path, body, with_token) = asked(&name);
        let form = ("content-type", "application/x-www-form-urlencoded");
        let bare = send(route.method, path, &[form], body).await;
        let expected = if route.open { with_token } else { StatusCode::UNAUTHORIZED };
        assert_eq!(bare.status(), expected, "{name} without a token");
        let wrong = [form, ("authorization", "Bearer wrong")];
        assert_eq!(
            send(route.method, path, &wrong, body).await.status(),
            expected,
            "{name}, wrong"
        );
        let status = send(route.method, path, &[form, BEARER], body).await.status();
        assert_eq!(status, with_token, "{name} with the token");
        assert_eq!(route.open, matches!(route.path, "/healthz" | "/readyz" | "/login"), "{name}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_refused_alike() {
    for (method, path) in [("GET", "/nothing"), ("DELETE", "/"), ("GET", "/api/v1/exports")] {
        assert_eq!(send(method, path, &[], "").await.status(), StatusCode::UNAUTHORIZED);
        let known = send(method, path, &[BEARER], "").await.status();
        assert!(known == StatusCode::NOT_FOUND || known == StatusCode::METHOD_NOT_ALLOWED);
    }
    // A path that only looks like an open one.
    for path in ["/healthz/", "/healthz/../", "//healthz", "/HEALTHZ"] {
        assert_eq!(send("GET", path, &[], "").await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn signing_in_gives_a_cookie_that_opens_the_page() {
    let answer = send("GET", "/login?token=the-token", &[], "").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && !cookie.contains(TOKEN), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let page = send("GET", "/", &[("cookie", pair)], "").await;
    assert_eq!(page.status(), StatusCode::OK);
    let html = text(page).await;
    assert!(html.contains("soc2-2017/CC6.1") && html.contains("not enforced"));
    assert!(html.contains("Workloads run hardened &#60;script&#62;"), "text is escaped");
    assert!(html.contains("1</b><span class=\"bad\">✕ parts failing"), "failure is shown");
    assert!(html.contains("Not evaluated: no pass over what runs has ended yet."));
    let export = send("POST", "/api/v1/exports", &[("cookie", pair)], "{}").await;
    assert_eq!(export.status(), StatusCode::UNAUTHORIZED, "another site's form cannot export");
}

#[tokio::test]
async fn a_browser_without_a_token_sees_the_form() {
    let page = send("GET", "/", &[("accept", "text/html")], "").await;
    assert_eq!(page.status(), StatusCode::UNAUTHORIZED);
    let html = text(page).await;
    assert!(html.contains("name=\"token\"") && !html.contains("cluster-of-the-test"));
}

#[tokio::test]
async fn a_bad_export_says_what_is_wrong() {
    let path = "/api/v1/exports";
    let answer = send("POST", path, &[BEARER], r#"{"framework":"soc2-2017"}"#).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(text(answer).await.contains("missing field `from`"));
    let unknown =
        r#"{"framework":"soc3","from":"2026-07-01T00:00:00Z","to":"2026-10-01T00:00:00Z"}"#;
    let answer = send("POST", path, &[BEARER], unknown).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(text(answer).await, r#"{"error":"there is no framework `soc3`"}"#);
}
