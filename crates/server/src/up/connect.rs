//! The way to the API server.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};

/// How long an API server may take to answer when we start.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(500);

/// Why there is no API server to work with.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read.
    #[error("cannot use the kubeconfig `{path}`: {reason}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Neither a kubeconfig nor a service account is there.
    #[error("no way to an API server: {0}; give --kubeconfig FILE")]
    Nowhere(String),
    /// Nobody answers, or not as an API server does.
    #[error("the API server at `{server}` cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        server: String,
        /// What went wrong last.
        reason: String,
    },
}

/// A client for the API server, and the cluster's identity: the UID of its namespace kube-system.
/// Waits some seconds for one that is just starting.
pub(crate) async fn connect(kubeconfig: Option<&Path>) -> Result<(Client, String), ConnectError> {
    let config = configuration(kubeconfig).await?;
    let server = config.cluster_url.to_string();
    let unreachable = |reason: String| ConnectError::Unreachable { server: server.clone(), reason };
    let client = Client::try_from(config).map_err(|error| unreachable(chain(&error)))?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut last = "no answer".to_owned();
    let asking = async {
        loop {
            match namespaces.get("kube-system").await {
                Ok(found) => match found.uid() {
                    Some(uid) => return Ok(uid),
                    None => "the namespace kube-system has no uid".clone_into(&mut last),
                },
                // An answer that will not change: somebody is there and refuses us.
                Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                    return Err(status.message.clone());
                }
                Err(error) => last = chain(&error),
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(uid)) => Ok((client, uid)),
        Ok(Err(refused)) => Err(unreachable(refused)),
        Err(_) => Err(unreachable(last)),
    }
}

/// A client for one API server at its own address, with the identity of the kubeconfig.
pub(crate) async fn client_of(
    kubeconfig: Option<&Path>,
    server: &str,
) -> Result<Client, ConnectError> {
    let unreachable =
        |reason: String| ConnectError::Unreachable { server: server.to_owned(), reason };
    let mut config = configuration(kubeconfig).await?;
    config.cluster_url = server.parse().map_err(|error| unreachable(chain(&error)))?;
    Client::try_from(config).map_err(|error| unreachable(chain(&error)))
}

async fn configuration(kubeconfig: Option<&Path>) -> Result<kube::Config, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => {
            let wrong = |reason: String| ConnectError::Kubeconfig {
                path: path.display().to_string(),
                reason,
            };
            let file = Kubeconfig::read_from(path).map_err(|error| wrong(chain(&error)))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(|error| wrong(chain(&error)))?
        }
        None => {
            kube::Config::infer().await.map_err(|error| ConnectError::Nowhere(chain(&error)))?
        }
    };
    config.connect_timeout = Some(CONNECT);
    Ok(config)
}

/// An error with its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
