//! Every write, sync, create, rename and remove of a scripted run fails once, and the process dies
//! once at each: no acknowledged record is lost or doubled, and what is left verifies.

use proofstream_ledger::writer::{OpenError, Start, Writer};

use super::disk::{Disk, Fault};
use super::harness::{Promised, append, check, open, settle};

/// Opens, trying again: a fault that happens once may hit the opening itself.
fn open_again(disk: &Disk) -> Option<Writer> {
    let mut errors = Vec::new();
    for _ in 0..3 {
        match open(disk) {
            Ok((writer, _)) => return Some(writer),
            Err(error @ (OpenError::Storage { .. } | OpenError::First { .. })) => {
                errors.push(error)
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
