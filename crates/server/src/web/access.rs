//! Who may ask: one token, sent as a bearer token or kept in a cookie after signing in.
//!
//! The token stands in the data folder, readable by its owner alone. Whoever can read it can read
//! everything that the page shows and can export; nobody can change the ledger with it.

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};
use sha2::{Digest as _, Sha256};

/// The cookie's name. It holds the token's digest, not the token.
pub const COOKIE_NAME: &str = "proofstream";

/// The token that opens the page and the API; only digests of it are kept.
#[derive(Clone)]
pub struct Access {
    bearer: [u8; 32],
    cookie: String,
}

/// How a request showed the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// In the `Authorization` header.
    Bearer,
    /// In the cookie.
    Cookie,
}

// === impl Access ===

impl Access {
    /// From the token's text.
    pub fn new(token: &str) -> Self {
        let session: [u8; 32] = Sha256::digest(format!("session {token}")).into();
        Self { bearer: Sha256::digest(token).into(), cookie: hex::encode(session) }
    }

    /// Whether this is the token. Digests are compared, so time says nothing about the token.
    pub fn is_token(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        digest == self.bearer
    }

    /// The cookie that signing in sets.
    pub fn cookie(&self) -> String {
        format!("{COOKIE_NAME}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie)
    }

    /// How the request shows the token, if it does. A cookie opens nothing but reading, unless
    /// the request comes from our own page.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Option<Shown> {
        let bearer =
            text(headers, AUTHORIZATION.as_str()).and_then(|it| it.strip_prefix("Bearer "));
        if bearer.is_some_and(|token| self.is_token(token.trim())) {
            return Some(Shown::Bearer);
        }
        let reading = method == Method::GET || method == Method::HEAD;
        let mut pairs = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'));
        let signed_in = pairs.any(|pair| {
            pair.trim().split_once('=').is_some_and(|(name, value)| {
                name == COOKIE_NAME && Sha256::digest(value) == Sha256::digest(&self.cookie)
            })
        });
        (signed_in && (reading || own_origin(headers))).then_some(Shown::Cookie)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Access(…)")
    }
}

fn text<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Browsers send `Origin` with every request that is not a plain read.
fn own_origin(headers: &HeaderMap) -> bool {
    let (Some(origin), Some(host)) = (text(headers, ORIGIN.as_str()), text(headers, HOST.as_str()))
    else {
        return false;
    };
    origin.split_once("://").is_some_and(|(_, authority)| authority == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_cookie_reads_and_writes_only_from_our_own_page() {
        let access = Access::new("secret");
        let cookie = access.cookie();
        let cookie = cookie.split(';').next().unwrap();
        let plain = headers(&[("cookie", cookie)]);
        assert_eq!(access.check(&Method::GET, &plain), Some(Shown::Cookie));
        assert_eq!(access.check(&Method::POST, &plain), None);
        let own = [("cookie", cookie), ("host", "a:1"), ("origin", "http://a:1")];
        assert_eq!(access.check(&Method::POST, &headers(&own)), Some(Shown::Cookie));
        let foreign = [("cookie", cookie), ("host", "a:1"), ("origin", "http://b")];
        assert_eq!(access.check(&Method::POST, &headers(&foreign)), None);
    }

    #[test]
    fn only_the_token_itself_opens() {
        let access = Access::new("secret");
        let good = headers(&[("authorization", "Bearer secret")]);
        assert_eq!(access.check(&Method::POST, &good), Some(Shown::Bearer));
        for bad in ["Bearer secre", "Bearer ", "secret", "Basic secret", "Bearer secret2"] {
            assert_eq!(access.check(&Method::GET, &headers(&[("authorization", bad)])), None);
        }
        assert_eq!(access.check(&Method::GET, &headers(&[("cookie", "proofstream=secret")])), None);
    }
}
