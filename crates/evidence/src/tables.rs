//! The bundle's CSV tables (RFC 4180): one row a record of the period, with the `seq` that leads
//! to the raw record.

use csv::{Terminator, Writer, WriterBuilder};
use proofstream_model::{Kind, Record};

use crate::ExportError;
use crate::bundle::{Bundle, OpenFile};
use crate::cells::{Column, guarded, row};

const BLOCKS: &[Column] = &[
    ("seq", "/seq"),
    ("time", "/time"),
    ("requested", "/body/requested"),
    ("enforcer", "/body/enforcer"),
    ("user", "/body/user"),
    ("groups", "/body/groups"),
    ("operation", "/body/operation"),
    ("api_version", "/body/subject/apiVersion"),
    ("kind", "/body/subject/kind"),
    ("namespace", "/body/subject/namespace"),
    ("name", "/body/subject/name"),
    ("owner", "/body/owner"),
    ("policies", "/body/policies"),
    ("rules", "/body/rules"),
    ("controls", "/controls"),
    ("requirements", "/body/requirements"),
    ("code", "/body/code"),
    ("message", "/body/message"),
    ("event_source", "/body/event/source"),
    ("event_epoch", "/body/event/epoch"),
    ("event_number", "/body/event/number"),
    ("event_sha256", "/body/event/sha256"),
    ("decision_source", "/body/decision/source"),
    ("decision_epoch", "/body/decision/epoch"),
    ("decision_number", "/body/decision/number"),
];

const DECISIONS: &[Column] = &[
    ("seq", "/seq"),
    ("time", "/time"),
    ("decision", "/body/decision"),
    ("would_block", "/body/would_block"),
    ("dry_run", "/body/dry_run"),
    ("user", "/body/user"),
    ("groups", "/body/groups"),
    ("operation", "/body/operation"),
    ("api_version", "/body/subject/apiVersion"),
    ("kind", "/body/subject/kind"),
    ("namespace", "/body/subject/namespace"),
    ("name", "/body/subject/name"),
    ("subresource", "/body/subresource"),
    ("owner", "/body/owner"),
    ("policies", "/body/policies"),
    ("rules", "/body/rules"),
    ("controls", "/controls"),
    ("requirements", "/body/requirements"),
    ("latency_us", "/body/latency_us"),
    ("source", "/source"),
    ("source_epoch", "/source_epoch"),
    ("source_number", "/source_seq"),
];

const FINDINGS: &[Column] = &[
    ("seq", "/seq"),
    ("time", "/time"),
    ("state", "/body/state"),
    ("verdict", "/body/verdict"),
    ("check", "/body/check"),
    ("rule", "/body/rule"),
    ("api_version", "/body/subject/apiVersion"),
    ("kind", "/body/subject/kind"),
    ("namespace", "/body/subject/namespace"),
    ("name", "/body/subject/name"),
    ("uid", "/body/uid"),
    ("path", "/body/subject/path"),
    ("owner", "/body/owner"),
    ("controls", "/controls"),
    ("requirements", "/body/requirements"),
    ("first_seen", "/body/first_seen"),
    ("message", "/body/message"),
    ("fix", "/body/fix"),
];

const GAPS: &[Column] = &[
    ("seq", "/seq"),
    ("time", "/time"),
    ("source", "/body/source"),
    ("epoch", "/body/epoch"),
    ("after", "/body/after"),
    ("from", "/body/from"),
    ("to", "/body/to"),
    ("count", "/body/count"),
    ("cause", "/body/cause"),
];

const POLICIES: &[Column] = &[
    ("seq", "/seq"),
    ("time", "/time"),
    ("state", "/body/state"),
    ("kind", "/body/kind"),
    ("name", "/body/name"),
    ("origin", "/body/origin"),
    ("sha256", "/body/sha256"),
    ("controls", "/controls"),
    ("requirements", "/body/requirements"),
    ("message", "/body/message"),
];

/// One table being written.
pub(crate) struct Table {
    writer: Writer<OpenFile>,
    path: String,
}

/// The tables whose rows are records.
pub(crate) struct Tables {
    tables: Vec<(Kind, &'static [Column], Table)>,
}

// === impl Table ===

impl Table {
    /// Begins a table with its headings.
    pub(crate) fn new<'h>(
        bundle: &mut Bundle<'_>,
        path: &str,
        headings: impl IntoIterator<Item = &'h str>,
    ) -> Result<Self, ExportError> {
        let file = bundle.open(path)?;
        let writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(file);
        let mut table = Self { writer, path: path.to_owned() };
        table.cells(headings.into_iter().map(str::to_owned).collect())?;
        Ok(table)
    }

    /// Adds a row; what could be taken for a formula is guarded.
    pub(crate) fn guarded(&mut self, cells: &[String]) -> Result<(), ExportError> {
        self.cells(cells.iter().map(|cell| guarded(cell)).collect())
    }

    fn cells(&mut self, cells: Vec<String>) -> Result<(), ExportError> {
        self.writer.write_record(cells).map_err(|error| ExportError::form(&self.path, error))
    }

    /// Ends the table.
    pub(crate) fn close(self, bundle: &mut Bundle<'_>) -> Result<(), ExportError> {
        let path = self.path;
        let file = self.writer.into_inner().map_err(|error| ExportError::form(&path, error))?;
        bundle.close(file)
    }
}

// === impl Tables ===

impl Tables {
    /// Begins the tables of the exported kinds.
    pub(crate) fn new(bundle: &mut Bundle<'_>, kinds: &[Kind]) -> Result<Self, ExportError> {
        let all: [(Kind, &'static str, &'static [Column]); 5] = [
            (Kind::Block, "tables/blocks.csv", BLOCKS),
            (Kind::Decision, "tables/decisions.csv", DECISIONS),
            (Kind::Finding, "tables/findings.csv", FINDINGS),
            (Kind::Gap, "tables/gaps.csv", GAPS),
            (Kind::Policy, "tables/policies.csv", POLICIES),
        ];
        let mut tables = Vec::new();
        for (kind, path, columns) in all {
            if kinds.contains(&kind) {
                let headings = columns.iter().map(|(heading, _)| *heading);
                tables.push((kind, columns, Table::new(bundle, path, headings)?));
            }
        }
        Ok(Self { tables })
    }

    /// Adds the row of a record, where its kind has a table.
    pub(crate) fn add(&mut self, kind: Kind, record: &Record) -> Result<(), ExportError> {
        match self.tables.iter_mut().find(|(of, ..)| *of == kind) {
            Some((_, columns, table)) => table.cells(row(record, columns)),
            None => Ok(()),
        }
    }

    /// Ends the tables.
    pub(crate) fn close(self, bundle: &mut Bundle<'_>) -> Result<(), ExportError> {
        self.tables.into_iter().try_for_each(|(.., table)| table.close(bundle))
    }
}
