//! What is said of each requirement and each control.

use proofstream_catalog::Scope;

use super::{Page, inline};
use crate::controls::ControlStatement;
use crate::requirements::RequirementStatement;

/// One paragraph a requirement.
pub(super) fn requirements(
    page: &mut Page,
    statements: &[RequirementStatement],
    controls: &[ControlStatement],
    confirmed: bool,
) {
    page.heading("Requirements");
    page.line(
        "A request that two policies refused is one block above and one under each policy. A \
         heading (`2`, `5.2`) counts what was claimed or mapped as such, and covers no id below it.",
    );
    for statement in statements {
        requirement(page, statement, controls, confirmed);
    }
}

fn requirement(
    page: &mut Page,
    statement: &RequirementStatement,
    controls: &[ControlStatement],
    confirmed: bool,
) {
    let title = statement.title.as_ref().map_or_else(String::new, |title| format!(" ({title})"));
    let heading = if statement.group { ", a heading over other ids" } else { "" };
    page.line(format!("\n### {}{title}{heading}\n", statement.id.id()));
    page.line(format!(
        "**{} blocked {} times.**{}",
        statement.id.id(),
        statement.blocked,
        if confirmed { "" } else { " No audit source was enrolled: this number shows nothing." }
    ));
    if statement.policies.is_empty() {
        page.line("No policy that stands for it was recorded, so nothing was there to refuse.");
    }
    if statement.blocked > 0 {
        page.line(format!(
            "That is {} different (root owner, rule) pairs (from columns owner and rules of \
             tables/blocks.csv; the verifier does not recount this).",
            statement.pairs
        ));
        for (word, blocked) in &statement.enforcers {
            page.line(format!("- refused by `{}`: {blocked}", inline(word)));
        }
    }
    for share in &statement.policies {
        page.line(format!(
            "- policy `{}` blocked {} times and would have blocked {} times ({})",
            inline(&share.name),
            share.blocked,
            share.would_have_blocked,
            inline(&share.basis)
        ));
    }
    page.line(format!(
        "- would have been blocked (Audit mode): {}; dry runs refused: {}",
        statement.would_have_blocked, statement.dry_runs_refused
    ));
    if !confirmed {
        page.line(format!(
            "- our webhook's refusals, unconfirmed by an audit event: {}",
            statement.decisions_denied
        ));
    }
    page.line(format!(
        "- findings in what runs: {} appeared, {} were repaired",
        statement.findings_found, statement.findings_fixed
    ));
    for (control, part) in &statement.controls {
        let status = controls.iter().find(|one| one.id == *control).map(|one| one.status.words());
        page.line(format!(
            "- control `{control}` ({}) carries: {}",
            status.unwrap_or("not asked for"),
            inline(part)
        ));
    }
    if statement.controls.is_empty() {
        page.line("- no control of the catalog stands for it: it is only claimed by a policy");
    }
}

/// One paragraph a control.
pub(super) fn controls(page: &mut Page, statements: &[ControlStatement]) {
    page.heading("Controls");
    page.line(
        "\"Operating\" means that the records show the control in force for the whole period without \
         a lapse; it does not say that the control is enough. Only what is listed was evaluated.",
    );
    for statement in statements {
        page.line(format!("\n### {}: {}\n", statement.id, statement.status.words()));
        let scope = match statement.scope {
            Scope::Regulated => "regulated namespaces, as the policies name them",
            Scope::Cluster => "the whole cluster",
        };
        page.line(format!("Claim: {} Scope: {scope}.\n", inline(&statement.claim)));
        for sentence in &statement.basis {
            page.line(format!("- {}", inline(sentence)));
        }
        for sentence in &statement.lapses {
            page.line(format!("- **Lapse:** {}", inline(sentence)));
        }
        page.line(format!(
            "- blocked {} times; would have blocked {} times; refused {} dry runs; findings: {} \
             appeared, {} were repaired",
            statement.blocked,
            statement.would_have_blocked,
            statement.dry_runs_refused,
            statement.findings_found,
            statement.findings_fixed
        ));
        for limit in &statement.limits {
            page.line(format!("- Not covered: {}", inline(limit)));
        }
    }
}
