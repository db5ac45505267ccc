//! JSON values, one a line or in one array.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod infer;

mod bytes;
mod shape;
mod visit;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod tests;
