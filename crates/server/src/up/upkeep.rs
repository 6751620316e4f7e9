//! Small tasks that keep the parts as they should be.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use proofstream_runtime::admission::{Admission, Filters};
use proofstream_runtime::clock::Clock;
use proofstream_runtime::requests::KeptRequests;
use proofstream_runtime::webhooks::Shape;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Handles;
use crate::certificates::{Certificates, Refreshed};

/// How often certificates are looked at.
const CERTIFICATES: Duration = Duration::from_hours(1);
/// How often Kyverno's ConfigMap is looked at.
const FILTERS: Duration = Duration::from_mins(1);
/// How often it is looked whether kept requests have been kept for long enough.
const ERASURE: Duration = Duration::from_hours(1);
/// How often what the trail lacks is reported.
const SHORTFALL: Duration = Duration::from_secs(1);
/// Where Kyverno keeps its filters.
const KYVERNO: (&str, &str) = ("kyverno", "kyverno");

/// Now, as the certificates' validity is written.
pub(super) fn now(clock: &Clock) -> Timestamp {
    Timestamp::from_microsecond(clock.now().micros()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// When everything is to stop: says "not ready", gives a Service time to notice, then has the listener
/// take no more connections.
pub(super) async fn stop_accepting(handles: Handles, accepting: CancellationToken) {
    handles.stop.cancelled().await;
    handles.admission.drain();
    tokio::time::sleep(Duration::from_secs(handles.config.webhook.drain_seconds)).await;
    accepting.cancel();
}

/// Renews certificates; a new authority goes into the webhook configuration.
pub(super) async fn certificates(
    handles: Handles,
    certificates: Arc<Certificates>,
    shape: Arc<ArcSwap<Shape>>,
    nudge: watch::Sender<u64>,
) {
    let mut ticks = interval(CERTIFICATES);
    loop {
        ticks.tick().await;
        match certificates.refresh(now(&handles.clock)) {
            Ok(Refreshed::Kept | Refreshed::Serving) => {}
            Ok(Refreshed::Authority) => {
                let mut next = shape.load().as_ref().clone();
                next.ca_bundle.clone_from(certificates.bundle().as_ref());
                shape.store(Arc::new(next));
                nudge.send_modify(|count| *count += 1);
                if let Err(error) = handles.audit_webhooks.write_kubeconfigs(&certificates.bundle())
                {
                    tracing::error!(%error, "a kubeconfig cannot be renewed");
                }
            }
            Err(error) => tracing::error!(%error, "certificates cannot be renewed"),
        }
    }
}

/// Reports what the trail lacks of our decisions.
pub(super) async fn shortfall(admission: Arc<Admission>) {
    let mut ticks = interval(SHORTFALL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        admission.report_shortfall();
    }
}

/// Follows Kyverno's filters where its ConfigMap is.
pub(super) async fn filters(handles: Handles) {
    let (namespace, name) = KYVERNO;
    let api: Api<ConfigMap> = Api::namespaced(handles.client.clone(), namespace);
    let own = &handles.config.namespace;
    let mut ticks = interval(FILTERS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let filters = match api.get_opt(name).await {
            Ok(Some(found)) => {
                let data = found.data.unwrap_or_default();
                Filters::of_kyverno(own, |key| data.get(key).cloned())
            }
            Ok(None) => Ok(Filters::new(own)),
            Err(error) => {
                tracing::debug!(%error, "Kyverno's ConfigMap cannot be read");
                continue;
            }
        };
        match filters {
            Ok(filters) => handles.admission.set_filters(filters),
            Err(error) => tracing::warn!(%error, "Kyverno's ConfigMap is not used"),
        }
    }
}

/// Writes the requests that are kept, while there are any.
pub(super) async fn write_requests(kept: Arc<KeptRequests>) {
    loop {
        kept.due().await;
        let work = Arc::clone(&kept);
        match tokio::task::spawn_blocking(move || work.write()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "requests are not kept"),
            Err(error) => tracing::error!(%error, "requests are not kept"),
        }
    }
}

/// Removes the requests that have been kept for long enough.
pub(super) async fn erase_requests(handles: Handles, kept: Arc<KeptRequests>) {
    let days = i64::from(handles.config.keep_requests_days);
    let mut ticks = interval(ERASURE);
    loop {
        ticks.tick().await;
        let before = handles.clock.now().micros() - days * 86_400_000_000;
        let before = proofstream_model::Timestamp::from_micros(before);
        let (work, projection) = (Arc::clone(&kept), Arc::clone(&handles.projection));
        match tokio::task::spawn_blocking(move || work.erase(&projection, before)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(blobs)) => tracing::info!(blobs, days, "erased requests kept for long enough"),
            Ok(Err(error)) => tracing::error!(%error, "old requests are not erased"),
            Err(error) => tracing::error!(%error, "old requests are not erased"),
        }
    }
}
