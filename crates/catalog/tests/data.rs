//! The shipped catalog: complete lists, and every row of the table it was made from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proofstream_catalog::{Catalog, CatalogError, CatalogFile, RequirementKind};

fn catalog() -> Result<Catalog, CatalogError> {
    Catalog::embedded()
}

#[test]
fn the_embedded_files_are_the_directory() {
    let root = Path::new("../../catalog");
    let mut files = Vec::new();
    for folder in ["", "controls", "frameworks", "mappings"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let below = path.strip_prefix(root).unwrap().display().to_string();
                let bytes = std::fs::read(&path).unwrap();
                files.push(CatalogFile { path: format!("catalog/{below}"), bytes });
            }
        }
    }
    assert_eq!(Catalog::load(files).unwrap(), catalog().unwrap());
}

#[test]
fn every_list_of_ids_is_complete() {
    for (framework, ids, first, last) in
        [("soc2-2017", 375, "CC1", "P8.1.6"), ("pci-4.0.1", 367, "1", "A3.5.1")]
    {
        let catalog = catalog().unwrap();
        let framework = catalog.framework(framework).unwrap();
        let list = framework.requirements();
        assert_eq!(list.len(), ids, "{}", framework.id());
        assert_eq!(list.first().unwrap().id.id(), first);
        assert_eq!(list.last().unwrap().id.id(), last);
    }
    let catalog = catalog().unwrap();
    let cis = catalog.framework("cis-k8s-1.12").unwrap();
    let leaves = cis.requirements().iter().filter(|id| id.kind == RequirementKind::Requirement);
    assert_eq!(leaves.clone().count(), 131);
    assert!(leaves.clone().all(|id| id.level.is_some() && id.assessment.is_some()));
    assert_eq!(leaves.filter(|id| id.id.id().starts_with("5.2.")).count(), 12);
}

#[test]
fn the_id_lists_are_those_of_the_reference_where_it_is_at_hand() {
    let facts = std::env::var_os("PROOFSTREAM_FACTS")
        .map_or_else(|| PathBuf::from("../../../shared/facts"), Into::into);
    for (framework, file) in [
        ("soc2-2017", "soc2-2017.tsv"),
        ("pci-4.0.1", "pci-4.0.1.tsv"),
        ("cis-k8s-1.12", "cis-kubernetes-1.12.tsv"),
    ] {
        let path = facts.join("ids").join(file);
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("SKIPPED: {} is not here", path.display());
            continue;
        };
        let expected: Vec<&str> =
            text.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
        let catalog = catalog().unwrap();
        let groups_are_ours = framework.starts_with("cis");
        let listed: Vec<&str> = catalog
            .framework(framework)
            .unwrap()
            .requirements()
            .iter()
            .filter(|id| !(groups_are_ours && id.kind == RequirementKind::Group))
            .map(|id| id.id.id())
            .collect();
        assert_eq!(listed, expected, "{framework}");
    }
}

/// The table: requirement, and the controls that its row names.
const TABLE: &[(&str, &[&str])] = &[
    ("soc2-2017/CC6.1", &["rbac-least-privilege"]),
    ("soc2-2017/CC6.6", &["alerting", "continuous-scanning", "network-default-deny"]),
    ("soc2-2017/CC7.2", &["alerting", "continuous-scanning", "network-default-deny"]),
    ("pci-4.0.1/2", &["pod-security-restricted", "workload-hardened"]),
    ("pci-4.0.1/7", &["namespace-isolation", "rbac-least-privilege"]),
    ("pci-4.0.1/10", &["audit-logging", "audit-trail-immutable", "terminal-recording"]),
    ("cis-k8s-1.12/5.2", &["pod-security-restricted"]),
    ("cis-k8s-1.12/5.2.2", &["pod-security-restricted", "workload-hardened"]),
    ("cis-k8s-1.12/5.2.11", &["pod-security-restricted"]),
    ("cis-k8s-1.12/5.4.1", &["secrets-not-in-env"]),
    // What the text below the table adds.
    ("pci-4.0.1/1", &["network-default-deny"]),
    ("pci-4.0.1/3", &["secrets-not-in-env"]),
    ("soc2-2017/CC6.1", &["secrets-not-in-env", "workload-hardened"]),
    ("soc2-2017/CC7.2", &["audit-logging", "audit-trail-immutable", "terminal-recording"]),
];

#[test]
fn every_row_of_the_table_is_mapped() {
    let catalog = catalog().unwrap();
    for (requirement, controls) in TABLE {
        let id = requirement.parse().unwrap();
        let mapped: BTreeSet<&str> =
            catalog.mappings_of(&id).map(|mapping| mapping.control.as_str()).collect();
        for control in *controls {
            assert!(mapped.contains(control), "{requirement} has no {control}: {mapped:?}");
        }
    }
}

#[test]
fn what_is_mapped_has_a_title_and_what_is_planned_a_reason() {
    let catalog = catalog().unwrap();
    for framework in catalog.frameworks() {
        let mapped = catalog.mapped_requirements(framework.id());
        assert!(!mapped.is_empty(), "{}", framework.id());
        for requirement in mapped {
            assert!(requirement.title.is_some(), "{} has no title", requirement.id);
        }
    }
    for control in catalog.controls() {
        for planned in control.checks.iter().chain(&control.probes) {
            assert!(planned.reason.len() > 20, "{} of {}", planned.name, control.id);
        }
    }
}
