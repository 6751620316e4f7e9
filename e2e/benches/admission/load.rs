//! Creates of pods, and how long they take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::processes::{TICK_MS, Ticks};

/// What was measured in one namespace.
pub(crate) struct Sample {
    pub(crate) namespace: &'static str,
    taken: Vec<Duration>,
    ticks: Ticks,
}

impl Sample {
    pub(crate) fn of(namespace: &'static str) -> Self {
        Self { namespace, taken: Vec::new(), ticks: Ticks::default() }
    }

    pub(crate) fn add(&mut self, taken: Vec<Duration>, before: Ticks, after: Ticks) {
        self.taken.extend(taken);
        for (sum, (before, after)) in self.ticks.iter_mut().zip(before.iter().zip(after)) {
            *sum += after.saturating_sub(*before);
        }
    }

    /// Creates a second.
    pub(crate) fn rate(&self, seconds: f64) -> f64 {
        u32::try_from(self.taken.len()).map_or(f64::NAN, f64::from) / seconds
    }

    /// A line of the table; `trivial` is the rate of the webhook that only says "allowed".
    pub(crate) fn line(&mut self, seconds: f64, trivial: f64) -> String {
        let rate = self.rate(seconds);
        self.taken.sort();
        let at = |share: usize| {
            let index = self.taken.len() * share / 100;
            self.taken.get(index).map_or(f64::NAN, |taken| taken.as_secs_f64() * 1_000.0)
        };
        let of_processes = self.ticks.map(|ticks| {
            let ticks = u32::try_from(ticks).map_or(f64::NAN, f64::from);
            format!("{:.2}", ticks * TICK_MS / (rate * seconds))
        });
        format!(
            "{:<9}{rate:>8.0}{:>9.2}{:>9.2}{:>13.1}%   {}",
            self.namespace,
            at(50),
            at(99),
            rate / trivial * 100.0,
            of_processes.join(", ")
        )
    }
}

/// Creates pods for some time, and says how long each took.
pub(crate) async fn creates(
    client: &Client,
    namespace: &str,
    concurrency: usize,
    time: Duration,
) -> Result<Vec<Duration>> {
    let until = Instant::now() + time;
    let object = Arc::new(pod(namespace, false)?);
    let askers: Vec<_> = (0..concurrency)
        .map(|_| {
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let object = Arc::clone(&object);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while Instant::now() < until {
                    let asked = Instant::now();
                    api.create(&PostParams::default(), &object).await?;
                    taken.push(asked.elapsed());
                }
                Ok::<_, kube::Error>(taken)
            })
        })
        .collect();
    let mut taken = Vec::new();
    for asker in askers {
        taken.extend(asker.await??);
    }
    Ok(taken)
}

/// A pod that keeps every policy, or one that breaks some.
pub(crate) fn pod(namespace: &str, privileged: bool) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"generateName": "web-", "namespace": namespace, "labels": {"app": "web"}},
        "spec": {
            "securityContext": {
                "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "main", "image": "registry.example/app:1",
                "env": [{"name": "LEVEL", "value": "info"}],
                "ports": [{"containerPort": 8080}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                "securityContext": {
                    "privileged": privileged, "allowPrivilegeEscalation": privileged,
                    "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    }))?)
}
