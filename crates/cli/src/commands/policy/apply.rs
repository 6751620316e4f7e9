//! `proofstream policy apply`: manifests judged with policies.

mod sink;

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use proofstream_manifest::{Document, ManifestError};
use proofstream_policy::{Inventory, Policy};
use serde_json::Value;

use crate::commands::policy::ResultFormat;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::offline::files::{self, Found};
use crate::offline::judge::{Circumstances, Defaults, Judge};
use crate::offline::pod_security::Standard;
use crate::offline::policies;
use crate::offline::report::{RuleResult, Summary, counted};
use crate::offline::scope;
use crate::offline::stubs::Stubs;
use crate::offline::values::{Values, load_user};
use sink::Sink;

/// Judge manifests with policies and say what each rule makes of each object.
///
/// Mutate rules come first, and the others judge the object as they left it; with --output json the
/// changed objects are in `patched`. Policies are Kyverno's (ClusterPolicy, Policy, and the CEL kinds
/// ValidatingPolicy, MutatingPolicy and GeneratingPolicy with their namespaced twins) and Kubernetes' own
/// ValidatingAdmissionPolicy and MutatingAdmissionPolicy with their bindings, each binding a rule; and
/// Gatekeeper's constraints with their ConstraintTemplates. Folders are walked in sorted order for .yaml, .yml
/// and .json files. Objects are judged one by one as they are read, so an input of any length needs little
/// memory, except where a template looks at other objects (`data.inventory`): those are the given resources. An object without a namespace is in `default`, as kubectl would have it.
///
/// Objects are judged as they are written, like the established command does: a pod without a
/// `securityContext` has none. The API server would give it an empty one before any policy sees it;
/// --defaults does the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 1 if any rule fails, 2 for input that cannot be used, 3 if a rule could not be judged.

Examples:
  proofstream policy apply policies/ --resource deploy.yaml
  kubectl get pods -A -o yaml | proofstream policy apply policies/ --resource -
  proofstream policy apply --pod-security restricted --resource deploy.yaml")]
pub(crate) struct Apply {
    /// Policies: files, or folders of them.
    #[arg(required_unless_present = "pod_security", value_name = "POLICY")]
    policies: Vec<PathBuf>,
    /// Objects to judge: a file, a folder, or - for standard input. May be given several times.
    #[arg(long, short, required = true, value_name = "FILE|DIR|-")]
    resource: Vec<PathBuf>,
    /// Values for variables that a cluster would know (`cli.kyverno.io` Values).
    #[arg(long, short, value_name = "FILE")]
    values: Option<PathBuf>,
    /// Who asks (`cli.kyverno.io` UserInfo); without it, a match on users is not narrowed by them.
    #[arg(long, value_name = "FILE")]
    user_info: Option<PathBuf>,
    /// Exceptions to the policies (PolicyException): a file or a folder. May be given several times.
    #[arg(long, short, value_name = "FILE|DIR")]
    exception: Vec<PathBuf>,
    /// Objects that policies take as parameters (`paramKind`): a file or a folder. May be given several
    /// times.
    #[arg(long, value_name = "FILE|DIR")]
    param_resource: Vec<PathBuf>,
    /// Hold pods, and the pods of controllers, against the Pod Security Standards, each check a row of
    /// its own; with or without policies. LEVEL is privileged, baseline or restricted; VERSION is latest,
    /// or a version such as v1.30.
    #[arg(long, value_name = "LEVEL[:VERSION]")]
    pod_security: Option<Standard>,
    /// Fill in what the API server would before its admission: judge as a cluster would.
    #[arg(long)]
    defaults: bool,
    /// List rules that hold or do not apply, too.
    #[arg(long)]
    all: bool,
    /// How to write the results; a table unless asked otherwise, also into a pipe.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: ResultFormat,
}

/// What is known while objects are judged.
struct Run {
    judge: Judge,
    standard: Option<Standard>,
    sink: Sink,
    summary: Summary,
    /// Whether each policy matched anything.
    matched: Vec<bool>,
    objects: usize,
    code: ExitCode,
}

pub(super) fn run(command: &Apply, console: &mut Console) -> Result<ExitCode, Failure> {
    let stdin = |path: &PathBuf| path.as_os_str() == "-";
    if command.policies.iter().chain(&command.resource).filter(|path| stdin(path)).count() > 1 {
        return Err(Failure::input("standard input can be read once only")
            .help("use `-` for the policies or for the resources"));
    }
    let (Usable { policies, asks_inventory }, code) = load_policies(command, console)?;
    let values = command.values.as_deref().map(Values::load).transpose()?.unwrap_or_default();
    let user = command.user_info.as_deref().map(load_user).transpose()?;
    let exceptions = policies::load_exceptions(&command.exception)?;
    let now = Timestamp::now();
    for expired in exceptions.iter().filter(|exception| exception.is_expired(now)) {
        let name = expired.qualified_name();
        console.warn(&format!("exception `{name}` has expired and exempts nothing"));
    }
    let defaults = if command.defaults { Defaults::Filled } else { Defaults::AsWritten };
    let parameters = policies::load_parameters(&command.param_resource)?;
    let answers = HashMap::new();
    let found = files::find(&command.resource, files::is_manifest)?;
    // Where policies look at other objects all must be known before the first is judged.
    let known = if asks_inventory { Some(load_all(&found)?) } else { None };
    let inventory = known.as_ref().map(|known| {
        Inventory::of(known.iter().flatten().filter_map(|each| Some(&each.as_ref().ok()?.value)))
    });
    let circumstances = Circumstances {
        values,
        exceptions,
        user,
        existing: None,
        defaults,
        parameters,
        answers,
        stubs: Stubs::default(),
        inventory,
        now,
    };
    let (judge, duplicates) = Judge::new(policies, circumstances);
    for duplicate in duplicates {
        console.warn(&format!("{duplicate}; the first one is judged with"));
    }
    let names: Vec<_> = judge.policies().iter().map(|policy| policy.qualified_name()).collect();
    let mut run = Run {
        judge,
        standard: command.pod_security,
        sink: Sink::new(command.output, command.all, console.paint()),
        summary: Summary::default(),
        matched: vec![false; names.len()],
        objects: 0,
        code,
    };
    run.sink.begin(console)?;
    let mut progress = console.progress("objects");
    let mut known = known.into_iter().flatten();
    for found in &found {
        let mut step = || progress.step();
        match known.next() {
            Some(documents) => run.judge_documents(found, documents, console, &mut step)?,
            None => run.judge_documents(found, files::open(&found.path)?, console, &mut step)?,
        }
    }
    progress.finish();
    run.finish(&names, console)
}

/// Policies that can be judged with.
#[derive(Default)]
struct Usable {
    policies: Vec<Policy>,
    /// Whether some look at other objects of the cluster.
    asks_inventory: bool,
}

/// The documents of a file, or why one cannot be read.
type Documents = Vec<Result<Document, ManifestError>>;

/// All documents of all files.
fn load_all(found: &[Found]) -> Result<Vec<Documents>, Failure> {
    found.iter().map(|found| Ok(files::open(&found.path)?.collect())).collect()
}

/// The policies, if any are asked for.
fn load_policies(command: &Apply, console: &mut Console) -> Result<(Usable, ExitCode), Failure> {
    if command.policies.is_empty() {
        return Ok((Usable::default(), ExitCode::Done));
    }
    let (loaded, code) = super::usable(&command.policies, console)?;
    let asks_inventory = loaded.asks_inventory;
    Ok((Usable { policies: loaded.policies, asks_inventory }, code))
}

// === impl Run ===

impl Run {
    fn judge_documents(
        &mut self,
        found: &Found,
        documents: impl IntoIterator<Item = Result<Document, ManifestError>>,
        console: &mut Console,
        step: &mut dyn FnMut(),
    ) -> Result<(), Failure> {
        for document in documents {
            match document.map_err(Failure::from).and_then(|document| object(found, document)) {
                Ok(Some(document)) => self.judge_object(document, console)?,
                Ok(None) => {}
                Err(failure) => {
                    console.failure(&failure);
                    self.code = self.code.and(failure.code);
                }
            }
            step();
        }
        Ok(())
    }

    fn judge_object(&mut self, document: Document, console: &mut Console) -> Result<(), Failure> {
        self.objects += 1;
        let place = format!("{}:{}", document.file, document.line);
        self.judge.notice(&document.value);
        let standard = self.standard.map(|standard| {
            let mut object = document.value.clone();
            scope::put_into_namespace(&mut object);
            standard.judge(&object)
        });
        let judged = self.judge.judge(document.value, None);
        let targets = judged.targets.into_iter();
        let generated = judged.generated;
        let mut patched: Vec<Value> =
            judged.patched.into_iter().map(|(_, object)| object).collect();
        // Each policy had the object as the one before it left it: the last one is what counts.
        patched.drain(..patched.len().saturating_sub(1));
        let mut responses = judged.responses;
        for target in targets {
            responses.push(target.response);
            patched.extend(target.object);
        }
        let mut results = Vec::with_capacity(responses.len());
        for response in responses {
            if let Some(matched) = self.matched.get_mut(response.policy_index) {
                *matched = true;
            }
            let result = RuleResult::from(response);
            self.summary.count(result.result);
            results.push(result);
        }
        for result in standard.into_iter().flatten() {
            self.summary.count(result.result);
            results.push(result);
        }
        self.sink.object(&place, &results, console)?;
        patched.iter().try_for_each(|object| self.sink.patched(object))?;
        generated.iter().try_for_each(|made| self.sink.generated(&made.object))?;
        Ok(())
    }

    fn finish(self, names: &[String], console: &mut Console) -> Result<ExitCode, Failure> {
        let objects = counted(self.objects, "resource", "resources");
        let policies = counted(names.len(), "policy", "policies");
        self.sink.end(&format!("{objects}, {policies}"), &self.summary, console)?;
        console.flush()?;
        if self.objects == 0 {
            console.warn("the given paths hold no resources");
        } else {
            for (name, _) in names.iter().zip(&self.matched).filter(|(_, matched)| !**matched) {
                console.warn(&format!("policy `{name}` matched none of the {objects}"));
            }
        }
        let mut code = self.code;
        if self.summary.error > 0 {
            code = code.and(ExitCode::NotEvaluated);
        }
        if self.summary.fail > 0 {
            code = code.and(ExitCode::Failed);
        }
        Ok(code)
    }
}

/// A document that is an object. In a walked folder other documents are passed over.
fn object(found: &Found, document: Document) -> Result<Option<Document>, Failure> {
    let has = |key: &str| {
        document.value.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
    };
    if has("apiVersion") && has("kind") {
        return Ok(Some(document));
    }
    if !found.named {
        return Ok(None);
    }
    let missing = if has("apiVersion") { "kind" } else { "apiVersion" };
    let place = format!("{}:{}", document.file, document.line);
    Err(Failure::input(format!("{place}: the document is no Kubernetes object: no `{missing}`"))
        .help("every object has `apiVersion`, `kind` and `metadata.name`"))
}
