//! Assertion trees: what an object must look like, as a tree of its own shape.
//! <https://kyverno.github.io/kyverno-json/latest/policies/asserts/>
//!
//! A key is a member, or an expression in parentheses; `~.` before it goes through the elements
//! (`~name.` binds the index or key too), `-> name` after it binds what it gives to `$name`; `\…\`
//! takes what it holds literally. A leaf is a value, or an expression in parentheses.

mod key;
mod matching;

use serde_json::Value;

use crate::error::ParseError;
use crate::fields::wrong_type;
use crate::jmespath::{Ast, Data, Failure, Interpreter, compile_with_variables};
use key::{Key, Loop};

/// Deepest tree.
const MAX_DEPTH: usize = 100;
/// Most differences that are told.
const MAX_DIFFERENCES: usize = 20;

/// A tree, compiled.
#[derive(Debug)]
pub(crate) enum Tree {
    List(Vec<Self>),
    Object(Vec<(Key, Self)>),
    Literal(Value),
    Expression(Ast),
}

/// Where an object differs, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// Names that expressions can use as `$name`: those bound on the way, and the policy's own.
pub(crate) struct Names<'n> {
    bound: Vec<(String, Value)>,
    outer: &'n dyn Fn(&str) -> Result<Option<Value>, Failure>,
}

impl<'n> Names<'n> {
    pub(crate) fn new(outer: &'n dyn Fn(&str) -> Result<Option<Value>, Failure>) -> Self {
        Self { bound: Vec::new(), outer }
    }

    fn get(&self, name: &str) -> Result<Value, Failure> {
        if let Some((_, value)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return Ok(value.clone());
        }
        (self.outer)(name)?.ok_or_else(|| Failure::invalid(format!("unknown name `${name}`")))
    }
}

impl Tree {
    pub(crate) fn compile(value: &Value, path: &str) -> Result<Self, ParseError> {
        Self::compile_at(value, path, 0)
    }

    fn compile_at(value: &Value, path: &str, depth: usize) -> Result<Self, ParseError> {
        if depth > MAX_DEPTH {
            return Err(ParseError::new(path, format!("nested deeper than {MAX_DEPTH}")));
        }
        match value {
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(place, item)| {
                    Self::compile_at(item, &format!("{path}[{place}]"), depth + 1)
                });
                items.collect::<Result<_, _>>().map(Self::List)
            }
            Value::Object(members) => {
                let members = members.iter().map(|(key, value)| {
                    let path = format!("{path}.{key}");
                    Ok((Key::parse(key, &path)?, Self::compile_at(value, &path, depth + 1)?))
                });
                let mut members: Vec<(Key, Self)> = members.collect::<Result<_, _>>()?;
                // What is bound is known to all beside it, in whatever order they are written.
                members.sort_by_key(|(key, _)| key.binding.is_none());
                Ok(Self::Object(members))
            }
            Value::String(text) => {
                let key = Key::parse(text, path)?;
                if key.each.is_some() || key.binding.is_some() {
                    let message = "a value neither iterates nor binds; `\\…\\` takes it literally";
                    return Err(ParseError::new(path, message));
                }
                Ok(match key.expression {
                    Some(ast) => Self::Expression(ast),
                    None => Self::Literal(Value::String(key.statement)),
                })
            }
            other => Ok(Self::Literal(other.clone())),
        }
    }

    /// Whether the tree is about a member of its root by name.
    pub(crate) fn names(&self, member: &str) -> bool {
        let Self::Object(members) = self else { return false };
        members.iter().any(|(key, _)| key.expression.is_none() && key.statement == member)
    }

    /// Where a value differs from the tree.
    ///
    /// # Errors
    /// An expression has no value, or what is compared cannot be.
    pub(crate) fn differences(
        &self,
        value: &Value,
        names: &mut Names<'_>,
        interpreter: &Interpreter,
    ) -> Result<Vec<Difference>, Failure> {
        let mut walk = Walk { names, interpreter, differences: Vec::new() };
        walk.node(self, "", value)?;
        Ok(walk.differences)
    }
}

/// Reads a tree that must be an object, as a rule's `assert` is.
pub(crate) fn parse(value: &Value, path: &str) -> Result<Tree, ParseError> {
    match value {
        Value::Object(_) => Tree::compile(value, path),
        other => Err(wrong_type(path, "an object", other)),
    }
}

struct Walk<'w, 'n> {
    names: &'w mut Names<'n>,
    interpreter: &'w Interpreter,
    differences: Vec<Difference>,
}

impl Walk<'_, '_> {
    fn differ(&mut self, path: &str, reason: impl Into<String>) {
        if self.differences.len() < MAX_DIFFERENCES {
            self.differences.push(Difference { path: path.to_owned(), reason: reason.into() });
        }
    }

    fn node(&mut self, tree: &Tree, path: &str, value: &Value) -> Result<(), Failure> {
        self.interpreter.charge(1)?;
        match tree {
            Tree::List(items) => self.list(items, path, value),
            Tree::Object(members) => self.object(members, path, value),
            Tree::Literal(wanted) => self.leaf(wanted, path, value),
            Tree::Expression(ast) => {
                let wanted = self.evaluate(ast, value)?;
                self.leaf(&wanted, path, value)
            }
        }
    }

    fn list(&mut self, items: &[Tree], path: &str, value: &Value) -> Result<(), Failure> {
        let found = match value {
            Value::Null => {
                self.differ(path, "is missing");
                return Ok(());
            }
            Value::Array(found) => found,
            _ => return Err(Failure::invalid(format!("`{path}` is not a list"))),
        };
        if found.len() != items.len() {
            self.differ(path, format!("has {} elements, not {}", found.len(), items.len()));
            return Ok(());
        }
        for (place, (item, found)) in items.iter().zip(found).enumerate() {
            self.node(item, &format!("{path}[{place}]"), found)?;
        }
        Ok(())
    }

    fn object(
        &mut self,
        members: &[(Key, Tree)],
        path: &str,
        value: &Value,
    ) -> Result<(), Failure> {
        if members.is_empty() && value.is_null() {
            self.differ(path, "must not be null");
        }
        let outside = self.names.bound.len();
        for (key, tree) in members {
            let path = match path {
                "" => key.statement.clone(),
                path => format!("{path}.{}", key.statement),
            };
            let Some(projected) = self.project(key, value, &path)? else {
                self.differ(&path, "is missing");
                continue;
            };
            if let Some(name) = &key.binding {
                self.names.bound.push((name.clone(), projected.clone()));
            }
            match &key.each {
                None => self.node(tree, &path, &projected)?,
                Some(each) => self.each(each, tree, &path, &projected)?,
            }
        }
        self.names.bound.truncate(outside);
        Ok(())
    }

    /// What a key gives of a value; `None` where a member is missing.
    fn project(&self, key: &Key, value: &Value, path: &str) -> Result<Option<Value>, Failure> {
        if let Some(ast) = &key.expression {
            return self.evaluate(ast, value).map(Some);
        }
        match value {
            Value::Null => Ok(None),
            Value::Object(members) => Ok(members.get(&key.statement).cloned()),
            _ => Err(Failure::invalid(format!("`{path}` is asked of what is no object"))),
        }
    }

    fn each(&mut self, each: &Loop, tree: &Tree, path: &str, value: &Value) -> Result<(), Failure> {
        let elements: Vec<(Value, String, &Value)> = match value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(place, item)| (Value::from(place), format!("{path}[{place}]"), item))
                .collect(),
            Value::Object(members) => members
                .iter()
                .map(|(key, item)| (Value::from(key.as_str()), format!("{path}[{key}]"), item))
                .collect(),
            _ => return Err(Failure::invalid(format!("`{path}` is no list and no object"))),
        };
        for (index, path, element) in elements {
            let outside = self.names.bound.len();
            if let Some(name) = &each.name {
                self.names.bound.push((name.clone(), index));
            }
            self.node(tree, &path, element)?;
            self.names.bound.truncate(outside);
        }
        Ok(())
    }

    fn leaf(&mut self, wanted: &Value, path: &str, found: &Value) -> Result<(), Failure> {
        let fits = matching::fits(wanted, found)
            .map_err(|why| Failure::invalid(format!("`{path}`: {why}")))?;
        if !fits {
            self.differ(path, format!("is `{found}`, not `{wanted}`"));
        }
        Ok(())
    }

    fn evaluate(&self, ast: &Ast, value: &Value) -> Result<Value, Failure> {
        let bound;
        let ast = if ast.has_variables() {
            bound = ast.bind(&|name| self.names.get(name))?;
            &bound
        } else {
            ast
        };
        // A missing key is nothing here: these expressions are not those of the policy's variables.
        self.interpreter.forgiving(ast, &Data::Borrowed(value))?.into_value()
    }
}

/// Reads an expression of a tree.
fn expression(text: &str, path: &str) -> Result<Ast, ParseError> {
    compile_with_variables(text.trim()).map_err(|error| ParseError::new(path, error.to_string()))
}

#[cfg(test)]
mod tests;
