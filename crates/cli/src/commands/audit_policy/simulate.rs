//! `proofstream audit-policy simulate`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use proofstream_audit::{Ask, AskError, AuditPolicy, Level, Request};
use serde_json::{Value, json};

use super::PolicyFile;
use crate::commands::Format;
use crate::console::Console;
use crate::exit::{ExitCode, Failure};

/// Longest line of a file of requests.
const MAX_LINE: u64 = 1 << 20;
/// Unknown keys that are warned of, and lines that are told to be wrong.
const MAX_UNKNOWN: usize = 16;
const MAX_WRONG: u64 = 10;

#[derive(Debug, Args)]
#[command(after_help = "\
The user is the one who signed in: the API server chooses the level before it looks at impersonation. Left \
out, nobody is known, as after a failed sign-in. `system:authenticated` and what a service account's or a \
node's name brings with it is added.

Examples:
  proofstream audit-policy simulate audit-policy.yaml --verb get --resource pods/exec -n payments --user alice
  proofstream audit-policy simulate audit-policy.yaml --verb get --path /healthz
  proofstream audit-policy simulate audit-policy.yaml --requests requests.jsonl")]
pub(crate) struct Simulate {
    /// The policy (`audit.k8s.io/v1`, kind Policy).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The verb (get, list, watch, create, …), or the HTTP method.
    #[arg(long, value_name = "VERB", required_unless_present = "requests")]
    verb: Option<String>,
    /// The resource: pods, pods/exec, deployments.apps.
    #[arg(long, value_name = "R[/SUB]", conflicts_with = "path")]
    resource: Option<String>,
    /// The API group; the core group unless the resource says one.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The namespace; none for what is in no namespace, and for all of them.
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The object's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A path such as /healthz; that of a resource is taken apart.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Who signed in.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// A group of theirs. May be given several times.
    #[arg(long, value_name = "GROUP")]
    user_group: Vec<String>,
    /// Requests, one JSON object a line (verb, resource, group, namespace, name, path, user, groups); `-` is
    /// standard input. One JSON object a line comes out, in the same order.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["verb", "resource", "group", "namespace", "name", "path", "user", "user_group"])]
    requests: Option<PathBuf>,
    /// How to write the answer about one request; requests of a file are always answered in JSON.
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,
}

pub(super) fn run(command: &Simulate, console: &mut Console) -> Result<ExitCode, Failure> {
    let file = PolicyFile::read(&command.file, console)?;
    let policy = file.policy(console)?;
    if let Some(path) = &command.requests {
        return many(&policy, path, console);
    }
    let ask = Ask {
        verb: command.verb.clone().unwrap_or_default(),
        resource: command.resource.clone(),
        subresource: None,
        group: command.group.clone(),
        namespace: command.namespace.clone(),
        name: command.name.clone(),
        path: command.path.clone(),
        user: command.user.clone(),
        groups: (!command.user_group.is_empty()).then(|| command.user_group.clone()),
    };
    let request = ask.request().map_err(|error| {
        Failure::input(error.to_string()).help("say what is asked with --resource or --path")
    })?;
    match command.output {
        Format::Json => {
            let answer = answer(&policy, &request);
            writeln!(console.out(), "{answer}")?;
        }
        Format::Table => table(&policy, &request, console)?,
    }
    Ok(ExitCode::Done)
}

fn answer(policy: &AuditPolicy, request: &Request) -> Value {
    let judgement = policy.judge(request);
    let mut answer = json!({
        "level": judgement.level.name(),
        "rule": judgement.rule,
        "why": policy.why(request, &judgement),
    });
    if judgement.level > Level::None
        && let Some(object) = answer.as_object_mut()
    {
        object.insert("omitStages".to_owned(), json!(judgement.omit_stages));
        object.insert("omitManagedFields".to_owned(), judgement.omit_managed_fields.into());
    }
    answer
}

fn table(policy: &AuditPolicy, request: &Request, console: &mut Console) -> io::Result<()> {
    let judgement = policy.judge(request);
    let why = policy.why(request, &judgement);
    let paint = console.paint();
    let level = match judgement.level {
        Level::None => paint.doubtful(judgement.level.name()),
        level => paint.good(level.name()),
    };
    writeln!(console.out(), "{level}  {request}")?;
    let before = judgement.rule.unwrap_or(policy.rules.len());
    for (index, rule) in policy.rules.iter().take(before).enumerate() {
        if let Some(reason) = rule.mismatch(request) {
            let line = format!("  rules[{index}] does not match: {reason}");
            writeln!(console.out(), "{}", paint.faint(&line))?;
        }
    }
    writeln!(console.out(), "  {why}")
}

fn many(policy: &AuditPolicy, path: &Path, console: &mut Console) -> Result<ExitCode, Failure> {
    let shown = path.display().to_string();
    let unreadable = |error: io::Error| Failure::input(format!("{shown}: cannot be read: {error}"));
    let mut reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(path).map_err(unreadable)?))
    };
    let mut unknown_keys = BTreeSet::new();
    let (mut line, mut number, mut wrong) = (Vec::new(), 0_u64, 0_u64);
    while let Some(whole) = next_line(&mut reader, &mut line).map_err(unreadable)? {
        number += 1;
        let text = String::from_utf8_lossy(&line);
        if whole && text.trim().is_empty() {
            continue;
        }
        let read = if whole {
            Ask::read(&text)
        } else {
            Err(AskError::Json(format!("the line is longer than {} KiB", MAX_LINE >> 10)))
        };
        let asked = read.and_then(|(ask, unknown)| {
            for key in unknown {
                if unknown_keys.len() < MAX_UNKNOWN && unknown_keys.insert(key.clone()) {
                    let known = Ask::KEYS.join(", ");
                    console.warn(&format!(
                        "{shown}:{number}: `{key}` is passed over; known are {known}"
                    ));
                }
            }
            ask.request()
        });
        match asked {
            Ok(request) => writeln!(console.out(), "{}", answer(policy, &request))?,
            Err(error) => {
                wrong += 1;
                let said = json!({"level": null, "rule": null, "why": error.to_string(), "error": error.to_string()});
                writeln!(console.out(), "{said}")?;
                if wrong <= MAX_WRONG {
                    console.failure(&Failure::input(format!("{shown}:{number}: {error}")));
                }
            }
        }
    }
    if wrong > MAX_WRONG {
        console.failure(&Failure::input(format!(
            "{shown}: {} more lines are wrong",
            wrong - MAX_WRONG
        )));
    }
    Ok(if wrong == 0 { ExitCode::Done } else { ExitCode::BadInput })
}

/// Reads a line; `None` at the end, and whether it was not too long.
fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let read = io::Read::take(&mut *reader, MAX_LINE).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.ends_with(b"\n") || (read as u64) < MAX_LINE {
        return Ok(Some(true));
    }
    reader.skip_until(b'\n')?;
    Ok(Some(false))
}
