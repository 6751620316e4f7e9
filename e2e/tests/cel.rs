//! Policies in CEL (`policies.kyverno.io`) on the real API server: they judge, change and are excepted
//! from like the others.

#[path = "admission/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use anyhow::{Context, Result, ensure};
use harness::{PATIENCE, Stand, refusal};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use proofstream_e2e::wait_until;
use proofstream_model::{Decision, PolicyBody, PolicyState, Verdict};

/// A policy of another kind has the same name: each is judged by its own text.
const TEAMS: &str = "
apiVersion: policies.kyverno.io/v1
kind: ValidatingPolicy
metadata: {name: teams}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  matchConditions: [{name: in-payments, expression: object.metadata.namespace == 'payments'}]
  validations:
  - expression: has(object.metadata.labels) && 'team' in object.metadata.labels
    messageExpression: \"'Who owns ' + object.metadata.name + '?'\"
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: teams}
spec:
  rules:
  - name: teams
    match: {any: [{resources: {kinds: [ConfigMap], namespaces: [payments], names: ['other-*']}}]}
    validate: {failureAction: Audit, message: Not other., deny: {}}
";

const MARKED: &str = "
apiVersion: policies.kyverno.io/v1
kind: MutatingPolicy
metadata: {name: marked}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  matchConditions: [{name: in-payments, expression: object.metadata.namespace == 'payments'}]
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >-
        Object{metadata: Object.metadata{annotations: Object.metadata.annotations{by: 'proofstream'}}}
  - patchType: JSONPatch
    jsonPatch:
      expression: >-
        [JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a/b'),
        value: object.metadata.annotations.by}]
";

const EXCEPTION: &str = "
apiVersion: policies.kyverno.io/v1
kind: PolicyException
metadata: {name: teams, namespace: default}
spec:
  policyRefs: [{name: teams, kind: ValidatingPolicy}]
  matchConditions: [{name: legacy, expression: \"object.metadata.name == 'legacy'\"}]
";

fn map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: payments}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_in_cel_are_run_live() -> Result<()> {
    let stand = Stand::start(&[]).await?;
    stand.cluster.create_namespace("payments").await?;
    for document in [TEAMS, MARKED] {
        stand.cluster.apply(document).await?;
    }
    stand.enforced(3).await?;

    // Judged: the message is the expression's.
    let maps: Api<ConfigMap> = Api::namespaced(stand.client.clone(), "payments");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let asked: ConfigMap = serde_saphyr::from_str(&map("lost"))?;
    let message = wait_until("the refusal", PATIENCE, || async {
        match maps.create(&dry_run, &asked).await {
            Ok(_) => anyhow::bail!("it is let through"),
            Err(error) => refusal(&error.into()),
        }
    })
    .await?;
    assert!(message.contains("teams/teams: Who owns lost?"), "{message}");

    // Changed, and then judged: what the second mutation reads is what the first one made.
    let mut owned = asked.clone();
    owned.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
    owned.metadata.name = Some("other-map".to_owned());
    let made = wait_until("the change", PATIENCE, || async {
        let made = maps.create(&dry_run, &owned).await?;
        made.metadata.annotations.context("it is let through as it is")
    })
    .await?;
    assert_eq!(made.get("a/b").map(String::as_str), Some("proofstream"));
    maps.create(&PostParams::default(), &owned).await?;

    // Each policy's outcome is its own, though two bear one name.
    let outcomes = wait_until("the decision", PATIENCE, || async {
        let decisions = stand.records::<Decision>()?;
        let (_, decision) = decisions
            .into_iter()
            .find(|(_, decision)| decision.subject.name == "other-map" && !decision.dry_run)
            .context("none yet")?;
        Ok(decision.rules.into_iter().map(|rule| rule.verdict).collect::<Vec<_>>())
    })
    .await?;
    assert_eq!(outcomes, [Verdict::Fail, Verdict::Pass]);

    // Excepted.
    stand.cluster.apply(EXCEPTION).await?;
    let mut legacy = asked.clone();
    legacy.metadata.name = Some("legacy".to_owned());
    wait_until("the exception to count", PATIENCE, || async {
        maps.create(&dry_run, &legacy).await?;
        Ok(())
    })
    .await?;
    assert!(refusal(&maps.create(&dry_run, &asked).await.unwrap_err().into()).is_ok());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_in_cel_have_a_status_and_broken_ones_are_refused() -> Result<()> {
    let stand = Stand::start(&[]).await?;
    stand.cluster.apply(TEAMS).await?;
    stand.enforced(2).await?;
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("policies.kyverno.io", "v1", "ValidatingPolicy"),
        "validatingpolicies",
    );
    let policies: Api<DynamicObject> = Api::all_with(stand.client.clone(), &resource);
    wait_until("the status", PATIENCE, || async {
        let policy = policies.get("teams").await?;
        let status = policy.data.get("status").context("no status yet")?;
        ensure!(status["ready"] == true && status["mode"] == "Enforce", "{status}");
        ensure!(status["rulecount"]["validate"] == 1, "{status}");
        Ok(())
    })
    .await?;
    let broken = MARKED.replace("op: 'add'", "oops: 'add'");
    let message = wait_until("the refusal", PATIENCE, || async {
        match stand.cluster.create(&broken).await {
            Ok(_) => {
                stand.cluster.kubectl(&["delete", "mutatingpolicy", "marked"]).await?;
                anyhow::bail!("it is let through")
            }
            Err(error) => refusal(&error),
        }
    })
    .await?;
    assert!(message.contains("`spec.mutations[1].jsonPatch.expression`"), "{message}");
    assert!(message.contains("has no field `oops`"), "{message}");
    let recorded = stand.records::<PolicyBody>()?;
    let active = |kind: &str| {
        let is = |body: &PolicyBody| body.kind == kind && body.state == PolicyState::Active;
        recorded.iter().filter(|(_, body)| is(body)).count()
    };
    assert_eq!((active("ValidatingPolicy"), active("ClusterPolicy")), (1, 1));
    Ok(())
}
