//! The stream as a whole, on a real API server and with the real programs: what the API server
//! refused stands in the ledger and in the export once each, whatever fails on the way.

// Has the lints see tests in what the tests call, too.
#![cfg(test)]

mod browser;
mod certificates;
mod disk;
mod input;
mod newcomer;
mod outage;
mod records;
mod restarts;
mod stand;
mod story;
mod trail;
mod workloads;
