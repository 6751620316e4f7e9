//! Canonical JSON (RFC 8785, JCS): the writer, and the one-pass check of a ledger record's line.
//!
//! <https://www.rfc-editor.org/rfc/rfc8785>. Object keys are ordered by their UTF-16 code units,
//! numbers are written as ECMAScript writes them, strings carry the fewest escapes possible.

mod check;
mod write;

pub use check::{
    MAX_DEPTH, MAX_INTEGER, MAX_RECORD_LINE, NotCanonical, check_json, check_record_line,
};
pub use write::{CanonicalError, compare_keys, to_string, to_vec, value_to_vec, write_string};
