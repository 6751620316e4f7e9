//! Reads a policy from a document, as strictly as the API server and telling more.

use std::fmt;

use serde_json::{Map, Value};

use crate::policy::{API_VERSION, AuditPolicy, GroupResources, Level, Rule, Stage};

const POLICY_FIELDS: [&str; 6] =
    ["apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"];
const RULE_FIELDS: [&str; 9] = [
    "level",
    "users",
    "userGroups",
    "verbs",
    "resources",
    "namespaces",
    "nonResourceURLs",
    "omitStages",
    "omitManagedFields",
];
const ENTRY_FIELDS: [&str; 3] = ["group", "resources", "resourceNames"];

/// Something wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field: `rules[0].level`; empty for the document as a whole.
    pub path: String,
    /// What is wrong, in lower case.
    pub message: String,
}

/// A document that the API server refuses: all that is wrong with it, at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// In the order of the document.
    pub problems: Vec<Problem>,
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => formatter.write_str(&self.message),
            path => write!(formatter, "{path}: {}", self.message),
        }
    }
}

// === impl PolicyError ===

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            let between = if position == 0 { "" } else { "; " };
            write!(formatter, "{between}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}

// === impl AuditPolicy ===

impl AuditPolicy {
    /// Reads a policy. Beside it stand the fields that the API server passes over with no more than a line in
    /// its log: misspelt ones, mostly, and so a rule that asks for less than its author thinks.
    ///
    /// # Errors
    /// What the API server does not start with.
    pub fn parse(document: &Value) -> Result<(Self, Vec<Problem>), PolicyError> {
        let mut reader = Reader { problems: Vec::new(), ignored: Vec::new() };
        let policy = reader.policy(document);
        match policy {
            Some(policy) if reader.problems.is_empty() => Ok((policy, reader.ignored)),
            _ => Err(PolicyError { problems: reader.problems }),
        }
    }
}

/// Whether the API server reads such a file at all: what begins like JSON is read as JSON there, also where it
/// would be good YAML.
///
/// # Errors
/// It begins like JSON and is none.
pub fn check_text(text: &[u8]) -> Result<(), Problem> {
    if !text.trim_ascii_start().starts_with(b"{") {
        return Ok(());
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(text).map(|_| ()).map_err(|error| {
        let message = format!("it begins with `{{`, is read as JSON alone, and is none: {error}");
        Problem { path: String::new(), message }
    })
}

struct Reader {
    problems: Vec<Problem>,
    ignored: Vec<Problem>,
}

impl Reader {
    fn wrong(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { path: path.into(), message: message.into() });
    }

    fn policy(&mut self, document: &Value) -> Option<AuditPolicy> {
        let Value::Object(object) = document else {
            self.wrong("", "an audit policy is an object");
            return None;
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("apiVersion") != API_VERSION {
            let found = text("apiVersion");
            self.wrong("apiVersion", format!("`{found}` is not `{API_VERSION}`"));
        }
        if text("kind") != "Policy" {
            self.wrong("kind", format!("`{}` is not `Policy`", text("kind")));
        }
        if !self.problems.is_empty() {
            return None;
        }
        self.known(object, "", &POLICY_FIELDS);
        let omit_stages = self.stages(object, "");
        let omit_managed_fields = self.flag(object, "").unwrap_or_default();
        let items = self.list(object, "", "rules");
        if items.is_empty() && self.problems.is_empty() {
            self.wrong("rules", "there is no rule, and the API server does not start without one");
        }
        let mut rules = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            rules.extend(self.rule(item, &format!("rules[{index}]")));
        }
        Some(AuditPolicy { rules, omit_stages, omit_managed_fields })
    }

    fn rule(&mut self, value: &Value, path: &str) -> Option<Rule> {
        let object = self.object(value, path)?;
        self.known(object, path, &RULE_FIELDS);
        let level = match object.get("level").and_then(Value::as_str) {
            Some(text) if !text.is_empty() => Level::parse(text).or_else(|| {
                let known = Level::ALL.map(Level::name).join(", ");
                self.wrong(format!("{path}.level"), format!("`{text}` is none of {known}"));
                None
            }),
            _ => {
                self.wrong(format!("{path}.level"), "a rule needs a level");
                None
            }
        };
        let rule = Rule {
            level: level.unwrap_or(Level::None),
            users: self.strings(object, path, "users"),
            user_groups: self.strings(object, path, "userGroups"),
            verbs: self.strings(object, path, "verbs"),
            resources: self.entries(object, path),
            namespaces: self.strings(object, path, "namespaces"),
            non_resource_urls: self.strings(object, path, "nonResourceURLs"),
            omit_stages: self.stages(object, path),
            omit_managed_fields: self.flag(object, path),
        };
        self.urls(&rule, path);
        level.map(|_| rule)
    }

    fn urls(&mut self, rule: &Rule, path: &str) {
        let path = format!("{path}.nonResourceURLs");
        for (index, url) in rule.non_resource_urls.iter().enumerate() {
            if url == "*" {
                continue;
            }
            if !url.starts_with('/') {
                self.wrong(format!("{path}[{index}]"), format!("`{url}` does not begin with `/`"));
            }
            let mut before_last = url.chars();
            before_last.next_back();
            if before_last.any(|character| character == '*') {
                let message = format!("`{url}` has a `*` before its end");
                self.wrong(format!("{path}[{index}]"), message);
            }
        }
        if !rule.non_resource_urls.is_empty() && rule.is_about_resources() {
            self.wrong(path, "a rule is about resources or about other paths, not both");
        }
    }

    fn entries(&mut self, object: &Map<String, Value>, path: &str) -> Vec<GroupResources> {
        let mut entries = Vec::new();
        for (index, item) in self.list(object, path, "resources").iter().enumerate() {
            let path = format!("{path}.resources[{index}]");
            let Some(object) = self.object(item, &path) else { continue };
            self.known(object, &path, &ENTRY_FIELDS);
            let entry = GroupResources {
                group: self.string(object, &path, "group"),
                resources: self.strings(object, &path, "resources"),
                resource_names: self.strings(object, &path, "resourceNames"),
            };
            if !entry.group.is_empty() && entry.group != "*" && !is_subdomain(&entry.group) {
                let message = format!(
                    "`{}` is no API group: a group is in lower case and has no version",
                    entry.group
                );
                self.wrong(format!("{path}.group"), message);
            }
            if entry.resources.is_empty() && !entry.resource_names.is_empty() {
                self.wrong(format!("{path}.resourceNames"), "names need resources beside them");
            }
            entries.push(entry);
        }
        entries
    }

    fn stages(&mut self, object: &Map<String, Value>, path: &str) -> Vec<Stage> {
        let mut stages = Vec::new();
        let texts = self.strings(object, path, "omitStages");
        for (index, text) in texts.iter().enumerate() {
            if let Some(stage) = Stage::parse(text) {
                stages.push(stage);
            } else {
                let known = Stage::ALL.map(Stage::name).join(", ");
                let path = format!("{}[{index}]", field(path, "omitStages"));
                self.wrong(path, format!("`{text}` is none of {known}"));
            }
        }
        stages
    }

    fn flag(&mut self, object: &Map<String, Value>, path: &str) -> Option<bool> {
        match object.get("omitManagedFields")? {
            Value::Null => None,
            Value::Bool(flag) => Some(*flag),
            _ => {
                self.wrong(field(path, "omitManagedFields"), "this is true or false");
                None
            }
        }
    }

    fn known(&mut self, object: &Map<String, Value>, path: &str, fields: &[&str]) {
        for key in object.keys().filter(|key| !fields.contains(&key.as_str())) {
            let known = fields.join(", ");
            let message = format!("`{key}` is no field here and is passed over; known are {known}");
            self.ignored.push(Problem { path: field(path, key), message });
        }
    }

    fn object<'v>(&mut self, value: &'v Value, path: &str) -> Option<&'v Map<String, Value>> {
        let object = value.as_object();
        if object.is_none() {
            self.wrong(path, "this is an object");
        }
        object
    }

    fn list<'v>(&mut self, object: &'v Map<String, Value>, path: &str, key: &str) -> &'v [Value] {
        match object.get(key) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.wrong(field(path, key), "this is a list");
                &[]
            }
        }
    }

    fn string(&mut self, object: &Map<String, Value>, path: &str, key: &str) -> String {
        match object.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(_) => {
                self.wrong(field(path, key), "this is a text");
                String::new()
            }
        }
    }

    fn strings(&mut self, object: &Map<String, Value>, path: &str, key: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for (index, item) in self.list(object, path, key).iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text.clone()),
                Value::Null => texts.push(String::new()),
                _ => self.wrong(format!("{}[{index}]", field(path, key)), "this is a text"),
            }
        }
        texts
    }
}

fn field(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// RFC 1123: labels of lower-case letters, digits and inner dashes, with dots between; 253 at most.
fn is_subdomain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(inner)
    };
    text.len() <= 253 && text.split('.').all(label)
}
