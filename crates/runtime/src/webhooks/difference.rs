//! Whether a webhook configuration is what it should be.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;

use super::desired::MANAGED_BY;
use super::part::Part;

/// How `found` differs from `desired` in what counts, in words; `None` where it does not.
pub(super) fn between<P: Part>(
    found: Option<&P::Configuration>,
    desired: &P::Configuration,
) -> Option<String> {
    let Some(found) = found else { return Some("it was removed".to_owned()) };
    if found.labels().get(MANAGED_BY) != desired.labels().get(MANAGED_BY) {
        return Some("its label was changed".to_owned());
    }
    let hooks = |configuration: &P::Configuration| {
        let mut hooks = P::hooks_of(configuration);
        hooks.sort_by(|left, right| left.name.cmp(&right.name));
        hooks.into_iter().map(plain).collect::<Vec<_>>()
    };
    let (found, desired) = (hooks(found), hooks(desired));
    for wanted in &desired {
        let Some(there) = found.iter().find(|there| there.name == wanted.name) else {
            return Some(format!("webhook `{}` was taken out", wanted.name));
        };
        if there != wanted {
            return Some(format!("{} of webhook `{}`", field(there, wanted), wanted.name));
        }
    }
    (found.len() != desired.len()).then(|| "a webhook was added".to_owned())
}

/// Without the difference between an empty list and none.
fn plain(mut webhook: ValidatingWebhook) -> ValidatingWebhook {
    webhook.match_conditions = webhook.match_conditions.filter(|list| !list.is_empty());
    webhook.rules = webhook.rules.filter(|list| !list.is_empty());
    webhook.object_selector = webhook.object_selector.or_else(|| Some(LabelSelector::default()));
    webhook
}

fn field(there: &ValidatingWebhook, wanted: &ValidatingWebhook) -> &'static str {
    let fields = [
        (there.client_config != wanted.client_config, "clientConfig"),
        (there.rules != wanted.rules, "rules"),
        (there.match_conditions != wanted.match_conditions, "matchConditions"),
        (there.namespace_selector != wanted.namespace_selector, "namespaceSelector"),
        (there.object_selector != wanted.object_selector, "objectSelector"),
        (there.failure_policy != wanted.failure_policy, "failurePolicy"),
        (there.timeout_seconds != wanted.timeout_seconds, "timeoutSeconds"),
    ];
    fields.into_iter().find_map(|(differs, name)| differs.then_some(name)).unwrap_or("fields")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::desired::{hooks, metadata, tests::shape};
    use crate::webhooks::part::Judging;
    use crate::webhooks::scope::{Class, Lane, tests::scope};
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
    use proofstream_policy::Phase;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn ours() -> ValidatingWebhookConfiguration {
        let scope = scope(&json!({"kinds": ["ConfigMap"]}));
        let scopes = BTreeMap::from([(Lane::plain(Class::Fail), scope)]);
        let hooks = hooks(Phase::Validate, &scopes, &shape());
        Judging::configuration(metadata("proofstream"), hooks)
    }

    #[test]
    fn says_what_was_changed() {
        let ours = ours();
        assert_eq!(between::<Judging>(Some(&ours), &ours), None);
        assert_eq!(between::<Judging>(None, &ours).unwrap(), "it was removed");
        let changed = |change: fn(&mut ValidatingWebhook)| {
            let mut other = ours.clone();
            change(&mut other.webhooks.as_mut().unwrap()[0]);
            between::<Judging>(Some(&other), &ours).unwrap()
        };
        let name = "fail.validate.proofstream.dev";
        assert_eq!(
            changed(|hook| hook.failure_policy = Some("Ignore".to_owned())),
            format!("failurePolicy of webhook `{name}`")
        );
        assert_eq!(
            changed(|hook| hook.rules = Some(Vec::new())),
            format!("rules of webhook `{name}`")
        );
        let mut without = ours.clone();
        without.webhooks = Some(Vec::new());
        assert_eq!(
            between::<Judging>(Some(&without), &ours).unwrap(),
            format!("webhook `{name}` was taken out")
        );
    }
}
