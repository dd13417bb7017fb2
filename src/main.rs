//! The program: all of it is in the library, which is tested.

fn main() -> std::process::ExitCode {
    counterfoil::run()
}
