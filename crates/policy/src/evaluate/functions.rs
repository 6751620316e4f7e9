//! What the functions of CEL policies give.

use std::fmt::Write as _;

use jiff::Timestamp;
use proofstream_cel::{Fault, List, Map, Meter, Value as CelValue};
use serde_json::Value;
use sha2::Digest as _;

use super::expressions::fault;
use crate::api_path;
use crate::environment::Lookup;
use crate::jmespath::hexadecimal;
use crate::policy::functions::Function;
use crate::scope::Judgement;

type Found<'s> = Result<CelValue<'s>, Fault>;

/// Longest document that is read from a text.
const MAX_DOCUMENT: usize = 1 << 20;

/// Runs a function by the number under which it was declared.
pub(super) fn call<'s>(
    judgement: &'s Judgement<'s>,
    number: usize,
    arguments: &[CelValue<'s>],
    meter: &Meter,
) -> Found<'s> {
    meter.charge(10)?;
    match Function::of(number).ok_or_else(wrong)? {
        Function::ResourceGet => get(judgement, arguments),
        Function::ResourceList => list(judgement, arguments, meter),
        Function::ResourcePost => post(judgement, arguments, meter),
        Function::HttpGet => http(judgement, "GET", arguments, meter),
        Function::HttpPost => http(judgement, "POST", arguments, meter),
        Function::GlobalGet => {
            let name = text(arguments, 0)?.to_owned();
            let projection = if arguments.len() > 1 { text(arguments, 1)? } else { "" }.to_owned();
            answer(judgement, Lookup::Global { name, projection })
        }
        Function::ImageMetadata => image(judgement, arguments, meter),
        Function::TimeNow => Ok(CelValue::Timestamp(judgement.environment.now)),
        Function::TimeTruncate => truncate(arguments),
        Function::TimeToCron => cron(arguments),
        Function::Sha256 => {
            hash(arguments, meter, |bytes| hexadecimal(&sha2::Sha256::digest(bytes)))
        }
        Function::Sha1 => hash(arguments, meter, |bytes| hexadecimal(&sha1::Sha1::digest(bytes))),
        Function::Md5 => hash(arguments, meter, |bytes| hexadecimal(&md5::Md5::digest(bytes))),
        Function::JsonUnmarshal => {
            let text = document(arguments, meter)?;
            let read = serde_json::from_str::<Value>(text);
            let read = read.map_err(|cause| Fault::Invalid(format!("not JSON: {cause}")))?;
            CelValue::copied_from_json(&read, meter)
        }
        Function::JsonMarshal => {
            let value = arguments.first().ok_or_else(wrong)?.to_json(meter)?;
            Ok(CelValue::text(value.to_string()))
        }
        Function::YamlParse => {
            let text = document(arguments, meter)?;
            let read = serde_yaml_ng::from_str::<Value>(text);
            let read = read.map_err(|cause| Fault::Invalid(format!("not YAML: {cause}")))?;
            CelValue::copied_from_json(&read, meter)
        }
        Function::ParseServiceAccount => service_account(arguments, meter),
        Function::Round => round(arguments),
        Function::EscapeKey => {
            Ok(CelValue::text(text(arguments, 0)?.replace('~', "~0").replace('/', "~1")))
        }
        Function::ListToMap => list_to_map(arguments, meter),
        Function::Generate => generate(judgement, arguments, meter),
    }
}

/// Notes objects that are to be made in a namespace.
fn generate<'s>(
    judgement: &'s Judgement<'s>,
    arguments: &[CelValue<'s>],
    meter: &Meter,
) -> Found<'s> {
    let namespace = text(arguments, 0)?;
    let objects = arguments.get(1).ok_or_else(wrong)?.to_json(meter)?;
    let Value::Array(objects) = objects else { return Err(wrong()) };
    for object in objects {
        // Lists of a cluster come as objects with items in them.
        match object.get("items").and_then(Value::as_array) {
            Some(items) => items.iter().for_each(|item| judgement.make(namespace, item.clone())),
            None => judgement.make(namespace, object),
        }
    }
    Ok(CelValue::Bool(true))
}

/// Arguments that the signature should have kept away.
fn wrong() -> Fault {
    Fault::NoSuchOverload("a function of the policy".to_owned())
}

fn text<'a>(arguments: &'a [CelValue<'_>], place: usize) -> Result<&'a str, Fault> {
    arguments.get(place).and_then(CelValue::as_str).ok_or_else(wrong)
}

fn answer<'s>(judgement: &'s Judgement<'s>, lookup: Lookup) -> Found<'s> {
    judgement.answer(lookup).map(CelValue::from_json).map_err(|failure| fault(&failure))
}

/// The path of a collection of the API server.
fn collection(api_version: &str, resource: &str, namespace: &str) -> Result<String, Fault> {
    api_path::collection(api_version, resource, namespace).map_err(Fault::Invalid)
}

/// The arguments without the namespace, and the namespace: a namespaced policy's own where the call
/// names none.
fn in_namespace<'a>(
    judgement: &'a Judgement<'_>,
    arguments: &'a [CelValue<'_>],
    named: bool,
) -> Result<&'a str, Fault> {
    if named {
        return text(arguments, 2);
    }
    Ok(judgement.request.namespace.as_deref().unwrap_or_default())
}

fn get<'s>(judgement: &'s Judgement<'s>, arguments: &[CelValue<'s>]) -> Found<'s> {
    let namespace = in_namespace(judgement, arguments, arguments.len() == 4)?;
    let path = collection(text(arguments, 0)?, text(arguments, 1)?, namespace)?;
    let name = text(arguments, arguments.len() - 1)?;
    let name = api_path::checked(name).map_err(Fault::Invalid)?;
    let url_path = format!("{path}/{name}");
    answer(judgement, Lookup::ApiCall { method: "GET".to_owned(), url_path, body: None })
}

fn list<'s>(judgement: &'s Judgement<'s>, arguments: &[CelValue<'s>], meter: &Meter) -> Found<'s> {
    let named = matches!(arguments.get(2), Some(CelValue::String(_)));
    let namespace = in_namespace(judgement, arguments, named)?;
    let mut url_path = collection(text(arguments, 0)?, text(arguments, 1)?, namespace)?;
    if let Some(CelValue::Map(labels)) = arguments.last() {
        let mut selector = String::new();
        for (key, value) in pairs(labels, meter)? {
            let comma = if selector.is_empty() { "" } else { "%2C" };
            let _ = write!(selector, "{comma}{}%3D{}", escaped(&key), escaped(&value));
        }
        let _ = write!(url_path, "?labelSelector={selector}");
    }
    answer(judgement, Lookup::ApiCall { method: "GET".to_owned(), url_path, body: None })
}

fn post<'s>(judgement: &'s Judgement<'s>, arguments: &[CelValue<'s>], meter: &Meter) -> Found<'s> {
    // Without a namespace named, the collection is the cluster's.
    let namespace = if arguments.len() == 4 { text(arguments, 2)? } else { "" };
    let url_path = collection(text(arguments, 0)?, text(arguments, 1)?, namespace)?;
    let body = arguments.last().ok_or_else(wrong)?.to_json(meter)?.to_string();
    answer(judgement, Lookup::ApiCall { method: "POST".to_owned(), url_path, body: Some(body) })
}

fn http<'s>(
    judgement: &'s Judgement<'s>,
    method: &str,
    arguments: &[CelValue<'s>],
    meter: &Meter,
) -> Found<'s> {
    let (body, headers) = match (method, arguments) {
        ("GET", [_]) => (None, None),
        ("GET", [_, CelValue::Map(headers)]) => (None, Some(headers)),
        (_, [_, body]) => (Some(body), None),
        (_, [_, body, CelValue::Map(headers)]) => (Some(body), Some(headers)),
        _ => return Err(wrong()),
    };
    let lookup = Lookup::Service {
        method: method.to_owned(),
        url: text(arguments, 0)?.to_owned(),
        body: body.map(|body| body.to_json(meter)).transpose()?.map(|body| body.to_string()),
        ca_bundle: None,
        headers: headers.map(|headers| pairs(headers, meter)).transpose()?.unwrap_or_default(),
    };
    answer(judgement, lookup)
}

/// Texts by text, in order.
fn pairs(map: &Map<'_>, meter: &Meter) -> Result<Vec<(String, String)>, Fault> {
    let mut made = Vec::new();
    for (key, value) in map.entries() {
        meter.charge(1)?;
        let text = |value: &CelValue<'_>| value.as_str().map(str::to_owned).ok_or_else(wrong);
        made.push((text(&key)?, text(&value)?));
    }
    Ok(made)
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut made, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            made.push(char::from(byte));
        } else {
            let _ = write!(made, "%{byte:02X}");
        }
        made
    })
}

/// What a registry knows of an image; the configuration is called `config` here.
fn image<'s>(judgement: &'s Judgement<'s>, arguments: &[CelValue<'s>], meter: &Meter) -> Found<'s> {
    let reference = text(arguments, 0)?.to_owned();
    let found = judgement.answer(Lookup::Image { reference }).map_err(|failure| fault(&failure))?;
    match (found.get("config"), found.get("configData")) {
        (None, Some(config)) => {
            let mut with_config = found.clone();
            if let Some(members) = with_config.as_object_mut() {
                members.insert("config".to_owned(), config.clone());
            }
            CelValue::copied_from_json(&with_config, meter)
        }
        _ => Ok(CelValue::from_json(found)),
    }
}

/// A moment rounded down to a multiple of a duration since the year 1.
fn truncate<'s>(arguments: &[CelValue<'s>]) -> Found<'s> {
    let [CelValue::Timestamp(at), CelValue::Duration(unit)] = arguments else {
        return Err(wrong());
    };
    if *unit <= 0 {
        return Ok(CelValue::Timestamp(*at));
    }
    let first = i128::from(-62_135_596_800_i64) * 1_000_000_000;
    let since = at.as_nanosecond() - first;
    let made = Timestamp::from_nanosecond(at.as_nanosecond() - since.rem_euclid(i128::from(*unit)));
    made.map(CelValue::Timestamp).map_err(|cause| Fault::Invalid(cause.to_string()))
}

fn cron<'s>(arguments: &[CelValue<'s>]) -> Found<'s> {
    let [CelValue::Timestamp(at)] = arguments else { return Err(wrong()) };
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    let weekday = at.weekday().to_sunday_zero_offset();
    let text = format!("{} {} {} {} {weekday}", at.minute(), at.hour(), at.day(), at.month());
    Ok(CelValue::text(text))
}

fn hash<'s>(arguments: &[CelValue<'s>], meter: &Meter, digest: fn(&[u8]) -> String) -> Found<'s> {
    let text = text(arguments, 0)?;
    meter.charge(u64::try_from(text.len() / 10).unwrap_or(u64::MAX))?;
    Ok(CelValue::text(digest(text.as_bytes())))
}

fn document<'a>(arguments: &'a [CelValue<'_>], meter: &Meter) -> Result<&'a str, Fault> {
    let text = text(arguments, 0)?;
    if text.len() > MAX_DOCUMENT {
        return Err(Fault::Invalid(format!("the document is longer than {MAX_DOCUMENT} bytes")));
    }
    meter.charge(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
    Ok(text)
}

/// Namespace and name of a service account's user; empty ones of any other.
fn service_account<'s>(arguments: &[CelValue<'s>], meter: &Meter) -> Found<'s> {
    let account = text(arguments, 0)?.strip_prefix("system:serviceaccount:").unwrap_or_default();
    let (namespace, name) = account.split_once(':').unwrap_or_default();
    let made = serde_json::json!({"Namespace": namespace, "Name": name});
    CelValue::copied_from_json(&made, meter)
}

fn round<'s>(arguments: &[CelValue<'s>]) -> Found<'s> {
    let [CelValue::Double(value), CelValue::Int(digits)] = arguments else { return Err(wrong()) };
    let digits = i32::try_from(*digits).ok().filter(|digits| (-308..=308).contains(digits));
    let scale = 10_f64.powi(digits.ok_or_else(|| Fault::Invalid("too many digits".to_owned()))?);
    Ok(CelValue::Double((value * scale).round() / scale))
}

/// `listObjToMap(keys, values, keyField, valueField)`: of the objects of two lists of one length one
/// field each.
fn list_to_map<'s>(arguments: &[CelValue<'s>], meter: &Meter) -> Found<'s> {
    let [CelValue::List(keys), CelValue::List(values), ..] = arguments else { return Err(wrong()) };
    if keys.len() != values.len() {
        return Err(Fault::Invalid("the lists are not of one length".to_owned()));
    }
    let field = |list: &List<'s>, place: usize, name: &str| match list.get(place) {
        Some(CelValue::Map(map)) => {
            map.field(name).ok_or_else(|| Fault::NoSuchKey(name.to_owned()))
        }
        _ => Err(wrong()),
    };
    let mut entries = Vec::with_capacity(keys.len());
    for place in 0..keys.len() {
        meter.charge(1)?;
        let key = field(keys, place, text(arguments, 2)?)?;
        entries.push((key, field(values, place, text(arguments, 3)?)?));
    }
    CelValue::map_of(entries)
}
