//! Who enforces which kind of policy: a setting, proposed once and never switched silently.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use proofstream_model::{Entry, PolicyBody, PolicyState};
use serde::{Deserialize, Serialize};

use crate::policies::definitions;
use crate::recorder::Recorder;

/// The name under which we enforce.
pub const OURS: &str = "proofstream";
/// The name of Kyverno's controller.
pub const KYVERNO: &str = "kyverno";
/// The name of Gatekeeper's.
pub const GATEKEEPER: &str = "gatekeeper";
/// Kinds that we can enforce.
pub const KINDS: [&str; 9] = definitions::ENFORCED;

/// Kind of policy to the name of who enforces it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Enforcers(BTreeMap<String, String>);

/// Why an enforcer was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The configuration file says so.
    Configured,
    /// An earlier start settled it.
    Settled,
    /// Proposed now, from what is registered with the API server.
    Proposed,
}

// === impl Enforcers ===

impl Enforcers {
    /// Whether we enforce policies of this kind.
    pub fn is_ours(&self, kind: &str) -> bool {
        self.0.get(definitions::enforced_as(kind)).is_some_and(|enforcer| enforcer == OURS)
    }

    /// Kind and enforcer, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(kind, enforcer)| (kind.as_str(), enforcer.as_str()))
    }

    /// Settles each kind: the configuration counts before what an earlier start settled, and that
    /// before what is `proposed` now. The reasons stand beside it.
    pub fn settle(
        configured: &Self,
        settled: &Self,
        proposed: &Self,
    ) -> (Self, BTreeMap<String, Because>) {
        let mut enforcers = Self::default();
        let mut reasons = BTreeMap::new();
        for kind in KINDS {
            let choices = [
                (configured, Because::Configured),
                (settled, Because::Settled),
                (proposed, Because::Proposed),
            ];
            for (choice, because) in choices {
                if let Some(enforcer) = choice.0.get(kind) {
                    enforcers.0.insert(kind.to_owned(), enforcer.clone());
                    reasons.insert(kind.to_owned(), because);
                    break;
                }
            }
        }
        (enforcers, reasons)
    }

    /// Proposes whoever demonstrably enforces Kyverno's and Gatekeeper's kinds: its webhooks are registered,
    /// or they are not. That its CRDs are there proves nothing.
    pub async fn propose(client: &Client) -> Result<Self, kube::Error> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        let configurations = api.list(&ListParams::default()).await?;
        let kyverno = configurations.iter().any(is_kyvernos);
        let gatekeeper = configurations.iter().any(is_gatekeepers);
        let enforcer = |kind: &str| match (kind == definitions::CONSTRAINT, kyverno, gatekeeper) {
            (true, _, true) => GATEKEEPER,
            (false, true, _) => KYVERNO,
            _ => OURS,
        };
        Ok(KINDS.iter().map(|kind| ((*kind).to_owned(), enforcer(kind).to_owned())).collect())
    }

    /// Records what was not settled before in the same way.
    pub fn record_changes(
        &self,
        before: &Self,
        reasons: &BTreeMap<String, Because>,
        recorder: &Recorder,
    ) {
        for (kind, enforcer) in self.iter() {
            let was = before.0.get(kind);
            if was.is_some_and(|was| was == enforcer) {
                continue;
            }
            let reason = match reasons.get(kind) {
                Some(Because::Proposed) => "proposed: what is registered with the API server",
                Some(Because::Settled) => "settled at an earlier start",
                _ => "set in the configuration file",
            };
            let message = match was {
                Some(was) => format!("{reason}; was `{was}`"),
                None => reason.to_owned(),
            };
            tracing::info!(kind, enforcer, message, "who enforces");
            let body = PolicyBody {
                state: PolicyState::Enforcer,
                kind: kind.to_owned(),
                name: enforcer.to_owned(),
                origin: "setting".to_owned(),
                sha256: String::new(),
                text: None,
                modes: Vec::new(),
                requirements: Vec::new(),
                message: Some(message),
            };
            let entry = match Entry::new(&body, Vec::new()) {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::error!(%error, "who enforces cannot be written");
                    continue;
                }
            };
            if let Err(error) = recorder.record(&[entry]) {
                tracing::error!(%error, "who enforces is not recorded");
            }
        }
    }
}

impl FromIterator<(String, String)> for Enforcers {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// A webhook of Kyverno's, by its label or its name. Kyverno's controller makes it when it starts and
/// removes it when it is uninstalled; one without rules only means that it has no policies yet.
fn is_kyvernos(configuration: &ValidatingWebhookConfiguration) -> bool {
    let labelled =
        configuration.labels().get("webhook.kyverno.io/managed-by").is_some_and(|by| by == KYVERNO);
    let named = configuration.name_any().starts_with("kyverno-resource-validating-webhook-cfg");
    labelled || named
}

/// A webhook of Gatekeeper's, by the label that its manifests give it or its name.
fn is_gatekeepers(configuration: &ValidatingWebhookConfiguration) -> bool {
    let labelled =
        configuration.labels().get("gatekeeper.sh/system").is_some_and(|system| system == "yes");
    labelled || configuration.name_any() == "gatekeeper-validating-webhook-configuration"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enforcers(pairs: &[(&str, &str)]) -> Enforcers {
        pairs.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect()
    }

    #[test]
    fn what_was_settled_is_not_switched_by_what_is_found_later() {
        let (settled, reasons) = Enforcers::settle(
            &enforcers(&[("Policy", OURS)]),
            &enforcers(&[("ClusterPolicy", KYVERNO), ("Policy", KYVERNO)]),
            &enforcers(&[("ClusterPolicy", OURS), ("Policy", OURS)]),
        );
        assert_eq!(settled, enforcers(&[("ClusterPolicy", KYVERNO), ("Policy", OURS)]));
        assert_eq!(reasons["ClusterPolicy"], Because::Settled);
        assert_eq!(reasons["Policy"], Because::Configured);
        let constraints = enforcers(&[("Constraint", OURS)]);
        assert!(constraints.is_ours("K8sRequiredLabels.constraints.gatekeeper.sh"));
        assert!(!constraints.is_ours("ClusterPolicy"));
    }

    #[test]
    fn others_are_known_by_their_webhooks() {
        let named = |name: &str| ValidatingWebhookConfiguration {
            metadata: kube::core::ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
            webhooks: None,
        };
        assert!(is_kyvernos(&named("kyverno-resource-validating-webhook-cfg")));
        assert!(!is_kyvernos(&named("proofstream")));
        assert!(is_gatekeepers(&named("gatekeeper-validating-webhook-configuration")));
        assert!(!is_gatekeepers(&named("proofstream")));
    }
}
