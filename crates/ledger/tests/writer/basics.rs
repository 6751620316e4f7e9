//! What a writer does on a good day, and what it refuses.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proofstream_ledger::reader::Reader;
use proofstream_ledger::record::Envelope;
use proofstream_ledger::storage::{Directory, Storage};
use proofstream_ledger::time::Time;
use proofstream_ledger::verify::{self, Grade};
use proofstream_ledger::writer::{
    AppendError, Begin, Draft, Event, Loss, ObserveError, OpenError, Start, WalError, Writer,
};

use super::disk::{Disk, Fault};
use super::harness::{
    PATIENCE, Promised, append, check, check_lines, draft, ledger, open, options, settle, verified,
};

fn kinds(lines: &[Vec<u8>]) -> Vec<(String, String)> {
    let parsed = lines.iter().map(|line| Envelope::parse(line).unwrap());
    parsed.map(|record| (record.kind.into_owned(), record.body.to_owned())).collect()
}

fn wal_files(disk: &Disk) -> Vec<String> {
    disk.paths("/data/private/wal/")
}

#[test]
fn records_are_numbered_sealed_and_proved() {
    let disk = Disk::new();
    let (writer, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.next_seq, recovered.size, recovered.replayed), (2, 0, 0));
    let source = writer.source("scan", Start::NewEpoch).unwrap();
    let ticket = source.append(vec![draft(1), draft(2)]).unwrap();
    assert_eq!((ticket.epoch(), ticket.first_source_seq()), (1, 0));
    let appended = ticket.wait(PATIENCE).unwrap().unwrap();
    assert_eq!(appended.first_seq, 3);
    assert_eq!(source.last_body().unwrap(), draft(2).body);
    let key = writer.log_key();
    let checkpoint = writer.seal().unwrap();
    assert_eq!(checkpoint.size, 1);
    // Nothing new: the same head, and no empty segment.
    assert_eq!(writer.seal().unwrap(), checkpoint);
    assert_eq!(writer.close().unwrap(), checkpoint);
    let found = kinds(&verified(&disk));
    assert_eq!(found[0], ("source".into(), r#"{"source":"ledger","state":"enrolled"}"#.into()));
    assert_eq!(found[1].0, "key");
    assert!(found[1].1.contains(r#""use":"export""#));
    assert_eq!(found[2], ("source".into(), r#"{"source":"scan","state":"enrolled"}"#.into()));
    assert_eq!(found.len(), 5);
    let options = verify::Options { keys: vec![key], ..verify::Options::default() };
    let report = verify::verify_ledger(&*ledger(&disk), &options).unwrap();
    assert_eq!((report.holds(), report.grade), (true, Grade::Authenticated));
}

#[test]
fn sources_go_on_after_a_restart() {
    let disk = Disk::new();
    let mut promised = Promised::new();
    for life in 0..4_u64 {
        let (writer, _) = open(&disk).unwrap();
        let steady = writer.source("audit-file/a", Start::Resume).unwrap();
        let fresh = writer.source("admission/0", Start::NewEpoch).unwrap();
        assert_eq!((steady.epoch(), fresh.epoch()), (1, life + 1));
        let body = (life > 0).then(|| draft(life * 10 + 1).body);
        assert_eq!(steady.last_body(), body);
        assert!(settle(&disk, &steady, append(&steady, life * 10 + 10, 2), &mut promised));
        assert!(settle(&disk, &fresh, append(&fresh, life * 10, 3), &mut promised));
        // A closed life, one that is dropped, and ones whose derived state is gone.
        if life % 2 == 0 {
            writer.close().unwrap();
        } else {
            drop(writer);
        }
        if life == 2 {
            disk.edit("/data/private/sources.json", Vec::clear);
        }
    }
    let (writer, _) = open(&disk).unwrap();
    writer.close().unwrap();
    check(&disk, &promised);
    let gaps: Vec<_> =
        kinds(&verified(&disk)).into_iter().filter(|(kind, _)| kind == "gap").collect();
    assert_eq!(gaps.len(), 3);
    let gap: serde_json::Value = serde_json::from_str(&gaps[1].1).unwrap();
    assert_eq!((gap["source"].as_str(), gap["epoch"].as_u64()), (Some("admission/0"), Some(2)));
    assert_eq!((gap["after"].as_u64(), gap["count"].is_null()), (Some(2), true));
    assert_eq!(gap["cause"].as_str(), Some("restart"));
}

#[test]
fn an_append_is_all_or_nothing_and_must_be_canonical() {
    let disk = Disk::new();
    let (writer, _) = open(&disk).unwrap();
    let source = writer.source("scan", Start::Resume).unwrap();
    let with = |body: &str| Draft { body: body.as_bytes().to_vec(), ..draft(0) };
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(65_400));
    for bad in ["{\"b\":1,\"a\":2}", "{\"a\": 1}", "[1]", "{\"a\":1.5}", "{\"a\":1", &long] {
        let error = source.append(vec![draft(1), with(bad)]).unwrap_err();
        assert!(matches!(error, AppendError::Draft { index: 1, .. }), "{bad}: {error}");
    }
    assert!(matches!(source.append(Vec::new()), Err(AppendError::Size { .. })));
    let many = (0..4097).map(draft).collect();
    assert!(matches!(source.append(many), Err(AppendError::Size { records: 4097, .. })));
    let ticket = source.append(vec![Draft {
        controls: vec!["b".to_owned(), "a".to_owned(), "b".to_owned()],
        ..draft(3)
    }]);
    assert_eq!(ticket.unwrap().first_source_seq(), 0, "nothing was numbered before");
    for name in ["", "ledger", "a\nb"] {
        assert!(writer.source(name, Start::Resume).is_err());
    }
    writer.close().unwrap();
    let lines = verified(&disk);
    assert_eq!(Envelope::parse(&lines[3]).unwrap().controls, ["a", "b"]);
}

#[test]
fn a_second_writer_is_refused_and_told_by_whom() {
    let folder = tempfile::tempdir().unwrap();
    let directory = |name: &str| Arc::new(Directory::new(folder.path().join(name)));
    let open = |private: &str| {
        let options = proofstream_ledger::writer::WriterOptions::new(
            super::harness::CLUSTER,
            directory(private),
            directory("guard"),
        );
        Writer::open(directory("ledger"), options)
    };
    let (writer, _) = open("private").unwrap();
    for private in ["private", "other"] {
        let error = open(private).err().expect("a second writer");
        let OpenError::Locked { holder, .. } = &error else { panic!("{error}") };
        assert_eq!(*holder, std::process::id().to_string());
    }
    drop(writer);
    open("private").unwrap().0.close().unwrap();
}

#[test]
fn a_restored_backup_is_refused_and_may_begin_a_new_log() {
    let disk = Disk::new();
    let (writer, _) = open(&disk).unwrap();
    let source = writer.source("scan", Start::Resume).unwrap();
    let mut promised = Promised::new();
    assert!(settle(&disk, &source, append(&source, 0, 2), &mut promised));
    let old_origin = writer.origin();
    let old_head = writer.close().unwrap();
    let backup = disk.copy();
    let (writer, _) = open(&disk).unwrap();
    writer.source("scan", Start::NewEpoch).unwrap();
    writer.close().unwrap();

    // The old ledger with the present guard, and with a witness's copy and no guard at all.
    let guard = disk.paths("/guard/signed/")[0].clone();
    let present = ledger_file(&disk, "/guard", &guard["/guard/".len()..]);
    let restored = backup.copy();
    restored.edit(&guard, |bytes| *bytes = present.clone());
    let witnessed = backup.copy();
    witnessed.edit(&guard, |bytes| {
        *bytes = br#"{"v":1,"origin":""#.to_vec();
        bytes.extend_from_slice(old_origin.as_bytes());
        bytes.extend_from_slice(
            br#"","size":0,"root":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}"#,
        );
    });
    let published = ledger_file(&disk, "/data/ledger", "checkpoint");
    ledger(&witnessed).write_new("witnessed/2", &published).unwrap();
    for (disk, place) in [(&restored, "signed/"), (&witnessed, "witnessed/2")] {
        let error = open(disk).err().expect("a refusal");
        let OpenError::Behind { have: 1, signed: 2, place: named } = &error else {
            panic!("{error}")
        };
        assert!(named.starts_with(place), "{named}");
        assert!(error.to_string().contains("new log"), "{error}");
    }

    let mut options = options(&restored);
    options.begin = Begin::NewLog;
    let (writer, recovered) = Writer::open(ledger(&restored), options).unwrap();
    let replaced = recovered.replaced.unwrap();
    assert_eq!((replaced.size, replaced.signed), (1, 2));
    assert_ne!(writer.origin(), old_origin);
    writer.source("scan", Start::Resume).unwrap();
    writer.close().unwrap();
    let (kind, body) = kinds(&verified(&restored))[0].clone();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((kind.as_str(), body["cause"].as_str()), ("gap", Some("new-log")));
    assert_eq!(body["replaces"]["origin"].as_str(), Some(old_origin.as_str()));
    assert_eq!(body["replaces"]["root"].as_str(), Some(old_head.root.to_base64().as_str()));
    // The old log stands where it was moved to, and still verifies.
    let aside = format!("/data/ledger/{}", replaced.folder);
    let old = super::harness::storage(&restored, &aside);
    let report = verify::verify_ledger(&*old, &verify::Options::default()).unwrap();
    assert!(report.holds(), "{}", report.to_text());
    let reader = Reader::open(old).unwrap().unwrap();
    check_lines(&reader.lines(0).unwrap(), &promised);
    // And the new one goes on.
    open(&restored).unwrap().0.close().unwrap();
}

fn ledger_file(disk: &Disk, place: &str, path: &str) -> Vec<u8> {
    super::harness::storage(disk, place).read(path).unwrap().unwrap()
}

#[test]
fn another_history_of_the_same_size_is_refused() {
    let disk = Disk::new();
    open(&disk).unwrap().0.close().unwrap();
    let guard = disk.paths("/guard/signed/")[0].clone();
    disk.edit(&guard, |bytes| {
        let mut value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        value["root"] = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into();
        *bytes = serde_json::to_vec(&value).unwrap();
    });
    assert!(matches!(open(&disk), Err(OpenError::Fork { size: 1, .. })));
}

#[test]
fn the_key_and_the_cluster_must_be_the_ledgers() {
    let disk = Disk::new();
    open(&disk).unwrap().0.close().unwrap();
    let mut other = options(&disk);
    other.cluster = "another".to_owned();
    let error = Writer::open(ledger(&disk), other).err().unwrap();
    assert!(matches!(error, OpenError::OtherCluster { .. }), "{error}");
    super::harness::storage(&disk, "/data/private").remove("keys/log.key").unwrap();
    let error = open(&disk).err().unwrap();
    assert!(matches!(&error, OpenError::Key { path, .. } if path == "keys/log.key"), "{error}");
}

#[test]
fn a_log_cut_anywhere_keeps_its_whole_groups() {
    let disk = Disk::new();
    let (writer, _) = open(&disk).unwrap();
    let source = writer.source("scan", Start::Resume).unwrap();
    let mut ends = vec![writer.durable_end()];
    for number in 0..6 {
        let ticket = source.append(vec![draft(number), draft(number + 1)]).unwrap();
        ends.push(ticket.wait(PATIENCE).unwrap().unwrap().first_seq + 2);
    }
    drop(writer);
    let path = wal_files(&disk)[0].clone();
    let whole = ledger_file(&disk, "/data/private", &path["/data/private/".len()..]);
    let length = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for cut in (56..=length).rev().step_by(23) {
        let copy = disk.copy();
        copy.edit(&path, |bytes| bytes.truncate(cut));
        let (writer, recovered) = open(&copy).unwrap();
        assert!(
            ends.contains(&recovered.next_seq) || recovered.next_seq == 2,
            "cut at {cut}: {recovered:?}"
        );
        writer.close().unwrap();
        check(&copy, &Promised::new());
    }
}

#[test]
fn damage_before_whole_records_is_named() {
    let disk = Disk::new();
    let (writer, _) = open(&disk).unwrap();
    let source = writer.source("scan", Start::Resume).unwrap();
    for number in 0..3 {
        source.append(vec![draft(number)]).unwrap().wait(PATIENCE).unwrap().unwrap();
    }
    drop(writer);
    let path = wal_files(&disk)[0].clone();
    disk.edit(&path, |bytes| bytes[100] ^= 1);
    let error = open(&disk).err().unwrap();
    let OpenError::Wal(WalError::Corrupt { path: named, offset: 56 }) = &error else {
        panic!("{error:?}")
    };
    assert!(path.ends_with(named.as_str()));
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = Disk::new();
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let mut options = options(&disk);
    options.limits.queue_records = 50;
    options.limits.segment_records = 10_000;
    let seen = Arc::clone(&events);
    options.events = Arc::new(move |event: &Event| seen.lock().unwrap().push(event.clone()));
    let (writer, _) = Writer::open(ledger(&disk), options).unwrap();
    let source = writer.source("admission/0", Start::NewEpoch).unwrap();
    let mut promised = Promised::new();
    assert!(settle(&disk, &source, append(&source, 0, 1), &mut promised));
    disk.set_fault(Some(Fault::Full));
    let mut waiting = Vec::new();
    // Larger than what was prepared, so that the first one already finds no room.
    let large = |number: u64| {
        let mut drafts: Vec<_> = (0..20).map(draft).collect();
        for draft in &mut drafts {
            draft.body =
                format!("{{\"n\":{number},\"x\":\"{}\"}}", "y".repeat(60_000)).into_bytes();
        }
        drafts
    };
    let full = loop {
        let drafts = large(waiting.len() as u64);
        let bodies: Vec<_> = drafts.iter().map(|draft| draft.body.clone()).collect();
        match source.append(drafts) {
            Ok(ticket) => waiting.push((ticket, bodies)),
            Err(error) => break error,
        }
        assert!(waiting.len() < 100, "the queue has no end");
    };
    assert!(matches!(full, AppendError::Full), "{full}");
    let moment = Time::from_unix_microseconds;
    for count in [2, 3] {
        let cause = "queue-full".to_owned();
        let (from, to) = (moment(count), moment(100 + count));
        let count = Some(count.unsigned_abs());
        source.report_gap(Loss { count, from, to, cause }).unwrap();
    }
    let last = &waiting[waiting.len() - 1].0;
    assert_eq!(last.wait(Duration::from_millis(30)), None, "it is not acknowledged");
    disk.set_fault(None);
    for appended in waiting {
        assert!(settle(&disk, &source, Some(appended), &mut promised));
    }
    writer.close().unwrap();
    disk.crash(0);
    check(&disk, &promised);
    let gaps: Vec<_> =
        kinds(&verified(&disk)).into_iter().filter(|(kind, _)| kind == "gap").collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gap: serde_json::Value = serde_json::from_str(&gaps[0].1).unwrap();
    assert_eq!((gap["count"].as_u64(), gap["cause"].as_str()), (Some(5), Some("queue-full")));
    assert_eq!(gap["from"].as_str(), Some("1970-01-01T00:00:00.000002Z"));
    assert_eq!(gap["to"].as_str(), Some("1970-01-01T00:00:00.000103Z"));
    let events = events.lock().unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::LogFailed { sync: false, .. })));
    assert!(events.iter().any(|event| matches!(event, Event::LogResumed { .. })));
}

#[test]
fn a_real_full_disk_refuses_and_recovers() {
    let Some(mount) = SmallDisk::mount() else {
        println!("SKIPPED: a tmpfs cannot be mounted here");
        return;
    };
    let directory = |name: &str| Arc::new(Directory::private(mount.0.join(name)));
    let options = proofstream_ledger::writer::WriterOptions::new(
        super::harness::CLUSTER,
        directory("private"),
        directory("guard"),
    );
    let storage = directory("ledger");
    let (writer, _) = Writer::open(Arc::clone(&storage) as Arc<dyn Storage>, options).unwrap();
    let source = writer.source("scan", Start::Resume).unwrap();
    let filler = mount.0.join("filler");
    let mut free = vec![0; 16 << 20];
    loop {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&filler).unwrap();
        match file.write_all(&free) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && free.len() <= 1 => break,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                free.truncate(free.len() / 2);
            }
            other => other.unwrap(),
        }
    }
    let body = format!("{{\"x\":\"{}\"}}", "y".repeat(60_000)).into_bytes();
    let tickets: Vec<_> = (0..40)
        .filter_map(|_| source.append(vec![Draft { body: body.clone(), ..draft(0) }]).ok())
        .collect();
    let stuck = |ticket: &proofstream_ledger::writer::Ticket| {
        ticket.wait(Duration::from_millis(50)).is_none()
    };
    assert!(stuck(tickets.last().unwrap()), "2.4 MB fit on a full disk");
    std::fs::remove_file(&filler).unwrap();
    for ticket in &tickets {
        ticket.wait(PATIENCE).unwrap().unwrap();
    }
    writer.close().unwrap();
    let report = verify::verify_ledger(&*storage, &verify::Options::default()).unwrap();
    assert!(report.holds(), "{}", report.to_text());
    let reader = Reader::open(storage).unwrap().unwrap();
    assert_eq!(reader.record_count().unwrap(), 3 + tickets.len() as u64);
}

struct SmallDisk(
    std::path::PathBuf,
    #[expect(dead_code, reason = "kept until it is unmounted")] tempfile::TempDir,
);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        matches!(status, Ok(status) if status.success())
            .then(|| Self(folder.path().to_path_buf(), folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn an_observer_sees_everything_once_however_late() {
    let disk = Disk::new();
    let (writer, _) = open(&disk).unwrap();
    let source = writer.source("scan", Start::Resume).unwrap();
    let mut prompt = writer.observe(0);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut follow = |observer: &mut proofstream_ledger::writer::Observer, until: u64| {
        while observer.position() < until {
            let observed = observer.next(PATIENCE).unwrap().expect("records");
            assert_eq!(observed.first_seq() as usize, seen.len());
            seen.extend(observed.lines().map(<[u8]>::to_vec));
        }
    };
    let mut end = 0;
    for number in 0..30 {
        let ticket = source.append((0..5).map(|add| draft(number * 5 + add)).collect()).unwrap();
        end = ticket.wait(PATIENCE).unwrap().unwrap().first_seq + 5;
        if number == 3 {
            follow(&mut prompt, end);
        }
        if number % 8 == 0 {
            writer.seal().unwrap();
        }
    }
    follow(&mut prompt, end);
    assert_eq!(prompt.next(Duration::ZERO).unwrap().map(|more| more.len()), None);
    let mut late = writer.observe(end - 7);
    let observed = late.next(PATIENCE).unwrap().unwrap();
    assert_eq!(observed.lines().next(), seen.get(end as usize - 7).map(Vec::as_slice));
    writer.close().unwrap();
    assert_eq!(verified(&disk), seen);
    while late.position() < end {
        late.next(PATIENCE).unwrap();
    }
    assert!(matches!(late.next(PATIENCE), Err(ObserveError::Ended)));
}

#[test]
fn the_log_key_changes_hands() {
    let disk = Disk::new();
    let (writer, _) = open(&disk).unwrap();
    let old = writer.log_key();
    let new = writer.rotate_log_key().unwrap();
    assert_ne!(old, new);
    assert_eq!(writer.log_key(), old, "until both have signed");
    assert!(writer.rotate_log_key().is_err(), "one change at a time");
    writer.seal().unwrap();
    assert_eq!(writer.log_key(), new);
    writer.source("scan", Start::Resume).unwrap();
    writer.close().unwrap();
    let (writer, _) = open(&disk).unwrap();
    assert_eq!(writer.log_key(), new);
    writer.close().unwrap();
    verified(&disk);
    assert_eq!(disk.paths("/data/ledger/keys/"), ["/data/ledger/keys/1"]);
    let options = verify::Options { keys: vec![old], ..verify::Options::default() };
    let report = verify::verify_ledger(&*ledger(&disk), &options).unwrap();
    assert!(report.holds(), "{}", report.to_text());
    assert_eq!(report.grade, Grade::Authenticated, "the old key vouches for the new one");
}

#[test]
fn a_segment_is_sealed_when_its_time_has_come() {
    let disk = Disk::new();
    let mut options = options(&disk);
    options.limits.seal_after = Duration::from_millis(30);
    let sealed = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = Arc::clone(&sealed);
    options.events = Arc::new(move |event: &Event| {
        if let Event::Sealed { size, .. } = event {
            count.store(*size, Ordering::SeqCst);
        }
    });
    let (writer, _) = Writer::open(ledger(&disk), options).unwrap();
    let source = writer.source("scan", Start::Resume).unwrap();
    for size in 1..4 {
        source.append(vec![draft(size)]).unwrap().wait(PATIENCE).unwrap().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while sealed.load(Ordering::SeqCst) < size {
            assert!(Instant::now() < deadline, "segment {size} is not sealed");
            std::thread::yield_now();
        }
        assert_eq!(verified(&disk).len() as u64, writer.durable_end());
    }
    drop(writer);
}

#[test]
fn blobs_are_blinded_and_found_by_their_hash() {
    let disk = Disk::new();
    let (writer, _) = open(&disk).unwrap();
    let first = writer.put_blob(b"the same", "text/plain").unwrap();
    let second = writer.put_blob(b"the same", "text/plain").unwrap();
    assert_ne!(first.blob, second.blob);
    assert_eq!((first.size, first.media.as_str()), (8, "text/plain"));
    let path = format!("blobs/{}/{}", &first.blob[..2], first.blob);
    let file = ledger(&disk).read(&path).unwrap().unwrap();
    assert_eq!(&file[32..], b"the same");
    assert_eq!(proofstream_ledger::tree::Hash::of(&file).to_hex(), first.blob);
}
