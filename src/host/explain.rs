//! Why a scoring process failed, read from its log.

pub use executor::log::read;

/// What serves scoring scripts.
const SERVER: &str = "azureml_inference_server_http";
const NO_SERVER: &str = "The Python of `--env host` has no azureml-inference-server-http, which serves \
                         scoring scripts\nInstall it there (pip install azureml-inference-server-http), or \
                         deploy without `--env host`: then an environment is made that has it";
/// Lines of the log that are shown.
const TAIL: usize = 25;
const TRACEBACK: &str = "Traceback (most recent call last):";
const CRASH: &str = "Fatal Python error: ";
/// Python prints it between an exception and the one that was raised from it.
const WRAPPED: &str = "The above exception was the direct cause of the following exception:";

/// One line that says what went wrong, then the part of the log that shows it.
pub fn failure(how: &str, log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    if missing(&lines) == Some(SERVER) {
        return NO_SERVER.to_owned();
    }
    let traceback = match crash(&lines) {
        Some(crash) => {
            return format!(
                "The scoring script failed: {}\n{}",
                crash[0],
                crash.join("\n")
            );
        }
        None => user_traceback(&lines),
    };
    let advice = missing(&lines).map_or(String::new(), |module| format!("\n{}", advice(module)));
    let headline = match traceback.last() {
        Some(exception) => format!("The scoring script failed: {exception}"),
        None => match reason(&lines) {
            Some(reason) => format!("The scoring process {how}: {reason}"),
            None => format!("The scoring process {how}"),
        },
    };
    let shown = match traceback {
        [] => &lines[lines.len().saturating_sub(TAIL)..],
        long if long.len() > 2 * TAIL => &long[long.len() - 2 * TAIL..],
        short => short,
    };
    if shown.is_empty() {
        return headline;
    }
    format!("{headline}\n{}{advice}", shown.join("\n"))
}

/// Why the scoring server gave up, in its own words.
fn reason<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let own = |line: &&'a str| {
        let (_, said) = line.split_once(" gunicorn.error - ")?;
        let signal = || said.contains(" was sent SIG").then_some(said);
        said.strip_prefix("Reason: ").or_else(signal)
    };
    lines.iter().rev().find_map(own)
}

/// What Python says when it is ended from below, such as by a segmentation fault of a library: the frames
/// come innermost first, and no exception follows.
fn crash<'a>(lines: &'a [&'a str]) -> Option<&'a [&'a str]> {
    let at = lines.iter().rposition(|line| line.starts_with(CRASH))?;
    let after = &lines[at..];
    if after.iter().any(|line| line.contains(TRACEBACK)) {
        return None;
    }
    let end = after.iter().position(|line| is_record(line));
    Some(&after[..end.unwrap_or(after.len()).min(TAIL)])
}

/// The Python module that could not be found, if that is why.
fn missing<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let found = lines.iter().rev().find_map(|line| {
        let (_, rest) = line.split_once("ModuleNotFoundError: No module named '")?;
        rest.split_once('\'')
    });
    found.map(|(module, _)| module)
}

fn advice(module: &str) -> String {
    format!(
        "Name the packages that the script needs, `{module}` among them: --env requirements.txt"
    )
}

/// The lines of the last traceback, without the exceptions that the server wraps the user's in.
fn user_traceback<'a>(lines: &'a [&'a str]) -> &'a [&'a str] {
    let begins = |line: &str| line.contains(TRACEBACK);
    let Some(last) = lines.iter().rposition(|line| begins(line)) else {
        return &[];
    };
    let mut start = last;
    // Back to the exception that the others were raised from.
    while let Some(wrap) = lines[..start].iter().rposition(|line| *line == WRAPPED) {
        let blank = lines[wrap..start]
            .iter()
            .all(|line| line.is_empty() || *line == WRAPPED);
        let Some(before) = lines[..wrap].iter().rposition(|line| begins(line)) else {
            break;
        };
        if !blank {
            break;
        }
        start = before;
    }
    let body = &lines[start + 1..];
    // Frames are indented; the exception is the first line that is not.
    let Some(exception) = body.iter().position(|line| !line.starts_with([' ', '\t'])) else {
        return &lines[start..];
    };
    let more = body[exception..]
        .iter()
        .position(|line| line.is_empty() || is_record(line))
        .unwrap_or(body.len() - exception);
    &lines[start..=start + exception + more.max(1)]
}

/// Whether a line begins a log record: `2026-11-23 22:30:17,696 I …`.
fn is_record(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.len() > 20
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[10] == b' '
}

#[cfg(test)]
mod tests {
    use super::{NO_SERVER, failure};

    const INIT: &str = "\
2026-11-23 22:30:17,696 I [16884] azmlinfsrv.user_script - Invoking user's init function
2026-11-23 22:30:17,696 E [16884] azmlinfsrv - Encountered Exception Traceback (most recent call last):
  File \"/env/user_script.py\", line 119, in invoke_init
    self._user_init()
  File \"/code/bad.py\", line 2, in init
    raise RuntimeError(\"no weights\")
RuntimeError: no weights

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File \"/env/aml_blueprint.py\", line 109, in setup
    self.user_script.invoke_init()
UserScriptException: Caught an unhandled exception from the user script

2026-11-23 22:30:17,848 E [16883] gunicorn.error - Reason: Worker failed to boot.
";

    #[test]
    fn the_exception_of_the_script_comes_first_and_its_traceback_follows() {
        let text = failure("ended with exit code 3", INIT);
        assert_eq!(
            text.lines().next(),
            Some("The scoring script failed: RuntimeError: no weights")
        );
        assert!(text.contains("/code/bad.py"), "{text}");
        assert!(!text.contains("aml_blueprint"), "{text}");
        assert!(text.ends_with("RuntimeError: no weights"), "{text}");
    }

    #[test]
    fn a_crash_below_python_is_shown_from_the_frame_in_which_it_happened() {
        let frames = "  File \"/env/importlib.py\", line 1 in call\n".repeat(60);
        let log = format!(
            "2026-11-23 22:30:17,696 I [16884] azmlinfsrv - Starting\n\
             Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n  \
             File \"/code/segv.py\", line 2 in init\n{frames}\
             2026-11-23 22:30:17,848 E [16883] gunicorn.error - Worker (pid:9) was sent SIGSEGV!\n"
        );
        let text = failure("ended with exit code 3", &log);
        let lines: Vec<&str> = text.lines().collect();
        let first = "The scoring script failed: Fatal Python error: Segmentation fault";
        assert_eq!(lines[0], first);
        assert!(lines[4].ends_with("segv.py\", line 2 in init"), "{text}");
        assert!(lines.len() < 40, "{text}");
        let killed = "2026-11-23 22:30:17,848 E [1] gunicorn.error - Worker (pid:9) was sent SIGKILL! Perhaps out of memory?\n";
        let text = failure("ended with exit code 3", killed);
        assert!(
            text.contains("exit code 3: Worker (pid:9) was sent SIGKILL!"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_package_comes_with_advice() {
        let log = |module: &str| {
            format!(
                "Traceback (most recent call last):\n  File \"serve.py\", line 1, in <module>\n\
                 ModuleNotFoundError: No module named '{module}'\n"
            )
        };
        let text = failure("ended", &log("sklearn"));
        assert!(
            text.ends_with("`sklearn` among them: --env requirements.txt"),
            "{text}"
        );
        let text = failure("ended", &log("azureml_inference_server_http"));
        assert_eq!(text, NO_SERVER);
    }

    #[test]
    fn without_a_traceback_the_end_of_the_log_is_shown() {
        let text = failure("ended with exit code 1", "one\nNo module named x\n");
        assert_eq!(
            text,
            "The scoring process ended with exit code 1\none\nNo module named x"
        );
        assert_eq!(
            failure("was ended by signal 9", ""),
            "The scoring process was ended by signal 9"
        );
    }
}
