//! Addresses of the web, read as Go's `url.ParseRequestURI` reads them: absolute, or an absolute path.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::{Key, Opaque, Text, Value};

pub(crate) const ROWS: &[Row] = &[
    ("url", "(string)->url", url),
    ("isURL", "(string)->bool", is_url),
    ("getScheme", "url.()->string", |ground, values| part(ground, values, |url| &url.scheme)),
    ("getHost", "url.()->string", |ground, values| part(ground, values, |url| &url.host)),
    ("getHostname", "url.()->string", |ground, values| part(ground, values, Url::hostname)),
    ("getPort", "url.()->string", |ground, values| part(ground, values, Url::port)),
    ("getEscapedPath", "url.()->string", |ground, values| part(ground, values, |url| &url.path)),
    ("getQuery", "url.()->map<string,list<string>>", query),
];

/// An address in its parts, path and query as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    user: String,
    host: String,
    path: String,
    query: Option<String>,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.chars().any(|c| c.is_ascii_control()) {
            return None;
        }
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            Some(("", _)) => return None,
            _ => (String::new(), text),
        };
        // What is neither a path nor an authority is opaque, which is fine with a scheme alone.
        if scheme.is_empty() && !rest.starts_with('/') {
            return None;
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        let has_authority =
            rest.starts_with("//") && (!scheme.is_empty() || !rest.starts_with("///"));
        let (authority, path) = match rest.strip_prefix("//").filter(|_| has_authority) {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let fits = is_host(host) && has_whole_escapes(path);
        fits.then(|| Self {
            scheme,
            user: user.to_owned(),
            host: host.to_owned(),
            path: if path.starts_with('/') { escaped(path) } else { String::new() },
            query,
        })
    }

    fn hostname(&self) -> &str {
        match self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => self.host.split(':').next().unwrap_or_default(),
        }
    }

    fn port(&self) -> &str {
        let after = self.host.rsplit(']').next().unwrap_or_default();
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.scheme.is_empty() {
            write!(formatter, "{}:", self.scheme)?;
        }
        if !self.host.is_empty() || !self.user.is_empty() {
            formatter.write_str("//")?;
            if !self.user.is_empty() {
                write!(formatter, "{}@", self.user)?;
            }
            formatter.write_str(&self.host)?;
        }
        formatter.write_str(&self.path)?;
        self.query.as_ref().map_or(Ok(()), |query| write!(formatter, "?{query}"))
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// A name or address, with a port of digits if any.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let zone_less = address.split('%').next().unwrap_or_default();
                if zone_less.parse::<std::net::Ipv6Addr>().is_err() {
                    return false;
                }
                ("", port)
            }
            None => return false,
        },
        None => host.find(':').map_or((host, ""), |place| host.split_at(place)),
    };
    let port_fits = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let wrong = |c: char| {
        matches!(c, ' ' | '<' | '>' | '"' | '\\' | '^' | '`' | '{' | '|' | '}' | '[' | ']' | '#')
    };
    port_fits && !name.contains(wrong) && has_whole_escapes(name)
}

fn has_whole_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// A path with what must be escaped escaped.
fn escaped(path: &str) -> String {
    let mut made = String::with_capacity(path.len());
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte);
        if plain {
            made.push(char::from(byte));
        } else {
            let _ = write!(made, "%{byte:02X}");
        }
    }
    made
}

/// A part of a query without its escapes; `None` where one is broken.
fn unescaped(text: &str) -> Option<String> {
    if !has_whole_escapes(text) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether a text is such an address.
pub(crate) fn is_valid(text: &str) -> bool {
    Url::parse(text).is_some()
}

fn url<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    ground.meter.charge_text(text.len())?;
    Url::parse(text).map(|url| Value::opaque(Opaque::Url(url))).ok_or_else(|| {
        let shown: String = text.chars().take(100).collect();
        Fault::invalid(format!("`{shown}` is no URL"))
    })
}

fn is_url<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    ground.meter.charge_text(text.len())?;
    Ok(Value::Bool(Url::parse(text).is_some()))
}

fn as_url<'a>(arguments: &'a [Value<'_>]) -> Option<&'a Url> {
    match arguments {
        [Value::Opaque(opaque)] => match &**opaque {
            Opaque::Url(url) => Some(url),
            _ => None,
        },
        _ => None,
    }
}

fn part<'v>(ground: &Ground<'_>, arguments: &[Value<'v>], read: fn(&Url) -> &str) -> Outcome<'v> {
    let Some(url) = as_url(arguments) else { return mismatch(arguments) };
    let found = read(url);
    ground.meter.charge_text(found.len())?;
    Ok(Value::text(found))
}

fn query<'v>(ground: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let Some(url) = as_url(arguments) else { return mismatch(arguments) };
    let query = url.query.as_deref().unwrap_or_default();
    ground.meter.charge_text(query.len())?;
    let mut found: BTreeMap<String, Vec<Value<'v>>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) {
            found.entry(key).or_default().push(Value::text(value));
        }
    }
    let entries = found
        .into_iter()
        .map(|(key, values)| (Key::String(Text::Shared(key.into())), Value::list(values)));
    Ok(Value::map(entries.collect()))
}
