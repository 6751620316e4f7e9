//! `proofstream control`: what the catalog claims, and by what.

use clap::{Args, Subcommand};
use proofstream_catalog::{Catalog, Control, Mapping, Planned};
use proofstream_model::RequirementId;
use serde_json::{Value, json};

use super::Format;
use super::catalog_folder::CatalogFolder;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum ControlCommand {
    /// List the controls, with the requirements that they carry a part of.
    List(List),
    /// Show one control: its claim, what stands for it, what it does not cover.
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only controls with a part of this framework, such as soc2-2017.
    #[arg(long, value_name = "ID")]
    framework: Option<String>,
    #[command(flatten)]
    catalog: CatalogFolder,
    /// How to write the list.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The control, such as workload-hardened.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    catalog: CatalogFolder,
    /// How to write it.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

pub(super) fn run(command: &ControlCommand, console: &mut Console) -> Result<ExitCode, Failure> {
    match command {
        ControlCommand::List(command) => list(command, console),
        ControlCommand::Show(command) => show(command, console),
    }
}

fn list(command: &List, console: &mut Console) -> Result<ExitCode, Failure> {
    let catalog = command.catalog.load()?;
    let wanted = match &command.framework {
        Some(id) => {
            let framework = catalog.framework(id);
            Some(framework.map_err(|error| Failure::input(error.to_string()))?.id())
        }
        None => None,
    };
    let mut controls = Vec::new();
    for control in catalog.controls() {
        let mappings: Vec<&Mapping> = catalog
            .requirements_of(&control.id)
            .filter(|mapping| wanted.is_none_or(|id| mapping.requirement.framework() == id))
            .collect();
        if !mappings.is_empty() {
            controls.push((control, mappings));
        }
    }
    match command.output {
        Format::Json => {
            let controls: Result<Vec<Value>, Failure> =
                controls.iter().map(|(control, mappings)| as_json(control, mappings)).collect();
            let text = serde_json::to_string_pretty(&json!({ "controls": controls? }));
            writeln!(console.out(), "{}", text.map_err(|error| unwritable(&error))?)?;
        }
        Format::Table => table(&controls, console)?,
    }
    Ok(ExitCode::Done)
}

fn table(controls: &[(&Control, Vec<&Mapping>)], console: &mut Console) -> Result<(), Failure> {
    let paint = console.paint();
    let width = controls.iter().map(|(control, _)| control.id.as_str().len()).max().unwrap_or(0);
    for (control, mappings) in controls {
        let name = format!("{:width$}", control.id.as_str());
        writeln!(console.out(), "{}  {}", paint.strong(&name), control.title)?;
        let mut framework = "";
        let mut ids: Vec<&str> = Vec::new();
        for mapping in mappings {
            let of = mapping.requirement.framework();
            if of != framework && !ids.is_empty() {
                writeln!(console.out(), "{:width$}  {framework}: {}", "", ids.join(", "))?;
                ids.clear();
            }
            framework = of;
            ids.push(mapping.requirement.id());
        }
        writeln!(console.out(), "{:width$}  {framework}: {}", "", ids.join(", "))?;
    }
    Ok(())
}

fn show(command: &Show, console: &mut Console) -> Result<ExitCode, Failure> {
    let catalog = command.catalog.load()?;
    let control =
        catalog.control(&command.id).map_err(|error| unknown(&catalog, &command.id, &error))?;
    let mappings: Vec<&Mapping> = catalog.requirements_of(&control.id).collect();
    match command.output {
        Format::Json => {
            let text = serde_json::to_string_pretty(&as_json(control, &mappings)?);
            writeln!(console.out(), "{}", text.map_err(|error| unwritable(&error))?)?;
        }
        Format::Table => page(&catalog, control, &mappings, console)?,
    }
    Ok(ExitCode::Done)
}

/// An id that is no control may be a requirement: then its controls are what is meant.
fn unknown(catalog: &Catalog, id: &str, error: &proofstream_catalog::UnknownControl) -> Failure {
    let failure = Failure::input(error.to_string());
    let Some(requirement) = catalog.requirement_called(id) else { return failure };
    let controls: Vec<&str> =
        catalog.mappings_of(&requirement).map(|mapping| mapping.control.as_str()).collect();
    if controls.is_empty() {
        failure.help(format!("`{id}` is the requirement {requirement}; no control carries it"))
    } else {
        let controls = controls.join(", ");
        failure.help(format!("`{id}` is the requirement {requirement}, carried by: {controls}"))
    }
}

fn page(
    catalog: &Catalog,
    control: &Control,
    mappings: &[&Mapping],
    console: &mut Console,
) -> Result<(), Failure> {
    let paint = console.paint();
    writeln!(console.out(), "{}: {}\n", paint.strong(control.id.as_str()), control.title)?;
    writeln!(console.out(), "Claim      {}", control.claim.trim())?;
    let word = |value: Result<Value, serde_json::Error>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let scope = word(serde_json::to_value(control.scope));
    let severity = word(serde_json::to_value(control.severity));
    writeln!(console.out(), "Scope      {scope}")?;
    writeln!(console.out(), "Severity   {severity}")?;
    writeln!(console.out(), "Freshness  {} s at most", control.freshness_seconds)?;
    writeln!(console.out(), "Policies   {}", or_none(&control.policies))?;
    writeln!(console.out(), "Enforcers  {}", or_none(&control.enforcers))?;
    writeln!(console.out(), "Records    {}", or_none(&control.records))?;
    writeln!(console.out(), "\nIt carries, of")?;
    for mapping in mappings {
        let id: &RequirementId = &mapping.requirement;
        let title = catalog.requirement(id).and_then(|entry| entry.title.as_deref()).unwrap_or("");
        writeln!(console.out(), "  {id} ({title}): {}", mapping.part)?;
    }
    planned("Checks", &control.checks, console)?;
    planned("Probes", &control.probes, console)?;
    if !control.limits.is_empty() {
        writeln!(console.out(), "\nIt does not cover")?;
        for limit in &control.limits {
            writeln!(console.out(), "  {limit}")?;
        }
    }
    Ok(())
}

fn planned(called: &str, planned: &[Planned], console: &mut Console) -> Result<(), Failure> {
    if planned.is_empty() {
        return Ok(());
    }
    writeln!(console.out(), "\n{called}")?;
    for one in planned {
        writeln!(console.out(), "  {}: not-evaluated: {}", one.name, one.reason)?;
    }
    Ok(())
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn as_json(control: &Control, mappings: &[&Mapping]) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(control).map_err(|error| unwritable(&error))?;
    if let Some(object) = value.as_object_mut() {
        let parts = mappings
            .iter()
            .map(|mapping| json!({"id": mapping.requirement, "part": mapping.part}))
            .collect();
        object.insert("requirements".to_owned(), Value::Array(parts));
    }
    Ok(value)
}

fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::not_evaluated(format!("the output cannot be written: {error}"))
}
