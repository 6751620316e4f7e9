//! What every table of expressions is held against.

use proofstream_cel::{CompileError, Declarations, Fault, Host, Meter, Program, Type, Value};
use serde_json::{Value as Json, json};

/// One object for all expressions.
struct Object(Json);

impl<'v> Host<'v> for &'v Object {
    fn variable(&self, slot: usize, _: &Meter) -> Result<Value<'v>, Fault> {
        match slot {
            0 => Ok(Value::from_json(&self.0)),
            1 => Ok(Value::Int(3)),
            _ => Ok(Value::Opaque(std::sync::Arc::new(proofstream_cel::Opaque::Authorizer))),
        }
    }
}

fn object() -> Object {
    Object(json!({
        "name": "x",
        "text": "some text",
        "whole": 3,
        "fraction": 4.5,
        "nothing": null,
        "yes": true,
        "labels": {"a/b": "c"},
        "list": [1, 2],
        "mixed": [{"missing": 1}, {}],
        "empty": [],
    }))
}

static POINT: [(&str, Type); 2] = [("x", Type::Int), ("of", Type::Dyn)];

fn declarations() -> Declarations {
    let mut declarations = Declarations::default();
    declarations.declare("object", 0, Type::Dyn);
    declarations.declare("variables.count", 1, Type::Int);
    declarations.declare_open_message("Object");
    declarations.declare_message("Point", &POINT);
    declarations.declare("authorizer", 2, Type::Opaque("authorizer"));
    declarations
}

pub(crate) fn compile(expression: &str) -> Result<Program, CompileError> {
    Program::compile(expression, &declarations())
}

/// What an expression comes to, as JSON.
pub(crate) fn evaluate(expression: &str) -> Result<Json, String> {
    let program = compile(expression).map_err(|error| format!("does not compile: {error}"))?;
    let object = object();
    let meter = Meter::new(1_000_000);
    let value = program.evaluate(&&object, &meter).map_err(|fault| fault.to_string())?;
    value.to_json(&meter).map_err(|fault| fault.to_string())
}

/// Every expression is true.
pub(crate) fn holds(expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(evaluate(expression), Ok(json!(true)), "{expression}");
    }
}

/// Every expression compiles and has no value, with these words among the reason.
pub(crate) fn fault(expressions: &[(&str, &str)]) {
    for (expression, words) in expressions {
        let found = evaluate(expression).expect_err(expression);
        assert!(!found.starts_with("does not compile"), "{expression}: {found}");
        assert!(found.contains(words), "{expression}: `{found}` lacks `{words}`");
    }
}

/// No expression compiles, with these words among the reason.
pub(crate) fn compile_error(expressions: &[(&str, &str)]) {
    for (expression, words) in expressions {
        let found = compile(expression).expect_err(expression).to_string();
        assert!(found.contains(words), "{expression}: `{found}` lacks `{words}`");
    }
}
