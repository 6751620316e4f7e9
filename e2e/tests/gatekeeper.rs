//! Gatekeeper's templates and constraints, live: the kind of each template, refusals, audit results.

#[path = "admission/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use anyhow::{Context, Result, ensure};
use harness::{PATIENCE, Stand, refusal};
use proofstream_e2e::wait_until;
use proofstream_model::{
    Decision, FindingBody, FindingState, Mode, PolicyBody, PolicyState, Verdict,
};
use serde_json::Value;

/// In the old way of writing: a schema without types, Rego v0.
const TEMPLATE: &str = r#"
apiVersion: templates.gatekeeper.sh/v1beta1
kind: ConstraintTemplate
metadata: {name: k8srequiredlabels}
spec:
  crd:
    spec:
      names: {kind: K8sRequiredLabels}
      validation:
        openAPIV3Schema:
          properties:
            labels: {type: array, items: {type: string}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package k8srequiredlabels
        violation[{"msg": msg}] {
          wanted := input.parameters.labels[_]
          not input.review.object.metadata.labels[wanted]
          msg := sprintf("say the label <%v>", [wanted])
        }
"#;

const CONSTRAINT: &str = "
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: K8sRequiredLabels
metadata: {name: maps-have-a-team}
spec:
  match:
    kinds: [{apiGroups: [''], kinds: [ConfigMap]}]
    namespaces: [payments]
  parameters: {labels: [team]}
";

fn map(name: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\n\
         metadata: {{name: {name}, namespace: payments, labels: {labels}}}\n"
    )
}

/// What the API server says where it refuses.
async fn refused(stand: &Stand, yaml: &str) -> Result<Option<String>> {
    match stand.cluster.create(yaml).await {
        Ok(_) => Ok(None),
        Err(error) => Ok(Some(refusal(&error)?)),
    }
}

/// Applies a template, and its constraint as soon as the kind is there that comes with it.
async fn constrain(stand: &Stand, template: &str, name: &str, constraint: &str) -> Result<()> {
    stand.cluster.apply(template).await?;
    wait_until("the constraint's kind", PATIENCE, || async {
        let Err(error) = stand.cluster.apply(constraint).await else { return Ok(()) };
        Err(error.context(status(stand, "constrainttemplate", name).await?))
    })
    .await
}

/// Waits until an object is refused with these words; one that is let through is taken away again.
async fn becomes_refused(stand: &Stand, yaml: &str, words: &str) -> Result<()> {
    wait_until(words, PATIENCE, || async {
        let Some(said) = refused(stand, yaml).await? else {
            let file = stand.data.path().join("taken-away.yaml");
            std::fs::write(&file, yaml)?;
            stand.cluster.kubectl(&["delete", "-f", &file.display().to_string()]).await?;
            anyhow::bail!("it is let through");
        };
        ensure!(said.contains(words), "{said}");
        Ok(())
    })
    .await
}

async fn status(stand: &Stand, kind: &str, name: &str) -> Result<Value> {
    let text = stand.cluster.kubectl(&["get", kind, name, "-o", "jsonpath={.status}"]).await?;
    serde_json::from_str(&text).with_context(|| format!("no status yet: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_makes_its_kind_and_constraints_refuse_and_audit() -> Result<()> {
    let stand = Stand::start_whole(&[], |_| {}).await?;
    stand.cluster.create_namespace("payments").await?;
    stand.cluster.create(&map("old", "{}")).await?;
    constrain(&stand, TEMPLATE, "k8srequiredlabels", CONSTRAINT).await?;
    stand.enforced(1).await?;
    becomes_refused(&stand, &map("new", "{app: web}"), "say the label <team>").await?;
    assert_eq!(refused(&stand, &map("good", "{team: a}")).await?, None);

    // What was there before is in the constraint's own status, where Gatekeeper's users look for it.
    wait_until("the audit results", PATIENCE, || async {
        let status = status(&stand, "k8srequiredlabels", "maps-have-a-team").await?;
        ensure!(status["totalViolations"] == 1 && status["ready"] == true, "{status}");
        let violation = &status["violations"][0];
        ensure!(
            violation["name"] == "old" && violation["message"] == "say the label <team>",
            "{status}"
        );
        ensure!(
            violation["enforcementAction"] == "deny" && violation["namespace"] == "payments",
            "{status}"
        );
        Ok(())
    })
    .await?;
    let shown = stand.cluster.kubectl(&["get", "constraints"]).await?;
    assert!(shown.contains("maps-have-a-team"), "{shown}");
    let template = status(&stand, "constrainttemplate", "k8srequiredlabels").await?;
    assert_eq!((&template["created"], &template["ready"]), (&true.into(), &true.into()));

    // Both are in the trail.
    let decisions = stand.records::<Decision>()?;
    let denied = decisions.iter().flat_map(|(_, decision)| &decision.rules).find(|rule| {
        rule.policy == "maps-have-a-team" && rule.message.contains("say the label <team>")
    });
    assert_eq!(denied.map(|rule| rule.mode), Some(Mode::Enforce), "{decisions:?}");
    let findings = stand.records::<FindingBody>()?;
    let (_, found) = findings.first().context("no finding")?;
    assert_eq!(
        (found.state, found.finding.rule.as_str()),
        (FindingState::Found, "K8sRequiredLabels")
    );
    let policies = stand.records::<PolicyBody>()?;
    let active = policies.iter().filter(|(_, body)| body.state == PolicyState::Active);
    let kinds: Vec<&str> = active.map(|(_, body)| body.kind.as_str()).collect();
    assert_eq!(kinds, ["ConstraintTemplate", "K8sRequiredLabels.constraints.gatekeeper.sh"]);

    // Mended, it is no longer a violation; set to dryrun, nobody is refused.
    stand.cluster.kubectl(&["label", "configmap", "-n", "payments", "old", "team=b"]).await?;
    stand
        .cluster
        .apply(&CONSTRAINT.replace("spec:\n", "spec:\n  enforcementAction: dryrun\n"))
        .await?;
    wait_until("the violation to be gone", PATIENCE, || async {
        let status = status(&stand, "k8srequiredlabels", "maps-have-a-team").await?;
        ensure!(status["totalViolations"] == 0, "{status}");
        Ok(())
    })
    .await?;
    wait_until("dryrun to count", PATIENCE, || async {
        let said = refused(&stand, &map("late", "{}")).await?;
        ensure!(said.is_none(), "{said:?}");
        Ok(())
    })
    .await
}

/// Looks at the other objects of the cluster, and says at which.
const UNIQUE: &str = r#"
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata:
  name: k8suniquekey
  annotations:
    metadata.gatekeeper.sh/requires-sync-data: |
      "[[{"groups": [""], "versions": ["v1"], "kinds": ["ConfigMap"]}]]"
spec:
  crd: {spec: {names: {kind: K8sUniqueKey}}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package k8suniquekey
        violation[{"msg": msg}] {
          key := input.review.object.data.key
          other := data.inventory.namespace[namespace][_]["ConfigMap"][name]
          other.data.key == key
          not same(namespace, name)
          msg := sprintf("the key is that of %v/%v", [namespace, name])
        }
        same(namespace, name) {
          namespace == input.review.object.metadata.namespace
          name == input.review.object.metadata.name
        }
"#;

const ONE_OF_A_KIND: &str = "
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: K8sUniqueKey
metadata: {name: one-of-a-kind}
spec: {match: {kinds: [{apiGroups: [''], kinds: [ConfigMap]}], namespaces: [payments]}}
";

#[tokio::test(flavor = "multi_thread")]
async fn constraints_look_at_the_other_objects_of_the_cluster() -> Result<()> {
    let stand = Stand::start_whole(&[], |_| {}).await?;
    stand.cluster.create_namespace("payments").await?;
    let keyed = |name: &str, key: &str| map(name, "{}") + &format!("data: {{key: {key}}}\n");
    stand.cluster.create(&keyed("first", "a")).await?;
    // While nothing says which objects to keep, nothing can be judged: an error, and no pass.
    let silent = UNIQUE.replace("requires-sync-data", "something-else");
    constrain(&stand, &silent, "k8suniquekey", ONE_OF_A_KIND).await?;
    wait_until("what cannot be judged to be said", PATIENCE, || async {
        let findings = stand.records::<FindingBody>()?;
        let mut errors = findings.iter().filter(|(_, body)| body.finding.verdict == Verdict::Error);
        let (_, error) = errors.next_back().context("no finding")?;
        ensure!(error.finding.message.contains("are not known here"), "{error:?}");
        Ok(())
    })
    .await?;
    stand.cluster.apply(UNIQUE).await?;
    let taken = "the key is that of payments/first";
    becomes_refused(&stand, &keyed("second", "a"), taken).await?;
    assert_eq!(refused(&stand, &keyed("third", "b")).await?, None);

    // What goes makes room at once.
    stand.cluster.kubectl(&["delete", "configmap", "-n", "payments", "first"]).await?;
    wait_until("the key to be free", PATIENCE, || async {
        ensure!(refused(&stand, &keyed("fourth", "a")).await?.is_none(), "it is refused");
        Ok(())
    })
    .await?;

    // What comes to break it by another's change is found, too.
    stand.cluster.create_namespace("elsewhere").await?;
    let elsewhere = keyed("far", "b").replace("namespace: payments", "namespace: elsewhere");
    stand.cluster.create(&elsewhere).await?;
    wait_until("the audit results", PATIENCE * 3, || async {
        let status = status(&stand, "k8suniquekey", "one-of-a-kind").await?;
        ensure!(status["totalViolations"] == 1, "{status}");
        ensure!(status["violations"][0]["name"] == "third", "{status}");
        Ok(())
    })
    .await
}

const WRONG: &str = r#"
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: k8swrong}
spec:
  crd: {spec: {names: {kind: K8sWrong}}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package k8swrong
        violation[{"msg": msg}] {
          msg := no_such_function(input.review)
        }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_refused_and_a_changed_template_counts_at_once() -> Result<()> {
    let stand = Stand::start(&[]).await?;
    stand.cluster.create_namespace("payments").await?;
    becomes_refused(&stand, WRONG, "no_such_function").await?;
    constrain(&stand, TEMPLATE, "k8srequiredlabels", CONSTRAINT).await?;
    let misspelt =
        CONSTRAINT.replace("namespaces:", "namespace:").replace("maps-have", "more-have");
    let said = refused(&stand, &misspelt).await?.context("it is let through")?;
    assert!(said.contains("`spec.match.namespace`"), "{said}");
    let wrong = CONSTRAINT.replace("[team]", "team").replace("maps-have", "more-have");
    let error = stand.cluster.create(&wrong).await.unwrap_err();
    assert!(format!("{error:#}").contains("must be of type array"), "{error:#}");

    let bare = map("m", "{}");
    becomes_refused(&stand, &bare, "say the label <team>").await?;
    stand.cluster.apply(&TEMPLATE.replace("say the label", "please say")).await?;
    becomes_refused(&stand, &bare, "please say <team>").await?;

    // Without its template a constraint says nothing, and the trail says that.
    stand.cluster.kubectl(&["delete", "constrainttemplate", "k8srequiredlabels"]).await?;
    wait_until("the constraint to be out of force", PATIENCE, || async {
        ensure!(refused(&stand, &map("m", "{}")).await?.is_none(), "it is refused");
        Ok(())
    })
    .await?;
    let policies = stand.records::<PolicyBody>()?;
    let last = policies.iter().rev().find(|(_, body)| body.name == "maps-have-a-team");
    let (_, last) = last.context("no record of the constraint")?;
    assert_ne!(last.state, PolicyState::Active, "{last:?}");
    Ok(())
}
