//! The TLS listener's routes: who may ask which, and what API servers are answered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's own helpers may end it"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use proofstream_catalog::Catalog;
use proofstream_ledger::storage::Directory;
use proofstream_ledger::writer::{Start, Writer, WriterOptions};
use proofstream_model::{Record, Timestamp};
use proofstream_runtime::admission::{Admission, ApiServer, Bindings, Filters, Namespaces, Parts};
use proofstream_runtime::clock::Clock;
use proofstream_runtime::enforcers::Enforcers;
use proofstream_runtime::ingest::{
    Ingest, Intake, LedgerSink, Options, RecentDecisions, StoreControls,
};
use proofstream_runtime::inventory::Inventories;
use proofstream_runtime::metrics::Metrics;
use proofstream_runtime::policies::{PolicyStore, Previous};
use proofstream_runtime::recorder::Recorder;
use proofstream_server::admission::Webhook;
use proofstream_server::audit_webhook::{AuditWebhooks, prepare};
use proofstream_server::routes::{Guard, ROUTES, Routes};
use proofstream_server::up::{Audit, AuditWebhook, Config};

const EVENTS: &str = r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[
    {"level":"Metadata","auditID":"a-1","stage":"ResponseComplete","requestURI":"/version",
     "verb":"get","user":{"username":"alice"},"requestReceivedTimestamp":"2026-07-01T00:00:00.000000Z",
     "stageTimestamp":"2026-07-01T00:00:00.000001Z"}]}"#;

/// The routes over a real ledger; the API server is asked nothing.
struct Stand {
    routes: Routes,
    audit: Arc<AuditWebhooks>,
    intake: Arc<Intake>,
    writer: Arc<Writer>,
    config: Config,
    _folder: tempfile::TempDir,
}

fn config(folder: &Path) -> Config {
    let webhook = |host: &str| AuditWebhook { host: host.to_owned(), url: None, server: None };
    let audit = Audit { webhooks: vec![webhook("cp-1"), webhook("cp-2")], ..Audit::default() };
    Config { data: folder.join("data"), audit, ..Config::default() }
}

impl Stand {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let clock = Clock::new(|| Timestamp::from_micros(1_790_000_000_000_000));
        let files = |name: &str| Arc::new(Directory::new(folder.path().join(name)));
        let options = WriterOptions::new("c", files("private"), files("guard"));
        let writer = Arc::new(Writer::open(files("ledger"), options).unwrap().0);
        let recorder =
            |name| Recorder::new(writer.source(name, Start::NewEpoch).unwrap(), clock.clone());
        let nobody = tower::service_fn(|_: Request<kube::client::Body>| async {
            Err::<Response<kube::client::Body>, _>(std::io::Error::other("nobody is there"))
        });
        let client = kube::Client::new(nobody, "default");
        let catalog = Arc::new(Catalog::embedded().unwrap());
        let policies = PolicyStore::new(
            Arc::clone(&catalog) as _,
            Arc::new(Enforcers::default()),
            recorder("policies"),
            Vec::new(),
            Previous::default(),
        );
        // No place has a policy: all are read.
        policies.replace("nowhere", |_, _| false, Vec::new());
        let recent = Arc::new(RecentDecisions::new(8, None));
        let admission = Arc::new(Admission::new(Parts {
            cluster: None,
            policies: Arc::clone(&policies),
            recorder: recorder("admission/0"),
            recent: Arc::clone(&recent),
            namespaces: Arc::new(Namespaces::new(client.clone())),
            bindings: Arc::new(Bindings::new(client.clone())),
            lookups: Arc::new(ApiServer::new(client.clone())),
            inventory: Inventories::new(client),
            metrics: Metrics::new(),
            filters: Filters::new("proofstream"),
            kept: None,
        }));
        let ingest = Arc::new(Ingest::new(Options {
            cluster: None,
            decisions: recent,
            controls: Arc::new(StoreControls::new(policies, catalog)),
            expected: Arc::default(),
            remembered: 100,
        }));
        let source = writer.source("audit-webhook/cp-1", Start::NewEpoch).unwrap();
        let sink = Arc::new(LedgerSink::new(Arc::clone(&writer), source));
        let intake = Intake::new(ingest, sink);
        let audit = Arc::new(AuditWebhooks::open(&config, clock).unwrap());
        let webhook = Arc::new(Webhook::new(admission, 8));
        let routes = Routes::new(webhook, Arc::clone(&audit));
        Self { routes, audit, intake, writer, config, _folder: folder }
    }

    /// One whose host `cp-1` is taken in.
    fn attached() -> Self {
        let stand = Self::new();
        stand.audit.attach("cp-1", Arc::clone(&stand.intake));
        stand
    }

    fn token(&self, host: &str) -> String {
        let path = self.config.data.join(format!("audit-webhook/{host}.token"));
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Response<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.routes.answer(request.body(Full::new(body.into())).unwrap()).await
    }

    async fn status(&self, method: &str, path: &str, token: Option<&str>) -> StatusCode {
        self.ask(method, path, token, EVENTS).await.status()
    }

    fn records(&self, kind: &str) -> Vec<Record> {
        let mut observer = self.writer.observe(0);
        let mut found = Vec::new();
        while observer.position() < self.writer.durable_end() {
            let observed =
                observer.next(std::time::Duration::from_secs(20)).unwrap().expect("records");
            found.extend(observed.lines().map(|line| Record::parse(line).unwrap()));
        }
        found.retain(|record| record.kind == kind);
        found
    }

    /// Waits for the gap that says `cause`.
    fn gap(&self, cause: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !self.records("gap").iter().any(|gap| gap.body["cause"] == cause) {
            assert!(std::time::Instant::now() < deadline, "no gap says `{cause}`");
            std::thread::yield_now();
        }
    }
}

#[tokio::test]
async fn every_route_answers_whom_it_may() {
    let stand = Stand::attached();
    let (own, other) = (stand.token("cp-1"), stand.token("cp-2"));
    assert_ne!(own, other);
    for route in ROUTES {
        // Without a token, and with those that are not this route's.
        let (path, guard, anybody) = match route.path {
            "/healthz" | "/readyz" => (route.path, Guard::Open, StatusCode::OK),
            // The body is no AdmissionReview: it was read, and so the route is open to the network.
            "/validate/{lane}" => ("/validate/fail", Guard::Network, StatusCode::BAD_REQUEST),
            "/mutate/{lane}" => ("/mutate/ignore", Guard::Network, StatusCode::BAD_REQUEST),
            "/policies" => ("/policies", Guard::Network, StatusCode::BAD_REQUEST),
            "/audit/{host}" => ("/audit/cp-1", Guard::HostToken, StatusCode::UNAUTHORIZED),
            unknown => panic!("say who may ask `{unknown}`"),
        };
        assert_eq!(route.guard, guard, "{path}");
        for token in [None, Some(""), Some("wrong"), Some(&*other)] {
            assert_eq!(stand.status(route.method, path, token).await, anybody, "{path} {token:?}");
        }
        let with_token = if guard == Guard::HostToken { StatusCode::OK } else { anybody };
        assert_eq!(stand.status(route.method, path, Some(&own)).await, with_token, "{path}");
    }
    let refused = stand.audit.counters("cp-1").unwrap();
    assert_eq!(refused.unauthorized.load(std::sync::atomic::Ordering::Relaxed), 4);
    for path in
        ["/audit/cp-2", "/audit/cp-3", "/audit/cp-1/", "/audit/CP-1", "/audit/", "/audit/.."]
    {
        assert_eq!(
            stand.status("POST", path, Some(&own)).await,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    for method in ["GET", "PUT", "DELETE"] {
        let unknown = stand.status(method, "/audit/cp-1", None).await;
        assert_eq!(unknown, StatusCode::UNAUTHORIZED);
        let known = stand.status(method, "/audit/cp-1", Some(&own)).await;
        assert_eq!(known, StatusCode::METHOD_NOT_ALLOWED);
    }
    for path in
        ["/", "/audit", "/validate", "/validate/", "/validate/fail/x", "/healthz/", "/token"]
    {
        assert_eq!(stand.status("POST", path, Some(&own)).await, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(stand.status("GET", "/validate/fail", None).await, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_is_answered_200_is_on_disk_once() {
    let stand = Stand::attached();
    let token = stand.token("cp-1");
    for _ in 0..2 {
        assert_eq!(stand.status("POST", "/audit/cp-1", Some(&token)).await, StatusCode::OK);
    }
    let events = stand.records("event");
    assert_eq!(events.len(), 1, "the API server sent it again");
    assert_eq!(events[0].source, "audit-webhook/cp-1");
    let counters = stand.audit.counters("cp-1").unwrap();
    assert_eq!(counters.last(), Some(Timestamp::from_micros(1_790_000_000_000_000)));
}

#[tokio::test]
async fn what_cannot_be_taken_is_a_gap_and_what_cannot_be_taken_now_may_come_again() {
    let stand = Stand::new();
    let token = stand.token("cp-1");
    let early = stand.ask("POST", "/audit/cp-1", Some(&token), EVENTS).await;
    assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(early.headers()[RETRY_AFTER], "5");
    stand.audit.attach("cp-1", Arc::clone(&stand.intake));

    let other = stand.ask("POST", "/audit/cp-1", Some(&token), "{}").await;
    assert_eq!(other.status(), StatusCode::BAD_REQUEST);
    let text = other.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("not audit.k8s.io/v1 EventList"));
    stand.gap("a batch was no list of audit events");

    let long = vec![b' '; (32 << 20) + 1];
    let long = stand.ask("POST", "/audit/cp-1", Some(&token), long).await;
    assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
    stand.gap("a batch was too long");
    let request = Request::post("/audit/cp-1")
        .header("authorization", format!("Bearer {token}"))
        .header("content-length", "99999999");
    let announced = stand.routes.answer(request.body(Full::new(Bytes::new())).unwrap()).await;
    assert_eq!(announced.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(stand.records("event").is_empty());
}

#[tokio::test]
async fn bodies_in_memory_are_bounded() {
    let stand = Stand::attached();
    let token = stand.token("cp-1");
    let endless = || {
        let never = futures::stream::pending::<Result<Frame<Bytes>, std::io::Error>>().boxed();
        let request = Request::post("/audit/cp-1")
            .header("authorization", format!("Bearer {token}"))
            .body(StreamBody::new(never));
        Box::pin(stand.routes.answer(request.unwrap()))
    };
    let (mut first, mut second) = (endless(), endless());
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
    let third = endless().await;
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(third.headers()[RETRY_AFTER], "1");
    drop(first);
    assert_eq!(stand.status("POST", "/audit/cp-1", Some(&token)).await, StatusCode::OK);
}

#[test]
fn a_kubeconfig_is_made_before_anything_runs_and_is_the_one_that_up_uses() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let now = jiff::Timestamp::now();
    let made = prepare(&config, "cp-1", now).unwrap();
    assert_eq!(prepare(&config, "cp-1", now).unwrap(), made, "nothing is made twice");
    assert_eq!(std::fs::read_to_string(made.path()).unwrap(), made.text());
    for name in ["cp-1.token", "cp-1.kubeconfig"] {
        let file = config.data.join("audit-webhook").join(name);
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let parsed = kube::config::Kubeconfig::from_yaml(made.text()).unwrap();
    let cluster = parsed.clusters[0].cluster.clone().unwrap();
    assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:9443/audit/cp-1"));

    let clock = Clock::new(|| Timestamp::from_micros(0));
    let running = AuditWebhooks::open(&config, clock).unwrap();
    let authority = std::fs::read(config.tls().join("ca.pem")).unwrap();
    running.write_kubeconfigs(&authority).unwrap();
    assert_eq!(std::fs::read_to_string(made.path()).unwrap(), made.text());

    let error = prepare(&config, "cp-9", now).unwrap_err().to_string();
    assert!(error.contains("`cp-9`") && error.contains("cp-1, cp-2"), "{error}");
    std::fs::write(config.data.join("audit-webhook/cp-1.token"), "\n").unwrap();
    let error = prepare(&config, "cp-1", now).unwrap_err().to_string();
    assert!(error.contains("cp-1.token") && error.contains("remove it"), "{error}");
}
