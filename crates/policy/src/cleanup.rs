//! `CleanupPolicy` and `ClusterCleanupPolicy` (`kyverno.io/v2`), and their successors in CEL, `DeletingPolicy`
//! and `NamespacedDeletingPolicy` (`policies.kyverno.io`): what is deleted, and when.

mod schedule;
mod ttl;

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::condition::Conditions;
use crate::context::{self, ContextEntry};
use crate::environment::Environment;
use crate::error::ParseError;
use crate::evaluate::preconditions;
use crate::fields::Fields;
use crate::policy::deleting::{self, Deleting};
use crate::request::Request;
use crate::response::{Evaluation, Status};
use crate::scope::{Frame, Judgement, Scope};
use crate::selection::{Filter, Selection, Target};
use crate::set::{KnownKinds, ScopeRule, of_rules, resources_of};
pub use schedule::Schedule;
pub use ttl::{TTL_LABEL, expires_at};

/// Versions of `kyverno.io` whose cleanup policies are read.
const VERSIONS: [&str; 4] =
    ["kyverno.io/v2", "kyverno.io/v2beta1", "kyverno.io/v2alpha1", "kyverno.io/v1alpha1"];

/// What becomes of the objects that a deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted first.
    Foreground,
    /// They are deleted afterwards.
    Background,
    /// They stay.
    Orphan,
}

/// What a cleanup policy says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// It goes.
    Delete,
    /// It stays.
    Keep,
    /// It stays because the policy cannot be judged, and why.
    Unknown(String),
}

/// One cleanup policy.
#[derive(Debug)]
pub struct CleanupPolicy {
    name: String,
    namespace: Option<String>,
    schedule: Schedule,
    selection: Selection,
    exclusion: Option<Selection>,
    demand: Demand,
    propagation: Option<Propagation>,
}

/// What holds for an object that goes.
#[derive(Debug)]
enum Demand {
    /// The object is called `target`.
    Conditions { context: Vec<ContextEntry>, conditions: Conditions },
    /// The object is called `object`.
    Expressions(deleting::Demand),
}

impl CleanupPolicy {
    /// Reads a cleanup policy.
    ///
    /// # Errors
    /// An unknown field, something missing, an unreadable schedule or expression: with its path.
    pub fn parse(document: &Value) -> Result<Self, ParseError> {
        if deleting::is_policy(document) {
            return Self::in_cel(document);
        }
        let top = Fields::new(document, "", &["apiVersion", "kind", "metadata", "spec", "status"])?;
        let (version, kind) = (top.required_text("apiVersion")?, top.required_text("kind")?);
        if !Self::is_cleanup_policy(document) {
            let message = format!("`{version}` `{kind}` is not a cleanup policy that can be read");
            return Err(top.error("kind", message));
        }
        let metadata = top.get("metadata").ok_or_else(|| top.error("metadata", "is required"))?;
        let metadata = Fields::open(metadata, "metadata")?;
        let namespace = metadata.text("namespace")?.filter(|text| !text.is_empty());
        let namespace =
            (kind == "CleanupPolicy").then(|| namespace.unwrap_or("default").to_owned());
        let spec = top.get("spec").ok_or_else(|| top.error("spec", "is required"))?;
        let known =
            ["schedule", "match", "exclude", "conditions", "context", "deletionPropagationPolicy"];
        let spec = Fields::new(spec, "spec", &known)?;
        let schedule = schedule(&spec)?;
        let selection = side(&spec, "match")?
            .ok_or_else(|| spec.error("match", "names nothing, so nothing would be deleted"))?;
        if selection.filters().iter().any(|filter| filter.kinds.is_empty()) {
            return Err(spec.error("match", "needs `kinds` in each filter: what is to be listed"));
        }
        let conditions = spec.get("conditions").map_or_else(
            || Ok(Conditions::default()),
            |value| Conditions::parse(value, &spec.path("conditions")),
        )?;
        Ok(Self {
            name: metadata.required_text("name")?.to_owned(),
            namespace,
            schedule,
            selection,
            exclusion: side(&spec, "exclude")?,
            demand: Demand::Conditions { context: context::parse(&spec)?, conditions },
            propagation: propagation(&spec)?,
        })
    }

    fn in_cel(document: &Value) -> Result<Self, ParseError> {
        let Deleting { name, namespace, spec, about, demand } = deleting::read(document)?;
        Ok(Self {
            name: name.to_owned(),
            namespace,
            schedule: schedule(&spec)?,
            selection: Selection::Any(about.matched),
            exclusion: Selection::any(about.excluded),
            demand: Demand::Expressions(demand),
            propagation: propagation(&spec)?,
        })
    }

    /// Whether a document is of a kind that [`Self::parse`] reads.
    pub fn is_cleanup_policy(document: &Value) -> bool {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        deleting::is_policy(document)
            || (VERSIONS.contains(&text("apiVersion"))
                && matches!(text("kind"), "CleanupPolicy" | "ClusterCleanupPolicy"))
    }

    /// Its name, with the namespace before it for namespaced policies.
    pub fn qualified_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The namespace that it is confined to; `None` for cluster-wide policies.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// When it deletes.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What becomes of what the deleted objects own; `None` where the API server decides.
    pub fn propagation(&self) -> Option<Propagation> {
        self.propagation
    }

    /// The resources to list, sorted, each once. Operations say nothing here.
    pub fn scope(&self, kinds: &KnownKinds) -> Vec<ScopeRule> {
        let filters = self.selection.filters();
        let named = filters.iter().flat_map(|filter| &filter.kinds);
        let mut scope =
            resources_of(named.filter(|kind| kind.subresource.as_str().is_empty()), kinds);
        scope.extend(
            filters.iter().filter_map(|filter| filter.resources.as_ref()).flat_map(of_rules),
        );
        scope
    }

    /// What it says of one object, with the labels of the object's namespace. In conditions the
    /// object is called `target`.
    pub fn judge(&self, request: &Request, environment: &Environment) -> Evaluation<Choice> {
        let target = Target::new(request);
        let confined = self.namespace.as_deref().is_none_or(|own| own == target.namespace);
        let excluded = self.exclusion.as_ref().is_some_and(|side| side.excludes(&target));
        if !confined || excluded || !self.selection.includes(&target) {
            return Evaluation::Done(Choice::Keep);
        }
        let mut environment = environment.clone();
        if let Demand::Conditions { .. } = &self.demand {
            let object = request.subject().cloned().unwrap_or(Value::Null);
            environment.variables.insert("target".to_owned(), object);
        }
        let judgement = Judgement::new(request, &environment);
        judgement.confine(self.namespace.as_deref().map(Arc::from).as_ref());
        let choice = self.demand.judge(&judgement);
        let needs = judgement.needs.take();
        if needs.is_empty() { Evaluation::Done(choice) } else { Evaluation::Needs(needs) }
    }
}

impl Demand {
    fn judge(&self, judgement: &Judgement<'_>) -> Choice {
        let (empty, merged) = (Map::new(), OnceCell::new());
        let root = Scope::root(judgement, &empty, None, &merged);
        match self {
            Self::Conditions { context, conditions } => {
                let frame = Frame::new(context);
                match conditions.evaluate(&root.with_frame(&frame)) {
                    Ok(outcome) if outcome.holds => Choice::Delete,
                    Ok(_) => Choice::Keep,
                    Err(failure) => {
                        Choice::Unknown(format!("conditions cannot be evaluated: {failure}"))
                    }
                }
            }
            Self::Expressions(demand) => {
                let unmet = preconditions(&demand.conditions, Some(demand.shared()), &root);
                match unmet {
                    None => Choice::Delete,
                    Some(said) if said.status == Status::Skip => Choice::Keep,
                    Some(said) => Choice::Unknown(said.message),
                }
            }
        }
    }
}

fn schedule(spec: &Fields<'_>) -> Result<Schedule, ParseError> {
    let written = spec.required_text("schedule")?;
    Schedule::parse(written).map_err(|message| spec.error("schedule", message))
}

/// `match` or `exclude`; deletions have no user, so filters on users are refused.
fn side(spec: &Fields<'_>, name: &str) -> Result<Option<Selection>, ParseError> {
    let Some(value) = spec.get(name) else { return Ok(None) };
    let selection = Selection::parse(value, &spec.path(name))?;
    let filters = selection.as_ref().map(Selection::filters).unwrap_or_default();
    if filters.iter().any(Filter::names_users) {
        let message = "filters on users, roles and cluster roles have no meaning here: nobody asks";
        return Err(spec.error(name, message));
    }
    Ok(selection)
}

fn propagation(spec: &Fields<'_>) -> Result<Option<Propagation>, ParseError> {
    let name = "deletionPropagationPolicy";
    match spec.text(name)? {
        None => Ok(None),
        Some("Foreground") => Ok(Some(Propagation::Foreground)),
        Some("Background") => Ok(Some(Propagation::Background)),
        Some("Orphan") => Ok(Some(Propagation::Orphan)),
        Some(other) => {
            let hint = crate::spelling::hint(other, ["Foreground", "Background", "Orphan"]);
            Err(spec.error(name, format!("unknown value `{other}`{hint}")))
        }
    }
}
