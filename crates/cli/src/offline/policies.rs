//! Policies read from files, with what in them cannot be run.

use std::path::PathBuf;

use proofstream_manifest::{Document, documents, locate};
use proofstream_policy::{ParseError, Policy, PolicyException, is_policy, parse, unknown_settings};
use serde_json::Value;

use crate::exit::Failure;
use crate::offline::files::{self, Found};

/// API groups whose objects are policies.
const POLICY_GROUPS: [&str; 3] =
    ["kyverno.io", "policies.kyverno.io", "admissionregistration.k8s.io"];

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
}

/// Loads the policies at some paths: files, or folders walked in sorted order.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, Failure> {
    let mut loaded = Loaded::default();
    for found in files::find(paths, files::is_manifest)? {
        load_file(&found, &mut loaded)?;
    }
    Ok(loaded)
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
    let before = loaded.policies.len() + loaded.unsupported.len() + loaded.failures.len();
    for document in documents(&bytes, &shown) {
        match document {
            // A folder may hold anything; what was named must be readable.
            Err(error) if found.named => loaded.failures.push(error.into()),
            Err(_) => loaded.others += 1,
            Ok(document) => take(&document, &bytes, loaded),
        }
    }
    let after = loaded.policies.len() + loaded.unsupported.len() + loaded.failures.len();
    if found.named && before == after {
        let failure = Failure::input(format!("{shown}: no policy in this file"));
        loaded.failures.push(failure.help("policies are read from it, resources with --resource"));
    }
    Ok(())
}

fn take(document: &Document, source: &[u8], loaded: &mut Loaded) {
    if !is_policy(&document.value) {
        match foreign(document) {
            Some(unsupported) => loaded.unsupported.push(unsupported),
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
        Err(error) => {
            let name = text(&document.value, "/metadata/name").to_owned();
            let failure = broken(document, source, &error);
            loaded.broken.push((name, failure.message.clone()));
            loaded.failures.push(failure);
        }
    }
}

/// A policy that is none of ours to judge yet.
fn foreign(document: &Document) -> Option<Unsupported> {
    let kind = text(&document.value, "/kind");
    let group = text(&document.value, "/apiVersion").split('/').next().unwrap_or_default();
    let is_policy = kind.ends_with("Policy") && POLICY_GROUPS.contains(&group);
    is_policy.then(|| Unsupported {
        place: format!("{}:{}", document.file, document.line),
        kind: kind.to_owned(),
        name: text(&document.value, "/metadata/name").to_owned(),
    })
}

fn broken(document: &Document, source: &[u8], error: &ParseError) -> Failure {
    let place = place(document, source, &error.path);
    let path = if error.path.is_empty() { String::new() } else { format!("{}: ", error.path) };
    Failure::input(format!("{place}: {path}{}", error.message))
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
