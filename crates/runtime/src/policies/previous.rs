//! What the ledger says of policies as we start: what was recorded last of each, and the last text of each
//! that could be used.

use std::collections::BTreeMap;
use std::sync::Arc;

use proofstream_model::{PolicyBody, PolicyState};
use serde_json::Value;

use super::{Origin, PolicyKey, PolicyText, Recorded, Usable, check};

/// What an earlier run recorded, as the projection has it.
#[derive(Debug, Clone, Default)]
pub struct Previous {
    /// The last record of each policy.
    pub last: Vec<PolicyBody>,
    /// The last record of each policy that says that it was in force.
    pub in_force: Vec<PolicyBody>,
}

/// Texts that were in force, by policy and place, until every place has been read once.
#[derive(Debug, Default)]
pub(super) struct Remembered(BTreeMap<(PolicyKey, String), String>);

// === impl Previous ===

impl Previous {
    /// So that what vanished while nothing ran is recorded too.
    pub(super) fn recorded(&self) -> BTreeMap<PolicyKey, Recorded> {
        let known =
            |body: &&PolicyBody| matches!(body.state, PolicyState::Active | PolicyState::Broken);
        self.last.iter().filter(known).map(|body| (key(body), recorded(body))).collect()
    }

    /// So that an edit that broke a policy does not switch it off at the next start.
    pub(super) fn remembered(self) -> Remembered {
        let texts = self.in_force.into_iter().filter_map(|mut body| {
            let text = body.text.take()?;
            Some(((key(&body), body.origin), text))
        });
        Remembered(texts.collect())
    }
}

// === impl Remembered ===

impl Remembered {
    /// The last usable text of a policy whose text in the same place cannot be used now. None of an
    /// exception: one that cannot be read exempts nothing.
    pub(super) fn usable(&self, key: &PolicyKey, origin: &Origin) -> Option<Usable> {
        let document = self.document(key, origin)?;
        let said = check::read(&document).ok()?;
        Some(Usable { text: Arc::new(PolicyText::of(document)), said })
    }

    /// The same, before it is read: a constraint is read with its template.
    pub(super) fn document(&self, key: &PolicyKey, origin: &Origin) -> Option<Value> {
        let text = self.0.get(&(key.clone(), origin.to_string()))?;
        serde_json::from_str(text).ok().filter(|_| !key.is_exception())
    }

    /// The policies that stood in a place.
    pub(super) fn at(&self, origin: &Origin) -> Vec<PolicyKey> {
        let place = origin.to_string();
        let there = self.0.keys().filter(|(_, origin)| *origin == place);
        there.map(|(key, _)| key.clone()).collect()
    }

    /// From now on this process knows for itself what was in force.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

fn key(body: &PolicyBody) -> PolicyKey {
    let (namespace, name) = match body.name.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
        None => (None, body.name.clone()),
    };
    PolicyKey { kind: body.kind.clone(), namespace, name }
}

fn recorded(body: &PolicyBody) -> Recorded {
    Recorded { state: body.state, sha256: body.sha256.clone(), origin: body.origin.clone() }
}
