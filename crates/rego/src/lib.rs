//! Rego as Gatekeeper's templates speak it, in both versions of the language: a template is compiled once
//! and evaluated within a budget of steps. Nothing here reads a clock, a file or a network.
//!
//! Bodies are put into an order in which every variable has a value before it is used; after that what
//! has one value is an expression, and what goes through several is a step, so that an evaluation neither
//! searches for names nor takes anything back. Recursion and functions that are not known are errors when
//! a template is compiled; what loops ends with [`Fault::Budget`].
//!
//! ```
//! use proofstream_rego::{Limits, Program, Source, Value};
//!
//! let template = r#"
//!     package k8srequiredlabels
//!     violation[{"msg": msg}] {
//!         required := input.parameters.labels[_]
//!         not input.review.object.metadata.labels[required]
//!         msg := sprintf("label %v is missing", [required])
//!     }"#;
//! let program = Program::compile(&Source::first(template), &[]).unwrap();
//! let input = serde_json::json!({
//!     "parameters": { "labels": ["owner"] },
//!     "review": { "object": { "metadata": { "labels": {} } } },
//! });
//! let found = program.violations(Value::from_json(&input), Value::Null, Limits::default()).unwrap();
//! assert_eq!(found[0].member("msg"), Some(&Value::text("label owner is missing")));
//! ```

mod ast;
mod builtins;
mod compile;
mod error;
mod lexer;
mod machine;
mod parser;
mod plan;
mod program;
mod value;

pub use error::{Error, Fault, Position};
pub use program::{CompileError, Limits, Program, Source};
pub use value::{Number, Value};
