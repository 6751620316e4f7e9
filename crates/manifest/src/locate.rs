//! Where a field stands in a file, for messages about documents that parse but mean nothing.

use granit_parser::{Event, Marker, Parser};

use crate::document::Document;
use crate::limits::Limits;
use crate::yaml;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

/// Where a field of a document stands in the text it was read from: the key of the innermost field
/// on the path that exists. A path is written as `spec.rules[0].validate`; keys with dots in them
/// are found too. `None` for documents that are no YAML with places (JSON lists, aliases).
pub fn locate(source: &[u8], document: &Document, path: &str) -> Option<Place> {
    let text = std::str::from_utf8(source).ok()?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut wanted = match document.item {
        Some(item) => format!("items[{item}]"),
        None => String::new(),
    };
    if !wanted.is_empty() && !path.is_empty() && !path.starts_with('[') {
        wanted.push('.');
    }
    wanted.push_str(path);
    let first = first_line(text, document)?;
    let (skipped, from) = from_line(text, first);
    let mut search = Search { wanted: &wanted, stack: Vec::new(), best: None };
    let mut parser = Parser::new_from_str_with_options(from, yaml::options(&Limits::default()));
    while let Some(Ok((event, span))) = parser.next_event() {
        if matches!(event, Event::DocumentEnd) || search.found_all() {
            break;
        }
        search.take(&event, span.start);
    }
    let (_, at) = search.best?;
    Some(Place { line: (skipped + at.line()) as u64, column: at.col() as u64 + 1 })
}

/// The line (from 0) from which the document can be parsed: its `---`, or the file's beginning.
fn first_line(text: &str, document: &Document) -> Option<usize> {
    let line = usize::try_from(document.line).ok()?;
    let before = text.lines().take(line).enumerate();
    let start = before.filter(|(_, text)| starts_document(text)).map(|(number, _)| number).last();
    Some(start.unwrap_or(0))
}

fn starts_document(line: &str) -> bool {
    let marker = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
    marker.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']))
}

/// The text from a line on (counted from 0), and how many lines stand before it.
fn from_line(text: &str, line: usize) -> (usize, &str) {
    let Some(before) = line.checked_sub(1) else { return (0, text) };
    match text.match_indices('\n').nth(before) {
        Some((at, _)) => (line, text.get(at + 1..).unwrap_or_default()),
        None => (0, text),
    }
}

enum Frame {
    Sequence {
        next: usize,
        rest: usize,
    },
    Mapping {
        key: Option<(String, Marker)>,
        rest: usize,
    },
    /// Not on the way to the wanted field.
    Elsewhere,
}

/// A walk along a path. `rest` of a frame is the offset in `wanted` after the frame's own path.
struct Search<'a> {
    wanted: &'a str,
    stack: Vec<Frame>,
    /// The offset in `wanted` up to which the path was found, and where.
    best: Option<(usize, Marker)>,
}

impl Search<'_> {
    fn found_all(&self) -> bool {
        self.best.is_some_and(|(offset, _)| offset >= self.wanted.len())
    }

    fn take(&mut self, event: &Event<'_>, at: Marker) {
        match event {
            Event::Scalar(text, ..) => {
                if let Some(Frame::Mapping { key: key @ None, .. }) = self.stack.last_mut() {
                    *key = Some((text.to_string(), at));
                } else {
                    self.enter(at);
                }
            }
            Event::Alias(_) => {
                if let Some(Frame::Mapping { key: key @ None, .. }) = self.stack.last_mut() {
                    *key = Some((String::new(), at));
                } else {
                    self.enter(at);
                }
            }
            Event::SequenceStart(..) => {
                let frame = match self.enter(at) {
                    Some(rest) => Frame::Sequence { next: 0, rest },
                    None => Frame::Elsewhere,
                };
                self.stack.push(frame);
            }
            Event::MappingStart(..) => {
                let frame = match self.enter(at) {
                    Some(rest) => Frame::Mapping { key: None, rest },
                    None => Frame::Elsewhere,
                };
                self.stack.push(frame);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.stack.pop();
            }
            _ => {}
        }
    }

    /// A node begins: gives the offset after its step if it is on the way.
    fn enter(&mut self, at: Marker) -> Option<usize> {
        let (offset, place) = match self.stack.last_mut() {
            None => (0, at),
            Some(Frame::Elsewhere) => return None,
            Some(Frame::Sequence { next, rest }) => {
                let step = format!("[{next}]");
                *next += 1;
                let tail = self.wanted.get(*rest..)?;
                (*rest + tail.strip_prefix(step.as_str()).map(|_| step.len())?, at)
            }
            Some(Frame::Mapping { key, rest }) => {
                let (name, place) = key.take()?;
                let tail = self.wanted.get(*rest..)?;
                let dot = usize::from(tail.starts_with('.'));
                let after = tail.get(dot..)?.strip_prefix(name.as_str())?;
                if name.is_empty() || !(after.is_empty() || after.starts_with(['.', '['])) {
                    return None;
                }
                (*rest + dot + name.len(), place)
            }
        };
        if self.best.is_none_or(|(found, _)| offset > found) {
            self.best = Some((offset, place));
        }
        Some(offset)
    }
}
