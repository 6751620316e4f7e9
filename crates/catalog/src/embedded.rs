//! The catalog that the program carries.

use crate::CatalogFile;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../catalog/", $path)))),*]
    };
}

/// Path below `catalog/` and text of every file. A test holds the list against the directory.
const FILES: &[(&str, &str)] = files![
    "aliases.yaml",
    "controls/alerting.yaml",
    "controls/audit-logging.yaml",
    "controls/audit-trail-immutable.yaml",
    "controls/continuous-scanning.yaml",
    "controls/namespace-isolation.yaml",
    "controls/network-default-deny.yaml",
    "controls/pod-security-restricted.yaml",
    "controls/rbac-least-privilege.yaml",
    "controls/secrets-not-in-env.yaml",
    "controls/terminal-recording.yaml",
    "controls/workload-hardened.yaml",
    "frameworks/cis-k8s-1.12.yaml",
    "frameworks/pci-4.0.1.yaml",
    "frameworks/soc2-2017.yaml",
    "mappings/cis-k8s-1.12.yaml",
    "mappings/pci-4.0.1.yaml",
    "mappings/soc2-2017.yaml",
];

/// The embedded files, as [`crate::Catalog::load`] takes them.
pub(crate) fn files() -> impl Iterator<Item = CatalogFile> {
    FILES.iter().map(|(path, text)| CatalogFile {
        path: format!("catalog/{path}"),
        bytes: text.as_bytes().to_vec(),
    })
}
