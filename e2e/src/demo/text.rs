//! What `make run` prints.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::program::Page;
use crate::Cluster;

/// A file to `source`: where the cluster, the programs and the data are.
pub(super) fn write_shell_file(
    folder: &Path,
    cluster: &Cluster,
    kubectl: &Path,
) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let programs = here.parent().context("this program is in no folder")?;
    let tools = kubectl.parent().unwrap_or(programs);
    let text = format!(
        "export KUBECONFIG={}\nexport PROOFSTREAM_DATA={}\nexport PATH={}:{}:$PATH\n",
        quoted(&cluster.kubeconfig_path()),
        quoted(&folder.join("proofstream")),
        quoted(programs),
        quoted(tools),
    );
    let path = folder.join("env");
    std::fs::write(&path, text)?;
    Ok(path)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The address, the file to `source`, and four things to try.
pub(super) fn print(page: &Page, shell: &Path, folder: &Path) -> Result<()> {
    let (from, to) = quarter(jiff::Timestamp::now());
    let shell = shell.display();
    let text = format!(
        "
Proofstream runs on a real control plane. Ctrl-C stops both; the data stays in
{folder}.

  page   {url}/login?token={token}
  shell  source {shell}

Four things to try, in another terminal:

  source {shell}

  1. Be refused.
     kubectl run shell --image=busybox -n payments

  2. See the refusal: reload the page, or ask for the policies' state.
     kubectl get clusterpolicies

  3. Export the quarter.
     proofstream export --framework soc2-2017 --from {from} --to {to} --out bundle

  4. Verify the export, with no server and no network.
     proofstream-verify bundle

",
        folder = folder.display(),
        url = page.url,
        token = page.token,
    );
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// The calendar quarter around a time, in UTC: its first moment and the next one's.
fn quarter(now: jiff::Timestamp) -> (String, String) {
    let date = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let (year, first) = (date.year(), (date.month() - 1) / 3 * 3 + 1);
    let (next_year, next) = if first == 10 { (year + 1, 1) } else { (year, first + 3) };
    let text = |year: i16, month: i8| format!("{year}-{month:02}-01T00:00:00Z");
    (text(year, first), text(next_year, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_begins_with_its_first_month_and_ends_where_the_next_begins() {
        let of = |time: &str| quarter(time.parse().unwrap());
        let text = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(
            of("2026-11-24T12:00:00Z"),
            text("2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z")
        );
        assert_eq!(
            of("2026-03-31T23:59:59Z"),
            text("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z")
        );
    }
}
