//! Binding, and messages into rows and back, without a service.
