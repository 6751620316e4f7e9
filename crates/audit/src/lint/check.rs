//! The checks: number, name, gravity, reason and the requirements that each bears on.

use serde::Serialize;

use super::Finding;
use super::fix::Fix;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Evidence is lost that will be asked for, or a secret is written into the log.
    Error,
    /// Less evidence than there should be, or a rule that does not do what it says.
    Warning,
    /// Cost without use.
    Note,
}

/// One check.
#[derive(Debug)]
pub struct Check {
    /// From 1; 0 for what stands outside of the list.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// What a finding weighs where nothing else is said.
    pub severity: Severity,
    /// Why it matters.
    pub why: &'static str,
    /// Requirements that it bears on.
    pub requirements: &'static [&'static str],
}

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal $severity:ident $why:literal
        [$($requirement:literal),*];)*) => {
        $($(#[$doc])* pub(crate) const $name: Check = Check {
            number: $number,
            name: $text,
            severity: Severity::$severity,
            why: $why,
            requirements: &[$($requirement),*],
        };)*
        /// All checks, by number.
        pub const CHECKS: &[Check] = &[$($name),*];
    };
}

checks! {
    /// A field that the API server passes over.
    UNKNOWN_FIELD = 0 "unknown-field" Error
        "The API server starts with a line in its log and ignores the field: the rule asks for less, and so matches more, than its author thinks."
        ["cis-k8s-1.12/3.2.1", "soc2-2017/CC7.2"];
    /// Requests that no rule matches.
    NO_CATCH_ALL = 1 "no-catch-all" Warning
        "What no rule matches is not logged at all, new kinds of resources included; nothing says so later."
        ["cis-k8s-1.12/3.2.1", "pci-4.0.1/10.2.1", "soc2-2017/CC7.2"];
    /// A rule that decides about nothing.
    UNREACHABLE = 2 "unreachable" Warning
        "The first rule that matches decides: what this rule asks for is never done. Values are compared whole, there are no wildcards but in resources and at the end of paths."
        ["cis-k8s-1.12/3.2.2", "soc2-2017/CC7.2"];
    /// Cluster-scoped resources in a rule about namespaces.
    CLUSTER_SCOPED = 3 "cluster-scoped-under-namespaces" Warning
        "Requests for cluster-scoped resources are in no namespace, and a rule with namespaces matches those only if \"\" is one of them."
        ["cis-k8s-1.12/3.2.2", "pci-4.0.1/10.2.1.5", "soc2-2017/CC7.2"];
    /// Terminals and tunnels that leave no trace.
    CONNECT_DROPPED = 4 "connect-dropped" Error
        "`kubectl exec` over WebSocket is a `get`: a rule that drops reads drops every terminal, attach, port-forward and proxy with them."
        ["cis-k8s-1.12/3.2.2", "pci-4.0.1/10.2.1.2", "soc2-2017/CC7.2"];
    /// `delete` without `deletecollection`.
    DELETE_COLLECTION = 5 "deletecollection-missing" Error
        "Deleting all objects of a kind at once (`kubectl delete --all`) is the verb deletecollection, and no list of verbs that leaves it out sees it."
        ["pci-4.0.1/10.2.1.7", "soc2-2017/CC7.2", "soc2-2017/CC8.1"];
    /// A resource whose subresources are not covered.
    SUBRESOURCES = 6 "subresources-missing" Warning
        "`pods` does not cover `pods/exec` or `pods/ephemeralcontainers`: subresources are matched only where they are named, by `pods/*` or by `*`."
        ["cis-k8s-1.12/3.2.2", "pci-4.0.1/10.2.1.2", "soc2-2017/CC7.2"];
    /// Secrets in the log.
    SECRET_BODIES = 7 "secret-bodies" Error
        "The values of secrets and tokens are written into the audit log, and whoever reads logs reads them; Metadata says who touched which."
        ["cis-k8s-1.12/3.2.2", "pci-4.0.1/8.3.2", "soc2-2017/CC6.1"];
    /// Whole collections in the log.
    LIST_BODIES = 8 "list-bodies" Warning
        "Every list writes all objects of a kind into the log: the largest events there are, for a question that the objects themselves answer."
        ["cis-k8s-1.12/3.2.2", "pci-4.0.1/10.5.1", "soc2-2017/CC6.1"];
    /// Reads of secrets that leave no trace.
    SECRET_READS = 9 "secret-reads-dropped" Error
        "Who read which secret is the first question after an incident, and cannot be answered."
        ["cis-k8s-1.12/3.2.2", "pci-4.0.1/10.2.1.1", "soc2-2017/CC6.1"];
    /// Changes of access and admission without their content.
    SENSITIVE_WRITES = 10 "sensitive-writes-without-body" Warning
        "That a binding or a webhook was changed is known, to what is not: what was granted to whom must be in the record."
        ["cis-k8s-1.12/3.2.2", "pci-4.0.1/10.2.1.5", "soc2-2017/CC6.3", "soc2-2017/CC8.1"];
    /// A group that does not have the resource.
    WRONG_GROUP = 11 "wrong-group" Error
        "Groups and resources are compared as they are written, and the API server does not check that they exist: the rule matches nothing."
        ["cis-k8s-1.12/3.2.2", "soc2-2017/CC7.2"];
    /// Identities of which nothing is logged.
    IDENTITY_DROPPED = 12 "identity-dropped" Error
        "Whoever gets hold of this identity acts unseen: node and controller credentials are what attackers look for."
        ["cis-k8s-1.12/3.2.2", "pci-4.0.1/10.2.1.2", "soc2-2017/CC7.2"];
    /// Every request twice, or a guarantee that is not kept.
    REQUEST_RECEIVED = 13 "request-received" Note
        "The stage RequestReceived doubles the number of events and says nothing that ResponseComplete does not; only the mode blocking-strict, which refuses requests that cannot be logged, needs it."
        ["pci-4.0.1/10.5.1", "soc2-2017/CC7.2"];
    /// Managed fields in bodies.
    MANAGED_FIELDS = 14 "managed-fields" Note
        "Half of a body can be managedFields, which no question after the fact needs."
        ["pci-4.0.1/10.5.1", "soc2-2017/CC7.2"];
    /// Ends that are not logged.
    STAGES_OMITTED = 15 "stages-omitted" Error
        "Without ResponseComplete no event says how a request ended, without Panic none that it broke; failed sign-ins are logged at ResponseStarted alone."
        ["pci-4.0.1/10.2.2", "pci-4.0.1/10.2.1.4", "soc2-2017/CC7.2"];
    /// The API server's flags.
    FLAGS = 16 "flags" Warning
        "What a policy asks for is lost between the API server and the one who keeps it if files are removed too early, buffers overflow, or large events are cut."
        ["cis-k8s-1.12/1.2.16", "cis-k8s-1.12/1.2.17", "cis-k8s-1.12/1.2.18", "cis-k8s-1.12/1.2.19", "pci-4.0.1/10.3.3", "pci-4.0.1/10.5.1", "soc2-2017/CC7.2"];
}

// === impl Check ===

impl Check {
    /// A finding of this check, without requests and a correction yet.
    pub(crate) fn finding(&self, rule: Option<usize>, message: impl Into<String>) -> Finding {
        Finding {
            number: self.number,
            check: self.name,
            severity: self.severity,
            rule,
            path: rule.map_or_else(String::new, |index| format!("rules[{index}]")),
            message: message.into(),
            why: self.why,
            requests: Vec::new(),
            requirements: self.requirements,
            fix: Fix::None,
        }
    }
}
