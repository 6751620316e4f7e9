//! The API server's flags about auditing, from its manifest or from a plain list.

use std::collections::BTreeMap;

use serde_json::Value;

/// The flags that were given; what is not there has the API server's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    given: BTreeMap<String, String>,
}

/// Why a text gives no flags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagsError {
    /// No flag at all in it.
    #[error(
        "there is no flag in it: neither a pod that runs kube-apiserver nor words that begin with `--`"
    )]
    Empty,
}

// === impl Flags ===

impl Flags {
    /// The flags in a manifest: of the container whose command or arguments have the most flags.
    ///
    /// # Errors
    /// Nothing in it has flags.
    pub fn of_manifest(document: &Value) -> Result<Self, FlagsError> {
        let mut best = Vec::new();
        collect(document, &mut best);
        Self::of_words(best.iter().map(String::as_str))
    }

    /// The flags in a text: words that begin with `--`, as `--name=value` or `--name value`.
    ///
    /// # Errors
    /// No word does.
    pub fn of_text(text: &str) -> Result<Self, FlagsError> {
        let lines =
            text.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before));
        let words = lines.flat_map(str::split_whitespace).filter(|word| *word != "\\");
        Self::of_words(words.map(|word| word.trim_matches(['"', '\'', ','])))
    }

    fn of_words<'w>(words: impl Iterator<Item = &'w str>) -> Result<Self, FlagsError> {
        let mut given = BTreeMap::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--") else { continue };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.trim_matches(['"', '\''])),
                // Only a flag without a value is followed by another one.
                None => (flag, words.next_if(|next| !next.starts_with("--")).unwrap_or("true")),
            };
            given.insert(name.replace('_', "-"), value.to_owned());
        }
        if given.is_empty() { Err(FlagsError::Empty) } else { Ok(Self { given }) }
    }

    /// The value of a flag; `None` where it is not given, or given empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a flag that is a number; 0 where it is not given.
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value == "true" || value == "1")
    }
}

/// Finds the longest list of words with flags anywhere in a manifest, `command` and `args` together.
fn collect(value: &Value, best: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            let words = ["command", "args"].iter().filter_map(|key| object.get(*key)?.as_array());
            let words: Vec<String> =
                words.flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect();
            let count =
                |words: &[String]| words.iter().filter(|word| word.starts_with("--")).count();
            if count(&words) > count(best) {
                *best = words;
            }
            object.values().for_each(|value| collect(value, best));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, best)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flags_are_read_from_a_pod_and_from_a_text() {
        let pod = json!({"spec": {"containers": [
            {"command": ["sidecar", "--x"]},
            {"command": ["kube-apiserver", "--audit-log-path=/var/log/a.log", "--audit-log-maxage", "30"],
             "args": ["--audit-log-truncate-enabled", "--v=2"]},
        ]}});
        let flags = Flags::of_manifest(&pod).expect("flags");
        assert_eq!(flags.get("audit-log-path"), Some("/var/log/a.log"));
        assert_eq!(flags.number("audit-log-maxage"), 30);
        assert!(flags.is_on("audit-log-truncate-enabled"));
        let text = "# of the unit\nExecStart=/usr/bin/kube-apiserver \\\n  --audit-log-maxage=7 \\\n --audit-log-compress\n";
        let flags = Flags::of_text(text).expect("flags");
        assert_eq!(flags.number("audit-log-maxage"), 7);
        assert!(flags.is_on("audit-log-compress") && flags.get("audit-log-path").is_none());
        assert_eq!(Flags::of_text("nothing here"), Err(FlagsError::Empty));
    }
}
