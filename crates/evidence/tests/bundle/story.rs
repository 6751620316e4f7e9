//! A quarter with everything in it, as README and tables tell it.

use proofstream_evidence::{ExportRequest, Sample, Status};

use super::ledger::{Outcome, Story, quarter};
use super::words::{
    HARDENED, SECRETS, block, decision, event, finding, gap, policy, scan, stands_for,
};

/// Three blocks in the quarter (one before it), an audit policy turned to Enforce, a lapse.
pub(crate) fn told() -> Outcome<Story> {
    let story = Story::begin("2026-06-20T08:00:00Z")?;
    let hardened = stands_for(HARDENED)?.0;
    let hardened: Vec<&str> = hardened.iter().map(String::as_str).collect();
    let secrets = stands_for(SECRETS)?.0;
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    for source in ["audit-file/a", "admission/0", "scan"] {
        story.source(source)?;
    }
    story.tell("admission/0", "policy", &hardened, &policy(HARDENED, "active", "Enforce")?)?;
    story.tell("admission/0", "policy", &secrets, &policy(SECRETS, "active", "Audit")?)?;
    story.at("2026-06-30T23:59:59.999999Z")?;
    story.tell("audit-file/a", "event", &[], &event())?;
    story.tell("audit-file/a", "block", &hardened, &block(HARDENED, "alice", "early", 0)?)?;
    story.seal()?;
    for (day, user, pod) in [("02", "alice", "web-1"), ("03", "=cmd|'/c calc'!A1", "web-2")] {
        story.at(&format!("2026-07-{day}T08:00:00Z"))?;
        story.tell(
            "admission/0",
            "decision",
            &hardened,
            &decision(HARDENED, "deny", false, false)?,
        )?;
        story.tell("audit-file/a", "event", &[], &event())?;
        story.tell("audit-file/a", "block", &hardened, &block(HARDENED, user, pod, 1)?)?;
        story.tell("scan", "scan", &[], &scan())?;
        story.seal()?;
    }
    story.tell("admission/0", "decision", &hardened, &decision(HARDENED, "deny", false, true)?)?;
    story.tell("admission/0", "decision", &secrets, &decision(SECRETS, "allow", true, false)?)?;
    story.tell("scan", "finding", &hardened, &finding(HARDENED, "found")?)?;
    story.at("2026-08-01T00:00:00Z")?;
    story.tell("admission/0", "policy", &secrets, &policy(SECRETS, "active", "Enforce")?)?;
    story.tell("audit-file/a", "block", &secrets, &block(SECRETS, "bob", "web-3", 9)?)?;
    story.tell("scan", "finding", &hardened, &finding(HARDENED, "fixed")?)?;
    story.seal()?;
    let cause = "the webhook was away";
    let lapse =
        gap("admission/0", "2026-08-03T10:00:00.000000Z", "2026-08-03T10:41:00.000000Z", cause);
    story.at("2026-08-03T10:41:00Z")?.tell("admission/0", "gap", &[], &lapse)?;
    story.seal()?;
    story.at("2026-10-01T00:00:00Z")?;
    story.tell("audit-file/a", "block", &hardened, &block(HARDENED, "carol", "late", 12)?)?;
    story.seal()?;
    story.at("2026-10-05T09:30:00Z")?;
    story.tell("scan", "scan", &[], &scan())?;
    Ok(story)
}

#[test]
fn the_quarter_says_blocked_three_times() {
    let story = told().unwrap();
    let summary = story.export("out", &quarter().unwrap()).unwrap();
    let cc6_1 = summary.requirements.iter().find(|one| one.id.id() == "CC6.1").unwrap();
    assert_eq!((cc6_1.blocked, cc6_1.would_have_blocked, cc6_1.dry_runs_refused), (3, 1, 1));
    let status = |name: &str| {
        summary.controls.iter().find(|one| one.id.as_str() == name).map(|one| one.status)
    };
    assert_eq!(status("workload-hardened"), Some(Status::InPart));
    assert_eq!(status("audit-logging"), Some(Status::Operating));
    assert_eq!(status("rbac-least-privilege"), Some(Status::NotEvaluated));
    let report = story.verify("out").unwrap();
    assert!(report.holds(), "{}", report.to_text());
    let readme = story.read("out", "README.md").unwrap();
    assert!(readme.contains("**CC6.1 blocked 3 times.**"));
    insta::assert_snapshot!("readme", readme);
    insta::assert_snapshot!("claims", claims(&story.read("out", "claims.json").unwrap()));
    insta::assert_snapshot!("blocks", story.read("out", "tables/blocks.csv").unwrap());
    insta::assert_snapshot!("controls", story.read("out", "tables/controls.csv").unwrap());
    insta::assert_snapshot!("gaps", story.read("out", "tables/gaps.csv").unwrap());
}

/// One claim a line.
fn claims(text: &str) -> String {
    text.replace("},{", "},\n{")
}

#[test]
fn nothing_about_the_claims_whole_period_is_left_unchecked() {
    let story = told().unwrap();
    story.export("out", &quarter().unwrap()).unwrap();
    let text = story.verify("out").unwrap().to_text();
    assert!(!text.contains("counts its whole period"), "{text}");
}

#[test]
fn the_same_ledger_gives_the_same_bytes() {
    let story = told().unwrap();
    let request = quarter().unwrap();
    let first = story.export("one", &request).unwrap();
    let second = story.export("two", &request).unwrap();
    assert_eq!(first.manifest_sha256, second.manifest_sha256);
}

#[test]
fn the_second_export_is_anchored_in_the_first() {
    let story = told().unwrap();
    let first = story.export("one", &quarter().unwrap()).unwrap();
    let body = serde_json::to_value(&first.record).unwrap();
    story.tell("scan", "export", &[], &body).unwrap();
    story.export("two", &quarter().unwrap()).unwrap();
    let lines = story.read("two", "consistency.jsonl").unwrap();
    assert_eq!(lines.lines().count(), 1);
    let report = story.verify("two").unwrap();
    assert!(report.holds(), "{}", report.to_text());
}

#[test]
fn a_control_narrows_to_a_selection() {
    let story = told().unwrap();
    let request =
        ExportRequest { controls: vec!["secrets-not-in-env".to_owned()], ..quarter().unwrap() };
    let summary = story.export("out", &request).unwrap();
    assert!(summary.selection);
    let readme = story.read("out", "README.md").unwrap();
    assert!(readme.lines().next().unwrap().contains("SELECTION"));
    assert_eq!(story.read("out", "records/block.jsonl").unwrap().lines().count(), 1);
    assert!(readme.contains("**CC6.1 blocked 1 times.**"), "{readme}");
    assert!(!story.place("out").join("records/event.jsonl").exists());
    let report = story.verify("out").unwrap();
    assert!(report.holds(), "{}", report.to_text());
    assert!(report.to_text().contains("a SELECTION of 1 out of 5"), "{}", report.to_text());
}

#[test]
fn a_sample_is_drawn_again_by_anyone_and_leaves_the_population_whole() {
    let story = told().unwrap();
    let sampled = |seed: &str| ExportRequest {
        sample: Some(Sample { size: 2, seed: seed.to_owned() }),
        ..quarter().unwrap()
    };
    let summary = story.export("one", &sampled("2026Q3")).unwrap();
    assert!(!summary.selection);
    let first = story.read("one", "tables/sample.csv").unwrap();
    insta::assert_snapshot!("sample", first);
    assert_eq!(story.read("one", "records/block.jsonl").unwrap().lines().count(), 5);
    assert!(story.verify("one").unwrap().holds());
}
