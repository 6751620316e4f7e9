//! The webhooks that the policies in force call for.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, RuleWithOperations, ServiceReference, ValidatingWebhook, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};

use proofstream_policy::Phase;

use super::scope::{Lane, PROTECTED, ResourceRule, Scope};

/// Name of our webhook configuration.
pub const CONFIGURATION: &str = "proofstream";
/// Label that says what manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`] on what we manage.
pub const MANAGER: &str = "proofstream";
/// Seconds that the API server waits for us where no policy says otherwise.
pub const DEFAULT_TIMEOUT_SECONDS: u32 = 10;
/// The longest that Kubernetes lets a webhook take.
pub const MAX_TIMEOUT_SECONDS: u32 = 30;

const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
/// Kubernetes takes at most 64 match conditions a webhook.
const MAX_CONDITIONS: usize = 60;

/// Where the API server finds us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Outside the cluster: `https://HOST:PORT`.
    Url(String),
    /// Inside it.
    Service {
        /// Namespace of the Service.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
}

/// Everything but the policies that shapes the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Where the API server finds us.
    pub endpoint: Endpoint,
    /// Certificates (PEM) by which it knows us: ours, and during a rotation the old one.
    pub ca_bundle: Vec<u8>,
    /// The namespace that we run in: never asked about.
    pub own_namespace: String,
    /// Whether policies themselves are looked at when they are applied.
    pub checks_policies: bool,
}

/// The webhooks for these scopes. One that asks for nothing is left out.
pub(super) fn hooks(
    phase: Phase,
    scopes: &BTreeMap<Lane, Scope>,
    shape: &Shape,
) -> Vec<ValidatingWebhook> {
    scopes
        .iter()
        .filter(|(_, scope)| !scope.rules.is_empty())
        .map(|(lane, scope)| webhook(phase, lane, scope, shape))
        .collect()
}

/// What every configuration of ours says of itself.
pub(super) fn metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from([(MANAGED_BY.to_owned(), MANAGER.to_owned())])),
        ..ObjectMeta::default()
    }
}

/// Seconds that a webhook of this scope is given.
pub(super) fn timeout_seconds(scope: &Scope) -> u32 {
    scope.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS).clamp(1, MAX_TIMEOUT_SECONDS)
}

fn webhook(phase: Phase, lane: &Lane, scope: &Scope, shape: &Shape) -> ValidatingWebhook {
    ValidatingWebhook {
        name: lane.webhook(phase),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: client_config(lane.path(phase), shape),
        failure_policy: Some(lane.class.failure_policy().to_owned()),
        match_conditions: Some(match_conditions(scope)),
        match_policy: Some("Equivalent".to_owned()),
        namespace_selector: Some(namespace_selector(scope.namespaces.as_ref(), shape)),
        object_selector: Some(LabelSelector::default()),
        rules: Some(rules(&scope.rules)),
        side_effects: "NoneOnDryRun".to_owned(),
        timeout_seconds: i32::try_from(timeout_seconds(scope)).ok(),
    }
}

pub(super) fn client_config(path: String, shape: &Shape) -> WebhookClientConfig {
    let ca_bundle = Some(ByteString(shape.ca_bundle.clone()));
    match &shape.endpoint {
        Endpoint::Url(base) => WebhookClientConfig {
            ca_bundle,
            url: Some(format!("{}{path}", base.trim_end_matches('/'))),
            service: None,
        },
        Endpoint::Service { namespace, name, port } => WebhookClientConfig {
            ca_bundle,
            url: None,
            service: Some(ServiceReference {
                namespace: namespace.clone(),
                name: name.clone(),
                port: Some(i32::from(*port)),
                path: Some(path),
            }),
        },
    }
}

/// One rule for all resources of a group and version that share their operations.
fn rules(resources: &[ResourceRule]) -> Vec<RuleWithOperations> {
    let mut grouped: BTreeMap<(&str, &str, &BTreeSet<&str>), Vec<String>> = BTreeMap::new();
    for rule in resources {
        grouped
            .entry((&rule.group, &rule.version, &rule.operations))
            .or_default()
            .push(rule.resource.clone());
    }
    grouped
        .into_iter()
        .map(|((group, version, operations), resources)| RuleWithOperations {
            api_groups: Some(vec![group.to_owned()]),
            api_versions: Some(vec![version.to_owned()]),
            operations: Some(operations.iter().map(|word| (*word).to_owned()).collect()),
            resources: Some(resources),
            scope: Some("*".to_owned()),
        })
        .collect()
}

/// Never our own namespace and kube-system; where every policy names its namespaces without
/// wildcards, those alone.
fn namespace_selector(namespaces: Option<&BTreeSet<String>>, shape: &Shape) -> LabelSelector {
    let requirement = |operator: &str, values: Vec<String>| LabelSelectorRequirement {
        key: NAMESPACE_LABEL.to_owned(),
        operator: operator.to_owned(),
        values: Some(values),
    };
    let mut never = vec!["kube-system".to_owned(), shape.own_namespace.clone()];
    never.sort();
    never.dedup();
    let mut requirements = vec![requirement("NotIn", never)];
    if let Some(names) = namespaces.filter(|names| !names.iter().any(|name| is_glob(name))) {
        requirements.push(requirement("In", names.iter().cloned().collect()));
    }
    LabelSelector { match_expressions: Some(requirements), match_labels: None }
}

fn match_conditions(scope: &Scope) -> Vec<MatchCondition> {
    let condition =
        |name: &str, expression: String| MatchCondition { name: name.to_owned(), expression };
    let mut conditions = vec![
        condition("not-a-node", "!('system:nodes' in request.userInfo.groups)".to_owned()),
        condition("not-the-bootstrap", bootstrap_expression()),
    ];
    if let Some(globs) =
        scope.namespaces.as_ref().filter(|names| names.iter().any(|name| is_glob(name)))
    {
        conditions.push(condition("in-a-policy-s-namespace", namespace_expression(globs)));
    }
    let own: BTreeSet<_> = conditions.iter().map(|own| own.name.clone()).collect();
    let brought = scope.conditions.iter().filter(|(name, _)| !own.contains(name));
    conditions.extend(
        brought.map(|(name, expression)| condition(name, expression.clone())).take(MAX_CONDITIONS),
    );
    conditions
}

/// The rules name no such resource unless they name all; this holds whatever they name.
fn bootstrap_expression() -> String {
    let list =
        |words: &mut dyn Iterator<Item = &str>| words.map(quote).collect::<Vec<_>>().join(", ");
    let whole = |(group, name): &(&'static str, &'static str)| (*name == "*").then_some(*group);
    let single = |(_, name): &(&'static str, &'static str)| (*name != "*").then_some(*name);
    let groups = list(&mut PROTECTED.iter().filter_map(whole));
    let names = list(&mut PROTECTED.iter().filter_map(single));
    format!(
        "!(request.resource.group in [{groups}]) && !(request.resource.group == '' && \
         request.resource.resource in [{names}])"
    )
}

/// Holds for what stands in no namespace and for what stands in one that some glob names.
fn namespace_expression(globs: &BTreeSet<String>) -> String {
    let (patterns, names): (Vec<&String>, Vec<&String>) = globs.iter().partition(|g| is_glob(g));
    let mut alternatives =
        vec!["!has(request.namespace)".to_owned(), "request.namespace == ''".to_owned()];
    // A Namespace stands in itself, but its own name is not always the request's namespace.
    alternatives.push("request.kind.kind == 'Namespace'".to_owned());
    if !names.is_empty() {
        let quoted: Vec<_> = names.iter().map(|name| quote(name)).collect();
        alternatives.push(format!("request.namespace in [{}]", quoted.join(", ")));
    }
    for pattern in patterns {
        let expression = match pattern.strip_suffix('*').filter(|prefix| !is_glob(prefix)) {
            Some(prefix) => format!("request.namespace.startsWith({})", quote(prefix)),
            None => format!("request.namespace.matches({})", quote(&regular_expression(pattern))),
        };
        alternatives.push(expression);
    }
    alternatives.join(" || ")
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// A glob as an RE2 expression; what could mean something in RE2 is escaped.
fn regular_expression(glob: &str) -> String {
    let mut expression = String::from("^");
    for character in glob.chars() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            plain if plain.is_ascii_alphanumeric() || plain == '-' => expression.push(plain),
            other => {
                expression.push('\\');
                expression.push(other);
            }
        }
    }
    expression.push('$');
    expression
}

/// A CEL string literal.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::webhooks::scope::Class;
    use crate::webhooks::scope::tests::scope;
    use serde_json::json;

    pub(crate) fn shape() -> Shape {
        Shape {
            endpoint: Endpoint::Url("https://127.0.0.1:9443".to_owned()),
            ca_bundle: b"pem".to_vec(),
            own_namespace: "proofstream".to_owned(),
            checks_policies: true,
        }
    }

    fn of(scope: Scope) -> ValidatingWebhook {
        let scopes = BTreeMap::from([(Lane::plain(Class::Fail), scope)]);
        hooks(Phase::Validate, &scopes, &shape()).remove(0)
    }

    fn in_namespaces(names: &[&str]) -> Scope {
        scope(&json!({"kinds": ["ConfigMap"], "namespaces": names}))
    }

    fn selector_of(webhook: &ValidatingWebhook) -> Vec<(String, Vec<String>)> {
        let selector = webhook.namespace_selector.clone().unwrap();
        let expressions = selector.match_expressions.unwrap();
        expressions.into_iter().map(|e| (e.operator, e.values.unwrap())).collect()
    }

    #[test]
    fn literal_namespaces_become_a_selector() {
        let webhook = of(in_namespaces(&["payments", "ledger"]));
        assert_eq!(
            selector_of(&webhook),
            [
                ("NotIn".to_owned(), vec!["kube-system".to_owned(), "proofstream".to_owned()]),
                ("In".to_owned(), vec!["ledger".to_owned(), "payments".to_owned()]),
            ]
        );
        assert_eq!(webhook.match_conditions.unwrap().len(), 2);
        assert_eq!(webhook.client_config.url.unwrap(), "https://127.0.0.1:9443/validate/fail");
        assert_eq!(webhook.failure_policy.as_deref(), Some("Fail"));
        assert_eq!(webhook.timeout_seconds, Some(10));
    }

    #[test]
    fn globs_become_a_condition() {
        let webhook = of(in_namespaces(&["payments", "prod-*", "a?"]));
        assert_eq!(selector_of(&webhook).len(), 1);
        let conditions = webhook.match_conditions.unwrap();
        assert_eq!(
            conditions[2].expression,
            "!has(request.namespace) || request.namespace == '' || request.kind.kind == 'Namespace' \
             || request.namespace in ['payments'] || request.namespace.matches('^a.$') \
             || request.namespace.startsWith('prod-')"
        );
    }

    #[test]
    fn conditions_of_the_policies_come_after_ours() {
        let mut scope = in_namespaces(&["payments"]);
        scope.conditions = vec![("mine".to_owned(), "true".to_owned())];
        let conditions = of(scope).match_conditions.unwrap();
        assert_eq!(conditions.len(), 3);
        assert_eq!(conditions[2].name, "mine");
        assert_eq!(
            conditions[1].expression,
            "!(request.resource.group in ['admissionregistration.k8s.io', \
             'apiregistration.k8s.io', 'authentication.k8s.io', 'authorization.k8s.io', \
             'certificates.k8s.io', 'coordination.k8s.io']) && !(request.resource.group == '' && \
             request.resource.resource in ['nodes', 'bindings'])"
        );
    }

    #[test]
    fn a_lane_that_asks_for_nothing_has_no_webhook() {
        let scopes = BTreeMap::from([(Lane::plain(Class::Ignore), Scope::default())]);
        assert_eq!(hooks(Phase::Validate, &scopes, &shape()), []);
    }

    #[test]
    fn a_timeout_stays_within_what_kubernetes_takes() {
        let with = |seconds| Scope { timeout_seconds: Some(seconds), ..Scope::default() };
        assert_eq!(timeout_seconds(&with(3)), 3);
        assert_eq!(timeout_seconds(&with(60)), 30);
        assert_eq!(timeout_seconds(&with(0)), 1);
    }
}
