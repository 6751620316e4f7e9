//! What other policies would have blocked of the requests that a real API server sent.

#![cfg(test)]

#[path = "admission/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use harness::{HARDENED, Stand, pod};
use jiff::Timestamp;
use proofstream_cli::offline::replay::{Replay, Report};
use proofstream_ledger::storage::Directory;
use proofstream_policy::{ConstraintTemplate, Policy, PolicySet, parse};
use serde_json::Value;

/// In Audit mode, and stricter than what is in force: images of one registry alone.
const REGISTRY: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: one-registry}
spec:
  validationFailureAction: Audit
  rules:
  - name: ours
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate:
      message: Images come from ours.example.
      pattern: {spec: {containers: [{image: 'ours.example/*'}]}}
";

const TEMPLATE: &str = r#"
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: nobody}
spec:
  crd: {spec: {names: {kind: Nobody}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    rego: |
      package nobody
      violation[{"msg": msg}] {
        input.review.operation == "CREATE"
        msg := sprintf("%v may create no %v", [input.review.userInfo.username, input.review.kind.kind])
      }
"#;

const CONSTRAINT: &str = "
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: Nobody
metadata: {name: nobody-creates}
spec: {match: {namespaces: [payments]}}
";

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_real_api_server_are_judged_again() -> Result<()> {
    let stand = Stand::start(&[HARDENED]).await?;
    stand.cluster.create_namespace("payments").await?;
    stand.refused(&pod("payments", "bad", "privileged: true")).await?;
    for name in ["one", "two"] {
        stand.cluster.create(&pod("payments", name, "")).await?;
    }
    ensure!(stand.cluster.create(&pod("payments", "bad", "privileged: true")).await.is_err());
    let Stand { proofstream, data, .. } = stand;
    proofstream.stop().await?;

    let template = ConstraintTemplate::parse(&serde_saphyr::from_str::<Value>(TEMPLATE)?)?;
    let policies = vec![
        parse(&serde_saphyr::from_str(HARDENED)?)?,
        parse(&serde_saphyr::from_str(REGISTRY)?)?,
        template.constraint(&serde_saphyr::from_str(CONSTRAINT)?)?,
    ];
    let ledger = data.path().join("data/ledger");
    let report = tokio::task::spawn_blocking(move || replay(policies, &ledger)).await??;
    let rule = |policy: &str, rule: &str| {
        let found = report.rules.get(&(policy.to_owned(), rule.to_owned()));
        found.with_context(|| format!("{policy}/{rule} says nothing: {report:?}"))
    };
    ensure!(report.requests.replayed == 3, "{:?}", report.requests);
    ensure!(report.requests.dry_runs >= 1, "the dry runs are told apart");
    let hardened = rule("require-hardened-securitycontext", "block-privileged-and-root")?;
    assert_eq!((hardened.matched, hardened.would_block, hardened.not_judged), (3, 1, 0));
    let registry = rule("one-registry", "ours")?;
    assert_eq!((registry.matched, registry.would_block), (3, 3));
    assert_eq!(registry.owners.len(), 3);
    let first = registry.first.as_ref().context("no first")?;
    assert_eq!((first.operation.as_str(), first.subject.as_str()), ("CREATE", "Pod payments/one"));
    assert!(first.message.contains("ours.example"), "{first:?}");
    let nobody = rule("nobody-creates", "Nobody")?;
    assert_eq!(nobody.would_block, 3);
    let said = nobody.first.as_ref().map(|first| first.message.clone()).unwrap_or_default();
    assert!(said.ends_with("may create no Pod"), "{said}");
    Ok(())
}

fn replay(policies: Vec<Policy>, ledger: &std::path::Path) -> Result<Report> {
    let (set, _) = PolicySet::compile(policies);
    let to = Timestamp::now();
    let from = to - jiff::SignedDuration::from_hours(1);
    let storage = Arc::new(Directory::new(ledger));
    Replay::new(&set, from, to)
        .run(storage, &mut || {})
        .map_err(|failure| anyhow::anyhow!(failure.message))
}
