//! What the background finds of constraints, in their own status: where Gatekeeper's users look for it.
//!
//! <https://open-policy-agent.github.io/gatekeeper/website/docs/audit>

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::{Client, Error};
use proofstream_model::{FindingBody, Timestamp, Verdict};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Book;
use crate::policies::{PolicyInfo, PolicyStore, constraints, definitions};
use crate::webhooks::MANAGER;

/// How often it is written, at most.
pub(super) const INTERVAL: Duration = Duration::from_secs(3);
/// Most violations that one constraint lists, as in the field; all are counted.
const LISTED: usize = 20;
/// The longest message that it lists, in characters.
const MESSAGE: usize = 256;
/// How long one write may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes what is found of constraints whose definitions are ours.
pub struct Audit {
    client: Client,
    policies: Arc<PolicyStore>,
    /// What was written last, by kind and name, without its time.
    written: BTreeMap<(String, String), Value>,
}

// === impl Audit ===

impl Audit {
    /// For the constraints among `policies`.
    pub fn new(client: Client, policies: Arc<PolicyStore>) -> Self {
        Self { client, policies, written: BTreeMap::new() }
    }

    /// Writes what changed since the last time.
    pub(super) async fn write(&mut self, book: &Book, now: Timestamp) {
        let policies = self.policies.current();
        let ours: Vec<(&str, &PolicyInfo)> = policies
            .all
            .infos
            .iter()
            .filter_map(|info| Some((definitions::constraint_of(&info.kind)?, &**info)))
            .filter(|(kind, _)| self.policies.makes_constraints(kind))
            .collect();
        if ours.is_empty() {
            return self.written.clear();
        }
        let mut found: HashMap<(&str, &str), Vec<&FindingBody>> = HashMap::new();
        for body in book.open().filter(|body| body.finding.verdict == Verdict::Fail) {
            let rule = (body.finding.rule.as_str(), body.finding.check.as_str());
            found.entry(rule).or_default().push(body);
        }
        let mut written = BTreeMap::new();
        for (kind, info) in ours {
            let violations = found.remove(&(kind, info.name.as_str())).unwrap_or_default();
            let status = status(&violations, &info.enforcement_action());
            let key = (kind.to_owned(), info.name.clone());
            if self.written.get(&key) != Some(&status) {
                match timeout(PATIENCE, self.put(kind, &info.name, &status, now)).await {
                    Ok(Ok(())) => {}
                    // Gone, or the API server is away: tried again the next time.
                    Ok(Err(error)) => {
                        tracing::debug!(kind, name = info.name, %error, "no audit results");
                        continue;
                    }
                    Err(_) => continue,
                }
            }
            written.insert(key, status);
        }
        self.written = written;
    }

    async fn put(&self, kind: &str, name: &str, of: &Value, now: Timestamp) -> Result<(), Error> {
        let resource = constraints::resource(kind);
        let mut status = of.clone();
        if let Some(members) = status.as_object_mut() {
            members.insert("auditTimestamp".to_owned(), now.to_string().into());
        }
        let document = json!({"apiVersion": resource.api_version, "kind": kind,
            "metadata": {"name": name}, "status": status});
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        // A manager of its own: whether the constraint is in force is written apart.
        let params = PatchParams::apply(&format!("{MANAGER}-audit")).force();
        api.patch_status(name, &params, &Patch::Apply(&document)).await.map(drop)
    }
}

/// The counts and the first violations.
fn status(found: &[&FindingBody], action: &str) -> Value {
    let violations: Vec<Value> = found
        .iter()
        .take(LISTED)
        .map(|body| {
            let subject = &body.finding.subject;
            let (group, version) =
                subject.api_version.split_once('/').unwrap_or(("", &subject.api_version));
            // An object of the cluster has the empty namespace here.
            json!({
                "enforcementAction": action, "group": group, "version": version,
                "kind": subject.kind, "name": subject.name,
                "namespace": subject.namespace.as_deref().unwrap_or_default(),
                "message": body.finding.message.chars().take(MESSAGE).collect::<String>(),
            })
        })
        .collect();
    json!({"totalViolations": found.len(), "violations": violations})
}
