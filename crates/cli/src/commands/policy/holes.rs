//! `proofstream policy holes`: pods that would still get through.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use proofstream_holes::{Breaches, Found, Gate, Hole, Search};
use proofstream_policy::{Environment, Policy, PolicySet};
use serde_json::{Value, json};

use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::offline::files;
use crate::offline::pod_security::Standard;
use crate::offline::policies::{self, Loaded};
use crate::offline::report::{Word, counted};
use crate::offline::values::Values;

/// Find pods that break a claim and that the policies admit nevertheless.
///
/// The search begins with a pod that keeps every claim, puts one breach after another into it, in each list of
/// its containers, fills in what the API server would, and asks all the policies as admission does. What is
/// admitted is a hole: it is made as small as it can be, and printed with --output yaml ready to apply
/// (try it with `kubectl apply --dry-run=server`). Tried are the claims of the controls that are named,
/// or, where none is, of those controls that the policies stand for: they refuse some breach of them.
/// Pods that keep every claim and are refused are named too: there the policies ask for more.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 1 if there are holes, 2 for input that cannot be used, 3 if the policies admit no pod to begin with.

Examples:
  proofstream policy holes require-hardened-securitycontext.yaml
  proofstream policy holes workload-hardened policies/workload-hardened --label proofstream.dev/regulated=true
  proofstream policy holes policies/ --output yaml | kubectl apply --dry-run=server -f -")]
pub(crate) struct Holes {
    /// Controls of the catalog, and policies: files, or folders of them.
    #[arg(required = true, value_name = "CONTROL|POLICY")]
    what: Vec<String>,
    /// Namespaces in which pods are tried; a glob stands for one that it fits. Without it those that the
    /// policies name, or `default`.
    #[arg(long, value_name = "GLOBS", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// A label that the namespaces have. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Labels of each namespace (`cli.kyverno.io` Values, namespaceSelector).
    #[arg(long, short, value_name = "FILE")]
    values: Option<PathBuf>,
    /// Objects that policies take as parameters (`paramKind`): a file or a folder. May be given several
    /// times.
    #[arg(long, value_name = "FILE|DIR")]
    param_resource: Vec<PathBuf>,
    /// Exceptions to the policies (PolicyException): a file or a folder. May be given several times.
    #[arg(long, short, value_name = "FILE|DIR")]
    exception: Vec<PathBuf>,
    /// Pod Security is enforced, too. LEVEL is baseline or restricted.
    #[arg(long, value_name = "LEVEL[:VERSION]")]
    pod_security: Option<Standard>,
    /// The pod to begin with, where the policies admit none that is made here.
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Take policies that only audit as if they refused.
    #[arg(long)]
    as_enforced: bool,
    /// How to write the holes; a table unless asked otherwise, also into a pipe.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

/// How many kinds of controllers are tried.
const CONTROLLERS: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people. The layout may change; scripts read `json`.
    Table,
    /// For programs. Keys may be added, none is changed or removed.
    Json,
    /// The pods, ready to apply.
    Yaml,
}

pub(super) fn run(command: &Holes, console: &mut Console) -> Result<ExitCode, Failure> {
    let mut breaches = Breaches::embedded().map_err(|error| Failure::input(error.to_string()))?;
    let (controls, paths) = what(&command.what, &breaches)?;
    if let Some(path) = &command.base {
        breaches = breaches.beginning_with(files::read_one(path, "a Pod")?);
    }
    let (loaded, mut code) = if paths.is_empty() && command.pod_security.is_some() {
        (Loaded::default(), ExitCode::Done)
    } else if paths.is_empty() {
        let failure = Failure::input("no policy is named");
        return Err(
            failure.help("holes are holes of policies: name their files beside the control")
        );
    } else {
        super::usable(&paths, console)?
    };
    let values = command.values.as_deref().map(Values::load).transpose()?.unwrap_or_default();
    let namespaces = namespaces(&command.namespaces, &loaded.policies);
    let exceptions = policies::load_exceptions(&command.exception)?;
    for policy in loaded.policies.iter().filter(|policy| policy.only_audits()) {
        if !command.as_enforced {
            let name = policy.qualified_name();
            console.warn(&format!("policy `{name}` only audits: it refuses nothing"));
        }
    }
    let (set, _) = PolicySet::with_exceptions(loaded.policies, exceptions);
    let mut environment = Environment::at(Timestamp::now());
    environment.offline = true;
    environment.parameters =
        Some(Value::Array(policies::load_parameters(&command.param_resource)?));
    let mut labels: BTreeMap<_, _> = values.namespaces();
    for namespace in &namespaces {
        let own = labels.entry(namespace.clone()).or_default();
        own.extend(command.label.iter().cloned());
    }
    let refuses = |object: &Value| pod_security(command.pod_security, object);
    let mut gate = Gate::new(&set, environment).with_labels(labels).with_also(&refuses);
    if command.as_enforced {
        gate = gate.as_enforced();
    }
    let found = Search { breaches: &breaches, controls, namespaces }.run(&gate);
    match command.output {
        Format::Json => writeln!(console.out(), "{:#}", document(&found))?,
        Format::Yaml => yaml(&found, console.out())?,
        Format::Table => table(&found, console)?,
    }
    console.flush()?;
    for (namespace, refusal) in &found.closed {
        let message = format!("namespace `{namespace}`: no pod to begin with is admitted");
        console.failure(
            &Failure::not_evaluated(format!("{message}: {}", refusal.message))
                .help("give one that is admitted and keeps the claims with --base"),
        );
        code = code.and(ExitCode::NotEvaluated);
    }
    if !found.holes.is_empty() {
        code = code.and(ExitCode::Failed);
    }
    Ok(code)
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The controls and the paths among what is named.
fn what(named: &[String], breaches: &Breaches) -> Result<(Vec<String>, Vec<PathBuf>), Failure> {
    let known = breaches.controls();
    let (mut controls, mut paths) = (Vec::new(), Vec::new());
    for each in named {
        if known.contains(&each.as_str()) {
            controls.push(each.clone());
        } else if Path::new(each).exists() {
            paths.push(PathBuf::from(each));
        } else {
            let help = format!("controls of which breaches are known: {}", known.join(", "));
            let message = format!("`{each}` is neither a file nor such a control");
            return Err(Failure::input(message).help(help));
        }
    }
    Ok((controls, paths))
}

/// Names of namespaces: those that are asked for, or those that policies name; one for each glob.
fn namespaces(asked: &[String], policies: &[Policy]) -> Vec<String> {
    let mut globs = asked.to_vec();
    if globs.is_empty() {
        globs = policies.iter().flat_map(Policy::namespaces).collect();
    }
    let mut names: Vec<String> = Vec::new();
    for glob in globs {
        let name = glob.replace(['*', '?'], "a");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        names.push("default".to_owned());
    }
    names
}

/// Why Pod Security refuses a pod; of controllers it only warns.
fn pod_security(standard: Option<Standard>, object: &Value) -> Option<String> {
    let standard = standard?;
    if object.get("kind").and_then(Value::as_str) != Some("Pod") {
        return None;
    }
    let rows = standard.judge(object);
    let broken: Vec<String> =
        rows.into_iter().filter(|row| row.result != Word::Pass).map(|row| row.message).collect();
    (!broken.is_empty()).then(|| broken.join("; "))
}

fn document(found: &Found) -> Value {
    let holes: Vec<Value> = found
        .holes
        .iter()
        .map(|hole| {
            json!({
                "breach": hole.breach,
                "says": says(hole),
                "controls": hole.controls,
                "place": hole.place.to_string(),
                "namespaces": hole.namespaces,
                "operation": if hole.before.is_some() { "UPDATE" } else { "CREATE" },
                "controllers": hole.controllers,
                "object": hole.object,
                "before": hole.before,
            })
        })
        .collect();
    let strict: Vec<Value> = found
        .strict
        .iter()
        .map(|strict| {
            json!({
                "says": strict.says,
                "place": strict.place.to_string(),
                "by": strict.refusal.by,
                "message": strict.refusal.message,
                "object": strict.object,
            })
        })
        .collect();
    let closed: Vec<Value> = found
        .closed
        .iter()
        .map(|(namespace, refusal)| {
            json!({ "namespace": namespace, "by": refusal.by, "message": refusal.message })
        })
        .collect();
    json!({
        "controls": found.controls,
        "holes": holes,
        "refusedWithoutBreach": strict,
        "notEvaluated": closed,
        "summary": { "tried": found.tried, "holes": holes.len() },
    })
}

/// What the pod does, in words.
fn says(hole: &Hole) -> String {
    format!("{} {}", with_article(&hole.place.to_string()), hole.says)
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// The pods as documents, each under a word about it. What is added to a running pod is none that can be
/// applied, and stands behind them as a comment.
fn yaml(found: &Found, out: &mut dyn io::Write) -> io::Result<()> {
    let holes = || found.holes.iter().enumerate();
    for (place, hole) in holes().filter(|(_, hole)| hole.before.is_none()) {
        writeln!(out, "---\n# {}: {}", hole.controls.join(", "), says(hole))?;
        writeln!(out, "# admitted in {}", hole.namespaces.join(", "))?;
        out.write_all(named(hole, place)?.as_bytes())?;
    }
    for (place, hole) in holes().filter(|(_, hole)| hole.before.is_some()) {
        writeln!(out, "---\n# {}: {}", hole.controls.join(", "), says(hole))?;
        let path = "pods/NAME/ephemeralcontainers";
        writeln!(out, "# admitted in {} as an update of {path}:", hole.namespaces.join(", "))?;
        for line in named(hole, place)?.lines() {
            writeln!(out, "#   {line}")?;
        }
    }
    Ok(())
}

/// The pod with a name of its own.
fn named(hole: &Hole, place: usize) -> io::Result<String> {
    let mut object = hole.object.clone();
    if let Some(Value::String(name)) = object.pointer_mut("/metadata/name") {
        *name = format!("hole-{}-{}", place + 1, hole.breach);
    }
    serde_yaml_ng::to_string(&object).map_err(io::Error::other)
}

fn table(found: &Found, console: &mut Console) -> io::Result<()> {
    for control in &found.controls {
        let of = |hole: &&Hole| hole.controls.first() == Some(control);
        let own: Vec<&Hole> = found.holes.iter().filter(of).collect();
        if own.is_empty() {
            continue;
        }
        let heading = console.paint().strong(control);
        writeln!(console.out(), "{heading}")?;
        for breach in own.chunk_by(|left, right| left.breach == right.breach) {
            row(breach, found, console)?;
        }
        writeln!(console.out())?;
    }
    if !found.strict.is_empty() {
        let heading = console.paint().strong("refused, and breaks no claim");
        writeln!(console.out(), "{heading}")?;
    }
    for strict in &found.strict {
        let word = console.paint().doubtful("strict");
        let place = strict.place;
        writeln!(console.out(), "  {word}  {place} {}", strict.says)?;
        writeln!(console.out(), "          by {}", strict.refusal.by.join(", "))?;
    }
    if !found.strict.is_empty() {
        writeln!(console.out())?;
    }
    if found.controls.is_empty() {
        writeln!(console.out(), "the policies refuse no breach of any claim that is known here")?;
        return Ok(());
    }
    let holes = counted(found.holes.len(), "hole", "holes");
    let refused = found.refused.len();
    writeln!(
        console.out(),
        "{holes}; of {} pods that break a claim {refused} are refused",
        found.tried
    )?;
    if !found.holes.is_empty() {
        writeln!(console.out(), "--output yaml writes a pod for each, ready to apply")?;
    }
    Ok(())
}

/// One breach: what it does, and where it gets through.
fn row(breach: &[&Hole], found: &Found, console: &mut Console) -> io::Result<()> {
    let Some(first) = breach.first() else { return Ok(()) };
    let word = console.paint().bad("hole  ");
    writeln!(console.out(), "  {word}  {}", first.says)?;
    for same in breach.chunk_by(|left, right| left.namespaces == right.namespaces) {
        let places: Vec<String> = same.iter().map(|hole| hole.place.to_string()).collect();
        let namespaces = same.first().map(|hole| hole.namespaces.join(", ")).unwrap_or_default();
        writeln!(console.out(), "          {}: in {namespaces}", places.join(", "))?;
    }
    // Ephemeral containers are added to pods alone.
    let of_pods = breach.iter().filter(|hole| hole.before.is_none());
    let lacking = of_pods.filter(|hole| hole.controllers.len() < CONTROLLERS).count();
    if lacking > 0 && found.holes.iter().any(|hole| !hole.controllers.is_empty()) {
        writeln!(console.out(), "          as a pod only: controllers of it are refused")?;
    }
    Ok(())
}
