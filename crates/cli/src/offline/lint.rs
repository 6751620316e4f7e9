//! What policies will not do as their authors may think.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use proofstream_holes::{Breaches, Gate, Place, Search, Views};
use proofstream_manifest::{documents, locate};
use proofstream_policy::{
    Deprecation, Environment, KnownKinds, Policy, PolicyException, PolicySet, TypeWarning,
    deprecations, is_policy, type_warnings,
};
use serde::Serialize;
use serde_json::Value;

use crate::exit::Failure;
use crate::offline::files;
use crate::offline::policies::{self, Loaded};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The policy, or a rule of it, does nothing.
    Error,
    /// It does less than it says.
    Warning,
    /// Its author should know.
    Note,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// `FILE:LINE:COLUMN`, as far as it is known.
    pub place: String,
    /// How much it matters.
    pub level: Level,
    /// Which check found it.
    pub check: &'static str,
    /// The policy, by qualified name; empty for a document that is none.
    pub policy: String,
    /// The rule; absent where it is about the whole policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

/// Where the document of each policy stands, by kind and name.
type Places = BTreeMap<(String, String), String>;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Findings, by place.
    pub findings: Vec<Finding>,
    /// How many policies were looked at.
    pub policies: usize,
    /// Documents that cannot be read as policies.
    pub failures: Vec<Failure>,
}

/// Looks at the policies and exceptions at some paths.
///
/// # Errors
/// A path that cannot be read.
pub fn lint(paths: &[PathBuf], exceptions: &[PathBuf], now: Timestamp) -> Result<Report, Failure> {
    let mut report = Report::default();
    let mut places = Places::new();
    for found in files::find(paths, files::is_manifest)? {
        let bytes = files::read_whole(&found.path)?;
        for document in documents(&bytes, &found.shown()).flatten() {
            let text = |pointer: &str| {
                document
                    .value
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let (kind, name) = (text("/kind"), text("/metadata/name"));
            let place = format!("{}:{}:1", document.file, document.line);
            places.entry((kind, name.clone())).or_insert(place);
            for (path, found) in by_path(type_warnings(&document.value)) {
                let at = locate(&bytes, &document, &path);
                let (line, column) =
                    at.map_or((document.line, 1), |place| (place.line, place.column));
                report.findings.push(Finding {
                    place: format!("{}:{line}:{column}", document.file),
                    ..types(&name, &found)
                });
            }
            if !is_policy(&document.value) {
                continue;
            }
            for Deprecation { path, instead } in deprecations(&document.value) {
                let at = locate(&bytes, &document, &path);
                let (line, column) =
                    at.map_or((document.line, 1), |place| (place.line, place.column));
                report.findings.push(Finding {
                    place: format!("{}:{line}:{column}", document.file),
                    level: Level::Note,
                    check: "deprecated",
                    policy: name.clone(),
                    rule: None,
                    message: format!("`{path}` is an older spelling"),
                    fix: instead.to_owned(),
                });
            }
        }
    }
    let mut loaded = policies::load(paths)?;
    report.failures = std::mem::take(&mut loaded.failures);
    report.unusable(&loaded);
    report.policies = loaded.policies.len() + report.failures.len() + loaded.unsupported.len();
    let known = policies::load_exceptions(exceptions)?;
    for policy in loaded.policies {
        report.policy(policy, &places, now);
    }
    report.exceptions(&known, paths, now)?;
    report.findings.sort();
    Ok(report)
}

/// Warnings about one expression.
fn by_path(warnings: Vec<TypeWarning>) -> BTreeMap<String, Vec<TypeWarning>> {
    let mut found: BTreeMap<String, Vec<TypeWarning>> = BTreeMap::new();
    for warning in warnings {
        found.entry(warning.path.clone()).or_default().push(warning);
    }
    found
}

/// An expression that does not fit the types of some kinds.
fn types(policy: &str, warnings: &[TypeWarning]) -> Finding {
    let kinds: Vec<&str> = warnings.iter().map(|warning| warning.kind.as_str()).collect();
    let message = warnings.first().map(|warning| warning.message.as_str()).unwrap_or_default();
    // The expression itself stands at the place that is named.
    let message = message.split(" of `").next().unwrap_or_default();
    let closing = if message.contains(" (at ") { ")" } else { "" };
    Finding {
        place: String::new(),
        level: Level::Warning,
        check: "types",
        policy: policy.to_owned(),
        rule: None,
        message: format!("{message}{closing} in {}", kinds.join(", ")),
        fix: "the API server says so in the policy's status; dyn(object) is not checked".to_owned(),
    }
}

/// A rule's or a policy's finding, where its document stands.
struct Spot<'p> {
    place: String,
    policy: &'p str,
}

impl Spot<'_> {
    fn finding(
        &self,
        level: Level,
        check: &'static str,
        rule: Option<&str>,
        message: impl Into<String>,
        fix: &str,
    ) -> Finding {
        Finding {
            place: self.place.clone(),
            level,
            check,
            policy: self.policy.to_owned(),
            rule: rule.map(str::to_owned),
            message: message.into(),
            fix: fix.to_owned(),
        }
    }
}

impl Report {
    fn unusable(&mut self, loaded: &Loaded) {
        for each in &loaded.unsupported {
            let spot = Spot { place: each.place.clone(), policy: &each.name };
            let message = format!("{} {}", each.kind, each.reason());
            let level = if each.deletes { Level::Note } else { Level::Error };
            self.findings.push(spot.finding(level, "not-run", None, message, ""));
        }
        for warning in &loaded.warnings {
            let (place, message) = warning.split_once(": ").unwrap_or(("", warning));
            let spot = Spot { place: place.to_owned(), policy: "" };
            self.findings.push(spot.finding(Level::Warning, "no-effect", None, message, ""));
        }
    }

    fn policy(&mut self, policy: Policy, places: &Places, now: Timestamp) {
        let name = policy.qualified_name();
        let place = places.get(&(policy.kind().to_owned(), policy.name().to_owned()));
        let spot = Spot { place: place.cloned().unwrap_or_default(), policy: &name };
        for (rule, what) in policy.not_supported() {
            let message = format!("the rule is never run: {what} is not done by this version");
            let fix = "";
            self.findings.push(spot.finding(Level::Error, "not-run", Some(rule), message, fix));
        }
        if policy.only_audits() {
            let fix = "set it to Enforce (or Deny) once `policy replay` shows who would be refused";
            let message = "it refuses nothing: every failure is only reported";
            self.findings.push(spot.finding(Level::Note, "only-audits", None, message, fix));
        }
        if policy.failure_policy() == proofstream_policy::FailurePolicy::Ignore
            && !policy.only_audits()
        {
            let message = "requests go through where it cannot be asked or cannot judge";
            let fix = "set its failure policy to Fail, unless it may be passed by";
            self.findings.push(spot.finding(Level::Note, "fails-open", None, message, fix));
        }
        let namespaces = policy.namespaces();
        let (set, _) = PolicySet::compile(vec![policy]);
        for nothing in set.matches_nothing(&KnownKinds::default()) {
            let (rule, reason) = (Some(nothing.rule.as_str()), nothing.reason.as_str());
            self.findings.push(spot.finding(Level::Error, "matches-nothing", rule, reason, ""));
        }
        let first = namespaces.first().map_or("default", String::as_str);
        let namespace = first.replace(['*', '?'], "a");
        self.pods(&set, &spot, &namespace, now);
    }

    /// What a policy about pods does not look at, found out by asking it.
    fn pods(&mut self, set: &PolicySet, spot: &Spot<'_>, namespace: &str, now: Timestamp) {
        let Ok(breaches) = Breaches::embedded() else { return };
        let mut environment = Environment::at(now);
        environment.offline = true;
        let gate = Gate::new(set, environment).as_enforced();
        let views = Views::of(&gate, &breaches, namespace);
        if !views.creations {
            return;
        }
        let mut blind = |check, message: &str, fix: &str| {
            self.findings.push(spot.finding(Level::Warning, check, None, message, fix));
        };
        if !views.updates {
            blind("updates", "changes of pods are not looked at", "match UPDATE beside CREATE");
        }
        if !views.ephemeral {
            let message = "ephemeral containers that are added to pods are not looked at";
            blind("ephemeral-containers", message, "match pods/ephemeralcontainers, with UPDATE");
        }
        let search = Search {
            breaches: &breaches,
            controls: breaches.controls().into_iter().map(str::to_owned).collect(),
            namespaces: vec![namespace.to_owned()],
        };
        let found = search.run(&gate);
        if let Some((_, refusal)) = found.closed.first() {
            let message = format!("every pod that is tried is refused: {}", refusal.message);
            let fix = "see which pod it lets through with `policy explain`";
            self.findings.push(spot.finding(Level::Note, "refuses-all", None, message, fix));
            return;
        }
        let refused_in_container = |breach: &str| {
            found
                .refused
                .iter()
                .any(|tried| tried.breach == breach && tried.place == Place::Container)
        };
        for (place, list) in
            [(Place::Init, "init containers"), (Place::Ephemeral, "ephemeral containers")]
        {
            let passed: Vec<&str> = found
                .holes
                .iter()
                .filter(|hole| hole.place == place && refused_in_container(&hole.breach))
                .map(|hole| hole.breach.as_str())
                .collect();
            if !passed.is_empty() {
                let message = format!(
                    "what it refuses in containers passes in {list}: {}",
                    passed.join(", ")
                );
                let fix = "look at all three lists; `policy holes` has pods to try";
                self.findings.push(spot.finding(Level::Warning, "lists", None, message, fix));
            }
        }
        if !views.controllers {
            let message = "controllers are not looked at: only their pods are refused, later";
            let fix = "match workload controllers too, so that whoever applies one is told";
            self.findings.push(spot.finding(Level::Note, "controllers", None, message, fix));
        }
    }

    fn exceptions(
        &mut self,
        exceptions: &[PolicyException],
        paths: &[PathBuf],
        now: Timestamp,
    ) -> Result<(), Failure> {
        if exceptions.is_empty() {
            return Ok(());
        }
        let (set, _) = PolicySet::compile(policies::load(paths)?.policies);
        for exception in exceptions {
            let name = exception.qualified_name();
            let spot = Spot { place: String::new(), policy: &name };
            if exception.is_expired(now) {
                let message = "the exception has expired and exempts nothing";
                let fix = "remove it, or have it approved again";
                self.findings.push(spot.finding(Level::Warning, "expired", None, message, fix));
            }
            if set.excepted_by(exception).next().is_none() {
                let message = "the exception names no policy and rule that is here";
                let fix = "check `policyName` and `ruleNames`";
                self.findings.push(spot.finding(Level::Warning, "shadowed", None, message, fix));
            }
        }
        Ok(())
    }
}
