//! The running server, as the command line reaches it: by what `proofstream up` wrote into its data
//! folder.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// What `run.json` says.
#[derive(Debug, Deserialize)]
struct Run {
    web: Option<String>,
    token_file: Option<PathBuf>,
}

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
    token: String,
    agent: ureq::Agent,
}

/// An answer's body that says what was wrong.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

// === impl Server ===

impl Server {
    /// The server that runs on a data folder; none where none runs.
    pub(crate) fn of(data: &Path) -> Result<Option<Self>, Failure> {
        let Ok(text) = std::fs::read(data.join("run.json")) else { return Ok(None) };
        let Ok(Run { web: Some(url), token_file: Some(file) }) = serde_json::from_slice(&text)
        else {
            return Ok(None);
        };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .proxy(None)
            .build();
        let agent = ureq::Agent::new_with_config(config);
        // A file that a killed server left behind is no server.
        if agent.get(format!("{url}/healthz")).call().is_err() {
            return Ok(None);
        }
        let token = std::fs::read_to_string(&file).map_err(|error| {
            Failure::not_evaluated(format!("cannot read `{}`: {error}", file.display()))
                .help("the server's token is readable by its owner alone: ask them, or use sudo")
        })?;
        Ok(Some(Self { url, token: token.trim().to_owned(), agent }))
    }

    /// Sends a question and gives the answer's body to be read.
    pub(crate) fn post(
        &self,
        path: &str,
        question: &impl Serialize,
    ) -> Result<impl Read + 'static, Failure> {
        let unreachable =
            |error: String| Failure::not_evaluated(format!("the server at {}: {error}", self.url));
        let body = serde_json::to_vec(question).map_err(|error| unreachable(error.to_string()))?;
        let mut answer = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .send(&body)
            .map_err(|error| unreachable(error.to_string()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body().into_reader());
        }
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let reason = serde_json::from_str(&text).map_or(text, |refusal: Refusal| refusal.error);
        Err(if status.is_client_error() && status != 401 {
            Failure::input(reason)
        } else {
            unreachable(format!("{status}: {reason}"))
        })
    }
}
