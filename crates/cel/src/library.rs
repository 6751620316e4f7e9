//! The functions: each a row of a table with its name, its signature and what runs it.

pub(crate) mod authorizer;
pub(crate) mod convert;
pub(crate) mod encoders;
pub(crate) mod format_text;
pub(crate) mod formats;
pub(crate) mod image;
pub(crate) mod lists;
pub(crate) mod math;
pub(crate) mod network;
pub(crate) mod operators;
pub(crate) mod optional;
pub(crate) mod quantity;
pub(crate) mod regular_expression;
pub(crate) mod semantic_version;
pub(crate) mod sets;
pub(crate) mod strings;
pub(crate) mod time;
pub(crate) mod url;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;

use crate::error::Fault;
use crate::machine::Meter;
use crate::types::{Bound, Type};
use crate::value::Value;

/// What a function gives.
pub(crate) type Outcome<'v> = Result<Value<'v>, Fault>;

/// What runs a function. Arguments are of the signature's types, the receiver first.
pub(crate) type Native = for<'v> fn(&Ground<'_>, &[Value<'v>]) -> Outcome<'v>;

/// What surrounds a function while it runs.
pub(crate) struct Ground<'g> {
    pub(crate) meter: &'g Meter,
    /// The regular expression among the arguments, where it is written out.
    pub(crate) pattern: Option<&'g Regex>,
}

/// A row of a table: name, signature, what runs it.
pub(crate) type Row = (&'static str, &'static str, Native);

const TABLES: [&[Row]; 17] = [
    authorizer::ROWS,
    convert::ROWS,
    encoders::ROWS,
    format_text::ROWS,
    formats::ROWS,
    image::ROWS,
    lists::ROWS,
    math::ROWS,
    network::ROWS,
    optional::ROWS,
    quantity::ROWS,
    regular_expression::ROWS,
    semantic_version::ROWS,
    sets::ROWS,
    strings::ROWS,
    time::ROWS,
    url::ROWS,
];

/// One signature of a function, and what runs it.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) signature: Signature,
    pub(crate) run: Run,
}

/// What runs a function.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Run {
    Native(Native),
    /// The host, by the number of the declaration.
    Host(usize),
}

/// Types of a function: `string.(int)->string` is a member, `(string)->int` is not, and the last
/// parameter may repeat (`(dyn...)->dyn`).
#[derive(Debug)]
pub(crate) struct Signature {
    member: bool,
    parameters: Vec<Type>,
    repeats: bool,
    result: Type,
}

impl Signature {
    /// Reads a signature; `None` where the text is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (mut parameters, mut repeats) = (Vec::new(), false);
        let member = !text.starts_with('(');
        let mut rest = text;
        if member {
            let (receiver, after) = Type::read(rest)?;
            parameters.push(receiver);
            rest = after.strip_prefix('.')?;
        }
        rest = rest.strip_prefix('(')?;
        while !rest.starts_with(')') {
            let (parameter, after) = Type::read(rest)?;
            parameters.push(parameter);
            rest = after;
            if let Some(after) = rest.strip_prefix("...") {
                repeats = true;
                rest = after;
            }
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        let (result, rest) = Type::read(rest.strip_prefix(")->")?)?;
        rest.is_empty().then_some(Self { member, parameters, repeats, result })
    }

    /// The type of a call's result; `None` where the call does not fit.
    pub(crate) fn result(&self, member: bool, arguments: &[Type]) -> Option<Type> {
        if self.member != member || !self.takes(arguments.len()) {
            return None;
        }
        let mut bound = Bound::default();
        let fits = self
            .each(arguments.len())
            .zip(arguments)
            .all(|(wanted, found)| bound.accepts(wanted, found));
        fits.then(|| bound.fill(&self.result))
    }

    /// Whether values fit; what they hold is not looked at.
    pub(crate) fn admits(&self, values: &[Value<'_>]) -> bool {
        self.takes(values.len())
            && self.each(values.len()).zip(values).all(|(wanted, found)| wanted.admits(found))
    }

    fn takes(&self, count: usize) -> bool {
        let wanted = self.parameters.len();
        if self.repeats { count >= wanted } else { count == wanted }
    }

    fn each(&self, count: usize) -> impl Iterator<Item = &Type> {
        let repeated = self.parameters.last().filter(|_| self.repeats);
        let more = count.saturating_sub(self.parameters.len());
        self.parameters.iter().chain(std::iter::repeat_n(repeated, more).flatten())
    }
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Arc<Overload>>>> = LazyLock::new(|| {
    let mut functions: HashMap<&'static str, Vec<Arc<Overload>>> = HashMap::new();
    for (name, text, native) in TABLES.into_iter().flatten() {
        // INVARIANT: every signature of the tables can be read; a test holds it.
        if let Some(signature) = Signature::read(text) {
            let overload = Overload { signature, run: Run::Native(*native) };
            functions.entry(name).or_default().push(Arc::new(overload));
        }
    }
    functions
});

static OPERATORS: LazyLock<HashMap<&'static str, Vec<Signature>>> = LazyLock::new(|| {
    let mut operators: HashMap<&'static str, Vec<Signature>> = HashMap::new();
    for (symbols, texts) in operators::SIGNATURES {
        for symbol in symbols {
            let signatures = texts.iter().filter_map(|text| Signature::read(text));
            operators.entry(symbol).or_default().extend(signatures);
        }
    }
    operators
});

/// The overloads of a name.
pub(crate) fn overloads(name: &str) -> &'static [Arc<Overload>] {
    FUNCTIONS.get(name).map(Vec::as_slice).unwrap_or_default()
}

/// The type of an operator's result; `None` where it cannot take such operands.
pub(crate) fn operator_result(symbol: &str, operands: &[Type]) -> Option<Type> {
    let known = OPERATORS.get(symbol).map(Vec::as_slice).unwrap_or_default();
    let mut results = known.iter().filter_map(|signature| signature.result(false, operands));
    let first = results.next()?;
    Some(if results.all(|other| other == first) { first } else { Type::Dyn })
}

/// What a function says of arguments that its signature should have kept away.
pub(crate) fn mismatch<'v>(arguments: &[Value<'v>]) -> Outcome<'v> {
    let shown: Vec<String> = arguments.iter().map(Value::type_name).collect();
    Err(Fault::NoSuchOverload(format!("({})", shown.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_can_be_read() {
        for (name, text, _) in TABLES.into_iter().flatten() {
            assert!(Signature::read(text).is_some(), "{name}: {text}");
        }
        for text in operators::SIGNATURES.into_iter().flat_map(|(_, texts)| texts) {
            assert!(Signature::read(text).is_some(), "{text}");
        }
    }
}
