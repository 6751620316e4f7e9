//! Texts to tokens.

use crate::error::Wrong;

/// A token, and where it begins in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) offset: usize,
    pub(crate) kind: TokenKind,
}

/// What kind of token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    Name(String),
    /// A name in backticks, which only a field can be.
    QuotedName(String),
    Int(u64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    Symbol(&'static str),
    End,
}

/// Longer symbols stand before those that they begin with.
const SYMBOLS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}", ";",
];

/// Reads a whole expression.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Wrong> {
    let mut lexer = Lexer { text, offset: 0 };
    let mut found = Vec::new();
    loop {
        lexer.skip_blank();
        let offset = lexer.offset;
        let kind = lexer.token()?;
        let end = kind == TokenKind::End;
        found.push(Token { offset, kind });
        if end {
            return Ok(found);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    offset: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn wrong(&self, message: impl Into<String>) -> Wrong {
        Wrong::new(self.offset, message)
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
            self.offset += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.offset += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// Takes characters as long as they fit.
    fn take(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let taken = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.offset += taken;
        rest.get(..taken).unwrap_or_default()
    }

    fn token(&mut self) -> Result<TokenKind, Wrong> {
        let Some(first) = self.peek() else { return Ok(TokenKind::End) };
        if let Some(quoted) = self.text_literal()? {
            return Ok(quoted);
        }
        let digit_after_dot = || {
            self.rest().get(1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        if first.is_ascii_digit() || (first == '.' && digit_after_dot()) {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
            return Ok(TokenKind::Name(name.to_owned()));
        }
        if first == '`' {
            self.offset += 1;
            let name = self
                .take(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' '));
            if name.is_empty() || self.peek() != Some('`') {
                return Err(self.wrong("a name in backticks does not end"));
            }
            self.offset += 1;
            return Ok(TokenKind::QuotedName(name.to_owned()));
        }
        let symbol = SYMBOLS.into_iter().find(|symbol| self.rest().starts_with(symbol));
        let symbol = symbol.ok_or_else(|| self.wrong(format!("unexpected character `{first}`")))?;
        self.offset += symbol.len();
        Ok(TokenKind::Symbol(symbol))
    }

    fn number(&mut self) -> Result<TokenKind, Wrong> {
        let start = self.offset;
        let rest = self.rest();
        if rest.starts_with("0x") || rest.starts_with("0X") {
            self.offset += 2;
            let digits = self.take(|c| c.is_ascii_hexdigit());
            let value = u64::from_str_radix(digits, 16);
            return self.whole(start, value.ok());
        }
        let whole = self.take(|c| c.is_ascii_digit());
        let after = self.rest();
        let fraction = after
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if fraction {
            self.offset += 1;
            self.take(|c| c.is_ascii_digit());
        }
        let exponent = self.rest().strip_prefix(['e', 'E']).is_some_and(|rest| {
            rest.strip_prefix(['+', '-']).unwrap_or(rest).starts_with(|c: char| c.is_ascii_digit())
        });
        if exponent {
            self.offset += 1;
            self.take(|c| matches!(c, '+' | '-'));
            self.take(|c| c.is_ascii_digit());
        }
        if fraction || exponent {
            let text = self.text.get(start..self.offset).unwrap_or_default();
            let value: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite());
            return value
                .map(TokenKind::Double)
                .ok_or_else(|| Wrong::new(start, format!("`{text}` is no number")));
        }
        self.whole(start, whole.parse().ok())
    }

    fn whole(&mut self, start: usize, value: Option<u64>) -> Result<TokenKind, Wrong> {
        let text = self.text.get(start..self.offset).unwrap_or_default();
        let value =
            value.ok_or_else(|| Wrong::new(start, format!("`{text}` is no integer of 64 bits")))?;
        if self.peek().is_some_and(|c| matches!(c, 'u' | 'U')) {
            self.offset += 1;
            return Ok(TokenKind::Uint(value));
        }
        if self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(self.wrong("a number must end before this"));
        }
        Ok(TokenKind::Int(value))
    }

    /// A text or bytes; `None` where none begins.
    fn text_literal(&mut self) -> Result<Option<TokenKind>, Wrong> {
        let rest = self.rest();
        let prefix_length = rest.find(|c| !matches!(c, 'r' | 'R' | 'b' | 'B')).unwrap_or(0);
        let (prefix, quoted) = rest.split_at(prefix_length);
        let prefix = prefix.to_ascii_lowercase();
        if !matches!(prefix.as_str(), "" | "r" | "b" | "rb" | "br")
            || !quoted.starts_with(['\'', '"'])
        {
            return Ok(None);
        }
        let (raw, bytes) = (prefix.contains('r'), prefix.contains('b'));
        let quote =
            ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| quoted.starts_with(quote));
        let Some(quote) = quote else { return Ok(None) };
        let start = self.offset;
        self.offset += prefix_length + quote.len();
        let mut made = Made { bytes: Vec::new(), is_bytes: bytes };
        loop {
            let rest = self.rest();
            if rest.starts_with(quote) {
                self.offset += quote.len();
                break;
            }
            let Some(next) = rest.chars().next() else {
                return Err(Wrong::new(start, "a text does not end"));
            };
            if quote.len() == 1 && matches!(next, '\n' | '\r') {
                return Err(Wrong::new(start, "a text does not end on its line"));
            }
            if next == '\\' && !raw {
                self.escape(&mut made)?;
            } else {
                self.offset += next.len_utf8();
                made.push(next);
            }
        }
        if bytes {
            return Ok(Some(TokenKind::Bytes(made.bytes)));
        }
        // INVARIANT: without bytes' escapes only whole characters were pushed.
        Ok(Some(TokenKind::String(String::from_utf8_lossy(&made.bytes).into_owned())))
    }

    fn escape(&mut self, made: &mut Made) -> Result<(), Wrong> {
        let start = self.offset;
        self.offset += 1;
        let wrong = || Wrong::new(start, "unknown escape in a text");
        let letter = self.peek().ok_or_else(wrong)?;
        self.offset += letter.len_utf8();
        let simple = match letter {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '\'' | '"' | '`' | '?' => letter,
            'x' | 'X' => return self.code(2, 16, made, start),
            'u' if !made.is_bytes => return self.code(4, 16, made, start),
            'U' if !made.is_bytes => return self.code(8, 16, made, start),
            '0'..='3' => {
                self.offset -= 1;
                return self.code(3, 8, made, start);
            }
            _ => return Err(wrong()),
        };
        made.push(simple);
        Ok(())
    }

    /// A character (in bytes: a byte) by its number.
    fn code(
        &mut self,
        digits: usize,
        radix: u32,
        made: &mut Made,
        start: usize,
    ) -> Result<(), Wrong> {
        let wrong = || Wrong::new(start, "an escape in a text is no character");
        let text = self.rest().get(..digits).ok_or_else(wrong)?;
        if !text.chars().all(|c| c.is_digit(radix)) {
            return Err(wrong());
        }
        let code = u32::from_str_radix(text, radix).map_err(|_| wrong())?;
        self.offset += digits;
        if made.is_bytes {
            made.bytes.push(u8::try_from(code).map_err(|_| wrong())?);
        } else {
            made.push(char::from_u32(code).ok_or_else(wrong)?);
        }
        Ok(())
    }
}

/// A text or bytes in the making.
struct Made {
    bytes: Vec<u8>,
    is_bytes: bool,
}

impl Made {
    fn push(&mut self, character: char) {
        self.bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}
