//! Gatekeeper's own tests: Suites of `test.gatekeeper.sh`, run strictly.
//!
//! <https://open-policy-agent.github.io/gatekeeper/website/docs/gator>

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proofstream_manifest::documents;
use proofstream_policy::{
    Environment, Evaluation, Inventory, Operation, Policy, PolicySet, Request, RuleResponse,
    Status, Trigger,
};
use regex::Regex;
use serde_json::Value;

use crate::exit::Failure;
use crate::offline::expectation::{Expectation, Report};
use crate::offline::files;
use crate::offline::policies;
use crate::offline::values::namespace_labels;
use file::{Assertion, Case, Count, Suite, Test, request};

/// Whether a file may hold Suites.
pub(super) fn is_suite(bytes: &[u8]) -> bool {
    let wanted = b"test.gatekeeper.sh/";
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Runs the Suites of a file.
pub(super) fn run_file(path: &Path, bytes: &[u8], now: Timestamp, report: &mut Report) {
    let shown = path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new("."));
    for document in documents(bytes, &shown) {
        let suite = document.map_err(Failure::from).and_then(|document| Suite::read(&document));
        match suite {
            Ok(Some(suite)) if !suite.skip => {
                for test in suite.tests.iter().filter(|test| !test.is_skipped()) {
                    run_test(&shown, folder, test, now, report);
                }
            }
            Ok(_) => {}
            Err(failure) => report.failures.push(failure),
        }
    }
}

/// What the cases of a test are about.
struct Ground<'t> {
    file: &'t str,
    folder: &'t Path,
    test: &'t Test,
    now: Timestamp,
}

fn run_test(file: &str, folder: &Path, test: &Test, now: Timestamp, report: &mut Report) {
    let ground = Ground { file, folder, test, now };
    let policy = ground.policy(report);
    if test.invalid {
        let holds = policy.is_err();
        let reason = policy.err().unwrap_or_else(|| "both can be used".to_owned());
        let actual = Some(if holds { "invalid" } else { "valid" }.to_owned());
        report.expectations.push(Expectation {
            expected: "invalid".to_owned(),
            actual,
            holds,
            reason,
            ..ground.expectation()
        });
        return;
    }
    let set = policy.map(|policy| {
        let names = (policy.name().to_owned(), policy.kind().to_owned());
        (PolicySet::compile(vec![policy]).0, names)
    });
    for case in test.cases.iter().filter(|case| !case.skip) {
        let mut expectation = Expectation {
            case: Some(case.name.clone()),
            expected: case.expected(),
            ..ground.expectation()
        };
        if let Ok((_, (name, kind))) = &set {
            expectation.policy.clone_from(name);
            expectation.rule.clone_from(kind);
        }
        if test.expansion.is_some() {
            let unsupported = Some("ExpansionTemplate".to_owned());
            let reason = "not run: ExpansionTemplate".to_owned();
            expectation = Expectation { unsupported, reason, ..expectation };
        } else {
            let judged = set.as_ref().map_err(Clone::clone);
            let judged = judged.and_then(|(set, _)| ground.judge(set, case, &mut expectation));
            compare(case, judged, &mut expectation);
        }
        report.expectations.push(expectation);
    }
}

impl Ground<'_> {
    fn expectation(&self) -> Expectation {
        Expectation {
            file: self.file.to_owned(),
            test: self.test.name.clone(),
            case: None,
            policy: self.test.constraint.clone(),
            rule: self.test.template.clone(),
            resource: String::new(),
            kind: String::new(),
            expected: String::new(),
            actual: None,
            holds: false,
            unsupported: None,
            reason: String::new(),
        }
    }

    /// The constraint as a policy, or why there is none.
    fn policy(&self, report: &mut Report) -> Result<Policy, String> {
        let paths: Vec<PathBuf> = [&self.test.template, &self.test.constraint]
            .into_iter()
            .map(|path| self.folder.join(path))
            .collect();
        let mut loaded = policies::load(&paths).map_err(|failure| failure.message)?;
        if let Some(failure) = loaded.failures.first() {
            if !self.test.invalid {
                report.failures.push(failure.clone());
            }
            return Err(failure.message.clone());
        }
        match (loaded.policies.pop(), loaded.policies.is_empty()) {
            (Some(policy), true) => Ok(policy),
            (None, _) => Err(format!("{} holds no constraint", self.test.constraint)),
            (Some(_), false) => Err(format!("{} holds several constraints", self.test.constraint)),
        }
    }

    fn objects(&self, path: &str) -> Result<Vec<Value>, String> {
        let path = self.folder.join(path);
        let read = || -> Result<Vec<Value>, Failure> {
            files::open(&path)?.map(|document| Ok(document?.value)).collect()
        };
        read().map_err(|failure| failure.message)
    }

    /// What the constraint says of a case's object.
    fn judge(
        &self,
        set: &PolicySet,
        case: &Case,
        expectation: &mut Expectation,
    ) -> Result<Vec<RuleResponse>, String> {
        let objects = self.objects(&case.object)?;
        let [object] = objects.as_slice() else {
            return Err(format!("{} must hold exactly one object", case.object));
        };
        let mut inventory = Vec::new();
        for path in &case.inventory {
            inventory.extend(self.objects(path)?);
        }
        let (mut request, trigger) = match request(object)? {
            Some(request) => (request, Trigger::Admission),
            None => (Request::create(object.clone()), Trigger::Background),
        };
        expectation.kind.clone_from(&request.kind.kind);
        expectation.resource = request.name.clone().unwrap_or_default();
        let labels: BTreeMap<_, _> = inventory.iter().filter_map(namespace_labels).collect();
        request.namespace_labels =
            request.namespace.as_ref().and_then(|name| labels.get(name)).cloned();
        if request.operation == Operation::Delete && request.old_object.is_none() {
            return Err("a deletion needs its oldObject".to_owned());
        }
        let mut environment = Environment::at(self.now);
        environment.trigger = trigger;
        environment.offline = true;
        environment.inventory = Some(Inventory::of(&inventory));
        match set.evaluate(&request, &environment) {
            Evaluation::Done(responses) => Ok(responses),
            Evaluation::Needs(_) => Err("it asks for what is not there".to_owned()),
        }
    }
}

/// Holds what was said against what is expected.
fn compare(case: &Case, judged: Result<Vec<RuleResponse>, String>, expectation: &mut Expectation) {
    let responses = match judged {
        Ok(responses) => responses,
        Err(reason) => {
            expectation.reason = reason;
            return;
        }
    };
    // An evaluation that came to nothing is no evaluation that found nothing.
    let fault = responses.iter().find(|response| {
        response.violations.is_empty()
            && matches!(response.status, Status::Error | Status::NotSupported)
    });
    if let Some(fault) = fault {
        if fault.status == Status::NotSupported {
            expectation.unsupported = Some(fault.message.clone());
            expectation.reason = format!("not run: {}", fault.message);
            return;
        }
        expectation.actual = Some("error".to_owned());
        expectation.reason.clone_from(&fault.message);
        return;
    }
    let violations: Vec<&str> = responses
        .iter()
        .flat_map(|response| response.violations.iter().map(String::as_str))
        .collect();
    expectation.actual = Some(counted(violations.len()));
    let nothing = case.assertions.is_empty().then(|| "the case asserts nothing".to_owned());
    let broken = case.assertions.iter().find_map(|assertion| broken(assertion, &violations));
    let broken = nothing.or(broken);
    expectation.holds = broken.is_none();
    expectation.reason = broken.unwrap_or_else(|| violations.join("; "));
}

fn counted(count: usize) -> String {
    if count == 1 { "1 violation".to_owned() } else { format!("{count} violations") }
}

/// Why an assertion does not hold.
fn broken(assertion: &Assertion, violations: &[&str]) -> Option<String> {
    let expression = match assertion.message.as_deref().map(Regex::new) {
        None => None,
        Some(Ok(expression)) => Some(expression),
        Some(Err(error)) => return Some(format!("message: {error}")),
    };
    let fits = |text: &&&str| expression.as_ref().is_none_or(|wanted| wanted.is_match(text));
    let found = violations.iter().filter(fits).count();
    let holds = match assertion.violations {
        Count::Some => found > 0,
        Count::None => found == 0,
        Count::Exactly(count) => found == count,
    };
    if holds {
        return None;
    }
    let told =
        if violations.is_empty() { String::new() } else { format!(": {}", violations.join("; ")) };
    Some(format!("{} with such a message{told}", counted(found)))
}
