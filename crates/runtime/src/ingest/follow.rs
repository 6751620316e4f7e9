//! The loop that carries an audit log file into the ledger.

use std::sync::Arc;
use std::time::Duration;

use proofstream_model::{EventBody, Timestamp};
use proofstream_observe::audit::AuditLine;
use proofstream_observe::audit::event::Event;
use proofstream_observe::audit::file::{Resume, Tail, TailOptions, Tailed};

use super::prepare::Prepared;
use super::{Durable, Intake, SinkError, Stretch};

/// How long a full ledger, an unreadable file or a failing disk is left alone.
const PAUSE: Duration = Duration::from_millis(100);
/// Seconds after which what was not read is late.
const LATE: i64 = 120;

/// Where to go on after a restart: behind the last event that is in the ledger.
pub fn resume_from(last: &EventBody) -> Option<Resume> {
    let place = last.place.clone()?;
    let raw = last.raw.as_deref().unwrap_or_default();
    let event = Event::parse(raw.as_bytes()).ok();
    let whole = last.blob.is_none() && last.redacted.is_empty();
    let witness = match &event {
        _ if whole => raw.as_bytes().to_vec(),
        Some(event) => event.audit_id.as_bytes().to_vec(),
        None => Vec::new(),
    };
    let written = event.and_then(|event| event.stage_timestamp.parse().ok());
    Some(Resume { place, witness, written: written.unwrap_or(Timestamp::from_micros(0)) })
}

/// Carries the file of `options` into the ledger in the name of `intake`'s source, from where the
/// ledger says it stopped, until the writer ends. Waits where the ledger cannot take more: the file
/// keeps. May be dropped at any point; the next call goes on from the ledger.
///
/// # Errors
/// The writer ended, or the ledger refuses what it is given.
pub async fn follow(
    intake: &Arc<Intake>,
    options: TailOptions,
    now: impl Fn() -> Timestamp,
) -> Result<(), SinkError> {
    let resume = intake.last_event().as_ref().and_then(resume_from);
    let mut seen = resume.as_ref().map_or_else(&now, |resume| resume.written);
    let mut resumed = resume.is_some();
    let mut tail = Tail::new(options, resume);
    let mut written: Option<Durable> = None;
    loop {
        let items = match tail.next().await {
            Ok(items) => items,
            Err(error) => {
                tracing::warn!(%error, "trying again");
                tokio::time::sleep(PAUSE * 10).await;
                continue;
            }
        };
        let mut lines: Vec<AuditLine> = Vec::new();
        for item in items {
            match item {
                Tailed::Line(line) => lines.push(line),
                Tailed::Gap(gap) => {
                    let cause = gap.to_string();
                    intake.gap(&Stretch { from: seen, to: now(), count: None, cause: &cause });
                }
            }
        }
        if lines.is_empty() {
            continue;
        }
        let events = prepared(intake, lines).await?;
        if std::mem::take(&mut resumed) {
            late(intake, &events, now());
        }
        seen = events.iter().rev().find_map(|event| event.time).unwrap_or(seen);
        let taken = taken(intake, &events).await?;
        // One batch is being written while the next one is read.
        let before = std::mem::replace(&mut written, taken);
        if let Some(before) = before
            && !before.await
        {
            return Err(SinkError::Stopped);
        }
    }
}

/// After a restart: events that waited for us in the file are not lost, and they are late.
fn late(intake: &Intake, events: &[Prepared], now: Timestamp) {
    let Some(from) = events.iter().find_map(|event| event.time) else { return };
    let seconds = now.micros().saturating_sub(from.micros()) / 1_000_000;
    if seconds < LATE {
        return;
    }
    let cause = format!("late: the file was not read for {seconds} s, and nothing of it is lost");
    intake.gap(&Stretch { from, to: now, count: Some(0), cause: &cause });
}

async fn prepared(intake: &Arc<Intake>, lines: Vec<AuditLine>) -> Result<Vec<Prepared>, SinkError> {
    loop {
        let (worker, lines) = (Arc::clone(intake), lines.clone());
        let work = tokio::task::spawn_blocking(move || worker.prepare(&lines));
        match work.await {
            Ok(Err(SinkError::Blob(error))) => {
                tracing::warn!(%error, "a body cannot be stored yet");
                tokio::time::sleep(PAUSE * 10).await;
            }
            Ok(result) => return result,
            Err(_) => return Err(SinkError::Stopped),
        }
    }
}

async fn taken(intake: &Arc<Intake>, events: &[Prepared]) -> Result<Option<Durable>, SinkError> {
    loop {
        match intake.append(events) {
            Err(SinkError::Full) => tokio::time::sleep(PAUSE).await,
            other => return other,
        }
    }
}
