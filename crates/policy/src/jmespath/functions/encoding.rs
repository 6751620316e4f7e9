//! Functions that encode, decode and hash.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

use super::super::{Data, Failure, Interpreter};
use super::{Function, Kinds, fixed, take, text_of};

pub(super) const TABLE: &[Function] = &[
    fixed("base64_encode", &[Kinds::TEXT], base64_encode),
    fixed("base64_decode", &[Kinds::TEXT], base64_decode),
    fixed("parse_json", &[Kinds::TEXT], parse_json),
    fixed("parse_yaml", &[Kinds::TEXT], parse_yaml),
    fixed("sha256", &[Kinds::TEXT], sha256),
    fixed("sha1", &[Kinds::TEXT], sha1),
    fixed("md5", &[Kinds::TEXT], md5),
];

/// Largest document that `parse_json` and `parse_yaml` read, in bytes.
const MAX_DOCUMENT: usize = 1 << 20;

fn base64_encode<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    Ok(Data::text(STANDARD.encode(text_of(&text)?)))
}

fn base64_decode<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    let bytes = STANDARD
        .decode(text_of(&text)?.trim())
        .map_err(|cause| Failure::invalid(format!("not base64: {cause}")))?;
    Ok(Data::text(String::from_utf8_lossy(&bytes)))
}

fn parse_json<'a>(
    interpreter: &Interpreter,
    arguments: Vec<Data<'a>>,
) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    let text = document(interpreter, &text)?;
    serde_json::from_str(text)
        .map(Data::Owned)
        .map_err(|cause| Failure::invalid(format!("not JSON: {cause}")))
}

fn parse_yaml<'a>(
    interpreter: &Interpreter,
    arguments: Vec<Data<'a>>,
) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    let text = document(interpreter, &text)?;
    serde_yaml_ng::from_str(text)
        .map(Data::Owned)
        .map_err(|cause| Failure::invalid(format!("not YAML: {cause}")))
}

fn document<'d>(interpreter: &Interpreter, data: &'d Data<'_>) -> Result<&'d str, Failure> {
    let text = text_of(data)?;
    if text.len() > MAX_DOCUMENT {
        return Err(Failure::invalid(format!("document is longer than {MAX_DOCUMENT} bytes")));
    }
    interpreter.charge(text.len())?;
    Ok(text)
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn sha256<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    Ok(Data::text(hexadecimal(&sha2::Sha256::digest(text_of(&text)?))))
}

fn sha1<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    Ok(Data::text(hexadecimal(&sha1::Sha1::digest(text_of(&text)?))))
}

fn md5<'a>(_: &Interpreter, arguments: Vec<Data<'a>>) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    Ok(Data::text(hexadecimal(&md5::Md5::digest(text_of(&text)?))))
}
