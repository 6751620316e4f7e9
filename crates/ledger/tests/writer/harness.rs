//! Opening a ledger on a simulated disk, and holding what is found there against what was promised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use proofstream_ledger::reader::Reader;
use proofstream_ledger::record::Envelope;
use proofstream_ledger::storage::{Access, Directory, Storage};
use proofstream_ledger::time::Time;
use proofstream_ledger::verify;
use proofstream_ledger::writer::{
    Clock, Draft, Limits, OpenError, Recovered, Source, Ticket, Writer, WriterOptions,
};

use super::disk::Disk;

pub(crate) const CLUSTER: &str = "6b1d5b7e-0000-4000-8000-000000000001";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that goes forward a millisecond whenever it is looked at, and now and then back.
pub(crate) struct StepClock(AtomicI64, Instant);

impl Clock for StepClock {
    fn now(&self) -> Time {
        let step = self.0.fetch_add(1, Ordering::Relaxed);
        let back = if step % 7 == 3 { 5_000 } else { 0 };
        Time::from_unix_microseconds(1_790_000_000_000_000 + step * 1000 - back)
    }

    fn elapsed(&self) -> Duration {
        self.1.elapsed()
    }
}

/// The acknowledged records: by source and epoch, numbers and bodies in order.
pub(crate) type Promised = BTreeMap<(String, u64), Vec<(u64, Vec<u8>)>>;

pub(crate) fn storage(disk: &Disk, place: &str) -> Arc<dyn Storage> {
    let files = Arc::new(disk.clone());
    Arc::new(Directory::with_files(place, Access::Private, files).prepare(2048))
}

pub(crate) fn options(disk: &Disk) -> WriterOptions {
    let mut options =
        WriterOptions::new(CLUSTER, storage(disk, "/data/private"), storage(disk, "/guard"));
    options.clock = Arc::new(StepClock(AtomicI64::new(0), Instant::now()));
    options.limits =
        Limits { seal_after: Duration::from_hours(1), segment_records: 40, ..Limits::default() };
    options
}

pub(crate) fn ledger(disk: &Disk) -> Arc<dyn Storage> {
    storage(disk, "/data/ledger")
}

pub(crate) fn open(disk: &Disk) -> Result<(Writer, Recovered), OpenError> {
    Writer::open(ledger(disk), options(disk))
}

pub(crate) fn draft(number: u64) -> Draft {
    let body = format!("{{\"n\":{number},\"text\":\"{}\"}}", "x".repeat(number as usize % 90));
    Draft { kind: "event".to_owned(), controls: Vec::new(), body: body.into_bytes() }
}

/// Appends `count` records as one batch, numbered on from `from`.
pub(crate) fn append(source: &Source, from: u64, count: u64) -> Option<(Ticket, Vec<Vec<u8>>)> {
    let drafts: Vec<_> = (from..from + count).map(draft).collect();
    let bodies = drafts.iter().map(|draft| draft.body.clone()).collect();
    source.append(drafts).ok().map(|ticket| (ticket, bodies))
}

/// Waits for a ticket and notes what it promises. False when the disk died before.
pub(crate) fn settle(
    disk: &Disk,
    source: &Source,
    appended: Option<(Ticket, Vec<Vec<u8>>)>,
    promised: &mut Promised,
) -> bool {
    let Some((ticket, bodies)) = appended else { return false };
    let deadline = Instant::now() + PATIENCE;
    let outcome = loop {
        if let Some(outcome) = ticket.wait(Duration::from_millis(2)) {
            break outcome;
        }
        if disk.is_dead() {
            return false;
        }
        assert!(Instant::now() < deadline, "an append is not acknowledged on a healthy disk");
    };
    if outcome.is_err() {
        return false;
    }
    let known = promised.entry((source.name().to_owned(), ticket.epoch())).or_default();
    known.extend((ticket.first_source_seq()..).zip(bodies));
    true
}

/// Everything in the sealed ledger, verified from its bytes, in order.
pub(crate) fn verified(disk: &Disk) -> Vec<Vec<u8>> {
    let storage = ledger(disk);
    let report = verify::verify_ledger(&*storage, &verify::Options::default()).unwrap();
    assert!(report.holds(), "{}", report.to_text());
    let reader = Reader::open(storage).unwrap().expect("a sealed ledger");
    (0..reader.size()).flat_map(|index| reader.lines(index).unwrap()).collect()
}

/// Holds the ledger against what was acknowledged: each exactly once, each source's numbers dense
/// and in order.
pub(crate) fn check(disk: &Disk, promised: &Promised) {
    check_lines(&verified(disk), promised);
}

pub(crate) fn check_lines(lines: &[Vec<u8>], promised: &Promised) {
    let mut found: Promised = BTreeMap::new();
    for (seq, line) in (0..).zip(lines) {
        let record = Envelope::parse(line).unwrap();
        assert_eq!(record.seq, seq, "seq is dense");
        let key = (record.source.into_owned(), record.source_epoch);
        let known = found.entry(key.clone()).or_default();
        let next = known.len() as u64;
        assert_eq!(record.source_seq, next, "source_seq of {key:?} is dense and in order");
        known.push((record.source_seq, record.body.as_bytes().to_vec()));
    }
    for (key, records) in promised {
        let found = found.get(key).map_or(&[][..], Vec::as_slice);
        for (number, body) in records {
            let held = found.get(*number as usize).map(|(_, body)| body);
            assert_eq!(held, Some(body), "acknowledged record {number} of {key:?}");
        }
    }
}
