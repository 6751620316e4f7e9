//! Whose webhook is whose, by its name.

use proofstream_model::Enforcer;

/// Our webhook that looks at policies themselves: what it refuses is no policy, and no policy refuses it.
pub(super) const OF_POLICIES: &str = "policies.proofstream.dev";

/// The enforcer behind the webhook `name`.
pub(super) fn enforcer(name: &str) -> Enforcer {
    if [".validate.proofstream.dev", ".mutate.proofstream.dev"]
        .iter()
        .any(|ours| name.ends_with(ours))
    {
        return Enforcer::Proofstream;
    }
    // `validate.kyverno.svc-fail`, `…-ignore-finegrained-POLICY`, `vpol.validate.kyverno.svc-…`.
    if name.contains(".kyverno.svc") {
        return Enforcer::Kyverno;
    }
    if name.ends_with(".gatekeeper.sh") {
        return Enforcer::Gatekeeper;
    }
    Enforcer::OtherWebhook
}
