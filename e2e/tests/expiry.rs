//! An exception that runs out is found, and what it covered is found again, though nothing changes.

#[path = "admission/harness.rs"]
#[allow(dead_code, reason = "each test file takes what it needs of the harness")]
mod harness;

use anyhow::{Context, Result, ensure};
use harness::{PATIENCE, Stand};
use proofstream_e2e::wait_until;
use proofstream_model::{FindingBody, FindingState};

const LABELLED: &str = "
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: labelled
  annotations: {compliance.atmosly.io/controls: 'CC6.1'}
spec:
  rules:
  - name: team
    match: {any: [{resources: {kinds: [ConfigMap], namespaces: [payments]}}]}
    validate:
      failureAction: Audit
      message: Whose is it?
      pattern: {metadata: {labels: {team: '?*'}}}
";
const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, namespace: payments}\n";

fn exception(expires: jiff::Timestamp) -> String {
    format!(
        "
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {{name: spare-m, namespace: payments}}
spec:
  expiresAt: '{expires}'
  exceptions: [{{policyName: labelled, ruleNames: [team]}}]
  match: {{any: [{{resources: {{kinds: [ConfigMap], names: [m]}}}}]}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_that_runs_out_is_a_finding_of_its_own() -> Result<()> {
    let stand = Stand::start_whole(&[], |_| {}).await?;
    stand.cluster.create_namespace("payments").await?;
    stand.cluster.create(MAP).await?;
    stand.cluster.apply(LABELLED).await?;
    let last = async |kind: &str, name: &str, wanted: FindingState| {
        wait_until("the finding's state", PATIENCE, || async {
            let findings = stand.records::<FindingBody>()?.into_iter().map(|(_, body)| body);
            let mut of_object = findings.rev().filter(|body| {
                body.finding.subject.kind == kind && body.finding.subject.name == name
            });
            let last = of_object.next().context("no finding")?;
            ensure!(last.state == wanted, "{last:?}");
            Ok(last)
        })
        .await
    };
    last("ConfigMap", "m", FindingState::Found).await?;
    let soon = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(5))?;
    stand.cluster.apply(&exception(soon)).await?;
    last("ConfigMap", "m", FindingState::Gone).await?;
    last("ConfigMap", "m", FindingState::Found).await?;
    let found = last("PolicyException", "spare-m", FindingState::Found).await?;
    assert!(found.finding.message.starts_with("it expired at "), "{}", found.finding.message);
    // It stands for what its policy stands for.
    let requirements: Vec<String> =
        found.finding.requirements.iter().map(ToString::to_string).collect();
    assert_eq!(requirements, ["soc2-2017/CC6.1"]);

    // Renewed, it covers again.
    let later = soon.checked_add(jiff::SignedDuration::from_hours(1))?;
    stand.cluster.apply(&exception(later)).await?;
    last("PolicyException", "spare-m", FindingState::Fixed).await?;
    last("ConfigMap", "m", FindingState::Gone).await?;
    Ok(())
}
