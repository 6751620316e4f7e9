//! The story: what is refused is counted, proven and exported, and nobody can change a byte of it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use proofstream_model::{Block, Enforcer, ExportBody, FindingBody, FindingState};
use serde_json::{Value, json};

use crate::stand::{Stand, requirement};
use crate::{trail, workloads};
use proofstream_e2e::programs::verify;

const REQUIREMENT: &str = "soc2-2017/CC6.1";

#[tokio::test]
async fn refusals_are_counted_once_proven_and_exported() -> Result<()> {
    let stand = Stand::new().await?;
    let up = stand.up().await?;
    let told = tell(&stand).await;
    told.with_context(|| up.last_lines())?;
    let blocked = |view: &Value| view["overview"]["totals"]["blocked"] == 3;
    let view = up.shows("three blocks", blocked).await?;
    let totals = &view["overview"]["totals"];
    assert_eq!(totals["dry_run_denied"], stand.refused_dry_runs(), "{totals}");
    assert_eq!(totals["denied"], 3, "{totals}");
    up.shows("the finding", |view| view["overview"]["findings_open"] == 1).await?;

    let first = stand.place("first");
    let summary = stand.export(&first).await?;
    check_statement(&stand, &summary, &first)?;
    verify(&first).await?.expect(0)?.says("SELF-CONSISTENT, NOT AUTHENTICATED")?;
    check_tampering(&first).await?;
    let second = stand.place("second");
    stand.export(&second).await?;
    check_second(&first, &second, &summary).await?;

    up.stop().await?;
    check_ledger(&stand)?;
    verify(&stand.data.join("ledger")).await?.expect(0)?;
    // With nobody running the command line reads the ledger itself, and counts the same.
    let third = stand.place("third");
    let summary = stand.export(&third).await?;
    assert_eq!(requirement(&summary, REQUIREMENT)?["blocked"], 3);
    verify(&third).await?.expect(0)?;
    Ok(())
}

/// What a team does on a day: allowed things, dry runs, and at last what is refused. The audit log
/// is read in order, so that whoever sees the last of it has seen all.
async fn tell(stand: &Stand) -> Result<()> {
    stand.cluster.create(&workloads::good("payments", "web")).await?;
    let pods: Api<Pod> = Api::namespaced(stand.client.clone(), "payments");
    let label = Patch::Merge(json!({"metadata": {"labels": {"tier": "front"}}}));
    pods.patch("web", &PatchParams::default(), &label).await?;
    pods.delete("web", &DeleteParams::default().grace_period(0)).await?;
    stand.create_pod(&workloads::good("payments", "maybe"), true).await?;
    stand.refused_dry_run(&workloads::plain("payments", "probe")).await?;

    let message = stand.refused(&workloads::plain("payments", "shell")).await?;
    ensure!(message.contains("require-hardened-securitycontext/block-privileged-and-root"));
    let message = stand.refused(&workloads::leaking("ledger", "leaky")).await?;
    ensure!(message.contains("disallow-secret-env-vars/no-secretkeyref-in-env"), "{message}");
    let message = stand.refused(&workloads::plain_deployment("payments", "checkout")).await?;
    ensure!(message.contains("autogen-block-privileged-and-root"), "{message}");
    Ok(())
}

fn check_statement(stand: &Stand, summary: &Value, bundle: &Path) -> Result<()> {
    let stated = requirement(summary, REQUIREMENT)?;
    assert_eq!(stated["blocked"], 3, "{stated:#}");
    assert_eq!(stated["dryRunsRefused"], stand.refused_dry_runs(), "{stated:#}");
    assert_eq!(stated["wouldHaveBlocked"], 0, "{stated:#}");
    assert_eq!(stated["findingsFound"], 1, "{stated:#}");
    let readme = std::fs::read_to_string(bundle.join("README.md"))?;
    assert!(readme.contains("**CC6.1 blocked 3 times.**"), "{readme}");
    let dry_runs = format!("dry runs refused: {}", stand.refused_dry_runs());
    assert!(readme.contains(&dry_runs), "{readme}");
    let findings = std::fs::read_to_string(bundle.join("records/finding.jsonl"))?;
    assert!(findings.contains("legacy-batch"), "{findings}");
    let blocks = std::fs::read_to_string(bundle.join("records/block.jsonl"))?;
    assert_eq!(blocks.lines().count(), 3, "{blocks}");
    Ok(())
}

/// One changed byte of a record, or one changed number, and the verifier says where.
async fn check_tampering(bundle: &Path) -> Result<()> {
    for (file, from, to) in [
        ("records/block.jsonl", "payments", "paymentz"),
        ("claims.json", "\"value\":3", "\"value\":4"),
        ("README.md", "blocked 3 times", "blocked 4 times"),
    ] {
        let path = bundle.join(file);
        let text = std::fs::read_to_string(&path)?;
        let changed = text.replacen(from, to, 1);
        ensure!(changed != text, "`{from}` does not stand in {file}");
        std::fs::write(&path, changed)?;
        verify(bundle).await?.expect(4)?.says(file)?;
        std::fs::write(&path, text)?;
    }
    verify(bundle).await?.expect(0)?;
    Ok(())
}

/// The second export knows of the first, and proves that nothing of it was changed since.
async fn check_second(first: &Path, second: &Path, summary: &Value) -> Result<()> {
    let read = |name: &str| std::fs::read_to_string(second.join(name));
    let exports = read("records/export.jsonl")?;
    let manifest = summary["manifestSha256"].as_str().context("no manifest hash")?;
    assert_eq!(exports.lines().count(), 1, "{exports}");
    assert!(exports.contains(manifest), "{exports}");
    let proofs = read("consistency.jsonl")?;
    assert_eq!(proofs.lines().count(), 1, "{proofs}");
    verify(second).await?.expect(0)?;
    let checkpoint = first.join("checkpoint").display().to_string();
    let second = second.display().to_string();
    let anchored = ["--witness", checkpoint.as_str(), second.as_str()];
    proofstream_e2e::programs::run("proofstream-verify", &anchored).await?.expect(0)?;
    Ok(())
}

fn check_ledger(stand: &Stand) -> Result<()> {
    let ledger = stand.ledger()?;
    ledger.check_numbers()?;
    let log = stand.audit_log()?;
    assert_eq!(trail::check_blocks(&ledger, &log)?, 3);
    trail::check_events(&ledger, &log)?;
    let mut owners = Vec::new();
    for (record, block) in ledger.of::<Block>()? {
        assert_eq!(block.enforcer, Enforcer::Proofstream);
        assert!(block.requirements.iter().any(|one| one.as_str() == REQUIREMENT), "{block:?}");
        let (decision, _) = ledger.joined(&block)?;
        assert_eq!(decision.policies, block.policies);
        assert!(!record.controls.is_empty(), "{block:?}");
        owners.extend(block.owner);
    }
    assert_eq!(owners, ["Pod/shell", "Pod/leaky", "Deployment/checkout"]);
    let findings = ledger.of::<FindingBody>()?;
    let [(_, finding)] = &*findings else { anyhow::bail!("{findings:#?}") };
    assert_eq!(finding.state, FindingState::Found);
    assert_eq!(finding.finding.subject.name, "legacy-batch");
    assert_eq!(ledger.of::<ExportBody>()?.len(), 2);
    Ok(())
}
