//! Every write, sync, create, rename and remove of a scripted run fails once, and the process dies
//! once at each: no acknowledged record is lost or doubled, and what is left verifies.

use std::sync::{Arc, Mutex};

use proofstream_ledger::record::Envelope;
use proofstream_ledger::verify;
use proofstream_ledger::writer::{Begin, Event, OpenError, Start, Writer};

use super::disk::{Disk, Fault};
use super::harness::{Promised, append, check, ledger, open, options, settle, storage, verified};

/// Opens, trying again: a fault that happens once may hit the opening itself.
fn open_again(disk: &Disk) -> Option<Writer> {
    let mut errors = Vec::new();
    for _ in 0..3 {
        match open(disk) {
            Ok((writer, _)) => return Some(writer),
            Err(error @ (OpenError::Storage { .. } | OpenError::First { .. })) => {
                errors.push(error);
            }
            Err(error) => panic!("{error:?}"),
        }
        if disk.is_dead() {
            return None;
        }
    }
    panic!("the ledger does not open on a healthy disk: {errors:?}");
}

/// Two lives of a writer: sources, batches, a blob, seals, a key change. `None` when the disk died.
fn script(disk: &Disk, promised: &mut Promised) -> Option<()> {
    let alive = |holds: bool| holds.then_some(());
    for life in 0..2_u64 {
        let writer = open_again(disk)?;
        let steady = writer.source("audit-file/a", Start::Resume).ok()?;
        let fresh = writer.source("admission/0", Start::NewEpoch).ok()?;
        for step in 0..4 {
            let number = life * 1000 + step * 100;
            let first = append(&steady, number, 3);
            let second = append(&fresh, number + 50, 1);
            alive(settle(disk, &steady, first, promised))?;
            alive(settle(disk, &fresh, second, promised))?;
        }
        seal(disk, &writer)?;
        let blob = loop {
            match writer.put_blob(b"a payload", "text/plain") {
                Ok(blob) => break blob,
                Err(_) if disk.is_dead() => return None,
                Err(_) => {}
            }
        };
        assert_eq!(blob.size, 9);
        alive(settle(disk, &steady, append(&steady, 7, 30), promised))?;
        if life == 0 {
            while writer.rotate_log_key().is_err() {
                alive(!disk.is_dead())?;
            }
            seal(disk, &writer)?;
        }
        // Beyond a segment's 40 records: the file changes without being asked to.
        alive(settle(disk, &fresh, append(&fresh, 9, 30), promised))?;
        alive(settle(disk, &fresh, append(&fresh, 11, 30), promised))?;
        if life == 1 {
            writer.close().ok()?;
        }
    }
    Some(())
}

fn seal(disk: &Disk, writer: &Writer) -> Option<()> {
    use std::time::Duration;
    for _ in 0..1000 {
        if writer.seal_within(Duration::from_millis(20)).is_ok() {
            return Some(());
        }
        if disk.is_dead() {
            return None;
        }
    }
    panic!("a seal is not done on a healthy disk");
}

/// After a run: one more life on a healthy disk, then everything is held against the promises.
fn aftermath(disk: &Disk, mut promised: Promised, name: &str) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let (writer, _) = open(disk).unwrap();
        let source = writer.source("audit-file/a", Start::Resume).unwrap();
        assert!(settle(disk, &source, append(&source, 1, 2), &mut promised));
        writer.close().unwrap();
        check(disk, &promised);
    }));
    if let Err(panic) = outcome {
        eprintln!("this was: {name}");
        std::panic::resume_unwind(panic);
    }
}

fn healthy_operations() -> u64 {
    let disk = Disk::new();
    let mut promised = Promised::new();
    script(&disk, &mut promised).expect("a healthy run");
    check(&disk, &promised);
    assert!(promised.values().map(Vec::len).sum::<usize>() > 150);
    disk.operations()
}

#[test]
fn each_operation_fails_once() {
    for at in 0..healthy_operations() {
        let disk = Disk::new();
        disk.set_fault(Some(Fault::FailAt(at)));
        let mut promised = Promised::new();
        let finished = script(&disk, &mut promised).is_some();
        let name = format!("operation {at} failed: {}", disk.operation(at));
        assert!(finished, "one fault ends nothing; {name}");
        // Nothing that was acknowledged may depend on what was not synced.
        disk.crash(0);
        aftermath(&disk, promised, &name);
    }
}

#[test]
fn the_process_dies_at_each_operation() {
    for at in 0..healthy_operations() {
        // Nothing, and in three ways something, of what was not synced survives.
        let seeds = if at % 4 == 0 { vec![0, at + 1] } else { vec![at * (at % 4 + 1) + 1] };
        for seed in seeds {
            let disk = Disk::new();
            disk.set_fault(Some(Fault::DieAt(at)));
            let mut promised = Promised::new();
            let _ = script(&disk, &mut promised);
            let name = format!("died at operation {at}, seed {seed}: {}", disk.operation(at));
            disk.crash(seed);
            aftermath(&disk, promised, &name);
        }
    }
}

#[test]
fn a_failed_sync_ends_the_file_and_what_it_lost_is_written_again() {
    let disk = Disk::new();
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let mut options = options(&disk);
    let seen = Arc::clone(&events);
    options.events = Arc::new(move |event: &Event| seen.lock().unwrap().push(event.clone()));
    let (writer, _) = Writer::open(ledger(&disk), options).unwrap();
    let source = writer.source("scan", Start::Resume).unwrap();
    let mut promised = Promised::new();
    assert!(settle(&disk, &source, append(&source, 0, 4), &mut promised));
    let first = disk.paths("/data/private/wal/")[0].clone();
    // The disk answers that it has failed, and when asked has lost what it had taken before.
    disk.edit(&first, |bytes| bytes[56..].fill(0));
    disk.set_fault(Some(Fault::SyncOf("/wal/")));
    assert!(settle(&disk, &source, append(&source, 9, 2), &mut promised));
    let said = events.lock().unwrap().clone();
    assert!(matches!(&said[0], Event::LogFailed { path, sync: true, .. } if first.ends_with(path)));
    // Two first records, the source's own, four of its records.
    assert!(matches!(&said[1], Event::LogResumed { rewritten: 7, .. }), "{said:?}");
    drop(writer);
    disk.crash(0);
    open(&disk).unwrap().0.close().unwrap();
    check(&disk, &promised);
    assert_eq!(verified(&disk).len(), 9);
}

#[test]
fn a_new_log_is_begun_once_whenever_the_process_dies() {
    let disk = Disk::new();
    let mut promised = Promised::new();
    let (writer, _) = open(&disk).unwrap();
    let source = writer.source("scan", Start::Resume).unwrap();
    assert!(settle(&disk, &source, append(&source, 0, 2), &mut promised));
    writer.close().unwrap();
    let backup = disk.copy();
    let (writer, _) = open(&disk).unwrap();
    writer.source("scan", Start::NewEpoch).unwrap();
    writer.close().unwrap();
    let guard = disk.paths("/guard/signed/")[0].clone();
    let present = storage(&disk, "/guard").read(&guard["/guard/".len()..]).unwrap().unwrap();
    backup.edit(&guard, |bytes| *bytes = present);

    for at in 0.. {
        let disk = backup.copy();
        disk.set_fault(Some(Fault::DieAt(at)));
        let mut renewed = options(&disk);
        renewed.begin = Begin::NewLog;
        let finished = Writer::open(ledger(&disk), renewed.clone()).is_ok();
        let alive = !disk.is_dead();
        disk.crash(at);
        let writer = match open(&disk) {
            Ok((writer, _)) => writer,
            Err(OpenError::Behind { .. }) if !finished => {
                Writer::open(ledger(&disk), renewed).unwrap().0
            }
            Err(error) => panic!("died at operation {at}: {error:?}"),
        };
        writer.close().unwrap();
        let lines = verified(&disk);
        let first = Envelope::parse(&lines[0]).unwrap();
        assert!(first.body.contains("\"cause\":\"new-log\""), "died at {at}: {}", first.body);
        let replaced = disk.paths("/data/ledger/replaced/");
        let log = replaced.iter().find(|path| path.ends_with("log.pub")).unwrap();
        let old = storage(&disk, log.strip_suffix("/log.pub").unwrap());
        let report = verify::verify_ledger(&*old, &verify::Options::default()).unwrap();
        assert!(report.holds(), "died at {at}: {}", report.to_text());
        let logs = replaced.iter().filter(|path| path.ends_with("log.pub")).count();
        assert_eq!(logs, 1, "died at {at}: one log was replaced");
        if alive {
            return;
        }
    }
}
