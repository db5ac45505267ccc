//! The `purlin` binary.

fn main() -> std::process::ExitCode {
    purlin::cli::main(std::env::args_os().collect())
}
