//! Every line once, in order, whatever happens to the files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::audit::GapCause;

/// An audit log as the API server writes it, in a folder of its own.
struct Log {
    folder: tempfile::TempDir,
    written: u32,
    rotations: u32,
    /// The time in the name of the file that was rotated last.
    stamp: Timestamp,
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

impl Log {
    fn new() -> Self {
        let stamp = Timestamp::from_micros(0);
        Self { folder: tempfile::tempdir().unwrap(), written: 0, rotations: 0, stamp }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    fn append(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path()).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// The next line: its number, padded so that lengths differ.
    fn line(&mut self) -> Vec<u8> {
        self.written += 1;
        let padding = "x".repeat(self.written as usize * 37 % 90);
        format!("{{\"auditID\":\"{}\",\"p\":\"{padding}\"}}\n", self.written).into_bytes()
    }

    fn write(&mut self, lines: u32) {
        for _ in 0..lines {
            let line = self.line();
            self.append(&line);
        }
    }

    fn compress(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path != self.path() && path.extension().is_none_or(|extension| extension != "gz") {
                compress(&path);
            }
        }
    }

    fn rotated(&mut self) -> PathBuf {
        // Two rotations within a millisecond would overwrite each other in reality, too.
        self.stamp = now().max(self.stamp.plus_micros(1000));
        let text = self.stamp.to_string();
        self.folder.path().join(format!("audit-{}.log", text[..23].replace(':', "-")))
    }

    fn rotate(&mut self) -> PathBuf {
        let name = self.rotated();
        fs::rename(self.path(), &name).unwrap();
        self.append(b"");
        name
    }

    fn copy_truncate(&mut self) {
        self.rotations += 1;
        let copy = self.folder.path().join(format!("audit.log-{:08}", self.rotations));
        fs::copy(self.path(), copy).unwrap();
        OpenOptions::new().write(true).open(self.path()).unwrap().set_len(0).unwrap();
    }

    fn reader(&self, resume: Option<Resume>) -> Reader {
        let options = TailOptions {
            line_limit: 200,
            batch_lines: 7,
            batch_bytes: 500,
            ..TailOptions::new(self.path())
        };
        Reader::new(options, resume)
    }
}

fn resume(line: &AuditLine) -> Resume {
    Resume {
        place: line.place.clone().unwrap(),
        witness: line.bytes.to_vec(),
        written: "2026-11-24T11:00:00Z".parse().unwrap(),
    }
}

/// Polls until nothing came three times in a row.
fn drain(reader: &mut Reader) -> Vec<Tailed> {
    let mut all = Vec::new();
    let mut quiet = 0;
    while quiet < 3 {
        let items = reader.poll().unwrap();
        quiet = if items.is_empty() { quiet + 1 } else { 0 };
        all.extend(items);
    }
    all
}

fn numbers(items: &[Tailed]) -> Vec<u32> {
    let number = |item: &Tailed| match item {
        Tailed::Line(line) => {
            let text = std::str::from_utf8(&line.bytes).unwrap();
            text.split('"').nth(3).unwrap().parse().unwrap()
        }
        Tailed::Gap(gap) => panic!("{gap}"),
    };
    items.iter().map(number).collect()
}

fn gaps(items: &[Tailed]) -> Vec<GapCause> {
    let cause = |item: &Tailed| match item {
        Tailed::Gap(gap) => Some(gap.cause),
        Tailed::Line(_) => None,
    };
    items.iter().filter_map(cause).collect()
}

fn lines(items: Vec<Tailed>) -> Vec<AuditLine> {
    let line = |item| match item {
        Tailed::Line(line) => Some(line),
        Tailed::Gap(_) => None,
    };
    items.into_iter().filter_map(line).collect()
}

#[test]
fn a_partial_line_waits_for_its_newline() {
    let mut log = Log::new();
    log.write(2);
    let mut reader = log.reader(None);
    let line = log.line();
    log.append(&line[..9]);
    assert_eq!(numbers(&drain(&mut reader)), [1, 2]);
    log.append(&line[9..]);
    assert_eq!(numbers(&drain(&mut reader)), [3]);
}

#[test]
fn places_are_contiguous_and_name_the_file() {
    let mut log = Log::new();
    log.write(20);
    let read = lines(drain(&mut log.reader(None)));
    let mut offset = 0;
    for line in &read {
        let place = line.place.as_ref().unwrap();
        assert_eq!((place.offset, place.length), (offset, line.bytes.len() as u64 + 1));
        offset += place.length;
        let id: FileId = place.file.parse().unwrap();
        assert_eq!(id.path, log.path().to_string_lossy());
    }
    assert_eq!(offset, fs::metadata(log.path()).unwrap().len());
}

#[test]
fn a_new_source_reads_the_current_file_from_its_beginning() {
    let mut log = Log::new();
    log.write(3);
    log.rotate();
    log.write(2);
    assert_eq!(numbers(&drain(&mut log.reader(None))), [4, 5]);
}

#[test]
fn files_rotated_while_away_are_read_in_order() {
    let mut log = Log::new();
    log.write(10);
    let mut reader = log.reader(None);
    let first = lines(reader.poll().unwrap());
    drop(reader);
    for _ in 0..40 {
        log.write(3);
        log.rotate();
    }
    log.write(2);
    let read = numbers(&drain(&mut log.reader(Some(resume(first.last().unwrap())))));
    assert_eq!(read, (u32::try_from(first.len()).unwrap() + 1..=132).collect::<Vec<_>>());
}

#[test]
fn a_file_removed_while_it_is_read_is_read_to_its_end() {
    let mut log = Log::new();
    log.write(30);
    let mut reader = log.reader(None);
    let mut items = reader.poll().unwrap();
    let rotated = log.rotate();
    fs::remove_file(rotated).unwrap();
    log.write(5);
    items.extend(drain(&mut reader));
    assert_eq!(numbers(&items), (1..=35).collect::<Vec<_>>());
}

#[test]
fn a_file_removed_while_away_is_a_gap_and_older_ones_are_not_read_again() {
    let mut log = Log::new();
    log.write(3);
    log.rotate();
    let between = log.stamp.plus_micros(1);
    log.write(5);
    let first = lines(drain(&mut log.reader(None)));
    let ours = log.rotate();
    fs::remove_file(ours).unwrap();
    log.write(2);
    let mut resume = resume(&first[1]);
    resume.written = between;
    let items = drain(&mut log.reader(Some(resume)));
    assert_eq!(gaps(&items), [GapCause::Vanished]);
    assert_eq!(numbers(&items[1..]), [9, 10]);
}

#[test]
fn truncation_without_a_copy_is_a_gap() {
    let mut log = Log::new();
    log.write(5);
    let mut reader = log.reader(None);
    drain(&mut reader);
    OpenOptions::new().write(true).open(log.path()).unwrap().set_len(0).unwrap();
    // More than was there before: the size alone tells nothing.
    log.write(20);
    let items = drain(&mut reader);
    assert_eq!(gaps(&items), [GapCause::Truncated]);
    assert_eq!(numbers(&items[1..]), (6..=25).collect::<Vec<_>>());
}

#[test]
fn an_end_cut_off_is_a_gap_and_reading_goes_on() {
    let mut log = Log::new();
    log.write(5);
    let mut reader = log.reader(None);
    drain(&mut reader);
    let first_two = 2 * 40;
    OpenOptions::new().write(true).open(log.path()).unwrap().set_len(first_two).unwrap();
    assert_eq!(gaps(&drain(&mut reader)), [GapCause::Truncated]);
    log.append(b"\n");
    log.write(2);
    assert_eq!(numbers(&drain(&mut reader)[1..]), [6, 7]);
}

#[test]
fn a_compressed_file_that_is_broken_is_a_gap() {
    let mut log = Log::new();
    log.write(5);
    let first = lines(drain(&mut log.reader(None)));
    log.rotate();
    let zipped = log.rotated().with_extension("log.gz");
    fs::write(zipped, b"\x1f\x8b").unwrap();
    log.write(2);
    let items = drain(&mut log.reader(Some(resume(&first[4]))));
    assert_eq!(gaps(&items), [GapCause::Compressed]);
    assert_eq!(numbers(&items[1..]), [6, 7]);
}

#[test]
fn the_live_file_may_be_compressed_at_once() {
    let mut log = Log::new();
    log.write(5);
    let mut reader = log.reader(None);
    let mut items = reader.poll().unwrap();
    let rotated = log.rotate();
    compress(&rotated);
    log.write(2);
    items.extend(drain(&mut reader));
    assert_eq!(numbers(&items), [1, 2, 3, 4, 5, 6, 7]);
}

/// As the API server does with `--audit-log-compress`, and gzip, which keeps the time of the last write.
fn compress(path: &Path) {
    let name = format!("{}.gz", path.display());
    let file = fs::File::create(&name).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    let written = fs::metadata(path).unwrap().modified().unwrap();
    encoder.finish().unwrap().set_modified(written).unwrap();
    fs::remove_file(path).unwrap();
}

#[test]
fn compressed_files_are_read_from_where_reading_stopped() {
    let mut log = Log::new();
    log.write(5);
    let first = lines(drain(&mut log.reader(None)));
    let mut rotated = vec![log.rotate()];
    log.write(4);
    rotated.push(log.rotate());
    log.write(2);
    for path in &rotated {
        compress(path);
    }
    let items = drain(&mut log.reader(Some(resume(&first[2]))));
    assert_eq!(numbers(&items), [4, 5, 6, 7, 8, 9, 10, 11]);
    // Their places are those of the plain file, so that reading goes on from any of them.
    let read = lines(items);
    let items = drain(&mut log.reader(Some(resume(&read[3]))));
    assert_eq!(numbers(&items), [8, 9, 10, 11]);
    // Half of a compressed file gives its first lines' place to nobody: the whole of it is a gap.
    let gz = format!("{}.gz", rotated[1].display());
    let bytes = fs::read(&gz).unwrap();
    fs::write(&gz, &bytes[..bytes.len() - 9]).unwrap();
    let items = drain(&mut log.reader(Some(resume(&first[2]))));
    assert_eq!(gaps(&items), [GapCause::Compressed]);
}

#[test]
fn a_long_line_is_a_gap_of_its_length() {
    let mut log = Log::new();
    log.write(1);
    let mut long = vec![b'y'; 3_000_000];
    log.append(&long);
    let mut reader = log.reader(None);
    assert_eq!(numbers(&drain(&mut reader)), [1]);
    long.push(b'\n');
    log.append(&long);
    log.write(1);
    let items = drain(&mut reader);
    let Tailed::Gap(gap) = &items[0] else { panic!("{items:?}") };
    assert_eq!((gap.cause, gap.bytes), (GapCause::Oversize, Some(6_000_001)));
    assert_eq!(numbers(&items[1..]), [2]);
}

#[test]
fn an_unfinished_last_line_of_a_rotated_file_is_kept() {
    let mut log = Log::new();
    log.write(2);
    let mut line = log.line();
    line.pop();
    log.append(&line);
    let mut reader = log.reader(None);
    let mut items = drain(&mut reader);
    log.rotate();
    log.write(1);
    items.extend(drain(&mut reader));
    assert_eq!(numbers(&items), [1, 2, 3, 4]);
}

#[test]
fn another_file_with_the_same_inode_is_not_taken_for_the_old_one() {
    let mut log = Log::new();
    log.write(5);
    let first = lines(drain(&mut log.reader(None)));
    OpenOptions::new().write(true).open(log.path()).unwrap().set_len(0).unwrap();
    log.write(20);
    let items = drain(&mut log.reader(Some(resume(&first[4]))));
    assert_eq!(gaps(&items), [GapCause::Vanished]);
    assert_eq!(numbers(&items[1..]), (6..=25).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_tail_waits_for_a_file_that_is_not_there_yet() {
    let mut log = Log::new();
    let options = TailOptions { poll: Duration::from_millis(5), ..TailOptions::new(log.path()) };
    let mut tail = Tail::new(options, None);
    let early = tokio::time::timeout(Duration::from_millis(30), tail.next()).await;
    assert!(early.is_err());
    log.write(3);
    let items = tokio::time::timeout(Duration::from_secs(20), tail.next()).await;
    assert!(!items.unwrap().unwrap().is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Write(u32),
    /// Part of a line; the rest with the next write.
    Part(usize),
    Rotate,
    /// Everything that was rotated so far.
    Compress,
    Poll(u32),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..12_u32).prop_map(Step::Write),
        2 => (1..40_usize).prop_map(Step::Part),
        2 => Just(Step::Rotate),
        1 => Just(Step::Compress),
        4 => (1..4_u32).prop_map(Step::Poll),
        2 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// However the file is split, rotated and copied, and whenever the reader stops (losing what it
    /// read but had not yet stored): every line once, in order.
    #[test]
    fn every_line_exactly_once_in_order(copies: bool, steps in steps(), stored in prop::collection::vec(0..8_usize, 40)) {
        let mut log = Log::new();
        log.write(1);
        let mut reader = log.reader(None);
        let mut read = lines(reader.poll().unwrap());
        let mut pending: Vec<u8> = Vec::new();
        for (step, keep) in steps.into_iter().zip(stored) {
            match step {
                Step::Write(count) => {
                    log.append(&std::mem::take(&mut pending));
                    log.write(count);
                }
                Step::Part(length) if pending.is_empty() => {
                    let line = log.line();
                    let at = length.min(line.len() - 1);
                    log.append(&line[..at]);
                    pending = line[at..].to_vec();
                }
                // Rotation comes between two lines, and only to what has lines.
                Step::Rotate if pending.is_empty() && fs::metadata(log.path()).unwrap().len() > 0 => {
                    if copies { log.copy_truncate() } else { drop(log.rotate()) }
                }
                Step::Compress => log.compress(),
                Step::Poll(times) => {
                    for _ in 0..times {
                        let items = reader.poll().unwrap();
                        prop_assert!(gaps(&items).is_empty(), "{:?}", items);
                        read.extend(lines(items));
                    }
                }
                Step::Restart => {
                    let lost = keep.min(read.len() - 1);
                    read.truncate(read.len() - lost);
                    reader = log.reader(read.last().map(resume));
                }
                _ => {}
            }
        }
        log.append(&pending);
        // A copy made while the live file was empty is noticed with that file's next line.
        log.write(1);
        let items = drain(&mut reader);
        prop_assert!(gaps(&items).is_empty(), "{:?}", items);
        read.extend(lines(items));
        let found: Vec<u32> = numbers(&read.into_iter().map(Tailed::Line).collect::<Vec<_>>());
        prop_assert_eq!(found, (1..=log.written).collect::<Vec<_>>());
    }
}
