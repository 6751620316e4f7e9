//! What stands around the statements: what was asked, what is missing, how to verify.

use proofstream_model::ControlId;

use super::{Page, inline};
use crate::controls::{ControlStatement, Status};
use crate::export::Ground;
use crate::range::KeyPlace;
use crate::request::Question;
use crate::requirements::RequirementStatement;

/// Title and terms of the question.
pub(super) fn opening(page: &mut Page, question: &Question<'_>, ground: &Ground) {
    let request = question.request;
    let what = if question.is_selection() { "SELECTION of evidence" } else { "Evidence" };
    page.line(format!(
        "# {what}: {}, {} to {}",
        question.framework.title(),
        request.from,
        request.to
    ));
    page.line(
        "\nWhat controls refused, found and missed in this period, from a tamper-evident trail. It \
         shows how controls operated; it attests nothing. That is an auditor's part.",
    );
    if question.is_selection() {
        page.line(
            "\nThis is a SELECTION: only blocks, decisions and findings that name the controls below \
             are here, and no completeness is claimed for these kinds. Other kinds that are here \
             are complete.",
        );
    }
    page.heading("What was asked");
    let controls: Vec<&str> = question.controls.iter().map(ControlId::as_str).collect();
    let named: String = controls.iter().flat_map(|control| [" --control ", *control]).collect();
    let sample = request.sample.as_ref().map_or_else(String::new, |sample| {
        format!(" --sample {} --seed {}", sample.size, inline(&sample.seed))
    });
    page.line(format!(
        "- Query: `proofstream export --framework {} --from {} --to {}{named}{sample}`",
        request.framework, request.from, request.to
    ));
    page.line(format!(
        "- Period: {} (inclusive) to {} (exclusive), by time of recording",
        request.from, request.to
    ));
    page.line(format!(
        "- Scope: {}",
        if controls.is_empty() { "all controls mapped".to_owned() } else { controls.join(", ") }
    ));
    page.line(format!("- Extracted: {}, for {}", request.extracted, inline(&request.requested_by)));
    page.line("- Time zone of every time here and in the tables: UTC");
    page.line(format!("- Log: `{}`, checkpoint of {} segments", ground.origin, ground.size));
    page.line(format!(
        "- Range: segments {} to {}, which cover the period, reach past both of its ends as far \
         as the log does, and {}",
        ground.span.first,
        ground.span.last,
        match ground.key {
            KeyPlace::InRange => "hold the record that names the key which signs this bundle",
            KeyPlace::Apart(_) =>
                "leave out the record that names the key which signs this bundle: it is proven in \
                 export-key.json",
        }
    ));
}

/// What the catalog names and nothing ran.
pub(super) fn not_evaluated(
    page: &mut Page,
    question: &Question<'_>,
    controls: &[ControlStatement],
) {
    page.heading("Not evaluated");
    page.line("None of these is a pass.\n");
    let whole = controls.iter().filter(|control| control.status == Status::NotEvaluated);
    for control in whole {
        page.line(format!("- control `{}`, whole: see above", control.id));
    }
    for control in controls {
        for planned in &control.not_evaluated {
            page.line(format!(
                "- `{}` of `{}`: {}",
                planned.name,
                control.id,
                inline(&planned.reason)
            ));
        }
    }
    let framework = question.framework;
    let mapped = question.catalog.mapped_requirements(framework.id()).len();
    page.line(format!(
        "- Of the {} ids of {}, the catalog maps controls to {mapped}; nothing is said of the \
         others.",
        framework.requirements().len(),
        framework.id()
    ));
}

/// What a reader might look for in vain.
pub(super) fn left_out(page: &mut Page, question: &Question<'_>, ground: &Ground) {
    page.heading("Not in this bundle");
    page.line("- OSCAL, OCSF, XLSX and PDF: this version does not write them.");
    page.line("- Blobs (request bodies, recordings): records name them by hash.");
    if !ground.left_out.is_empty() {
        page.line(format!(
            "- Records of these kinds, which the range holds: {}.",
            inline(&ground.left_out.join(", "))
        ));
    }
    if question.is_selection() {
        page.line("- What does not name the controls asked for, see the first line.");
    }
    match &ground.witnessed {
        Some(path) => page.line(format!("- Witnesses' cosignatures other than those in {path}.")),
        None => page.line(
            "- Witnesses' cosignatures: none are there. Keep `checkpoint`: with it, a later bundle \
             can be held against this one.",
        ),
    }
}

/// With our tool, and with none of ours.
pub(super) fn verifying(
    page: &mut Page,
    question: &Question<'_>,
    ground: &Ground,
    requirements: &[RequirementStatement],
) {
    page.heading("How to verify");
    page.line("With our verifier, without server and network:\n");
    page.line("    proofstream-verify . --key LOG.PUB-GOT-FROM-ELSEWHERE\n");
    page.line("Without it, by any tools:\n");
    page.line("1. `manifest.json` lists every other file with its SHA-256 and size (`sha256sum`).");
    page.line(
        "2. `manifest.dsse.json` is a DSSE envelope (in-toto Statement v1) about manifest.json. Its \
         Ed25519 key is the one that a record in records/key.jsonl (or export-key.json) names with \
         `\"use\":\"export\"`.",
    );
    page.line(
        "3. `checkpoint` is a C2SP signed note: origin, number of segments, root of the outer tree; \
         its keys are in log.pub. Compare them with what you got elsewhere.",
    );
    page.line(
        "4. Each line of manifests.jsonl leads, by `outer` (RFC 6962, SHA-256, leaf upward), from \
         its `manifest` to that root; each line of proofs.jsonl leads, by `inner`, from a record's \
         line to its manifest's `root`.",
    );
    page.line(
        "5. The numbers of records of a kind are those of `kinds` in manifests.jsonl, and every \
         number above that counts records is in claims.json. To recount one:",
    );
    if let Some(first) = requirements.first() {
        page.line(format!(
            "\n       jq -c 'select(.time >= \"{}\" and .time < \"{}\" and (.body.requirements | \
             index(\"{}\")))' records/block.jsonl | wc -l",
            question.request.from, question.request.to, first.id
        ));
    }
    let earlier = if ground.history.exports.is_empty() {
        "there was no earlier export"
    } else {
        "each line proves that an earlier export's checkpoint is a prefix of this one"
    };
    page.line(format!("\n6. consistency.jsonl: {earlier}."));
}
