//! `dmdx-export`: a checkpoint to a verified ONNX bundle.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    ExitCode::from(cli::run(&cli::CommandLine::parse()))
}
