//! What policies must know of a live cluster: whose role is whose, exceptions, other services; and what
//! is said of policies themselves.

#[path = "admission/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use anyhow::{Context, Result, ensure};
use harness::{PATIENCE, Stand, refusal};
use proofstream_e2e::wait_until;
use proofstream_model::{Decision, FindingBody, FindingState, PolicyBody, PolicyState, Verdict};
use proofstream_runtime::webhooks::OF_POLICIES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Asks, as `user` (or the administrator), whether this may be created: what kubectl says where it may not.
async fn ask_as(stand: &Stand, user: Option<&str>, yaml: &str) -> Result<Option<String>> {
    let file = stand.data.path().join("asked.yaml");
    std::fs::write(&file, yaml)?;
    let file = file.display().to_string();
    let mut words = vec!["create", "--dry-run=server", "-f", &file];
    words.extend(user.into_iter().flat_map(|user| ["--as", user]));
    match stand.cluster.kubectl(&words).await {
        Ok(_) => Ok(None),
        Err(error) => Ok(Some(format!("{error:#}"))),
    }
}

const ROLES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: editor}
rules: [{apiGroups: [''], resources: [configmaps], verbs: ['*']}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: keeper, namespace: payments}
rules: [{apiGroups: [''], resources: [configmaps], verbs: ['*']}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writer, namespace: payments}
rules: [{apiGroups: [''], resources: [configmaps], verbs: ['*']}]
";

fn bound(user: &str, kind: &str, role: &str) -> String {
    format!(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {user}, namespace: payments}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: {role}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}]
"
    )
}

const ONLY_EDITORS: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: only-editors}
spec:
  background: false
  rules:
  - name: only-editors
    match: {any: [{resources: {kinds: [ConfigMap], namespaces: [payments]}}]}
    exclude: {any: [{clusterRoles: [editor]}, {roles: ['payments:keeper']}]}
    validate:
      failureAction: Enforce
      message: 'You hold {{ request.roles }} and {{ request.clusterRoles }}.'
      deny: {}
";

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, namespace: payments}\n";

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_the_user_are_those_bound_now() -> Result<()> {
    let stand = Stand::start(&[]).await?;
    stand.cluster.create_namespace("payments").await?;
    stand.cluster.apply(ROLES).await?;
    for (user, kind, role) in
        [("alice", "ClusterRole", "editor"), ("bob", "Role", "keeper"), ("carol", "Role", "writer")]
    {
        stand.cluster.apply(&bound(user, kind, role)).await?;
    }
    stand.cluster.apply(ONLY_EDITORS).await?;
    stand.enforced(1).await?;
    let message = wait_until("carol to be refused", PATIENCE, || async {
        ask_as(&stand, Some("carol"), MAP).await?.context("she is let through")
    })
    .await?;
    // Everybody who is known holds some cluster roles through a group.
    assert!(
        message.contains(r#"You hold ["payments:writer"] and ["system:basic-user""#),
        "{message}"
    );
    assert_eq!(ask_as(&stand, Some("alice"), MAP).await?, None);
    assert_eq!(ask_as(&stand, Some("bob"), MAP).await?, None);

    // What is bound later counts, and what is unbound does not.
    stand.cluster.kubectl(&["delete", "rolebinding", "-n", "payments", "carol"]).await?;
    stand.cluster.apply(&bound("carol", "ClusterRole", "editor")).await?;
    wait_until("carol to be let through", PATIENCE, || async {
        let said = ask_as(&stand, Some("carol"), MAP).await?;
        ensure!(said.is_none(), "{said:?}");
        Ok(())
    })
    .await?;
    // An administrator holds a cluster role through a group.
    let admin = stand.cluster.create(MAP).await.unwrap_err();
    assert!(refusal(&admin)?.contains(r#"and ["cluster-admin""#), "{admin:#}");
    Ok(())
}

const BROKEN: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: broken}
spec:
  rules:
  - name: r
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate: {patern: {spec: {hostNetwork: 'false'}}}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_used_is_refused_with_the_place() -> Result<()> {
    let stand = Stand::start(&[]).await?;
    let broken = stand.data.path().join("broken.yaml");
    std::fs::write(&broken, BROKEN)?;
    let broken = broken.display().to_string();
    let message = wait_until("kubectl to be refused", PATIENCE, || async {
        match stand.cluster.kubectl(&["create", "--dry-run=server", "-f", &broken]).await {
            Ok(_) => anyhow::bail!("it is let through"),
            Err(error) => Ok(format!("{error:#}")),
        }
    })
    .await?;
    assert!(message.contains("`spec.rules[0].validate.patern`: unknown field"), "{message}");
    assert!(message.contains("did you mean `pattern`?"), "{message}");
    let exception = "apiVersion: kyverno.io/v2\nkind: PolicyException\n\
                     metadata: {name: e, namespace: default}\nspec: {exceptions: []}\n";
    let error = stand.cluster.create(exception).await.unwrap_err();
    assert!(refusal(&error)?.contains("`spec.match`: is required"), "{error:#}");

    // One that can be used is let through, with what its author should know.
    let policy = serde_json::json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
        "metadata": {"name": "old"}, "spec": {"validationFailureAction": "Audit", "rules": [
            {"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": {"deny": {}}}]}});
    let request = http::Request::post("/apis/kyverno.io/v1/clusterpolicies")
        .header("content-type", "application/json")
        .body(kube::client::Body::from(serde_json::to_vec(&policy)?))?;
    let response = stand.client.send(request).await?;
    assert_eq!(response.status(), 201);
    let warnings: Vec<_> = response.headers().get_all("warning").iter().collect();
    let warned =
        |words: &str| warnings.iter().any(|w| w.to_str().unwrap_or_default().contains(words));
    assert!(warned("`spec.validationFailureAction` is deprecated"), "{warnings:?}");

    // Nobody is locked out while we are away.
    let Stand { cluster, proofstream, .. } = stand;
    proofstream.stop().await?;
    cluster.kubectl(&["get", "validatingwebhookconfiguration", OF_POLICIES]).await?;
    cluster.kubectl(&["create", "-f", &broken]).await?;
    Ok(())
}

const LABELLED: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: labelled}
spec:
  rules:
  - name: team
    match: {any: [{resources: {kinds: [ConfigMap], namespaces: [payments]}}]}
    validate:
      failureAction: Enforce
      message: 'Say team.'
      pattern: {metadata: {labels: {team: '?*'}}}
";

const EXCEPTION: &str = "
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: spare-m, namespace: payments}
spec:
  exceptions: [{policyName: labelled, ruleNames: [team]}]
  match: {any: [{resources: {kinds: [ConfigMap], names: [m]}}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_counts_at_once_and_is_recorded() -> Result<()> {
    let stand = Stand::start(&[LABELLED]).await?;
    stand.cluster.create_namespace("payments").await?;
    let refused = || async { ask_as(&stand, None, MAP).await?.context("it is let through") };
    let admitted = || async {
        let said = ask_as(&stand, None, MAP).await?;
        ensure!(said.is_none(), "{said:?}");
        Ok(())
    };
    let _ = wait_until("the refusal", PATIENCE, refused).await?;
    stand.cluster.apply(EXCEPTION).await?;
    wait_until("the exception to count", PATIENCE, admitted).await?;
    let other = MAP.replace("name: m,", "name: n,");
    assert!(ask_as(&stand, None, &other).await?.is_some(), "it names `m` alone");

    let decisions = stand.records::<Decision>()?;
    let waived = decisions
        .iter()
        .flat_map(|(_, decision)| &decision.rules)
        .find(|rule| rule.verdict == Verdict::Waived && rule.message.contains("payments/spare-m"));
    assert!(waived.is_some(), "{decisions:?}");
    let of_exception = || -> Result<Vec<PolicyState>> {
        let bodies = stand.records::<PolicyBody>()?.into_iter().map(|(_, body)| body);
        let exceptions = bodies.filter(|body| body.kind == "PolicyException");
        Ok(exceptions.map(|body| body.state).collect())
    };
    assert_eq!(of_exception()?, [PolicyState::Active]);
    stand.cluster.kubectl(&["delete", "policyexception", "-n", "payments", "spare-m"]).await?;
    let _ = wait_until("the exception to be gone", PATIENCE, refused).await?;
    assert_eq!(of_exception()?, [PolicyState::Active, PolicyState::Removed]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_about_no_namespace_says_so_until_one_comes() -> Result<()> {
    let stand = Stand::start(&[]).await?;
    stand.cluster.apply(LABELLED).await?;
    let says_so = |wanted: bool| {
        let cluster = &stand.cluster;
        wait_until("what the status says of namespaces", PATIENCE, move || async move {
            let path = "jsonpath={.status.conditions}";
            let status = cluster.kubectl(&["get", "clusterpolicy", "labelled", "-o", path]).await?;
            let says = "rule `team` matches nothing: no namespace is called `payments` now";
            ensure!(status.contains("\"Ready\"") && status.contains(says) == wanted, "{status}");
            Ok(())
        })
    };
    says_so(true).await?;
    stand.cluster.create_namespace("payments").await?;
    says_so(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_covers_what_runs_too() -> Result<()> {
    let stand = Stand::start_whole(&[], |_| {}).await?;
    stand.cluster.create_namespace("payments").await?;
    stand.cluster.create(MAP).await?;
    stand.cluster.apply(LABELLED).await?;
    let last = async |wanted: FindingState| {
        wait_until("the finding's state", PATIENCE, || async {
            let findings = stand.records::<FindingBody>()?.into_iter().map(|(_, body)| body);
            let mut of_map = findings.rev().filter(|body| body.finding.subject.name == "m");
            let last = of_map.next().context("no finding")?;
            ensure!(last.state == wanted, "{last:?}");
            Ok(())
        })
        .await
    };
    last(FindingState::Found).await?;
    // It is not mended, it is let be.
    stand.cluster.apply(EXCEPTION).await?;
    last(FindingState::Gone).await?;
    stand.cluster.kubectl(&["delete", "policyexception", "-n", "payments", "spare-m"]).await?;
    last(FindingState::Found).await
}

/// A service that answers each path in its own way, over plain HTTP.
async fn service() -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 16 << 10];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let head =
                    String::from_utf8_lossy(head.get(..read).unwrap_or_default()).into_owned();
                let body = match head.split(' ').nth(1) {
                    Some("/teams") => r#"{"teams":["payments","ledger"]}"#.to_owned(),
                    Some("/long") => format!("\"{}\"", "x".repeat(5 << 20)),
                    // Says nothing for longer than any webhook may take.
                    Some("/hangs") => std::future::pending().await,
                    _ => format!("{:?}", head.contains("x-team: yes")),
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Ok(format!("http://{address}"))
}

fn asks(path: &str) -> String {
    format!(
        "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: asks}}
spec:
  background: false
  webhookConfiguration: {{timeoutSeconds: 2}}
  rules:
  - name: known-team
    match: {{any: [{{resources: {{kinds: [ConfigMap], namespaces: [payments]}}}}]}}
    context:
    - name: answer
      apiCall:
        service: {{url: '{path}', headers: [{{key: x-team, value: 'yes'}}]}}
    validate:
      failureAction: Enforce
      message: 'The service knows {{{{ answer.teams || answer }}}}.'
      deny: {{conditions: {{all: [{{key: '{{{{ request.object.data.team }}}}', operator: AnyNotIn, value: '{{{{ answer.teams }}}}'}}]}}}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_asked_and_what_it_does_wrong_is_named() -> Result<()> {
    let base = service().await?;
    let stand = Stand::start(&[&asks(&format!("{base}/teams"))]).await?;
    stand.cluster.create_namespace("payments").await?;
    let of = |team: &str| format!("{MAP}data: {{team: {team}}}\n");
    let said = async |team: &str, words: &str| {
        wait_until("what the service makes of it", PATIENCE, || async {
            let said = ask_as(&stand, None, &of(team)).await?.context("it is let through")?;
            ensure!(said.contains(words), "{said}");
            Ok(())
        })
        .await
    };
    said("unknown", r#"The service knows ["payments","ledger"]."#).await?;
    assert_eq!(ask_as(&stand, None, &of("ledger")).await?, None);
    // What cannot be known is no pass: the failure policy refuses, and says why.
    for (path, words) in [
        ("/long", "the answer is longer than 2 MiB"),
        ("/hangs", "it took longer than the webhook may take"),
    ] {
        stand.cluster.apply(&asks(&format!("{base}{path}"))).await?;
        said("ledger", words).await?;
    }
    stand.cluster.apply(&asks("http://127.0.0.1:1/")).await?;
    said("ledger", "GET `http://127.0.0.1:1/`").await
}

const ENTRY: &str = "
apiVersion: kyverno.io/v2alpha1
kind: GlobalContextEntry
metadata: {name: teams}
spec:
  kubernetesResource: {version: v1, resource: configmaps, namespace: catalog}
  projections: [{name: names, jmesPath: '[].metadata.name'}]
";

const REFERS: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: refers}
spec:
  background: false
  rules:
  - name: known-team
    match: {any: [{resources: {kinds: [ConfigMap], namespaces: [payments]}}]}
    context: [{name: teams, globalReference: {name: teams.names}}]
    validate:
      failureAction: Enforce
      message: 'Known are {{ teams }}.'
      deny: {conditions: {all: [{key: '{{ request.object.data.team }}', operator: AnyNotIn, value: '{{ teams }}'}]}}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_global_entry_follows_the_cluster() -> Result<()> {
    let stand = Stand::start(&[REFERS]).await?;
    for namespace in ["payments", "catalog"] {
        stand.cluster.create_namespace(namespace).await?;
    }
    let map = format!("{MAP}data: {{team: ledger}}\n");
    let said = async |words: &str| {
        wait_until("what the entry makes of it", PATIENCE, || async {
            let said = ask_as(&stand, None, &map).await?.context("it is let through")?;
            ensure!(said.contains(words), "{said}");
            Ok(())
        })
        .await
    };
    said("there is no GlobalContextEntry `teams`").await?;
    stand.cluster.apply(ENTRY).await?;
    said("Known are [].").await?;
    let team = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ledger, namespace: catalog}\n";
    stand.cluster.apply(team).await?;
    wait_until("the team to be known", PATIENCE, || async {
        let said = ask_as(&stand, None, &map).await?;
        ensure!(said.is_none(), "{said:?}");
        Ok(())
    })
    .await?;
    stand.cluster.kubectl(&["delete", "configmap", "-n", "catalog", "ledger"]).await?;
    said("Known are [].").await
}

/// A policy of one namespace asks with our rights, not with its author's: it stays at home.
const PEEPING: &str = "
apiVersion: kyverno.io/v1
kind: Policy
metadata: {name: peeping, namespace: payments}
spec:
  background: false
  rules:
  - name: peep
    match: {any: [{resources: {kinds: [ConfigMap]}}]}
    context: [{name: secrets, apiCall: {urlPath: /api/v1/namespaces/vault/secrets}}]
    validate:
      failureAction: Enforce
      message: '{{ secrets }}'
      deny: {conditions: {all: [{key: '{{ secrets }}', operator: NotEquals, value: ''}]}}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_namespaced_policy_looks_into_no_other_namespace() -> Result<()> {
    let stand = Stand::start(&[]).await?;
    stand.cluster.create_namespace("payments").await?;
    stand.cluster.create_namespace("vault").await?;
    stand.cluster.apply(PEEPING).await?;
    stand.enforced(1).await?;
    wait_until("the refusal", PATIENCE, || async {
        let said = ask_as(&stand, None, MAP).await?.context("it is let through")?;
        ensure!(said.contains("may look into that namespace only"), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_follow_what_runs() -> Result<()> {
    let stand = Stand::start_whole(&[LABELLED], |config| config.reports.enabled = true).await?;
    stand.cluster.create_namespace("payments").await?;
    let map = MAP.replace("name: m,", "name: m, labels: {team: a},");
    stand.cluster.create(&map).await?;
    let report = async |wanted: &str| {
        wait_until("the report", PATIENCE, || async {
            let words = ["get", "policyreport", "-n", "payments", "-o", "json"];
            let list: serde_json::Value =
                serde_json::from_str(&stand.cluster.kubectl(&words).await?)?;
            let items = list["items"].as_array().context("no items")?.clone();
            let of_map = items.into_iter().find(|item| item["scope"]["name"] == "m");
            let found = of_map.context("none yet")?;
            ensure!(found["results"][0]["result"] == wanted, "{found}");
            Ok(found)
        })
        .await
    };
    let found = report("pass").await?;
    assert_eq!(found["metadata"]["ownerReferences"][0]["uid"], found["metadata"]["name"]);
    assert_eq!(found["results"][0]["policy"], "labelled");
    // The policy lets an object that breaks it already be changed, but not break.
    let audit = LABELLED.replace("Enforce", "Audit");
    stand.cluster.apply(&audit).await?;
    wait_until("the label to go", PATIENCE, || async {
        stand.cluster.kubectl(&["label", "configmap", "-n", "payments", "m", "team-"]).await?;
        Ok(())
    })
    .await?;
    let found = report("fail").await?;
    assert_eq!(found["summary"]["fail"], 1);
    // Without the policy nothing speaks of it.
    stand.cluster.kubectl(&["delete", "clusterpolicy", "labelled"]).await?;
    wait_until("the report to go", PATIENCE, || async {
        let left =
            stand.cluster.kubectl(&["get", "policyreport", "-n", "payments", "-o", "name"]).await?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_each_rule_for_whoever_shows_the_token() -> Result<()> {
    let stand = Stand::start_whole(&[LABELLED], |_| {}).await?;
    stand.cluster.create_namespace("payments").await?;
    wait_until("the refusal", PATIENCE, || async {
        ask_as(&stand, None, MAP).await?.context("it is let through")
    })
    .await?;
    let page = stand.proofstream.page.clone().context("no page")?;
    let url = format!("{}/metrics", page.url);
    let token = format!("Bearer {}", page.token);
    let (bare, text) = tokio::task::spawn_blocking(move || -> Result<(u16, String)> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let bare = agent.get(&url).call()?.status().as_u16();
        let mut answer = agent.get(&url).header("authorization", &token).call()?;
        Ok((bare, answer.body_mut().read_to_string()?))
    })
    .await??;
    assert_eq!(bare, 401);
    let refused =
        r#"policy="labelled",rule="team",result="fail",mode="enforce",operation="CREATE"} "#;
    assert!(text.contains(refused), "{text}");
    assert!(text.contains("proofstream_admission_denied_total 1"), "{text}");
    assert!(
        text.contains(r#"proofstream_admission_review_seconds_count{phase="validate"}"#),
        "{text}"
    );
    Ok(())
}
