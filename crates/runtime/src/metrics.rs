//! What is measured, in Prometheus' text format.
//!
//! Names of policies and rules are labels, so the number of series is bounded: what comes after the
//! bound is counted under `other`.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use proofstream_policy::{Lookup, Mode, Operation, Phase, Request, RuleResponse};

use crate::admission::verdict;

/// Most series of rule results.
const RESULT_SERIES: usize = 20_000;
/// From a tenth of a millisecond, which an answer takes, to what an API server waits.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];

type Labels = [(&'static str, &'static str); 1];
type LookupLabels = [(&'static str, &'static str); 2];

/// Everything that is measured of one process.
pub struct Metrics {
    registry: RwLock<Registry>,
    results: Results,
    reviews: Family<Labels, Histogram, fn() -> Histogram>,
    durable: Histogram,
    lookups: Family<LookupLabels, Counter>,
    lookup_seconds: Family<Labels, Histogram, fn() -> Histogram>,
}

/// A number that somebody else keeps.
pub struct Reading {
    /// Its name, without `proofstream_` and without `_total`.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub grows: bool,
    /// Reads it now.
    pub read: Box<dyn Fn() -> u64 + Send + Sync>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    namespace: Option<Arc<str>>,
    policy: Arc<str>,
    rule: Arc<str>,
    result: &'static str,
    mode: Mode,
    operation: Operation,
}

/// Results by rule.
#[derive(Debug, Clone, Default)]
struct Results(Arc<RwLock<HashMap<Key, AtomicU64>>>);

// === impl Metrics ===

impl Metrics {
    /// Nothing measured yet.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("proofstream");
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let metrics = Self {
            results: Results::default(),
            reviews: Family::new_with_constructor(seconds),
            durable: seconds(),
            lookups: Family::default(),
            lookup_seconds: Family::new_with_constructor(seconds),
            registry: RwLock::default(),
        };
        registry.register_collector(Box::new(metrics.results.clone()));
        registry.register(
            "admission_review_seconds",
            "How long answers to the API server took",
            metrics.reviews.clone(),
        );
        registry.register(
            "ledger_append_seconds",
            "How long decisions took from being handed over to being on disk",
            metrics.durable.clone(),
        );
        registry.register(
            "lookups",
            "What policies looked up, by kind and outcome",
            metrics.lookups.clone(),
        );
        registry.register(
            "lookup_seconds",
            "How long lookups took",
            metrics.lookup_seconds.clone(),
        );
        *metrics.registry.write().unwrap_or_else(PoisonError::into_inner) = registry;
        Arc::new(metrics)
    }

    /// Shows numbers that somebody else keeps.
    pub fn show(&self, readings: Vec<Reading>) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(Readings(readings)));
    }

    /// Everything, as Prometheus reads it.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = text::encode(&mut out, &registry) {
            tracing::error!(%error, "metrics cannot be written");
        }
        out
    }

    /// An answer was given to a call of a phase.
    pub(crate) fn reviewed(&self, phase: Phase, took: Duration) {
        let word = match phase {
            Phase::Mutate => "mutate",
            Phase::Validate => "validate",
        };
        self.reviews.get_or_create(&[("phase", word)]).observe(took.as_secs_f64());
    }

    /// Rules have spoken of a request.
    pub(crate) fn judged(&self, request: &Request, responses: &[RuleResponse]) {
        self.results.count(responses.iter().map(|response| Key {
            namespace: response.policy_namespace.clone(),
            policy: Arc::clone(&response.policy),
            rule: Arc::clone(&response.rule),
            result: verdict(response).word(),
            mode: response.mode,
            operation: request.operation,
        }));
    }

    /// A decision is on disk.
    pub(crate) fn durable(&self, took: Duration) {
        self.durable.observe(took.as_secs_f64());
    }

    /// Something was looked up.
    pub(crate) fn looked_up(&self, lookup: &Lookup, found: bool, took: Duration) {
        let kind = match lookup {
            Lookup::ConfigMap { .. } => "config-map",
            Lookup::ApiCall { .. } => "api-server",
            Lookup::Service { .. } => "service",
            Lookup::Global { .. } => "global",
            Lookup::Object { .. } | Lookup::Objects { .. } => "objects",
            Lookup::Parameters { .. } => "parameters",
            Lookup::Image { .. } => "image",
        };
        let outcome = if found { "found" } else { "error" };
        self.lookups.get_or_create(&[("kind", kind), ("outcome", outcome)]).inc();
        self.lookup_seconds.get_or_create(&[("kind", kind)]).observe(took.as_secs_f64());
    }
}

// === impl Results ===

impl Results {
    /// Counts each key once more. Those that are known wait for nobody.
    fn count(&self, keys: impl Iterator<Item = Key>) {
        let mut new = Vec::new();
        {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            for key in keys {
                match known.get(&key) {
                    Some(count) => drop(count.fetch_add(1, Ordering::Relaxed)),
                    None => new.push(key),
                }
            }
        }
        if new.is_empty() {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for key in new {
            let key = if known.len() < RESULT_SERIES || known.contains_key(&key) {
                key
            } else {
                let other: Arc<str> = "other".into();
                Key { namespace: None, policy: Arc::clone(&other), rule: other, ..key }
            };
            known.entry(key).or_default().fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Collector for Results {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "policy_results",
            "Results of rules at admission",
            None,
            MetricType::Counter,
        )?;
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (key, count) in known.iter() {
            let mode = match key.mode {
                Mode::Enforce => "enforce",
                Mode::Audit => "audit",
            };
            let labels = [
                ("policy_namespace", key.namespace.as_deref().unwrap_or_default()),
                ("policy", &key.policy),
                ("rule", &key.rule),
                ("result", key.result),
                ("mode", mode),
                ("operation", key.operation.as_str()),
            ];
            let one = family.encode_family(&labels)?;
            ConstCounter::new(count.load(Ordering::Relaxed)).encode(one)?;
        }
        Ok(())
    }
}

struct Readings(Vec<Reading>);

impl Debug for Readings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|reading| reading.name)).finish()
    }
}

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for reading in &self.0 {
            let kind = if reading.grows { MetricType::Counter } else { MetricType::Gauge };
            let one = encoder.encode_descriptor(reading.name, reading.help, None, kind)?;
            let value = (reading.read)();
            if reading.grows {
                ConstCounter::new(value).encode(one)?;
            } else {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(one)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_measured_is_written_with_its_labels() {
        let metrics = Metrics::new();
        let (policies, _) = proofstream_policy::PolicySet::compile(vec![
            proofstream_policy::parse(
                &json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
                "metadata": {"name": "p"}, "spec": {"rules": [{"name": "r",
                    "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
                    "validate": {"deny": {}}}]}}),
            )
            .unwrap(),
        ]);
        let request = Request::create(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "m", "namespace": "n"}}));
        let environment = proofstream_policy::Environment::at(jiff::Timestamp::UNIX_EPOCH);
        let proofstream_policy::Evaluation::Done(responses) =
            policies.evaluate(&request, &environment)
        else {
            panic!("nothing has to be looked up");
        };
        metrics.judged(&request, &responses);
        metrics.judged(&request, &responses);
        metrics.reviewed(Phase::Validate, Duration::from_micros(300));
        metrics.show(vec![Reading {
            name: "requests_under_way",
            help: "Requests",
            grows: false,
            read: Box::new(|| 7),
        }]);
        let text = metrics.text();
        let result = "proofstream_policy_results_total{policy_namespace=\"\",policy=\"p\",rule=\"r\",\
                      result=\"fail\",mode=\"audit\",operation=\"CREATE\"} 2";
        for line in [
            result,
            "proofstream_admission_review_seconds_count{phase=\"validate\"} 1",
            "proofstream_admission_review_seconds_bucket{le=\"0.00025\",phase=\"validate\"} 0",
            "proofstream_requests_under_way 7",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }

    #[test]
    fn series_are_bounded() {
        let results = Results::default();
        for number in 0..RESULT_SERIES + 10 {
            let key = Key {
                namespace: None,
                policy: "p".into(),
                rule: number.to_string().into(),
                result: "pass",
                mode: Mode::Audit,
                operation: Operation::Create,
            };
            results.count(std::iter::once(key));
        }
        assert_eq!(results.0.read().unwrap().len(), RESULT_SERIES + 1);
    }
}
