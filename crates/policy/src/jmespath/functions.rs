//! The table of functions: name, what each argument may be, what is run.

mod certificate;
mod encoding;
mod field;
mod lists;
mod numbers;
mod random;
mod text;
mod time;

use super::{Data, Failure, Interpreter};
pub(crate) use encoding::hexadecimal;

/// What is run: arguments are already of the types that the table asks for.
type Run = for<'a> fn(&Interpreter, Vec<Data<'a>>) -> Result<Data<'a>, Failure>;

/// A set of types that an argument may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    const TEXT: Self = Self(1);
    const NUMBER: Self = Self(2);
    const LIST: Self = Self(4);
    const OBJECT: Self = Self(8);
    const BOOLEAN: Self = Self(16);
    const NULL: Self = Self(32);
    const REFERENCE: Self = Self(64);
    const ANY: Self = Self(63);

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn accepts(self, data: &Data<'_>) -> bool {
        let kind = match data.type_name() {
            "string" => Self::TEXT,
            "number" => Self::NUMBER,
            "array" => Self::LIST,
            "object" => Self::OBJECT,
            "boolean" => Self::BOOLEAN,
            "null" => Self::NULL,
            _ => Self::REFERENCE,
        };
        self.0 & kind.0 != 0
    }

    fn words(self) -> String {
        let words = ["string", "number", "array", "object", "boolean", "null", "expression"];
        let named: Vec<&str> = words
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, word)| word)
            .collect();
        named.join(" or ")
    }
}

/// One function.
pub(crate) struct Function {
    name: &'static str,
    arguments: &'static [Kinds],
    /// How many may follow the listed ones, of the kind of the last.
    variadic: bool,
    run: Run,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

const fn fixed(name: &'static str, arguments: &'static [Kinds], run: Run) -> Function {
    Function { name, arguments, variadic: false, run }
}

const fn variadic(name: &'static str, arguments: &'static [Kinds], run: Run) -> Function {
    Function { name, arguments, variadic: true, run }
}

impl Function {
    /// Whether so many arguments can be given.
    pub(super) fn check_count(&self, count: usize) -> Result<(), String> {
        let wanted = self.arguments.len();
        if count == wanted || (self.variadic && count > wanted) {
            return Ok(());
        }
        let least = if self.variadic { "at least " } else { "" };
        Err(format!("`{}` takes {least}{wanted} arguments, not {count}", self.name))
    }

    pub(super) fn call<'a>(
        &self,
        interpreter: &Interpreter,
        arguments: Vec<Data<'a>>,
    ) -> Result<Data<'a>, Failure> {
        for (place, argument) in arguments.iter().enumerate() {
            let wanted = self.arguments.get(place).or(self.arguments.last());
            if let Some(wanted) = wanted.filter(|wanted| !wanted.accepts(argument)) {
                return Err(Failure::invalid(format!(
                    "`{}`: argument {} is {}, not {}",
                    self.name,
                    place + 1,
                    argument.type_name(),
                    wanted.words(),
                )));
            }
        }
        (self.run)(interpreter, arguments)
            .map_err(|failure| match failure {
                Failure::Invalid(message) => {
                    Failure::Invalid(format!("`{}`: {message}", self.name))
                }
                other => other,
            })
            .and_then(|made| {
                interpreter.charge(made.as_str().map_or(0, |text| text.len() / 16))?;
                Ok(made)
            })
    }
}

fn tables() -> [&'static [Function]; 8] {
    [
        lists::TABLE,
        text::TABLE,
        numbers::TABLE,
        time::TABLE,
        encoding::TABLE,
        certificate::TABLE,
        field::TABLE,
        random::TABLE,
    ]
}

/// The function of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    tables().into_iter().flatten().find(|function| function.name == name)
}

/// All names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    tables().into_iter().flatten().map(|function| function.name)
}

/// Takes a fixed number of arguments.
// INVARIANT: `call` is only reached with a count that `check_count` accepted at compile time.
fn take<const N: usize>(arguments: Vec<Data<'_>>) -> Result<[Data<'_>; N], Failure> {
    arguments.try_into().map_err(|_| Failure::invalid("wrong number of arguments"))
}

/// A text argument.
fn text_of<'d>(data: &'d Data<'_>) -> Result<&'d str, Failure> {
    data.as_str().ok_or_else(|| Failure::invalid(format!("{} is not a string", data.type_name())))
}

/// A number argument.
fn number_of(data: &Data<'_>) -> Result<f64, Failure> {
    data.as_f64().ok_or_else(|| Failure::invalid(format!("{} is not a number", data.type_name())))
}

/// A number argument that counts something.
fn whole_of(data: &Data<'_>) -> Result<i64, Failure> {
    let value = number_of(data)?;
    if value.fract() != 0.0 || value.abs() > 9_007_199_254_740_992.0 {
        return Err(Failure::invalid(format!("`{value}` is not a whole number")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    Ok(value as i64)
}
