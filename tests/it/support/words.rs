//! How a test writes a command line.

/// The words after `aml`: an array of words, or one line that is split as a shell would.
pub trait Words {
    fn words(self) -> Vec<String>;
}

impl<S: AsRef<str>, const N: usize> Words for [S; N] {
    fn words(self) -> Vec<String> {
        self.iter().map(|word| word.as_ref().to_owned()).collect()
    }
}

impl Words for Vec<String> {
    fn words(self) -> Vec<String> {
        self
    }
}

impl Words for &String {
    fn words(self) -> Vec<String> {
        self.as_str().words()
    }
}

impl Words for String {
    fn words(self) -> Vec<String> {
        self.as_str().words()
    }
}

impl Words for &str {
    /// Splits at spaces; quotes of both kinds hold words together, nothing else is special.
    fn words(self) -> Vec<String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        for c in self.chars() {
            match quote {
                Some(q) if q == c => quote = None,
                None if c == '\'' || c == '"' => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                None if c.is_whitespace() => words.extend(word.take()),
                None | Some(_) => word.get_or_insert_default().push(c),
            }
        }
        assert!(quote.is_none(), "a quote is not closed: {self}");
        words.extend(word);
        words
    }
}

#[test]
fn a_line_is_split_as_a_shell_would() {
    assert_eq!(
        r#"run submit --tag 'a=b c' "" --data '{"x": 1}'"#.words(),
        [
            "run",
            "submit",
            "--tag",
            "a=b c",
            "",
            "--data",
            r#"{"x": 1}"#
        ]
    );
}
