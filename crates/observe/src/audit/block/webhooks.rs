//! Whose webhook is whose, by its name.

use proofstream_model::Enforcer;

/// The enforcer behind the webhook `name`.
pub(super) fn enforcer(name: &str) -> Enforcer {
    if name.ends_with(".validate.proofstream.dev") {
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
