//! Annotations as people write them.

use proofstream_catalog::{Annotations, Catalog, CatalogError, PolicyClaims};

fn catalog() -> Result<Catalog, CatalogError> {
    Catalog::embedded()
}

fn ids(text: &str) -> Result<Vec<String>, CatalogError> {
    let resolution = catalog()?.resolve_annotation(text);
    Ok(resolution.requirements.iter().map(ToString::to_string).collect())
}

#[test]
fn spellings_of_a_requirement() {
    for (written, id) in [
        ("SOC2-CC6.1", "soc2-2017/CC6.1"),
        ("SOC2 CC6.1", "soc2-2017/CC6.1"),
        ("soc 2: cc6.1", "soc2-2017/CC6.1"),
        ("CC6.1", "soc2-2017/CC6.1"),
        ("soc2-2017/CC6.1", "soc2-2017/CC6.1"),
        ("PCI-DSS-2", "pci-4.0.1/2"),
        ("PCI DSS Req 2", "pci-4.0.1/2"),
        ("PCI-DSS-3", "pci-4.0.1/3"),
        ("PCI-DSS-4", "pci-4.0.1/4"),
        ("PCI DSS 4.0.1 2.2.6", "pci-4.0.1/2.2.6"),
        ("pci-4.0.1/2.2.6", "pci-4.0.1/2.2.6"),
        ("CIS-5.2.x", "cis-k8s-1.12/5.2"),
        ("CIS-5.2.*", "cis-k8s-1.12/5.2"),
        ("CIS 5.2", "cis-k8s-1.12/5.2"),
        ("cis-1.12/5.2.2", "cis-k8s-1.12/5.2.2"),
        ("CIS-5.7", "cis-k8s-1.12/5.4.1"),
    ] {
        assert_eq!(ids(written).unwrap(), [id], "{written}");
    }
}

#[test]
fn what_is_not_known_is_said_and_never_guessed() {
    for written in [
        "CIS-5.7.1",
        "CIS-5.2.99",
        "PCI-DSS-13",
        "CIS-1.10/5.2.13",
        "SOC2",
        "HIPAA-1",
        "5.2.x",
        "CIS-5.2.2.x",
    ] {
        let resolution = catalog().unwrap().resolve_annotation(written);
        assert_eq!(resolution.unknown, [written]);
        assert!(resolution.requirements.is_empty() && resolution.controls.is_empty());
        assert!(resolution.notes.iter().any(|note| note.contains(written)), "{written}");
    }
}

fn claims(name: &str, key: &str, text: &str) -> Result<PolicyClaims, CatalogError> {
    let annotations = Annotations::from([(key.to_owned(), text.to_owned())]);
    Ok(catalog()?.policy_claims(name, &annotations))
}

#[test]
fn the_hardening_policy_claims_5_2_and_stands_for_five_ids_of_it() {
    let claims = claims(
        "require-hardened-securitycontext",
        "compliance.atmosly.io/controls",
        "CIS-5.2.x, PCI-DSS-2, SOC2-CC6.1",
    )
    .unwrap();
    insta::assert_json_snapshot!(claims);
}

#[test]
fn the_secrets_policy_is_told_that_5_7_is_5_4_1() {
    let claims = claims(
        "disallow-secret-env-vars",
        "compliance.atmosly.io/controls",
        "PCI-DSS-3, CIS-5.7, SOC2-CC6.1",
    )
    .unwrap();
    insta::assert_json_snapshot!(claims);
}

#[test]
fn a_claimed_group_covers_no_id_below_it() {
    let claims = claims("house-rule", "proofstream.dev/controls", "CIS-5.2.x").unwrap();
    let ids: Vec<&str> = claims
        .stands_for
        .requirements
        .iter()
        .map(proofstream_model::RequirementId::as_str)
        .collect();
    assert_eq!(ids, ["cis-k8s-1.12/5.2"]);
    assert!(claims.mapped.is_empty() && claims.stands_for.controls.is_empty());
    assert!(claims.notes.iter().any(|note| note.contains("none of the ids below it")));
}

#[test]
fn a_claimed_requirement_does_not_make_a_policy_stand_for_its_controls() {
    let claims = claims("house-rule", "proofstream.dev/controls", "SOC2-CC6.1").unwrap();
    assert!(claims.stands_for.controls.is_empty());
}

#[test]
fn a_control_named_in_an_annotation_brings_what_it_is_mapped_to() {
    let claims = claims("house-rule", "proofstream.dev/controls", "secrets-not-in-env").unwrap();
    let ids: Vec<&str> = claims
        .stands_for
        .requirements
        .iter()
        .map(proofstream_model::RequirementId::as_str)
        .collect();
    assert_eq!(ids, ["cis-k8s-1.12/5.4.1", "pci-4.0.1/3", "soc2-2017/CC6.1"]);
    assert_eq!(claims.stands_for.controls.len(), 1);
}

#[test]
fn pod_security_refusals_stand_for_its_control() {
    let stands_for = catalog().unwrap().controls_for_enforcer("pod-security");
    assert_eq!(stands_for.controls.len(), 1);
    assert!(stands_for.requirements.iter().any(|id| id.as_str() == "cis-k8s-1.12/5.2.11"));
    assert!(catalog().unwrap().controls_for_enforcer("kyverno").controls.is_empty());
}

#[test]
fn an_unknown_framework_is_answered_with_the_known_ones() {
    let error = catalog().unwrap().framework("soc2-2107").unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown framework `soc2-2107` (did you mean `soc2-2017`?); known: cis-k8s-1.12, pci-4.0.1, soc2-2017"
    );
    let error = catalog().unwrap().control("workload-hardend").unwrap_err().to_string();
    assert!(
        error.starts_with("unknown control `workload-hardend` (did you mean `workload-hardened`?)")
    );
}
