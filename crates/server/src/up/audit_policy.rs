//! The API server's audit policy as it stands on the disk: linted, and held against what arrives.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proofstream_audit::{AuditPolicy, Report, Severity, check_text, lint};
use proofstream_manifest::documents;
use proofstream_runtime::ingest::Expected;

use crate::web::{Health, HealthState};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// Larger files are no audit policies.
const MAX_BYTES: u64 = 4 << 20;
/// Findings that are named.
const NAMED: usize = 5;

/// The policy's file, and what was found in it last.
pub(super) struct WatchedPolicy {
    path: PathBuf,
    expected: Arc<Expected>,
    found: Mutex<Result<Report, String>>,
}

// === impl WatchedPolicy ===

impl WatchedPolicy {
    /// Reads the file once.
    pub(super) fn new(path: &Path, expected: Arc<Expected>) -> Arc<Self> {
        let found = Mutex::new(Err("it is not read yet".to_owned()));
        let watched = Self { path: path.to_owned(), expected, found };
        watched.look();
        Arc::new(watched)
    }

    /// Reads it again and again. Runs until dropped.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let watched = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || watched.look()).await.is_err() {
                return;
            }
        }
    }

    /// A file that cannot be used leaves the last policy in force: the API server keeps its own, too.
    fn look(&self) {
        let read = read(&self.path);
        let found = match read {
            Ok((policy, report)) => {
                self.expected.set(Some(policy));
                Ok(report)
            }
            Err(error) => Err(error),
        };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// For the page.
    pub(super) fn health(&self) -> Health {
        let part = "audit policy".to_owned();
        let report = match &*self.found.lock().unwrap_or_else(PoisonError::into_inner) {
            Ok(report) => report.clone(),
            Err(error) => {
                let detail = format!("not evaluated: {error}");
                return Health { part, state: HealthState::Failing, detail };
            }
        };
        let grave: Vec<String> = report
            .findings
            .iter()
            .filter(|finding| finding.severity != Severity::Note)
            .map(|finding| finding.message.clone())
            .collect();
        let mut state = HealthState::Working;
        let mut detail = "what an auditor asks about is logged".to_owned();
        if !grave.is_empty() {
            state = HealthState::Failing;
            let more = grave.len().saturating_sub(NAMED);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            let named = grave.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
            detail =
                format!("{named}{more} (proofstream audit-policy lint {})", self.path.display());
        }
        let (held, apart) = self.expected.counts();
        detail = format!("{detail}; {held} events came at its levels");
        if let Some(last) = self.expected.last_apart() {
            state = HealthState::Failing;
            detail = format!(
                "{detail}, {apart} at others: the API server runs with another policy than this file; the last: {last}"
            );
        }
        Health { part, state, detail }
    }
}

fn read(path: &Path) -> Result<(AuditPolicy, Report), String> {
    let shown = path.display().to_string();
    let unreadable = |error: std::io::Error| format!("`{shown}` cannot be read: {error}");
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(format!("`{shown}` is larger than {} MiB", MAX_BYTES >> 20));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    check_text(&bytes).map_err(|problem| format!("`{shown}`: {problem}"))?;
    let document = documents(&bytes, &shown).next();
    let document = document.ok_or_else(|| format!("`{shown}` is empty"))?;
    let document = document.map_err(|error| error.to_string())?.value;
    let (policy, _) =
        AuditPolicy::parse(&document).map_err(|error| format!("`{shown}`: {error}"))?;
    let report = lint(&document, None).map_err(|error| format!("`{shown}`: {error}"))?;
    Ok((policy, report))
}
