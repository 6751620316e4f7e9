//! Stages, and the API server's flags: checks 13, 15 and 16.

use super::check::{FLAGS, REQUEST_RECEIVED, STAGES_OMITTED, Severity};
use super::fix::Fix;
use super::probes::{METHODS, listed};
use super::{Finding, Subject};
use crate::flags::Flags;
use crate::policy::{Level, Rule, Stage};
use crate::request::{Request, Target};

pub(super) fn findings(subject: &Subject<'_>, flags: Option<&Flags>) -> Vec<Finding> {
    let mut findings = stages_omitted(subject);
    findings.extend(request_received(subject, flags.is_some_and(is_strict)));
    findings.extend(flags.map(given).into_iter().flatten());
    findings
}

fn is_strict(flags: &Flags) -> bool {
    ["audit-log-mode", "audit-webhook-mode"]
        .iter()
        .any(|mode| flags.get(mode) == Some("blocking-strict"))
}

// === 13 ===

fn request_received(subject: &Subject<'_>, strict: bool) -> Option<Finding> {
    let policy = subject.policy;
    let omitted = |stages: &[Stage]| stages.contains(&Stage::RequestReceived);
    let logging = policy.rules.iter().enumerate().filter(|(_, rule)| rule.level > Level::None);
    if strict {
        let whole = omitted(&policy.omit_stages);
        let (index, _) =
            logging.into_iter().find(|(_, rule)| whole || omitted(&rule.omit_stages))?;
        let message = "the mode is blocking-strict, which can refuse a request only at the stage \
                       RequestReceived, and that stage is omitted";
        let mut finding = REQUEST_RECEIVED.finding((!whole).then_some(index), message);
        finding.severity = Severity::Error;
        finding.fix = without(subject, (!whole).then_some(index), Stage::RequestReceived);
        return Some(finding);
    }
    if omitted(&policy.omit_stages) {
        return None;
    }
    let twice: Vec<String> = logging
        .filter(|(_, rule)| !omitted(&rule.omit_stages))
        .map(|(index, _)| format!("rules[{index}]"))
        .collect();
    if twice.is_empty() {
        return None;
    }
    let verb = if twice.len() == 1 { "logs" } else { "log" };
    let message = format!("{} {verb} every request twice", listed(&twice));
    let mut finding = REQUEST_RECEIVED.finding(None, message);
    "omitStages".clone_into(&mut finding.path);
    let mut stages = policy.omit_stages.clone();
    stages.insert(0, Stage::RequestReceived);
    finding.fix = Fix::OmitStages { stages };
    Some(finding)
}

/// The policy, or a rule, without this stage among those omitted.
fn without(subject: &Subject<'_>, rule: Option<usize>, stage: Stage) -> Fix {
    let left = |stages: &[Stage]| stages.iter().copied().filter(|it| *it != stage).collect();
    match rule {
        None => Fix::OmitStages { stages: left(&subject.policy.omit_stages) },
        Some(at) => {
            let rule = subject.rule(at);
            let omit_stages = left(&rule.omit_stages);
            Fix::Replace { at, rules: vec![Rule { omit_stages, ..rule }] }
        }
    }
}

// === 15 ===

fn stages_omitted(subject: &Subject<'_>) -> Vec<Finding> {
    let policy = subject.policy;
    let rules = policy.rules.iter().enumerate();
    let logging = rules.filter(|(_, rule)| rule.level > Level::None);
    let places = std::iter::once((None, &policy.omit_stages));
    let places = places.chain(logging.map(|(index, rule)| (Some(index), &rule.omit_stages)));
    let mut findings = Vec::new();
    for (rule, stages) in places {
        for (stage, lost) in [
            (Stage::ResponseComplete, "how requests ended is not logged"),
            (Stage::Panic, "requests that broke the API server are not logged"),
            (Stage::ResponseStarted, "failed sign-ins are not logged: that is their only stage"),
        ] {
            let by_nobody = || rule.is_none_or(|rule| decides_about_nobody(subject, rule));
            if !stages.contains(&stage) || (stage == Stage::ResponseStarted && !by_nobody()) {
                continue;
            }
            let message = format!("{} is omitted: {lost}", stage.name());
            let mut finding = STAGES_OMITTED.finding(rule, message);
            finding.path = match rule {
                Some(index) => format!("rules[{index}].omitStages"),
                None => "omitStages".to_owned(),
            };
            if stage != Stage::ResponseComplete {
                finding.severity = Severity::Warning;
            }
            finding.fix = without(subject, rule, stage);
            findings.push(finding);
        }
    }
    findings
}

/// Whether a rule is the one for requests whose sign-in failed.
fn decides_about_nobody(subject: &Subject<'_>, rule: usize) -> bool {
    let paths =
        METHODS.iter().map(|verb| ((*verb).to_owned(), Target::Path("/some/path".to_owned())));
    let somewhere = subject.probes.requests(("", "pods"), &["get", "list", "create"]);
    let resources = somewhere.map(|request| (request.verb, request.target));
    paths.chain(resources).any(|(verb, target)| {
        subject.policy.decide(&Request { user: None, verb, target }).1 == Some(rule)
    })
}

// === 16 ===

fn given(flags: &Flags) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |severity, message: String, wanted: &[&str]| {
        let mut finding = FLAGS.finding(None, message);
        finding.severity = severity;
        finding.fix = Fix::Flags { flags: wanted.iter().map(ToString::to_string).collect() };
        findings.push(finding);
    };
    if flags.get("audit-policy-file").is_none() {
        let message = "there is no audit policy: nothing is logged";
        let wanted = "--audit-policy-file=/etc/kubernetes/audit-policy.yaml";
        say(Severity::Error, message.to_owned(), &[wanted]);
    }
    let log = flags.get("audit-log-path");
    let webhook = flags.get("audit-webhook-config-file");
    let path = "--audit-log-path=/var/log/kubernetes/audit/audit.log";
    match (log, webhook) {
        (None, None) => {
            say(
                Severity::Error,
                "events go nowhere: neither a file nor a webhook is set".to_owned(),
                &[path],
            );
        }
        (None, Some(_)) => {
            let message = "events go to a webhook alone: what is sent while it is away for more than some \
                           minutes is lost";
            say(Severity::Warning, message.to_owned(), &[path]);
        }
        (Some("-"), _) => {
            let message =
                "events go to standard output, and what keeps it decides how long they last";
            say(Severity::Warning, message.to_owned(), &[path]);
        }
        (Some(_), _) => rotation(flags, &mut say),
    }
    if log.is_some() {
        of_log(flags, &mut say);
    }
    if webhook.is_some() {
        of_webhook(flags, &mut say);
    }
    findings
}

type Say<'s> = &'s mut dyn FnMut(Severity, String, &[&str]);

fn rotation(flags: &Flags, say: Say<'_>) {
    // The last two: the default of 1.37, and what older API servers do without the flag.
    for (name, least, what, default, without) in [
        ("audit-log-maxage", 30, "days are rotated files kept", 366, "keep files for ever"),
        ("audit-log-maxbackup", 10, "rotated files are kept", 100, "keep all files"),
        ("audit-log-maxsize", 100, "MiB a file may have", 100, "never rotate"),
    ] {
        let value = flags.number(name);
        let set = flags.get(name).is_some();
        let message = match (set, value) {
            (true, 0) => format!("`--{name}=0` has the API server {without}, and the disk fills"),
            (true, value) if value >= least => continue,
            (true, value) => format!("{value} {what}, and the benchmark asks for {least}"),
            (false, _) => format!(
                "`--{name}` is not set, and the benchmark looks for it: the default of 1.37 is {default}, older API \
                 servers {without}"
            ),
        };
        say(Severity::Warning, message, &[&format!("--{name}={least}")]);
    }
}

fn of_log(flags: &Flags, say: Say<'_>) {
    if flags.get("audit-log-mode") == Some("batch") {
        let message = "events wait in a buffer before they are written, and are dropped when it is full or the \
                       API server dies";
        say(Severity::Warning, message.to_owned(), &["--audit-log-mode=blocking"]);
    }
    if flags.get("audit-log-format") == Some("legacy") {
        let message = "the format is one line of words an event, without most of it";
        say(Severity::Error, message.to_owned(), &["--audit-log-format=json"]);
    }
    if flags.is_on("audit-log-truncate-enabled") {
        let size = flags.get("audit-log-truncate-max-event-size").unwrap_or("102400");
        let message = format!(
            "events over {size} bytes lose their bodies, and are dropped if that is not enough"
        );
        say(Severity::Warning, message, &["--audit-log-truncate-enabled=false"]);
    }
}

fn of_webhook(flags: &Flags, say: Say<'_>) {
    let buffer = "audit-webhook-batch-buffer-size";
    if flags.get(buffer).is_some() && flags.number(buffer) < 10_000 {
        let message = format!(
            "the webhook's buffer holds {} events, and what does not fit is dropped without a word",
            flags.number(buffer)
        );
        say(Severity::Warning, message, &["--audit-webhook-batch-buffer-size=10000"]);
    }
    if flags.get("audit-webhook-mode") == Some("blocking") {
        let message = "the webhook is asked once for each request, and its errors are passed over";
        say(Severity::Warning, message.to_owned(), &["--audit-webhook-mode=batch"]);
    }
    if flags.is_on("audit-webhook-truncate-enabled") {
        let size = flags.get("audit-webhook-truncate-max-event-size").unwrap_or("102400");
        let message = format!(
            "the webhook's events over {size} bytes lose their bodies, and are dropped if that is not enough"
        );
        say(Severity::Note, message, &["--audit-webhook-truncate-max-event-size=1048576"]);
    }
}
