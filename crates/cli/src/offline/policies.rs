//! Policies read from files, with what in them cannot be run.

mod constraints;

use std::path::PathBuf;
use std::rc::Rc;

use proofstream_manifest::{Document, documents, locate};
use proofstream_policy::{
    CleanupPolicy, ParseError, Policy, PolicyBinding, PolicyException, is_admission_policy,
    is_policy, parse, parse_admission_policy, unknown_settings,
};
use serde_json::Value;

use crate::exit::Failure;
use crate::offline::files::{self, Found};
use constraints::Constraints;

/// API groups whose objects are policies.
const POLICY_GROUPS: [&str; 3] =
    ["kyverno.io", "policies.kyverno.io", "admissionregistration.k8s.io"];
/// API groups of which every object changes or expands what comes.
const CHANGING_GROUPS: [&str; 2] = ["mutations.gatekeeper.sh", "expansion.gatekeeper.sh"];

/// Policies, and documents that are policies but cannot be used.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Policies that can be judged with, in the order of the files.
    pub policies: Vec<Policy>,
    /// Policies of kinds that are not judged.
    pub unsupported: Vec<Unsupported>,
    /// Files and documents that are broken.
    pub failures: Vec<Failure>,
    /// Names of the policies among `failures`, where a document has one.
    pub broken: Vec<(String, String)>,
    /// What the authors of policies that can be used should know.
    pub warnings: Vec<String>,
    /// Documents that are no policies.
    pub others: usize,
    /// Whether some policy looks at other objects of the cluster.
    pub asks_inventory: bool,
    admission: Admission,
    constraints: Constraints,
}

/// Kubernetes' own admission policies, which are made when all bindings are known.
#[derive(Debug, Default)]
struct Admission {
    /// Where each policy stands, `FILE:LINE`, and its document.
    policies: Vec<(String, Value)>,
    /// Where each binding stands, and what it says.
    bindings: Vec<(String, PolicyBinding)>,
}

/// A policy of a kind that is not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// Where it stands, `FILE:LINE`.
    pub place: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it deletes on a schedule: there is nothing to judge with it.
    pub deletes: bool,
}

impl Unsupported {
    /// Why it is not judged with.
    pub fn reason(&self) -> &'static str {
        if self.deletes {
            "deletes on its schedule under `proofstream up`: there is nothing to judge with it"
        } else {
            "is of a kind that is not judged yet"
        }
    }
}

/// Loads the policies at some paths: files, or folders walked in sorted order.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, Failure> {
    let mut loaded = Loaded::default();
    for found in files::find(paths, files::is_manifest)? {
        load_file(&found, &mut loaded)?;
    }
    loaded.bind();
    loaded.constrain();
    Ok(loaded)
}

/// Loads the objects that policies may take as parameters.
pub fn load_parameters(paths: &[PathBuf]) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    for found in files::find(paths, files::is_manifest)? {
        for document in files::open(&found.path)? {
            objects.push(document?.value);
        }
    }
    Ok(objects)
}

/// Loads the exceptions at some paths; other documents are passed over.
pub fn load_exceptions(paths: &[PathBuf]) -> Result<Vec<PolicyException>, Failure> {
    let mut exceptions = Vec::new();
    for found in files::find(paths, files::is_manifest)? {
        let before = exceptions.len();
        let bytes = files::read_whole(&found.path)?;
        for document in documents(&bytes, &found.shown()) {
            let document = document?;
            if PolicyException::is_exception(&document.value) {
                let parsed = PolicyException::parse(&document.value);
                exceptions.push(parsed.map_err(|error| broken(&document, &bytes, &error))?);
            }
        }
        if found.named && exceptions.len() == before {
            let message = format!("{}: no PolicyException in this file", found.shown());
            return Err(Failure::input(message));
        }
    }
    Ok(exceptions)
}

// === impl Loaded ===

impl Loaded {
    /// Makes Kubernetes' own admission policies, now that all bindings are known.
    fn bind(&mut self) {
        let Admission { policies, bindings } = std::mem::take(&mut self.admission);
        let name_of = |document: &Value| text(document, "/metadata/name").to_owned();
        for (place, binding) in &bindings {
            let wanted = binding.policy();
            let is_broken = self.broken.iter().any(|(name, _)| name == wanted);
            if !is_broken && !policies.iter().any(|(_, document)| binding.binds(document)) {
                let name = binding.name();
                let message = format!("binding `{name}` binds `{wanted}`, which is not here");
                self.warnings.push(format!("{place}: {message}"));
            }
        }
        for (place, document) in &policies {
            let name = name_of(document);
            let own: Vec<&PolicyBinding> = bindings
                .iter()
                .map(|(_, binding)| binding)
                .filter(|binding| binding.binds(document))
                .collect();
            if own.is_empty() {
                let kind = text(document, "/kind");
                let message = "has no binding here: taken as if it were bound everywhere";
                self.warnings.push(format!("{place}: {kind} `{name}` {message}"));
            }
            match parse_admission_policy(document, &own) {
                Ok(policy) => self.policies.push(policy),
                Err(error) => {
                    let failure = Failure::input(format!("{place}: {error}"));
                    self.broken.push((name, failure.message.clone()));
                    self.failures.push(failure);
                }
            }
        }
    }

    /// Takes a document of Kubernetes' own admission policies; false where it is none.
    fn take_admission(&mut self, document: &Document, source: &[u8]) -> bool {
        let place = format!("{}:{}", document.file, document.line);
        let value = &document.value;
        let read = if PolicyBinding::is_binding(value) {
            PolicyBinding::parse(value)
                .map(|binding| self.admission.bindings.push((place, binding)))
        } else if is_admission_policy(value) {
            // Read once for its faults, of which the place in the file is known here.
            parse_admission_policy(value, &[])
                .map(|_| self.admission.policies.push((place, value.clone())))
        } else {
            return false;
        };
        if let Err(error) = read {
            self.tell(document, source, &error);
        }
        true
    }

    /// Notes that a policy's document is broken.
    fn tell(&mut self, document: &Document, source: &[u8], error: &ParseError) {
        let failure = broken(document, source, error);
        let name = text(&document.value, "/metadata/name").to_owned();
        self.broken.push((name, failure.message.clone()));
        self.failures.push(failure);
    }

    /// How many documents are policies, whether they can be used or not.
    fn count(&self) -> usize {
        let admission = self.admission.policies.len() + self.admission.bindings.len();
        let constraints = self.constraints.count();
        let unused = self.unsupported.len() + self.failures.len();
        self.policies.len() + unused + admission + constraints
    }
}

fn load_file(found: &Found, loaded: &mut Loaded) -> Result<(), Failure> {
    let shown = found.shown();
    let bytes = if shown == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes)
            .map_err(|error| Failure::not_evaluated(format!("standard input: {error}")))?;
        bytes
    } else {
        files::read_whole(&found.path)?
    };
    let bytes = Rc::new(bytes);
    let before = loaded.count();
    for document in documents(&bytes, &shown) {
        match document {
            // A folder may hold anything; what was named must be readable.
            Err(error) if found.named => loaded.failures.push(error.into()),
            Err(_) => loaded.others += 1,
            Ok(document) => take(document, &bytes, loaded),
        }
    }
    if found.named && before == loaded.count() {
        let failure = Failure::input(format!("{shown}: no policy in this file"));
        loaded.failures.push(failure.help("policies are read from it, resources with --resource"));
    }
    Ok(())
}

fn take(document: Document, source: &Rc<Vec<u8>>, loaded: &mut Loaded) {
    if loaded.take_admission(&document, source) {
        return;
    }
    let Some(document) = loaded.take_constraint(document, source) else { return };
    let document = &document;
    if !is_policy(&document.value) {
        match foreign(document) {
            Some(found) if found.deletes => match CleanupPolicy::parse(&document.value) {
                Ok(_) => loaded.unsupported.push(found),
                Err(error) => loaded.tell(document, source, &error),
            },
            Some(found) => loaded.unsupported.push(found),
            None => loaded.others += 1,
        }
        return;
    }
    match parse(&document.value) {
        Ok(policy) => {
            for path in unknown_settings(&document.value) {
                let place = place(document, source, &path);
                loaded
                    .warnings
                    .push(format!("{place}: {path} is not known here and has no effect"));
            }
            loaded.policies.push(policy);
        }
        Err(error) => loaded.tell(document, source, &error),
    }
}

/// A policy that is none of ours to judge yet.
fn foreign(document: &Document) -> Option<Unsupported> {
    let kind = text(&document.value, "/kind");
    let group = text(&document.value, "/apiVersion").split('/').next().unwrap_or_default();
    let is_policy = (kind.ends_with("Policy") && POLICY_GROUPS.contains(&group))
        || CHANGING_GROUPS.contains(&group);
    is_policy.then(|| Unsupported {
        place: format!("{}:{}", document.file, document.line),
        kind: kind.to_owned(),
        name: text(&document.value, "/metadata/name").to_owned(),
        deletes: CleanupPolicy::is_cleanup_policy(&document.value),
    })
}

fn broken(document: &Document, source: &[u8], error: &ParseError) -> Failure {
    let path = if error.path.is_empty() { String::new() } else { format!("{}: ", error.path) };
    if let Some((place, message)) = inside(document, source, error) {
        return Failure::input(format!("{place}: {path}{message}"));
    }
    let place = place(document, source, &error.path);
    Failure::input(format!("{place}: {path}{}", error.message))
}

/// Where in the file an error stands that names a place in a text of several lines (`LINE:COLUMN: …`), and
/// what is wrong there; `None` for any other.
fn inside<'e>(
    document: &Document,
    source: &[u8],
    error: &'e ParseError,
) -> Option<(String, &'e str)> {
    let mut parts = error.message.splitn(3, ':');
    let (line, column) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let message = parts.next()?.trim_start();
    let field = locate(source, document, &error.path)?;
    let text = std::str::from_utf8(source).ok()?;
    // INVARIANT: `line` is counted from 1, and the text begins in the line after its field.
    let mut lines = text.lines().skip(usize::try_from(field.line).ok()?.checked_sub(1)?);
    lines.next().filter(|first| first.trim_end().ends_with(['|', '-', '+']))?;
    let indent = lines.next().map(|first| first.len() - first.trim_start().len())?;
    let column = column + u64::try_from(indent).ok()?;
    Some((format!("{}:{}:{column}", document.file, field.line + line), message))
}

/// `FILE:LINE:COLUMN` of a field.
fn place(document: &Document, source: &[u8], path: &str) -> String {
    let place = locate(source, document, path);
    let (line, column) = place.map_or((document.line, 1), |place| (place.line, place.column));
    format!("{}:{line}:{column}", document.file)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
