//! What the processes take, as Linux counts it.

use anyhow::{Context, Result};
use proofstream_e2e::up::Up;
use proofstream_e2e::{Cluster, Component};

use crate::trivial::Trivial;

/// One tick of `/proc/PID/stat`, in milliseconds: a hundred a second on every Linux that we know.
pub(crate) const TICK_MS: f64 = 10.0;
/// Whose processor time is counted, and the machine's as a whole: the kernel's own threads too.
pub(crate) const NAMES: [&str; 6] =
    ["API server", "etcd", "proofstream", "trivial", "client", "all of the machine"];

/// Ticks of each, in the order of [`NAMES`].
pub(crate) type Ticks = [u64; NAMES.len()];

/// The processes whose processor time a create takes.
pub(crate) struct Processes {
    pids: [u32; 5],
    ours: u32,
}

impl Processes {
    pub(crate) fn of(cluster: &Cluster, up: &Up, trivial: &Trivial) -> Result<Self> {
        let pid = |component| cluster.pid(component).context("a component does not run");
        let ours = up.pid().context("proofstream has ended")?;
        let (api_server, etcd) = (pid(Component::ApiServer)?, pid(Component::Etcd)?);
        let pids = [api_server, etcd, ours, trivial.pid(), std::process::id()];
        Ok(Self { pids, ours })
    }

    pub(crate) fn ticks(&self) -> Result<Ticks> {
        let [api_server, etcd, ours, trivial, here] = self.pids.map(process);
        Ok([api_server?, etcd?, ours?, trivial?, here?, machine()?])
    }

    /// Proofstream's resident memory.
    pub(crate) fn resident_mib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.ours))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context("no VmRSS")?.parse::<u64>()? / 1_024)
    }
}

fn process(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name stands in brackets and may hold anything; user and system time are the 12th and 13th
    // field behind it.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(times.sum::<Result<u64, _>>()?)
}

/// All time that the machine's processors were neither idle nor waiting for a disk.
fn machine() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("no line")?;
    let fields: Vec<u64> = line.split_whitespace().skip(1).map_while(|f| f.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    Ok([0, 1, 2, 5, 6].iter().filter_map(|at| fields.get(*at)).sum())
}
