//! IP addresses and blocks of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Ground, Outcome, Row, mismatch};
use crate::error::Fault;
use crate::value::{Opaque, Value};

pub(crate) const ROWS: &[Row] = &[
    ("ip", "(string)->ip", ip),
    ("isIP", "(string)->bool", is_ip),
    ("ip.isCanonical", "(string)->bool", is_canonical),
    ("family", "ip.()->int", |_, values| {
        of_address(values, |address| Value::Int(if address.is_ipv4() { 4 } else { 6 }))
    }),
    ("isUnspecified", "ip.()->bool", |_, values| test(values, IpAddr::is_unspecified)),
    ("isLoopback", "ip.()->bool", |_, values| test(values, IpAddr::is_loopback)),
    ("isLinkLocalMulticast", "ip.()->bool", |_, values| test(values, is_link_local_multicast)),
    ("isLinkLocalUnicast", "ip.()->bool", |_, values| test(values, is_link_local_unicast)),
    ("isGlobalUnicast", "ip.()->bool", |_, values| test(values, is_global_unicast)),
    ("cidr", "(string)->cidr", cidr),
    ("isCIDR", "(string)->bool", is_cidr),
    ("containsIP", "cidr.(ip)->bool", contains_ip),
    ("containsIP", "cidr.(string)->bool", contains_ip),
    ("containsCIDR", "cidr.(cidr)->bool", contains_cidr),
    ("containsCIDR", "cidr.(string)->bool", contains_cidr),
    ("ip", "cidr.()->ip", |_, values| {
        of_block(values, |block| Value::opaque(Opaque::Ip(block.address)))
    }),
    ("masked", "cidr.()->cidr", |_, values| {
        of_block(values, |block| Value::opaque(Opaque::Cidr(block.masked())))
    }),
    ("prefixLength", "cidr.()->int", |_, values| {
        of_block(values, |block| Value::Int(block.length.into()))
    }),
];

/// A block of addresses, as written: bits past its length are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    address: IpAddr,
    length: u8,
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let plain = !length.is_empty()
            && length.bytes().all(|digit| digit.is_ascii_digit())
            && (length == "0" || !length.starts_with('0'));
        let (address, length) = (parse_address(address)?, length.parse().ok().filter(|_| plain)?);
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (length <= longest).then_some(Self { address, length })
    }

    fn masked(self) -> Self {
        let address = match self.address {
            IpAddr::V4(address) => {
                let kept = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & kept))
            }
            IpAddr::V6(address) => {
                let kept = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept))
            }
        };
        Self { address, length: self.length }
    }

    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Self { address, length: self.length }.masked().address == self.masked().address
    }
}

impl fmt::Display for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

/// Reads an address. IPv4 ones in the clothes of IPv6 are refused, as the API server does, and so are
/// zones.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    match address {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => None,
        address => Some(address),
    }
}

fn is_link_local_unicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [224, 0, 0, _]),
        IpAddr::V6(address) => {
            address.segments().first().is_some_and(|first| first & 0xff0f == 0xff02)
        }
    }
}

fn is_global_unicast(address: &IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !broadcast
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !is_link_local_unicast(address)
}

fn text<'a>(arguments: &'a [Value<'_>]) -> Option<&'a str> {
    arguments.first().and_then(Value::as_str)
}

fn no_such(what: &str, text: &str) -> Fault {
    let shown: String = text.chars().take(100).collect();
    Fault::invalid(format!("`{shown}` is no {what}"))
}

fn ip<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let text = text(arguments).unwrap_or_default();
    let address = parse_address(text).ok_or_else(|| no_such("IP address", text))?;
    Ok(Value::opaque(Opaque::Ip(address)))
}

fn is_ip<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    Ok(Value::Bool(parse_address(text).is_some()))
}

fn is_canonical<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let text = text(arguments).unwrap_or_default();
    let address = parse_address(text).ok_or_else(|| no_such("IP address", text))?;
    Ok(Value::Bool(address.to_string() == text))
}

fn address(value: &Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Opaque(opaque) => match &**opaque {
            Opaque::Ip(address) => Some(*address),
            _ => None,
        },
        _ => None,
    }
}

fn block(value: &Value<'_>) -> Option<Block> {
    match value {
        Value::Opaque(opaque) => match &**opaque {
            Opaque::Cidr(block) => Some(*block),
            _ => None,
        },
        _ => None,
    }
}

fn of_address<'v>(arguments: &[Value<'v>], read: fn(IpAddr) -> Value<'static>) -> Outcome<'v> {
    match arguments.first().and_then(address) {
        Some(address) => Ok(read(address)),
        None => mismatch(arguments),
    }
}

fn test<'v>(arguments: &[Value<'v>], test: fn(&IpAddr) -> bool) -> Outcome<'v> {
    match arguments.first().and_then(address) {
        Some(address) => Ok(Value::Bool(test(&address))),
        None => mismatch(arguments),
    }
}

fn of_block<'v>(arguments: &[Value<'v>], read: fn(Block) -> Value<'static>) -> Outcome<'v> {
    match arguments.first().and_then(block) {
        Some(block) => Ok(read(block)),
        None => mismatch(arguments),
    }
}

fn cidr<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let text = text(arguments).unwrap_or_default();
    let block = Block::parse(text).ok_or_else(|| no_such("CIDR block", text))?;
    Ok(Value::opaque(Opaque::Cidr(block)))
}

fn is_cidr<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [Value::String(text)] = arguments else { return mismatch(arguments) };
    Ok(Value::Bool(Block::parse(text).is_some()))
}

fn contains_ip<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [holder, other] = arguments else { return mismatch(arguments) };
    let inner = match other {
        Value::String(text) => {
            Some(parse_address(text).ok_or_else(|| no_such("IP address", text))?)
        }
        other => address(other),
    };
    match (block(holder), inner) {
        (Some(holder), Some(inner)) => Ok(Value::Bool(holder.contains(inner))),
        _ => mismatch(arguments),
    }
}

fn contains_cidr<'v>(_: &Ground<'_>, arguments: &[Value<'v>]) -> Outcome<'v> {
    let [holder, other] = arguments else { return mismatch(arguments) };
    let inner = match other {
        Value::String(text) => Some(Block::parse(text).ok_or_else(|| no_such("CIDR block", text))?),
        other => block(other),
    };
    match (block(holder), inner) {
        (Some(holder), Some(inner)) => {
            let within = holder.length <= inner.length && holder.contains(inner.address);
            Ok(Value::Bool(within))
        }
        _ => mismatch(arguments),
    }
}
