//! Arithmetic on numbers, quantities and durations.

use super::super::data::number;
use super::super::{Data, Failure, Interpreter};
use super::{Function, Kinds, fixed, number_of, take, whole_of};
use crate::duration::Duration;
use proofstream_cel::Quantity;

const OPERAND: Kinds = Kinds::TEXT.or(Kinds::NUMBER);

pub(super) const TABLE: &[Function] = &[
    fixed("abs", &[Kinds::NUMBER], abs),
    fixed("avg", &[Kinds::LIST], avg),
    fixed("ceil", &[Kinds::NUMBER], ceil),
    fixed("floor", &[Kinds::NUMBER], floor),
    fixed("add", &[OPERAND, OPERAND], add),
    fixed("sum", &[Kinds::LIST], sum),
    fixed("subtract", &[OPERAND, OPERAND], subtract),
    fixed("multiply", &[OPERAND, OPERAND], multiply),
    fixed("divide", &[OPERAND, OPERAND], divide),
    fixed("modulo", &[OPERAND, OPERAND], modulo),
    fixed("round", &[Kinds::NUMBER, Kinds::NUMBER], round),
];

/// Something that takes part in arithmetic.
#[derive(Debug, Clone, Copy)]
enum Operand {
    Number(f64),
    Quantity(Quantity),
    Duration(Duration),
}

impl Operand {
    fn of(data: &Data<'_>) -> Result<Self, Failure> {
        let Some(text) = data.as_str() else { return number_of(data).map(Self::Number) };
        if let Some(quantity) = Quantity::parse(text) {
            return Ok(Self::Quantity(quantity));
        }
        Duration::parse(text)
            .map(Self::Duration)
            .ok_or_else(|| Failure::invalid(format!("`{text}` is no quantity and no duration")))
    }

    fn into_data<'a>(self) -> Data<'a> {
        match self {
            Self::Number(value) => Data::Owned(number(value)),
            Self::Quantity(quantity) => Data::text(quantity.to_string()),
            Self::Duration(duration) => Data::text(duration.to_string()),
        }
    }
}

fn mismatch() -> Failure {
    Failure::invalid("operands are of different kinds (numbers, quantities, durations)")
}

fn overflow() -> Failure {
    Failure::invalid("result is out of range")
}

fn plus(left: Operand, right: Operand) -> Result<Operand, Failure> {
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => Ok(Operand::Number(left + right)),
        (Operand::Quantity(left), Operand::Quantity(right)) => {
            let nano = left.nano.checked_add(right.nano).ok_or_else(overflow)?;
            Ok(Operand::Quantity(Quantity { nano, notation: left.notation }))
        }
        (Operand::Duration(left), Operand::Duration(right)) => {
            left.0.checked_add(right.0).map(Duration).map(Operand::Duration).ok_or_else(overflow)
        }
        _ => Err(mismatch()),
    }
}

fn negated(operand: Operand) -> Operand {
    match operand {
        Operand::Number(value) => Operand::Number(-value),
        Operand::Quantity(Quantity { nano, notation }) => {
            Operand::Quantity(Quantity { nano: nano.saturating_neg(), notation })
        }
        Operand::Duration(duration) => Operand::Duration(Duration(duration.0.saturating_neg())),
    }
}

fn scaled(operand: Operand, factor: f64) -> Result<Operand, Failure> {
    match operand {
        Operand::Number(value) => Ok(Operand::Number(value * factor)),
        Operand::Quantity(quantity) => {
            let made = Quantity::from_number(quantity.as_f64() * factor);
            // A whole factor keeps the amount exact.
            let nano = if factor.fract() == 0.0 && factor.abs() < 1e15 {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "checked to be whole and small"
                )]
                quantity.nano.checked_mul(factor as i128).ok_or_else(overflow)?
            } else {
                made.nano
            };
            Ok(Operand::Quantity(Quantity { nano, notation: quantity.notation }))
        }
        Operand::Duration(duration) => {
            Ok(Operand::Duration(Duration::from_seconds(duration.seconds() * factor)))
        }
    }
}

fn pair(arguments: Vec<Data<'_>>) -> Result<(Operand, Operand), Failure> {
    let [left, right] = take(arguments)?;
    let operands = (Operand::of(&left)?, Operand::of(&right)?);
    // `30m` alone is an amount; beside `1h` it is half an hour.
    let duration = |data: &Data<'_>| data.as_str().and_then(Duration::parse).map(Operand::Duration);
    Ok(match operands {
        (Operand::Duration(_), Operand::Quantity(_)) => {
            (operands.0, duration(&right).unwrap_or(operands.1))
        }
        (Operand::Quantity(_), Operand::Duration(_)) => {
            (duration(&left).unwrap_or(operands.0), operands.1)
        }
        _ => operands,
    })
}

fn abs<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [value] = take(arguments)?;
    Ok(Data::Owned(number(number_of(&value)?.abs())))
}

fn ceil<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [value] = take(arguments)?;
    Ok(Data::Owned(number(number_of(&value)?.ceil())))
}

fn floor<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [value] = take(arguments)?;
    Ok(Data::Owned(number(number_of(&value)?.floor())))
}

#[expect(clippy::cast_precision_loss, reason = "lists are far shorter than 2^53")]
fn avg<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [list] = take(arguments)?;
    let elements = list.into_elements().unwrap_or_default();
    if elements.is_empty() {
        return Ok(Data::NULL);
    }
    let mut total = 0.0;
    for element in &elements {
        total += number_of(element)?;
    }
    Ok(Data::Owned(number(total / elements.len() as f64)))
}

fn add<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let (left, right) = pair(arguments)?;
    plus(left, right).map(Operand::into_data)
}

fn sum<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [list] = take(arguments)?;
    let mut total: Option<Operand> = None;
    for element in list.into_elements().unwrap_or_default() {
        let next = Operand::of(&element)?;
        total = Some(match total {
            Some(total) => plus(total, next)?,
            None => next,
        });
    }
    let total = total.ok_or_else(|| Failure::invalid("the list is empty"))?;
    Ok(total.into_data())
}

fn subtract<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let (left, right) = pair(arguments)?;
    plus(left, negated(right)).map(Operand::into_data)
}

fn multiply<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    match pair(arguments)? {
        (operand, Operand::Number(factor)) | (Operand::Number(factor), operand) => {
            scaled(operand, factor).map(Operand::into_data)
        }
        _ => Err(mismatch()),
    }
}

fn divide<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let zero = || Failure::invalid("division by zero");
    let (left, right) = pair(arguments)?;
    let made = match (left, right) {
        (
            _,
            Operand::Number(0.0)
            | Operand::Quantity(Quantity { nano: 0, .. })
            | Operand::Duration(Duration(0)),
        ) => return Err(zero()),
        (Operand::Number(left), Operand::Number(right)) => Operand::Number(left / right),
        (Operand::Quantity(left), Operand::Quantity(right)) => {
            Operand::Number(left.as_f64() / right.as_f64())
        }
        (Operand::Duration(left), Operand::Duration(right)) => {
            Operand::Number(left.seconds() / right.seconds())
        }
        (operand, Operand::Number(divisor)) => scaled(operand, 1.0 / divisor)?,
        _ => return Err(mismatch()),
    };
    Ok(made.into_data())
}

fn modulo<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let zero = || Failure::invalid("division by zero");
    let made = match pair(arguments)? {
        (Operand::Number(left), Operand::Number(right)) => {
            if left.fract() != 0.0 || right.fract() != 0.0 {
                return Err(Failure::invalid("operands must be whole numbers"));
            }
            if right == 0.0 {
                return Err(zero());
            }
            Operand::Number(left % right)
        }
        (Operand::Quantity(left), Operand::Quantity(right)) => {
            if left.nano % 1_000_000_000 != 0 || right.nano % 1_000_000_000 != 0 {
                return Err(Failure::invalid("operands must be whole amounts"));
            }
            let nano = left.nano.checked_rem(right.nano).ok_or_else(zero)?;
            Operand::Quantity(Quantity { nano, notation: left.notation })
        }
        (Operand::Duration(left), Operand::Duration(right)) => {
            Operand::Duration(Duration(left.0.checked_rem(right.0).ok_or_else(zero)?))
        }
        _ => return Err(mismatch()),
    };
    Ok(made.into_data())
}

fn round<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [value, digits] = take(arguments)?;
    let digits = i32::try_from(whole_of(&digits)?).unwrap_or(i32::MAX);
    if !(0..=15).contains(&digits) {
        return Err(Failure::invalid(format!("`{digits}` digits are not in 0 to 15")));
    }
    let power = 10_f64.powi(digits);
    Ok(Data::Owned(number((number_of(&value)? * power).round() / power)))
}
