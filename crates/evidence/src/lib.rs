//! Populations, claims and export bundles, read from the ledger
