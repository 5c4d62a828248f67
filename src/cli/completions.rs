//! `aml completions`

use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, EnvCompleter, Fish, Powershell, Zsh};

use super::context::Context;

/// Print the script that makes a shell complete `aml`
///
/// It asks `aml` for candidates at every TAB, so names of workspaces, runs, models and endpoints
/// are completed too, and it stays right when `aml` is updated.
///
/// bash: echo 'source <(aml completions bash)' >> ~/.bashrc
/// zsh: echo 'source <(aml completions zsh)' >> ~/.zshrc, below `compinit`
/// fish: aml completions fish > ~/.config/fish/completions/aml.fish
/// PowerShell: aml completions powershell | Out-String | Invoke-Expression, in $PROFILE
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct CompletionsArgs {
    /// Shell to print it for
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// Found on the `fpath`, the script is loaded by the first TAB, which must answer too.
const ZSH_FIRST: &str = "if [[ $funcstack[1] = _aml ]]; then _clap_dynamic_completer_aml; fi\n";

pub fn completions(ctx: &Context, args: &CompletionsArgs) -> anyhow::Result<()> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Powershell => &Powershell,
    };
    let mut script = Vec::new();
    shell.write_registration("COMPLETE", "aml", "aml", "aml", &mut script)?;
    let script = String::from_utf8_lossy(&script);
    let first = match args.shell {
        Shell::Zsh => ZSH_FIRST,
        Shell::Bash | Shell::Fish | Shell::Powershell => "",
    };
    ctx.ui.print(&format!("{}\n{first}", script.trim()))
}
