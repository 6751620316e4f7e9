//! From a request's kind, operation and namespace to the rules that may be about it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::policy::Policy;
use crate::request::{Operation, Request};
use crate::selection::{Filter, ResourceSelector, Selection, Target};

/// A rule by position: policy, rule.
pub(super) type Place = (usize, usize);

/// Rules by kind, then by the literal beginning of the namespaces that they name.
#[derive(Debug, Default)]
pub(super) struct Index {
    kinds: HashMap<Box<str>, Namespaces>,
    /// Rules that name kinds by globs, or none.
    any_kind: Namespaces,
}

#[derive(Debug, Default)]
struct Namespaces {
    /// A name, or the text before a glob's first wildcard.
    by_prefix: HashMap<Box<str>, Vec<Entry>>,
    anywhere: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    place: Place,
    operations: u8,
}

const ALL_OPERATIONS: u8 = 0b1111;

fn bit(operation: Operation) -> u8 {
    1 << (operation as u8)
}

impl Index {
    pub(super) fn build(policies: &[Arc<Policy>]) -> Self {
        let mut index = Self::default();
        for (policy_index, policy) in policies.iter().enumerate() {
            for (rule_index, rule) in policy.rules.iter().enumerate() {
                let place = (policy_index, rule_index);
                let confined = policy.namespace.as_deref();
                // Under `all` every filter must fit, so the first that names kinds is enough.
                match &rule.selection {
                    Selection::Any(filters) => {
                        for filter in filters {
                            index.add(filter, place, confined);
                        }
                    }
                    Selection::All(filters) => {
                        let narrowing = filters.iter().find(|filter| !filter.kinds.is_empty());
                        if let Some(filter) = narrowing.or(filters.first()) {
                            index.add(filter, place, confined);
                        }
                    }
                }
            }
        }
        index
    }

    fn add(&mut self, filter: &Filter, place: Place, confined: Option<&str>) {
        let operations = if filter.operations.is_empty() {
            ALL_OPERATIONS
        } else {
            filter.operations.iter().fold(0, |bits, operation| bits | bit(*operation))
        };
        let entry = Entry { place, operations };
        let resources = filter.resources.as_ref();
        if let Some(kinds) = resources.and_then(ResourceSelector::built_in_kinds) {
            for kind in kinds {
                self.kinds.entry(kind.into()).or_default().add(filter, entry, confined);
            }
            return;
        }
        if filter.kinds.is_empty() || filter.kinds.iter().any(|kind| !kind.kind.is_literal()) {
            self.any_kind.add(filter, entry, confined);
            return;
        }
        for kind in &filter.kinds {
            let kind = self.kinds.entry(kind.kind.as_str().into()).or_default();
            kind.add(filter, entry, confined);
        }
    }

    /// Rules that may be about the request, in order, each once.
    pub(super) fn candidates(&self, target: &Target<'_>, request: &Request) -> Vec<Place> {
        let mut found = Vec::new();
        let operation = bit(request.operation);
        let kinds = self.kinds.get(target.kind()).into_iter().chain([&self.any_kind]);
        for namespaces in kinds {
            namespaces.collect(target.namespace, operation, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Namespaces {
    fn add(&mut self, filter: &Filter, entry: Entry, confined: Option<&str>) {
        if let Some(namespace) = confined {
            self.by_prefix.entry(namespace.into()).or_default().push(entry);
            return;
        }
        if filter.namespaces.is_empty() {
            self.anywhere.push(entry);
        }
        for namespace in &filter.namespaces {
            let prefix = namespace.literal_prefix();
            if prefix.is_empty() && !namespace.is_literal() {
                self.anywhere.push(entry);
            } else {
                self.by_prefix.entry(prefix.into()).or_default().push(entry);
            }
        }
    }

    fn collect(&self, namespace: &str, operation: u8, found: &mut Vec<Place>) {
        let mut take = |entries: &[Entry]| {
            let fitting = entries.iter().filter(|entry| entry.operations & operation != 0);
            found.extend(fitting.map(|entry| entry.place));
        };
        take(&self.anywhere);
        if self.by_prefix.is_empty() {
            return;
        }
        for end in (0..=namespace.len()).filter(|end| namespace.is_char_boundary(*end)) {
            let prefix = namespace.get(..end).unwrap_or_default();
            if let Some(entries) = self.by_prefix.get(prefix) {
                take(entries);
            }
        }
    }
}
