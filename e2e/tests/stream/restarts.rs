//! Stopped in order, killed, with nothing derived left and with certificates of yesterday, over an
//! audit log that is rotated all the while: numbers go on, and nothing is lost or told twice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proofstream_e2e::{AuditLog, wait_until};
use proofstream_model::{FindingBody, PolicyBody};
use serde_json::{Value, json};

use crate::stand::Stand;
use crate::{certificates, trail, workloads};
use proofstream_e2e::programs::verify;
use proofstream_e2e::up::{PATIENCE, Up};

/// Requests that are refused before the process is killed.
const BEFORE_THE_KILL: usize = 20;

#[tokio::test]
async fn what_was_recorded_goes_on_after_any_end() -> Result<()> {
    let log = AuditLog { max_size_mib: Some(1), ..AuditLog::default() };
    let stand = Stand::with(log, None).await?;
    let up = stand.up().await?;
    for name in ["one", "two"] {
        stand.refused(&workloads::plain("payments", name)).await?;
    }
    up.shows("two blocks and the finding", |view| is_told(view, 2)).await?;
    let before = stopped_and_started(&stand, up).await?;
    let up = rebuilt(&stand, &before).await?;
    killed_while_refusing(&stand, up).await
}

fn is_told(view: &Value, blocks: usize) -> bool {
    view["overview"]["totals"]["blocked"] == blocks && view["overview"]["findings_open"] == 1
}

/// Stops it in order, has things happen meanwhile, starts it again (with an authority that has
/// expired); gives what the API shows then. It is stopped at the end.
async fn stopped_and_started(stand: &Stand, up: Up) -> Result<Value> {
    up.stop().await?;
    let sealed = stand.ledger()?.len();
    stand.chatter(150).await?;
    let unanswered = stand.create_pod(&workloads::plain("payments", "meanwhile"), false).await;
    let error = format!("{:#}", unanswered.err().context("the policies fail open")?);
    ensure!(error.contains("failed calling webhook"), "{error}");
    certificates::expire_authority(&stand.data)?;

    let up = stand.again().await?;
    stand.enforced().await.with_context(|| up.last_lines())?;
    says(stand, "the certificate authority expired at 2020-03-31")?;
    let looked_again =
        |view: &Value| view["overview"]["last_scan"]["seq"].as_u64() > Some(sealed as u64);
    up.shows("a scan after the start", looked_again).await?;
    stand.refused(&workloads::leaking("payments", "three")).await?;
    let view = up.shows("the third block", |view| is_told(view, 3)).await?;
    up.stop().await?;

    let ledger = stand.ledger()?;
    ledger.check_numbers()?;
    assert_eq!(trail::check_blocks(&ledger, &stand.audit_log()?)?, 3);
    trail::check_events(&ledger, &stand.audit_log()?)?;
    let gaps = ledger.gaps("admission/0")?;
    let [gap] = &*gaps else { anyhow::bail!("{gaps:?}") };
    ensure!(!gap.cause.is_empty() && gap.from <= gap.to && gap.after.is_some(), "{gap:?}");
    assert_eq!(ledger.of::<FindingBody>()?.len(), 1, "a finding was told twice");
    let policies = ledger.of::<PolicyBody>()?;
    let of_policies = policies.iter().filter(|(_, body)| body.kind == "ClusterPolicy");
    let active = of_policies.filter(|(_, body)| body.text.is_some()).count();
    assert_eq!(active, 2, "policies were told twice: {policies:#?}");
    Ok(view)
}

/// Starts it without what is derived: what the API shows is what it was.
async fn rebuilt(stand: &Stand, before: &Value) -> Result<Up> {
    for entry in std::fs::read_dir(&stand.data)? {
        let path = entry?.path();
        if path.display().to_string().contains("projection.sqlite") {
            std::fs::remove_file(path)?;
        }
    }
    let up = stand.again().await?;
    let after = up.view().await?;
    for part in [
        "totals",
        "controls",
        "policies",
        "decisions",
        "blocks",
        "findings",
        "findings_open",
        "blocked_by_hour",
    ] {
        assert_eq!(after["overview"][part], before["overview"][part], "{part}");
    }
    Ok(up)
}

/// Kills it while requests are being refused, and starts it with an expired certificate.
async fn killed_while_refusing(stand: &Stand, up: Up) -> Result<()> {
    stand.enforced().await?;
    let refused = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let requests = futures::future::join_all((0..4).map(|worker| {
        let (refused, over) = (&refused, &over);
        async move {
            for number in 0.. {
                let name = format!("killed-{worker}-{number}");
                if stand.refused(&workloads::plain("payments", &name)).await.is_ok() {
                    refused.fetch_add(1, Ordering::Relaxed);
                } else if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    }));
    let killing = async {
        wait_until("requests to be refused", PATIENCE, || async {
            ensure!(refused.load(Ordering::Relaxed) >= BEFORE_THE_KILL);
            Ok(())
        })
        .await?;
        up.kill().await?;
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let both = async { tokio::join!(requests, killing).1 };
    tokio::time::timeout(Duration::from_secs(90), both).await.context("no end")??;

    certificates::expire_serving(&stand.data)?;
    let up = stand.again().await?;
    stand.enforced().await.with_context(|| up.last_lines())?;
    says(stand, "the serving certificate expired at 2020-03-31")?;
    stand.chatter(80).await?;
    stand.refused(&workloads::plain("payments", "last")).await?;
    let expected = trail::refusals(&stand.audit_log()?)?.len();
    ensure!(expected >= refused.load(Ordering::Relaxed) + 4, "{expected} refusals in the log");
    up.shows("every block", |view| is_told(view, expected)).await?;
    up.stop().await?;

    let ledger = stand.ledger()?;
    ledger.check_numbers()?;
    assert_eq!(trail::check_blocks(&ledger, &stand.audit_log()?)?, expected);
    trail::check_events(&ledger, &stand.audit_log()?)?;
    let rotations = trail::files(&stand.audit_log()?)?.len() - 1;
    ensure!(rotations >= 3, "the log was rotated {rotations} times only");
    assert_eq!(ledger.of::<FindingBody>()?.len(), 1, "a finding was told twice");
    verify(&stand.data.join("ledger")).await?.expect(0)?;
    let summary = stand.export(&stand.place("bundle")).await?;
    let stated = crate::stand::requirement(&summary, "soc2-2017/CC6.1")?;
    assert_eq!(stated["blocked"], json!(expected));
    Ok(())
}

fn says(stand: &Stand, words: &str) -> Result<()> {
    let said = std::fs::read_to_string(stand.log())?;
    ensure!(said.contains(words), "the log does not say `{words}`:\n{said}");
    Ok(())
}
