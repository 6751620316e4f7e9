//! The shared words: subjects, verdicts, findings, decisions, records
