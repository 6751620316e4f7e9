//! The page in a real browser: who may see it, and that it follows what happens.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use proofstream_e2e::wait_until;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::stand::Stand;
use crate::workloads;
use proofstream_e2e::up::PATIENCE;

/// A headless Chromium and its driver; both end with it.
struct Browser {
    driver: Child,
    page: Client,
}

// === impl Browser ===

impl Browser {
    async fn start() -> Result<Self> {
        let mut driver = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", "chromedriver", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run `setpriv`")?;
        let port = Self::port(&mut driver).await?;
        // A container's /dev/shm is often too small, and root may not have a sandbox.
        let arguments =
            ["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"];
        let Value::Object(wanted) = json!({"goog:chromeOptions": {"args": arguments}}) else {
            anyhow::bail!("no capabilities");
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let page = builder.capabilities(wanted).connect(&format!("http://127.0.0.1:{port}")).await;
        Ok(Self { driver, page: page.context("no browser starts")? })
    }

    /// The port that the driver says it has taken.
    async fn port(driver: &mut Child) -> Result<u16> {
        let output = driver.stdout.take().context("the driver has no output")?;
        let mut lines = BufReader::new(output).lines();
        let found = async {
            while let Some(line) = lines.next_line().await? {
                let end = line.rsplit_once("successfully on port ");
                if let Some((_, port)) = end {
                    return port.trim_end_matches('.').parse().context("the driver's port");
                }
            }
            anyhow::bail!("`chromedriver` ended without a port: is it installed?")
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.context("no driver starts")?
    }

    async fn stop(mut self) -> Result<()> {
        self.page.close().await?;
        self.driver.kill().await?;
        Ok(())
    }

    async fn text(&self, selector: &str) -> Result<String> {
        let found = self.page.find(Locator::Css(selector)).await;
        Ok(found.with_context(|| format!("`{selector}`"))?.text().await?)
    }

    /// Waits until what a selector finds says a text.
    async fn says(&self, selector: &str, wanted: &str) -> Result<()> {
        wait_until(&format!("`{selector}` to say `{wanted}`"), PATIENCE, || async {
            let text = self.text(selector).await?;
            ensure!(text.contains(wanted), "it says `{text}`");
            Ok(())
        })
        .await
    }

    async fn sign_in(&self, token: &str) -> Result<()> {
        self.page.find(Locator::Css("input[name=token]")).await?.send_keys(token).await?;
        self.page.find(Locator::Css("button")).await?.click().await?;
        Ok(())
    }
}

#[tokio::test]
async fn the_page_wants_a_token_and_follows_what_happens() -> Result<()> {
    let stand = Stand::new().await?;
    let up = stand.up().await?;
    let browser = Browser::start().await?;
    let address = up.address()?;
    let token = std::fs::read_to_string(stand.data.join("token"))?;

    // Nobody sees anything without the token.
    browser.page.goto(&format!("http://{address}/")).await?;
    browser.says("form", "Sign in with the server's token").await?;
    ensure!(!browser.page.source().await?.contains("Blocked"), "the page before the sign-in");
    browser.sign_in("wrong").await?;
    browser.says("[role=alert]", "token").await?;
    browser.sign_in(token.trim()).await?;
    browser.says("#live", "● live").await?;
    browser.says("main", "Nothing yet. Apply a pod that breaks a policy").await?;

    // What is refused shows up without a reload, and its message can be opened.
    browser.page.execute("window.same = true", vec![]).await?;
    stand.refused(&workloads::plain("payments", "shell")).await?;
    browser.says(".lead > div:first-child", "1").await?;
    browser.says("details summary", "require-hardened-securitycontext").await?;
    browser.page.find(Locator::Css("details summary")).await?.click().await?;
    browser.says("details pre", "block-privileged-and-root").await?;
    let same = browser.page.execute("return window.same === true", vec![]).await?;
    ensure!(same == json!(true), "the page was loaded again");

    // An opened message stays open when the page follows the next refusal.
    stand.refused(&workloads::leaking("ledger", "leaky")).await?;
    browser.says(".lead > div:first-child", "2").await?;
    browser.says("details[open] pre", "block-privileged-and-root").await?;

    // Once nobody answers the page says that it is old.
    up.stop().await?;
    browser.says("#live", "not connected").await?;
    browser.stop().await
}
