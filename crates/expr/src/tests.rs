//! Tests of the whole crate, through its public interface.

mod cases;
mod differential;
mod outside;
mod robust;
mod shapes;
