//! Label selectors, with globs in keys and values as the field allows.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::ParseError;
use crate::fields::Fields;
use crate::spelling;
use crate::wildcard::Wildcard;

/// A label selector.
#[derive(Debug)]
pub(crate) struct LabelSelector {
    labels: Vec<(Wildcard, Wildcard)>,
    expressions: Vec<Expression>,
}

#[derive(Debug)]
struct Expression {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

const OPERATORS: [(&str, Operator); 4] = [
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
];

/// Labels, wherever they are kept; missing ones are none.
pub(crate) trait Labels {
    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str>;
    /// Whether some label fits.
    fn any(&self, fits: &dyn Fn(&str, &str) -> bool) -> bool;
}

impl Labels for Option<&Map<String, Value>> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref()?.get(key)?.as_str()
    }

    fn any(&self, fits: &dyn Fn(&str, &str) -> bool) -> bool {
        let mut labels = self.iter().flat_map(|labels| labels.iter());
        labels.any(|(key, value)| value.as_str().is_some_and(|value| fits(key, value)))
    }
}

impl Labels for Option<&BTreeMap<String, String>> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref()?.get(key).map(String::as_str)
    }

    fn any(&self, fits: &dyn Fn(&str, &str) -> bool) -> bool {
        self.iter().flat_map(|labels| labels.iter()).any(|(key, value)| fits(key, value))
    }
}

impl LabelSelector {
    pub(crate) fn parse(value: &Value, path: &str) -> Result<Self, ParseError> {
        let fields = Fields::new(value, path, &["matchLabels", "matchExpressions"])?;
        let labels = fields.text_map("matchLabels")?;
        let labels =
            labels.into_iter().map(|(k, v)| (Wildcard::new(k), Wildcard::new(v))).collect();
        let mut expressions = Vec::new();
        for (path, item) in fields.list("matchExpressions")? {
            let inner = Fields::new(item, &path, &["key", "operator", "values"])?;
            let word = inner.required_text("operator")?;
            let known = OPERATORS.iter().find(|(name, _)| *name == word);
            let (_, operator) = known.ok_or_else(|| {
                let hint = spelling::hint(word, OPERATORS.iter().map(|(name, _)| *name));
                inner.error("operator", format!("unknown operator `{word}`{hint}"))
            })?;
            let values: Vec<String> =
                inner.texts("values")?.into_iter().map(str::to_owned).collect();
            let needs_values = matches!(operator, Operator::In | Operator::NotIn);
            if needs_values == values.is_empty() {
                let message =
                    format!("`{word}` takes {} values", if needs_values { "some" } else { "no" });
                return Err(inner.error("values", message));
            }
            let key = inner.required_text("key")?.to_owned();
            expressions.push(Expression { key, operator: *operator, values });
        }
        Ok(Self { labels, expressions })
    }

    /// Whether labels fit.
    pub(crate) fn matches(&self, labels: &impl Labels) -> bool {
        let get = |key: &str| labels.label(key);
        let label_fits = |(key, value): &(Wildcard, Wildcard)| {
            if key.is_literal() {
                return get(key.as_str()).is_some_and(|found| value.matches(found));
            }
            labels.any(&|found_key, found| key.matches(found_key) && value.matches(found))
        };
        self.labels.iter().all(label_fits)
            && self.expressions.iter().all(|expression| {
                let found = get(&expression.key);
                let among = |found: &str| expression.values.iter().any(|value| value == found);
                match expression.operator {
                    Operator::In => found.is_some_and(among),
                    Operator::NotIn => !found.is_some_and(among),
                    Operator::Exists => found.is_some(),
                    Operator::DoesNotExist => found.is_none(),
                }
            })
    }
}
