//! Values of records as cells of a table.

use proofstream_model::Record;
use serde_json::Value;

/// A column: its heading, and where its value stands in the record (`/seq`, `/body/user`, …).
pub(crate) type Column = (&'static str, &'static str);

/// The cells of one record.
pub(crate) fn row(record: &Record, columns: &[Column]) -> Vec<String> {
    columns.iter().map(|(_, pointer)| guarded(&text(record, pointer))).collect()
}

fn text(record: &Record, pointer: &str) -> String {
    match pointer {
        "/seq" => record.seq.to_string(),
        "/time" => record.time.to_string(),
        "/source" => record.source.clone(),
        "/source_epoch" => record.source_epoch.to_string(),
        "/source_seq" => record.source_seq.to_string(),
        "/controls" => record.controls.join("; "),
        _ => {
            let inner = pointer.strip_prefix("/body").and_then(|rest| record.body.pointer(rest));
            inner.map_or_else(String::new, plain)
        }
    }
}

/// Lists are joined by `; `; what has an inner shape is JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

/// A cell that no spreadsheet takes for a formula: one that begins like a formula gets a `'` before
/// it, which spreadsheets do not show.
pub(crate) fn guarded(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_becomes_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"] {
            assert_eq!(guarded(formula), format!("'{formula}"));
        }
        assert_eq!(guarded("pay=1"), "pay=1");
    }
}
