//! `mailstow completions` and `mailstow man`, from clap's own generators.

use clap::CommandFactory;

use super::args::Cli;
use super::failure::CommandError;
use super::text::out_bytes;

pub(crate) fn shell(shell: clap_complete::Shell) -> Result<u8, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mailstow", &mut script);
    write(&script)
}

pub(crate) fn man() -> Result<u8, CommandError> {
    let mut page = Vec::new();
    // Built as a whole: a subcommand on its own does not know the global options.
    let mut program = Cli::command();
    program.build();
    clap_mangen::Man::new(program.clone())
        .render(&mut page)
        .map_err(|e| CommandError::internal(format!("cannot write the manual page: {e}")))?;
    for command in program.get_subcommands() {
        let rendered = clap_mangen::Man::new(
            command
                .clone()
                .display_name(format!("mailstow-{}", command.get_name())),
        )
        .render(&mut page);
        rendered
            .map_err(|e| CommandError::internal(format!("cannot write the manual page: {e}")))?;
    }
    write(&page)
}

fn write(text: &[u8]) -> Result<u8, CommandError> {
    match out_bytes(text) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CommandError::internal(format!("cannot write: {e}")))
        }
        _ => Ok(0),
    }
}
