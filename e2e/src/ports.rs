//! Loopback ports that clusters starting at the same moment do not take from each other.
//!
//! A port is claimed machine-wide by binding an abstract Unix socket named after it: atomic, no file
//! left behind, and given back by the kernel when the process dies. Ports lie below the range from
//! which the kernel serves outgoing connections; otherwise a client that keeps dialling a stopped API
//! server can be given that very port as its own, and the server cannot come back to it.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::{Context, Result, anyhow};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
const ATTEMPTS: u16 = 500;

/// A loopback port that no other cluster of this machine uses while this value lives.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _claim: UnixDatagram,
}

impl Port {
    /// Claims a random port on which nothing listens.
    pub(crate) fn claim() -> Result<Self> {
        let start = random_u16()? % COUNT;
        (0..ATTEMPTS)
            .map(|step| FIRST + (start + step) % COUNT)
            .find_map(Self::claim_exactly)
            .with_context(|| format!("no free loopback port in {ATTEMPTS} attempts"))
    }

    /// Claims this port, if nobody else has and nothing listens on it.
    pub(crate) fn claim_exactly(number: u16) -> Option<Self> {
        let name = format!("proofstream-e2e-port-{number}");
        let address = SocketAddr::from_abstract_name(name.as_bytes()).ok()?;
        let claim = UnixDatagram::bind_addr(&address).ok()?;
        // Somebody outside this scheme may listen there. Bound and closed at once: a listener that
        // never accepted a connection leaves nothing in TIME_WAIT.
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _claim: claim })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

fn random_u16() -> Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(u16::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_not_given_twice() {
        let port = Port::claim().unwrap();
        assert!(Port::claim_exactly(port.number()).is_none());
        let number = port.number();
        drop(port);
        assert!(Port::claim_exactly(number).is_some());
    }

    #[test]
    fn a_port_on_which_something_listens_is_not_given() {
        let port = Port::claim().unwrap();
        let number = port.number();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        drop(port);
        assert!(Port::claim_exactly(number).is_none());
    }
}
