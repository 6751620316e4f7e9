//! `make run`: a real control plane, Proofstream against it, and four things to try.

use anyhow::Result;
use proofstream_e2e::demo;
use proofstream_e2e::foreground::until_signal;

#[tokio::main]
async fn main() -> Result<()> {
    tokio::select! {
        ended = demo::run() => ended,
        stopped = until_signal() => stopped,
    }
}
