//! The bundle's README.md: what this is, what was asked, what can be said, what is missing, and how
//! to check it without us.

mod frame;
mod statements;

use proofstream_model::Kind;

use crate::controls::{ControlStatement, gap_words};
use crate::export::Ground;
use crate::history::{Gap, History, uncovered};
use crate::request::Question;
use crate::requirements::RequirementStatement;
use crate::survey::Survey;
use crate::tally::{ENFORCERS_SEEN, GAP_SOURCES_SEEN, POLICIES_SEEN, by};

/// A text that grows by lines.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.0.push_str(text.as_ref());
        self.0.push('\n');
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.line(format!("\n## {text}\n"));
    }
}

/// Text from records on one line: nothing in it can begin a line of its own or a heading.
pub(crate) fn inline(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() || letter == '\u{2028}' { ' ' } else { letter })
        .take(2_000)
        .collect()
}

/// The whole page. What it counts it states through the survey's tally.
pub(crate) fn render(
    question: &Question<'_>,
    ground: &Ground,
    requirements: &[RequirementStatement],
    controls: &[ControlStatement],
    survey: &mut Survey<'_>,
) -> String {
    let mut page = Page::default();
    let confirmed = !ground.history.sources_like("audit-", question).is_empty();
    frame::opening(&mut page, question, ground);
    basis(&mut page, question, ground, confirmed);
    statements::requirements(&mut page, requirements, controls, confirmed);
    statements::controls(&mut page, controls);
    populations(&mut page, question, ground, survey);
    gaps(&mut page, question, ground, survey);
    frame::not_evaluated(&mut page, question, controls);
    frame::left_out(&mut page, question, ground);
    frame::verifying(&mut page, question, ground, requirements);
    page.0
}

/// What "blocked N times" means here, and what a zero rests on.
fn basis(page: &mut Page, question: &Question<'_>, ground: &Ground, confirmed: bool) {
    page.heading("What the numbers rest on");
    page.line(
        "- A **block** is one request that the API server refused by policy, read from its own \
         audit event. A dry run is none, and one request is one block however many webhooks were \
         called.",
    );
    page.line(
        "- **Would have been blocked** counts our webhook's decisions in Audit mode; **dry runs** \
         that our webhook refused and its **decisions** are counted apart. None of them is in the \
         blocks.",
    );
    page.line(
        "- A record belongs to the period by the time of its recording; what happened just before \
         may be recorded just after.",
    );
    let history = &ground.history;
    if confirmed {
        sources(page, question, history, "audit-", "Audit source");
        let (from, until) = (question.request.from, question.until());
        for (begins, ends) in uncovered(history.enrolled("audit-", question), from, until) {
            page.line(format!(
                "- **No audit source was enrolled from {begins} to {ends}: blocks of that stretch \
                 could not be read.** Our webhook's decisions of it are unconfirmed."
            ));
        }
    } else {
        page.line(
            "- **No audit source was enrolled in this period: blocks could not be read, and a zero \
             below shows nothing.** Our webhook's refusals are given as decisions, unconfirmed by \
             an audit event.",
        );
    }
    if history.sources_like("admission/", question).is_empty() {
        page.line(
            "- No admission source was enrolled in this period: our webhook recorded no decision, \
             and a zero of decisions shows nothing.",
        );
    } else {
        sources(page, question, history, "admission/", "Admission source");
    }
    if question.request.to > history.sealed_until {
        page.line(format!(
            "- The period reaches beyond the last sealed record ({}): what comes later is not in \
             here.",
            history.sealed_until
        ));
    }
}

fn sources(
    page: &mut Page,
    question: &Question<'_>,
    history: &History,
    prefix: &str,
    called: &str,
) {
    let (from, until) = (question.request.from, question.until());
    for name in history.sources_like(prefix, question) {
        for stretch in history.sources.get(name).into_iter().flatten() {
            if let Some((begins, ends)) = stretch.clipped(from, until) {
                page.line(format!(
                    "- {called} `{}` was enrolled from {begins} to {ends} (record {}).",
                    inline(name),
                    stretch.seq
                ));
            }
        }
    }
}

/// Row counts, each a claim.
fn populations(page: &mut Page, question: &Question<'_>, ground: &Ground, survey: &mut Survey<'_>) {
    page.heading("Populations");
    page.line(
        "Records of the period, by kind. The files hold all records of a kind in the range of",
    );
    page.line("segments, which is wider than the period; the tables hold the period's alone.\n");
    page.line("| kind | in the period | records | table |");
    page.line("|---|---|---|---|");
    for kind in &ground.kinds {
        let count = survey.tally.state(&format!("{kind} records"), *kind, by::nothing());
        let table = match kind {
            Kind::Block => "tables/blocks.csv",
            Kind::Decision => "tables/decisions.csv",
            Kind::Finding => "tables/findings.csv",
            Kind::Gap => "tables/gaps.csv",
            Kind::Policy => "tables/policies.csv",
            _ => "",
        };
        page.line(format!("| {kind} | {count} | records/{kind}.jsonl | {table} |"));
    }
    page.line("");
    let tally = &mut survey.tally;
    for word in tally.seen(Kind::Block, ENFORCERS_SEEN) {
        let text = format!("requests refused by {word}");
        let count = tally.state(&text, Kind::Block, by::enforcer(&word));
        page.line(format!("- blocks by `{}`: {count}", inline(&word)));
    }
    for name in tally.seen(Kind::Block, POLICIES_SEEN) {
        let text = format!("requests refused by policy {name}");
        let count = tally.state(&text, Kind::Block, by::policy(&name));
        page.line(format!("- blocks by policy `{}`: {count}", inline(&name)));
    }
    let denied =
        tally.state("refusals answered by our webhook (no dry runs)", Kind::Decision, by::denied());
    let dry = tally.state("dry runs refused by our webhook", Kind::Decision, by::denied_dry());
    let would = tally.state("would have been refused", Kind::Decision, by::would_block());
    page.line(format!(
        "- decisions of our webhook that refused: {denied}; of dry runs: {dry}; that would have \
         refused, in Audit mode: {would}"
    ));
    page.line(
        "- Refusing decisions and blocks by `proofstream` may differ: one DELETE can ask a webhook \
         several times, and an audit event may be recorded later or be lost (see Gaps).",
    );
    for (word, what) in [("found", "appeared"), ("fixed", "were repaired"), ("gone", "went away")] {
        let text = format!("findings that {what}");
        let count = tally.state(&text, Kind::Finding, by::state(word));
        page.line(format!("- findings that {what}: {count}"));
    }
    if let Some(sample) = &question.request.sample {
        page.line(format!(
            "\ntables/sample.csv holds up to {} rows of each of blocks, decisions and findings: \
             those whose SHA-256 of `{}:SEQ` is smallest, so that anyone draws the same. The \
             populations are in here as well.",
            sample.size,
            inline(&sample.seed)
        ));
    }
}

/// What the trail lacks.
fn gaps(page: &mut Page, question: &Question<'_>, ground: &Ground, survey: &mut Survey<'_>) {
    page.heading("Gaps");
    let recorded = survey.tally.state("gap records", Kind::Gap, by::nothing());
    let gaps = ground.history.gaps_of(question);
    if gaps.is_empty() {
        page.line(
            "No `gap` record was made in the period, and none reaches into it. A gap is recorded \
             when a source falls silent, begins anew, or knows that it lost something; what the \
             API server's audit policy leaves out is no gap.",
        );
        return;
    }
    page.line(format!("Gap records of the period: {recorded}."));
    for source in survey.tally.seen(Kind::Gap, GAP_SOURCES_SEEN) {
        let text = format!("gaps of {source}");
        let count = survey.tally.state(&text, Kind::Gap, by::source(&source));
        page.line(format!("- of `{}`: {count}", inline(&source)));
    }
    page.line("");
    for gap in gaps.iter().take(200) {
        page.line(format!("- {}{}", inline(&gap_words(gap)), remark(gap, question, ground)));
    }
    if gaps.len() > 200 {
        page.line("- More of them are in tables/gaps.csv.");
    }
}

fn remark(gap: &Gap, question: &Question<'_>, ground: &Ground) -> &'static str {
    if !ground.span.contains(gap.segment) {
        " It reaches into the period; its record lies outside of this bundle's range."
    } else if !question.covers(gap.recorded) {
        " It reaches into the period; it was recorded outside of it."
    } else {
        ""
    }
}
