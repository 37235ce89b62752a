//! `dmdx-import`: inspect, check and convert checkpoints.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // A panic is a defect of this program, never an answer to a file; the caller still gets an exit code.
    std::panic::catch_unwind(|| cli::run(&cli)).unwrap_or_else(|_| {
        eprintln!("error: this is a defect of dmdx-import, please report it with the file that caused it");
        ExitCode::from(1)
    })
}
