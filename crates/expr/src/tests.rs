//! Tests of the whole crate, through its public interface.

mod cases;
mod decimal;
mod differential;
mod robust;
mod shapes;
