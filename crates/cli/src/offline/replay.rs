//! Replays policies over the requests that a ledger keeps.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use jiff::Timestamp;
use proofstream_ledger::reader::Reader;
use proofstream_ledger::storage::Storage;
use proofstream_ledger::tree::Hash;
use proofstream_model::{Record, RequestsBody};
use proofstream_policy::{
    Environment, Evaluation, PolicySet, Request, Review, RuleResponse, Status,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exit::{ExitCode, Failure};

/// Most owners that are named for a rule; what others there are is counted.
const MAX_OWNERS: usize = 1000;

/// What a replay found.
#[derive(Debug, Default)]
pub struct Report {
    /// Counts of requests.
    pub requests: Requests,
    /// What each rule would have done, by policy and rule.
    pub rules: BTreeMap<(String, String), RuleReport>,
    /// When the last request that could be read was judged.
    pub until: Option<Timestamp>,
    /// Until when the ledger is sealed: what came later could not be read.
    pub sealed_until: Option<Timestamp>,
}

/// Counts of requests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// Requests that were judged again, dry runs and repeated calls apart.
    pub replayed: u64,
    /// Dry runs, which are not counted as blocked.
    pub dry_runs: u64,
    /// Calls for a request that was seen before.
    pub repeated: u64,
    /// Requests that were not kept when they came.
    pub missed: u64,
    /// Requests whose payload was erased since, or cannot be read.
    pub gone: u64,
}

/// What a rule would have done.
#[derive(Debug, Default)]
pub struct RuleReport {
    /// Requests that the rule was about.
    pub matched: u64,
    /// Requests that it would have blocked.
    pub would_block: u64,
    /// Requests that it could not judge.
    pub not_judged: u64,
    /// Why it could not judge the first of them.
    pub why_not: Option<String>,
    /// Who was behind what it would have blocked: (namespace, owner) to a count.
    pub owners: BTreeMap<(String, String), u64>,
    /// Owners that were too many to be named.
    pub further_owners: bool,
    /// The first that it would have blocked.
    pub first: Option<First>,
}

/// A request that would have been blocked.
#[derive(Debug, Clone, Serialize)]
pub struct First {
    /// When the first request of its payload was judged: it came then or up to a minute later.
    pub time: String,
    /// The decision that was made of it, `SOURCE EPOCH NUMBER`.
    pub decision: String,
    /// `CREATE`, `UPDATE`, …
    pub operation: String,
    /// The object, as in `Pod payments/api`.
    pub subject: String,
    /// Who asked.
    pub user: String,
    /// What the rule says.
    pub message: String,
}

/// A line of the payload.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    decision: String,
    #[serde(default)]
    namespace_labels: Option<BTreeMap<String, String>>,
    review: Review,
}

/// Judges the requests of a period with policies.
pub struct Replay<'p> {
    policies: &'p PolicySet,
    from: Timestamp,
    to: Timestamp,
    /// Uids of requests, as hashes: a million of them take a few megabytes.
    seen: HashSet<u64>,
    report: Report,
}

// === impl Replay ===

impl<'p> Replay<'p> {
    /// A replay over the requests from `from` (inclusive) to `to` (exclusive).
    pub fn new(policies: &'p PolicySet, from: Timestamp, to: Timestamp) -> Self {
        Self { policies, from, to, seen: HashSet::new(), report: Report::default() }
    }

    /// Goes through what a ledger has sealed; `step` is called after each payload.
    ///
    /// # Errors
    /// The ledger cannot be read, or is not what its checkpoint says.
    pub fn run(
        mut self,
        storage: Arc<dyn Storage>,
        step: &mut dyn FnMut(),
    ) -> Result<Report, Failure> {
        let fault = |error: &dyn std::fmt::Display| unreadable(&error.to_string());
        let reader = Reader::open(storage).map_err(|error| fault(&error))?;
        let Some(reader) = reader else {
            return Err(unreadable("nothing is sealed in it yet"));
        };
        for index in 0..reader.size() {
            let manifest = reader.manifest(index).map_err(|error| fault(&error))?;
            let sealed = manifest.time_to.to_string().parse().ok();
            self.report.sealed_until = self.report.sealed_until.max(sealed);
            if !manifest.kinds.contains_key("requests") {
                continue;
            }
            for line in reader.lines(index).map_err(|error| fault(&error))? {
                let record = Record::parse(&line).map_err(|error| fault(&error))?;
                if record.kind.as_str() != "requests" {
                    continue;
                }
                let body: RequestsBody =
                    serde_json::from_value(record.body).map_err(|error| fault(&error))?;
                self.payload(&reader, &body)?;
                step();
            }
        }
        Ok(self.report)
    }

    fn payload(&mut self, reader: &Reader, body: &RequestsBody) -> Result<(), Failure> {
        let (from, to) = (moment(&body.from.to_string())?, moment(&body.to.to_string())?);
        if to < self.from || from >= self.to {
            return Ok(());
        }
        self.report.until = self.report.until.max(Some(to));
        self.report.requests.missed += body.missed;
        let name = body.payload.get("blob").and_then(Value::as_str).unwrap_or_default();
        let hash = Hash::from_hex(name).ok_or_else(|| unreadable("a payload has no name"))?;
        // What is gone was erased on purpose, and stands so in the ledger.
        let Some(bytes) = reader.blob(&hash).map_err(|error| unreadable(&error.to_string()))?
        else {
            self.report.requests.gone += body.count;
            return Ok(());
        };
        let decoder = zstd::stream::read::Decoder::new(bytes.as_slice())
            .map_err(|error| unreadable(&error.to_string()))?;
        let mut lines = BufReader::new(decoder);
        let mut text = Vec::new();
        let mut environment = Environment::at(from);
        environment.offline = true;
        environment.parameters = Some(json!([]));
        loop {
            text.clear();
            let read = lines.read_until(b'\n', &mut text);
            if read.map_err(|error| unreadable(&error.to_string()))? == 0 {
                return Ok(());
            }
            match serde_json::from_slice::<Line>(&text) {
                Ok(line) => self.judge(line, &environment, from),
                Err(_) => self.report.requests.gone += 1,
            }
        }
    }

    fn judge(&mut self, line: Line, environment: &Environment, time: Timestamp) {
        let mut request = line.review.request;
        if request.dry_run {
            self.report.requests.dry_runs += 1;
            return;
        }
        // The API server asks once for each of our webhooks, and on deletions again.
        if !request.uid.is_empty() && !self.seen.insert(hash(&request.uid)) {
            self.report.requests.repeated += 1;
            return;
        }
        self.report.requests.replayed += 1;
        request.namespace_labels = line.namespace_labels;
        let responses = match self.policies.evaluate(&request, environment) {
            Evaluation::Done(responses) => responses,
            Evaluation::Needs(_) => Vec::new(),
        };
        for response in responses {
            let key = (response.policy.to_string(), response.rule.to_string());
            let rule = self.report.rules.entry(key).or_default();
            rule.take(&response, &request, &line.decision, time);
        }
    }
}

impl RuleReport {
    fn take(
        &mut self,
        response: &RuleResponse,
        request: &Request,
        decision: &str,
        time: Timestamp,
    ) {
        self.matched += 1;
        match response.status {
            Status::Fail => {}
            Status::Error | Status::NotSupported => {
                self.not_judged += 1;
                self.why_not.get_or_insert_with(|| response.message.clone());
                return;
            }
            Status::Pass | Status::Skip | Status::Warn => return,
        }
        self.would_block += 1;
        let namespace = request.namespace.clone().unwrap_or_default();
        let owner = (namespace, request.owner());
        if self.owners.len() < MAX_OWNERS || self.owners.contains_key(&owner) {
            *self.owners.entry(owner).or_default() += 1;
        } else {
            self.further_owners = true;
        }
        self.first.get_or_insert_with(|| {
            let resource = &response.resource;
            let place = resource.namespace.as_ref().map(|name| format!("{name}/"));
            let subject =
                format!("{} {}{}", resource.kind, place.unwrap_or_default(), resource.name);
            First {
                time: time.to_string(),
                decision: decision.to_owned(),
                operation: request.operation.as_str().to_owned(),
                subject,
                user: request.user.as_ref().map(|user| user.username.clone()).unwrap_or_default(),
                message: response.message.clone(),
            }
        });
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn moment(text: &str) -> Result<Timestamp, Failure> {
    text.parse().map_err(|_| unreadable(&format!("`{text}` is no time")))
}

fn unreadable(message: &str) -> Failure {
    let message = format!("the ledger cannot be read: {message}");
    Failure { code: ExitCode::NotEvaluated, message, help: String::new() }
}
