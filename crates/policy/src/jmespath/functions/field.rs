//! Functions of the field: labels, versions, images, paths, pairs.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::super::data::json_text;
use super::super::{Data, Failure, Interpreter};
use super::{Function, Kinds, fixed, take, text_of, whole_of};

pub(super) const TABLE: &[Function] = &[
    fixed("label_match", &[Kinds::OBJECT, Kinds::OBJECT], label_match),
    fixed("semver_compare", &[Kinds::TEXT, Kinds::TEXT], semver_compare),
    fixed("path_canonicalize", &[Kinds::TEXT], path_canonicalize),
    fixed("image_normalize", &[Kinds::TEXT], image_normalize),
    fixed("is_external_url", &[Kinds::TEXT], is_external_url),
    fixed("lookup", &[Kinds::OBJECT.or(Kinds::LIST), Kinds::TEXT.or(Kinds::NUMBER)], lookup),
    fixed("items", &[Kinds::OBJECT.or(Kinds::LIST), Kinds::TEXT, Kinds::TEXT], items),
    fixed("object_from_lists", &[Kinds::LIST, Kinds::LIST], object_from_lists),
];

fn label_match<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [wanted, labels] = take(arguments)?;
    let (wanted, labels) = (wanted.into_value()?, labels.into_value()?);
    let matched = wanted.as_object().is_some_and(|wanted| {
        wanted.iter().all(|(key, value)| labels.get(key).is_some_and(|found| found == value))
    });
    Ok(Data::Owned(Value::Bool(matched)))
}

fn semver_compare<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [version, range] = take(arguments)?;
    let text = text_of(&version)?;
    let version = semver::Version::parse(text)
        .map_err(|cause| Failure::invalid(format!("version `{text}`: {cause}")))?;
    let mut within = false;
    for alternative in text_of(&range)?.split("||") {
        let mut all = true;
        for clause in clauses(alternative) {
            all = all && in_clause(&version, &clause)?;
        }
        within = within || all;
    }
    Ok(Data::Owned(Value::Bool(within)))
}

/// The clauses of a range, where a space may stand between the operator and the version.
fn clauses(range: &str) -> Vec<String> {
    let mut clauses = Vec::new();
    let mut pending = String::new();
    for word in range.split_whitespace() {
        pending.push_str(word);
        if !word.chars().all(|c| "<>=!".contains(c)) {
            clauses.push(std::mem::take(&mut pending));
        }
    }
    clauses
}

fn in_clause(version: &semver::Version, clause: &str) -> Result<bool, Failure> {
    let unreadable = || Failure::invalid(format!("version range `{clause}`"));
    let start = clause.find(|c: char| !"<>=!".contains(c)).ok_or_else(unreadable)?;
    let (operator, wanted) = clause.split_at(start);
    if let Some(head) = wanted.strip_suffix(".x") {
        let parts: Vec<u64> = head
            .split('.')
            .filter(|p| *p != "x")
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| unreadable())?;
        let same = parts
            .iter()
            .zip([version.major, version.minor])
            .all(|(wanted, found)| *wanted == found);
        return match operator {
            "" | "=" | "==" => Ok(same),
            "!" | "!=" => Ok(!same),
            _ => Err(unreadable()),
        };
    }
    let wanted = semver::Version::parse(wanted).map_err(|_| unreadable())?;
    let order = version.cmp_precedence(&wanted);
    match operator {
        "" | "=" | "==" => Ok(order == Ordering::Equal),
        "!" | "!=" => Ok(order != Ordering::Equal),
        ">" => Ok(order == Ordering::Greater),
        ">=" => Ok(order != Ordering::Less),
        "<" => Ok(order == Ordering::Less),
        "<=" => Ok(order != Ordering::Greater),
        _ => Err(unreadable()),
    }
}

fn path_canonicalize<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [path] = take(arguments)?;
    let text = text_of(&path)?;
    let absolute = text.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    Ok(Data::text(match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }))
}

fn image_normalize<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [image] = take(arguments)?;
    let text = text_of(&image)?;
    let image = crate::image::Image::parse(text)
        .ok_or_else(|| Failure::invalid(format!("`{text}` is not an image reference")))?;
    Ok(Data::text(image.reference()))
}

fn is_external_url<'a>(_: &Interpreter, _: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    Err(Failure::invalid("names are not resolved by this version"))
}

fn lookup<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [collection, key] = take(arguments)?;
    if collection.is_list() {
        let place = usize::try_from(whole_of(&key)?).ok();
        return Ok(place.and_then(|place| collection.element(place)).unwrap_or(Data::NULL));
    }
    let key = text_of(&key)?;
    Ok(match &collection {
        Data::Borrowed(Value::Object(members)) => {
            members.get(key).map_or(Data::NULL, Data::Borrowed)
        }
        Data::Owned(value) => value.get(key).cloned().map_or(Data::NULL, Data::Owned),
        Data::Lazy(document) => document.member(key)?.unwrap_or(Data::NULL),
        _ => Data::NULL,
    })
}

fn items<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [collection, key_name, value_name] = take(arguments)?;
    let (key_name, value_name) = (text_of(&key_name)?, text_of(&value_name)?);
    let entry = |key: Value, value: Value| {
        let mut made = Map::new();
        made.insert(key_name.to_owned(), key);
        made.insert(value_name.to_owned(), value);
        Data::Owned(Value::Object(made))
    };
    Ok(Data::List(match collection.into_value()? {
        Value::Object(members) => {
            let mut pairs: Vec<(String, Value)> = members.into_iter().collect();
            pairs.sort_by(|left, right| left.0.cmp(&right.0));
            pairs.into_iter().map(|(key, value)| entry(Value::String(key), value)).collect()
        }
        Value::Array(list) => list
            .into_iter()
            .enumerate()
            .map(|(key, value)| entry(Value::from(key), value))
            .collect(),
        _ => Vec::new(),
    }))
}

fn object_from_lists<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [keys, values] = take(arguments)?;
    let mut values = values.into_elements().unwrap_or_default().into_iter();
    let mut made = Map::new();
    for key in keys.into_elements().unwrap_or_default() {
        let value = values.next().map_or(Ok(Value::Null), Data::into_value)?;
        let key = key.to_value()?;
        if !matches!(key.as_ref(), Value::String(_) | Value::Number(_) | Value::Bool(_)) {
            return Err(Failure::invalid(format!("`{key}` cannot be the key of an object")));
        }
        made.insert(json_text(key.as_ref()).into_owned(), value);
    }
    Ok(Data::Owned(Value::Object(made)))
}
