//! `listend manual`: the man page and the completions of shells, made from the definition that `--help` is made from.
//!
//! A hidden command and no files in the tree: a package is built from the program that it holds, so that neither can say
//! what the other does not do.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

use crate::{Fault, exit};

/// What the man page says beside the options: roff, after man(7).
const FURTHER: &str = r#".SH FILES
.TP
.I config/listend.toml\fR, \fI/etc/listend/listend.toml
The configuration: the first of them that exists. Every key is in it, with its default and what it means.
.TP
.I lists/*.opml
The lists, beside the configuration unless its key \fBlists\fR says otherwise.
.TP
.I /var/lib/listend
The database, where systemd runs the daemon; otherwise
.I state
beside the configuration.
.SH ENVIRONMENT
.TP
.B LISTEND_LOG
How much is logged:
.BR error ", " warn ", " info " (the default), " debug " or " trace .
.TP
.B STATE_DIRECTORY
Where the database is unless the configuration says so.
.TP
.B CREDENTIALS_DIRECTORY
The file
.I tokens
in it has tokens, one a line, that count like those of \fBserver.tokens\fR.
.SH SIGNALS
.TP
.B SIGTERM\fR, \fBSIGINT
End: what is under way is finished, within 15 seconds.
.TP
.B SIGHUP
Read the configuration again; a bad one is reported, and the old one stays in force.
.SH "EXIT STATUS"
.TP
.B 0
All is well.
.TP
.B 1
Failure; the last line says what failed. For
.BR check :
there is a fault in a list.
.TP
.B 2
Wrong usage.
.TP
.B 65
The database is damaged. It is left as it is.
.TP
.B 78
The configuration is bad; the line names file, line and key.
"#;

/// Writes `man/listend.1`, a page for each command beside it, and the completions of bash, zsh and fish in directories of
/// their names, below the directory.
pub(crate) fn write(definition: &Command, directory: &Path) -> Result<(), Fault> {
    let definition = definition.clone();
    make(definition, directory).map_err(|error| {
        Fault::new(exit::FAILURE, format!("{}: the manual cannot be written: {error}", directory.display()))
    })
}

fn make(mut definition: Command, directory: &Path) -> io::Result<()> {
    // `listend help` has no page of its own.
    definition = definition.disable_help_subcommand(true);
    definition.build();
    let pages = directory.join("man");
    fs::create_dir_all(&pages)?;
    let mut page = Vec::new();
    let man = Man::new(definition.clone());
    man.render(&mut page)?;
    page.extend_from_slice(FURTHER.as_bytes());
    fs::write(pages.join(man.get_filename()), page)?;
    for command in definition.get_subcommands().filter(|command| !command.is_hide_set()) {
        let man = Man::new(command.clone());
        let mut page = Vec::new();
        man.render(&mut page)?;
        fs::write(pages.join(man.get_filename()), page)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let place = directory.join(shell.to_string());
        fs::create_dir_all(&place)?;
        generate_to(shell, &mut definition, "listend", &place)?;
    }
    Ok(())
}
