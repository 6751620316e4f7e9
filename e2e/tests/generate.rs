//! Generate rules and cleanup on a real API server, driven by kubectl as their users do.

#[path = "generate/harness.rs"]
mod harness;

use anyhow::{Result, ensure};
use harness::{PATIENCE, Stand};
use proofstream_e2e::wait_until;
use proofstream_model::{ChangeAction, ChangeState};

const DENY: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: default-deny}
spec:
  rules:
  - name: default-deny
    match: {any: [{resources: {kinds: [Namespace], selector: {matchLabels: {guarded: 'yes'}}}}]}
    generate:
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      name: default-deny
      namespace: '{{ request.object.metadata.name }}'
      synchronize: true
      data:
        metadata: {annotations: {team: \"{{ request.object.metadata.labels.team || 'nobody' }}\"}}
        spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";

fn guarded(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{guarded: 'yes'}}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_made_kept_in_step_and_ended() -> Result<()> {
    let mut stand = Stand::start().await?;
    stand.cluster.apply(&guarded("before")).await?;
    let before = stand.shows("namespace", "default", "before", |_| true).await?;
    // Creation times have a second's precision: in the same one it would be the policy's contemporary.
    let created: jiff::Timestamp =
        before["metadata"]["creationTimestamp"].as_str().unwrap_or_default().parse()?;
    wait_until("the next second", PATIENCE, || async {
        ensure!(jiff::Timestamp::now().as_second() > created.as_second(), "not yet");
        Ok(())
    })
    .await?;
    stand.cluster.apply(DENY).await?;
    stand.cluster.apply(&guarded("shop")).await?;
    stand.cluster.create_namespace("free").await?;
    let deny =
        |found: &serde_json::Value| found["spec"]["policyTypes"].as_array().unwrap().len() == 2;
    let made = stand.shows("networkpolicy", "shop", "default-deny", deny).await?;
    assert_eq!(made["metadata"]["labels"]["generate.kyverno.io/policy-name"], "default-deny");
    assert_eq!(made["metadata"]["annotations"]["team"], "nobody");

    // Who deletes or changes it finds it as the policy wants it.
    stand.cluster.kubectl(&["delete", "networkpolicy", "-n", "shop", "default-deny"]).await?;
    let uid = made["metadata"]["uid"].clone();
    let again = |found: &serde_json::Value| found["metadata"]["uid"] != uid;
    stand.shows("networkpolicy", "shop", "default-deny", again).await?;
    let open = r#"{"spec": {"ingress": [{}]}}"#;
    stand
        .cluster
        .kubectl(&[
            "patch",
            "networkpolicy",
            "-n",
            "shop",
            "default-deny",
            "--type",
            "merge",
            "-p",
            open,
        ])
        .await?;
    let closed = |found: &serde_json::Value| found["spec"].get("ingress").is_none();
    stand.shows("networkpolicy", "shop", "default-deny", closed).await?;

    // The trigger's values and the policy's data are followed.
    stand.cluster.kubectl(&["label", "namespace", "shop", "team=till"]).await?;
    let team = |found: &serde_json::Value| found["metadata"]["annotations"]["team"] == "till";
    stand.shows("networkpolicy", "shop", "default-deny", team).await?;
    stand.cluster.apply(&DENY.replace("[Ingress, Egress]", "[Ingress]")).await?;
    let narrower =
        |found: &serde_json::Value| found["spec"]["policyTypes"].as_array().unwrap().len() == 1;
    stand.shows("networkpolicy", "shop", "default-deny", narrower).await?;

    // What happens while nobody is there is caught up with.
    stand.down().await?;
    stand.cluster.apply(&guarded("late")).await?;
    stand.cluster.kubectl(&["delete", "networkpolicy", "-n", "shop", "default-deny"]).await?;
    stand.up().await?;
    for namespace in ["late", "shop"] {
        stand.shows("networkpolicy", namespace, "default-deny", narrower).await?;
    }
    for namespace in ["free", "before"] {
        let asked = ["get", "networkpolicy", "-n", namespace, "-o", "name"];
        assert_eq!(stand.cluster.kubectl(&asked).await?.trim(), "", "{namespace}");
    }
    stand
        .recorded("NetworkPolicy", "default-deny", &[ChangeAction::Create, ChangeAction::Update])
        .await?;

    // A trigger that matches no more, and a policy that goes, take theirs back.
    stand.cluster.kubectl(&["label", "namespace", "late", "guarded-"]).await?;
    stand.lacks("networkpolicy", "late", "default-deny").await?;
    stand.cluster.kubectl(&["delete", "clusterpolicy", "default-deny"]).await?;
    stand.lacks("networkpolicy", "shop", "default-deny").await?;
    stand.recorded("NetworkPolicy", "default-deny", &[ChangeAction::Delete]).await?;
    stand.down().await
}

/// The same in CEL.
const DENY_IN_CEL: &str = "
apiVersion: policies.kyverno.io/v1
kind: GeneratingPolicy
metadata: {name: deny-in-cel}
spec:
  evaluation: {synchronize: {enabled: true}}
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [namespaces]}]
    objectSelector: {matchLabels: {walled: 'yes'}}
  variables:
  - {name: team, expression: \"object.metadata.?labels[?'team'].orValue('nobody')\"}
  generate:
  - expression: >-
      generator.Apply(object.metadata.name, [{
        'apiVersion': dyn('networking.k8s.io/v1'), 'kind': dyn('NetworkPolicy'),
        'metadata': dyn({'name': dyn('walled'), 'annotations': dyn({'team': variables.team})}),
        'spec': dyn({'podSelector': dyn({}), 'policyTypes': dyn(['Ingress'])}),
      }])
";

#[tokio::test(flavor = "multi_thread")]
async fn expressions_make_objects_and_keep_them_in_step() -> Result<()> {
    let stand = Stand::start().await?;
    wait_until("the kind to be served", PATIENCE, || stand.cluster.apply(DENY_IN_CEL)).await?;
    let walled =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {walled: 'yes'}}\n";
    stand.cluster.apply(walled).await?;
    stand.cluster.create_namespace("free").await?;
    let nobody = |found: &serde_json::Value| found["metadata"]["annotations"]["team"] == "nobody";
    let made = stand.shows("networkpolicy", "shop", "walled", nobody).await?;
    stand.cluster.kubectl(&["label", "namespace", "shop", "team=till"]).await?;
    let team = |found: &serde_json::Value| found["metadata"]["annotations"]["team"] == "till";
    stand.shows("networkpolicy", "shop", "walled", team).await?;
    stand.cluster.kubectl(&["delete", "networkpolicy", "-n", "shop", "walled"]).await?;
    let uid = made["metadata"]["uid"].clone();
    let again = |found: &serde_json::Value| found["metadata"]["uid"] != uid;
    stand.shows("networkpolicy", "shop", "walled", again).await?;
    let asked = ["get", "networkpolicy", "-n", "free", "-o", "name"];
    assert_eq!(stand.cluster.kubectl(&asked).await?.trim(), "");
    stand.cluster.kubectl(&["delete", "generatingpolicy", "deny-in-cel"]).await?;
    stand.lacks("networkpolicy", "shop", "walled").await
}

const CLONE: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: pull-secret}
spec:
  rules:
  - name: pull-secret
    match: {any: [{resources: {kinds: [Namespace], names: [shop, till]}}]}
    generate:
      apiVersion: v1
      kind: Secret
      name: pull
      namespace: '{{ request.object.metadata.name }}'
      synchronize: true
      generateExisting: true
      clone: {namespace: vault, name: regcred}
";

fn secret(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: regcred, namespace: vault}}\n\
         stringData: {{token: {value}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_follow_their_source() -> Result<()> {
    let mut stand = Stand::start().await?;
    for namespace in ["vault", "shop"] {
        stand.cluster.create_namespace(namespace).await?;
    }
    // Without a source nothing is made, and that is not the end of it.
    stand.cluster.apply(CLONE).await?;
    stand.cluster.create_namespace("till").await?;
    stand.cluster.apply(&secret("one")).await?;
    let token =
        |text: &'static str| move |found: &serde_json::Value| found["data"]["token"] == text;
    for namespace in ["shop", "till"] {
        stand.shows("secret", namespace, "pull", token("b25l")).await?;
    }
    stand.cluster.apply(&secret("two")).await?;
    for namespace in ["shop", "till"] {
        stand.shows("secret", namespace, "pull", token("dHdv")).await?;
    }
    stand.cluster.kubectl(&["delete", "secret", "-n", "vault", "regcred"]).await?;
    for namespace in ["shop", "till"] {
        stand.lacks("secret", namespace, "pull").await?;
    }
    let copied = stand.changes("Secret")?;
    ensure!(copied.iter().all(|change| change.source.is_some()), "{copied:#?}");
    stand.down().await
}

const CLEANUP: &str = "
apiVersion: kyverno.io/v2
kind: ClusterCleanupPolicy
metadata: {name: scratch}
spec:
  schedule: '* * * * *'
  match: {any: [{resources: {kinds: [ConfigMap], names: ['scratch-*']}}]}
  conditions: {all: [{key: '{{ target.data.keep }}', operator: NotEquals, value: 'yes'}]}
";

const DELETING: &str = "
apiVersion: policies.kyverno.io/v1
kind: DeletingPolicy
metadata: {name: drafts}
spec:
  schedule: '* * * * *'
  matchConstraints: {resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: ['*'], resources: [configmaps]}]}
  conditions:
  - {name: draft, expression: \"object.metadata.name.startsWith('draft-')\"}
  - {name: unkept, expression: \"object.data.keep != 'yes'\"}
";

#[tokio::test(flavor = "multi_thread")]
async fn schedules_and_labels_delete_what_they_name() -> Result<()> {
    let mut stand = Stand::start().await?;
    let map = |name: &str, rest: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default{rest}}}\n"
        )
    };
    let data = |keep: &str| format!("data: {{keep: '{keep}'}}\n");
    for (name, keep) in [("scratch-a", "no"), ("scratch-b", "yes"), ("other", "no")] {
        stand.cluster.apply(&(map(name, "") + &data(keep))).await?;
    }
    // One that cannot be judged stays.
    stand.cluster.apply(&map("scratch-c", "")).await?;
    for (name, keep) in [("draft-a", "no"), ("draft-b", "yes")] {
        stand.cluster.apply(&(map(name, "") + &data(keep))).await?;
    }
    stand.cluster.apply(&map("draft-c", "")).await?;
    let label = |value: &str| format!(", labels: {{cleanup.kyverno.io/ttl: {value}}}");
    stand.cluster.apply(&map("brief", &label("1s"))).await?;
    stand.cluster.apply(&map("lasting", &label("24h"))).await?;
    for policy in [CLEANUP, DELETING] {
        wait_until("the kind to be served", PATIENCE, || async {
            stand.cluster.apply(policy).await.map(drop)
        })
        .await?;
    }
    stand.lacks("configmap", "default", "scratch-a").await?;
    stand.lacks("configmap", "default", "draft-a").await?;
    stand.lacks("configmap", "default", "brief").await?;
    for name in ["scratch-b", "scratch-c", "draft-b", "draft-c", "other", "lasting"] {
        stand.shows("configmap", "default", name, |_| true).await?;
    }
    stand.recorded("ConfigMap", "scratch-a", &[ChangeAction::Delete]).await?;
    stand.recorded("ConfigMap", "draft-a", &[ChangeAction::Delete]).await?;
    stand.recorded("ConfigMap", "brief", &[ChangeAction::Delete]).await?;
    let changes = stand.changes("ConfigMap")?;
    ensure!(changes.iter().all(|change| change.state != ChangeState::Failed), "{changes:#?}");
    stand.down().await
}
