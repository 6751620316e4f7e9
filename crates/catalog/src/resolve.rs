//! What the annotations of a policy claim, as written, and what they stand for.
//!
//! Three things are kept apart: what is *claimed* (the id that the annotation names, however wide),
//! what is *mapped* (ids that the catalog gives to the controls which the policy stands for), and
//! what could not be understood. A claimed group such as `CIS-5.2.x` is counted as that group; no
//! id below it is thereby claimed.

use std::collections::BTreeMap;

use proofstream_model::{ControlId, ControlRef, RequirementId};

use crate::framework::is_below;
use crate::{Catalog, Framework, RequirementKind};

/// The annotations of one policy.
pub type Annotations = BTreeMap<String, String>;

/// The annotation of the article, and our own.
const KEYS: [&str; 2] = ["compliance.atmosly.io/controls", "proofstream.dev/controls"];
/// Words of one annotation that are read; what follows is reported as left out.
const MAX_WORDS: usize = 200;

/// One word of an annotation, and the requirement that it names.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Claim {
    /// As it is written.
    pub written: String,
    /// What it names.
    pub requirement: RequirementId,
    /// Whether that is a heading over other ids.
    pub group: bool,
}

/// What one annotation says.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Resolution {
    /// Controls named directly, sorted.
    pub controls: Vec<ControlId>,
    /// Requirements claimed, sorted. Nothing is added to what is written.
    pub requirements: Vec<RequirementId>,
    /// Each claim as written, in the order written.
    pub claims: Vec<Claim>,
    /// Words that name nothing the catalog knows.
    pub unknown: Vec<String>,
    /// What the user should know about how it was read, sentences.
    pub notes: Vec<String>,
}

/// What a policy stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct PolicyClaims {
    /// Controls and requirements together, as its records carry them.
    pub stands_for: ControlRef,
    /// What its annotations claim, as written.
    pub claims: Vec<Claim>,
    /// What the catalog maps to its controls, sorted.
    pub mapped: Vec<RequirementId>,
    /// Words of its annotations that name nothing the catalog knows.
    pub unknown: Vec<String>,
    /// What the user should know, sentences.
    pub notes: Vec<String>,
}

impl Catalog {
    /// Reads the value of an annotation: controls and requirements, separated by commas, semicolons
    /// or line ends. `SOC2-CC6.1`, `SOC2 CC6.1`, `soc2-2017/CC6.1`, `PCI-DSS-2`, `CIS-5.2.x` and
    /// control ids are understood.
    pub fn resolve_annotation(&self, text: &str) -> Resolution {
        let mut resolution = Resolution::default();
        let mut words = text.split([',', ';', '\n']).map(str::trim).filter(|word| !word.is_empty());
        for word in words.by_ref().take(MAX_WORDS) {
            self.resolve_word(word, &mut resolution);
        }
        if words.next().is_some() {
            let note =
                format!("more than {MAX_WORDS} names in one annotation: the rest is not read");
            resolution.notes.push(note);
        }
        resolution.controls.sort();
        resolution.controls.dedup();
        resolution.requirements =
            resolution.claims.iter().map(|claim| claim.requirement.clone()).collect();
        resolution.requirements.sort();
        resolution.requirements.dedup();
        resolution
    }

    /// What a policy of this name with these annotations stands for, kept apart by where it comes
    /// from: the catalog (by the policy's name, or by a control that an annotation names) or the
    /// policy's own claim.
    pub fn policy_claims(&self, name: &str, annotations: &Annotations) -> PolicyClaims {
        let mut result = PolicyClaims::default();
        let mut controls: Vec<ControlId> =
            self.controls_naming(name).map(|control| control.id.clone()).collect();
        let mut requirements = Vec::new();
        for text in KEYS.iter().filter_map(|key| annotations.get(*key)) {
            let resolution = self.resolve_annotation(text);
            controls.extend(resolution.controls);
            requirements.extend(resolution.requirements);
            result.claims.extend(resolution.claims);
            result.unknown.extend(resolution.unknown);
            result.notes.extend(resolution.notes);
        }
        let from_catalog = self.control_ref(controls);
        for claim in result.claims.iter().filter(|claim| claim.group) {
            result.notes.push(self.group_note(claim, &from_catalog));
        }
        requirements.extend(from_catalog.requirements.iter().cloned());
        requirements.sort();
        requirements.dedup();
        result.notes.dedup();
        result.mapped = from_catalog.requirements;
        result.stands_for = ControlRef { controls: from_catalog.controls, requirements };
        result
    }

    /// Controls and requirements of a policy, as its decisions, blocks and findings carry them.
    pub fn controls_for_policy(&self, name: &str, annotations: &Annotations) -> ControlRef {
        self.policy_claims(name, annotations).stands_for
    }

    /// The requirement that `word` names, by the spellings of annotations.
    pub fn requirement_called(&self, word: &str) -> Option<RequirementId> {
        let mut resolution = Resolution::default();
        self.resolve_word(word.trim(), &mut resolution);
        resolution.claims.pop().map(|claim| claim.requirement)
    }

    fn resolve_word(&self, word: &str, resolution: &mut Resolution) {
        if let Some(alias) =
            self.aliases.iter().find(|alias| normal(&alias.written) == normal(word))
        {
            resolution.notes.push(alias.note.clone());
            resolution.claims.push(self.claim(word, &alias.requirement));
            return;
        }
        if let Some(id) = self.exact(word).or_else(|| self.prefixed(word)) {
            resolution.claims.push(self.claim(word, &id));
            return;
        }
        if let Ok(control) = self.control(word) {
            resolution.controls.push(control.id.clone());
            return;
        }
        resolution.notes.push(format!("`{word}` names no control and no requirement known here"));
        resolution.unknown.push(word.to_owned());
    }

    fn claim(&self, written: &str, id: &RequirementId) -> Claim {
        let group = self.requirement(id).is_some_and(|entry| entry.kind == RequirementKind::Group);
        Claim { written: written.to_owned(), requirement: id.clone(), group }
    }

    /// `soc2-2017/CC6.1`, whole.
    fn exact(&self, word: &str) -> Option<RequirementId> {
        let (framework, id) = word.split_once('/')?;
        find(self.framework(&framework.to_ascii_lowercase()).ok()?, id)
    }

    /// A framework's prefix and an id; the longest prefix that leaves a known id wins.
    fn prefixed(&self, word: &str) -> Option<RequirementId> {
        let written = normal(word);
        let mut candidates: Vec<(usize, &Framework, &str)> = Vec::new();
        for framework in &self.frameworks {
            for prefix in &framework.prefixes {
                if let Some(rest) = written.strip_prefix(&normal(prefix))
                    && let Some(id) = rest.strip_prefix('-')
                {
                    candidates.push((prefix.len(), framework, id));
                }
            }
            if framework.bare {
                candidates.push((0, framework, &written));
            }
        }
        candidates.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
        candidates.into_iter().find_map(|(_, framework, id)| find(framework, id))
    }

    /// What a claimed group does and does not say.
    fn group_note(&self, claim: &Claim, mapped: &ControlRef) -> String {
        let group = &claim.requirement;
        let below: Vec<&str> = self
            .mapped_below(group)
            .into_iter()
            .filter(|id| mapped.requirements.contains(id))
            .map(RequirementId::id)
            .collect();
        let what = if below.is_empty() {
            "the catalog maps none of the ids below it to this policy".to_owned()
        } else {
            let left = self.leaves(group).len().saturating_sub(below.len());
            format!(
                "of the ids below it the catalog maps {} to this policy, and {left} others not",
                below.join(", ")
            )
        };
        format!(
            "`{}` names the whole of {group}: it is counted there as claimed; {what}",
            claim.written
        )
    }

    /// Ids below a group that are no groups themselves.
    fn leaves(&self, group: &RequirementId) -> Vec<&RequirementId> {
        self.framework(group.framework()).map_or_else(
            |_| Vec::new(),
            |framework| {
                let below = framework.requirements.iter().filter(|entry| {
                    entry.kind == RequirementKind::Requirement
                        && is_below(entry.id.id(), group.id())
                });
                below.map(|entry| &entry.id).collect()
            },
        )
    }
}

/// An id as the framework writes it; `5.2.x` and `5.2.*` mean the group `5.2`.
fn find(framework: &Framework, id: &str) -> Option<RequirementId> {
    let lower = id.to_ascii_lowercase();
    let wide = lower.strip_suffix(".x").or_else(|| lower.strip_suffix(".*"));
    let entry = framework.requirement(wide.unwrap_or(id))?;
    if wide.is_some() && entry.kind != RequirementKind::Group {
        return None;
    }
    Some(entry.id.clone())
}

/// Upper case, with one dash for every run of spaces, underscores, slashes, colons and dashes.
fn normal(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for letter in word.chars() {
        let letter = match letter {
            ' ' | '_' | '/' | ':' | '\t' => '-',
            other => other.to_ascii_uppercase(),
        };
        if letter != '-' || !text.ends_with('-') {
            text.push(letter);
        }
    }
    text
}
