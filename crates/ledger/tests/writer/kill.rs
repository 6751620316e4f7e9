//! A process that appends is killed two hundred times, at any moment, on one ledger.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proofstream_ledger::reader::Reader;
use proofstream_ledger::record::Envelope;
use proofstream_ledger::storage::Directory;
use proofstream_ledger::verify;
use proofstream_ledger::writer::{Draft, Start, Writer, WriterOptions};

use super::disk::Random;

const FOLDER: &str = "PROOFSTREAM_KILL_TEST_FOLDER";
const KILLS: u64 = 200;
const THREADS: u64 = 4;

fn open(folder: &Path) -> Writer {
    let directory = |name: &str| Arc::new(Directory::private(folder.join(name)));
    let mut options =
        WriterOptions::new(super::harness::CLUSTER, directory("private"), directory("guard"));
    options.limits.seal_after = Duration::from_millis(15);
    Writer::open(directory("ledger"), options).unwrap().0
}

/// The process that is killed: appends from several threads and says what was acknowledged.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let writer = open(Path::new(&folder));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let source = writer.source(&format!("thread/{thread}"), Start::Resume).unwrap();
            scope.spawn(move || {
                let mut number = source.position().map_or(0, |position| position.next);
                loop {
                    let count = 1 + number % 3;
                    let drafts = (number..number + count).map(|number| Draft {
                        kind: "event".to_owned(),
                        controls: Vec::new(),
                        body: format!("{{\"n\":{number}}}").into_bytes(),
                    });
                    let ticket = source.append(drafts.collect()).unwrap();
                    assert_eq!(ticket.first_source_seq(), number);
                    ticket.wait(Duration::from_mins(1)).unwrap().unwrap();
                    number += count;
                    // One write: a kill leaves no half of a line that could be read as another.
                    let said = format!("acknowledged {thread} {number}\n");
                    std::io::stdout().write_all(said.as_bytes()).unwrap();
                }
            });
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(42);
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let started = Instant::now();
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        // Killed after so many acknowledgements, or while it opens, or some time into its work.
        let wanted = if kill % 5 == 0 { 0 } else { random.below(150) };
        let mut note = |line: &str| {
            let mut words = line.split(' ').skip_while(|word| !word.ends_with("acknowledged"));
            let (Some(_), Some(thread), Some(end)) = (words.next(), words.next(), words.next())
            else {
                return false;
            };
            let end: u64 = end.parse().unwrap();
            let known = acknowledged.entry(thread.parse().unwrap()).or_default();
            assert!(end > *known, "thread {thread} went back from {known} to {end}");
            *known = end;
            true
        };
        let mut heard = 0;
        while heard < wanted {
            match lines.recv_timeout(Duration::from_secs(30)) {
                Ok(line) => heard += u64::from(note(&line)),
                Err(error) => panic!("kill {kill}: the child says nothing more: {error}"),
            }
        }
        let moment = Duration::from_micros(random.below(25_000));
        if let Err(std::sync::mpsc::RecvTimeoutError::Disconnected) =
            lines.recv_timeout(moment).map(|line| note(&line))
        {
            panic!("kill {kill}: the child ended by itself");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        for line in lines.try_iter() {
            note(&line);
        }
    }
    println!("{KILLS} kills in {:?}: {acknowledged:?}", started.elapsed());
    open(folder.path()).close().unwrap();
    hold(folder.path(), &acknowledged);
}

fn hold(folder: &Path, acknowledged: &BTreeMap<u64, u64>) {
    let storage = Arc::new(Directory::new(folder.join("ledger")));
    let report = verify::verify_ledger(&*storage, &verify::Options::default()).unwrap();
    assert!(report.holds(), "{}", report.to_text());
    let reader = Reader::open(storage).unwrap().unwrap();
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for line in (0..reader.size()).flat_map(|index| reader.lines(index).unwrap()) {
        let record = Envelope::parse(&line).unwrap();
        let next = found.entry(record.source.to_string()).or_default();
        assert_eq!(record.source_seq, *next, "{}", record.source);
        if record.source.starts_with("thread/") {
            assert_eq!(record.body, format!("{{\"n\":{next}}}"));
        }
        *next += 1;
    }
    assert_eq!(acknowledged.len() as u64, THREADS);
    for (thread, end) in acknowledged {
        assert!(found[&format!("thread/{thread}")] >= *end, "thread {thread}: {found:?}");
    }
}
