//! Text to description.
//!
//! `spec` turns the text of a Beam YAML file into a tree that remembers where each value came from,
//! and that tree, through small pure phases, into a [`model`]-level description plus
//! [`Diagnostics`].
//!
//! **Invariants.** No Arrow, no tokio, no files (a loader is passed in), no clock. Nothing here fails:
//! every step returns what it could make and everything it has to say about the rest.

pub mod config;
pub mod diagnostic;
#[cfg(test)]
mod fixture;
pub mod load;
pub mod model;
pub mod node;
mod phases;
mod providers;
pub mod reference;
pub mod schema;
pub mod suggest;
pub mod template;
pub mod types;
pub mod vocabulary;
pub mod yaml;

pub use config::{Config, FieldDef, FromNode, Kind};
pub use diagnostic::{Diagnostic, Diagnostics, Inside, Severity};
pub use node::{Node, Position, Sources, Span, Value};
