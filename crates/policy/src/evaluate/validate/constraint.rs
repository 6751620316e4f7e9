//! Constraints: what the template's code says of the request under review, one by one.

use proofstream_rego::{Fault, Limits, Program, Value as RegoValue};

use super::Ground;
use crate::evaluate::{Said, expressions};
use crate::inventory;
use crate::policy::Constraint;
use crate::response::Status;
use crate::selection::Target;
use crate::trace::{self, StepOutcome};

pub(super) fn judge(ground: &Ground<'_>, constraint: &Constraint) -> Said {
    let request = ground.scope.judgement().request;
    let about = ground.at.rule.constraint_match();
    if about.is_some_and(|about| about.lacks_labels(&Target::new(request))) {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let message = format!("the labels of the namespace `{namespace}` are not known");
        return Said::new(Status::Error, message);
    }
    match constraint {
        Constraint::Rego { program, parameters } => review(ground, program, parameters),
        Constraint::Cel { expressions, document } => {
            match expressions::all_broken(expressions, ground.scope, document) {
                Err(said) => said,
                Ok(broken) => together(ground.rule, broken),
            }
        }
    }
}

fn review(ground: &Ground<'_>, program: &Program, parameters: &RegoValue) -> Said {
    let judgement = ground.scope.judgement();
    let data = match &judgement.environment.inventory {
        Some(inventory) => inventory.data(),
        None if program.asks_data() => {
            let message = "the other objects of the cluster (data.inventory) are not known here";
            return Said::new(Status::Error, message);
        }
        None => inventory::nothing(),
    };
    let input = RegoValue::object([
        (RegoValue::text("parameters"), parameters.clone()),
        (RegoValue::text("review"), judgement.review().clone()),
    ]);
    let now = i64::try_from(judgement.environment.now.as_nanosecond()).ok();
    let found = match program.violations(input, data, Limits { now, ..Limits::default() }) {
        Ok(found) => found,
        Err(fault @ Fault::Outside { .. }) => {
            return Said::new(Status::NotSupported, fault.to_string());
        }
        Err(fault) => return Said::new(Status::Error, fault.to_string()),
    };
    trace::note(StepOutcome::Info, || {
        format!("the template's code finds {} violations", found.len())
    });
    for one in &found {
        trace::note(StepOutcome::Fails, || trace::shown(&one.to_json()));
    }
    // What has no message is no violation to Gatekeeper; two are one where they say the same.
    let mut messages: Vec<(RegoValue, Option<RegoValue>)> = found
        .iter()
        .filter_map(|one| Some((one.member("msg")?.clone(), one.member("details").cloned())))
        .collect();
    messages.sort();
    messages.dedup();
    let said = messages.into_iter().map(|(message, _)| match message.as_text() {
        Some(text) => Said::new(Status::Fail, text),
        None => Said::new(Status::Error, format!("`msg` is no string: {message}")),
    });
    together(ground.rule, said.collect())
}

/// What a constraint says where several things are said.
fn together(rule: &str, said: Vec<Said>) -> Said {
    if said.is_empty() {
        return Said::new(Status::Pass, format!("rule {rule} passed"));
    }
    let fails = said.iter().any(|one| one.status == Status::Fail);
    let errs = said.iter().any(|one| one.status == Status::Error);
    let status = match (fails, errs) {
        (true, _) => Status::Fail,
        (false, true) => Status::Error,
        (false, false) => Status::Skip,
    };
    let counts = |one: &Said| matches!(one.status, Status::Fail | Status::Error);
    let violations: Vec<String> = said.into_iter().filter(counts).map(|one| one.message).collect();
    Said { violations: violations.clone(), ..Said::new(status, violations.join("; ")) }
}
