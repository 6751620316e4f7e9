//! JUnit's XML, as build servers read it: suites of cases, written suite by suite.

use std::fmt::Write as _;
use std::io::{self, Write};

/// One suite.
#[derive(Debug)]
pub(crate) struct Suite {
    name: String,
    cases: Vec<Case>,
}

/// One case.
#[derive(Debug)]
pub(crate) struct Case {
    /// What it belongs to, as in the name of a policy.
    pub(crate) class: String,
    /// Its own name.
    pub(crate) name: String,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold, and why.
    Failed(String),
    /// It could not be run through, and why.
    Error(String),
    /// It was not run, and why.
    Skipped(String),
}

/// Begins a document.
pub(crate) fn begin(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"proofstream\">")
}

/// Ends a document.
pub(crate) fn end(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "</testsuites>")
}

impl Suite {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), cases: Vec::new() }
    }

    pub(crate) fn push(&mut self, case: Case) {
        self.cases.push(case);
    }

    /// Writes the suite; one without cases is not written.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.cases.is_empty() {
            return Ok(());
        }
        let count = |wanted: fn(&Outcome) -> bool| {
            self.cases.iter().filter(|case| wanted(&case.outcome)).count()
        };
        let failures = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let errors = count(|outcome| matches!(outcome, Outcome::Error(_)));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" \
             skipped=\"{skipped}\">",
            escaped(&self.name),
            self.cases.len(),
        )?;
        for case in &self.cases {
            case.write(out)?;
        }
        writeln!(out, "  </testsuite>")
    }
}

impl Case {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (class, name) = (escaped(&self.class), escaped(&self.name));
        write!(out, "    <testcase classname=\"{class}\" name=\"{name}\"")?;
        let (tag, why) = match &self.outcome {
            Outcome::Passed => return writeln!(out, "/>"),
            Outcome::Failed(why) => ("failure", why),
            Outcome::Error(why) => ("error", why),
            Outcome::Skipped(why) => ("skipped", why),
        };
        writeln!(out, "><{tag} message=\"{}\"/></testcase>", escaped(why))
    }
}

/// Text for an attribute; characters that XML does not know become `\u{…}`.
fn escaped(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => made.push_str("&amp;"),
            '<' => made.push_str("&lt;"),
            '>' => made.push_str("&gt;"),
            '"' => made.push_str("&quot;"),
            '\n' => made.push_str("&#10;"),
            '\t' => made.push_str("&#9;"),
            '\r' => made.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(made, "\\u{{{:x}}}", u32::from(character));
            }
            other => made.push(other),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_counts_its_cases_and_escapes_its_words() {
        let mut suite = Suite::new("a<b");
        let outcomes = [
            Outcome::Passed,
            Outcome::Failed("\"x\" & \u{1}\ny".to_owned()),
            Outcome::Error("e".to_owned()),
            Outcome::Skipped("s".to_owned()),
        ];
        for outcome in outcomes {
            suite.push(Case { class: "p".to_owned(), name: "r".to_owned(), outcome });
        }
        let mut out = Vec::new();
        begin(&mut out).unwrap();
        suite.write(&mut out).unwrap();
        Suite::new("empty").write(&mut out).unwrap();
        end(&mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
