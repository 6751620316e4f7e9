//! Corrections: what to change in a policy so that a finding goes away.

use serde::Serialize;

use crate::policy::{AuditPolicy, Rule, Stage};

/// A change of a policy, or of the flags beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "do")]
pub enum Fix {
    /// There is nothing to paste.
    None,
    /// Put a rule before the one that stands there now.
    Insert {
        /// The position of the new rule.
        at: usize,
        /// The rule.
        rule: Rule,
    },
    /// Put these rules in place of one; none removes it.
    Replace {
        /// The position of the rule that goes.
        at: usize,
        /// The rules that come.
        rules: Vec<Rule>,
    },
    /// Put a rule at the end.
    Append {
        /// The rule.
        rule: Rule,
    },
    /// Omit these stages in every rule, and no others.
    OmitStages {
        /// All of them.
        stages: Vec<Stage>,
    },
    /// Leave managed fields out of bodies, where no rule says otherwise.
    OmitManagedFields,
    /// Take a field out that means nothing.
    Remove {
        /// Where: `rules[0].omitStage`.
        path: String,
    },
    /// Give the API server these flags.
    Flags {
        /// Each with its value.
        flags: Vec<String>,
    },
}

// === impl Fix ===

impl Fix {
    /// Where what [`Fix::yaml`] gives belongs; empty where there is nothing to do.
    pub fn place(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Insert { at, .. } => format!("before rules[{at}]"),
            Self::Replace { at, rules } if rules.is_empty() => format!("remove rules[{at}]"),
            Self::Replace { at, .. } => format!("in place of rules[{at}]"),
            Self::Append { .. } => "at the end".to_owned(),
            Self::OmitStages { .. } | Self::OmitManagedFields => "beside `rules`".to_owned(),
            Self::Remove { path } => format!("remove {path}"),
            Self::Flags { .. } => "flags of kube-apiserver".to_owned(),
        }
    }

    /// The text to paste; empty where there is none.
    pub fn yaml(&self) -> String {
        match self {
            Self::None | Self::Remove { .. } => String::new(),
            Self::Insert { rule, .. } | Self::Append { rule } => text(&[rule]),
            Self::Replace { rules, .. } if rules.is_empty() => String::new(),
            Self::Replace { rules, .. } => text(rules),
            Self::OmitStages { stages } => format!("omitStages:\n{}", text(stages)),
            Self::OmitManagedFields => "omitManagedFields: true\n".to_owned(),
            Self::Flags { flags } => {
                flags.iter().fold(String::new(), |text, flag| text + flag + "\n")
            }
        }
    }

    /// Makes the change. Fields that mean nothing are not part of a policy, and flags are elsewhere.
    pub fn apply(&self, policy: &mut AuditPolicy) {
        let rules = &mut policy.rules;
        match self {
            Self::None | Self::Remove { .. } | Self::Flags { .. } => {}
            Self::Insert { at, rule } => rules.insert((*at).min(rules.len()), rule.clone()),
            Self::Append { rule } => rules.push(rule.clone()),
            Self::Replace { at, rules: new } => {
                if *at < rules.len() {
                    rules.splice(*at..=*at, new.iter().cloned());
                }
            }
            Self::OmitStages { stages } => policy.omit_stages.clone_from(stages),
            Self::OmitManagedFields => policy.omit_managed_fields = true,
        }
    }
}

fn text(items: &(impl Serialize + ?Sized)) -> String {
    serde_yaml_ng::to_string(items).unwrap_or_default()
}
