//! Admission policies: parse, compile once, evaluate; pure
