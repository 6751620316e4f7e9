//! `proofstream policy explain`: why a rule says what it says, step by step.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use proofstream_policy::{Explanation, Inventory, Operation, Policy, Status, StepOutcome};
use serde_json::{Value, json};

use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::offline::files;
use crate::offline::judge::{Circumstances, Defaults, Judge};
use crate::offline::policies;
use crate::offline::stubs::Stubs;
use crate::offline::values::{Values, load_user};

/// Show, step by step, why the rules of policies say what they say of an object.
///
/// Of every rule that judges: what its match asks for and what of it fits, conditions with the values that they
/// compared, each field that a pattern was held against, each expression with the variables that it used,
/// what a template's code found, and each check of the Pod Security Standards. Objects get the defaults of the API
/// server first, as admission sees them, unless --as-written is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 1 if a rule fails, 2 for input that cannot be used, 3 if a rule could not be judged.

Example:
  proofstream policy explain require-hardened-securitycontext.yaml --resource pod.yaml")]
pub(crate) struct Explain {
    /// Policies: files, or folders of them.
    #[arg(required = true, value_name = "POLICY")]
    policies: Vec<PathBuf>,
    /// Objects: a file or a folder. May be given several times.
    #[arg(long, short, required = true, value_name = "FILE|DIR")]
    resource: Vec<PathBuf>,
    /// Only rules of this name.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// What is done to the object.
    #[arg(long, value_enum, default_value = "create", value_name = "OPERATION")]
    operation: Word,
    /// Values for variables that a cluster would know (`cli.kyverno.io` Values).
    #[arg(long, short, value_name = "FILE")]
    values: Option<PathBuf>,
    /// Who asks (`cli.kyverno.io` UserInfo); without it, a match on users is not narrowed by them.
    #[arg(long, value_name = "FILE")]
    user_info: Option<PathBuf>,
    /// Exceptions to the policies (PolicyException): a file or a folder. May be given several times.
    #[arg(long, short, value_name = "FILE|DIR")]
    exception: Vec<PathBuf>,
    /// Objects that policies take as parameters: a file or a folder. May be given several times.
    #[arg(long, value_name = "FILE|DIR")]
    param_resource: Vec<PathBuf>,
    /// Do not fill in what the API server would.
    #[arg(long)]
    as_written: bool,
    /// Explain rules that are not about an object, too.
    #[arg(long)]
    all: bool,
    /// How to write it; a table unless asked otherwise, also into a pipe.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    Create,
    Update,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people. The layout may change; scripts read `json`.
    Table,
    /// For programs. Keys may be added, none is changed or removed.
    Json,
}

/// A rule's way to what it says of an object.
struct Told {
    place: String,
    object: String,
    policy: String,
    explanation: Explanation,
}

pub(super) fn run(command: &Explain, console: &mut Console) -> Result<ExitCode, Failure> {
    let (loaded, mut code) = super::usable(&command.policies, console)?;
    let mut objects = Vec::new();
    for found in files::find(&command.resource, files::is_manifest)? {
        for document in files::open(&found.path)? {
            let document = document?;
            objects.push((format!("{}:{}", document.file, document.line), document.value));
        }
    }
    let judge = judge(command, loaded.policies, &objects)?;
    let operation = match command.operation {
        Word::Create => None,
        Word::Update => Some(Operation::Update),
        Word::Delete => Some(Operation::Delete),
    };
    let mut told = Vec::new();
    for (place, object) in objects {
        let name = named(&object);
        for explanation in judge.explain(object, operation) {
            let wanted = command.rule.as_ref().is_none_or(|rule| *rule == *explanation.rule);
            if !wanted || (explanation.response.is_none() && !command.all) {
                continue;
            }
            let policy = judge.policies().get(explanation.policy_index);
            let policy = policy.map(|policy| policy.qualified_name()).unwrap_or_default();
            told.push(Told { place: place.clone(), object: name.clone(), policy, explanation });
        }
    }
    for each in &told {
        code = code.and(match each.explanation.response.as_ref().map(|said| said.status) {
            Some(Status::Fail) => ExitCode::Failed,
            Some(Status::Error | Status::NotSupported) => ExitCode::NotEvaluated,
            _ => ExitCode::Done,
        });
    }
    match command.output {
        Format::Json => writeln!(console.out(), "{:#}", document(&told))?,
        Format::Table => table(&told, console)?,
    }
    if told.is_empty() {
        console.warn("no rule is about these objects; --all shows why");
    }
    console.flush()?;
    Ok(code)
}

fn judge(
    command: &Explain,
    policies: Vec<Policy>,
    objects: &[(String, Value)],
) -> Result<Judge, Failure> {
    let values = command.values.as_deref().map(Values::load).transpose()?.unwrap_or_default();
    let user = command.user_info.as_deref().map(load_user).transpose()?;
    let defaults = if command.as_written { Defaults::AsWritten } else { Defaults::Filled };
    let circumstances = Circumstances {
        values,
        exceptions: policies::load_exceptions(&command.exception)?,
        user,
        existing: None,
        defaults,
        parameters: policies::load_parameters(&command.param_resource)?,
        answers: HashMap::new(),
        stubs: Stubs::default(),
        inventory: Some(Inventory::of(objects.iter().map(|(_, object)| object))),
        now: Timestamp::now(),
    };
    let (mut judge, _) = Judge::new(policies, circumstances);
    for (_, object) in objects {
        judge.notice(object);
    }
    Ok(judge)
}

/// As in `Pod payments/api`.
fn named(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = [text("/metadata/name"), text("/metadata/generateName")];
    let name = name.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    match text("/metadata/namespace") {
        "" => format!("{} {name}", text("/kind")),
        namespace => format!("{} {namespace}/{name}", text("/kind")),
    }
}

fn document(told: &[Told]) -> Value {
    let all: Vec<Value> = told
        .iter()
        .map(|each| {
            let response = each.explanation.response.as_ref();
            json!({
                "place": each.place,
                "resource": response.map(|said| &*said.resource),
                "object": each.object,
                "policy": each.policy,
                "rule": each.explanation.rule,
                "result": response.map(|said| said.status.as_str()),
                "message": response.map(|said| &said.message),
                "steps": each.explanation.steps,
            })
        })
        .collect();
    json!({ "explanations": all })
}

fn table(told: &[Told], console: &mut Console) -> io::Result<()> {
    let mut object = "";
    for each in told {
        if each.place != object {
            object = &each.place;
            let heading = console.paint().strong(&each.object);
            writeln!(console.out(), "{heading}  {object}")?;
        }
        let Told { policy, explanation, .. } = each;
        let word =
            explanation.response.as_ref().map_or("not about it", |said| said.status.as_str());
        let word = match word {
            "pass" => console.paint().good(word),
            "fail" => console.paint().bad(word),
            _ => console.paint().doubtful(word),
        };
        writeln!(console.out(), "  {policy} / {}: {word}", explanation.rule)?;
        for step in &explanation.steps {
            let mark = match step.outcome {
                StepOutcome::Holds => console.paint().good("+"),
                StepOutcome::Fails => console.paint().bad("-"),
                StepOutcome::Skips => console.paint().doubtful("~"),
                StepOutcome::Info => console.paint().faint("."),
            };
            let indent = "  ".repeat(step.depth + 2);
            writeln!(console.out(), "{indent}{mark} {}", step.text)?;
        }
        if let Some(said) = &explanation.response {
            for line in said.message.lines() {
                writeln!(console.out(), "    {line}")?;
            }
        }
        writeln!(console.out())?;
    }
    Ok(())
}
