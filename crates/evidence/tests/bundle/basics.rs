//! Empty periods, bad requests, tampering.

use proofstream_evidence::ExportRequest;

use super::ledger::{Story, quarter};
use super::story::told;

#[test]
fn a_period_without_records_says_zero_and_what_that_rests_on() {
    let story = told().unwrap();
    let request = ExportRequest {
        from: "2026-09-01T00:00:00Z".parse().unwrap(),
        to: "2026-09-02T00:00:00Z".parse().unwrap(),
        ..quarter().unwrap()
    };
    story.export("out", &request).unwrap();
    let readme = story.read("out", "README.md").unwrap();
    assert!(readme.contains("**CC6.1 blocked 0 times.**"));
    assert!(readme.contains("Audit source `audit-file/a` was enrolled from 2026-09-01"));
    assert!(readme.contains("No `gap` record was made in the period"));
    let report = story.verify("out").unwrap();
    assert!(report.holds(), "{}", report.to_text());
    assert!(!report.to_text().contains("counts its whole period"), "{}", report.to_text());
}

#[test]
fn without_an_audit_source_a_zero_is_said_to_show_nothing() {
    let story = Story::begin("2026-07-02T08:00:00Z").unwrap();
    story.source("admission/0").unwrap();
    story.export("out", &quarter().unwrap()).unwrap();
    let readme = story.read("out", "README.md").unwrap();
    assert!(readme.contains("**CC6.1 blocked 0 times.** No audit source was enrolled"));
    assert!(story.verify("out").unwrap().holds());
}

#[test]
fn a_process_that_died_is_not_taken_for_one_that_operated() {
    let story = told().unwrap();
    let request = ExportRequest {
        from: "2026-08-04T00:00:00Z".parse().unwrap(),
        to: "2027-01-01T00:00:00Z".parse().unwrap(),
        extracted: "2027-01-05T00:00:00Z".parse().unwrap(),
        ..quarter().unwrap()
    };
    story.export("out", &request).unwrap();
    let readme = story.read("out", "README.md").unwrap();
    assert!(readme.contains(
        "no source recorded anything from 2026-10-05T09:30:00.000000Z to 2027-01-01T00:00:00.000000Z"
    ));
    assert!(!readme.contains("### workload-hardened: operating\n"), "{readme}");
}

#[test]
fn a_claim_on_5_2_covers_only_what_the_catalog_maps() {
    let story = told().unwrap();
    let request = ExportRequest { framework: "cis-k8s-1.12".to_owned(), ..quarter().unwrap() };
    let summary = story.export("out", &request).unwrap();
    let blocked =
        |id: &str| summary.requirements.iter().find(|one| one.id.id() == id).map(|one| one.blocked);
    assert_eq!(blocked("5.2"), Some(2));
    assert_eq!(blocked("5.2.2"), Some(2));
    // hostPath and host namespaces are claimed by `CIS-5.2.x`, and nothing was refused for them.
    for id in ["5.2.3", "5.2.4", "5.2.5", "5.2.11", "5.2.12"] {
        assert_eq!(blocked(id), Some(0), "{id}");
    }
    assert_eq!(blocked("5.4.1"), Some(1));
    assert!(story.verify("out").unwrap().holds());
}

#[test]
fn a_changed_claim_is_found_out() {
    let story = told().unwrap();
    story.export("out", &quarter().unwrap()).unwrap();
    let path = story.place("out").join("claims.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = text.replacen("\"value\":3", "\"value\":4", 1);
    assert_ne!(text, changed);
    std::fs::write(&path, changed).unwrap();
    let report = story.verify("out").unwrap();
    assert!(!report.holds());
    assert!(report.to_text().contains("claims.json"), "{}", report.to_text());
    // Whoever can also mend the list of files is found out by recounting.
    assert!(report.to_text().contains("says 4, the records say 3"), "{}", report.to_text());
}

#[test]
fn bad_requests_are_told_apart() {
    let story = told().unwrap();
    let error = |change: fn(&mut ExportRequest)| {
        let mut request = quarter().unwrap();
        change(&mut request);
        story.export("out", &request).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        [
            error(|request| request.framework = "soc2".to_owned()),
            error(|request| request.to = request.from),
            error(|request| request.controls = vec!["workload-hardned".to_owned()]),
            error(|request| {
                request.framework = "cis-k8s-1.12".to_owned();
                request.controls = vec!["alerting".to_owned()];
            }),
        ]
        .join("\n")
    );
    assert!(!story.place("out").exists());
}

#[test]
fn a_folder_that_holds_something_is_not_written_to() {
    let story = told().unwrap();
    let place = story.place("out");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("mine"), "").unwrap();
    let error = story.export("out", &quarter().unwrap()).unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
    std::fs::remove_file(place.join("mine")).unwrap();
    story.export("out", &quarter().unwrap()).unwrap();
}
