//! The page and the API, started over the running parts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proofstream_ledger::storage::Directory;
use proofstream_ledger::writer::Start;
use proofstream_runtime::background::Progress;
use proofstream_runtime::recorder::Recorder;
use tokio::sync::watch;

use super::derived::Shown;
use super::health::Watched;
use super::trail::Trail;
use super::{Up, UpError, listen};
use crate::private_file;
use crate::web::{Access, LiveConsole, Parts, router};

/// The token's file in the data folder.
const TOKEN: &str = "token";

/// Where the page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// `http://HOST:PORT`.
    pub url: String,
    /// The file with the token that opens it.
    pub token_file: PathBuf,
    /// The token.
    pub token: String,
}

/// Starts listening.
pub(super) async fn start(
    up: &mut Up,
    shown: Shown,
    trail: Trail,
    progress: watch::Receiver<Progress>,
) -> Result<Page, UpError> {
    let handles = up.handles.clone();
    let data = handles.config.data.clone();
    let token_file = data.join(TOKEN);
    let token =
        token(&token_file).map_err(|source| UpError::Data { path: token_file.clone(), source })?;
    let exports =
        Recorder::new(handles.writer.source("export", Start::Resume)?, handles.clock.clone());
    let changes = shown.applied.clone();
    let watched = Watched { handles: handles.clone(), shown, trail, progress };
    let folder = data.join("ledger");
    let console = LiveConsole::new(Parts {
        cluster: handles.cluster,
        clock: handles.clock,
        writer: handles.writer,
        ledger: Arc::new(Directory::new(&folder)),
        folder,
        spool: data,
        projection: handles.projection,
        catalog: handles.catalog,
        exports,
        changes,
        metrics: handles.metrics,
        health: Box::new(move || watched.parts()),
    });
    let (listener, address) = listen(handles.config.web.listen).await?;
    let service = router(Arc::new(console), Access::new(&token));
    let stop = handles.stop;
    up.add(async move {
        // Live streams never end by themselves, so the listener is dropped with its connections.
        let serving = axum::serve(listener, service).into_future();
        tokio::select! {
            result = serving => {
                if let Err(error) = result {
                    tracing::error!(%error, "the page is no longer served");
                }
            }
            () = stop.cancelled() => {}
        }
    });
    Ok(Page { url: format!("http://{address}"), token_file, token })
}

/// The token, made at the first start.
fn token(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the token's file is empty: remove it to have a new one made",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut random = [0; 24];
            getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
            let token = hex::encode(random);
            private_file::write(path, format!("{token}\n").as_bytes())?;
            Ok(token)
        }
        Err(error) => Err(error),
    }
}
