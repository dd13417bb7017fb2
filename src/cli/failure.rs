//! How a command can fail, and the exit code of each.

use crate::config::ConfigError;
use std::io;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The command was used in a wrong way: 64.
    Usage(String),
    /// A store, or a server that should be running, can't be reached: 69.
    Unavailable(String),
    /// The configuration is wrong: 78.
    Config(String),
    /// Any other reason: 1.
    Other(String),
    /// The output has been printed already: only this exit code is left.
    Silent(u8),
}

impl Failure {
    /// A failure that has no exit code of its own.
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// Prints it on stderr, in one line, and returns the exit code.
    pub(super) fn report(self) -> ExitCode {
        let (code, text) = match self {
            Self::Usage(text) => (64, text),
            Self::Unavailable(text) => (69, text),
            Self::Config(text) => (78, text),
            Self::Other(text) => (1, text),
            Self::Silent(code) => return ExitCode::from(code),
        };
        eprintln!("counterfoil: {}", text.split_whitespace().collect::<Vec<_>>().join(" "));
        ExitCode::from(code)
    }

    /// What clap prints: help and version are no failures.
    pub(super) fn of_usage(error: &clap::Error) -> Result<(), Self> {
        use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
        match error.kind() {
            DisplayHelp | DisplayVersion => {
                // The reader of the help may have gone away; then there is nobody to inform.
                let _ = error.print();
                Ok(())
            }
            DisplayHelpOnMissingArgumentOrSubcommand => {
                let _ = error.print();
                Err(Self::Silent(64))
            }
            _ => {
                let text = error.to_string();
                let said = text.split("\n\n").next().unwrap_or(&text);
                let said = said.strip_prefix("error: ").unwrap_or(said);
                Err(Self::Usage(format!("{said}; see --help")))
            }
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.0)
    }
}

/// Writing the result failed. A reader that has seen enough (`… | head`) is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Silent(0),
            _ => Self::Other(format!("can't print the result: {error}")),
        }
    }
}
