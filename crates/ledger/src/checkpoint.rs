//! C2SP checkpoints: the signed size and root of the outer tree.
//!
//! <https://c2sp.org/tlog-checkpoint>. The text is origin, size and root, one a line.

use crate::note::{self, Note, NoteError, Signer, VerifierKey};
use crate::tree::Hash;

/// Bytes that are no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it is wrong, or its signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text within is wrong.
    #[error("not a checkpoint: {reason}: `{line}`")]
    Malformed {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What a log commits to: how many entries it has and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many segments.
    pub size: u64,
    /// The outer tree's root.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Reads the text of a note. Extension lines, which C2SP allows, are signed and passed over.
    ///
    /// # Errors
    /// When a line is missing or has another shape.
    pub fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let bad = |line: &str, reason| CheckpointError::Malformed {
            line: line.chars().take(100).collect(),
            reason,
        };
        let body = text.strip_suffix('\n').ok_or_else(|| bad(text, "no newline at the end"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(bad(body, "fewer than three lines"));
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(bad(body, "an empty line"));
        }
        let number: u64 = size.parse().map_err(|_| bad(size, "the size is not a number"))?;
        if number.to_string() != size {
            return Err(bad(size, "the size is not in its shortest form"));
        }
        let root = Hash::from_base64(root)
            .ok_or_else(|| bad(root, "the root is not canonical base64 of 32 bytes"))?;
        Ok(Self { origin: origin.to_owned(), size: number, root })
    }

    /// Signs it with one key, or with two at a key change.
    ///
    /// # Errors
    /// When the origin would not make a note.
    pub fn sign(&self, signers: &[&Signer]) -> Result<Vec<u8>, CheckpointError> {
        Ok(note::sign(&self.text(), signers)?)
    }
}

/// A checkpoint with the note it came in; its signatures are not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads a checkpoint file.
    ///
    /// # Errors
    /// When it is no note or no checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse_text(&note.text)?, note })
    }

    /// What it says, whoever signed it.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note with all its signatures.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Checks that the key signed it and that its origin is the key's name.
    ///
    /// # Errors
    /// When either is not so.
    pub fn verify(&self, key: &VerifierKey) -> Result<&Checkpoint, CheckpointError> {
        if self.checkpoint.origin != key.name() {
            return Err(CheckpointError::Malformed {
                line: self.checkpoint.origin.clone(),
                reason: "the origin is not the key's name",
            });
        }
        self.note.verify(key)?;
        Ok(&self.checkpoint)
    }
}

/// The origin (and key name) of the log whose first public key this is:
/// `proofstream/<cluster>/<8 hex>`.
pub fn origin(cluster: &str, first_public_key: &[u8; 32]) -> String {
    let digest = Hash::of(first_public_key).to_hex();
    format!("proofstream/{cluster}/{}", digest.get(..8).unwrap_or_default())
}
