//! References of images (`registry.example.com/team/app:1.2@sha256:…`).

use std::fmt;

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::{Opaque, Value};

pub(crate) const ROWS: &[Row] = &[
    ("image", "(string)->image", image),
    ("parseImageReference", "(string)->image", image),
    ("isImage", "(string)->bool", is_image),
    ("containsDigest", "image.()->bool", |_, values| {
        of(values, |image| Value::Bool(!image.digest.is_empty()))
    }),
    ("registry", "image.()->string", |_, values| of(values, |image| Value::text(&*image.registry))),
    ("repository", "image.()->string", |_, values| {
        of(values, |image| Value::text(&*image.repository))
    }),
    ("identifier", "image.()->string", |_, values| {
        of(values, |image| Value::text(image.identifier()))
    }),
    ("tag", "image.()->string", |_, values| of(values, |image| Value::text(&*image.tag))),
    ("digest", "image.()->string", |_, values| of(values, |image| Value::text(&*image.digest))),
];

/// The registry of images that name none.
const DEFAULT_REGISTRY: &str = "index.docker.io";

/// A reference in its parts, defaults filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    registry: String,
    repository: String,
    tag: String,
    digest: String,
}

impl Image {
    fn parse(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, is_digest(digest).then_some(digest)?),
            None => (text, ""),
        };
        // A colon after the last slash begins the tag; one before it a port.
        let slash = name.rfind('/').map_or(0, |place| place + 1);
        let colon = name.get(slash..)?.find(':').map(|place| place + slash);
        let (path, tag) = match colon {
            Some(place) => (name.get(..place)?, is_tag(name.get(place + 1..)?)?),
            None if digest.is_empty() => (name, "latest"),
            None => (name, ""),
        };
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest)
            }
            _ => ("", path),
        };
        let is_default = matches!(registry, "" | "docker.io" | DEFAULT_REGISTRY);
        let repository = if is_default && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-./".contains(c);
        let fits = (2..=255).contains(&repository.len())
            && repository.chars().all(inner)
            && !path.is_empty()
            && !repository.ends_with('/');
        fits.then(|| Self {
            registry: if is_default { DEFAULT_REGISTRY } else { registry }.to_owned(),
            repository,
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        })
    }

    fn identifier(&self) -> String {
        match (self.tag.as_str(), self.digest.as_str()) {
            (tag, "") => tag.to_owned(),
            ("", digest) => digest.to_owned(),
            (tag, digest) => format!("{tag}@{digest}"),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if !self.tag.is_empty() {
            write!(formatter, ":{}", self.tag)?;
        }
        if self.digest.is_empty() { Ok(()) } else { write!(formatter, "@{}", self.digest) }
    }
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_tag(text: &str) -> Option<&str> {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    ((1..=128).contains(&text.len()) && text.chars().all(inner)).then_some(text)
}

fn image<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    Image::parse(text).map(|image| Value::opaque(Opaque::Image(image))).ok_or_else(|| {
        let shown: String = text.chars().take(100).collect();
        Fault::invalid(format!("`{shown}` is no image reference"))
    })
}

fn is_image<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    Ok(Value::Bool(Image::parse(text).is_some()))
}

fn of<'v>(arguments: &[Value<'v>], read: fn(&Image) -> Value<'static>) -> Outcome<'v> {
    match arguments {
        [Value::Opaque(opaque)] => match &**opaque {
            Opaque::Image(image) => Ok(read(image)),
            _ => mismatch(arguments),
        },
        _ => mismatch(arguments),
    }
}
