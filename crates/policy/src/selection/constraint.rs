//! What a constraint is about beside kinds: namespaces, scope, labels, a name.
//!
//! <https://open-policy-agent.github.io/gatekeeper/website/docs/howto#the-match-field>

use serde_json::Value;

use super::{KindSelector, LabelSelector, Target};
use crate::error::ParseError;
use crate::fields::Fields;
use crate::wildcard::Wildcard;

/// A constraint's `match` without its kinds.
#[derive(Debug, Default)]
pub(crate) struct ConstraintMatch {
    namespaces: Vec<Wildcard>,
    excluded: Vec<Wildcard>,
    labels: Option<LabelSelector>,
    namespace_labels: Option<LabelSelector>,
    name: Option<Wildcard>,
    scope: Scope,
    /// Whether it is about objects that other objects were expanded into, and those alone.
    generated_only: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Scope {
    #[default]
    Any,
    Cluster,
    Namespaced,
}

impl ConstraintMatch {
    /// Reads a `match` with the kinds in it; none for every kind.
    pub(crate) fn parse(
        value: &Value,
        path: &str,
    ) -> Result<(Self, Vec<KindSelector>), ParseError> {
        let known = [
            "kinds",
            "scope",
            "namespaces",
            "excludedNamespaces",
            "labelSelector",
            "namespaceSelector",
            "name",
            "source",
        ];
        let fields = Fields::new(value, path, &known)?;
        let globs = |name: &str| {
            let texts = fields.texts(name)?;
            Ok::<_, ParseError>(texts.into_iter().map(Wildcard::new).collect::<Vec<_>>())
        };
        let selector = |name: &str| {
            let value = fields.get(name);
            value.map(|value| LabelSelector::parse(value, &fields.path(name))).transpose()
        };
        let scope = match fields.text("scope")? {
            Some("Cluster") => Scope::Cluster,
            Some("Namespaced") => Scope::Namespaced,
            None | Some("*" | "") => Scope::Any,
            Some(other) => {
                let hint = crate::spelling::hint(other, ["Cluster", "Namespaced"]);
                return Err(fields.error("scope", format!("unknown value `{other}`{hint}")));
            }
        };
        let generated_only = match fields.text("source")? {
            None | Some("All" | "Original" | "") => false,
            Some("Generated") => true,
            Some(other) => {
                let message =
                    format!("unknown value `{other}`, it is `All`, `Original` or `Generated`");
                return Err(fields.error("source", message));
            }
        };
        let made = Self {
            namespaces: globs("namespaces")?,
            excluded: globs("excludedNamespaces")?,
            labels: selector("labelSelector")?,
            namespace_labels: selector("namespaceSelector")?,
            name: fields.text("name")?.filter(|name| !name.is_empty()).map(Wildcard::new),
            scope,
            generated_only,
        };
        Ok((made, kinds(&fields)?))
    }

    /// Whether it fits the object, or on an update the object as it was.
    pub(super) fn fits(&self, target: &Target<'_>) -> bool {
        if self.generated_only {
            return false;
        }
        let old = target.request.old_object.as_ref().and_then(|object| object.get("metadata"));
        self.fits_place(target)
            && (self.fits_metadata(target.metadata, target)
                || (old.is_some() && self.fits_metadata(old, target)))
    }

    fn fits_place(&self, target: &Target<'_>) -> bool {
        let is_namespace = target.kind() == "Namespace";
        let has_namespace = !is_namespace && !target.namespace.is_empty();
        let fits_scope = match self.scope {
            Scope::Any => true,
            Scope::Cluster => !has_namespace,
            Scope::Namespaced => has_namespace,
        };
        // An object without a namespace, unless it is one, is in every list and excluded from none.
        let is_in = |globs: &[Wildcard]| globs.iter().any(|glob| glob.matches(target.namespace));
        let fits_lists = target.namespace.is_empty()
            || ((self.namespaces.is_empty() || is_in(&self.namespaces)) && !is_in(&self.excluded));
        fits_scope && fits_lists
    }

    fn fits_metadata(&self, metadata: Option<&Value>, target: &Target<'_>) -> bool {
        let text = |key: &str| {
            metadata.and_then(|metadata| metadata.get(key)).and_then(Value::as_str).unwrap_or("")
        };
        let labels = metadata.and_then(|metadata| metadata.get("labels"));
        let labels = labels.and_then(Value::as_object);
        let fits_name = self.name.as_ref().is_none_or(|name| {
            name.matches(text("name"))
                || (!text("generateName").is_empty() && name.matches(text("generateName")))
        });
        let fits_namespace = |selector: &LabelSelector| {
            if target.kind() == "Namespace" {
                return selector.matches(&labels);
            }
            // Where its labels are not known it may fit: that is told when it is judged.
            let known = target.request.namespace_labels.as_ref();
            target.namespace.is_empty() || known.is_none() || selector.matches(&known)
        };
        fits_name
            && self.labels.as_ref().is_none_or(|selector| selector.matches(&labels))
            && self.namespace_labels.as_ref().is_none_or(fits_namespace)
    }

    /// The namespaces that it names.
    pub(crate) fn namespaces(&self) -> &[Wildcard] {
        &self.namespaces
    }

    /// Whether it depends on labels of a namespace that nobody knows.
    pub(crate) fn lacks_labels(&self, target: &Target<'_>) -> bool {
        self.namespace_labels.is_some()
            && target.is_namespaced()
            && target.request.namespace_labels.is_none()
    }
}

/// Each entry names groups and kinds, of which any go together; an empty list means all.
fn kinds(fields: &Fields<'_>) -> Result<Vec<KindSelector>, ParseError> {
    let mut made = Vec::new();
    for (path, item) in fields.list("kinds")? {
        let entry = Fields::new(item, &path, &["apiGroups", "kinds"])?;
        let or_all = |texts: Vec<&str>| {
            let all = texts.is_empty() || texts.contains(&"*");
            let globs = if all { vec!["*"] } else { texts };
            globs.into_iter().map(Wildcard::new).collect::<Vec<_>>()
        };
        let groups = or_all(entry.texts("apiGroups")?);
        for kind in or_all(entry.texts("kinds")?) {
            made.extend(groups.iter().map(|group| KindSelector {
                group: group.clone(),
                version: Wildcard::new("*"),
                kind: kind.clone(),
                subresource: Wildcard::new("*"),
            }));
        }
    }
    Ok(made)
}
