//! Encodings and digests.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use md5::Md5;
use serde_json::Value as Json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::Builtin;
use crate::value::Value;

pub(super) const ALL: &[Builtin] = &[
    Builtin::linear("base64.encode", 1, |one| Some(Value::text(&STANDARD.encode(text(one)?)))),
    Builtin::linear("base64.decode", 1, |one| utf8(STANDARD.decode(text(one)?).ok()?)),
    Builtin::linear("base64.is_valid", 1, |one| {
        Some(Value::Bool(STANDARD.decode(text(one)?).is_ok()))
    }),
    Builtin::linear("base64url.encode", 1, |one| Some(Value::text(&URL_SAFE.encode(text(one)?)))),
    Builtin::linear("base64url.encode_no_pad", 1, |one| {
        Some(Value::text(&URL_SAFE_NO_PAD.encode(text(one)?)))
    }),
    Builtin::linear("base64url.decode", 1, |one| {
        utf8(URL_SAFE_NO_PAD.decode(text(one)?.trim_end_matches('=')).ok()?)
    }),
    Builtin::linear("hex.encode", 1, |one| Some(Value::text(&hex::encode(text(one)?)))),
    Builtin::linear("hex.decode", 1, |one| utf8(hex::decode(text(one)?).ok()?)),
    Builtin::linear("json.marshal", 1, |one| {
        Some(Value::text(&one.first()?.to_json().to_string()))
    }),
    Builtin::linear("json.unmarshal", 1, |one| json(text(one)?)),
    Builtin::linear("json.is_valid", 1, |one| {
        Some(Value::Bool(one.first()?.as_text().is_some_and(|text| json(text).is_some())))
    }),
    Builtin::linear("yaml.marshal", 1, |one| {
        Some(Value::text(&serde_yaml_ng::to_string(&one.first()?.to_json()).ok()?))
    }),
    Builtin::linear("yaml.unmarshal", 1, |one| yaml(text(one)?)),
    Builtin::linear("yaml.is_valid", 1, |one| {
        Some(Value::Bool(one.first()?.as_text().is_some_and(|text| yaml(text).is_some())))
    }),
    Builtin::linear("urlquery.encode", 1, |one| Some(Value::text(&encoded(text(one)?)))),
    Builtin::linear("urlquery.decode", 1, |one| decoded(text(one)?)),
    Builtin::linear("crypto.md5", 1, |one| {
        Some(Value::text(&hex::encode(Md5::digest(text(one)?))))
    }),
    Builtin::linear("crypto.sha1", 1, |one| {
        Some(Value::text(&hex::encode(Sha1::digest(text(one)?))))
    }),
    Builtin::linear("crypto.sha256", 1, |one| {
        Some(Value::text(&hex::encode(Sha256::digest(text(one)?))))
    }),
];

fn text(one: &[Value]) -> Option<&str> {
    one.first()?.as_text()
}

fn utf8(bytes: Vec<u8>) -> Option<Value> {
    String::from_utf8(bytes).ok().map(|text| Value::text(&text))
}

fn json(text: &str) -> Option<Value> {
    serde_json::from_str::<Json>(text).ok().map(|json| Value::from_json(&json))
}

fn yaml(text: &str) -> Option<Value> {
    serde_yaml_ng::from_str::<Json>(text).ok().map(|json| Value::from_json(&json))
}

fn encoded(text: &str) -> String {
    let mut made = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => made.push('+'),
            b'-' | b'_' | b'.' | b'~' => made.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => made.push(char::from(byte)),
            byte => made.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
    made
}

/// A digit of a number to the base of 16.
fn digit(half: u8) -> char {
    char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase()
}

fn decoded(text: &str) -> Option<Value> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    utf8(bytes)
}
