//! Kubernetes quantities (`500m`, `1Gi`, `2e3`), exact to the nano.

use std::cmp::Ordering;
use std::fmt;

const NANO: i128 = 1_000_000_000;

/// How a quantity was written, and so how a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// `Ki`, `Mi`, …
    Binary,
    /// `m`, `k`, `M`, … or none.
    Decimal,
    /// `e3`.
    Exponent,
}

/// An amount in billionths of the unit; amounts compare by value alone.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    /// Billionths of the unit.
    pub nano: i128,
    /// How it was written.
    pub notation: Notation,
}

impl Quantity {
    /// Reads a quantity; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let (multiplier, exponent, notation) = scale(suffix)?;
        // Digits past the nano are dropped upwards, as the API server does.
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let mantissa: i128 = if digits.is_empty() {
            0
        } else if digits.len() > 28 {
            return None;
        } else {
            digits.parse().ok()?
        };
        let power = exponent + 9 - i32::try_from(fraction.len()).ok()?;
        let scaled = mantissa.checked_mul(multiplier)?;
        let nano = if power >= 0 {
            scaled.checked_mul(10_i128.checked_pow(u32::try_from(power).ok()?)?)?
        } else {
            match 10_i128.checked_pow(power.unsigned_abs()) {
                Some(divisor) => scaled / divisor + i128::from(scaled % divisor != 0),
                None => i128::from(scaled != 0),
            }
        };
        Some(Self { nano: if negative { -nano } else { nano }, notation })
    }

    /// A whole amount.
    pub(crate) fn whole(amount: i64) -> Self {
        Self { nano: i128::from(amount) * NANO, notation: Notation::Decimal }
    }

    /// The amount, if it is whole and `i64` holds it.
    pub(crate) fn as_integer(self) -> Option<i64> {
        if self.nano % NANO == 0 { i64::try_from(self.nano / NANO).ok() } else { None }
    }

    /// The sum, printed as the first is; a zero takes the other's notation.
    pub(crate) fn add(self, other: Self) -> Option<Self> {
        let notation = if self.nano == 0 { other.notation } else { self.notation };
        Some(Self { nano: self.nano.checked_add(other.nano)?, notation })
    }

    /// The difference, printed as the first is.
    pub(crate) fn subtract(self, other: Self) -> Option<Self> {
        self.add(Self { nano: other.nano.checked_neg()?, notation: other.notation })
    }

    /// An amount written without suffix.
    #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
    pub fn from_number(number: f64) -> Self {
        Self { nano: (number * 1e9).round() as i128, notation: Notation::Decimal }
    }

    /// The amount as a double, which may lose digits.
    #[expect(clippy::cast_precision_loss, reason = "ratios of the field are doubles")]
    pub fn as_f64(self) -> f64 {
        self.nano as f64 / 1e9
    }
}

fn scale(suffix: &str) -> Option<(i128, i32, Notation)> {
    let decimal = |exponent| Some((1, exponent, Notation::Decimal));
    let binary = |shift: u32| Some((1_i128 << shift, 0, Notation::Binary));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let digits = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = digits.parse().ok()?;
            (-30..=30).contains(&exponent).then_some((1, exponent, Notation::Exponent))
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that needs none.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return formatter.write_str("0");
        }
        let whole = self.nano % NANO == 0;
        if self.notation == Notation::Binary && whole && self.nano.abs() >= 1_024 * NANO {
            let mut amount = self.nano / NANO;
            let mut suffixes = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter();
            let mut suffix = "";
            while amount % 1_024 == 0 {
                let Some(next) = suffixes.next() else { break };
                suffix = next;
                amount /= 1_024;
            }
            return write!(formatter, "{amount}{suffix}");
        }
        let steps = match self.notation {
            Notation::Exponent => ["n", "u", "m", "", "e3", "e6", "e9", "e12", "e15", "e18"],
            _ => ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"],
        };
        let mut amount = self.nano;
        let mut suffixes = steps.into_iter();
        let mut suffix = suffixes.next().unwrap_or_default();
        while amount % 1_000 == 0 {
            let Some(next) = suffixes.next() else { break };
            suffix = next;
            amount /= 1_000;
        }
        write!(formatter, "{amount}{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_across_notations() {
        for (left, right, order) in [
            ("1", "1000m", Ordering::Equal),
            ("1Gi", "1G", Ordering::Greater),
            ("1024Mi", "1Gi", Ordering::Equal),
            ("0.5", "500m", Ordering::Equal),
            ("2e3", "2k", Ordering::Equal),
            ("-1", "1", Ordering::Less),
            ("0.1n", "1n", Ordering::Equal),
        ] {
            let read = |text| Quantity::parse(text).unwrap();
            assert_eq!(read(left).cmp(&read(right)), order, "{left} {right}");
        }
        for text in ["", "x", "1.2.3", "1 Gi", "Gi", "1Kii", "0x1", "1h", "1e99"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn prints_the_canonical_form() {
        for (text, canonical) in [
            ("1024Mi", "1Gi"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("2000", "2k"),
            ("0", "0"),
            ("1.5Gi", "1536Mi"),
            ("512", "512"),
            ("2e3", "2e3"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), canonical);
        }
    }
}
