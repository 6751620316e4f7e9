//! Finds pods that break a claim and that all policies in force admit nevertheless.
//!
//! The search begins with a pod that keeps every claim, puts one breach after another into it
//! (`catalog/breaches/pods.yaml`: what is data there is no code here), fills in what the API server would,
//! and asks the policies as admission does. What is admitted is a hole, and is made as small as it can be
//! while it stays one. Pure: the caller brings the policies and the moment.

mod breach;
mod candidate;
mod gate;
mod minimal;
mod search;
mod views;

pub use breach::{Breaches, BreachesError};
pub use candidate::Place;
pub use gate::{Gate, Refusal};
pub use search::{Found, Hole, Refused, Search, Strictness};
pub use views::Views;
