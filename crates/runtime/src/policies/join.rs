//! Constraints are read with their templates, whichever of the two comes first.

use std::collections::BTreeMap;
use std::sync::Arc;

use proofstream_policy::{ConstraintTemplate, Operation, Policy};
use serde_json::Value;

use super::check::Said;
use super::definitions::{TEMPLATE, constraint_of};
use super::{Held, Inner, Origin, PolicyText, Usable};

/// What a held text was read with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Joined {
    /// It needs no template.
    Never,
    /// No template has been looked for yet.
    Awaits,
    /// There was none.
    Without,
    /// The template of this SHA-256.
    With(String),
}

/// The templates that the API server holds, by the kinds that they make.
pub(super) type Templates = BTreeMap<String, Arc<PolicyText>>;

/// What is said of a constraint before its template has been looked for.
pub(super) const AWAITS: &str = "its ConstraintTemplate has not been read yet";

impl Inner {
    /// Reads each constraint whose template came, changed or went since it was read last.
    pub(super) fn join(&mut self) {
        let templates = self.templates_in_force();
        let Self { held, remembered, .. } = self;
        for ((key, origin), held) in held {
            let Some(kind) = constraint_of(&key.kind) else { continue };
            let template = templates.get(kind);
            let with = match template {
                Some((text, _)) => Joined::With(text.sha256().to_owned()),
                None => Joined::Without,
            };
            if held.joined != Joined::Never && held.joined != with {
                held.joined = with;
                let before = || remembered.document(key, origin);
                held.read_with(template.map(|(_, template)| &**template), kind, before);
            }
        }
    }

    /// What a constraint says, read with its template.
    pub(super) fn constraint(&self, kind: &str, document: &Value) -> Result<Policy, String> {
        let templates = self.templates_in_force();
        let (_, template) = templates.get(kind).ok_or_else(|| missing(kind))?;
        read(template, document)
    }

    /// The templates of the cluster, whatever a directory says beside them.
    pub(super) fn templates_of_the_cluster(&self) -> Templates {
        let of_cluster = self.held.iter().filter(|((_, origin), _)| *origin == Origin::Cluster);
        let usable = of_cluster.filter_map(|(_, held)| held.in_force.as_ref());
        usable
            .filter_map(|usable| {
                Some((template(usable)?.kind().to_owned(), Arc::clone(&usable.text)))
            })
            .collect()
    }

    fn templates_in_force(&self) -> BTreeMap<String, (Arc<PolicyText>, Arc<ConstraintTemplate>)> {
        self.in_force()
            .filter(|(key, _)| key.kind == TEMPLATE)
            .filter_map(|(_, usable)| {
                let template = Arc::clone(template(&usable)?);
                Some((template.kind().to_owned(), (usable.text, template)))
            })
            .collect()
    }
}

impl Held {
    fn read_with(
        &mut self,
        template: Option<&ConstraintTemplate>,
        kind: &str,
        before: impl FnOnce() -> Option<Value>,
    ) {
        let Some(template) = template else {
            self.parsed = Err(missing(kind));
            self.in_force = None;
            return;
        };
        let document: Value = serde_json::from_str(self.text.canonical()).unwrap_or_default();
        let said = match &self.parsed {
            // It could not be read at all.
            Err(reason) if document.is_null() => Err(reason.clone()),
            _ => read(template, &document),
        };
        match said {
            Ok(policy) => {
                self.parsed = Ok(());
                self.in_force = Some(usable(&self.text, policy));
            }
            Err(reason) => {
                self.parsed = Err(reason);
                let last = || {
                    let document = before()?;
                    let policy = read(template, &document).ok()?;
                    Some(usable(&Arc::new(PolicyText::of(document)), policy))
                };
                self.in_force = self.in_force.take().or_else(last);
            }
        }
    }
}

fn usable(text: &Arc<PolicyText>, policy: Policy) -> Usable {
    Usable { text: Arc::clone(text), said: Said::Policy(Arc::new(policy)) }
}

/// Asked when something comes or changes, as Gatekeeper's own webhook is unless it is told otherwise.
fn read(template: &ConstraintTemplate, document: &Value) -> Result<Policy, String> {
    let constraint = template.constraint(document).map_err(|error| error.to_string())?;
    Ok(constraint.at_operations(&[Operation::Create, Operation::Update]))
}

fn template(usable: &Usable) -> Option<&Arc<ConstraintTemplate>> {
    match &usable.said {
        Said::Template(template) => Some(template),
        _ => None,
    }
}

fn missing(kind: &str) -> String {
    format!("no ConstraintTemplate that can be used makes the kind `{kind}`")
}
