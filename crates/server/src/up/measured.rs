//! Numbers that the parts keep, for whoever reads `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proofstream_runtime::admission::Counters;
use proofstream_runtime::metrics::Reading;

use super::Handles;

/// Shows them.
pub(super) fn show(handles: &Handles) {
    let mut readings = of_admission(handles);
    readings.extend(of_listener(handles));
    readings.extend(of_parts(handles));
    handles.metrics.show(readings);
}

fn of_admission(handles: &Handles) -> Vec<Reading> {
    type Pick = fn(&Counters) -> &AtomicU64;
    let counters: [(&'static str, &'static str, Pick); 8] = [
        ("admission_allowed", "Decisions that let the request go on", |of| &of.allowed),
        ("admission_denied", "Decisions that refused the request", |of| &of.denied),
        ("admission_changed", "Requests whose object was changed", |of| &of.changed),
        ("admission_unmatched", "Requests that no policy matched", |of| &of.unmatched),
        ("admission_filtered", "Requests that the filters keep from the policies", |of| {
            &of.filtered
        }),
        ("admission_late", "Answers that went out before their decision was on disk", |of| {
            &of.late
        }),
        ("admission_unrecorded", "Decisions that the ledger did not take or lost", |of| {
            &of.unrecorded
        }),
        ("admission_unanswered", "Calls that could not be answered", |of| &of.unanswered),
    ];
    let reading = |(name, help, pick): (&'static str, &'static str, Pick)| {
        let admission = Arc::clone(&handles.admission);
        let read = move || pick(admission.counters()).load(Ordering::Relaxed);
        Reading { name, help, grows: true, read: Box::new(read) }
    };
    counters.map(reading).into()
}

fn of_listener(handles: &Handles) -> Vec<Reading> {
    let webhook = || Arc::clone(&handles.webhook);
    let (shed, refused, under_way, room) = (webhook(), webhook(), webhook(), webhook());
    vec![
        Reading {
            name: "webhook_shed",
            help: "Calls answered 503: too much was under way, or the policies were not read",
            grows: true,
            read: Box::new(move || shed.counters().shed.load(Ordering::Relaxed)),
        },
        Reading {
            name: "webhook_refused",
            help: "Calls that were no admission review",
            grows: true,
            read: Box::new(move || refused.counters().refused.load(Ordering::Relaxed)),
        },
        Reading {
            name: "webhook_requests_under_way",
            help: "Calls that are being read or judged",
            grows: false,
            read: Box::new(move || under_way.under_way()),
        },
        Reading {
            name: "webhook_requests_most",
            help: "Calls that may be under way at a time",
            grows: false,
            read: Box::new(move || room.most()),
        },
    ]
}

fn of_parts(handles: &Handles) -> Vec<Reading> {
    let (writer, policies, broken) =
        (Arc::clone(&handles.writer), Arc::clone(&handles.policies), Arc::clone(&handles.policies));
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    vec![
        Reading {
            name: "ledger_records",
            help: "Records that are on disk",
            grows: true,
            read: Box::new(move || writer.durable_end()),
        },
        Reading {
            name: "policies_in_force",
            help: "Policies in force",
            grows: false,
            read: Box::new(move || count(policies.current().all.infos.len())),
        },
        Reading {
            name: "policies_not_ready",
            help: "Policies, exceptions and global entries that are not in force as written",
            grows: false,
            read: Box::new(move || {
                count(broken.reports().iter().filter(|report| !report.ready).count())
            }),
        },
    ]
}
