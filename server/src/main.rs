//! The binary `tidegate`: everything is in the library's `cli`.

fn main() -> std::process::ExitCode {
    tidegate::cli::main()
}
