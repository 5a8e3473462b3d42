//! `stockade completions` and `stockade man`: made from the definitions, so that they cannot differ from them.

use std::path::PathBuf;

use clap_complete::Shell;

use super::failure::Failure;
use super::output;

#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write one page for each command into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::definition(), "stockade", &mut script);
    output::bytes(&script)
}

pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let wrong = |e: std::io::Error| Failure::failed(format!("cannot write the manual: {e}"));
    match &args.out {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(wrong)?;
            clap_mangen::generate_to(super::definition(), dir).map_err(wrong)?;
            output::line(format!("wrote the manual to {}", dir.display()))
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(super::definition()).render(&mut page).map_err(wrong)?;
            output::bytes(&page)
        }
    }
}
