//! A ledger whose times and keys are given, so that its bytes are the same in every run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use proofstream_catalog::Catalog;
use proofstream_evidence::{
    DirectorySink, ExportError, ExportRequest, ExportSummary, SealedLedger, export,
};
use proofstream_ledger::note::Signer;
use proofstream_ledger::storage::{Directory, Storage};
use proofstream_ledger::time::Time;
use proofstream_ledger::verify::{Folder, Options, Report, verify_bundle};
use proofstream_ledger::writer::{Clock, Draft, Limits, Random, Start, Writer, WriterOptions};
use proofstream_model::Timestamp;
use serde_json::Value;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A clock that stands where the story puts it.
struct StoryClock(AtomicI64, Instant);

impl Clock for StoryClock {
    fn now(&self) -> Time {
        Time::from_unix_microseconds(self.0.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        self.1.elapsed()
    }
}

/// Keys that are the same in every run.
struct StoryRandom(AtomicU8);

impl Random for StoryRandom {
    fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        bytes.fill(self.0.fetch_add(1, Ordering::SeqCst));
        Ok(())
    }
}

/// A ledger being told.
pub(crate) struct Story {
    folder: tempfile::TempDir,
    clock: Arc<StoryClock>,
    writer: Writer,
}

impl Story {
    pub(crate) fn begin(time: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let clock = Arc::new(StoryClock(AtomicI64::new(micros(time)?), Instant::now()));
        let place = |name: &str| folder.path().join(name);
        let mut options = WriterOptions::new(
            "6b1d5b7e-0000-4000-8000-000000000001",
            Arc::new(Directory::private(place("private"))),
            Arc::new(Directory::private(place("guard"))),
        );
        options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        options.random = Arc::new(StoryRandom(AtomicU8::new(7)));
        options.limits = Limits { seal_after: Duration::from_hours(1), ..Limits::default() };
        let (writer, _) = Writer::open(Arc::new(Directory::new(place("ledger"))), options)?;
        Ok(Self { folder, clock, writer })
    }

    pub(crate) fn at(&self, time: &str) -> Outcome<&Self> {
        self.clock.0.store(micros(time)?, Ordering::SeqCst);
        Ok(self)
    }

    /// Enrols a source.
    pub(crate) fn source(&self, name: &str) -> Outcome<()> {
        self.writer.source(name, Start::Resume)?;
        self.writer.seal()?;
        Ok(())
    }

    /// Appends one record and waits until it is durable.
    pub(crate) fn tell(
        &self,
        source: &str,
        kind: &str,
        controls: &[&str],
        body: &Value,
    ) -> Outcome<u64> {
        let draft = Draft {
            kind: kind.to_owned(),
            controls: controls.iter().map(ToString::to_string).collect(),
            body: proofstream_canonical::to_vec(body)?,
        };
        let source = self.writer.source(source, Start::Resume)?;
        let ticket = source.append(vec![draft])?;
        let appended = ticket.wait(Duration::from_secs(20)).ok_or("not durable in time")?;
        Ok(appended.map_err(|_| "not durable")?.first_seq)
    }

    pub(crate) fn seal(&self) -> Outcome<()> {
        self.writer.seal()?;
        Ok(())
    }

    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(Directory::new(self.folder.path().join("ledger")))
    }

    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Seals and exports into a new folder of this name.
    pub(crate) fn export(&self, name: &str, request: &ExportRequest) -> Outcome<ExportSummary> {
        self.seal()?;
        let ledger = SealedLedger::open(self.storage())?.ok_or(ExportError::Empty)?;
        let signer = Signer::new("export", &self.writer.export_key().to_bytes())?;
        let mut sink = DirectorySink::new(&self.place(name))?;
        let summary = export(&ledger, &Catalog::embedded()?, request, &signer, &mut sink)?;
        sink.publish()?;
        Ok(summary)
    }

    pub(crate) fn read(&self, bundle: &str, path: &str) -> Outcome<String> {
        Ok(std::fs::read_to_string(self.place(bundle).join(path))?)
    }

    pub(crate) fn verify(&self, bundle: &str) -> Outcome<Report> {
        verify(&self.place(bundle))
    }
}

pub(crate) fn verify(bundle: &Path) -> Outcome<Report> {
    Ok(verify_bundle(&Folder::open(bundle)?, &Options::default())?)
}

fn micros(time: &str) -> Outcome<i64> {
    Ok(time.parse::<Timestamp>()?.micros())
}

/// A request for a quarter of SOC 2.
pub(crate) fn quarter() -> Outcome<ExportRequest> {
    Ok(ExportRequest {
        framework: "soc2-2017".to_owned(),
        controls: Vec::new(),
        from: "2026-07-01T00:00:00Z".parse()?,
        to: "2026-10-01T00:00:00Z".parse()?,
        requested_by: "user/olivia".to_owned(),
        extracted: "2026-10-05T09:30:00Z".parse()?,
        sample: None,
    })
}
