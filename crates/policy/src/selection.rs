//! `match` and `exclude`: which requests a rule is about.

mod constraint;
mod kind;
mod labels;
mod resource;

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use crate::error::ParseError;
use crate::fields::Fields;
use crate::request::{Operation, Request, UserInfo};
use crate::response::ResourceName;
use crate::spelling;
use crate::trace;
use crate::wildcard::Wildcard;
pub(crate) use constraint::ConstraintMatch;
pub(crate) use kind::KindSelector;
pub(crate) use labels::LabelSelector;
pub(crate) use resource::ResourceSelector;

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Filters of a rule's `match` or `exclude`.
#[derive(Debug)]
pub(crate) enum Selection {
    Any(Vec<Filter>),
    All(Vec<Filter>),
}

/// One filter: all that it names must fit.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) kinds: Vec<KindSelector>,
    names: Vec<Wildcard>,
    name: Option<Wildcard>,
    pub(crate) namespaces: Vec<Wildcard>,
    annotations: Vec<(Wildcard, Wildcard)>,
    selector: Option<LabelSelector>,
    namespace_selector: Option<LabelSelector>,
    pub(crate) operations: Vec<Operation>,
    subjects: Vec<Subject>,
    roles: Vec<Wildcard>,
    cluster_roles: Vec<Wildcard>,
    /// Where a filter is a rule of `matchConstraints`.
    pub(crate) resources: Option<ResourceSelector>,
    /// Whether objects must have a namespace, or have none.
    scope: Option<bool>,
    /// Where a filter is the `match` of a constraint.
    pub(crate) constraint: Option<ConstraintMatch>,
}

#[derive(Debug)]
struct Subject {
    kind: SubjectKind,
    name: Wildcard,
    namespace: Wildcard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SubjectKind {
    User,
    Group,
    ServiceAccount,
}

/// What filters look at, read from the request once.
pub(crate) struct Target<'r> {
    request: &'r Request,
    kind: Option<kind::Parent<'r>>,
    name: &'r str,
    pub(crate) namespace: &'r str,
    metadata: Option<&'r Value>,
    /// What every response calls the object: made once.
    resource: OnceCell<Arc<ResourceName>>,
}

impl<'r> Target<'r> {
    pub(crate) fn new(request: &'r Request) -> Self {
        let metadata = request.subject().and_then(|object| object.get("metadata"));
        let text = |key: &str| metadata.and_then(|m| m.get(key)).and_then(Value::as_str);
        let filled = |text: &&str| !text.is_empty();
        let name = text("name")
            .filter(filled)
            .or(request.name.as_deref())
            .filter(filled)
            .or_else(|| text("generateName"))
            .unwrap_or_default();
        let namespace =
            text("namespace").filter(filled).or(request.namespace.as_deref()).unwrap_or_default();
        let is_namespace = request.kind.kind == "Namespace" && request.kind.group.is_empty();
        let namespace = if is_namespace { name } else { namespace };
        let kind = kind::parent(request);
        Self { request, kind, name, namespace, metadata, resource: OnceCell::new() }
    }

    /// What responses call the object.
    pub(crate) fn resource(&self) -> &Arc<ResourceName> {
        self.resource.get_or_init(|| {
            let kind = &self.request.kind;
            let namespace = Some(self.namespace).filter(|name| !name.is_empty());
            Arc::new(ResourceName {
                api_version: kind.api_version(),
                kind: kind.kind.clone(),
                namespace: namespace.filter(|_| kind.kind != "Namespace").map(str::to_owned),
                name: self.name.to_owned(),
            })
        })
    }

    /// The kind that rules name: of a subresource's request the parent's.
    pub(crate) fn kind(&self) -> &str {
        self.kind.as_ref().map_or(&self.request.kind.kind, |parent| parent.kind)
    }

    /// Whether the object is in a namespace.
    fn is_namespaced(&self) -> bool {
        self.kind() != "Namespace" && !self.namespace.is_empty()
    }

    fn texts(&self, field: &str) -> Option<&'r serde_json::Map<String, Value>> {
        self.metadata?.get(field)?.as_object()
    }
}

impl Selection {
    /// Reads a `match` or `exclude` in either form; `None` where it says nothing.
    pub(crate) fn parse(value: &Value, path: &str) -> Result<Option<Self>, ParseError> {
        let known = ["any", "all", "resources", "subjects", "roles", "clusterRoles"];
        let fields = Fields::new(value, path, &known)?;
        let read = |name: &str| {
            fields
                .list(name)?
                .into_iter()
                .map(|(path, item)| Filter::parse(item, &path))
                .collect::<Result<Vec<_>, _>>()
        };
        let (any, all) = (read("any")?, read("all")?);
        if !any.is_empty() && !all.is_empty() {
            return Err(ParseError::new(path, "`any` and `all` cannot stand together"));
        }
        if !any.is_empty() {
            return Ok(Some(Self::Any(any)));
        }
        if !all.is_empty() {
            return Ok(Some(Self::All(all)));
        }
        let flat = Filter::read(&fields)?;
        Ok((!flat.is_empty()).then(|| Self::All(vec![flat])))
    }

    pub(crate) fn filters(&self) -> &[Filter] {
        match self {
            Self::Any(filters) | Self::All(filters) => filters,
        }
    }

    /// What any of some filters fits; `None` where there are none.
    pub(crate) fn any(filters: Vec<Filter>) -> Option<Self> {
        (!filters.is_empty()).then_some(Self::Any(filters))
    }

    /// Whether some filter takes an operation.
    pub(crate) fn takes(&self, operation: Operation) -> bool {
        let takes = |filter: &Filter| {
            filter.operations.is_empty() || filter.operations.contains(&operation)
        };
        self.filters().iter().any(takes)
    }

    /// Whether some filter names DELETE: what makes objects takes no deletion unasked.
    pub(crate) fn names_deletion(&self) -> bool {
        self.filters().iter().any(|filter| filter.operations.contains(&Operation::Delete))
    }

    /// Whether a `match` fits. Filters on users do not narrow it where no user is known; one that names
    /// users alone says nothing then, and fits nothing.
    pub(crate) fn includes(&self, target: &Target<'_>) -> bool {
        let fits = |filter: &Filter| {
            filter.fits_object(target)
                && match &target.request.user {
                    Some(user) => filter.fits_user(user),
                    None => filter.names_objects(),
                }
        };
        match self {
            Self::Any(filters) => filters.iter().any(fits),
            Self::All(filters) => filters.iter().all(fits),
        }
    }

    /// Whether it fits whoever asks.
    pub(crate) fn fits_anybody(&self, target: &Target<'_>) -> bool {
        let fits = |filter: &Filter| filter.fits_object(target) && !filter.names_users();
        match self {
            Self::Any(filters) => filters.iter().any(fits),
            Self::All(filters) => filters.iter().all(fits),
        }
    }

    /// Whether it may fit, whoever asks.
    pub(crate) fn fits_somebody(&self, target: &Target<'_>) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.fits_object(target)),
            Self::All(filters) => filters.iter().all(|filter| filter.fits_object(target)),
        }
    }

    /// Tells what each filter asks for and whether it is so.
    pub(crate) fn tell(&self, target: &Target<'_>) {
        let (word, filters) = match self {
            Self::Any(filters) => ("any of", filters),
            Self::All(filters) => ("all of", filters),
        };
        if let [only] = filters.as_slice() {
            return only.tell(target);
        }
        for (place, filter) in filters.iter().enumerate() {
            trace::within(|| format!("{word} {}", place + 1), || filter.tell(target));
        }
    }

    /// Whether some filter names roles of the user.
    pub(crate) fn names_roles(&self) -> bool {
        let names = |filter: &Filter| !(filter.roles.is_empty() && filter.cluster_roles.is_empty());
        self.filters().iter().any(names)
    }

    /// Whether an `exclude` fits. Where no user is known, filters on users do not fit.
    pub(crate) fn excludes(&self, target: &Target<'_>) -> bool {
        let nobody = UserInfo::default();
        let user = target.request.user.as_ref().unwrap_or(&nobody);
        let fits = |filter: &Filter| filter.fits_object(target) && filter.fits_user(user);
        match self {
            Self::Any(filters) => filters.iter().any(fits),
            Self::All(filters) => filters.iter().all(fits),
        }
    }
}

impl Filter {
    /// The filter that a constraint's `match` is.
    pub(crate) fn of_constraint(value: &Value, path: &str) -> Result<Self, ParseError> {
        let (constraint, kinds) = ConstraintMatch::parse(value, path)?;
        Ok(Self { kinds, constraint: Some(constraint), ..Self::default() })
    }

    /// The filter that one of `resourceRules` is.
    pub(crate) fn of_resources(
        resources: ResourceSelector,
        operations: Vec<Operation>,
        names: &[&str],
        scope: Option<bool>,
    ) -> Self {
        Self {
            resources: Some(resources),
            operations,
            names: names.iter().map(|name| Wildcard::new(name)).collect(),
            scope,
            ..Self::default()
        }
    }

    /// The same, with selectors on the object and on its namespace.
    pub(crate) fn with_selectors(
        self,
        selector: Option<LabelSelector>,
        namespace_selector: Option<LabelSelector>,
    ) -> Self {
        Self { selector, namespace_selector, ..self }
    }

    /// The namespaces that it names, globs as they are written.
    pub(crate) fn namespace_globs(&self) -> impl Iterator<Item = &str> {
        let constraint = self.constraint.iter().flat_map(ConstraintMatch::namespaces);
        self.namespaces.iter().chain(constraint).map(Wildcard::as_str)
    }

    fn parse(value: &Value, path: &str) -> Result<Self, ParseError> {
        let fields = Fields::new(value, path, &["resources", "subjects", "roles", "clusterRoles"])?;
        let filter = Self::read(&fields)?;
        if filter.is_empty() {
            return Err(ParseError::new(path, "names nothing, so it would match nothing"));
        }
        Ok(filter)
    }

    fn read(fields: &Fields<'_>) -> Result<Self, ParseError> {
        let globs = |texts: Vec<&str>| texts.into_iter().map(Wildcard::new).collect::<Vec<_>>();
        let mut filter = match fields.get("resources") {
            Some(resources) => Self::read_resources(resources, &fields.path("resources"))?,
            None => Self::default(),
        };
        for (path, item) in fields.list("subjects")? {
            filter.subjects.push(Subject::parse(item, &path)?);
        }
        filter.roles = globs(fields.texts("roles")?);
        filter.cluster_roles = globs(fields.texts("clusterRoles")?);
        Ok(filter)
    }

    fn read_resources(value: &Value, path: &str) -> Result<Self, ParseError> {
        let known = [
            "kinds",
            "name",
            "names",
            "namespaces",
            "annotations",
            "selector",
            "namespaceSelector",
            "operations",
        ];
        let fields = Fields::new(value, path, &known)?;
        let globs = |texts: Vec<&str>| texts.into_iter().map(Wildcard::new).collect::<Vec<_>>();
        let mut kinds = Vec::new();
        for (path, item) in fields.list("kinds")? {
            let text =
                item.as_str().ok_or_else(|| crate::fields::wrong_type(&path, "a string", item))?;
            kinds.push(KindSelector::parse(text, &path)?);
        }
        let mut operations = Vec::new();
        for (path, item) in fields.list("operations")? {
            let word = item.as_str().unwrap_or_default();
            let operation = Operation::from_word(word).ok_or_else(|| {
                let hint = spelling::hint(word, Operation::ALL.map(Operation::as_str));
                ParseError::new(&path, format!("unknown operation `{word}`{hint}"))
            })?;
            operations.push(operation);
        }
        let selector = |name: &str| {
            fields
                .get(name)
                .map(|value| LabelSelector::parse(value, &fields.path(name)))
                .transpose()
        };
        let annotations = fields.text_map("annotations")?;
        let pair = |(key, value): (&str, &str)| (Wildcard::new(key), Wildcard::new(value));
        Ok(Self {
            kinds,
            names: globs(fields.texts("names")?),
            name: fields.text("name")?.filter(|name| !name.is_empty()).map(Wildcard::new),
            namespaces: globs(fields.texts("namespaces")?),
            annotations: annotations.into_iter().map(pair).collect(),
            selector: selector("selector")?,
            namespace_selector: selector("namespaceSelector")?,
            operations,
            ..Self::default()
        })
    }

    fn is_empty(&self) -> bool {
        !self.names_objects() && !self.names_users()
    }

    fn names_objects(&self) -> bool {
        !(self.kinds.is_empty()
            && self.names.is_empty()
            && self.name.is_none()
            && self.namespaces.is_empty()
            && self.annotations.is_empty()
            && self.selector.is_none()
            && self.namespace_selector.is_none()
            && self.resources.is_none()
            && self.scope.is_none()
            && self.constraint.is_none()
            && self.operations.is_empty())
    }

    pub(crate) fn names_users(&self) -> bool {
        !(self.subjects.is_empty() && self.roles.is_empty() && self.cluster_roles.is_empty())
    }

    fn fits_object(&self, target: &Target<'_>) -> bool {
        let request = target.request;
        let any_fits = |globs: &[Wildcard], text: &str| {
            globs.is_empty() || globs.iter().any(|glob| glob.matches(text))
        };
        (self.operations.is_empty() || self.operations.contains(&request.operation))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.matches(target)))
            && self.resources.as_ref().is_none_or(|resources| resources.matches(target))
            && self.scope.is_none_or(|namespaced| namespaced == target.is_namespaced())
            && any_fits(&self.namespaces, target.namespace)
            && any_fits(&self.names, target.name)
            && self.name.as_ref().is_none_or(|name| name.matches(target.name))
            && self.fits_annotations(target)
            && self.fits_labels(target)
            && self.fits_namespace_labels(target)
            && self.constraint.as_ref().is_none_or(|constraint| constraint.fits(target))
    }

    /// Tells what it asks for and whether it is so.
    fn tell(&self, target: &Target<'_>) {
        let request = target.request;
        let listed = |globs: &[Wildcard]| {
            let texts: Vec<&str> = globs.iter().map(Wildcard::as_str).collect();
            texts.join(", ")
        };
        if !self.operations.is_empty() {
            let words: Vec<&str> = self.operations.iter().map(|own| own.as_str()).collect();
            let own = request.operation.as_str();
            trace::answer(self.operations.contains(&request.operation), || {
                format!("operation {own} is one of {}", words.join(", "))
            });
        }
        if !self.kinds.is_empty() {
            let fits = self.kinds.iter().any(|kind| kind.matches(target));
            let words: Vec<String> = self.kinds.iter().map(ToString::to_string).collect();
            trace::answer(fits, || {
                let subresource = request.subresource.as_ref().map(|name| format!("/{name}"));
                let own = format!("{}{}", target.kind(), subresource.unwrap_or_default());
                format!("kind {own} is one of {}", words.join(", "))
            });
        }
        if let Some(resources) = &self.resources {
            let own = request.kind.resource();
            trace::answer(resources.matches(target), || {
                format!("resource {own} is one of {resources}")
            });
        }
        let (namespace, name) = (target.namespace, target.name);
        if !self.namespaces.is_empty() {
            let fits = self.namespaces.iter().any(|glob| glob.matches(namespace));
            trace::answer(fits, || {
                format!("namespace `{namespace}` is one of {}", listed(&self.namespaces))
            });
        }
        let names: Vec<Wildcard> = self.names.iter().chain(&self.name).cloned().collect();
        if !names.is_empty() {
            let fits = names.iter().any(|glob| glob.matches(name));
            trace::answer(fits, || format!("name `{name}` is one of {}", listed(&names)));
        }
        if self.scope.is_some() {
            let fits = self.scope == Some(target.is_namespaced());
            trace::answer(fits, || "it has a namespace, or has none, as is asked".to_owned());
        }
        if !self.annotations.is_empty() {
            trace::answer(self.fits_annotations(target), || "its annotations".to_owned());
        }
        if self.selector.is_some() {
            trace::answer(self.fits_labels(target), || "its labels".to_owned());
        }
        if self.namespace_selector.is_some() {
            trace::answer(self.fits_namespace_labels(target), || {
                format!("the labels of the namespace `{namespace}`")
            });
        }
        if let Some(constraint) = &self.constraint {
            trace::answer(constraint.fits(target), || {
                "namespaces, scope, labels and name of the constraint's match".to_owned()
            });
        }
        if self.names_users() {
            let fits = request.user.as_ref().is_none_or(|user| self.fits_user(user));
            trace::answer(fits, || "who asks".to_owned());
        }
    }

    fn fits_annotations(&self, target: &Target<'_>) -> bool {
        if self.annotations.is_empty() {
            return true;
        }
        let Some(found) = target.texts("annotations") else { return false };
        self.annotations.iter().all(|(key, value)| {
            found.iter().any(|(found_key, found_value)| {
                key.matches(found_key)
                    && found_value.as_str().is_some_and(|text| value.matches(text))
            })
        })
    }

    fn fits_labels(&self, target: &Target<'_>) -> bool {
        let Some(selector) = &self.selector else { return true };
        if selector.matches(&target.texts("labels")) {
            return true;
        }
        // Constraints also hold where the object as it was has the labels.
        let old = target.request.old_object.as_ref().filter(|_| self.resources.is_some());
        let labels = old.and_then(|object| object.pointer("/metadata/labels"));
        old.is_some() && selector.matches(&labels.and_then(Value::as_object))
    }

    fn fits_namespace_labels(&self, target: &Target<'_>) -> bool {
        let Some(selector) = &self.namespace_selector else { return true };
        if target.kind() == "Namespace" {
            // A namespace is in no namespace; constraints hold the selector against its own labels.
            return self.resources.is_some() && selector.matches(&target.texts("labels"));
        }
        if self.resources.is_some() && !target.is_namespaced() {
            return true;
        }
        selector.matches(&target.request.namespace_labels.as_ref())
    }

    fn fits_user(&self, user: &UserInfo) -> bool {
        let any_fits = |globs: &[Wildcard], texts: &[String]| {
            globs.is_empty() || texts.iter().any(|text| globs.iter().any(|g| g.matches(text)))
        };
        any_fits(&self.roles, &user.roles)
            && any_fits(&self.cluster_roles, &user.cluster_roles)
            && (self.subjects.is_empty() || self.subjects.iter().any(|subject| subject.fits(user)))
    }
}

impl Subject {
    fn parse(value: &Value, path: &str) -> Result<Self, ParseError> {
        let fields = Fields::new(value, path, &["kind", "name", "namespace", "apiGroup"])?;
        let word = fields.required_text("kind")?;
        let kind = match word {
            "User" => SubjectKind::User,
            "Group" => SubjectKind::Group,
            "ServiceAccount" => SubjectKind::ServiceAccount,
            other => {
                let hint = spelling::hint(other, ["User", "Group", "ServiceAccount"]);
                let message = format!("unknown kind of subject `{other}`{hint}");
                return Err(fields.error("kind", message));
            }
        };
        let name = Wildcard::new(fields.required_text("name")?);
        Ok(Self { kind, name, namespace: Wildcard::new(fields.text("namespace")?.unwrap_or("")) })
    }

    fn fits(&self, user: &UserInfo) -> bool {
        match self.kind {
            SubjectKind::User => self.name.matches(&user.username),
            SubjectKind::Group => user.groups.iter().any(|group| self.name.matches(group)),
            SubjectKind::ServiceAccount => user
                .username
                .strip_prefix(SERVICE_ACCOUNT)
                .and_then(|account| account.split_once(':'))
                .is_some_and(|(namespace, name)| {
                    self.namespace.matches(namespace) && self.name.matches(name)
                }),
        }
    }
}
