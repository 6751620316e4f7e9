//! The page and the HTTP API: one listener, and nothing but health answers without a token.

pub mod access;
pub mod console;
mod live;
mod page;
mod routes;

pub use access::Access;
pub use console::{Console, ConsoleError, ControlCard, Health, HealthState, LedgerStatus};
pub use live::{LiveConsole, Parts};
pub use routes::{ROUTES, Route, router};
