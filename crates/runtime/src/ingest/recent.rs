//! A bounded memory of what was written lately.

use std::collections::{HashSet, VecDeque};

use proofstream_model::EventBody;
use sha2::{Digest as _, Sha256};

/// Half a SHA-256: enough against chance and against whoever could write audit events at all.
pub(super) type Key = [u8; 16];

/// The last keys that were put in.
#[derive(Debug)]
pub(super) struct Recent {
    keys: HashSet<Key>,
    order: VecDeque<Key>,
    most: usize,
}

// === impl Recent ===

impl Recent {
    pub(super) fn new(most: usize) -> Self {
        Self { keys: HashSet::new(), order: VecDeque::new(), most }
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    pub(super) fn insert(&mut self, key: Key) {
        if self.keys.insert(key) {
            self.order.push_back(key);
        }
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.keys.remove(&oldest);
            }
        }
    }
}

/// What makes a block the same one over both transports.
pub(super) fn block_key(host: &str, sha256: &str) -> Key {
    key(&[host.as_bytes(), sha256.as_bytes()])
}

/// What makes an event of a webhook one that it sent before: the very same text.
pub(super) fn event_key(host: &str, body: &EventBody) -> Key {
    let raw = body.raw.as_deref().or(body.raw_b64.as_deref()).unwrap_or_default();
    key(&[host.as_bytes(), raw.as_bytes()])
}

fn key(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_only() {
        let mut recent = Recent::new(2);
        let keys: Vec<Key> = ["a", "b", "c"].iter().map(|text| block_key("h", text)).collect();
        for key in &keys {
            recent.insert(*key);
        }
        recent.insert(keys[2]);
        let held: Vec<bool> = keys.iter().map(|key| recent.contains(key)).collect();
        assert_eq!(held, [false, true, true]);
        assert_ne!(block_key("h1", "x"), block_key("h", "1x"));
    }
}
