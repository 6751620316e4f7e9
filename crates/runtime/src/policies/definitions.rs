//! Our own definitions of Kyverno's and Gatekeeper's kinds, for clusters that have none.
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
    /// Its API group.
    pub group: &'static str,
    /// As in `clusterpolicies`.
    pub plural: &'static str,
    /// Versions of its group that are read, the best first.
    pub versions: &'static [&'static str],
    singular: &'static str,
    short: &'static str,
    scope: &'static str,
}

// === impl Kind ===

impl Kind {
    /// The version that we read where nobody else's definition says otherwise.
    pub fn version(&self) -> &'static str {
        self.versions.first().copied().unwrap_or("v1")
    }

    /// The best version that a definition serves.
    fn version_of(&self, definition: &CustomResourceDefinition) -> &'static str {
        let served = &definition.spec.versions;
        let serves = |name: &&str| served.iter().any(|one| one.served && one.name == *name);
        self.versions.iter().copied().find(serves).unwrap_or_else(|| self.version())
    }

    /// The name of its definition.
    fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// The kind that `document` says it is of.
    pub fn of(document: &Value) -> Option<&'static Self> {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        let (group, _) = text("apiVersion").split_once('/')?;
        KINDS.iter().find(|kind| kind.group == group && kind.kind == text("kind"))
    }

    /// What it is called among all of them: its kind, with the group behind it where another group has
    /// a kind of that name before it.
    pub fn key(&self) -> String {
        let first = KINDS.iter().find(|kind| kind.kind == self.kind);
        if first.is_none_or(|first| first.group == self.group) {
            self.kind.to_owned()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// Whose language it is.
    fn whose(&self) -> &'static str {
        if self.group == TEMPLATE_GROUP { "Gatekeeper" } else { "Kyverno" }
    }

    /// Whether it is no policy itself but something that policies refer to, or that refers to them.
    pub fn is_auxiliary(&self) -> bool {
        !ENFORCED.contains(&self.kind)
    }
}

/// Whose definition serves a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Ours: we write the status of its objects.
    Us,
    /// Another controller's.
    Another,
}

/// Kinds of policies that judge or change requests: those that somebody enforces.
pub const ENFORCED: [&str; 9] = [
    "ClusterPolicy",
    "Policy",
    "ValidatingPolicy",
    "NamespacedValidatingPolicy",
    "MutatingPolicy",
    "NamespacedMutatingPolicy",
    "GeneratingPolicy",
    "NamespacedGeneratingPolicy",
    CONSTRAINT,
];
/// What all constraints are called together, whichever template they are of: who enforces one enforces all.
pub const CONSTRAINT: &str = "Constraint";
/// The API group of the kinds that templates make.
pub const CONSTRAINT_GROUP: &str = "constraints.gatekeeper.sh";
/// The kind of what makes kinds of constraints.
pub const TEMPLATE: &str = "ConstraintTemplate";
const TEMPLATE_GROUP: &str = "templates.gatekeeper.sh";
/// The API group of the kinds that are not CEL throughout.
pub const GROUP: &str = "kyverno.io";
/// The API group of those that are.
pub const CEL_GROUP: &str = "policies.kyverno.io";
const CEL_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha1"];
/// The kind of exceptions to policies.
pub const EXCEPTION: &str = "PolicyException";
/// The kind of what all policies may refer to.
pub const GLOBAL: &str = "GlobalContextEntry";
/// The kinds.
pub const KINDS: [Kind; 16] = [
    Kind {
        kind: "ClusterPolicy",
        group: GROUP,
        plural: "clusterpolicies",
        versions: &["v1", "v2beta1"],
        singular: "clusterpolicy",
        short: "cpol",
        scope: "Cluster",
    },
    Kind {
        kind: "Policy",
        group: GROUP,
        plural: "policies",
        versions: &["v1", "v2beta1"],
        singular: "policy",
        short: "pol",
        scope: "Namespaced",
    },
    Kind {
        kind: "ClusterCleanupPolicy",
        group: GROUP,
        plural: "clustercleanuppolicies",
        versions: &["v2"],
        singular: "clustercleanuppolicy",
        short: "ccleanpol",
        scope: "Cluster",
    },
    Kind {
        kind: "CleanupPolicy",
        group: GROUP,
        plural: "cleanuppolicies",
        versions: &["v2"],
        singular: "cleanuppolicy",
        short: "cleanpol",
        scope: "Namespaced",
    },
    Kind {
        kind: EXCEPTION,
        group: GROUP,
        plural: "policyexceptions",
        versions: &["v2", "v2beta1", "v2alpha1"],
        singular: "policyexception",
        short: "polex",
        scope: "Namespaced",
    },
    Kind {
        kind: GLOBAL,
        group: GROUP,
        plural: "globalcontextentries",
        versions: &["v2", "v2beta1", "v2alpha1"],
        singular: "globalcontextentry",
        short: "gctxentry",
        scope: "Cluster",
    },
    Kind {
        kind: "ValidatingPolicy",
        group: CEL_GROUP,
        plural: "validatingpolicies",
        versions: CEL_VERSIONS,
        singular: "validatingpolicy",
        short: "vpol",
        scope: "Cluster",
    },
    Kind {
        kind: "NamespacedValidatingPolicy",
        group: CEL_GROUP,
        plural: "namespacedvalidatingpolicies",
        versions: CEL_VERSIONS,
        singular: "namespacedvalidatingpolicy",
        short: "nvpol",
        scope: "Namespaced",
    },
    Kind {
        kind: "MutatingPolicy",
        group: CEL_GROUP,
        plural: "mutatingpolicies",
        versions: CEL_VERSIONS,
        singular: "mutatingpolicy",
        short: "mpol",
        scope: "Cluster",
    },
    Kind {
        kind: "NamespacedMutatingPolicy",
        group: CEL_GROUP,
        plural: "namespacedmutatingpolicies",
        versions: CEL_VERSIONS,
        singular: "namespacedmutatingpolicy",
        short: "nmpol",
        scope: "Namespaced",
    },
    Kind {
        kind: "GeneratingPolicy",
        group: CEL_GROUP,
        plural: "generatingpolicies",
        versions: CEL_VERSIONS,
        singular: "generatingpolicy",
        short: "gpol",
        scope: "Cluster",
    },
    Kind {
        kind: "NamespacedGeneratingPolicy",
        group: CEL_GROUP,
        plural: "namespacedgeneratingpolicies",
        versions: CEL_VERSIONS,
        singular: "namespacedgeneratingpolicy",
        short: "ngpol",
        scope: "Namespaced",
    },
    Kind {
        kind: EXCEPTION,
        group: CEL_GROUP,
        plural: "policyexceptions",
        versions: CEL_VERSIONS,
        singular: "policyexception",
        short: "celpolex",
        scope: "Namespaced",
    },
    Kind {
        kind: "DeletingPolicy",
        group: CEL_GROUP,
        plural: "deletingpolicies",
        versions: CEL_VERSIONS,
        singular: "deletingpolicy",
        short: "dpol",
        scope: "Cluster",
    },
    Kind {
        kind: "NamespacedDeletingPolicy",
        group: CEL_GROUP,
        plural: "namespaceddeletingpolicies",
        versions: CEL_VERSIONS,
        singular: "namespaceddeletingpolicy",
        short: "ndpol",
        scope: "Namespaced",
    },
    TEMPLATES,
];
/// Templates of constraints.
pub const TEMPLATES: Kind = Kind {
    kind: TEMPLATE,
    group: TEMPLATE_GROUP,
    plural: "constrainttemplates",
    versions: &["v1", "v1beta1", "v1alpha1"],
    singular: "constrainttemplate",
    short: "ctpl",
    scope: "Cluster",
};

/// What a constraint of this kind is called among all of them.
pub fn constraint_key(kind: &str) -> String {
    format!("{kind}.{CONSTRAINT_GROUP}")
}

/// The kind of constraint that a key is of; none where it is no constraint's.
pub fn constraint_of(key: &str) -> Option<&str> {
    key.strip_suffix(CONSTRAINT_GROUP)?.strip_suffix('.')
}

/// Under what name it is settled who enforces policies of this key's kind.
pub fn enforced_as(key: &str) -> &str {
    if constraint_of(key).is_some() { CONSTRAINT } else { key }
}

/// Makes sure that the API server serves `kind`: installs our definition where there is none, brings
/// an older one of ours up to date, and touches nobody else's. Says whose it is, and which version to
/// read.
pub async fn ensure(client: &Client, kind: Kind) -> Result<(Owner, &'static str), kube::Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = kind.name();
    let ours: CustomResourceDefinition =
        serde_json::from_value(definition(kind)).map_err(kube::Error::SerdeError)?;
    match api.get_opt(&name).await? {
        Some(there) if there.labels().get(MANAGED_BY).is_none_or(|by| by != MANAGER) => {
            return Ok((Owner::Another, kind.version_of(&there)));
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
    Ok((Owner::Us, kind.version()))
}

/// Changes whenever [`definition`] does.
const CURRENT: &str = "4";
const REVISION: &str = "proofstream.dev/revision";

/// Waits until the API server serves a definition, for some time.
pub(crate) async fn established(
    api: &Api<CustomResourceDefinition>,
    name: &str,
) -> Result<(), kube::Error> {
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
    let columns = columns(kind);
    // Every version keeps every field as it is written: nothing is converted between them.
    let version = |name: &&str| {
        json!({
            "name": name,
            "served": true,
            "storage": *name == kind.version(),
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "description": format!("A policy in {}'s language, run by Proofstream.", kind.whose()),
                "required": ["spec"],
                "properties": {
                    "spec": spec(kind, name),
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                },
            }},
            "subresources": {"status": {}},
            "additionalPrinterColumns": columns,
        })
    };
    let versions: Vec<Value> = kind.versions.iter().map(version).collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": kind.name(),
            "labels": {MANAGED_BY: MANAGER},
            "annotations": {REVISION: CURRENT},
        },
        "spec": {
            "group": kind.group,
            "scope": kind.scope,
            "names": {
                "kind": kind.kind,
                "listKind": format!("{}List", kind.kind),
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short],
                "categories": [kind.whose().to_lowercase()],
            },
            "versions": versions,
        },
    })
}

/// The schema of `spec`. A template that is written in an old version has a schema of the old way unless it
/// says otherwise.
fn spec(kind: Kind, version: &str) -> Value {
    let kept = |properties: Value| {
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": properties})
    };
    if kind.kind != TEMPLATE || version == kind.version() {
        return kept(json!({}));
    }
    let legacy = json!({"legacySchema": {"type": "boolean", "default": true}});
    kept(json!({"crd": kept(json!({"spec": kept(json!({"validation": kept(legacy)}))}))}))
}

/// What kubectl shows of a policy.
fn columns(kind: Kind) -> Vec<Value> {
    let column =
        |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let deletes = ["CleanupPolicy", "DeletingPolicy"].iter().any(|end| kind.kind.ends_with(end));
    let own = if deletes {
        vec![column("Schedule", "string", ".spec.schedule")]
    } else if kind.is_auxiliary() {
        Vec::new()
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
