//! What `GlobalContextEntry`s hold: lists of objects that a watch keeps, and answers to calls that are
//! made again and again.
//!
//! This is the one place where whole objects are kept: an entry asks for them. Each entry is bounded,
//! and one that would grow past its bound is an error for whoever asks, not a part of the truth.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Client;
use proofstream_observe::cluster::{Seen, watch_in};
use proofstream_policy::{Answer, GlobalEntry, GlobalSource, Lookup};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::admission::{ApiServer, LookupResolver};
use crate::policies::{KnownGlobal, PolicyStore};
use crate::webhooks::Catalogue;

/// The most that one entry holds, as JSON.
const ENTRY_BYTES: usize = 32 << 20;
/// How long whoever asks waits for an entry that has not been read yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long changes are gathered before they are shown: each showing copies the list.
const SETTLE: Duration = Duration::from_millis(50);
/// Longer than a watch lives without a word.
const FOREVER: Duration = Duration::from_hours(24);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(30);
/// Between an attempt that failed and the next.
const AGAIN: Duration = Duration::from_secs(1);

/// The entries that are in force, and what they hold.
pub struct Globals {
    client: Client,
    held: Mutex<BTreeMap<String, Held>>,
}

struct Held {
    sha256: String,
    entry: Arc<GlobalEntry>,
    state: watch::Receiver<State>,
    task: AbortHandle,
}

/// Ends with the task that keeps it.
impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Clone)]
enum State {
    Unread,
    Holds(Arc<Content>),
    Failed(Arc<str>),
}

/// What was fetched, and its projections as they are asked for.
#[derive(Debug)]
struct Content {
    data: Value,
    projected: Mutex<HashMap<String, Answer>>,
}

/// The objects of a watch.
#[derive(Debug, Default)]
struct Objects {
    by_uid: BTreeMap<String, (Value, usize)>,
    bytes: usize,
}

// === impl Globals ===

impl Globals {
    /// None yet; `client` asks for them.
    pub fn new(client: Client) -> Arc<Self> {
        Arc::new(Self { client, held: Mutex::default() })
    }

    /// What an entry holds, or one of its projections.
    pub async fn answer(&self, name: &str, projection: &str) -> Answer {
        let found = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.get(name).map(|held| (Arc::clone(&held.entry), held.state.clone()))
        };
        let Some((entry, mut state)) = found else {
            return Err(format!("there is no GlobalContextEntry `{name}`"));
        };
        let read = state.wait_for(|state| !matches!(state, State::Unread));
        let state = match timeout(PATIENCE, read).await {
            Ok(Ok(state)) => state.clone(),
            _ => State::Unread,
        };
        match state {
            State::Holds(content) => content.project(&entry, projection),
            State::Failed(reason) => Err(format!("GlobalContextEntry `{name}`: {reason}")),
            State::Unread => Err(format!("GlobalContextEntry `{name}` is not read yet")),
        }
    }

    /// Keeps the entries that are in force, for as long as the task lives.
    pub async fn follow(self: Arc<Self>, policies: Arc<PolicyStore>) {
        let mut changes = policies.subscribe();
        loop {
            self.take(&policies.current().globals);
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Begins what is new or changed, and ends what is gone.
    fn take(&self, wanted: &[KnownGlobal]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|name, one| {
            wanted.iter().any(|it| it.entry.name() == name && it.sha256 == one.sha256)
        });
        for KnownGlobal { sha256, entry } in wanted {
            if held.contains_key(entry.name()) {
                continue;
            }
            let (sender, state) = watch::channel(State::Unread);
            let (client, kept) = (self.client.clone(), Arc::clone(entry));
            let task = tokio::spawn(async move { keep(client, &kept, &sender).await });
            let sha256 = sha256.clone();
            let one = Held { sha256, entry: Arc::clone(entry), state, task: task.abort_handle() };
            held.insert(entry.name().to_owned(), one);
        }
    }
}

// === impl Content ===

impl Content {
    fn state(data: Value) -> State {
        State::Holds(Arc::new(Self { data, projected: Mutex::default() }))
    }

    fn project(&self, entry: &GlobalEntry, projection: &str) -> Answer {
        let mut projected = self.projected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = projected.get(projection) {
            return answer.clone();
        }
        let answer = entry.project(&self.data, projection, jiff::Timestamp::now());
        // INVARIANT: as many as the entry has projections; names that it does not know are not kept.
        if answer.is_ok() && !projection.is_empty() {
            projected.insert(projection.to_owned(), answer.clone());
        }
        answer
    }
}

// === impl Objects ===

impl Objects {
    fn put(&mut self, object: Value) {
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        let uid = uid.to_owned();
        let bytes = object.to_string().len();
        self.remove(&uid);
        self.bytes = self.bytes.saturating_add(bytes);
        self.by_uid.insert(uid, (object, bytes));
    }

    fn remove(&mut self, uid: &str) {
        if let Some((_, bytes)) = self.by_uid.remove(uid) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    fn state(&self) -> State {
        let objects = self.by_uid.values().map(|(object, _)| object.clone());
        Content::state(Value::Array(objects.collect()))
    }
}

async fn keep(client: Client, entry: &GlobalEntry, state: &watch::Sender<State>) {
    match entry.source() {
        GlobalSource::Resource { group, version, resource, namespace } => loop {
            let reason = match kind_of(&client, group, version, resource).await {
                Ok(kind) => objects(&client, &kind, namespace.as_deref(), state).await,
                Err(reason) => reason,
            };
            tracing::warn!(entry = entry.name(), reason, "a global entry cannot be kept");
            state.send_replace(State::Failed(reason.into()));
            tokio::time::sleep(AGAIN).await;
        },
        GlobalSource::Call { lookup, refresh, retries } => loop {
            let asker = ApiServer::new(client.clone());
            match ask(&asker, lookup, *retries).await {
                Ok(data) => {
                    state.send_replace(Content::state(data));
                }
                // What was known may be wrong by now: whoever asks is told, and not lulled.
                Err(reason) => {
                    tracing::warn!(entry = entry.name(), reason, "a global entry cannot be kept");
                    state.send_replace(State::Failed(reason.into()));
                }
            }
            tokio::time::sleep(*refresh).await;
        },
    }
}

async fn ask(asker: &ApiServer, lookup: &Lookup, retries: u32) -> Answer {
    let mut tried = 0;
    loop {
        let answer = match timeout(CALL, asker.resolve(lookup)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", CALL.as_secs())),
        };
        if answer.is_ok() || tried >= retries {
            return answer;
        }
        tried += 1;
        tokio::time::sleep(AGAIN).await;
    }
}

async fn kind_of(
    client: &Client,
    group: &str,
    version: &str,
    resource: &str,
) -> Result<kube::api::ApiResource, String> {
    let catalogue = Catalogue::discover(client).await.map_err(|error| error.to_string())?;
    catalogue.api_resource(group, version, resource).ok_or_else(|| {
        format!("the API server serves no `{resource}` of `{group}` in version `{version}`")
    })
}

/// Keeps the objects of one kind; ends with the reason why it cannot.
async fn objects(
    client: &Client,
    kind: &kube::api::ApiResource,
    namespace: Option<&str>,
    state: &watch::Sender<State>,
) -> String {
    let mut events = watch_in(client.clone(), kind, namespace).boxed();
    let (mut held, mut listing) = (Objects::default(), Objects::default());
    let mut is_listing = true;
    // Since when what is shown is behind what is held.
    let mut behind: Option<Instant> = None;
    loop {
        if behind.is_some_and(|since| since.elapsed() >= SETTLE) {
            state.send_replace(held.state());
            behind = None;
        }
        let due = behind.map_or(FOREVER, |since| SETTLE.saturating_sub(since.elapsed()));
        let event = match timeout(due, events.next()).await {
            Ok(Some(event)) => event,
            Ok(None) => return "the watch ended".to_owned(),
            Err(_) => continue,
        };
        match event {
            Ok(Seen::Start) => (listing, is_listing) = (Objects::default(), true),
            Ok(Seen::Object(object)) if is_listing => listing.put(object),
            Ok(Seen::Object(object)) => held.put(object),
            Ok(Seen::Gone { uid }) => held.remove(&uid),
            Ok(Seen::Listed) => (held, is_listing) = (std::mem::take(&mut listing), false),
            Err(interrupted) => {
                tracing::debug!(cause = %interrupted.cause, "{interrupted}");
                continue;
            }
        }
        if held.bytes.max(listing.bytes) > ENTRY_BYTES {
            return format!("it holds more than {} MiB", ENTRY_BYTES >> 20);
        }
        if !is_listing {
            behind = behind.or_else(|| Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_counted_by_what_they_weigh() {
        let mut objects = Objects::default();
        let object = |data: &str| json!({"metadata": {"uid": "u"}, "data": data});
        objects.put(object("long enough"));
        objects.put(object(""));
        assert_eq!(objects.bytes, object("").to_string().len());
        objects.remove("u");
        assert_eq!((objects.bytes, objects.by_uid.len()), (0, 0));
    }
}
