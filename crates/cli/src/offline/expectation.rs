//! Runs test files and compares what rules say with what is expected of them, strictly: an
//! expectation holds only where a response with that rule and that result exists.

mod difference;
mod generated;
mod patched;
mod selector;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proofstream_policy::{Operation, RuleKind, RuleResponse, Status, UserInfo};
use serde::Serialize;
use serde_json::Value;

use crate::exit::Failure;
use crate::offline::context;
use crate::offline::files::{self, Found};
use crate::offline::judge::{Circumstances, Defaults, Judge, Judged};
use crate::offline::policies::{self, Loaded};
use crate::offline::scope;
use crate::offline::stubs::Stubs;
use crate::offline::suite;
use crate::offline::test_file::{Expected, TestFile, resolve};
use crate::offline::values::{self, Values};
use generated::Wanted;
use patched::Patched;
use selector::{Identity, Selector, policy_matches, rule_matches};

/// The reason given where a test expects something of a resource that it does not have.
pub const NO_SUCH_RESOURCE: &str = "the test's resources do not contain this one";

/// What an expectation needs where the files are missing that would hold its resources.
pub const NO_RESOURCE_FILE: &str = "resource files that are not there";

/// One expectation and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// The test file.
    pub file: String,
    /// The test's name.
    pub test: String,
    /// The case of a Suite's test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The policy, as the test names it.
    pub policy: String,
    /// The rule, as the test names it; empty for any.
    pub rule: String,
    /// The resource, as the test names it.
    pub resource: String,
    /// The kind, as the test names it; empty for any.
    pub kind: String,
    /// The expected result.
    pub expected: String,
    /// What the rule said; absent where it said nothing.
    pub actual: Option<String>,
    /// Whether the expectation holds.
    pub holds: bool,
    /// What it needs that this version cannot run; absent for what was run.
    pub unsupported: Option<String>,
    /// Why it does not hold, or the rule's message.
    pub reason: String,
}

/// How many expectations came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Test files.
    pub files: usize,
    /// Expectations.
    pub total: usize,
    /// Expectations that hold.
    pub hold: usize,
    /// Expectations that do not.
    pub fail: usize,
    /// Expectations that were not run.
    pub unsupported: usize,
}

/// What became of all tests.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Every expectation, in the order of files and entries.
    pub expectations: Vec<Expectation>,
    /// Counts.
    pub summary: Summary,
    /// Test files, or files they name, that cannot be read.
    pub failures: Vec<Failure>,
    /// What the authors of the policies should know.
    pub warnings: Vec<String>,
}

/// Runs the tests below some paths; `done` is called after each file.
pub fn run(paths: &[PathBuf], now: Timestamp, done: &mut dyn FnMut()) -> Result<Report, Failure> {
    let mut report = Report::default();
    for file in files::find(paths, files::is_manifest)? {
        let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if matches!(name, "kyverno-test.yaml" | "kyverno-test.yml") {
            run_file(&file, now, &mut report);
        } else {
            let bytes = files::read_whole(&file.path)?;
            if suite::is_suite(&bytes) {
                report.summary.files += 1;
                suite::run_file(&file.path, &bytes, now, &mut report);
            } else if file.named {
                run_file(&file, now, &mut report);
            } else {
                continue;
            }
        }
        done();
    }
    if report.summary.files == 0 {
        return Err(Failure::input(
            "no kyverno-test.yaml and no gator Suite below the given paths",
        )
        .help("name a folder that holds tests, or a test file itself"));
    }
    report.count();
    Ok(report)
}

// === impl Report ===

impl Report {
    fn count(&mut self) {
        self.summary.total = self.expectations.len();
        for each in &self.expectations {
            match (each.holds, &each.unsupported) {
                (true, _) => self.summary.hold += 1,
                (false, Some(_)) => self.summary.unsupported += 1,
                (false, None) => self.summary.fail += 1,
            }
        }
    }
}

fn run_file(file: &Found, now: Timestamp, report: &mut Report) {
    report.summary.files += 1;
    let tests = match TestFile::load(&file.path) {
        Ok(tests) => tests,
        Err(failure) => {
            report.failures.push(failure);
            return;
        }
    };
    let folder = file.path.parent().unwrap_or(Path::new("."));
    for test in tests {
        match test {
            Err(failure) => report.failures.push(failure),
            Ok(test) => run_test(&file.shown(), folder, &test, now, report),
        }
    }
}

fn run_test(file: &str, folder: &Path, test: &TestFile, now: Timestamp, report: &mut Report) {
    let mut tell = |failure: Failure| {
        let message = format!("{file}: {}", failure.message);
        report.failures.push(Failure { message, ..failure });
    };
    let bench = Bench::prepare(folder, test, now, &mut tell).map_err(&mut tell).ok();
    report.warnings.extend(bench.iter().flat_map(|bench| bench.loaded.warnings.iter().cloned()));
    for expected in &test.results {
        let left = Left {
            patched: Patched::load(&resolve(folder, &expected.patched())),
            generated: Wanted::load(folder, expected),
        };
        for selector in selectors(expected, &left.patched, bench.as_ref()) {
            let outcome = match &bench {
                Some(bench) => bench.outcome(test, expected, &selector, &left),
                None => Outcome::failed("the test cannot be prepared"),
            };
            report.expectations.push(Expectation {
                file: file.to_owned(),
                test: test.name().to_owned(),
                case: None,
                policy: expected.policy.clone(),
                rule: expected.rule.clone().unwrap_or_default(),
                resource: selector.shown(),
                kind: selector.kind().or(expected.kind.as_deref()).unwrap_or_default().to_owned(),
                expected: expected.result().unwrap_or_default().to_owned(),
                actual: outcome.actual,
                holds: outcome.holds,
                unsupported: outcome.unsupported,
                reason: outcome.reason,
            });
        }
    }
}

/// The resources an entry is about; where it names none, all of its kind, or of those the ones that
/// its file of patched objects holds.
fn selectors(expected: &Expected, patched: &Patched, bench: Option<&Bench>) -> Vec<Selector> {
    let kind = expected.kind.as_deref();
    let mut selectors: Vec<_> = expected
        .resources
        .iter()
        .chain(&expected.resource)
        .map(|name| Selector::named(name, kind))
        .chain(expected.resource_specs.iter().map(Selector::specified))
        .collect();
    if selectors.is_empty() {
        let of = |resources: fn(&Bench) -> &[Resource]| bench.map(resources).unwrap_or_default();
        let all = of(|bench| &bench.resources).iter().chain(of(|bench| &bench.existing));
        let all = all.filter(|resource| patched.is_empty() || patched.knows(&resource.identity));
        let all = all.map(|resource| Selector::exactly(&resource.identity));
        let any = Selector::of_kind(kind);
        selectors.extend(all.filter(|selector| any.includes(selector)));
        if selectors.is_empty() {
            selectors.push(any);
        }
    }
    selectors
}

/// What became of an expectation.
struct Outcome {
    actual: Option<String>,
    holds: bool,
    unsupported: Option<String>,
    reason: String,
}

impl Outcome {
    fn failed(reason: impl Into<String>) -> Self {
        Self { actual: None, holds: false, unsupported: None, reason: reason.into() }
    }

    fn unsupported(what: &str) -> Self {
        let reason = format!("not run: {what}");
        Self { actual: None, holds: false, unsupported: Some(what.to_owned()), reason }
    }
}

/// What an expectation says of the objects that rules leave and make.
struct Left {
    patched: Patched,
    generated: Wanted,
}

/// A test that is ready to run.
struct Bench {
    resources: Vec<Resource>,
    /// Existing objects that rules may change.
    existing: Vec<Resource>,
    /// Whether files that the test names as its resources are not there.
    lacks_files: bool,
    /// (policy, namespace) of the policies that can be judged with.
    policies: Vec<(String, Option<String>)>,
    /// (policy, rule, what) of rules that cannot be run.
    not_supported: Vec<(String, String, String)>,
    loaded: Loaded,
    judge: Judge,
    /// What came of each resource, for the operation that the values give.
    judged: Vec<Judged>,
}

struct Resource {
    identity: Identity,
    object: Value,
}

// === impl Bench ===

impl Bench {
    /// Loads what a test names. What is missing among its resources is told, and the rest is run.
    fn prepare(
        folder: &Path,
        test: &TestFile,
        now: Timestamp,
        tell: &mut dyn FnMut(Failure),
    ) -> Result<Self, Failure> {
        let mut loaded = policies::load(&resolve(folder, &test.policies))?;
        let values = match (&test.variables, &test.values) {
            (Some(path), _) => Values::load(&folder.join(path))?,
            (None, Some(values)) => values.clone(),
            (None, None) => Values::default(),
        };
        let user: Option<UserInfo> =
            test.userinfo.as_ref().map(|path| values::load_user(&folder.join(path))).transpose()?;
        let own = std::mem::take(&mut loaded.policies);
        let policies = own
            .iter()
            .map(|policy| (policy.name().to_owned(), policy.namespace().map(str::to_owned)))
            .collect();
        let mut not_supported = Vec::new();
        for policy in &own {
            for (rule, what) in policy.not_supported() {
                not_supported.push((policy.name().to_owned(), rule.to_owned(), what.to_owned()));
            }
        }
        let exceptions = policies::load_exceptions(&resolve(folder, &test.exceptions))?;
        let parameters = load_objects(&resolve(folder, &test.param_resources), tell);
        let answers = match &test.context {
            Some(path) => context::load(&folder.join(path))?,
            None => HashMap::new(),
        };
        let stubs = Stubs::load(
            &test.api_call_responses,
            &test.global_context_entries,
            &resolve(folder, &test.cluster_resources),
            now,
        )?;
        let resource_paths = resolve(folder, &test.resources);
        let lacks_files = resource_paths.iter().any(|path| !path.exists());
        let resources = load_resources(&resource_paths, tell);
        let existing = load_resources(&resolve(folder, &test.target_resources), tell);
        let sources: Vec<String> =
            test.results.iter().filter_map(|each| each.clone_source_resource.clone()).collect();
        let sources = load_resources(&resolve(folder, &sources), tell);
        let known = existing.iter().chain(&sources).chain(&resources);
        let known = known.map(|each| each.object.clone()).collect();
        let circumstances = Circumstances {
            values,
            exceptions,
            user,
            existing: Some(known),
            defaults: Defaults::AsWritten,
            parameters,
            answers,
            stubs,
            inventory: None,
            now,
        };
        let (mut judge, _) = Judge::new(own, circumstances);
        for resource in &resources {
            judge.notice(&resource.object);
        }
        let judged = resources.iter().map(|each| judge.judge(each.object.clone(), None)).collect();
        Ok(Self {
            resources,
            existing,
            lacks_files,
            policies,
            not_supported,
            loaded,
            judge,
            judged,
        })
    }

    fn outcome(
        &self,
        test: &TestFile,
        expected: &Expected,
        selector: &Selector,
        left: &Left,
    ) -> Outcome {
        let foreign = self.loaded.unsupported.iter().find(|each| each.name == expected.policy);
        if let Some(foreign) = foreign {
            return Outcome::unsupported(&format!("kind {}", foreign.kind));
        }
        if let Some(what) = expected.unsupported().or_else(|| test.unsupported()) {
            return Outcome::unsupported(what);
        }
        if let Some((_, message)) =
            self.loaded.broken.iter().find(|(name, _)| *name == expected.policy)
        {
            return Outcome::failed(format!("the policy cannot be used: {message}"));
        }
        let known = self
            .policies
            .iter()
            .any(|(name, namespace)| policy_matches(expected, name, namespace.as_deref()));
        if !known {
            return Outcome::failed("the test's policies do not contain this policy");
        }
        let operation = match expected.operation.as_deref().map(Operation::from_word) {
            Some(None) => return Outcome::failed("the operation is not one of the API server's"),
            operation => operation.flatten(),
        };
        self.compare(expected, selector, left, operation)
    }

    fn compare(
        &self,
        expected: &Expected,
        selector: &Selector,
        left: &Left,
        operation: Option<Operation>,
    ) -> Outcome {
        let selects =
            |each: &Resource| selector.matches(&each.identity, expected.namespace.as_deref());
        let mut is_there = self.existing.iter().any(selects);
        let mut found = Vec::new();
        for (resource, judged) in self.resources.iter().zip(&self.judged) {
            let tried = operation
                .map(|operation| self.judge.judge(resource.object.clone(), Some(operation)));
            let judged = tried.as_ref().unwrap_or(judged);
            if selects(resource) {
                is_there = true;
                found.extend(of_trigger(expected, left, resource, judged));
            }
            found.extend(of_targets(expected, left, selector, judged));
        }
        let wanted = expected.result().unwrap_or_default();
        let best = found.iter().find(|each| each.holds(wanted));
        let best = best.or_else(|| found.iter().find(|each| each.says(wanted)));
        match best.or_else(|| found.first()) {
            Some(said) if said.response.status == Status::NotSupported => self
                .not_supported(expected)
                .unwrap_or_else(|| Outcome::unsupported(&said.response.message)),
            Some(said) if said.says(wanted) && said.lacks_its_file() => {
                Outcome::unsupported(patched::NOT_IN_THE_FILE)
            }
            Some(said) => Outcome {
                actual: Some(said.response.status.as_str().to_owned()),
                holds: said.holds(wanted),
                unsupported: None,
                reason: match &said.difference {
                    Some(difference) if said.says(wanted) => difference.clone(),
                    _ => said.response.message.clone(),
                },
            },
            None if !is_there && self.lacks_files => Outcome::unsupported(NO_RESOURCE_FILE),
            None if !is_there => Outcome::failed(NO_SUCH_RESOURCE),
            None => self.not_supported(expected).unwrap_or_else(|| {
                Outcome::failed("the rule says nothing of this resource: it does not match")
            }),
        }
    }

    /// Whether the rule an expectation is about is one that cannot be run.
    fn not_supported(&self, expected: &Expected) -> Option<Outcome> {
        let (name, _) = selector::split_policy(expected);
        let found = self.not_supported.iter().find(|(policy, rule, _)| {
            policy == name && rule_matches(expected.rule.as_deref(), rule)
        });
        found.map(|(_, _, what)| Outcome::unsupported(what))
    }
}

/// What a rule said, and how what it left differs from what is expected.
struct Said {
    response: RuleResponse,
    difference: Option<String>,
}

impl Said {
    fn lacks_its_file(&self) -> bool {
        self.difference.as_deref() == Some(patched::NOT_IN_THE_FILE)
    }

    fn says(&self, wanted: &str) -> bool {
        self.response.status.as_str() == wanted
    }

    fn holds(&self, wanted: &str) -> bool {
        self.says(wanted) && self.difference.is_none()
    }
}

/// What the rules meant said of a resource.
fn of_trigger<'a>(
    expected: &'a Expected,
    left: &'a Left,
    resource: &'a Resource,
    judged: &'a Judged,
) -> impl Iterator<Item = Said> + 'a {
    let meant = judged.responses.iter().filter(|response| is_meant(expected, response));
    meant.map(|response| {
        // Other rules judge what all mutate rules have left.
        let by = if response.kind == RuleKind::Mutate { response.policy_index } else { usize::MAX };
        let object = judged.after(by).unwrap_or(&resource.object);
        let difference = if response.kind == RuleKind::Generate {
            let made = response.status == Status::Pass;
            let generated: Vec<_> = judged.made_by(response).collect();
            made.then(|| left.generated.difference(&generated)).flatten()
        } else {
            left.patched.difference(object)
        };
        Said { response: response.clone(), difference }
    })
}

/// What the rules meant said of existing objects: of those that are selected, or where the resource
/// that gave occasion is, of all.
fn of_targets<'a>(
    expected: &'a Expected,
    left: &'a Left,
    selector: &'a Selector,
    judged: &'a Judged,
) -> impl Iterator<Item = Said> + 'a {
    let meant = judged.targets.iter().filter(|each| is_meant(expected, &each.response));
    meant.filter_map(|each| {
        let Some(target) = &each.target else {
            return Some(Said { response: each.response.clone(), difference: None });
        };
        if !selector.matches(&Identity::of(target), expected.namespace.as_deref()) {
            return None;
        }
        let object = each.object.as_ref().unwrap_or(target);
        let difference = left.patched.difference(object);
        Some(Said { response: each.response.clone(), difference })
    })
}

fn is_meant(expected: &Expected, response: &RuleResponse) -> bool {
    policy_matches(expected, &response.policy, response.policy_namespace.as_deref())
        && rule_matches(expected.rule.as_deref(), &response.rule)
}

/// The objects of a test; of two with the same name, the first.
fn load_resources(paths: &[PathBuf], tell: &mut dyn FnMut(Failure)) -> Vec<Resource> {
    let mut seen = HashSet::new();
    let mut resources = Vec::new();
    for mut object in load_objects(paths, tell) {
        scope::put_into_namespace(&mut object);
        let identity = Identity::of(&object);
        if seen.insert(identity.clone()) {
            resources.push(Resource { identity, object });
        }
    }
    resources
}

/// The objects of some files, as they are written.
fn load_objects(paths: &[PathBuf], tell: &mut dyn FnMut(Failure)) -> Vec<Value> {
    let mut objects = Vec::new();
    for path in paths {
        let found = files::find(std::slice::from_ref(path), files::is_manifest);
        for file in found.map_err(&mut *tell).unwrap_or_default() {
            let Ok(documents) = files::open(&file.path).map_err(&mut *tell) else { continue };
            for document in documents {
                match document {
                    Ok(document) => objects.push(document.value),
                    Err(error) => tell(error.into()),
                }
            }
        }
    }
    objects
}
