//! Our own definitions of Kyverno's kinds, for clusters that have none.
//!
//! Where another controller owns a definition we write neither its schema nor its objects' status.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::webhooks::{MANAGED_BY, MANAGER};

/// How long the API server may take to serve a new definition.
const ESTABLISHED: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A kind of policy that we read from the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// As in `ClusterPolicy`.
    pub kind: &'static str,
    /// The version that we read.
    pub version: &'static str,
    /// As in `clusterpolicies`.
    pub plural: &'static str,
    singular: &'static str,
    short: &'static str,
    scope: &'static str,
}

/// Whose definition serves a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Ours: we write the status of its objects.
    Us,
    /// Another controller's.
    Another,
}

/// The API group of the kinds.
pub const GROUP: &str = "kyverno.io";
/// The kinds.
pub const KINDS: [Kind; 4] = [
    Kind {
        kind: "ClusterPolicy",
        version: "v1",
        plural: "clusterpolicies",
        singular: "clusterpolicy",
        short: "cpol",
        scope: "Cluster",
    },
    Kind {
        kind: "Policy",
        version: "v1",
        plural: "policies",
        singular: "policy",
        short: "pol",
        scope: "Namespaced",
    },
    Kind {
        kind: "ClusterCleanupPolicy",
        version: "v2",
        plural: "clustercleanuppolicies",
        singular: "clustercleanuppolicy",
        short: "ccleanpol",
        scope: "Cluster",
    },
    Kind {
        kind: "CleanupPolicy",
        version: "v2",
        plural: "cleanuppolicies",
        singular: "cleanuppolicy",
        short: "cleanpol",
        scope: "Namespaced",
    },
];

/// Makes sure that the API server serves `kind`: installs our definition where there is none, brings
/// an older one of ours up to date, and touches nobody else's.
pub async fn ensure(client: &Client, kind: Kind) -> Result<Owner, kube::Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{}.{GROUP}", kind.plural);
    let ours: CustomResourceDefinition =
        serde_json::from_value(definition(kind)).map_err(kube::Error::SerdeError)?;
    match api.get_opt(&name).await? {
        Some(there) if there.labels().get(MANAGED_BY).is_none_or(|by| by != MANAGER) => {
            return Ok(Owner::Another);
        }
        Some(there) => {
            if there.annotations().get(REVISION).is_none_or(|revision| revision != CURRENT) {
                let mut newer = ours;
                newer.metadata.resource_version = there.resource_version();
                api.replace(&name, &PostParams::default(), &newer).await?;
                tracing::info!(definition = name, "brought our definition up to date");
            }
        }
        None => match api.create(&PostParams::default(), &ours).await {
            Ok(_) => tracing::info!(definition = name, "installed our definition: there was none"),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        },
    }
    established(&api, &name).await?;
    Ok(Owner::Us)
}

/// Changes whenever [`definition`] does.
const CURRENT: &str = "1";
const REVISION: &str = "proofstream.dev/revision";

async fn established(api: &Api<CustomResourceDefinition>, name: &str) -> Result<(), kube::Error> {
    let look = async {
        loop {
            let definition = api.get(name).await?;
            let conditions = definition.status.and_then(|status| status.conditions);
            let ready = conditions
                .into_iter()
                .flatten()
                .any(|condition| condition.type_ == "Established" && condition.status == "True");
            if ready {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if let Ok(outcome) = tokio::time::timeout(ESTABLISHED, look).await {
        outcome
    } else {
        tracing::warn!(definition = name, "the API server does not serve it yet");
        Ok(())
    }
}

/// The definition as JSON: every field of a policy is kept as it is written, whatever its version.
pub fn definition(kind: Kind) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{GROUP}", kind.plural),
            "labels": {MANAGED_BY: MANAGER},
            "annotations": {REVISION: CURRENT},
        },
        "spec": {
            "group": GROUP,
            "scope": kind.scope,
            "names": {
                "kind": kind.kind,
                "listKind": format!("{}List", kind.kind),
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short],
                "categories": ["kyverno"],
            },
            "versions": [{
                "name": kind.version,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "A policy in Kyverno's language, run by Proofstream.",
                    "required": ["spec"],
                    "properties": {
                        "spec": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": true,
                        },
                        "status": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": true,
                        },
                    },
                }},
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns(kind),
            }],
        },
    })
}

/// What kubectl shows of a policy.
fn columns(kind: Kind) -> Vec<Value> {
    let column =
        |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let own = if kind.kind.ends_with("CleanupPolicy") {
        vec![column("Schedule", "string", ".spec.schedule")]
    } else {
        vec![column("Mode", "string", ".status.mode"), column("Rules", "integer", ".status.rules")]
    };
    let mut columns =
        vec![column("Ready", "string", ".status.conditions[?(@.type=='Ready')].status")];
    columns.extend(own);
    columns.push(column("Message", "string", ".status.conditions[?(@.type=='Ready')].message"));
    columns.push(column("Age", "date", ".metadata.creationTimestamp"));
    columns
}
