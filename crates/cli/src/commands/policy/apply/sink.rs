//! Writes results as they come, for people or for programs, without keeping them.

use std::io;

use serde_json::{Value, json};

use crate::commands::policy::ResultFormat;
use crate::console::{Console, Paint};
use crate::exit::Failure;
use crate::junit::{self, Case, Outcome, Suite};
use crate::offline::report::{RuleResult, Summary, Word};

/// Where results go.
pub(super) enum Sink {
    Table {
        all: bool,
        paint: Paint,
        began: bool,
        patched: usize,
    },
    /// Changed objects come after all results, so they are kept until then, as text.
    Json {
        first: bool,
        patched: Vec<String>,
        generated: Vec<String>,
        kept: usize,
    },
    Junit,
}

/// Most bytes of changed objects that are kept.
const MAX_PATCHED: usize = 512 << 20;

// === impl Sink ===

impl Sink {
    pub(super) fn new(format: ResultFormat, all: bool, paint: Paint) -> Self {
        match format {
            ResultFormat::Table => Self::Table { all, paint, began: false, patched: 0 },
            ResultFormat::Json => {
                Self::Json { first: true, patched: Vec::new(), generated: Vec::new(), kept: 0 }
            }
            ResultFormat::Junit => Self::Junit,
        }
    }

    pub(super) fn begin(&self, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Table { .. } => Ok(()),
            Self::Json { .. } => write!(console.out(), "{{\"results\":["),
            Self::Junit => junit::begin(console.out()),
        }
    }

    /// Writes the results for one object, which stands at `place` of the input.
    pub(super) fn object(
        &mut self,
        place: &str,
        results: &[RuleResult],
        console: &mut Console,
    ) -> io::Result<()> {
        match self {
            Self::Json { first, .. } => {
                for result in results {
                    let separator = if std::mem::take(first) { "\n" } else { ",\n" };
                    write!(console.out(), "{separator}{}", serde_json::to_string(result)?)?;
                }
                Ok(())
            }
            Self::Junit => suite(place, results).write(console.out()),
            Self::Table { all, paint, began, .. } => {
                let shown: Vec<_> = results
                    .iter()
                    .filter(|each| *all || !matches!(each.result, Word::Pass | Word::Skip))
                    .collect();
                let Some(first) = shown.first() else { return Ok(()) };
                if std::mem::replace(began, true) {
                    writeln!(console.out())?;
                }
                let heading = paint.strong(&first.resource.to_string());
                writeln!(console.out(), "{heading}  {}", paint.faint(place))?;
                shown.into_iter().try_for_each(|each| row(each, *paint, console))
            }
        }
    }

    /// Takes an object as mutate rules left it.
    pub(super) fn patched(&mut self, object: &Value) -> Result<(), Failure> {
        match self {
            Self::Table { patched, .. } => *patched += 1,
            // The format knows cases alone.
            Self::Junit => {}
            Self::Json { patched, kept, .. } => {
                let text = object.to_string();
                *kept += text.len();
                if *kept > MAX_PATCHED {
                    let mebibytes = MAX_PATCHED >> 20;
                    let message = format!("the changed objects take more than {mebibytes} MiB");
                    return Err(Failure::input(message).help("give fewer resources at once"));
                }
                patched.push(text);
            }
        }
        Ok(())
    }

    /// Takes what a rule made.
    pub(super) fn generated(&mut self, object: &Value) -> Result<(), Failure> {
        let Self::Json { generated, kept, .. } = self else { return Ok(()) };
        let text = object.to_string();
        *kept += text.len();
        if *kept > MAX_PATCHED {
            let mebibytes = MAX_PATCHED >> 20;
            let message = format!("the generated objects take more than {mebibytes} MiB");
            return Err(Failure::input(message).help("give fewer resources at once"));
        }
        generated.push(text);
        Ok(())
    }

    pub(super) fn end(
        &self,
        what: &str,
        summary: &Summary,
        console: &mut Console,
    ) -> io::Result<()> {
        match self {
            Self::Json { patched, generated, .. } => {
                let summary = json!(summary);
                let (patched, generated) = (patched.join(",\n"), generated.join(",\n"));
                let out = console.out();
                write!(out, "\n],\"patched\":[{patched}],\"generated\":[{generated}],")?;
                writeln!(out, "\"summary\":{summary}}}")
            }
            Self::Junit => junit::end(console.out()),
            Self::Table { began, patched, .. } => {
                if *began {
                    writeln!(console.out())?;
                }
                let changed = match patched {
                    0 => String::new(),
                    count => format!(", {count} changed"),
                };
                writeln!(console.out(), "{what}: {}{changed}", summary.in_words())
            }
        }
    }
}

/// The results for one object: a rule that does not apply was not run, one that only warns holds.
fn suite(place: &str, results: &[RuleResult]) -> Suite {
    let named = results.first().map(|result| format!("{} ({place})", result.resource));
    let mut suite = Suite::new(named.unwrap_or_default());
    for result in results {
        let message = || result.message.clone();
        let outcome = match result.result {
            Word::Pass | Word::Warn => Outcome::Passed,
            Word::Fail => Outcome::Failed(message()),
            Word::Error => Outcome::Error(message()),
            Word::Skip => Outcome::Skipped(message()),
        };
        suite.push(Case { class: result.policy.clone(), name: result.rule.clone(), outcome });
    }
    suite
}

/// One result: its word, policy and rule, and below them the message.
fn row(result: &RuleResult, paint: Paint, console: &mut Console) -> io::Result<()> {
    let word = format!("{:<5}", result.result.as_str());
    let word = match result.result {
        Word::Pass => paint.good(&word),
        Word::Fail | Word::Error => paint.bad(&word),
        Word::Warn => paint.doubtful(&word),
        Word::Skip => paint.faint(&word),
    };
    writeln!(console.out(), "  {word}  {} / {}", result.policy, result.rule)?;
    if result.result == Word::Pass {
        return Ok(());
    }
    for line in result.message.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        writeln!(console.out(), "         {line}")?;
    }
    Ok(())
}
