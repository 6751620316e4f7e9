//! What must hold across the files of a catalog: no unknown, doubled, dangling, circular or
//! unsorted names.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use proofstream_model::{ControlId, Enforcer, Kind, RequirementId};

use crate::control::seconds;
use crate::framework::natural;
use crate::load::{Problem, RawCatalog, RawControl, RawFramework, RawMappings, Read};

/// Every fault, in no particular order.
pub(crate) fn check(raw: &RawCatalog) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut requirements: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for read in &raw.frameworks {
        framework(read, &mut problems);
        let ids = read.raw.requirements.iter().map(|entry| entry.id.as_str()).collect();
        if requirements.insert(&read.raw.id, ids).is_some() {
            let id = &read.raw.id;
            problems.push(read.problem(id, 0, format!("framework `{id}` stands here twice")));
        }
    }
    let controls: BTreeSet<&str> = raw.controls.iter().map(|read| read.raw.id.as_str()).collect();
    for read in &raw.controls {
        control(read, &controls, &mut problems);
    }
    for read in &raw.mappings {
        mappings(read, &requirements, &controls, raw, &mut problems);
    }
    unmapped(raw, &mut problems);
    aliases(raw, &requirements, &mut problems);
    circles(raw, &mut problems);
    problems
}

fn framework(read: &Read<RawFramework>, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    let mut before: Option<&str> = None;
    for entry in &read.raw.requirements {
        let id = entry.id.as_str();
        if format!("{}/{id}", read.raw.id).parse::<RequirementId>().is_err() {
            problems.push(read.problem(id, 0, format!("`{id}` is not an id")));
        }
        if !seen.insert(id) {
            problems.push(read.problem(id, 1, format!("`{id}` stands here twice")));
        } else if before.is_some_and(|before| {
            same_series(before, id) && natural(before, id) == Ordering::Greater
        }) {
            problems.push(read.problem(id, 0, format!("`{id}` is not sorted in")));
        }
        before = Some(id);
    }
}

/// Series (`CC`, `A`, `P`, …) follow each other as the framework has them; within one, ids ascend.
fn same_series(left: &str, right: &str) -> bool {
    let series = |id: &str| id.chars().take_while(char::is_ascii_alphabetic).collect::<String>();
    series(left) == series(right)
}

fn control(read: &Read<RawControl>, known: &BTreeSet<&str>, problems: &mut Vec<Problem>) {
    let raw = &read.raw;
    if let Err(error) = raw.id.parse::<ControlId>() {
        problems.push(read.problem(&raw.id, 0, error.to_string()));
    }
    if seconds(&raw.freshness).is_none() {
        let message = format!("`{}` is not a duration such as 10m or 24h", raw.freshness);
        problems.push(read.problem("freshness", 0, message));
    }
    for kind in &raw.records {
        if !Kind::ALL.iter().any(|known| known.word() == kind) {
            problems.push(read.problem(kind, 0, format!("`{kind}` is not a kind of record")));
        }
    }
    for enforcer in &raw.enforcers {
        let word = serde_json::Value::String(enforcer.clone());
        if serde_json::from_value::<Enforcer>(word).is_err() {
            problems.push(read.problem(enforcer, 0, format!("`{enforcer}` is not an enforcer")));
        }
    }
    for name in &raw.rests_on {
        if !known.contains(name.as_str()) {
            problems.push(read.problem(name, 0, format!("unknown control `{name}`")));
        }
    }
    sorted(read, "policies", &raw.policies, problems);
    sorted(read, "enforcers", &raw.enforcers, problems);
    sorted(read, "rests_on", &raw.rests_on, problems);
    let mut names = BTreeSet::new();
    for planned in raw.checks.iter().chain(&raw.probes) {
        if !names.insert(planned.name.as_str()) {
            let message = format!("`{}` stands here twice", planned.name);
            problems.push(read.problem(&planned.name, 1, message));
        }
    }
}

fn sorted(read: &Read<RawControl>, list: &str, names: &[String], problems: &mut Vec<Problem>) {
    for pair in names.windows(2) {
        if let [before, after] = pair {
            match before.cmp(after) {
                Ordering::Less => {}
                Ordering::Equal => {
                    let message = format!("`{after}` stands twice in `{list}`");
                    problems.push(read.problem(after, 1, message));
                }
                Ordering::Greater => {
                    let message = format!("`{after}` is not sorted into `{list}`");
                    problems.push(read.problem(after, 0, message));
                }
            }
        }
    }
}

fn mappings(
    read: &Read<RawMappings>,
    requirements: &BTreeMap<&str, BTreeSet<&str>>,
    controls: &BTreeSet<&str>,
    raw: &RawCatalog,
    problems: &mut Vec<Problem>,
) {
    let framework = read.raw.framework.as_str();
    let Some(known) = requirements.get(framework) else {
        problems.push(read.problem(framework, 0, format!("unknown framework `{framework}`")));
        return;
    };
    let order: Vec<&str> = raw
        .frameworks
        .iter()
        .filter(|read| read.raw.id == framework)
        .flat_map(|read| &read.raw.requirements)
        .map(|entry| entry.id.as_str())
        .collect();
    let mut last = None;
    // How often a control stood in this file so far: its place is found by counting.
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for mapping in &read.raw.mappings {
        let id = mapping.requirement.as_str();
        if !known.contains(id) {
            problems.push(read.problem(id, 0, format!("`{framework}` has no id `{id}`")));
        }
        let place = order.iter().position(|known| *known == id);
        match last.cmp(&place) {
            Ordering::Equal if place.is_some() => {
                problems.push(read.problem(id, 1, format!("`{id}` is mapped twice")));
            }
            Ordering::Greater if place.is_some() => {
                problems.push(read.problem(id, 0, format!("`{id}` is not sorted in")));
            }
            _ => {}
        }
        last = place.or(last);
        let mut before: Option<&str> = None;
        for part in &mapping.controls {
            let name = part.control.as_str();
            let nth = uses.entry(name).or_default();
            if !controls.contains(name) {
                problems.push(read.problem(name, *nth, format!("unknown control `{name}`")));
            }
            if before.is_some_and(|before| before >= name) {
                let message = format!("`{name}` is not sorted in, or doubled, under `{id}`");
                problems.push(read.problem(name, *nth, message));
            }
            *nth += 1;
            before = Some(name);
        }
    }
}

fn unmapped(raw: &RawCatalog, problems: &mut Vec<Problem>) {
    let used: BTreeSet<&str> = raw
        .mappings
        .iter()
        .flat_map(|read| &read.raw.mappings)
        .flat_map(|mapping| &mapping.controls)
        .map(|part| part.control.as_str())
        .collect();
    for read in &raw.controls {
        let id = &read.raw.id;
        if !used.contains(id.as_str()) {
            problems.push(read.problem(id, 0, format!("no requirement is mapped to `{id}`")));
        }
    }
}

fn aliases(
    raw: &RawCatalog,
    requirements: &BTreeMap<&str, BTreeSet<&str>>,
    problems: &mut Vec<Problem>,
) {
    for read in &raw.aliases {
        let mut seen = BTreeSet::new();
        for alias in &read.raw.aliases {
            let id = alias.requirement.as_str();
            let exists = id
                .split_once('/')
                .and_then(|(framework, id)| Some(requirements.get(framework)?.contains(id)));
            if exists != Some(true) {
                problems.push(read.problem(id, 0, format!("unknown requirement `{id}`")));
            }
            if !seen.insert(alias.alias.to_ascii_uppercase()) {
                let message = format!("`{}` stands here twice", alias.alias);
                problems.push(read.problem(&alias.alias, 1, message));
            }
        }
    }
}

/// Controls that rest on each other in a circle.
fn circles(raw: &RawCatalog, problems: &mut Vec<Problem>) {
    let edges: BTreeMap<&str, &[String]> = raw
        .controls
        .iter()
        .map(|read| (read.raw.id.as_str(), read.raw.rests_on.as_slice()))
        .collect();
    for read in &raw.controls {
        let start = read.raw.id.as_str();
        let mut reached = BTreeSet::new();
        let mut open: Vec<&str> = vec![start];
        while let Some(id) = open.pop() {
            for next in edges.get(id).copied().unwrap_or_default() {
                if reached.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        if reached.contains(start) {
            let message = format!("`{start}` rests on itself");
            problems.push(read.problem("rests_on", 0, message));
        }
    }
}
