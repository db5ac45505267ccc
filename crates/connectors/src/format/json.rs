//! JSON values, one a line or in one array.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod infer;

mod visit;

#[cfg(test)]
mod tests;
