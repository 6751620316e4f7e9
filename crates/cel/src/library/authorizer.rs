//! `authorizer`: whether a user may do something. Only a live API server can say, so that a check is
//! a fault here, never an answer.

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::Value;

pub(crate) const ROWS: &[Row] = &[
    ("path", "authorizer.(string)->authorizer", narrowed),
    ("group", "authorizer.(string)->authorizer", narrowed),
    ("serviceAccount", "authorizer.(string,string)->authorizer", narrowed),
    ("resource", "authorizer.(string)->authorizer", narrowed),
    ("subresource", "authorizer.(string)->authorizer", narrowed),
    ("namespace", "authorizer.(string)->authorizer", narrowed),
    ("name", "authorizer.(string)->authorizer", narrowed),
    ("fieldSelector", "authorizer.(string)->authorizer", narrowed),
    ("labelSelector", "authorizer.(string)->authorizer", narrowed),
    ("check", "authorizer.(string)->authorizer", check),
    ("allowed", "authorizer.()->bool", check),
    ("reason", "authorizer.()->string", check),
    ("errored", "authorizer.()->bool", check),
    ("error", "authorizer.()->string", check),
];

fn narrowed<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    match arguments {
        [authorizer @ Value::Opaque(_), ..] => Ok(authorizer.clone()),
        _ => mismatch(arguments),
    }
}

fn check<'v>(_: &Ground<'_>, _: &[Value<'v>]) -> Outcome<'v> {
    Err(Fault::invalid("an authorizer's check is not evaluated here: it needs the API server"))
}
