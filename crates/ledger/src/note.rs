//! C2SP signed notes: Ed25519 signers and verifier keys, and timestamped cosignatures of witnesses.
//!
//! <https://c2sp.org/signed-note>, <https://c2sp.org/tlog-cosignature>. A note is a text that ends
//! in a newline, an empty line, and signature lines `— NAME BASE64(key id ‖ signature)`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature as DalekSignature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// The largest note that is read, in bytes.
pub const MAX_NOTE: usize = 1024 * 1024;
/// The most signature lines that are read.
pub const MAX_SIGNATURES: usize = 100;

/// Bytes that are no note, no key or no valid signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note's shape is wrong.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// A verifier key line's shape is wrong.
    #[error("not a verifier key: {reason}: `{line}`")]
    Key {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A key name that is empty or has white space or `+`.
    #[error("not a key name: `{0}`")]
    Name(String),
    /// There is no signature by this key.
    #[error("no signature by key `{name}+{id}`")]
    Unsigned {
        /// The key's name.
        name: String,
        /// The key's id, hexadecimal.
        id: String,
    },
    /// There is a signature by this key and it does not hold.
    #[error("the signature by key `{name}+{id}` does not hold")]
    BadSignature {
        /// The key's name.
        name: String,
        /// The key's id, hexadecimal.
        id: String,
    },
}

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 0x01: the note's text.
    Ed25519,
    /// 0x04: a timestamp and the checkpoint, as witnesses do.
    Cosignature,
}

impl Algorithm {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// A public key with its name, as `NAME+HASH+BASE64` lines write it.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    key: VerifyingKey,
}

impl VerifierKey {
    /// An Ed25519 key under a name.
    ///
    /// # Errors
    /// When the name is none, or the bytes are no key.
    pub fn new(name: &str, public_key: &[u8; 32]) -> Result<Self, NoteError> {
        Self::with_algorithm(name, Algorithm::Ed25519, public_key)
    }

    fn with_algorithm(
        name: &str,
        algorithm: Algorithm,
        public_key: &[u8; 32],
    ) -> Result<Self, NoteError> {
        if !valid_name(name) {
            return Err(NoteError::Name(name.to_owned()));
        }
        let key = VerifyingKey::from_bytes(public_key).map_err(|_| NoteError::Key {
            line: STANDARD.encode(public_key),
            reason: "not a point of the curve",
        })?;
        Ok(Self { name: name.to_owned(), algorithm, key })
    }

    /// Reads a verifier key line, without its newline.
    ///
    /// # Errors
    /// When the shape, the algorithm, the key or the hash is wrong.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let bad = |reason| NoteError::Key { line: line.chars().take(300).collect(), reason };
        let mut parts = line.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("not NAME+HASH+BASE64"));
        };
        let key = STANDARD.decode(key).map_err(|_| bad("not canonical base64"))?;
        let (algorithm, key) = match key.split_first() {
            Some((1, key)) => (Algorithm::Ed25519, key),
            Some((4, key)) => (Algorithm::Cosignature, key),
            _ => return Err(bad("an algorithm that is not known here")),
        };
        let key = key.try_into().map_err(|_| bad("not 32 bytes"))?;
        let parsed = Self::with_algorithm(name, algorithm, key)?;
        if hex::encode(parsed.id()) != id {
            return Err(bad("the hash does not belong to this name and key"));
        }
        Ok(parsed)
    }

    /// Reads a file of verifier key lines; empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// At the first line that is no key.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, NoteError> {
        text.lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(Self::parse)
            .collect()
    }

    /// The key's name: for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw public key.
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The key id: the first four bytes of SHA-256 over name, newline, algorithm and public key.
    pub fn id(&self) -> [u8; 4] {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update([b'\n', self.algorithm.byte()]);
        hasher.update(self.key.as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let [a, b, c, d, ..] = digest;
        [a, b, c, d]
    }

    fn unsigned(&self) -> NoteError {
        NoteError::Unsigned { name: self.name.clone(), id: hex::encode(self.id()) }
    }

    fn bad_signature(&self) -> NoteError {
        NoteError::BadSignature { name: self.name.clone(), id: hex::encode(self.id()) }
    }

    /// Checks an Ed25519 signature over bytes, strictly (no small-order keys, no malleability).
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        DalekSignature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.algorithm.byte()];
        key.extend_from_slice(self.key.as_bytes());
        write!(formatter, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A private Ed25519 key with its name.
pub struct Signer {
    key: SigningKey,
    verifier: VerifierKey,
}

impl Signer {
    /// A signer from its 32 secret bytes.
    ///
    /// # Errors
    /// When the name is none.
    pub fn new(name: &str, secret: &[u8; 32]) -> Result<Self, NoteError> {
        let key = SigningKey::from_bytes(secret);
        let verifier = VerifierKey::new(name, key.verifying_key().as_bytes())?;
        Ok(Self { key, verifier })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs bytes.
    pub fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// The signature line (with its newline) over a note's text.
    pub fn signature_line(&self, text: &str) -> String {
        let mut blob = self.verifier.id().to_vec();
        blob.extend_from_slice(&self.sign_bytes(text.as_bytes()));
        format!("\u{2014} {} {}\n", self.verifier.name, STANDARD.encode(blob))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who says they signed.
    pub name: String,
    /// The id of the key they say they used.
    pub id: [u8; 4],
    /// What follows the key id.
    pub bytes: Vec<u8>,
}

/// A text and its signatures, none of them checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text, which ends in a newline.
    pub text: String,
    /// The signature lines in their order.
    pub signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note; signatures by keys nobody knows are kept as they are.
    ///
    /// # Errors
    /// When the bytes are not a note.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let bad = NoteError::Malformed;
        if bytes.len() > MAX_NOTE {
            return Err(bad("longer than 1 MiB"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| bad("not UTF-8"))?;
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(bad("a control character"));
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or(bad("no empty line"))?;
        let lines = lines.strip_suffix('\n').ok_or(bad("no newline at the end"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(bad("more than 100 signatures"));
            }
            signatures
                .push(parse_signature(line).ok_or(bad("a signature line has another shape"))?);
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// Checks that this key signed the text.
    ///
    /// # Errors
    /// When it did not, or its signature does not hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        self.check(key, |signature| key.verifies(self.text.as_bytes(), signature))
    }

    /// Checks a witness's timestamped cosignature and gives its time, in seconds since 1970.
    ///
    /// # Errors
    /// When there is none by this key, or it does not hold.
    pub fn verify_cosignature(&self, key: &VerifierKey) -> Result<u64, NoteError> {
        let mut time = 0;
        self.check(key, |bytes| {
            let Some((stamp, signature)) = bytes.split_first_chunk::<8>() else { return false };
            time = u64::from_be_bytes(*stamp);
            key.verifies(
                format!("cosignature/v1\ntime {time}\n{}", self.text).as_bytes(),
                signature,
            )
        })?;
        Ok(time)
    }

    fn check(
        &self,
        key: &VerifierKey,
        mut holds: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), NoteError> {
        let id = key.id();
        let mut seen = false;
        for signature in &self.signatures {
            if signature.name == key.name && signature.id == id {
                seen = true;
                if !holds(&signature.bytes) {
                    return Err(key.bad_signature());
                }
            }
        }
        if seen { Ok(()) } else { Err(key.unsigned()) }
    }
}

/// Signs a text (which must end in a newline) into a note.
///
/// # Errors
/// When the text does not end in a newline or has an empty line's shape that a reader would reject.
pub fn sign(text: &str, signers: &[&Signer]) -> Result<Vec<u8>, NoteError> {
    let mut note = format!("{text}\n");
    for signer in signers {
        note.push_str(&signer.signature_line(text));
    }
    let bytes = note.into_bytes();
    if Note::parse(&bytes)?.text != text {
        return Err(NoteError::Malformed("the text does not end in one newline"));
    }
    Ok(bytes)
}

fn parse_signature(line: &str) -> Option<Signature> {
    let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let blob = STANDARD.decode(blob).ok()?;
    let (id, bytes) = blob.split_first_chunk::<4>()?;
    if !valid_name(name) || bytes.is_empty() {
        return None;
    }
    Some(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
}

fn valid_name(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(|character: char| character.is_whitespace() || character == '+')
}
