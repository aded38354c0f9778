//! `filestore completions` and `filestore man`, generated from the definition in [`crate::args`].

use clap::CommandFactory;
use clap_complete::Shell;
use filestore::{Error, Result, suggestion};

use crate::args::Cli;
use crate::output;

pub(crate) fn completions(shell: Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "filestore", &mut script);
    output::write_all(&script)?;
    Ok(0)
}

pub(crate) fn page(command: Option<&str>) -> Result<u8> {
    let mut program = Cli::command();
    program.build();
    let selected = match command {
        None => program,
        Some(name) => {
            let known = program.get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>();
            let unknown =
                || Error::invalid(format!("there is no command {name:?}; {}", suggestion(name, known.into_iter())));
            program.find_subcommand(name).ok_or_else(unknown)?.clone()
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(selected).render(&mut page).map_err(output::write_error)?;
    output::write_all(&page)?;
    Ok(0)
}
