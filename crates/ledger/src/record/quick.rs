//! The shape that every record has, read without looking at its body again.
//!
//! A canonical line has its keys in order, so that what follows the body is known to the byte. Whatever is
//! not so is left to the general reader, which says what is wrong with it.

use std::borrow::Cow;

use super::{Text, Wire};

/// Reads a line that was found canonical; `body_end` is where its first member's value ends. `None` where it
/// has another shape than a record's.
pub(super) fn wire(line: &[u8], body_end: usize) -> Option<Wire<'_>> {
    let text = std::str::from_utf8(line).ok()?;
    let (body, rest) = text.split_at_checked(body_end)?;
    let body = body.strip_prefix("{\"body\":")?;
    let mut rest = Rest(rest);
    rest.skip(",\"cluster\":")?;
    let cluster = rest.string()?;
    rest.skip(",\"controls\":[")?;
    let mut controls = Vec::new();
    if rest.skip("]").is_none() {
        loop {
            controls.push(Text(rest.string()?));
            if rest.skip(",").is_none() {
                break;
            }
        }
        rest.skip("]")?;
    }
    rest.skip(",\"kind\":")?;
    let kind = rest.string()?;
    rest.skip(",\"seq\":")?;
    let seq = rest.number()?;
    rest.skip(",\"source\":")?;
    let source = rest.string()?;
    rest.skip(",\"source_epoch\":")?;
    let source_epoch = rest.number()?;
    rest.skip(",\"source_seq\":")?;
    let source_seq = rest.number()?;
    rest.skip(",\"time\":")?;
    let Cow::Borrowed(time) = rest.string()? else { return None };
    rest.skip(",\"v\":")?;
    let v = rest.number()?;
    rest.skip("}")?;
    let whole = rest.0.is_empty();
    whole.then_some(Wire {
        v,
        seq,
        time,
        cluster,
        source,
        source_epoch,
        source_seq,
        kind,
        controls,
        body,
    })
}

struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    /// A string; one with escapes is read by the general reader.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let inside = self.0.strip_prefix('"')?;
        let mut end = 0;
        let mut escaped = false;
        loop {
            match inside.as_bytes().get(end)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        let (text, rest) = inside.split_at_checked(end)?;
        let token = self.0.get(..end + 2)?;
        self.0 = rest.strip_prefix('"')?;
        if escaped {
            serde_json::from_str(token).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(text))
        }
    }

    fn number(&mut self) -> Option<u64> {
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "{\"body\":{\"a\":[1,{\"b\":\"}\\\"\"}]},\"cluster\":\"c\\u0001\\\"é\",\"controls\":[\"x\",\"y\"],\
         \"kind\":\"event\",\"seq\":12,\"source\":\"audit-file/a\",\"source_epoch\":1,\"source_seq\":0,\
         \"time\":\"2026-12-01T00:00:00.000000Z\",\"v\":1}";

    /// What both readers make of a line; none where they refuse it.
    fn both(line: &[u8]) -> Option<(Option<String>, Option<String>)> {
        let end = proofstream_canonical::check_record_line(line).ok()?;
        let slow: Option<Wire<'_>> = serde_json::from_slice(line).ok();
        let told = |wire: Wire<'_>| {
            let controls: Vec<_> = wire.controls.iter().map(|text| text.0.clone()).collect();
            format!(
                "{} {} {} {} {} {} {} {} {controls:?} {}",
                wire.v,
                wire.seq,
                wire.time,
                wire.cluster,
                wire.source,
                wire.source_epoch,
                wire.source_seq,
                wire.kind,
                wire.body
            )
        };
        Some((wire(line, end).map(told), slow.map(told)))
    }

    #[test]
    fn a_record_is_read_as_the_general_reader_does() {
        let (quick, slow) = both(LINE.as_bytes()).expect("canonical");
        assert!(quick.is_some());
        assert_eq!(quick, slow);
        let none = LINE.replace("[\"x\",\"y\"]", "[]");
        let (quick, slow) = both(none.as_bytes()).expect("canonical");
        assert!(quick.is_some() && quick == slow);
    }

    proptest! {
        /// Whatever is changed: what the quick reader takes, the general one takes, and reads the same.
        #[test]
        fn changed_records_are_read_as_the_general_reader_does(
            changes in prop::collection::vec((0..LINE.len(), any::<u8>()), 1..3),
            removed in 0..LINE.len(),
            length in 0..20_usize,
        ) {
            let mut line = LINE.as_bytes().to_vec();
            for (place, byte) in changes {
                line[place] = byte;
            }
            if length > 2 {
                line.drain(removed..(removed + length).min(LINE.len()));
            }
            if let Some((Some(quick), slow)) = both(&line) {
                prop_assert_eq!(Some(quick), slow);
            }
        }
    }
}
