//! `dmdx-train`: distils a diffusion teacher into a one-step student.

use std::process::ExitCode;

use clap::Parser;
use dmdx_train::cli;

// Every tensor operation allocates its result. The system's allocator gives large blocks back to the kernel each time,
// and the page faults then cost more than the arithmetic (`benches/kernels.rs`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // A panic is a defect of this program, never an answer to an input; the caller still gets an exit code.
    std::panic::catch_unwind(|| cli::run(&cli)).unwrap_or_else(|_| {
        eprintln!("error: this is a defect of dmdx-train, please report it with the recipe that caused it");
        ExitCode::from(1)
    })
}
