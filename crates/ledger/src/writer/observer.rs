//! Following the ledger: durable records in order, from any `seq` on.
//!
//! An observer pulls. What is not sealed yet it takes from the writer's memory, what is older from
//! the ledger; one that lags costs the writer nothing and loses nothing.

use std::sync::Arc;
use std::time::Duration;

use super::shared::{Seen, Shared};
use crate::reader::{ReadError, Reader};
use crate::wal::Group;

/// A place in the ledger from which records are read on.
pub struct Observer {
    pub(super) shared: Arc<Shared>,
    pub(super) next: u64,
    pub(super) reader: Option<Reader>,
}

/// Records that follow one another.
#[derive(Clone, Debug)]
pub struct Observed {
    first_seq: u64,
    skip: usize,
    lines: Lines,
}

#[derive(Clone, Debug)]
enum Lines {
    Unsealed(Arc<Group>),
    Sealed(Vec<Vec<u8>>),
}

/// Why an observer cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The writer has ended and everything durable was seen.
    #[error("the ledger's writer has ended")]
    Ended,
    /// The ledger cannot be read.
    #[error("cannot read the ledger at record {seq}")]
    Read {
        /// The record to be read next.
        seq: u64,
        /// Why.
        #[source]
        source: Box<ReadError>,
    },
}

impl Observer {
    /// The `seq` of the record that comes next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// The records that come next, as many as are at hand, waiting at most `timeout` for the first;
    /// `None` when that has passed.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Observed>, ObserveError> {
        let observed = match self.shared.look(self.next, timeout) {
            Seen::Nothing => return Ok(None),
            Seen::Ended => return Err(ObserveError::Ended),
            Seen::Group(group) => Observed::new(self.next, group.first(), Lines::Unsealed(group)),
            Seen::Sealed => {
                let seq = self.next;
                self.read_sealed()
                    .map_err(|error| ObserveError::Read { seq, source: Box::new(error) })?
            }
        };
        self.next = self.next.saturating_add(observed.len() as u64);
        Ok(Some(observed))
    }

    fn read_sealed(&mut self) -> Result<Observed, ReadError> {
        let known = match &self.reader {
            Some(reader) => self.next < reader.record_count()?,
            None => false,
        };
        if !known {
            self.reader = Reader::open(Arc::clone(&self.shared.ledger))?;
        }
        let Some(reader) = &self.reader else {
            return Ok(Observed::new(self.next, self.next, Lines::Sealed(Vec::new())));
        };
        let (index, manifest) = reader.locate(self.next)?;
        Ok(Observed::new(self.next, manifest.first, Lines::Sealed(reader.lines(index)?)))
    }
}

impl Observed {
    fn new(next: u64, first: u64, lines: Lines) -> Self {
        let skip = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
        Self { first_seq: next, skip, lines }
    }

    /// The `seq` of the first of them.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// How many.
    pub fn len(&self) -> usize {
        let all = match &self.lines {
            Lines::Unsealed(group) => group.count(),
            Lines::Sealed(lines) => lines.len(),
        };
        all.saturating_sub(self.skip)
    }

    /// Whether there are none; an observer never returns such.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lines in order, without their `\n`.
    pub fn lines(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        match &self.lines {
            Lines::Unsealed(group) => Box::new(group.lines().skip(self.skip)),
            Lines::Sealed(lines) => Box::new(lines.iter().skip(self.skip).map(Vec::as_slice)),
        }
    }
}
