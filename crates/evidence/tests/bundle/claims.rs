//! Whatever the ledger holds, every claim recounts.

use proofstream_evidence::ExportRequest;
use proptest::prelude::*;

use super::ledger::{Outcome, Story, quarter};
use super::words::{self, HARDENED, SECRETS, block, decision, finding, scan, stands_for};

fn tell(story: &Story, what: u8, day: u8, name: &str) -> Outcome<()> {
    story.at(&format!("2026-{:02}-{:02}T00:00:00Z", 6 + day / 28, 1 + day % 28))?;
    let policy = if what.is_multiple_of(2) { HARDENED } else { SECRETS };
    let controls = stands_for(policy)?.0;
    let controls: Vec<&str> = controls.iter().map(String::as_str).collect();
    match what {
        0..=3 => {
            let mut body = block(policy, name, "p", 1)?;
            if what > 1 {
                // Lists with the same member twice count a record once.
                words::set(&mut body, "policies", serde_json::json!([policy, policy, name]));
                words::set(&mut body, "enforcer", "pod-security".into());
            }
            story.tell("audit-file/a", "block", &controls, &body)?;
        }
        4..=7 => {
            let answer = if what < 6 { "deny" } else { "allow" };
            let body = decision(policy, answer, what == 7, what == 5)?;
            story.tell("admission/0", "decision", &controls, &body)?;
        }
        8 => {
            story.tell("scan", "finding", &controls, &finding(policy, "found")?)?;
        }
        9 => {
            story.tell("scan", "scan", &[], &scan())?;
        }
        // A kind of a later version, and a body that is not what the kind should have.
        10 => {
            story.tell("scan", "probe", &[], &serde_json::json!({"verdict": "pass"}))?;
        }
        11 => {
            story.tell("scan", "block", &[], &serde_json::json!({"policies": 3}))?;
        }
        _ => story.seal()?,
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_claim_recounts(
        steps in proptest::collection::vec((0_u8..13, 0_u8..140, "[a-c,\"\n=-]{1,4}"), 0..24),
        narrow in any::<bool>(),
    ) {
        let story = Story::begin("2026-06-01T00:00:00Z").unwrap();
        for source in ["admission/0", "audit-file/a", "scan"] {
            story.source(source).unwrap();
        }
        for (what, day, name) in &steps {
            tell(&story, *what, *day, name).unwrap();
        }
        let mut request: ExportRequest = quarter().unwrap();
        if narrow {
            request.controls = vec!["secrets-not-in-env".to_owned()];
        }
        story.export("out", &request).unwrap();
        let report = story.verify("out").unwrap();
        prop_assert!(report.holds(), "{}", report.to_text());
    }
}
