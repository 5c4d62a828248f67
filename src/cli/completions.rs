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
    /// What it completes: `aml`, or the link that `aml az-link` makes
    #[arg(long, value_enum, default_value = "aml")]
    program: Program,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Program {
    Aml,
    Az,
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

/// Where the script hands candidates to zsh, and how it is told that their case does not count.
const ZSH_OFFERS: &str = "_describe -V 'values' other";
const ZSH_ANY_CASE: &str = "-M 'm:{[:lower:][:upper:]}={[:upper:][:lower:]}'";

/// Bash takes `iris:1`, `iris@best` and `--workspace=churn` for three words and replaces the last of them only; to
/// `aml` each is one.
const BASH_WORDS: &str = r#"_aml() {
    local rest=${COMP_LINE:0:COMP_POINT} words=() last=-1 word glued i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        [[ $rest == [[:space:]]* ]] && glued= || glued=1
        rest=${rest#"${rest%%[![:space:]]*}"}
        (( i == COMP_CWORD )) && word=$rest
        rest=${rest#"$word"}
        if [[ $glued && $last -ge 0 && ( $word == [:=@]* || ${words[last]} == *[:=@] ) ]]; then
            words[last]+=$word
        else
            words[++last]=$word
        fi
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$last
    word=${words[last]}
    _clap_complete_aml "$1" "$word" "$3"
    glued=${COMP_WORDBREAKS//[!:=@]/}
    if [[ $glued && $word == *[$glued]* ]]; then
        word=${word%"${word##*[$glued]}"}
        for i in "${!COMPREPLY[@]}"; do
            COMPREPLY[i]=${COMPREPLY[i]:${#word}}
        done
    fi
}
"#;

pub fn completions(ctx: &Context, args: &CompletionsArgs) -> anyhow::Result<()> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Powershell => &Powershell,
    };
    let mut script = Vec::new();
    let name = match args.program {
        Program::Aml => "aml",
        Program::Az => "az",
    };
    shell.write_registration("COMPLETE", name, name, name, &mut script)?;
    let script = String::from_utf8_lossy(&script);
    let script = script.trim();
    ctx.ui.print(&match args.shell {
        Shell::Bash => {
            let function = format!("-F _clap_complete_{name}");
            let registered = script.replace(&function, &format!("-F _{name}"));
            let words = BASH_WORDS.replace("aml", name);
            format!("{words}{registered}\n")
        }
        Shell::Zsh => {
            let script = script.replace(ZSH_OFFERS, &format!("{ZSH_OFFERS} {ZSH_ANY_CASE}"));
            format!("{script}\n{}", ZSH_FIRST.replace("aml", name))
        }
        Shell::Fish | Shell::Powershell => format!("{script}\n"),
    })
}
