//! Any script of appends, seals, crashes, failures and restarts against the promises made in it.

use std::time::Duration;

use proofstream_ledger::writer::{Start, Writer};
use proptest::prelude::*;

use super::disk::{Disk, Fault};
use super::harness::{Promised, append, check, open, settle};

#[derive(Clone, Debug)]
enum Step {
    Append { source: u8, count: u64 },
    Seal,
    Blob,
    FailSoon(u64),
    Crash { after: u64, seed: u64 },
    Close,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_u8, 1..50_u64).prop_map(|(source, count)| Step::Append { source, count }),
        2 => Just(Step::Seal),
        1 => Just(Step::Blob),
        2 => (0..30_u64).prop_map(Step::FailSoon),
        2 => (0..40_u64, any::<u64>()).prop_map(|(after, seed)| Step::Crash { after, seed }),
        1 => Just(Step::Close),
        1 => Just(Step::Drop),
    ]
}

fn revive(disk: &Disk) -> Writer {
    for _ in 0..4 {
        if let Ok((writer, _)) = open(disk) {
            return writer;
        }
        if disk.is_dead() {
            disk.crash(3);
        }
    }
    panic!("{}", open(disk).err().map_or_else(String::new, |error| error.to_string()));
}

fn run(steps: Vec<Step>) {
    let disk = Disk::new();
    let mut promised = Promised::new();
    let mut writer = Some(revive(&disk));
    let mut number = 0;
    let mut seed = 1;
    for step in steps {
        let at = disk.operations();
        let current = writer.take().unwrap_or_else(|| revive(&disk));
        match step {
            Step::Append { source, count } => {
                number += count;
                let start = if source == 2 { Start::NewEpoch } else { Start::Resume };
                if let Ok(source) = current.source(&format!("source/{source}"), start) {
                    let appended = append(&source, number, count);
                    settle(&disk, &source, appended, &mut promised);
                }
            }
            Step::Seal => drop(current.seal_within(Duration::from_millis(5))),
            Step::Blob => drop(current.put_blob(b"payload", "text/plain")),
            Step::FailSoon(after) => disk.set_fault(Some(Fault::FailAt(at + after))),
            Step::Crash { after, seed: chosen } => {
                seed = chosen;
                disk.set_fault(Some(Fault::DieAt(at + after)));
            }
            Step::Close => {
                drop(current.close());
                continue;
            }
            Step::Drop => continue,
        }
        if disk.is_dead() {
            drop(current);
            disk.crash(seed);
        } else {
            writer = Some(current);
        }
    }
    drop(writer);
    disk.crash(seed);
    revive(&disk).close().unwrap();
    check(&disk, &promised);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn promises_are_kept(steps in proptest::collection::vec(step(), 1..40)) {
        run(steps);
    }
}
