//! Addresses and ranges of addresses.

use std::net::IpAddr;

use super::Builtin;
use crate::value::Value;

pub(super) const ALL: &[Builtin] = &[
    Builtin::quick("net.cidr_contains", 2, |pair| {
        let (range, inner) = ranges(pair)?;
        Some(Value::Bool(range.contains(&inner)))
    }),
    Builtin::quick("net.cidr_intersects", 2, intersects),
    Builtin::quick("net.cidr_overlap", 2, |pair| {
        let (range, inner) = ranges(pair)?;
        Some(Value::Bool(range.contains(&inner)))
    }),
    Builtin::quick("net.cidr_is_valid", 1, |one| {
        let text = one.first()?.as_text()?;
        Some(Value::Bool(text.contains('/') && Range::read(text).is_some()))
    }),
];

/// A range of addresses: its first address and how many leading bits all share.
struct Range {
    bits: u128,
    shared: u32,
    /// How many bits an address has.
    width: u32,
}

impl Range {
    /// A range, or an address, which is a range of its own.
    fn read(text: &str) -> Option<Self> {
        let (address, shared) = match text.split_once('/') {
            Some((address, shared)) => (address, Some(shared.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let (bits, width) = match address.parse::<IpAddr>().ok()? {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let shared = shared.unwrap_or(width);
        (shared <= width).then_some(Self { bits, shared, width })
    }

    fn contains(&self, inner: &Self) -> bool {
        let cut = |bits: u128| bits.checked_shr(self.width - self.shared).unwrap_or(0);
        self.width == inner.width
            && self.shared <= inner.shared
            && cut(self.bits) == cut(inner.bits)
    }
}

fn ranges(pair: &[Value]) -> Option<(Range, Range)> {
    let [left, right] = pair else { return None };
    Some((Range::read(left.as_text()?)?, Range::read(right.as_text()?)?))
}

fn intersects(pair: &[Value]) -> Option<Value> {
    let (left, right) = ranges(pair)?;
    Some(Value::Bool(left.contains(&right) || right.contains(&left)))
}
