//! What the API server does with policies that are bad, or that leave stages out.

use anyhow::{Context as _, Result, ensure};
use proofstream_audit::{AuditPolicy, lint};
use proofstream_e2e::{Audit, Cluster, ClusterOptions, Document};
use serde_json::{Value, json};

use super::levels::{logged, send_with_token, without_identity};

fn policy(fields: &Value, rules: &Value) -> Value {
    let mut policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules});
    for (key, value) in fields.as_object().into_iter().flatten() {
        policy[key] = value.clone();
    }
    policy
}

fn options(policy: &Value) -> ClusterOptions {
    let audit = Audit::to_log(Document::text(policy.to_string()));
    ClusterOptions { audit: Some(audit), ..ClusterOptions::default() }
}

/// A sign-in that fails has one stage, and the linter says what leaving it out means.
#[tokio::test(flavor = "multi_thread")]
async fn failed_sign_ins_are_logged_at_one_stage_alone() -> Result<()> {
    for (omitted, expected) in [("RequestReceived", true), ("ResponseStarted", false)] {
        let stages = json!(["RequestReceived", omitted]);
        let document = policy(&json!({"omitStages": stages}), &json!([{"level": "Metadata"}]));
        let report = lint(&document, None)?;
        let found = report.findings.iter().any(|finding| finding.number == 15);
        ensure!(found != expected, "{:?}", report.findings);
        let cluster = Cluster::start(options(&document)).await?;
        let client = without_identity(&cluster).await?;
        send_with_token(&client, 0, "GET", "/api/v1/pods", Some("nobody's")).await?;
        send_with_token(&client, 1, "GET", "/version", None).await?;
        let mut seen = logged(&cluster)?;
        while !seen.contains_key(&1) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            seen = logged(&cluster)?;
        }
        ensure!(seen.contains_key(&0) == expected, "{omitted}: {seen:?}");
    }
    Ok(())
}

/// What we refuse, the API server does not start with; what we warn of, it starts with.
#[tokio::test(flavor = "multi_thread")]
async fn refused_policies_are_those_that_the_api_server_does_not_start_with() -> Result<()> {
    let all = || json!([{"level": "Metadata"}]);
    for document in [
        policy(&json!({"rules": []}), &all()),
        policy(&json!({"apiVersion": "audit.k8s.io/v1beta1"}), &all()),
        policy(&json!({}), &json!([{"level": "metadata"}])),
        policy(&json!({}), &json!([{"level": "None", "nonResourceURLs": ["/a*b"]}])),
        policy(&json!({}), &json!([{"level": "None", "resources": [{"group": "apps/v1"}]}])),
        policy(&json!({}), &json!([{"level": "None", "verbs": "get"}])),
        policy(&json!({"omitStages": ["Never"]}), &all()),
    ] {
        ensure!(AuditPolicy::parse(&document).is_err(), "we take {document}");
        let started = Cluster::start(options(&document)).await;
        ensure!(started.is_err(), "the API server takes {document}");
    }
    let document =
        policy(&json!({"omitStage": ["Panic"]}), &json!([{"level": "Metadata", "verb": []}]));
    let (_, ignored) = AuditPolicy::parse(&document)?;
    ensure!(ignored.len() == 2, "{ignored:?}");
    Cluster::start(options(&document)).await.context("passed over, and started")?;
    Ok(())
}
