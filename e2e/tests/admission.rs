//! Admission on a real API server: who is refused, who is not, and what stands in the ledger.

#[path = "admission/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::{HARDENED, NO_SECRET_ENV, PATIENCE, Proofstream, Stand, config, pod, refusal};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use proofstream_e2e::wait_until;
use proofstream_model::{Answer, Decision, GapBody, Operation, PolicyBody, PolicyState};
use proofstream_runtime::webhooks::removal::{self, Removal};
use proofstream_server::up::Service;
use serde_json::json;

const FAIL_ANNOTATION: &str = "fail.validate.proofstream.dev/decision";

#[tokio::test(flavor = "multi_thread")]
async fn the_articles_policies_refuse_and_let_through() -> Result<()> {
    let stand = Stand::start(&[HARDENED, NO_SECRET_ENV]).await?;
    for namespace in ["payments", "prod-eu", "elsewhere"] {
        stand.cluster.create_namespace(namespace).await?;
    }
    let privileged = |namespace: &str| pod(namespace, "bad", "privileged: true");
    stand.refused(&privileged("payments")).await?;

    let error = stand.cluster.create(&privileged("payments")).await.unwrap_err();
    let message = refusal(&error)?;
    assert!(message.contains("Pod payments/bad is refused by policy"), "{message}");
    assert!(
        message.contains("require-hardened-securitycontext/block-privileged-and-root: "),
        "{message}"
    );
    assert!(message.contains("disable privilege escalation (CIS 5.2 / PCI Req 2)"), "{message}");
    assert!(stand.dry_run(&privileged("prod-eu")).await?.is_some(), "a glob names prod-eu");
    stand.cluster.create(&privileged("elsewhere")).await?;
    stand.cluster.create(&pod("payments", "good", "")).await?;

    // The refusal's decision is the one that its audit event names.
    let decisions = stand.records::<Decision>()?;
    let (record, denied) = decisions
        .iter()
        .find(|(_, decision)| decision.decision == Answer::Deny && !decision.dry_run)
        .context("no denial in the ledger")?;
    assert_eq!(denied.policies, ["require-hardened-securitycontext"]);
    assert_eq!((denied.subject.name.as_str(), denied.owner.as_str()), ("bad", "Pod/bad"));
    assert!(denied.requirements.iter().any(|r| r.as_str() == "soc2-2017/CC6.1"), "{denied:?}");
    let reference = format!("{} {} {}", record.source, record.source_epoch, record.source_seq);
    let event =
        audit_event(&stand, |event| event["annotations"][FAIL_ANNOTATION] == reference).await?;
    assert_eq!(event["objectRef"]["name"], "bad");
    assert_eq!(event["responseStatus"]["code"], 403);
    assert!(decisions.iter().any(|(_, d)| d.decision == Answer::Deny && d.dry_run), "dry runs too");
    assert!(
        decisions.iter().any(|(_, d)| d.decision == Answer::Allow && d.subject.name == "good"),
        "what passed too"
    );
    assert!(
        !decisions.iter().any(|(_, d)| d.subject.namespace.as_deref() == Some("elsewhere")),
        "what no policy is about is not recorded"
    );
    Ok(())
}

const OPERATIONS: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: operations}
spec:
  validationFailureAction: Enforce
  rules:
  - name: no-shells
    match: {any: [{resources: {kinds: [Pod/exec], namespaces: [payments]}}]}
    validate: {message: 'No shells here.', deny: {}}
  - name: keep
    match: {any: [{resources: {kinds: [ConfigMap], namespaces: [payments], operations: [DELETE]}}]}
    validate:
      message: 'This one stays.'
      deny: {conditions: {any: [{key: '{{ request.oldObject.metadata.name }}', operator: Equals, value: kept}]}}
  - name: frozen
    match: {any: [{resources: {kinds: [ConfigMap], namespaces: [payments], operations: [UPDATE]}}]}
    validate: {message: 'Frozen.', allowExistingViolations: false, deny: {}}
  - name: no-debugging
    match: {any: [{resources: {kinds: [Pod/ephemeralcontainers], namespaces: [payments]}}]}
    validate: {message: 'No debugging here.', allowExistingViolations: false, deny: {}}
";

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_reaches_its_rules() -> Result<()> {
    let stand = Stand::start(&[OPERATIONS]).await?;
    stand.cluster.create_namespace("payments").await?;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME, namespace: payments}\n";
    for name in ["kept", "loose"] {
        stand.cluster.create(&map.replace("NAME", name)).await?;
    }
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> =
        Api::namespaced(stand.client.clone(), "payments");
    let change = Patch::Merge(json!({"data": {"a": "b"}}));
    let message = wait_until("the update to be refused", PATIENCE, || async {
        match maps.patch("loose", &PatchParams::default(), &change).await {
            Ok(_) => anyhow::bail!("it was let through"),
            Err(error) => refusal(&error.into()),
        }
    })
    .await?;
    assert!(message.contains("operations/frozen: Frozen."), "{message}");
    let error = maps.delete("kept", &DeleteParams::default()).await.unwrap_err();
    assert!(refusal(&error.into())?.contains("operations/keep: This one stays."));
    maps.delete("loose", &DeleteParams::default()).await?;

    stand.cluster.create(&pod("payments", "web", "")).await?;
    let pods: Api<Pod> = Api::namespaced(stand.client.clone(), "payments");
    let shell = ["exec", "-n", "payments", "web", "--", "sh"];
    let error = stand.cluster.kubectl(&shell).await.unwrap_err();
    assert!(format!("{error:#}").contains("operations/no-shells: No shells here."), "{error:#}");
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "x"}]}});
    let error = pods
        .patch_ephemeral_containers("web", &PatchParams::default(), &Patch::Strategic(debugger))
        .await
        .unwrap_err();
    assert!(refusal(&error.into())?.contains("operations/no-debugging: No debugging here."));

    let decisions = stand.records::<Decision>()?;
    let denied = |operation, subresource: Option<&str>| {
        decisions.iter().any(|(_, decision)| {
            decision.decision == Answer::Deny
                && decision.operation == operation
                && decision.subresource.as_deref() == subresource
        })
    };
    assert!(denied(Operation::Connect, Some("exec")), "{decisions:?}");
    assert!(denied(Operation::Delete, None) && denied(Operation::Update, None));
    assert!(denied(Operation::Update, Some("ephemeralcontainers")));
    Ok(())
}

fn labelled(name: &str, mode: &str, label: &str) -> String {
    format!(
        "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: {name}}}
spec:
  validationFailureAction: {mode}
  rules:
  - name: {label}
    match: {{any: [{{resources: {{kinds: [Pod], namespaces: [payments]}}}}]}}
    validate: {{message: 'Say {label}.', pattern: {{metadata: {{labels: {{{label}: '?*'}}}}}}}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_come_into_force_at_once_and_a_broken_one_harms_no_other() -> Result<()> {
    // A broken policy can still come from before our webhook, or while nobody answered it.
    let stand = Stand::start_with(&[], |config| config.webhook.check_policies = false).await?;
    stand.cluster.create_namespace("payments").await?;
    let plain = pod("payments", "plain", "");

    // `kubectl apply` takes effect within a second.
    let mut fastest = Duration::MAX;
    for label in ["owner", "team", "cost"] {
        let applied = Instant::now();
        stand.cluster.apply(&labelled(label, "Enforce", label)).await?;
        wait_until("the new rule", PATIENCE, || async {
            let message = stand.dry_run(&plain).await?.unwrap_or_default();
            ensure!(message.contains(&format!("Say {label}.")), "{message}");
            Ok(())
        })
        .await?;
        fastest = fastest.min(applied.elapsed());
        // Without a policy there is no webhook: the next one has to be registered anew.
        stand.cluster.kubectl(&["delete", "clusterpolicy", label]).await?;
        wait_until("the webhook to go", PATIENCE, || async {
            let left = stand.webhooks().await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await?;
    }
    assert!(fastest < Duration::from_secs(1), "{fastest:?} from applying to refusing");
    for label in ["owner", "team"] {
        stand.cluster.apply(&labelled(label, "Enforce", label)).await?;
    }
    stand.enforced(2).await?;

    // A broken one says so and leaves the others alone; breaking a good one does not switch it off.
    let broken = labelled("owner", "Enforce", "owner").replace("pattern:", "patern:");
    stand.cluster.apply(&broken).await?;
    let ready = ready_condition(&stand, "owner", "False").await?;
    assert!(ready["message"].as_str().unwrap_or_default().contains("patern"), "{ready}");
    wait_until("both rules", PATIENCE, || async {
        let message = stand.dry_run(&plain).await?.unwrap_or_default();
        ensure!(message.contains("Say owner.") && message.contains("Say team."), "{message}");
        Ok(())
    })
    .await?;
    stand.cluster.apply(&labelled("owner", "Audit", "owner")).await?;
    ready_condition(&stand, "owner", "True").await?;
    wait_until("the rule to warn only", PATIENCE, || async {
        let message = stand.dry_run(&plain).await?.unwrap_or_default();
        ensure!(!message.contains("Say owner."), "{message}");
        Ok(())
    })
    .await?;

    stand.cluster.kubectl(&["delete", "clusterpolicy", "team"]).await?;
    stand.admitted(&plain).await?;
    recorded(
        &stand,
        &[
            ("owner", PolicyState::Active),
            ("owner", PolicyState::Broken),
            ("team", PolicyState::Removed),
            ("proofstream", PolicyState::Enforcer),
        ],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_a_place_for_policies_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("zone.yaml");
    let root = folder.path().to_owned();
    let stand = Stand::start_with(&[], |config| config.policies.push(root)).await?;
    stand.cluster.create_namespace("payments").await?;
    let plain = pod("payments", "plain", "");
    std::fs::write(&file, labelled("zone", "Enforce", "zone"))?;
    assert!(stand.refused(&plain).await?.contains("Say zone."));

    // A file that breaks is reported, with its place, and switches nothing off.
    std::fs::write(&file, "kind: [\n")?;
    wait_until("the broken file to be reported", PATIENCE, || async {
        let reports = stand.proofstream.handles.policies.reports();
        ensure!(reports.iter().any(|r| !r.ready && r.message.contains("zone.yaml")), "{reports:?}");
        Ok(())
    })
    .await?;
    assert!(stand.refused(&plain).await?.contains("Say zone."));
    std::fs::remove_file(&file)?;
    stand.admitted(&plain).await?;
    recorded(&stand, &[("zone", PolicyState::Active), ("zone", PolicyState::Removed)]).await
}

/// Holds the ledger to these changes of policies; what is in force already may be recorded a little later.
async fn recorded(stand: &Stand, changes: &[(&str, PolicyState)]) -> Result<()> {
    wait_until("the policies' records", PATIENCE, || async {
        let states: Vec<_> = stand
            .records::<PolicyBody>()?
            .into_iter()
            .map(|(_, body)| (body.name, body.state))
            .collect();
        for (name, state) in changes {
            let there = states.iter().any(|(of, is)| of == name && is == state);
            ensure!(there, "{:?}: {states:?}", (name, state));
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_mode_warns_and_records_what_it_would_have_blocked() -> Result<()> {
    let stand = Stand::start(&[&labelled("owner", "Audit", "owner")]).await?;
    stand.cluster.create_namespace("payments").await?;
    let manifest = stand.data.path().join("pod.yaml");
    std::fs::write(&manifest, pod("payments", "plain", ""))?;
    let name = manifest.display().to_string();
    // The webhook may be known to the API server a moment after it is registered.
    let would = wait_until("a decision", PATIENCE, || async {
        stand.cluster.kubectl(&["create", "--dry-run=server", "-f", &name]).await?;
        let decisions = stand.records::<Decision>()?;
        decisions.into_iter().map(|(_, d)| d).find(|d| d.would_block).context("none yet")
    })
    .await?;
    assert_eq!(
        (would.decision, would.policies.as_slice()),
        (Answer::Allow, &["owner".to_owned()][..])
    );
    let pods: Api<Pod> = Api::namespaced(stand.client.clone(), "payments");
    let body = std::fs::read_to_string(&manifest)?;
    let object: Pod = serde_saphyr::from_str(&body)?;
    let request = http::Request::post("/api/v1/namespaces/payments/pods")
        .header("content-type", "application/json")
        .body(kube::client::Body::from(serde_json::to_vec(&object)?))?;
    let response = stand.client.send(request).await?;
    let warnings: Vec<_> = response.headers().get_all("warning").iter().collect();
    let warned = warnings.iter().any(|w| w.to_str().unwrap_or_default().contains("Say owner."));
    assert!(warned, "{warnings:?}");
    assert!(pods.get_opt("plain").await?.is_some());
    Ok(())
}

const EVERYTHING: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: nothing-at-all}
spec:
  validationFailureAction: Enforce
  rules:
  - name: nothing
    match: {any: [{resources: {kinds: ['*']}}]}
    validate: {message: 'Nothing at all.', deny: {}}
";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_locked_out_and_the_webhooks_can_be_removed() -> Result<()> {
    let stand = Stand::start(&[]).await?;
    stand.cluster.create_namespace("payments").await?;
    stand.cluster.create_namespace("proofstream").await?;
    stand.cluster.apply(EVERYTHING).await?;
    let plain = pod("payments", "plain", "");
    stand.refused(&plain).await?;

    // The worst policy leaves what a cluster and its repair need.
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, namespace: NS}\n";
    for namespace in ["kube-system", "proofstream"] {
        stand.cluster.create(&map.replace("NS", namespace)).await?;
    }
    stand.cluster.create("apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n").await?;
    let lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease\n\
                 metadata: {name: l, namespace: payments}\n";
    stand.cluster.create(lease).await?;

    // Somebody else's change of our configuration is put right, and recorded.
    let api: Api<ValidatingWebhookConfiguration> = Api::all(stand.client.clone());
    let weaken = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    let weaken = Patch::Json::<()>(serde_json::from_value(weaken)?);
    api.patch("proofstream", &PatchParams::default(), &weaken).await?;
    wait_until("the configuration to be put right", PATIENCE, || async {
        let found = api.get("proofstream").await?.webhooks.unwrap_or_default();
        ensure!(found[0].failure_policy.as_deref() == Some("Fail"), "{found:?}");
        Ok(())
    })
    .await?;
    gap(&stand, "failurePolicy of webhook").await?;

    // The way out works, holds, and is recorded; so is the way back.
    let removal = Removal {
        by: "alice".to_owned(),
        at: stand.proofstream.handles.clock.now(),
        reason: "nothing works".to_owned(),
    };
    removal::remove(&stand.client, &removal).await?;
    stand.admitted(&plain).await?;
    gap(&stand, "webhooks were removed by alice: nothing works").await?;
    assert_eq!(stand.webhooks().await?, Vec::<String>::new());
    assert!(removal::install(&stand.client).await?);
    stand.refused(&plain).await?;
    gap(&stand, "installed again").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_loses_no_request_and_no_decision() -> Result<()> {
    let stand = Stand::start(&[HARDENED]).await?;
    stand.cluster.create_namespace("payments").await?;
    let bad = pod("payments", "bad", "privileged: true");
    stand.refused(&bad).await?;
    let Stand { cluster, client, proofstream, data } = stand;
    let decided_before = proofstream.records::<Decision>()?.len();
    let object: Pod = serde_saphyr::from_str(&bad)?;
    let askers: Vec<_> = (0..8)
        .map(|_| {
            let (api, object) =
                (Api::<Pod>::namespaced(client.clone(), "payments"), object.clone());
            tokio::spawn(async move {
                let mut by_policy = 0;
                loop {
                    match api.create(&PostParams::default(), &object).await {
                        Err(kube::Error::Api(status)) if status.code == 403 => by_policy += 1,
                        Err(kube::Error::Api(status)) => {
                            return (by_policy, status.message.clone());
                        }
                        other => return (by_policy, format!("{other:?}")),
                    }
                }
            })
        })
        .collect();
    wait_until("some load", PATIENCE, || async {
        let decided = proofstream.records::<Decision>()?.len();
        ensure!(decided >= decided_before + 50, "{decided}");
        Ok(())
    })
    .await?;
    proofstream.stop().await?;
    let mut by_policy = 0;
    for asker in askers {
        let (refusals, last) = asker.await?;
        by_policy += refusals;
        // Once nobody listens the failure policy refuses; no call breaks off half way.
        assert!(last.contains("failed calling webhook") && last.contains("refused"), "{last}");
    }

    // Every refusal that somebody was given stands in the ledger.
    let again = Proofstream::start(config(&cluster, &data)).await?;
    let decided = again.records::<Decision>()?;
    let denied = decided.iter().filter(|(_, d)| d.decision == Answer::Deny && !d.dry_run).count();
    assert_eq!(denied, by_policy, "refusals given, refusals recorded");
    again.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_away_is_found_again() -> Result<()> {
    let stand = Stand::start(&[HARDENED]).await?;
    stand.cluster.create_namespace("payments").await?;
    let bad = pod("payments", "bad", "privileged: true");
    stand.refused(&bad).await?;
    stand.cluster.stop_api_server().await?;
    stand.cluster.start_api_server().await?;
    // What was in force still is, and what is new is noticed.
    assert!(stand.refused(&bad).await?.contains("block-privileged-and-root"));
    stand.cluster.apply(&labelled("owner", "Enforce", "owner")).await?;
    wait_until("a policy applied after the restart", Duration::from_mins(1), || async {
        let message = stand.dry_run(&pod("payments", "plain", "")).await?.unwrap_or_default();
        ensure!(message.contains("Say owner."), "{message}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_how_an_api_server_inside_finds_us() -> Result<()> {
    // Nothing routes a cluster's own addresses here; a Service that names an outside host is called
    // there, under the Service's name.
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let stand = Stand::start_with(&[], |config| {
        config.webhook.listen = free;
        config.webhook.service =
            Some(Service { namespace: None, name: "proofstream".to_owned(), port: free.port() });
    })
    .await?;
    for namespace in ["payments", "proofstream"] {
        stand.cluster.create_namespace(namespace).await?;
    }
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: proofstream, namespace: proofstream}}\n\
         spec: {{type: ExternalName, externalName: localhost, ports: [{{port: {}}}]}}\n",
        free.port()
    );
    stand.cluster.apply(&service).await?;
    stand.cluster.apply(HARDENED).await?;
    let message = wait_until("the refusal", PATIENCE, || async {
        match stand.dry_run(&pod("payments", "bad", "privileged: true")).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => anyhow::bail!("it is admitted"),
            Err(error) => Err(error),
        }
    })
    .await?;
    assert!(message.contains("block-privileged-and-root"), "{message}");
    let api: Api<ValidatingWebhookConfiguration> = Api::all(stand.client.clone());
    let hooks = api.get("proofstream").await?.webhooks.unwrap_or_default();
    assert!(hooks.iter().all(|hook| hook.client_config.service.is_some()), "{hooks:?}");
    Ok(())
}

/// Waits for an event of the audit log.
async fn audit_event(
    stand: &Stand,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Result<serde_json::Value> {
    let path = stand.cluster.audit_log().context("no audit log")?;
    wait_until("the audit event", PATIENCE, || async {
        let text = std::fs::read_to_string(&path)?;
        let mut events = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        events.find(|event| wanted(event)).context("not there yet")
    })
    .await
}

/// Waits for a gap record whose cause contains some words.
async fn gap(stand: &Stand, words: &str) -> Result<()> {
    wait_until("the gap record", PATIENCE, || async {
        let gaps = stand.records::<GapBody>()?;
        ensure!(gaps.iter().any(|(_, gap)| gap.cause.contains(words)), "{gaps:?}");
        Ok(())
    })
    .await
}

/// Waits until a policy's Ready condition is this.
async fn ready_condition(stand: &Stand, name: &str, status: &str) -> Result<serde_json::Value> {
    let kind = GroupVersionKind::gvk("kyverno.io", "v1", "ClusterPolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "clusterpolicies");
    let api: Api<DynamicObject> = Api::all_with(stand.client.clone(), &resource);
    wait_until("the policy's status", PATIENCE, || async {
        let found = api.get(name).await?;
        let ready = found.data.pointer("/status/conditions/0").context("no condition yet")?;
        ensure!(ready.get("status").is_some_and(|is| is == status), "{ready}");
        Ok(ready.clone())
    })
    .await
}
