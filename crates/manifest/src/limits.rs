//! What one document may cost.

/// Bounds on one document. The defaults leave room for anything an API server would accept and for
/// the lists that `kubectl get -o yaml` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text in one document.
    pub document_bytes: usize,
    /// Nesting of mappings and sequences.
    pub depth: usize,
    /// Values that aliases and merges may add to one document by repetition.
    pub alias_values: usize,
    /// Bytes of text that aliases and merges may add to one document by repetition.
    pub alias_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { document_bytes: 64 << 20, depth: 128, alias_values: 400_000, alias_bytes: 16 << 20 }
    }
}
