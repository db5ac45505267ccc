//! Google Cloud Pub/Sub, and brokers that speak its API.

mod again;
mod bad;
mod check;
pub mod config;
mod decode;
mod encode;
mod epochs;
mod given;
mod messages;
mod prepared;
mod reader;
mod seen;
pub(crate) mod sink;
pub(crate) mod source;
mod times;
mod watermark;
mod work;
mod writer;

#[cfg(test)]
mod tests;
