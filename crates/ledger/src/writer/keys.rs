//! The keys: the log's, the one that is about to follow it, and the one that signs exports.
//!
//! Each is a PKCS#8 PEM file in the private storage. Whoever can read them can sign in this ledger's
//! name; what a checkpoint that has left the machine commits to cannot be changed even so.

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};

use super::error::OpenError;
use super::options::Random;
use crate::checkpoint;
use crate::note::{Signer, VerifierKey};
use crate::storage::Storage;

/// The log's key.
pub(super) const LOG_PATH: &str = "keys/log.key";
/// The key that a `key` record names as the next one, until the checkpoint that both sign is out.
pub(super) const NEXT_PATH: &str = "keys/log-next.key";
/// The key that signs bundles.
pub(super) const EXPORT_PATH: &str = "keys/export.key";
/// The public keys of the log.
pub(super) const PUBLIC_PATH: &str = "log.pub";

/// The log's keys as they stand.
pub(super) struct LogKeys {
    pub(super) origin: String,
    /// All public ones, oldest first, as `log.pub` has them.
    pub(super) public: Vec<VerifierKey>,
    pub(super) current: Signer,
    pub(super) next: Option<Signer>,
}

/// Reads the export key, or makes one.
pub(super) fn export_key(
    private: &dyn Storage,
    random: &dyn Random,
) -> Result<SigningKey, OpenError> {
    if let Some(key) = read(private, EXPORT_PATH)? {
        return Ok(key);
    }
    let key = generate(random).map_err(OpenError::Random)?;
    write(private, EXPORT_PATH, &key).map_err(|source| OpenError::storage(EXPORT_PATH, source))?;
    Ok(key)
}

/// Makes a key.
pub(super) fn generate(random: &dyn Random) -> std::io::Result<SigningKey> {
    let mut seed = [0; 32];
    random.fill(&mut seed)?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Keeps a key, whole and durable.
pub(super) fn write(private: &dyn Storage, path: &str, key: &SigningKey) -> std::io::Result<()> {
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(std::io::Error::other)?;
    private.replace(path, pem.as_bytes())
}

/// Reads a key, if it is there.
pub(super) fn read(private: &dyn Storage, path: &str) -> Result<Option<SigningKey>, OpenError> {
    let bytes = private.read(path).map_err(|source| OpenError::storage(path, source))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|error| OpenError::damaged(path, error))?;
    SigningKey::from_pkcs8_pem(text).map(Some).map_err(|error| OpenError::damaged(path, error))
}

/// The log's public keys, oldest first; none where there is no log.
pub(super) fn read_public(ledger: &dyn Storage) -> Result<Vec<VerifierKey>, OpenError> {
    let bytes =
        ledger.read(PUBLIC_PATH).map_err(|source| OpenError::storage(PUBLIC_PATH, source))?;
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    let text =
        std::str::from_utf8(&bytes).map_err(|error| OpenError::damaged(PUBLIC_PATH, error))?;
    let keys =
        VerifierKey::parse_lines(text).map_err(|error| OpenError::damaged(PUBLIC_PATH, error))?;
    if keys.is_empty() {
        return Err(OpenError::damaged(PUBLIC_PATH, "it holds no key"));
    }
    Ok(keys)
}

impl LogKeys {
    /// Reads the keys of the log that is there, or makes those of a new one.
    pub(super) fn open(
        cluster: &str,
        ledger: &dyn Storage,
        private: &dyn Storage,
        random: &dyn Random,
    ) -> Result<Self, OpenError> {
        let mut public = read_public(ledger)?;
        let key = match (read(private, LOG_PATH)?, public.first()) {
            (Some(key), _) => key,
            (None, Some(first)) => return Err(key_error(LOG_PATH, first.name())),
            (None, None) => {
                let key = generate(random).map_err(OpenError::Random)?;
                write(private, LOG_PATH, &key)
                    .map_err(|source| OpenError::storage(LOG_PATH, source))?;
                key
            }
        };
        let origin = match public.first() {
            Some(first) => {
                let expected = checkpoint::origin(cluster, first.public_key());
                if first.name() != expected {
                    let (found, cluster) = (first.name().to_owned(), cluster.to_owned());
                    return Err(OpenError::OtherCluster { found, cluster });
                }
                expected
            }
            None => checkpoint::origin(cluster, key.verifying_key().as_bytes()),
        };
        let current = signer(&origin, &key)?;
        let next = read(private, NEXT_PATH)?.map(|next| signer(&origin, &next)).transpose()?;
        match public.last() {
            None => {
                let line = format!("{}\n", current.verifier());
                ledger
                    .replace(PUBLIC_PATH, line.as_bytes())
                    .map_err(|source| OpenError::storage(PUBLIC_PATH, source))?;
                public.push(current.verifier().clone());
            }
            Some(last) => {
                let is_last = |signer: &Signer| signer.verifier() == last;
                if !is_last(&current) && !next.as_ref().is_some_and(is_last) {
                    return Err(key_error(LOG_PATH, &origin));
                }
            }
        }
        Ok(Self { origin, public, current, next })
    }

    /// The lines of `log.pub`, the next key's among them where it is to be published.
    pub(super) fn public_lines(&self, with_next: bool) -> String {
        let next = self.next.as_ref().map(Signer::verifier);
        let next = next.filter(|key| with_next && !self.public.contains(key));
        let mut lines = String::new();
        for key in self.public.iter().chain(next) {
            lines.push_str(&key.to_string());
            lines.push('\n');
        }
        lines
    }

    /// Whether this is the public key of the next log key.
    pub(super) fn is_next(&self, public_key: &str) -> bool {
        self.next.as_ref().is_some_and(|next| base64(next.verifier().public_key()) == public_key)
    }

    /// Keeps the key that is to be the next one.
    pub(super) fn announce(
        &mut self,
        private: &dyn Storage,
        key: &SigningKey,
    ) -> Result<VerifierKey, OpenError> {
        let next = signer(&self.origin, key)?;
        let public = next.verifier().clone();
        write(private, NEXT_PATH, key).map_err(|source| OpenError::storage(NEXT_PATH, source))?;
        self.next = Some(next);
        Ok(public)
    }

    /// Forgets a next key that no record names.
    pub(super) fn withdraw(&mut self, private: &dyn Storage) -> Result<(), OpenError> {
        self.next = None;
        private.remove(NEXT_PATH).map_err(|source| OpenError::storage(NEXT_PATH, source))
    }

    /// The checkpoint that both keys sign is out: the next key is the log's key from here on. May be
    /// called again after it failed.
    pub(super) fn finish_change(&mut self, private: &dyn Storage) -> Result<(), OpenError> {
        let Some(key) = read(private, NEXT_PATH)? else { return Ok(()) };
        write(private, LOG_PATH, &key).map_err(|source| OpenError::storage(LOG_PATH, source))?;
        private.remove(NEXT_PATH).map_err(|source| OpenError::storage(NEXT_PATH, source))?;
        self.current = signer(&self.origin, &key)?;
        self.next = None;
        if !self.public.contains(self.current.verifier()) {
            self.public.push(self.current.verifier().clone());
        }
        Ok(())
    }
}

/// Standard base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(super) fn signer(origin: &str, key: &SigningKey) -> Result<Signer, OpenError> {
    Signer::new(origin, &key.to_bytes()).map_err(|error| OpenError::damaged(LOG_PATH, error))
}

fn key_error(path: &str, origin: &str) -> OpenError {
    OpenError::Key { path: path.to_owned(), origin: origin.to_owned() }
}
