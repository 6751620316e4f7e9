//! What a compiled expression is, and what is declared before one is compiled.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

use crate::ast::Binary;
use crate::checker::Checker;
use crate::error::{CompileError, Fault};
use crate::library::{Overload, Run, Signature};
use crate::machine::{Host, Machine, Meter};
use crate::parser;
use crate::types::Type;
use crate::value::Value;

/// The names and functions that a host gives to expressions.
#[derive(Debug, Clone, Default)]
pub struct Declarations {
    names: HashMap<String, (usize, Type)>,
    functions: HashMap<String, Vec<Arc<Overload>>>,
    messages: HashMap<&'static str, Fields>,
    structures: HashMap<Arc<str>, HashMap<String, Type>>,
    strict: bool,
    /// What expressions are checked against before, names with their full types: nothing runs by it.
    typed: Option<Box<Declarations>>,
}

/// The fields of a message, each with its type; `None` where it has whatever fields it is given, as have
/// the messages whose names are below its own.
type Fields = Option<&'static [(&'static str, Type)]>;

/// A function's signature that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a signature")]
pub struct NotASignature(pub String);

impl Declarations {
    /// Declares a name, dotted ones included (`variables.containers`), with the slot by which the
    /// host is asked for its value. A name declared again means the new slot.
    pub fn declare(&mut self, name: &str, slot: usize, its_type: Type) {
        if let Some(typed) = &mut self.typed {
            typed.declare(name, slot, its_type.clone());
        }
        self.names.insert(name.to_owned(), (slot, its_type));
    }

    /// Declares a structure of these fields and no others: a type that names can have.
    pub fn declare_structure(
        &mut self,
        name: impl Into<Arc<str>>,
        fields: impl IntoIterator<Item = (String, Type)>,
    ) {
        self.structures.insert(name.into(), fields.into_iter().collect());
    }

    /// Whether a structure of this name is declared.
    pub fn has_structure(&self, name: &str) -> bool {
        self.structures.contains_key(name)
    }

    /// Checks every expression also with these types of names, whatever they are when it runs.
    pub fn also_check(&mut self, types: impl IntoIterator<Item = (&'static str, Type)>) {
        let mut typed = Self { typed: None, ..self.clone() };
        for (name, its_type) in types {
            if let Some((slot, _)) = self.names.get(name) {
                typed.declare(name, *slot, its_type);
            }
        }
        self.typed = Some(Box::new(typed));
    }

    /// The fields of a structure; `None` for what is none.
    pub(crate) fn structure(&self, name: &str) -> Option<&HashMap<String, Type>> {
        self.structures.get(name)
    }

    /// Declares a function of the host (`resource.get`, `(string,string)->dyn`) with the number by
    /// which the host is asked to run it.
    ///
    /// # Errors
    /// A signature that cannot be read.
    pub fn declare_function(
        &mut self,
        name: &str,
        text: &str,
        number: usize,
    ) -> Result<(), NotASignature> {
        let signature = Signature::read(text).ok_or_else(|| NotASignature(text.to_owned()))?;
        if let Some(typed) = &mut self.typed {
            typed.declare_function(name, text, number)?;
        }
        let overload = Arc::new(Overload { signature, run: Run::Host(number) });
        self.functions.entry(name.to_owned()).or_default().push(overload);
        Ok(())
    }

    /// Takes only what the API server takes in its own policies: no `cel.bind`, and no expression whose
    /// type must be seen in an object before it is known to be the wanted one.
    pub fn be_strict(&mut self) {
        self.strict = true;
    }

    /// Whether only what the API server takes is taken.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Declares a message that expressions may make, with its fields.
    pub fn declare_message(&mut self, name: &'static str, fields: &'static [(&'static str, Type)]) {
        if let Some(typed) = &mut self.typed {
            typed.declare_message(name, fields);
        }
        self.messages.insert(name, Some(fields));
    }

    /// Declares a message of any fields; what is below it (`Object.spec`) are messages too.
    pub fn declare_open_message(&mut self, name: &'static str) {
        if let Some(typed) = &mut self.typed {
            typed.declare_open_message(name);
        }
        self.messages.insert(name, None);
    }

    /// The fields of a message; `None` for one that is not declared.
    pub(crate) fn message(&self, name: &str) -> Option<Fields> {
        if let Some(fields) = self.messages.get(name) {
            return Some(*fields);
        }
        let (first, _) = name.split_once('.')?;
        self.messages.get(first).copied().filter(Option::is_none)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&(usize, Type)> {
        self.names.get(name)
    }

    /// Whether a name, or one below it, is declared.
    pub(crate) fn knows(&self, name: &str) -> bool {
        let below = |known: &String| {
            known.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.names.keys().any(below)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    pub(crate) fn functions(&self, name: &str) -> &[Arc<Overload>] {
        self.functions.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A compiled expression; immutable, and shared between threads.
#[derive(Debug)]
pub struct Program {
    expression: String,
    root: Node,
    result: Type,
}

impl Program {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong in it, and where.
    pub fn compile(expression: &str, declarations: &Declarations) -> Result<Self, CompileError> {
        let wrong = |found| CompileError::new(found, expression);
        let parsed = parser::parse(expression).map_err(wrong)?;
        if let Some(typed) = &declarations.typed {
            Checker::new(typed).check(&parsed).map_err(wrong)?;
        }
        let (root, result) = Checker::new(declarations).check(&parsed).map_err(wrong)?;
        Ok(Self { expression: expression.to_owned(), root, result })
    }

    /// The same, for an expression whose value must be of a type. One whose type only the evaluation
    /// will know is accepted, unless
    /// the declarations are strict.
    ///
    /// # Errors
    /// What is wrong in it, and where.
    pub fn compile_as(
        expression: &str,
        declarations: &Declarations,
        wanted: &Type,
    ) -> Result<Self, CompileError> {
        let program = Self::compile(expression, declarations)?;
        let may_be = program.result == Type::Dyn && !declarations.strict;
        if program.result != *wanted && !may_be {
            let message = if program.result == Type::Dyn {
                format!(
                    "must be of type `{wanted}` whatever the object holds: compare or convert it"
                )
            } else {
                format!("must be of type `{wanted}`, not `{}`", program.result)
            };
            return Err(CompileError::new(crate::error::Wrong::new(0, message), expression));
        }
        Ok(program)
    }

    /// The expression.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The type of its value.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// The value of the expression.
    ///
    /// # Errors
    /// Why it has none.
    pub fn evaluate<'v>(&self, host: &dyn Host<'v>, meter: &Meter) -> Result<Value<'v>, Fault> {
        Machine::new(host, meter).evaluate(&self.root)
    }
}

/// A step of a compiled expression.
#[derive(Debug)]
pub(crate) enum Node {
    Constant(Value<'static>),
    /// A declared name, by its slot.
    Variable(usize),
    /// A name of a macro, by its place on the stack.
    Local(usize),
    Select(Box<Node>, Box<str>),
    Has(Box<Node>, Box<str>),
    OptionalSelect(Box<Node>, Box<str>),
    Index(Box<[Node; 2]>),
    OptionalIndex(Box<[Node; 2]>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    /// A message: its name, and its fields with their values.
    Message(Arc<str>, Vec<(Box<str>, Node, bool)>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Binary, Box<[Node; 2]>),
    Conditional(Box<[Node; 3]>),
    /// `x.or(y)` and `x.orValue(y)`: the other is evaluated only where it is needed.
    OptionalOr(Box<[Node; 2]>),
    OptionalOrValue(Box<[Node; 2]>),
    Call(Box<Call>),
    Comprehension(Box<Comprehension>),
    /// `cel.bind`: a value, and what is evaluated with it on the stack.
    Bind(Box<[Node; 2]>),
    /// `optMap` (false) and `optFlatMap` (true).
    OptionalMap(Box<[Node; 2]>, bool),
}

/// A call of a function.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: Box<str>,
    /// What fits the types that were known when it was compiled.
    pub(crate) overloads: Vec<Arc<Overload>>,
    pub(crate) arguments: Vec<Node>,
    /// The regular expression among its arguments, where it is written out.
    pub(crate) pattern: Option<Regex>,
}

/// A loop over a list or a map.
#[derive(Debug)]
pub(crate) struct Comprehension {
    pub(crate) kind: Loop,
    pub(crate) range: Node,
    /// Whether keys and values (places and elements) each have a name.
    pub(crate) two_names: bool,
    pub(crate) condition: Option<Node>,
    pub(crate) body: Node,
}

/// What a loop makes of its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loop {
    All,
    Exists,
    ExistsOne,
    /// `map`, `transformList`.
    List,
    Filter,
    /// `transformMap`.
    Map,
    /// `transformMapEntry`.
    MapEntry,
    SortBy,
}
