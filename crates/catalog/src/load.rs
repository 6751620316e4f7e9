//! Reads the files of a catalog directory and puts them together.

use std::collections::BTreeMap;
use std::fmt;

use proofstream_model::{ControlId, RequirementId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::catalog::Alias;
use crate::control::seconds;
use crate::place::line_of;
use crate::{
    Catalog, Control, Framework, Mapping, Planned, Requirement, RequirementKind, Scope, Severity,
    ShownBy, check,
};

/// Files of a catalog, at most.
const MAX_FILES: usize = 1_000;
/// Bytes of one file, at most.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// One file of a catalog directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Its path, as errors shall name it; the last two parts say what it is.
    pub path: String,
    /// What stands in it.
    pub bytes: Vec<u8>,
}

/// One fault of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// A catalog that cannot be used, with every fault found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct CatalogError {
    /// The faults, sorted by file and line.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// A file's text beside what was read from it, so that a later fault finds its line.
pub(crate) struct Read<T> {
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) raw: T,
}

impl<T> Read<T> {
    /// A fault at the `nth` occurrence of `word`.
    pub(crate) fn problem(&self, word: &str, nth: usize, message: String) -> Problem {
        Problem { file: self.file.clone(), line: line_of(&self.text, word, nth), message }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFramework {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) prefixes: Vec<String>,
    pub(crate) bare: bool,
    pub(crate) requirements: Vec<RawRequirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRequirement {
    pub(crate) id: String,
    pub(crate) kind: RequirementKind,
    pub(crate) title: Option<String>,
    pub(crate) level: Option<String>,
    pub(crate) assessment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawControl {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) claim: String,
    pub(crate) scope: Scope,
    pub(crate) shown_by: ShownBy,
    pub(crate) severity: Severity,
    pub(crate) freshness: String,
    pub(crate) records: Vec<String>,
    #[serde(default)]
    pub(crate) policies: Vec<String>,
    #[serde(default)]
    pub(crate) enforcers: Vec<String>,
    #[serde(default)]
    pub(crate) rests_on: Vec<String>,
    #[serde(default)]
    pub(crate) checks: Vec<Planned>,
    #[serde(default)]
    pub(crate) probes: Vec<Planned>,
    #[serde(default)]
    pub(crate) limits: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMappings {
    pub(crate) framework: String,
    pub(crate) mappings: Vec<RawMapping>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMapping {
    pub(crate) requirement: String,
    pub(crate) controls: Vec<RawPart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPart {
    pub(crate) control: String,
    pub(crate) part: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAliases {
    pub(crate) aliases: Vec<RawAlias>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAlias {
    pub(crate) alias: String,
    pub(crate) requirement: String,
    pub(crate) note: String,
}

/// Every file of a catalog, as written.
#[derive(Default)]
pub(crate) struct RawCatalog {
    pub(crate) frameworks: Vec<Read<RawFramework>>,
    pub(crate) controls: Vec<Read<RawControl>>,
    pub(crate) mappings: Vec<Read<RawMappings>>,
    pub(crate) aliases: Vec<Read<RawAliases>>,
}

/// Reads, checks and joins the files.
pub(crate) fn load(files: impl IntoIterator<Item = CatalogFile>) -> Result<Catalog, CatalogError> {
    let mut files: Vec<CatalogFile> = files.into_iter().take(MAX_FILES + 1).collect();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    let mut raw = RawCatalog::default();
    let mut problems = Vec::new();
    if files.len() > MAX_FILES {
        problems.push(whole_file("catalog", format!("more than {MAX_FILES} files")));
    }
    for file in files {
        if let Err(problem) = sort_in(&mut raw, file) {
            problems.push(problem);
        }
    }
    if problems.is_empty() && raw.frameworks.is_empty() {
        problems.push(whole_file("frameworks", "no framework file here".to_owned()));
    }
    problems.extend(check::check(&raw));
    if problems.is_empty()
        && let Some(catalog) = join(raw, &mut problems)
    {
        return Ok(catalog);
    }
    problems.sort();
    problems.dedup();
    Err(CatalogError { problems })
}

fn whole_file(file: &str, message: String) -> Problem {
    Problem { file: file.to_owned(), line: 1, message }
}

/// Puts one file where its path says it belongs.
fn sort_in(raw: &mut RawCatalog, file: CatalogFile) -> Result<(), Problem> {
    let mut parts = file.path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let folder = parts.next().unwrap_or_default();
    let stem = name.strip_suffix(".yaml").unwrap_or_default().to_owned();
    if name == "aliases.yaml" {
        raw.aliases.push(read(file)?);
        return Ok(());
    }
    match folder {
        "frameworks" => {
            let read: Read<RawFramework> = read(file)?;
            named_like(&read, &stem, &read.raw.id)?;
            raw.frameworks.push(read);
        }
        "controls" => {
            let read: Read<RawControl> = read(file)?;
            named_like(&read, &stem, &read.raw.id)?;
            raw.controls.push(read);
        }
        "mappings" => {
            let read: Read<RawMappings> = read(file)?;
            named_like(&read, &stem, &read.raw.framework)?;
            raw.mappings.push(read);
        }
        _ => {
            let message = "not a catalog file: expected aliases.yaml, controls/ID.yaml, \
                           frameworks/ID.yaml or mappings/ID.yaml";
            return Err(whole_file(&file.path, message.to_owned()));
        }
    }
    Ok(())
}

fn named_like<T>(read: &Read<T>, stem: &str, id: &str) -> Result<(), Problem> {
    if stem == id {
        return Ok(());
    }
    Err(read.problem(id, 0, format!("`{id}` stands in a file called `{stem}.yaml`")))
}

/// Reads one YAML document into its shape.
fn read<T: DeserializeOwned>(file: CatalogFile) -> Result<Read<T>, Problem> {
    if file.bytes.len() > MAX_BYTES {
        return Err(whole_file(&file.path, format!("larger than {MAX_BYTES} bytes")));
    }
    let mut documents = proofstream_manifest::documents(&file.bytes, &file.path);
    let document = match documents.next() {
        Some(Ok(document)) => document,
        Some(Err(error)) => {
            let line = usize::try_from(error.line).unwrap_or(1);
            return Err(Problem { file: file.path.clone(), line, message: error.message });
        }
        None => return Err(whole_file(&file.path, "empty file".to_owned())),
    };
    if documents.next().is_some() {
        return Err(whole_file(&file.path, "more than one YAML document".to_owned()));
    }
    drop(documents);
    let text = String::from_utf8_lossy(&file.bytes).into_owned();
    let raw = T::deserialize(document.value).map_err(|error| {
        let message = error.to_string();
        // serde names the offending word in backticks first.
        let word = message.split('`').nth(1).unwrap_or_default();
        Problem { file: file.path.clone(), line: line_of(&text, word, 0), message }
    })?;
    Ok(Read { file: file.path, text, raw })
}

/// The checked files as one catalog. What the checks let through cannot fail here; if it does, it
/// is reported rather than left out.
fn join(raw: RawCatalog, problems: &mut Vec<Problem>) -> Option<Catalog> {
    let result = (|| -> Result<Catalog, proofstream_model::WordError> {
        let mut controls = BTreeMap::new();
        for read in raw.controls {
            let control = control(read.raw)?;
            controls.insert(control.id.clone(), control);
        }
        let mut frameworks = Vec::new();
        for read in raw.frameworks {
            frameworks.push(framework(read.raw)?);
        }
        let mut mappings = Vec::new();
        for read in raw.mappings {
            let framework = read.raw.framework;
            for mapping in read.raw.mappings {
                let requirement: RequirementId =
                    format!("{framework}/{}", mapping.requirement).parse()?;
                for part in mapping.controls {
                    mappings.push(Mapping {
                        requirement: requirement.clone(),
                        control: part.control.parse()?,
                        part: part.part,
                    });
                }
            }
        }
        let mut aliases = Vec::new();
        for raw in raw.aliases.into_iter().flat_map(|read| read.raw.aliases) {
            let requirement = raw.requirement.parse()?;
            aliases.push(Alias { written: raw.alias, requirement, note: raw.note });
        }
        Ok(Catalog { frameworks, controls, mappings, aliases })
    })();
    result.map_err(|error| problems.push(whole_file("catalog", error.to_string()))).ok()
}

fn framework(raw: RawFramework) -> Result<Framework, proofstream_model::WordError> {
    let mut requirements = Vec::with_capacity(raw.requirements.len());
    for entry in raw.requirements {
        requirements.push(Requirement {
            id: format!("{}/{}", raw.id, entry.id).parse()?,
            kind: entry.kind,
            title: entry.title,
            level: entry.level,
            assessment: entry.assessment,
        });
    }
    Ok(Framework {
        id: raw.id,
        title: raw.title,
        prefixes: raw.prefixes,
        bare: raw.bare,
        requirements,
    })
}

fn control(raw: RawControl) -> Result<Control, proofstream_model::WordError> {
    let mut rests_on = Vec::with_capacity(raw.rests_on.len());
    for name in raw.rests_on {
        rests_on.push(name.parse::<ControlId>()?);
    }
    Ok(Control {
        id: raw.id.parse()?,
        title: raw.title,
        claim: raw.claim,
        scope: raw.scope,
        shown_by: raw.shown_by,
        severity: raw.severity,
        freshness_seconds: seconds(&raw.freshness).unwrap_or(0),
        records: raw.records,
        policies: raw.policies,
        enforcers: raw.enforcers,
        rests_on,
        checks: raw.checks,
        probes: raw.probes,
        limits: raw.limits,
    })
}
