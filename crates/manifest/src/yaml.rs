//! Builds JSON values from the events of a YAML parser.

use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, Marker, Options, Parser, ScalarStyle, ScanError, Tag};
use serde_json::{Map, Value};

use crate::document::Parsed;
use crate::error::Problem;
use crate::limits::Limits;
use crate::scalar::{self, ScalarError};

/// The documents of a text (one, as the stream cuts it), each an error of its own at most.
pub(crate) fn parse(text: &str, limits: &Limits) -> Vec<Result<Parsed, Problem>> {
    let mut parser = Parser::new_from_str_with_options(text, options(limits));
    let mut builder = Builder::new(limits);
    let mut documents = Vec::new();
    while let Some(next) = parser.next_event() {
        let step = match next {
            Ok((event, span)) => builder.take(event, span.start),
            Err(error) => Err(syntax(&error, text)),
        };
        match step {
            Ok(Some(parsed)) => documents.push(Ok(parsed)),
            Ok(None) => {}
            Err(problem) => {
                documents.push(Err(problem));
                break;
            }
        }
    }
    documents
}

/// The parser's options: libyaml's ways where they differ, because that is what Kubernetes' own
/// parser descends from.
pub(crate) fn options(limits: &Limits) -> Options {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.block_scalar_eof_without_line_feed = true;
    options.flow_nesting_limit = limits.depth;
    options.block_nesting_limit = limits.depth;
    options
}

/// A mapping or sequence that is being filled.
enum Frame {
    Sequence {
        values: Vec<Value>,
        anchor: usize,
        is_items: bool,
    },
    /// `own` are the keys that the mapping itself has, once a merge has brought others.
    Mapping {
        map: Map<String, Value>,
        key: Key,
        anchor: usize,
        own: Option<HashSet<String>>,
    },
}

/// What a mapping waits for.
enum Key {
    Wanted,
    Named(String),
    Merge,
}

/// A node that an alias may repeat.
struct Anchored {
    value: Value,
    values: usize,
    bytes: usize,
}

struct Builder<'a> {
    limits: &'a Limits,
    stack: Vec<Frame>,
    root: Option<Value>,
    root_line: usize,
    item_lines: Vec<usize>,
    anchors: HashMap<usize, Anchored>,
    repeated_values: usize,
    repeated_bytes: usize,
}

// === impl Builder ===

impl<'a> Builder<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            stack: Vec::new(),
            root: None,
            root_line: 1,
            item_lines: Vec::new(),
            anchors: HashMap::new(),
            repeated_values: 0,
            repeated_bytes: 0,
        }
    }

    /// Takes one event; gives a document when it is complete.
    fn take(&mut self, event: Event<'_>, at: Marker) -> Result<Option<Parsed>, Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.begin(at);
                if matches!(self.stack.last(), Some(Frame::Mapping { key: Key::Wanted, .. })) {
                    let key = scalar_key(&text, style, tag.as_deref(), at)?;
                    self.set_key(key, anchor, at)?;
                } else {
                    let value = scalar_value(&text, style, tag.as_deref(), at)?;
                    self.finish(value, anchor, at)?;
                }
            }
            Event::SequenceStart(_, anchor, _) => {
                let is_items = self.holds_items();
                self.begin(at);
                self.push(Frame::Sequence { values: Vec::new(), anchor, is_items }, at)?;
            }
            Event::MappingStart(_, anchor, _) => {
                self.begin(at);
                let (map, key, own) = (Map::new(), Key::Wanted, None);
                self.push(Frame::Mapping { map, key, anchor, own }, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::Sequence { values, anchor, .. }) => {
                    self.finish(Value::Array(values), anchor, at)?;
                }
                Some(Frame::Mapping { map, anchor, .. }) => {
                    self.finish(Value::Object(map), anchor, at)?;
                }
                None => {}
            },
            Event::Alias(anchor) => {
                self.begin(at);
                self.repeat(anchor, at)?;
            }
            Event::DocumentEnd => return Ok(self.document()),
            _ => {}
        }
        Ok(None)
    }

    /// Notes where a node begins, as far as anyone will ask.
    fn begin(&mut self, at: Marker) {
        match self.stack.last() {
            None => self.root_line = at.line(),
            Some(Frame::Sequence { is_items: true, .. }) => self.item_lines.push(at.line()),
            Some(_) => {}
        }
    }

    /// Whether the next node is the value of a top-level `items`.
    fn holds_items(&self) -> bool {
        match self.stack.as_slice() {
            [Frame::Mapping { key: Key::Named(name), .. }] => name == "items",
            _ => false,
        }
    }

    fn push(&mut self, frame: Frame, at: Marker) -> Result<(), Problem> {
        if matches!(self.stack.last(), Some(Frame::Mapping { key: Key::Wanted, .. })) {
            return Err(complex_key(at));
        }
        if self.stack.len() >= self.limits.depth {
            return Err(too_deep(at));
        }
        self.stack.push(frame);
        Ok(())
    }

    fn set_key(&mut self, new: Key, anchor: usize, at: Marker) -> Result<(), Problem> {
        if anchor != 0
            && let Key::Named(name) = &new
        {
            self.remember(anchor, &Value::from(name.as_str()), at)?;
        }
        if let Some(Frame::Mapping { map, key, own, .. }) = self.stack.last_mut() {
            match &new {
                Key::Named(name) => {
                    let fresh = match own {
                        Some(own) => own.insert(name.clone()),
                        None => !map.contains_key(name),
                    };
                    if !fresh {
                        return Err(twice(name, at));
                    }
                }
                Key::Merge => {
                    own.get_or_insert_with(|| map.keys().cloned().collect());
                }
                Key::Wanted => {}
            }
            *key = new;
        }
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, value: Value, anchor: usize, at: Marker) -> Result<(), Problem> {
        if anchor != 0 {
            self.remember(anchor, &value, at)?;
        }
        self.place(value, at)
    }

    fn place(&mut self, value: Value, at: Marker) -> Result<(), Problem> {
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Frame::Sequence { values, .. }) => values.push(value),
            Some(Frame::Mapping { map, key, .. }) => match std::mem::replace(key, Key::Wanted) {
                Key::Named(name) => {
                    map.insert(name, value);
                }
                Key::Merge => merge(map, value, at)?,
                Key::Wanted => return Err(complex_key(at)),
            },
        }
        Ok(())
    }

    /// Keeps a node for its aliases. The copy counts as a repetition: an anchor in an anchor in an
    /// anchor would otherwise cost the square of its text.
    fn remember(&mut self, anchor: usize, value: &Value, at: Marker) -> Result<(), Problem> {
        let (values, bytes) = weigh(value);
        self.charge(values, bytes, at)?;
        self.anchors.insert(anchor, Anchored { value: value.clone(), values, bytes });
        Ok(())
    }

    fn repeat(&mut self, anchor: usize, at: Marker) -> Result<(), Problem> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(Problem::new(
                at.line(),
                at.col() + 1,
                "an alias stands inside the very node that it names",
                "write the value out where the alias is",
            ));
        };
        let (values, bytes) = (anchored.values, anchored.bytes);
        self.charge(values, bytes, at)?;
        let value = self.anchors.get(&anchor).map(|each| each.value.clone()).unwrap_or_default();
        if let Some(Frame::Mapping { key: Key::Wanted, .. }) = self.stack.last() {
            return match value {
                Value::String(name) => self.set_key(Key::Named(name), 0, at),
                Value::Number(_) | Value::Bool(_) => {
                    self.set_key(Key::Named(value.to_string()), 0, at)
                }
                _ => Err(complex_key(at)),
            };
        }
        self.place(value, at)
    }

    fn charge(&mut self, values: usize, bytes: usize, at: Marker) -> Result<(), Problem> {
        self.repeated_values = self.repeated_values.saturating_add(values);
        self.repeated_bytes = self.repeated_bytes.saturating_add(bytes);
        if self.repeated_values > self.limits.alias_values
            || self.repeated_bytes > self.limits.alias_bytes
        {
            return Err(Problem::new(
                at.line(),
                at.col() + 1,
                "the document's aliases repeat too much of it",
                "write the values out, or split the document",
            ));
        }
        Ok(())
    }

    fn document(&mut self) -> Option<Parsed> {
        self.stack.clear();
        self.anchors.clear();
        self.repeated_values = 0;
        self.repeated_bytes = 0;
        let item_lines = std::mem::take(&mut self.item_lines);
        let value = self.root.take()?;
        Some(Parsed { value, line: self.root_line, item_lines })
    }
}

// === private ===

/// The part of a tag in YAML's own namespace, as `str` of `!!str`.
fn core_tag(tag: Option<&Tag>) -> Option<&str> {
    tag.and_then(Tag::core_suffix)
}

fn scalar_value(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Marker,
) -> Result<Value, Problem> {
    let result = match (core_tag(tag), tag, style) {
        (Some(core), _, _) => scalar::tagged(core, text),
        (None, None, ScalarStyle::Plain) => scalar::plain(text),
        (None, ..) => Ok(Value::from(text)),
    };
    result.map_err(|error| misread(error, at))
}

fn scalar_key(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Marker,
) -> Result<Key, Problem> {
    let plain = style == ScalarStyle::Plain && tag.is_none();
    if (plain && text == "<<") || core_tag(tag) == Some("merge") {
        return Ok(Key::Merge);
    }
    if !plain {
        return Ok(Key::Named(text.to_owned()));
    }
    let name = scalar::key(text).map_err(|error| misread(error, at))?;
    Ok(Key::Named(name))
}

/// Merges as sigs.k8s.io/yaml does: what is merged overrides the keys above the `<<`, keys below it
/// override what is merged, and of several sources the first wins.
fn merge(map: &mut Map<String, Value>, source: Value, at: Marker) -> Result<(), Problem> {
    match source {
        Value::Object(source) => map.extend(source),
        Value::Array(sources) => {
            for source in sources.into_iter().rev() {
                let Value::Object(source) = source else { return Err(bad_merge(at)) };
                map.extend(source);
            }
        }
        _ => return Err(bad_merge(at)),
    }
    Ok(())
}

/// How many values a value holds, itself among them, and how many bytes of text.
fn weigh(value: &Value) -> (usize, usize) {
    let mut values = 0;
    let mut bytes = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        values += 1;
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => open.extend(items),
            Value::Object(map) => {
                bytes += map.keys().map(String::len).sum::<usize>();
                open.extend(map.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    (values, bytes)
}

fn misread(error: ScalarError, at: Marker) -> Problem {
    Problem::new(at.line(), at.col() + 1, error.message, error.help)
}

fn complex_key(at: Marker) -> Problem {
    Problem::new(
        at.line(),
        at.col() + 1,
        "a mapping or sequence cannot be a key",
        "Kubernetes objects have text as keys; if this is a template such as `{{ x }}`, put it in \
         quotes",
    )
}

fn too_deep(at: Marker) -> Problem {
    Problem::new(at.line(), at.col() + 1, "the document is nested too deeply", "flatten it")
}

fn bad_merge(at: Marker) -> Problem {
    Problem::new(
        at.line(),
        at.col() + 1,
        "`<<` merges mappings only",
        "give it an alias of a mapping, or a sequence of such aliases",
    )
}

fn twice(name: &str, at: Marker) -> Problem {
    Problem::new(
        at.line(),
        at.col() + 1,
        format!("the key `{name}` stands twice in one mapping"),
        "keep one of the two",
    )
}

/// A syntax error in the parser's words, with what to do where the cause is plain.
fn syntax(error: &ScanError, text: &str) -> Problem {
    let at = error.marker();
    if let Some(problem) = tab(error, text) {
        return problem;
    }
    let (message, help) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => {
            ("the document is nested too deeply".to_owned(), "flatten it")
        }
        ErrorKind::UnknownAnchor => {
            let message = "an alias names an anchor that does not stand above it";
            (message.to_owned(), "define the anchor with `&name` in the same document")
        }
        ErrorKind::UnexpectedCharacter { .. } => {
            (reworded(&error.info()), "put a value that begins with a special character in quotes")
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => (
            reworded(&error.info()),
            "check the indentation of this line and the colon of the line above",
        ),
        _ => (
            reworded(&error.info()),
            "check the indentation here and in the lines above, and quotes and brackets that stay \
             open",
        ),
    };
    Problem::new(at.line(), at.col() + 1, message, help)
}

/// A tab in the indentation, at which parsers stumble in several ways and often a line too early.
fn tab(error: &ScanError, text: &str) -> Option<Problem> {
    if !error.info().contains("tab") {
        return None;
    }
    let at = error.marker();
    let mut lines = (1..).zip(text.lines()).skip_while(|(number, _)| *number < at.line());
    let found = lines.find_map(|(number, line)| {
        let indentation = line.len() - line.trim_start().len();
        let column = line.get(..indentation)?.find('\t')?;
        Some((number, column + 1))
    });
    let (line, column) = found.unwrap_or((at.line(), at.col() + 1));
    let message = "a tab stands where YAML wants spaces";
    Some(Problem::new(line, column, message, "indent with spaces"))
}

/// A message in this project's form.
fn reworded(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        // The parser quotes what it cites in several ways; here it is always backticks.
        Some(first) => {
            let lower: String = first.to_lowercase().chain(characters).collect();
            lower.replace('\'', "`")
        }
        None => String::new(),
    }
}
