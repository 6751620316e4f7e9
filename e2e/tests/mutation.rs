//! Mutating admission on a real API server: changed, then judged.

#[path = "admission/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use anyhow::{Context, Result, ensure};
use harness::{HARDENED, PATIENCE, Stand, pod, refusal};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::DynamicObject;
use proofstream_e2e::wait_until;
use proofstream_model::{Answer, Decision};
use proofstream_runtime::webhooks::removal::{self, Removal};

const HARDEN: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: harden}
spec:
  rules:
  - name: containers
    match: {any: [{resources: {kinds: [Pod], namespaces: [payments]}}]}
    mutate:
      patchStrategicMerge:
        metadata: {labels: {+(team): unassigned}}
        spec:
          +(securityContext): {runAsNonRoot: true}
          containers:
          - (name): '*'
            securityContext:
              privileged: false
              allowPrivilegeEscalation: false
              readOnlyRootFilesystem: true
              capabilities: {drop: [ALL]}
";

/// Waits until our mutating webhook is registered, or gone.
async fn changing(stand: &Stand, wanted: bool) -> Result<()> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(stand.client.clone());
    wait_until("the mutating webhook", PATIENCE, || async {
        let found = api.get_opt("proofstream").await?;
        let hooks = found.and_then(|found| found.webhooks).unwrap_or_default();
        ensure!(hooks.is_empty() != wanted, "{hooks:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_changed_and_then_judged() -> Result<()> {
    let stand = Stand::start(&[HARDENED]).await?;
    stand.cluster.create_namespace("payments").await?;
    let loose = pod("payments", "loose", "privileged: true");
    stand.refused(&loose).await?;
    stand.cluster.apply(HARDEN).await?;
    changing(&stand, true).await?;
    stand.admitted(&loose).await?;
    let decided_before = stand.records::<Decision>()?.len();

    let file = stand.data.path().join("pod.yaml");
    std::fs::write(&file, &loose)?;
    stand.cluster.kubectl(&["create", "-f", &file.display().to_string()]).await?;
    let pods: Api<Pod> = Api::namespaced(stand.client.clone(), "payments");
    let created = pods.get("loose").await?;
    let container = created.spec.context("no spec")?.containers.remove(0);
    let context = container.security_context.context("no security context")?;
    assert_eq!((context.privileged, context.read_only_root_filesystem), (Some(false), Some(true)));
    assert_eq!(created.metadata.labels.context("no labels")?["team"], "unassigned");

    // Only the validating call decides; the audit event says who changed what.
    let decisions: Vec<_> = stand.records::<Decision>()?.split_off(decided_before);
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    assert_eq!(decisions[0].1.decision, Answer::Allow);
    let path = stand.cluster.audit_log().context("no audit log")?;
    wait_until("the audit event", PATIENCE, || async {
        let text = std::fs::read_to_string(&path)?;
        let changed = |event: &serde_json::Value| {
            event["annotations"]["fail.mutate.proofstream.dev/changed-by"] == "harden/containers"
        };
        let mut events = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        events.find(changed).map(drop).context("not there yet")
    })
    .await?;

    // What is as the rules want it is left as it is, label of its own included.
    let own = loose.replace("name: loose,", "name: own, labels: {team: ledger},");
    stand.cluster.create(&own).await?;
    assert_eq!(pods.get("own").await?.metadata.labels.context("no labels")?["team"], "ledger");

    // The way out takes both away.
    let removal = Removal {
        by: "alice".to_owned(),
        at: stand.proofstream.handles.clock.now(),
        reason: "nothing works".to_owned(),
    };
    removal::remove(&stand.client, &removal).await?;
    changing(&stand, false).await?;
    assert!(removal::install(&stand.client).await?);
    changing(&stand, true).await
}

fn reading(name: &str, failure_policy: &str, place: &str) -> String {
    format!(
        "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: {name}}}
spec:
  webhookConfiguration: {{failurePolicy: {failure_policy}}}
  rules:
  - name: from-elsewhere
    match: {{any: [{{resources: {{kinds: [ConfigMap], namespaces: [{place}]}}}}]}}
    context: [{{name: defaults, configMap: {{name: defaults, namespace: {place}}}}}]
    mutate: {{patchStrategicMerge: {{data: {{+(zone): '{{{{ defaults.data.zone }}}}'}}}}}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_made_follows_the_failure_policy() -> Result<()> {
    let stand = Stand::start(&[]).await?;
    for namespace in ["strict", "lenient"] {
        stand.cluster.create_namespace(namespace).await?;
    }
    let map = |place: &str, name: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {place}}}\n")
    };
    for place in ["strict", "lenient"] {
        stand.cluster.create(&(map(place, "defaults") + "data: {zone: eu}\n")).await?;
    }
    stand.cluster.apply(&reading("strict", "Fail", "strict")).await?;
    stand.cluster.apply(&reading("lenient", "Ignore", "lenient")).await?;
    changing(&stand, true).await?;
    let zone = async |place: &str, name: &str| -> Result<Option<String>> {
        let made: Vec<DynamicObject> = stand.cluster.create(&map(place, name)).await?;
        let maps: Api<ConfigMap> = Api::namespaced(stand.client.clone(), place);
        let name = made.first().and_then(|made| made.metadata.name.clone()).unwrap_or_default();
        Ok(maps.get(&name).await?.data.and_then(|data| data.get("zone").cloned()))
    };
    let mut number = 0;
    for place in ["strict", "lenient"] {
        let zone = &zone;
        loop {
            number += 1;
            if zone(place, &format!("m{number}")).await?.as_deref() == Some("eu") {
                break;
            }
            ensure!(number < 500, "the webhook does not come into force");
        }
        stand.cluster.kubectl(&["delete", "configmap", "-n", place, "defaults"]).await?;
    }
    let error = stand.cluster.create(&map("strict", "late")).await.unwrap_err();
    let message = refusal(&error)?;
    assert!(message.contains("strict/from-elsewhere") && message.contains("defaults"), "{message}");
    assert_eq!(zone("lenient", "late").await?, None, "it goes on unchanged");
    Ok(())
}
