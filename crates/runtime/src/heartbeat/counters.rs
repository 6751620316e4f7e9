//! What an API server says of events that it could not deliver: `apiserver_audit_error_total`, by plugin.
//!
//! <https://kubernetes.io/docs/reference/instrumentation/metrics/>. The plugins are `log`, `webhook`, and, where a
//! buffer or the cutting of large events is to blame, `buffered` and `truncate`.

use std::collections::BTreeMap;

const NAME: &str = "apiserver_audit_error_total{";

/// Events that were lost, by plugin, since the API server started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lost(BTreeMap<String, u64>);

// === impl Lost ===

impl Lost {
    /// Reads the text of the API server's `/metrics`.
    pub(super) fn parse(text: &str) -> Self {
        let mut lost = BTreeMap::new();
        for line in text.lines().filter_map(|line| line.strip_prefix(NAME)) {
            let Some((labels, value)) = line.split_once("} ") else { continue };
            let plugin = labels.split(',').find_map(|label| {
                label.trim().strip_prefix("plugin=\"")?.strip_suffix('"').map(str::to_owned)
            });
            if let (Some(plugin), Some(count)) = (plugin, whole(value)) {
                *lost.entry(plugin).or_insert(0) += count;
            }
        }
        Self(lost)
    }

    /// How many more there are than there were; a counter that went back began anew with the API server.
    pub(super) fn since(&self, before: &Self) -> impl Iterator<Item = (&str, u64)> {
        let before = before.0.clone();
        self.0.iter().filter_map(move |(plugin, count)| {
            let known = before.get(plugin).copied().unwrap_or(0);
            let more = if *count < known { *count } else { count - known };
            (more > 0).then_some((plugin.as_str(), more))
        })
    }
}

/// A counter's value, which may be written as `12`, `12.0` or `1.2e+06`.
fn whole(text: &str) -> Option<u64> {
    let text = text.split_whitespace().next()?;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: usize = exponent.trim_start_matches('+').parse().ok()?;
    let (digits, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut fraction: String = fraction.chars().take(exponent).collect();
    while fraction.len() < exponent.min(20) {
        fraction.push('0');
    }
    format!("{digits}{fraction}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_and_compared() {
        let text = "# TYPE apiserver_audit_error_total counter\n\
                    apiserver_audit_error_total{plugin=\"webhook\"} 12\n\
                    apiserver_audit_error_total{plugin=\"log\"} 1.5e+03\n\
                    apiserver_audit_event_total 99\n";
        let now = Lost::parse(text);
        let none = Lost::default();
        assert_eq!(now.since(&none).collect::<Vec<_>>(), [("log", 1500), ("webhook", 12)]);
        let before = Lost::parse("apiserver_audit_error_total{plugin=\"webhook\"} 5.0\n");
        assert_eq!(now.since(&before).collect::<Vec<_>>(), [("log", 1500), ("webhook", 7)]);
        // After a restart of the API server.
        let again = Lost::parse("apiserver_audit_error_total{plugin=\"log\"} 3\n");
        assert_eq!(again.since(&now).collect::<Vec<_>>(), [("log", 3)]);
        assert_eq!(now.since(&now).count(), 0);
        assert_eq!(whole("1.25e+01"), Some(12));
        assert_eq!(whole("NaN"), None);
    }
}
