//! House rules, held by a program
fn main() {}
