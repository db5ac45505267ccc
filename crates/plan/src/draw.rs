//! Plans as pictures and data: Graphviz text, SVG, JSON.

mod dot;
mod json;
mod layout;
mod svg;

pub use dot::to_dot;
pub use json::to_json;
pub use svg::{to_svg, to_svg_staged};

#[cfg(test)]
mod tests;
