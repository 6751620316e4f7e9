//! Reads documents one by one, splitting the input at document boundaries as it arrives.
//!
//! A line that begins with `---` or `...`, followed by a blank or nothing, ends a YAML document
//! wherever it stands (YAML 1.2.2, 9.1.2), also inside a block scalar; so the input can be cut there
//! before anything is parsed, and an error in one document leaves the others readable.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;

use crate::document::{Document, Parsed, Placed, flatten};
use crate::error::{ManifestError, Problem};
use crate::limits::Limits;
use crate::{json, yaml};

/// The documents of a file that is already in memory.
pub fn documents<'a>(bytes: &'a [u8], file: &str) -> Documents<&'a [u8]> {
    read(bytes, file)
}

/// The documents of an input, read as they are asked for. Empty and null documents are passed over,
/// lists are taken apart. After an error the next document follows; after a failure to read the
/// input, nothing does.
pub fn read<R: BufRead>(reader: R, file: &str) -> Documents<R> {
    Documents {
        lines: Lines { reader, held: None, number: 0 },
        file: Arc::from(file),
        limits: Limits::default(),
        text: Vec::new(),
        ready: VecDeque::new(),
        index: 0,
        finished: false,
    }
}

/// An iterator over the documents of an input; see [`read`].
#[derive(Debug)]
pub struct Documents<R> {
    lines: Lines<R>,
    file: Arc<str>,
    limits: Limits,
    /// The text of the document at hand; kept to be used again.
    text: Vec<u8>,
    ready: VecDeque<(Result<Placed, Problem>, u64)>,
    index: usize,
    finished: bool,
}

#[derive(Debug)]
struct Lines<R> {
    reader: R,
    /// A line that was read and belongs to the next document.
    held: Option<Vec<u8>>,
    /// Lines read so far, the held one among them.
    number: u64,
}

// === impl Documents ===

impl<R> Documents<R> {
    /// The same, with other bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

impl<R: BufRead> Documents<R> {
    /// Reads the text of the next document into `self.text`; gives its first line, or nothing at the
    /// end of the input.
    fn next_text(&mut self) -> Result<Option<u64>, ManifestError> {
        self.text.clear();
        let mut first_line = None;
        let mut has_content = false;
        loop {
            let before = self.text.len();
            let room = self.limits.document_bytes.saturating_add(1).saturating_sub(before);
            let line_number = match self.lines.append(&mut self.text, room) {
                Ok(Some(number)) => number,
                Ok(None) => return Ok(first_line),
                Err(error) => {
                    self.finished = true;
                    return Err(self.unreadable(&error));
                }
            };
            let first = *first_line.get_or_insert(line_number);
            if self.text.len() > self.limits.document_bytes {
                self.finished = true;
                return Err(self.too_large(first));
            }
            let line = self.text.get(before..).unwrap_or_default();
            match boundary(line) {
                Boundary::Start if has_content => {
                    self.lines.held = Some(line.to_vec());
                    self.text.truncate(before);
                    return Ok(Some(first));
                }
                Boundary::End => return Ok(Some(first)),
                Boundary::Start => has_content = true,
                Boundary::None => has_content |= is_content(line),
            }
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> ManifestError {
        ManifestError {
            file: Arc::clone(&self.file),
            line: 0,
            column: 0,
            message: format!("cannot be read: {error}"),
            help: String::new(),
        }
    }

    fn too_large(&self, line: u64) -> ManifestError {
        Problem::new(
            1,
            1,
            format!("the document is larger than {} MiB", self.limits.document_bytes >> 20),
            "split it into several documents with `---` lines",
        )
        .in_file(&self.file, line)
    }

    /// Parses `self.text` into `self.ready`.
    fn parse_text(&mut self, first_line: u64) {
        let mut keep = |result: Result<Parsed, Problem>| match result {
            Ok(parsed) if parsed.value.is_null() => {}
            Ok(parsed) => {
                let placed = flatten(parsed).into_iter().map(|each| (Ok(each), first_line));
                self.ready.extend(placed);
            }
            Err(problem) => self.ready.push_back((Err(problem), first_line)),
        };
        match text_of(&self.text) {
            Err(problem) => keep(Err(problem)),
            Ok(text) => match json::parse(text) {
                Some(values) => values.into_iter().for_each(keep),
                None => yaml::parse(text, &self.limits).into_iter().for_each(keep),
            },
        }
    }
}

impl<R: BufRead> Iterator for Documents<R> {
    type Item = Result<Document, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((result, first_line)) = self.ready.pop_front() {
                let (value, line, item) = match result {
                    Ok(placed) => placed,
                    Err(problem) => return Some(Err(problem.in_file(&self.file, first_line))),
                };
                let index = self.index;
                self.index += 1;
                let line = first_line.saturating_add(line as u64).saturating_sub(1);
                let file = Arc::clone(&self.file);
                return Some(Ok(Document { value, file, index, line, item }));
            }
            if self.finished {
                return None;
            }
            match self.next_text() {
                Ok(Some(first_line)) => self.parse_text(first_line),
                Ok(None) => self.finished = true,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

// === impl Lines ===

impl<R: BufRead> Lines<R> {
    /// Appends the next line with its line feed, at most `room` bytes of it; gives its number.
    fn append(&mut self, text: &mut Vec<u8>, room: usize) -> std::io::Result<Option<u64>> {
        if let Some(held) = self.held.take() {
            text.extend_from_slice(&held);
            return Ok(Some(self.number));
        }
        let limit = u64::try_from(room).unwrap_or(u64::MAX);
        let count = std::io::Read::take(&mut self.reader, limit).read_until(b'\n', text)?;
        if count == 0 {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(self.number))
    }
}

// === private ===

enum Boundary {
    Start,
    End,
    None,
}

/// Whether a line begins or ends a document.
fn boundary(line: &[u8]) -> Boundary {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    let ends = |rest: &[u8]| matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n'));
    match line.split_at_checked(3) {
        Some((b"---", rest)) if ends(rest) => Boundary::Start,
        Some((b"...", rest)) if ends(rest) => Boundary::End,
        _ => Boundary::None,
    }
}

/// Whether a line holds more than blanks, a comment, or a directive that belongs to the `---` below.
fn is_content(line: &[u8]) -> bool {
    if line.first() == Some(&b'%') {
        return false;
    }
    let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    !matches!(first, None | Some(b'#'))
}

/// The document's text, without a byte order mark.
fn text_of(bytes: &[u8]) -> Result<&str, Problem> {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(Problem::new(1, 1, "the text is UTF-16", "save the file as UTF-8"));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text)),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = valid.split(|byte| *byte == b'\n').count();
            let start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let column = String::from_utf8_lossy(valid.get(start..).unwrap_or_default());
            Err(Problem::new(
                line,
                column.chars().count() + 1,
                "the text is not UTF-8",
                "save the file as UTF-8",
            ))
        }
    }
}
