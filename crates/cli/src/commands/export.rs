//! `proofstream export`: a bundle that an auditor can check without us.

mod backend;
mod output;
mod remote;

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp as Now;
use proofstream_evidence::{ExportRequest, Sample};
use proofstream_model::Timestamp;

use super::Format;
use super::catalog_folder::CatalogFolder;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::server::Server;
use backend::{DataFolder, ExportBackend};

/// Write the evidence of a period as a bundle: README, records with proofs, tables, claims.
///
/// The bundle stands by itself: `proofstream-verify DIR` checks it with no server and no network.
/// Times are RFC 3339 with a zone; the period includes its start and excludes its end.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 2 for input that cannot be used, 3 if the ledger cannot be read, 4 if it is not what it
says it is.

Example:
  proofstream export --framework soc2-2017 --from 2026-07-01T00:00:00Z --to 2026-10-01T00:00:00Z \\
    --data /var/lib/proofstream --out q3")]
pub(super) struct Export {
    /// The framework, such as soc2-2017, pci-4.0.1 or cis-k8s-1.12.
    #[arg(long, value_name = "ID")]
    framework: String,
    /// Start of the period (inclusive), such as 2026-07-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Timestamp,
    /// End of the period (exclusive).
    #[arg(long, value_name = "TIME")]
    to: Timestamp,
    /// Narrow the bundle to a control; it is then marked SELECTION. May be given several times.
    #[arg(long, value_name = "ID")]
    control: Vec<String>,
    /// Draw a sample of so many rows from each population, beside the whole of it.
    #[arg(long, value_name = "N", requires = "seed")]
    sample: Option<u32>,
    /// What the sample depends on: the same seed draws the same rows.
    #[arg(long, value_name = "S", requires = "sample")]
    seed: Option<String>,
    /// Where the bundle goes: a folder that is empty or not there yet.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The data folder of `proofstream up`. A server that runs on it makes the bundle; otherwise
    /// this command does.
    #[arg(long, value_name = "DIR", env = "PROOFSTREAM_DATA")]
    data: PathBuf,
    #[command(flatten)]
    catalog: CatalogFolder,
    /// How to write the summary.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

pub(super) fn run(command: &Export, console: &mut Console) -> Result<ExitCode, Failure> {
    let catalog = command.catalog.load()?;
    let sample = command.sample.zip(command.seed.clone());
    let request = ExportRequest {
        framework: command.framework.clone(),
        controls: command.control.clone(),
        from: command.from,
        to: command.to,
        requested_by: requested_by(),
        extracted: Timestamp::from_micros(Now::now().as_microsecond()),
        sample: sample.map(|(size, seed)| Sample { size, seed }),
    };
    let summary = match Server::of(&command.data)? {
        Some(server) => remote::Running::new(server).export(&request, &command.out, console)?,
        None => DataFolder::new(&command.data, &catalog).export(&request, &command.out, console)?,
    };
    match command.output {
        Format::Table => output::table(&request, &summary, &command.out, console)?,
        Format::Json => output::json(&request, &summary, &command.out, console)?,
    }
    Ok(ExitCode::Done)
}

/// Who asks, as far as the machine knows: it is recorded, not trusted.
fn requested_by() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|key| std::env::var(key).ok());
    name.filter(|name| !name.is_empty())
        .map_or_else(|| "local".to_owned(), |name| format!("user/{name}"))
}
