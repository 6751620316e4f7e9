//! Functions of the specification on lists, objects and types.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::super::data::{json_text, number};
use super::super::{Ast, Data, Failure, Interpreter};
use super::{Function, Kinds, fixed, number_of, take, text_of, variadic};

const TEXT_OR_LIST: Kinds = Kinds::TEXT.or(Kinds::LIST);

pub(super) const TABLE: &[Function] = &[
    fixed("contains", &[TEXT_OR_LIST, Kinds::ANY], contains),
    fixed("join", &[Kinds::TEXT, Kinds::LIST], join),
    fixed("keys", &[Kinds::OBJECT], keys),
    fixed("length", &[TEXT_OR_LIST.or(Kinds::OBJECT)], length),
    fixed("map", &[Kinds::REFERENCE, Kinds::LIST], map),
    fixed("max", &[Kinds::LIST], max),
    fixed("max_by", &[Kinds::LIST, Kinds::REFERENCE], max_by),
    fixed("min", &[Kinds::LIST], min),
    fixed("min_by", &[Kinds::LIST, Kinds::REFERENCE], min_by),
    variadic("merge", &[Kinds::OBJECT], merge),
    variadic("not_null", &[Kinds::ANY], not_null),
    fixed("reverse", &[TEXT_OR_LIST], reverse),
    fixed("sort", &[Kinds::LIST], sort),
    fixed("sort_by", &[Kinds::LIST, Kinds::REFERENCE], sort_by),
    fixed("to_array", &[Kinds::ANY], to_array),
    fixed("to_number", &[Kinds::ANY], to_number),
    fixed("to_string", &[Kinds::ANY], to_string),
    fixed("type", &[Kinds::ANY], type_of),
    fixed("values", &[Kinds::OBJECT], values),
];

fn contains<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [within, wanted] = take(arguments)?;
    let found = if let Some(text) = within.as_str() {
        wanted.as_str().is_some_and(|wanted| text.contains(wanted))
    } else {
        let mut found = false;
        for element in within.into_elements().unwrap_or_default() {
            found = found || element.equals(&wanted)?;
        }
        found
    };
    Ok(Data::Owned(Value::Bool(found)))
}

fn join<'a>(interpreter: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [glue, list] = take(arguments)?;
    let glue = text_of(&glue)?;
    let mut joined = String::new();
    for (place, element) in list.into_elements().unwrap_or_default().iter().enumerate() {
        let text = text_of(element)?;
        interpreter.charge((glue.len() + text.len()) / 16 + 1)?;
        if place > 0 {
            joined.push_str(glue);
        }
        joined.push_str(text);
    }
    Ok(Data::text(joined))
}

fn object_of(data: Data<'_>) -> Result<Map<String, Value>, Failure> {
    match data.into_value()? {
        Value::Object(members) => Ok(members),
        other => Err(Failure::invalid(format!("`{other}` is not an object"))),
    }
}

fn keys<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [object] = take(arguments)?;
    let mut names: Vec<String> = match object.as_object() {
        Some(members) => members.keys().cloned().collect(),
        None => object_of(object)?.into_iter().map(|(name, _)| name).collect(),
    };
    names.sort_unstable();
    Ok(Data::List(names.into_iter().map(Data::text).collect()))
}

fn values<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [object] = take(arguments)?;
    let list = match object {
        Data::Borrowed(Value::Object(members)) => members.values().map(Data::Borrowed).collect(),
        other => object_of(other)?.into_iter().map(|(_, value)| Data::Owned(value)).collect(),
    };
    Ok(Data::List(list))
}

fn length<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [thing] = take(arguments)?;
    let length = if let Some(text) = thing.as_str() {
        text.chars().count()
    } else if let Some(length) = thing.list_length() {
        length
    } else if let Some(members) = thing.as_object() {
        members.len()
    } else {
        object_of(thing)?.len()
    };
    Ok(Data::Owned(Value::from(length)))
}

fn expression_of<'a>(data: &Data<'a>) -> Result<&'a Ast, Failure> {
    match data {
        Data::Reference(ast) => Ok(*ast),
        other => Err(Failure::invalid(format!("{} is not an expression", other.type_name()))),
    }
}

fn map<'a>(interpreter: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [expression, list] = take(arguments)?;
    let ast = expression_of(&expression)?;
    let elements = list.into_elements().unwrap_or_default();
    let made: Result<_, _> = elements.iter().map(|e| interpreter.forgiving(ast, e)).collect();
    Ok(Data::List(made?))
}

/// What lists are ordered by: all texts or all numbers.
#[derive(PartialEq, PartialOrd)]
enum Rank {
    Number(f64),
    Text(String),
}

impl Rank {
    fn of(data: &Data<'_>) -> Result<Self, Failure> {
        if let Some(text) = data.as_str() {
            return Ok(Self::Text(text.to_owned()));
        }
        number_of(data).map(Self::Number).map_err(|_| {
            Failure::invalid(format!("cannot order {} (only strings or numbers)", data.type_name()))
        })
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.partial_cmp(other).unwrap_or(Ordering::Equal)
    }
}

fn ranked<'a>(
    list: Data<'a>,
    rank: impl Fn(&Data<'a>) -> Result<Rank, Failure>,
) -> Result<Vec<(Rank, Data<'a>)>, Failure> {
    let ranked: Vec<(Rank, Data<'a>)> = list
        .into_elements()
        .unwrap_or_default()
        .into_iter()
        .map(|element| Ok((rank(&element)?, element)))
        .collect::<Result<_, Failure>>()?;
    let texts = ranked.iter().filter(|(rank, _)| matches!(rank, Rank::Text(_))).count();
    if texts != 0 && texts != ranked.len() {
        return Err(Failure::invalid("cannot order strings and numbers together"));
    }
    Ok(ranked)
}

fn by<'a>(
    interpreter: &Interpreter,
    arguments: Vec<Data<'a>>,
) -> Result<Vec<(Rank, Data<'a>)>, Failure> {
    let [list, expression] = take(arguments)?;
    let ast = expression_of(&expression)?;
    ranked(list, |element| Rank::of(&interpreter.forgiving(ast, element)?))
}

fn extreme(ranked: Vec<(Rank, Data<'_>)>, wanted: Ordering) -> Data<'_> {
    let best = ranked
        .into_iter()
        .reduce(|best, next| if next.0.compare(&best.0) == wanted { next } else { best });
    best.map_or(Data::NULL, |(_, element)| element)
}

fn max<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [list] = take(arguments)?;
    Ok(extreme(ranked(list, Rank::of)?, Ordering::Greater))
}

fn min<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [list] = take(arguments)?;
    Ok(extreme(ranked(list, Rank::of)?, Ordering::Less))
}

fn max_by<'a>(interpreter: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    Ok(extreme(by(interpreter, arguments)?, Ordering::Greater))
}

fn min_by<'a>(interpreter: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    Ok(extreme(by(interpreter, arguments)?, Ordering::Less))
}

fn sorted(mut ranked: Vec<(Rank, Data<'_>)>) -> Data<'_> {
    ranked.sort_by(|left, right| left.0.compare(&right.0));
    Data::List(ranked.into_iter().map(|(_, element)| element).collect())
}

fn sort<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [list] = take(arguments)?;
    ranked(list, Rank::of).map(sorted)
}

fn sort_by<'a>(interpreter: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    by(interpreter, arguments).map(sorted)
}

fn merge<'a>(interpreter: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let mut merged = Map::new();
    for argument in arguments {
        let members = object_of(argument)?;
        interpreter.charge(members.len())?;
        merged.extend(members);
    }
    Ok(Data::Owned(Value::Object(merged)))
}

#[expect(clippy::unnecessary_wraps, reason = "the table's signature")]
fn not_null<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    Ok(arguments.into_iter().find(|argument| !argument.is_null()).unwrap_or(Data::NULL))
}

fn reverse<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [thing] = take(arguments)?;
    if let Some(text) = thing.as_str() {
        return Ok(Data::text(text.chars().rev().collect::<String>()));
    }
    let mut elements = thing.into_elements().unwrap_or_default();
    elements.reverse();
    Ok(Data::List(elements))
}

fn to_array<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [thing] = take(arguments)?;
    Ok(if thing.is_list() { thing } else { Data::List(vec![thing]) })
}

fn to_number<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [thing] = take(arguments)?;
    if thing.as_f64().is_some() {
        return Ok(thing);
    }
    let read = thing.as_str().and_then(|text| text.trim().parse::<f64>().ok());
    Ok(read.map_or(Data::NULL, |value| Data::Owned(number(value))))
}

fn to_string<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [thing] = take(arguments)?;
    if thing.as_str().is_some() {
        return Ok(thing);
    }
    Ok(Data::text(json_text(thing.to_value()?.as_ref())))
}

fn type_of<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [thing] = take(arguments)?;
    Ok(Data::text(thing.type_name()))
}
