//! `floodway completions SHELL` and `floodway man`: out of the same definitions as the command line itself.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::app::args::CommandLine;

/// Writes the completions of one shell to standard output.
///
/// # Errors
/// When it cannot be written.
pub fn write(shell: Shell) -> io::Result<()> {
    // Made in memory: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "floodway", &mut script);
    io::stdout().write_all(&script)
}

/// Writes the manual, in roff, to standard output: the program first, then each subcommand.
///
/// # Errors
/// When it cannot be written.
pub fn write_manual() -> io::Result<()> {
    io::stdout().write_all(&manual()?)
}

fn manual() -> io::Result<Vec<u8>> {
    let mut command = CommandLine::command();
    command.build();
    let mut pages = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut pages)?;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let page = clap_mangen::Man::new(subcommand.clone());
        writeln!(pages, ".SH {}", subcommand.get_name().to_uppercase())?;
        page.render_description_section(&mut pages)?;
        page.render_options_section(&mut pages)?;
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_every_subcommand_and_flag() {
        let text = String::from_utf8(manual().unwrap()).unwrap();
        for word in [".TH floodway", "network\\-id", "SH DRAIN", "SH CHECK", "Exit codes"] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
    }
}
