//! The page: what is real now, rendered here and fed live.

use std::fmt::Display;
use std::sync::LazyLock;

use askama::Template;
use axum::response::Html;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofstream_model::{Answer, Mode, PolicyState, Timestamp};
use proofstream_runtime::projection::{ControlRow, DecisionRow, HourCount, Overview, PolicyRow};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::console::{ConsoleError, ControlCard, Health, HealthState, LedgerStatus};

const STYLE: &str = include_str!("../../../../ui/page.css");
const SCRIPT: &str = include_str!("../../../../ui/page.js");

/// Hours that the bar chart shows.
const HOURS: usize = 24;
const HOUR_MICROS: i64 = 3_600_000_000;

/// The page loads nothing from anywhere and runs no script but its own.
pub(super) static CONTENT_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'; img-src data:",
        STANDARD.encode(Sha256::digest(STYLE)),
        STANDARD.encode(Sha256::digest(SCRIPT)),
    )
});

/// Everything the page shows; the API gives the same as JSON.
#[derive(Debug, Clone, Serialize)]
pub(super) struct View {
    pub(super) cluster: String,
    pub(super) now: Timestamp,
    pub(super) since: Timestamp,
    pub(super) overview: Overview,
    pub(super) controls: Vec<ControlCard>,
    pub(super) health: Vec<Health>,
    pub(super) ledger: LedgerStatus,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Whole<'view> {
    style: &'static str,
    script: &'static str,
    shown: Shown<'view>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Fragment<'view> {
    shown: Shown<'view>,
}

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignIn<'why> {
    style: &'static str,
    why: Option<&'why str>,
}

/// The view with what the templates would otherwise have to work out.
struct Shown<'view> {
    view: &'view View,
    controls: Vec<Control<'view>>,
    bars: Vec<Bar>,
    failing: usize,
}

/// A control's line.
struct Control<'view> {
    card: &'view ControlCard,
    row: ControlRow,
    standing: Standing,
    policies: Vec<&'view str>,
}

/// What can be said of a control now. Nothing but `Enforced` and `Operating` is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Enforced,
    Operating,
    AuditOnly,
    NotEnforced,
    NotEvaluated,
}

/// One hour of the bar chart, in a box of 24 × 40.
struct Bar {
    x: usize,
    y: u64,
    height: u64,
    title: String,
}

/// The page.
pub(super) fn whole(view: &View) -> Result<Html<String>, ConsoleError> {
    render(&Whole { style: STYLE, script: SCRIPT, shown: Shown::new(view) })
}

/// What changes on it.
pub(super) fn fragment(view: &View) -> Result<Html<String>, ConsoleError> {
    render(&Fragment { shown: Shown::new(view) })
}

/// The form that asks for the token.
pub(super) fn sign_in(why: Option<&str>) -> Html<String> {
    let page = SignIn { style: STYLE, why };
    render(&page).unwrap_or_else(|_| Html("The sign-in form cannot be shown.".to_owned()))
}

fn render(template: &impl Template) -> Result<Html<String>, ConsoleError> {
    template.render().map(Html).map_err(|error| ConsoleError::Failed(Box::new(error)))
}

// === impl Shown ===

impl<'view> Shown<'view> {
    fn new(view: &'view View) -> Self {
        let mut controls: Vec<Control<'view>> =
            view.controls.iter().map(|card| Control::new(view, card)).collect();
        // What operates first, what cannot be said last; within these by title.
        controls.sort_by_key(|control| (control.standing, &control.card.title));
        let failing = view.health.iter().filter(|part| part.state == HealthState::Failing).count();
        Self { view, controls, bars: bars(view.now, &view.overview.blocked_by_hour), failing }
    }

    /// Today's times without their date, older ones with it.
    fn moment(&self, time: &dyn Display) -> String {
        let time = time.to_string();
        let (date, rest) = time.split_once('T').unwrap_or((&time, ""));
        let clock: String = rest.chars().take(8).collect();
        if date == self.view.now.date() { clock } else { format!("{date} {clock}") }
    }
}

// === impl Control ===

impl<'view> Control<'view> {
    fn new(view: &'view View, card: &'view ControlCard) -> Self {
        let standing_for = |policy: &&PolicyRow| policy.controls.contains(&card.id);
        let policies: Vec<&PolicyRow> =
            view.overview.policies.iter().filter(standing_for).collect();
        let has = |mode: Mode| {
            policies.iter().any(|row| {
                row.policy.state == PolicyState::Active && row.policy.modes.contains(&mode)
            })
        };
        let shown_by = |part: &Health| {
            let shows = card.shown_by.iter().any(|word| part.part.starts_with(word));
            shows && part.state == HealthState::Working
        };
        let standing = if view.health.iter().any(shown_by) {
            Standing::Operating
        } else if has(Mode::Enforce) {
            Standing::Enforced
        } else if has(Mode::Audit) {
            Standing::AuditOnly
        } else if policies.is_empty() && !card.not_evaluated.is_empty() {
            Standing::NotEvaluated
        } else {
            Standing::NotEnforced
        };
        Self {
            card,
            row: view.overview.controls.get(&card.id).cloned().unwrap_or_default(),
            standing,
            policies: policies.iter().map(|row| row.policy.name.as_str()).collect(),
        }
    }
}

// === impl Standing ===

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Operating => "operating",
            Self::AuditOnly => "audit only",
            Self::NotEnforced => "not enforced",
            Self::NotEvaluated => "not evaluated",
        }
    }

    /// A shape beside the colour, for those who do not see the colour.
    fn sign(self) -> &'static str {
        match self {
            Self::Enforced | Self::Operating => "●",
            Self::AuditOnly => "◐",
            Self::NotEnforced => "○",
            Self::NotEvaluated => "–",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Enforced | Self::Operating => "good",
            Self::AuditOnly => "warn",
            Self::NotEnforced => "bad",
            Self::NotEvaluated => "none",
        }
    }
}

/// The word for a decision, and its colour.
fn answer(row: &DecisionRow) -> (&'static str, &'static str) {
    let decision = &row.decision;
    match (decision.decision, decision.would_block, decision.dry_run) {
        (Answer::Deny, _, true) => ("✕ denied (dry run)", "none"),
        (Answer::Deny, _, false) => ("✕ denied", "bad"),
        (Answer::Allow, true, _) => ("◐ would block", "warn"),
        (Answer::Allow, false, true) => ("✓ allowed (dry run)", "none"),
        (Answer::Allow, false, false) => ("✓ allowed", "good"),
    }
}

/// The word for a part's health, and its colour.
fn health_sign(state: HealthState) -> (&'static str, &'static str) {
    match state {
        HealthState::Working => ("● working", "good"),
        HealthState::Failing => ("✕ failing", "bad"),
        HealthState::Off => ("– off", "none"),
    }
}

/// The word for a policy's state, and its colour.
fn policy_sign(row: &PolicyRow) -> (&'static str, &'static str) {
    match row.policy.state {
        PolicyState::Broken => ("✕ broken", "bad"),
        PolicyState::Enforcer => ("● setting", "none"),
        PolicyState::Removed => ("– removed", "none"),
        PolicyState::Active if row.policy.modes.contains(&Mode::Enforce) => ("● enforce", "good"),
        PolicyState::Active => ("◐ audit", "warn"),
    }
}

/// The last 24 hours, one bar each; the tallest fills the box.
fn bars(now: Timestamp, counts: &[HourCount]) -> Vec<Bar> {
    let first = i64::try_from(HOURS).unwrap_or(0) - 1;
    let hours = (0..HOURS).map(|x| {
        let back = first - i64::try_from(x).unwrap_or(0);
        let hour: String =
            now.plus_micros(-back * HOUR_MICROS).to_string().chars().take(13).collect();
        let count = counts.iter().find(|it| it.hour == hour).map_or(0, |it| it.count);
        (x, hour, count)
    });
    let hours: Vec<_> = hours.collect();
    let most = hours.iter().map(|(_, _, count)| *count).max().unwrap_or(0).max(1);
    hours
        .into_iter()
        .map(|(x, hour, count)| {
            let height = if count == 0 { 1 } else { (count * 38 / most).max(3) };
            Bar {
                x: x * 10,
                y: 40 - height,
                height,
                title: format!("{hour}:00 UTC: {count} blocked"),
            }
        })
        .collect()
}
