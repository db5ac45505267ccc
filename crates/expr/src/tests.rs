//! Tests of the whole crate, through its public interface.

mod cases;
mod decimal;
mod differential;
mod fuzz;
mod outside;
mod robust;
mod shapes;
