//! CEL as Kubernetes speaks it: compile once, evaluate on borrowed objects; pure.
//!
//! The language is that of <https://github.com/google/cel-spec>, the functions those of the API server
//! (<https://kubernetes.io/docs/reference/using-api/cel/>). The way through the crate: declare names in
//! a [`Declarations`], [`Program::compile`] an expression, and [`Program::evaluate`] it with a [`Host`]
//! that knows the names' values. Objects stay where they are: maps and lists of JSON are borrowed, and
//! only what an expression makes is new. Every evaluation has a budget.

mod ast;
mod checker;
mod error;
mod lexer;
mod library;
mod machine;
mod number;
mod parser;
mod program;
mod quantity;
mod types;
mod value;

pub use error::{CompileError, Fault};
pub use machine::{Host, Meter};
pub use number::parse_duration;
pub use program::{Declarations, NotASignature, Program};
pub use quantity::{Notation, Quantity};
pub use types::Type;
pub use value::{Key, List, Map, Message, Opaque, Text, Value};
