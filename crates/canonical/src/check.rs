//! One pass over a line that says whether it is canonical JSON, without building a value.
//!
//! It checks what LEDGER.md's Record asks on top of RFC 8785: ASCII keys, numbers that are integers
//! within ±(2^53−1), no duplicate keys, no lone surrogates, at most 64 KiB.

/// The longest record line, in bytes, its `\n` not counted.
pub const MAX_RECORD_LINE: usize = 64 * 1024;
/// The greatest magnitude of a number in a record: 2^53−1.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
/// How deep arrays and objects may nest; what `serde_json` reads is a little deeper.
pub const MAX_DEPTH: usize = 100;

/// Why bytes are not the canonical form the ledger asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not canonical at byte {offset}: {reason}")]
pub struct NotCanonical {
    /// Where the check stopped, in bytes from the start of the line.
    pub offset: usize,
    /// What was wrong there.
    pub reason: &'static str,
}

/// Checks a record's line (without its `\n`): a canonical JSON object of at most 64 KiB.
///
/// Gives where the value of its first member ends, in bytes from the start of the line: a record's body, so that
/// nobody has to look for its end again. For an object without members this is 0.
///
/// # Errors
/// The first place that is not canonical, and why.
pub fn check_record_line(line: &[u8]) -> Result<usize, NotCanonical> {
    if line.len() > MAX_RECORD_LINE {
        return Err(NotCanonical { offset: MAX_RECORD_LINE, reason: "longer than 64 KiB" });
    }
    scan(line)
}

/// Checks that `line` is one canonical JSON object under the same rules, whatever its length.
///
/// # Errors
/// The first place that is not canonical, and why.
pub fn check_json(line: &[u8]) -> Result<(), NotCanonical> {
    scan(line).map(|_| ())
}

fn scan(line: &[u8]) -> Result<usize, NotCanonical> {
    if let Err(error) = std::str::from_utf8(line) {
        return Err(NotCanonical { offset: error.valid_up_to(), reason: "not UTF-8" });
    }
    let mut scan = Scan { line, at: 0, first: 0 };
    if scan.peek() != Some(b'{') {
        return Err(scan.fail("not an object"));
    }
    scan.value(0)?;
    if scan.at != line.len() {
        return Err(scan.fail("bytes after the object"));
    }
    Ok(scan.first)
}

struct Scan<'a> {
    line: &'a [u8],
    at: usize,
    /// Where the first member's value of the outermost object ends.
    first: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn fail(&self, reason: &'static str) -> NotCanonical {
        NotCanonical { offset: self.at, reason }
    }

    fn value(&mut self, depth: usize) -> Result<(), NotCanonical> {
        if depth > MAX_DEPTH {
            return Err(self.fail("nested too deep"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(|_| ()),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.integer(),
            Some(b' ' | b'\t' | b'\r' | b'\n') => Err(self.fail("white space between tokens")),
            Some(_) => Err(self.fail("not a JSON value")),
            None => Err(self.fail("ends inside a value")),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), NotCanonical> {
        let rest = self.line.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.fail("not a JSON value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            match self.next() {
                Some(b',') => {}
                Some(b']') => return Ok(()),
                _ => return Err(self.fail_before("expected `,` or `]`")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut last: Option<&'a [u8]> = None;
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fail("expected a key"));
            }
            let key = self.string()?;
            if !key.is_ascii() {
                return Err(NotCanonical { offset: start, reason: "a key that is not ASCII" });
            }
            if let Some(last) = last {
                match Unescaped(last).cmp(Unescaped(key)) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => {
                        return Err(NotCanonical { offset: start, reason: "the same key twice" });
                    }
                    std::cmp::Ordering::Greater => {
                        return Err(NotCanonical { offset: start, reason: "keys not in order" });
                    }
                }
            }
            last = Some(key);
            if self.next() != Some(b':') {
                return Err(self.fail_before("expected `:`"));
            }
            self.value(depth + 1)?;
            if depth == 0 && self.first == 0 {
                self.first = self.at;
            }
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(()),
                _ => return Err(self.fail_before("expected `,` or `}`")),
            }
        }
    }

    /// Reads a string and gives what stands between its quotes, escapes as they are.
    fn string(&mut self) -> Result<&'a [u8], NotCanonical> {
        self.at += 1;
        let start = self.at;
        loop {
            let rest = self.line.get(self.at..).unwrap_or_default();
            let ends = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
            self.at += rest.iter().position(ends).unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    let inside = self.line.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(inside);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.fail("a control character that is not escaped")),
                None => return Err(self.fail("ends inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), NotCanonical> {
        match self.line.get(self.at + 1).copied() {
            Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let digits = self.line.get(self.at + 2..self.at + 6).unwrap_or_default();
                if !escaped_control(digits) {
                    return Err(self.fail("an escape that canonical JSON does not use"));
                }
                self.at += 6;
                Ok(())
            }
            _ => Err(self.fail("an escape that canonical JSON does not use")),
        }
    }

    fn integer(&mut self) -> Result<(), NotCanonical> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let first = self.at;
        let mut magnitude: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            magnitude = magnitude.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        let leading_zero = self.line.get(first) == Some(&b'0') && (digits > 1 || negative);
        let reason = if digits == 0 {
            "not a number"
        } else if leading_zero {
            "a number with a leading zero, or a negative zero"
        } else if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            "a number that is not an integer"
        } else if magnitude > MAX_INTEGER {
            "an integer beyond ±(2^53−1)"
        } else {
            return Ok(());
        };
        Err(NotCanonical { offset: start, reason })
    }

    fn fail_before(&self, reason: &'static str) -> NotCanonical {
        NotCanonical { offset: self.at.saturating_sub(1), reason }
    }
}

/// Whether four hexadecimal digits name a control character that has no shorter escape, in the
/// lower case that RFC 8785 asks for.
fn escaped_control(digits: &[u8]) -> bool {
    let &[b'0', b'0', high @ (b'0' | b'1'), low] = digits else { return false };
    match (high, low) {
        (b'0', b'8' | b'9' | b'a' | b'c' | b'd') => false,
        (_, b'0'..=b'9' | b'a'..=b'f') => true,
        _ => false,
    }
}

/// The bytes of a key with its escapes resolved. Keys are ASCII, so bytes order as UTF-16 does.
#[derive(Clone)]
struct Unescaped<'a>(&'a [u8]);

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        if byte != b'\\' {
            return Some(byte);
        }
        let (&escape, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match escape {
            b'b' => 0x08,
            b't' => 0x09,
            b'n' => 0x0a,
            b'f' => 0x0c,
            b'r' => 0x0d,
            b'u' => {
                let (digits, rest) = self.0.split_at_checked(4)?;
                self.0 = rest;
                let text = std::str::from_utf8(digits).ok()?;
                u8::from_str_radix(text, 16).ok()?
            }
            other => other,
        })
    }
}
