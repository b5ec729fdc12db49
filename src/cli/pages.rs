//! `slmbench completions SHELL` and `slmbench man DIR`: for packagers, and for a shell's start-up file.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::{Ending, Exit, Failure};
use super::print;
use crate::report;

const SHELLS: &str = "Examples:
  slmbench completions bash > ~/.local/share/bash-completion/completions/slmbench
  slmbench completions zsh > ~/.zfunc/_slmbench       with ~/.zfunc in fpath
  slmbench completions fish > ~/.config/fish/completions/slmbench.fish";

const PAGES: &str = "Examples:
  slmbench man ~/.local/share/man/man1 && man slmbench-run";

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = SHELLS)]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = PAGES)]
pub struct ManArguments {
    /// Folder that the pages are written into
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Prints the completions of a shell.
pub fn completions(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    let name = env!("CARGO_PKG_NAME");
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), name, &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Writes a page for the program and one for each command.
pub fn man(arguments: &ManArguments) -> Result<Exit, Failure> {
    report::make_folder(&arguments.dir).or_unwritable()?;
    let named = |e: std::io::Error| format!("{}: {e}", arguments.dir.display());
    clap_mangen::generate_to(super::Arguments::command(), &arguments.dir)
        .map_err(named)
        .or_unwritable()?;
    Ok(Exit::Done)
}
