//! How many audit events one core reads, classifies and redacts.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use proofstream_observe::audit::block::classify;
use proofstream_observe::audit::event::{Event, identity_sha256};
use proofstream_observe::audit::redact;

/// Metadata events of about 1.1 KB that a real API server wrote.
const METADATA: &str = include_str!("../fixtures/refusals.jsonl");
/// Events with bodies, all of them secret.
const BODIES: &str = include_str!("../fixtures/secrets.jsonl");
const LIMIT: usize = 60 << 10;

fn main() {
    divan::main();
}

#[divan::bench]
fn metadata(bencher: Bencher<'_, '_>) {
    parse_classify_redact(bencher, METADATA);
}

#[divan::bench]
fn bodies(bencher: Bencher<'_, '_>) {
    parse_classify_redact(bencher, BODIES);
}

#[divan::bench]
fn identity(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(METADATA.lines().count())).bench(|| {
        for line in METADATA.lines() {
            let _ = black_box(identity_sha256(black_box(line.as_bytes())));
        }
    });
}

fn parse_classify_redact(bencher: Bencher<'_, '_>, events: &str) {
    bencher.counter(ItemsCount::new(events.lines().count())).bench(|| {
        for line in events.lines() {
            let bytes = black_box(line.as_bytes());
            if let Ok(event) = Event::parse(bytes) {
                black_box(classify(&event));
                let _ = black_box(redact::event(bytes, &event, LIMIT));
            }
        }
    });
}
