//! `proofstream policy replay`: who would have been blocked.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use proofstream_ledger::storage::Directory;
use proofstream_policy::PolicySet;
use serde_json::{Value, json};

use crate::commands::since::since;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};
use crate::offline::policies;
use crate::offline::replay::{Replay, Report, RuleReport};
use crate::offline::report::counted;

/// Say what policies would have blocked of the requests that the ledger keeps.
///
/// Requests that some policy in force matched are kept for 30 days, as the API server sent them (never those for
/// Secrets). Each is judged again as if the policies given here had been in force, whether they enforce or
/// only audit. Counted are requests: a dry run is none, and one that the API server asked about several
/// times is one. Read is what is sealed; the last minutes of a running server may not be.
///
/// What policies ask of the cluster (API calls, parameters) is not known any more: a rule that asks could not be
/// judged, and says so.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 1 if requests would have been blocked, 2 for input that cannot be used, 3 if the ledger
cannot be read or a rule could not judge some requests.

Examples:
  proofstream policy replay stricter.yaml --since 30d
  proofstream policy replay policies/ --since 2026-11-01T00:00:00Z --data /var/lib/proofstream")]
pub(crate) struct ReplayCommand {
    /// Policies: files, or folders of them.
    #[arg(required = true, value_name = "POLICY")]
    policies: Vec<PathBuf>,
    /// From when: a time (RFC 3339), or how long ago, such as 30d or 12h.
    #[arg(long, default_value = "30d", value_name = "TIME|SPAN")]
    since: String,
    /// Until when (RFC 3339, exclusive); until now without it.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Exceptions to the policies (PolicyException): a file or a folder. May be given several times.
    #[arg(long, short, value_name = "FILE|DIR")]
    exception: Vec<PathBuf>,
    /// The data folder of `proofstream up`, which may be running.
    #[arg(long, value_name = "DIR", env = "PROOFSTREAM_DATA")]
    data: PathBuf,
    /// How to write the results; a table unless asked otherwise, also into a pipe.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people. The layout may change; scripts read `json`.
    Table,
    /// For programs. Keys may be added, none is changed or removed.
    Json,
}

pub(super) fn run(command: &ReplayCommand, console: &mut Console) -> Result<ExitCode, Failure> {
    let now = Timestamp::now();
    let from = since(&command.since, now)?;
    let to = command.until.unwrap_or(now);
    if from >= to {
        return Err(Failure::input(format!("the period is empty: `{from}` is not before `{to}`")));
    }
    let (loaded, mut code) = super::usable(&command.policies, console)?;
    let exceptions = policies::load_exceptions(&command.exception)?;
    let (set, duplicates) = PolicySet::with_exceptions(loaded.policies, exceptions);
    for duplicate in duplicates {
        console.warn(&format!("{duplicate}; the first one is replayed"));
    }
    let mut progress = console.progress("payloads");
    let storage = Arc::new(Directory::new(command.data.join("ledger")));
    let report = Replay::new(&set, from, to).run(storage, &mut || progress.step());
    progress.finish();
    let report = report?;
    match command.output {
        Format::Json => writeln!(console.out(), "{:#}", document(&report, from, to))?,
        Format::Table => table(&report, console)?,
    }
    console.flush()?;
    let requests = report.requests;
    if requests.missed + requests.gone > 0 {
        let (missed, gone) = (requests.missed, requests.gone);
        console.warn(&format!("not judged: {missed} that were not kept, {gone} that are gone"));
    }
    if let Some(sealed) = report.sealed_until.filter(|sealed| *sealed < to) {
        let sealed = sealed.strftime("%Y-%m-%dT%H:%M:%SZ");
        console
            .note(&format!("the ledger is sealed until {sealed}: what came later is not in this"));
    }
    if report.rules.values().any(|rule| rule.not_judged > 0) {
        code = code.and(ExitCode::NotEvaluated);
    }
    if report.rules.values().any(|rule| rule.would_block > 0) {
        code = code.and(ExitCode::Failed);
    }
    Ok(code)
}

fn document(report: &Report, from: Timestamp, to: Timestamp) -> Value {
    let rules: Vec<Value> = report
        .rules
        .iter()
        .map(|((policy, rule), found)| {
            let owners: Vec<Value> = owners(found)
                .into_iter()
                .map(|((namespace, owner), count)| {
                    json!({ "namespace": namespace, "owner": owner, "count": count })
                })
                .collect();
            json!({
                "policy": policy,
                "rule": rule,
                "matched": found.matched,
                "wouldBlock": found.would_block,
                "notJudged": found.not_judged,
                "whyNotJudged": found.why_not,
                "owners": owners,
                "furtherOwners": found.further_owners,
                "first": found.first,
            })
        })
        .collect();
    json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "until": report.until.map(|time| time.to_string()),
        "sealedUntil": report.sealed_until.map(|time| time.to_string()),
        "requests": report.requests,
        "rules": rules,
    })
}

/// Who was behind it, the most frequent first.
fn owners(rule: &RuleReport) -> Vec<(&(String, String), u64)> {
    let mut owners: Vec<_> = rule.owners.iter().map(|(owner, count)| (owner, *count)).collect();
    owners.sort_by_key(|(owner, count)| (std::cmp::Reverse(*count), *owner));
    owners
}

fn table(report: &Report, console: &mut Console) -> io::Result<()> {
    let mut quiet = 0;
    for ((policy, rule), found) in &report.rules {
        if found.would_block == 0 && found.not_judged == 0 {
            quiet += 1;
            continue;
        }
        let heading = console.paint().strong(&format!("{policy} / {rule}"));
        writeln!(console.out(), "{heading}")?;
        if found.would_block > 0 {
            let word = console.paint().bad("would block");
            let of = counted(
                usize::try_from(found.matched).unwrap_or(usize::MAX),
                "request",
                "requests",
            );
            let owners = counted(found.owners.len(), "owner", "owners");
            let more = if found.further_owners { " and more" } else { "" };
            let count = found.would_block;
            writeln!(console.out(), "  {word}  {count} of {of}, of {owners}{more}")?;
        }
        if let Some(first) = &found.first {
            let (operation, subject, user) = (&first.operation, &first.subject, &first.user);
            writeln!(
                console.out(),
                "  first        {operation} {subject} by {user}, {}",
                first.time
            )?;
            for line in first.message.lines() {
                writeln!(console.out(), "               {line}")?;
            }
        }
        for ((namespace, owner), count) in owners(found).into_iter().take(10) {
            let place = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            writeln!(console.out(), "  {count:>11}  {place}{owner}")?;
        }
        if let Some(why) = &found.why_not {
            let word = console.paint().doubtful("not judged");
            writeln!(console.out(), "  {word}   {}: {why}", found.not_judged)?;
        }
        writeln!(console.out())?;
    }
    if report.rules.is_empty() && report.requests.replayed > 0 {
        writeln!(console.out(), "no rule is about any of these requests")?;
    }
    if quiet > 0 {
        let rules = counted(quiet, "rule", "rules");
        writeln!(console.out(), "{rules} would have blocked nothing")?;
    }
    let requests = report.requests;
    let replayed =
        counted(usize::try_from(requests.replayed).unwrap_or(usize::MAX), "request", "requests");
    write!(console.out(), "{replayed} replayed")?;
    if let Some(until) = report.until {
        write!(console.out(), ", the last of {until}")?;
    }
    let dry_runs = requests.dry_runs;
    if dry_runs > 0 {
        write!(console.out(), "; {dry_runs} dry runs are not counted")?;
    }
    writeln!(console.out())
}
