//! Definitions of the reports' kinds, for clusters that have none.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{GROUP, VERSION, kind, resource};
use crate::policies::definitions::established;
use crate::webhooks::{MANAGED_BY, MANAGER};

/// Installs what is not there; whoever's definition is there stays as it is.
pub(super) async fn ensure(client: &Client) -> Result<(), kube::Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for namespaced in [true, false] {
        let name = format!("{}.{GROUP}", resource(namespaced).plural);
        if api.get_opt(&name).await?.is_none() {
            let ours =
                serde_json::from_value(definition(namespaced)).map_err(kube::Error::SerdeError)?;
            match api.create(&PostParams::default(), &ours).await {
                Ok(_) => {
                    tracing::info!(definition = name, "installed our definition: none was there");
                }
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error),
            }
        }
        established(&api, &name).await?;
    }
    Ok(())
}

fn definition(namespaced: bool) -> Value {
    let (kind, plural) = (kind(namespaced), resource(namespaced).plural);
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let column = |name: &str| json!({"name": name, "type": "integer", "jsonPath": format!(".summary.{}", name.to_lowercase())});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}"), "labels": {MANAGED_BY: MANAGER}},
        "spec": {
            "group": GROUP,
            "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.to_lowercase(),
                "shortNames": [if namespaced { "polr" } else { "cpolr" }],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "What policies say of one resource.",
                    "properties": {
                        "scope": open,
                        "summary": open,
                        "results": {"type": "array", "items": open},
                    },
                }},
                "additionalPrinterColumns": [
                    {"name": "Kind", "type": "string", "jsonPath": ".scope.kind"},
                    {"name": "Name", "type": "string", "jsonPath": ".scope.name"},
                    column("Pass"), column("Fail"), column("Warn"), column("Error"), column("Skip"),
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
            }],
        },
    })
}
