//! Audit policies beside a real API server: the resources that it serves, and the levels that it logs at.

#![cfg(test)]

#[path = "audit_levels/levels.rs"]
mod levels;
#[path = "audit_levels/server.rs"]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use proofstream_audit::{Scope, known_resources};
use proofstream_e2e::{Cluster, ClusterOptions};
use serde_json::Value;

const TABLE: &str = "../crates/audit/data/resources.tsv";

/// Group and resource, with the scope and the subresources.
type Served = BTreeMap<(String, String), (String, BTreeSet<String>)>;

/// With `UPDATE_RESOURCES=1` the table is written anew.
#[tokio::test]
async fn the_known_resources_are_those_of_the_api_server() -> Result<()> {
    let api_server_flags = vec!["--runtime-config=api/all=true".to_owned()];
    let options = ClusterOptions { api_server_flags, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await?;
    let client = cluster.client().await?;
    let mut versions = vec![(String::new(), "/api/v1".to_owned())];
    let groups = get(&client, "/apis").await?;
    for group in groups["groups"].as_array().context("no groups")? {
        let name = group["name"].as_str().context("no name")?;
        for version in group["versions"].as_array().context("no versions")? {
            let path = version["groupVersion"].as_str().context("no version")?;
            versions.push((name.to_owned(), format!("/apis/{path}")));
        }
    }
    let mut served = Served::new();
    for (group, path) in versions {
        let list = get(&client, &path).await?;
        for item in list["resources"].as_array().context("no resources")? {
            let name = item["name"].as_str().context("no name")?;
            let (resource, subresource) = match name.split_once('/') {
                Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
                None => (name, None),
            };
            let entry = served.entry((group.clone(), resource.to_owned())).or_default();
            if subresource.is_none() {
                let namespaced = item["namespaced"].as_bool().context("no scope")?;
                entry.0 = if namespaced { "namespaced" } else { "cluster" }.to_owned();
            }
            entry.1.extend(subresource);
        }
    }
    let mut text = "# group\tresource\tscope\tsubresources\n".to_owned();
    for ((group, resource), (scope, subresources)) in &served {
        let subresources: Vec<&str> = subresources.iter().map(String::as_str).collect();
        writeln!(text, "{group}\t{resource}\t{scope}\t{}", subresources.join(","))?;
    }
    if std::env::var_os("UPDATE_RESOURCES").is_some() {
        std::fs::write(TABLE, &text)?;
        return Ok(());
    }
    let shipped: Served = known_resources()
        .iter()
        .map(|known| {
            let scope = match known.scope {
                Scope::Namespaced => "namespaced",
                Scope::Cluster => "cluster",
            };
            let subresources = known.subresources.iter().map(ToString::to_string).collect();
            let key = (known.group.to_owned(), known.resource.to_owned());
            (key, (scope.to_owned(), subresources))
        })
        .collect();
    ensure!(shipped == served, "write the table anew with UPDATE_RESOURCES=1");
    Ok(())
}

async fn get(client: &Client, path: &str) -> Result<Value> {
    let request = http::Request::get(path).body(Vec::new())?;
    Ok(serde_json::from_str(&client.request_text(request).await?)?)
}
