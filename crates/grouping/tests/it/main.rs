//! What the crate does as a whole.

#[cfg(test)]
mod harness;
#[cfg(test)]
mod panes;
#[cfg(test)]
mod panes_properties;
#[cfg(test)]
mod transcripts;
