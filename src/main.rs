//! The program: parses the command line, runs it, exits with a meaningful code.

use counterfoil::cli;
use counterfoil::launch::ThisProcess;
use std::process::ExitCode;

fn main() -> ExitCode {
    counterfoil::private::make_files_private();
    cli::run(std::env::args_os(), &ThisProcess)
}
