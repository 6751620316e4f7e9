//! Writes results as they come, for people or for programs, without keeping them.

use std::io;

use serde_json::json;

use crate::commands::Format;
use crate::console::{Console, Paint};
use crate::exit::Failure;
use crate::offline::report::{Made, RuleResult, Summary, Word};

/// Most bytes of generated objects that wait for the results' end.
const MAX_MADE: usize = 256 << 20;

/// Where results go.
pub(super) enum Sink {
    Table { all: bool, paint: Paint, began: bool },
    Json { first: bool, made: String },
}

// === impl Sink ===

impl Sink {
    pub(super) fn new(format: Format, all: bool, paint: Paint) -> Self {
        match format {
            Format::Table => Self::Table { all, paint, began: false },
            Format::Json => Self::Json { first: true, made: String::new() },
        }
    }

    pub(super) fn begin(&self, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Table { .. } => Ok(()),
            Self::Json { .. } => write!(console.out(), "{{\"results\":["),
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
            Self::Table { all, paint, began } => {
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

    /// Keeps what rules make for the end of a JSON document.
    pub(super) fn made(&mut self, objects: &[Made]) -> Result<(), Failure> {
        let Self::Json { made, .. } = self else { return Ok(()) };
        for object in objects {
            let text = serde_json::to_string(object).map_err(io::Error::from)?;
            if made.len() + text.len() > MAX_MADE {
                let message = format!("more than {} MiB of generated objects", MAX_MADE >> 20);
                return Err(Failure::input(message).help("judge fewer objects at a time"));
            }
            made.push_str(if made.is_empty() { "\n" } else { ",\n" });
            made.push_str(&text);
        }
        Ok(())
    }

    pub(super) fn end(
        &self,
        what: &str,
        summary: &Summary,
        console: &mut Console,
    ) -> io::Result<()> {
        match self {
            Self::Json { made, .. } => {
                let summary = json!(summary);
                let out = console.out();
                write!(out, "\n],\"patched\":[],\"generated\":[{made}")?;
                writeln!(out, "],\"summary\":{summary}}}")
            }
            Self::Table { began, .. } => {
                if *began {
                    writeln!(console.out())?;
                }
                writeln!(console.out(), "{what}: {}", summary.in_words())
            }
        }
    }
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
