//! Constraints in the cluster: a definition for each template, and a watch of the kind that it makes.
//!
//! Where Gatekeeper's own definition of templates is there, Gatekeeper makes the kinds: they are followed
//! and nothing of them is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};

use super::cluster::{Watched, follow};
use super::definitions::{self, CONSTRAINT_GROUP, Owner, TEMPLATES, constraint_key, established};
use super::{PolicyStore, PolicyText};
use crate::reach::Reach;
use crate::webhooks::{MANAGED_BY, MANAGER};

/// The name under which [`PolicyStore`] awaits the kinds that the cluster's templates make.
pub const PLACE: &str = "the kinds of constraints of the cluster";
/// The versions that a kind of constraints is served in, the one that is stored first.
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];
/// How long to wait before trying again what failed.
const AGAIN: Duration = Duration::from_secs(5);
/// In the annotations of a definition: what it was made from.
const MADE_FROM: &str = "proofstream.dev/template-sha256";
/// Depth of a schema's own schemas.
const MAX_DEPTH: usize = 64;

/// Follows every kind of constraints, for as long as the task lives.
pub async fn watch(client: Client, store: Arc<PolicyStore>, reach: Arc<Reach>) {
    let mut templates = store.templates.subscribe();
    let mut following: BTreeMap<String, (Arc<PolicyText>, AbortHandle)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut first = true;
    loop {
        let wanted = templates.borrow_and_update().clone();
        if let Some(wanted) = wanted {
            let is_gone = |kind: &String, text: &Arc<PolicyText>| wanted.get(kind) != Some(text);
            let gone = following.extract_if(.., |kind, (text, _)| is_gone(kind, text));
            for (kind, (_, task)) in gone.collect::<Vec<_>>() {
                task.abort();
                if !wanted.contains_key(&kind) {
                    let watched = watched(&kind);
                    store.replace(&watched.place(), watched.covers(), Vec::new());
                }
            }
            for (kind, text) in wanted {
                if following.contains_key(&kind) {
                    continue;
                }
                store.awaits(watched(&kind).place());
                let of_kind = OfKind {
                    client: client.clone(),
                    kind: kind.clone(),
                    template: Arc::clone(&text),
                    store: Arc::clone(&store),
                    reach: Arc::clone(&reach),
                };
                let task = tasks.spawn(of_kind.run());
                following.insert(kind, (text, task));
            }
            if std::mem::take(&mut first) {
                // From here on each kind is awaited by itself.
                store.replace(PLACE, |_, _| false, Vec::new());
            }
        }
        // What was aborted is taken out as it ends.
        while tasks.try_join_next().is_some() {}
        if templates.changed().await.is_err() {
            return;
        }
    }
}

/// One kind of constraints.
struct OfKind {
    client: Client,
    kind: String,
    template: Arc<PolicyText>,
    store: Arc<PolicyStore>,
    reach: Arc<Reach>,
}

// === impl OfKind ===

impl OfKind {
    async fn run(self) {
        let watched = watched(&self.kind);
        loop {
            let owner = match self.ensure().await {
                Ok(owner) => {
                    self.store.note_template(&self.kind, Ok(owner));
                    owner
                }
                Err(error) => {
                    tracing::warn!(kind = self.kind, %error, "no definition of these constraints");
                    let reason = match error {
                        kube::Error::Api(status) => status.message,
                        other => other.to_string(),
                    };
                    let words = format!("no definition of `{}`: {reason}", self.kind);
                    self.store.note_template(&self.kind, Err(words));
                    Owner::Another
                }
            };
            follow(&self.client, &watched, owner, &self.store, &self.reach).await;
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Makes sure that the API server serves the kind, where making it is ours.
    async fn ensure(&self) -> Result<Owner, kube::Error> {
        let (owner, _) = definitions::ensure(&self.client, TEMPLATES).await?;
        if owner != Owner::Us {
            return Ok(owner);
        }
        let resource = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(TEMPLATES.group, TEMPLATES.version(), TEMPLATES.kind),
            TEMPLATES.plural,
        );
        let templates: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let Some(template) = templates.get_opt(&self.kind.to_lowercase()).await? else {
            return Ok(Owner::Another);
        };
        let document = serde_json::from_str(self.template.canonical()).unwrap_or_default();
        let wanted = definition(&document, &self.kind);
        let mut wanted: CustomResourceDefinition =
            serde_json::from_value(wanted).map_err(kube::Error::SerdeError)?;
        let made_from = (MADE_FROM.to_owned(), self.template.sha256().to_owned());
        wanted.metadata.annotations = Some([made_from].into());
        // When the template goes, so do its kind and its constraints.
        wanted.metadata.owner_references = Some(vec![OwnerReference {
            api_version: resource.api_version,
            kind: resource.kind,
            name: template.name_any(),
            uid: template.uid().unwrap_or_default(),
            ..OwnerReference::default()
        }]);
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let name = wanted.name_any();
        match api.get_opt(&name).await? {
            Some(there) if there.labels().get(MANAGED_BY).is_none_or(|by| by != MANAGER) => {
                return Ok(Owner::Another);
            }
            Some(there)
                if there.annotations().get(MADE_FROM) == wanted.annotations().get(MADE_FROM) => {}
            Some(there) => {
                wanted.metadata.resource_version = there.resource_version();
                api.replace(&name, &PostParams::default(), &wanted).await?;
            }
            None => {
                api.create(&PostParams::default(), &wanted).await?;
                tracing::info!(definition = name, "made the kind of a template's constraints");
            }
        }
        established(&api, &name).await?;
        Ok(Owner::Us)
    }
}

/// A kind of constraints, as it is watched.
fn watched(kind: &str) -> Watched {
    Watched { resource: resource(kind), key: constraint_key(kind), auxiliary: true }
}

/// The resource of a kind of constraints.
pub(crate) fn resource(kind: &str) -> ApiResource {
    let [stored, _] = VERSIONS;
    let known = GroupVersionKind::gvk(CONSTRAINT_GROUP, stored, kind);
    ApiResource::from_gvk_with_plural(&known, &kind.to_lowercase())
}

/// The definition of the kind that a template makes: the template's schema is that of the parameters.
pub(super) fn definition(template: &Value, kind: &str) -> Value {
    let names = template.pointer("/spec/crd/spec/names");
    let short = names.and_then(|names| names.get("shortNames")).cloned();
    let lower = kind.to_lowercase();
    let kept = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let text = json!({"type": "string"});
    let schema = json!({
        "type": "object",
        "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}}},
            "spec": {"type": "object", "properties": {
                "enforcementAction": text,
                "scopedEnforcementActions": {"type": "array", "items": kept},
                "match": kept,
                "parameters": parameters(template),
            }},
            "status": kept,
        },
    });
    let column =
        |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let columns = json!([
        column("enforcement-action", "string", ".spec.enforcementAction"),
        column("total-violations", "integer", ".status.totalViolations"),
        column("ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
    ]);
    let [stored, _] = VERSIONS;
    let version = |name: &str| {
        json!({"name": name, "served": true, "storage": name == stored,
            "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
            "additionalPrinterColumns": columns})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{lower}.{CONSTRAINT_GROUP}"), "labels": {MANAGED_BY: MANAGER}},
        "spec": {
            "group": CONSTRAINT_GROUP,
            "scope": "Cluster",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": lower,
                "singular": lower, "shortNames": short.unwrap_or_else(|| json!([])),
                "categories": ["constraint", "constraints"]},
            "versions": VERSIONS.map(version),
        },
    })
}

/// The schema of the parameters. One of the old way (`legacySchema`) says too little for an API server,
/// which would drop what it does not say; there everything is kept.
fn parameters(template: &Value) -> Value {
    let validation = template.pointer("/spec/crd/spec/validation");
    let of_validation = |key: &str| validation.and_then(|validation| validation.get(key));
    let legacy = of_validation("legacySchema").and_then(Value::as_bool).unwrap_or_default();
    match of_validation("openAPIV3Schema") {
        None => json!({"x-kubernetes-preserve-unknown-fields": true}),
        Some(schema) if legacy => {
            let mut schema = schema.clone();
            keep_unknown(&mut schema, 0);
            schema
        }
        Some(schema) => schema.clone(),
    }
}

/// Has a schema keep what it does not speak of.
fn keep_unknown(schema: &mut Value, depth: usize) {
    let Some(members) = schema.as_object_mut().filter(|_| depth < MAX_DEPTH) else { return };
    if members.get("type").is_none_or(|kind| kind == "object") {
        members.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
    }
    if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) {
        for (_, property) in properties.iter_mut() {
            keep_unknown(property, depth + 1);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(key) {
            keep_unknown(inner, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_templates_schema_is_that_of_the_parameters() {
        let schema =
            json!({"properties": {"labels": {"type": "array", "items": {"type": "string"}}}});
        let template = |legacy: bool| {
            json!({"spec": {"crd": {"spec": {
                "names": {"kind": "K8sRequiredLabels", "shortNames": ["krl"]},
                "validation": {"legacySchema": legacy, "openAPIV3Schema": schema}}}}})
        };
        insta::assert_json_snapshot!(definition(&template(true), "K8sRequiredLabels"));
        let strict = definition(&template(false), "K8sRequiredLabels");
        let version =
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/parameters";
        assert_eq!(strict.pointer(version), Some(&schema));
        let bare = definition(&json!({}), "K8sBare");
        assert_eq!(
            bare.pointer(version),
            Some(&json!({"x-kubernetes-preserve-unknown-fields": true}))
        );
    }
}
