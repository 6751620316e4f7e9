//! The API server's sentences about policy.

use proofstream_model::Enforcer;

use super::webhooks;

/// Names of policies read from one answer, at most.
const MOST: usize = 64;

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Refused(Named),
    /// A webhook or policy that could not be evaluated.
    Uncalled(String),
}

/// Who refused, with the names in the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) enforcer: Enforcer,
    pub(super) webhook: Option<String>,
    pub(super) policies: Vec<String>,
    pub(super) rules: Vec<String>,
    pub(super) name: Option<String>,
}

/// Reads the message of a failure status.
pub(super) fn read(message: &str) -> Option<Answer> {
    let message = message.strip_prefix("Internal error occurred: ").unwrap_or(message);
    if let Some(rest) = message.strip_prefix("admission webhook ") {
        let (webhook, rest) = quoted(rest)?;
        let why = rest.strip_prefix(" denied the request")?;
        if webhook == webhooks::OF_POLICIES {
            return None;
        }
        let why = why.strip_prefix(": ").unwrap_or_default();
        let enforcer = webhooks::enforcer(&webhook);
        let (policies, rules) = policies_of(enforcer, why);
        let policies = match enforcer {
            Enforcer::OtherWebhook if policies.is_empty() => vec![webhook.clone()],
            _ => policies,
        };
        let webhook = Some(webhook);
        return Some(Answer::Refused(Named { enforcer, webhook, policies, rules, name: None }));
    }
    if let Some(rest) = message.strip_prefix("failed calling webhook ") {
        return quoted(rest).map(|(webhook, _)| Answer::Uncalled(webhook));
    }
    let (name, reason) = forbidden(message)?;
    if let Some(rest) = reason.strip_prefix("violates PodSecurity ") {
        let (level, rest) = quoted(rest)?;
        let checks = rest.strip_prefix(": ").map(checks).unwrap_or_default();
        let rules = checks.iter().map(|check| format!("{level}/{check}")).collect();
        let enforcer = Enforcer::PodSecurity;
        let policies = vec![level];
        return Some(Answer::Refused(Named { enforcer, webhook: None, policies, rules, name }));
    }
    admission_policy(reason, name)
}

/// `ValidatingAdmissionPolicy 'P' with binding 'B' denied request: …`. Names of both are DNS
/// names, without quotes in them.
fn admission_policy(reason: &str, name: Option<String>) -> Option<Answer> {
    let rest = reason.strip_prefix("ValidatingAdmissionPolicy '")?;
    let (policy, rest) = rest.split_once('\'')?;
    let (binding, rest) = match rest.strip_prefix(" with binding '") {
        Some(rest) => rest.split_once('\'').map(|(binding, rest)| (Some(binding), rest))?,
        None => (None, rest),
    };
    let why = rest.strip_prefix(" denied request")?.trim_start_matches([':', ' ']);
    if why.starts_with("failed to configure ") {
        return Some(Answer::Uncalled(policy.to_owned()));
    }
    let rules = binding.map(|binding| format!("{policy}/{binding}")).into_iter().collect();
    Some(Answer::Refused(Named {
        enforcer: Enforcer::ValidatingAdmissionPolicy,
        webhook: None,
        policies: vec![policy.to_owned()],
        rules,
        name,
    }))
}

/// `RESOURCE "NAME" is forbidden: REASON` or `RESOURCE is forbidden: REASON`.
fn forbidden(message: &str) -> Option<(Option<String>, &str)> {
    let resource =
        |byte: char| byte.is_ascii_lowercase() || byte.is_ascii_digit() || ".-/".contains(byte);
    let rest = message.trim_start_matches(resource);
    if rest.len() == message.len() {
        return None;
    }
    if let Some(reason) = rest.strip_prefix(" is forbidden: ") {
        return Some((None, reason));
    }
    let (name, rest) = quoted(rest.strip_prefix(' ')?)?;
    let reason = rest.strip_prefix(" is forbidden: ")?;
    Some((Some(name).filter(|name| !name.is_empty()), reason))
}

/// A text quoted as Go's `%q` does, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut plain = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((plain, inner.get(at + 1..)?)),
            '\\' => plain.push(characters.next()?.1),
            other => plain.push(other),
        }
    }
    None
}

/// The checks of a Pod Security answer: `seccompProfile (pod or …), hostPorts (…)`.
fn checks(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut check = String::new();
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => found.push(std::mem::take(&mut check).trim().to_owned()),
            other if depth == 0 => check.push(other),
            _ => {}
        }
    }
    found.push(check.trim().to_owned());
    found.retain(|check| !check.is_empty());
    sorted(found)
}

/// The policies and `POLICY/RULE`s that a webhook's own words name, as far as its way of writing
/// is known.
pub fn policies_of(enforcer: Enforcer, words: &str) -> (Vec<String>, Vec<String>) {
    match enforcer {
        Enforcer::Gatekeeper => (gatekeeper(words), Vec::new()),
        Enforcer::Kyverno => by_rule(words),
        Enforcer::Proofstream => ours(words),
        _ => (Vec::new(), Vec::new()),
    }
}

/// After a first line: `  [NAMESPACE/]POLICY/RULE: message`, a line each; what is indented further
/// explains.
fn ours(words: &str) -> (Vec<String>, Vec<String>) {
    let rule = |line: &str| {
        let (rule, _) = line.strip_prefix("  ")?.split_once(": ")?;
        Some(rule.to_owned()).filter(|rule| is_name(rule) && rule.contains('/'))
    };
    let rules = sorted(words.lines().skip(1).filter_map(rule).collect());
    let policy = |rule: &String| rule.rsplit_once('/').map(|(policy, _)| policy.to_owned());
    (sorted(rules.iter().filter_map(policy).collect()), rules)
}

/// `[CONSTRAINT] message`, a line each.
fn gatekeeper(words: &str) -> Vec<String> {
    let name = |line: &str| {
        let (name, _) = line.strip_prefix('[')?.split_once("] ")?;
        Some(name.to_owned()).filter(|name| is_name(name))
    };
    sorted(words.lines().filter_map(name).collect())
}

/// Policies each with its rules, indented, under a line of their own, after a first line:
/// `POLICY:` and `  RULE: message`; or `Policy NAME failed: message`.
fn by_rule(words: &str) -> (Vec<String>, Vec<String>) {
    let mut policies = Vec::new();
    let mut rules = Vec::new();
    let mut lines = words.trim_start().lines();
    let first = lines.next().unwrap_or_default();
    if let Some(rest) = first.strip_prefix("Policy ")
        && let Some((name, _)) = rest.split_once([' ', ':'])
        && is_name(name)
    {
        return (vec![name.to_owned()], Vec::new());
    }
    let mut policy: Option<&str> = None;
    for line in lines {
        if let Some(name) = line.strip_suffix(':').filter(|name| is_name(name)) {
            policies.push(name.to_owned());
            policy = Some(name);
        } else if let (Some(policy), Some(rule)) = (policy, line.strip_prefix("  "))
            && let Some((rule, _)) = rule.split_once(": ")
            && is_name(rule)
        {
            rules.push(format!("{policy}/{rule}"));
        }
    }
    (sorted(policies), sorted(rules))
}

/// The name of an object of the cluster, perhaps with its namespace before it.
fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    !text.is_empty() && text.len() <= 253 && text.bytes().all(good)
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names.truncate(MOST);
    names
}
