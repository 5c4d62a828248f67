//! Splits a filter into tokens.

use api::{Error, Result};

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A bare word: a keyword, or a field with its entity such as `metrics.loss`.
    Word(String),
    /// A field whose key is quoted, such as ``metrics.`val loss` `` or `` `Run Name` ``.
    Field(Option<String>, String),
    /// Text in single or double quotes.
    Text(String),
    Number(f64),
    /// One of `= != < <= > >=`, or what looks like an operator and is none.
    Operator(String),
    Open,
    Close,
    Comma,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Word(text) | Token::Operator(text) => f.write_str(text),
            Token::Field(None, key) => write!(f, "`{key}`"),
            Token::Field(Some(entity), key) => write!(f, "{entity}.`{key}`"),
            Token::Text(text) => write!(f, "'{text}'"),
            Token::Number(number) => write!(f, "{number}"),
            Token::Open => f.write_str("("),
            Token::Close => f.write_str(")"),
            Token::Comma => f.write_str(","),
        }
    }
}

/// The tokens of a filter, in order.
pub fn tokens(filter: &str) -> Result<Vec<Token>> {
    let mut lexer = Lexer {
        rest: filter.trim_start(),
    };
    let mut tokens = Vec::new();
    while let Some(first) = lexer.rest.chars().next() {
        tokens.push(lexer.token(first)?);
        lexer.rest = lexer.rest.trim_start();
    }
    Ok(tokens)
}

struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    fn token(&mut self, first: char) -> Result<Token> {
        Ok(match first {
            '(' => self.single(Token::Open),
            ')' => self.single(Token::Close),
            ',' => self.single(Token::Comma),
            '\'' | '"' => Token::Text(self.quoted(first)?),
            '`' => {
                let name = self.quoted('`')?;
                // An entity may be quoted too: `metrics`.loss
                match self.rest.strip_prefix('.') {
                    Some(rest) => {
                        self.rest = rest;
                        Token::Field(Some(name), self.key()?)
                    }
                    None => Token::Field(None, name),
                }
            }
            '=' | '!' | '<' | '>' => Token::Operator(self.take(|c| "=!<>".contains(c)).to_owned()),
            _ if self.number_begins(first) => self.number(),
            _ if word(first) => {
                let text = self.take(word);
                match text.strip_suffix('.') {
                    Some(entity) if self.rest.starts_with(['`', '"']) => {
                        Token::Field(Some(entity.to_owned()), self.key()?)
                    }
                    _ => Token::Word(text.to_owned()),
                }
            }
            _ => {
                return Err(Error::invalid(format!(
                    "Invalid clause(s) in filter string: unexpected `{first}`"
                )));
            }
        })
    }

    fn single(&mut self, token: Token) -> Token {
        self.rest = &self.rest[1..];
        token
    }

    fn take(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text
    }

    fn key(&mut self) -> Result<String> {
        match self.rest.chars().next() {
            Some(quote @ ('`' | '"')) => self.quoted(quote),
            _ => Ok(self.take(word).to_owned()),
        }
    }

    /// Reads up to the closing quote; a doubled quote stands for one.
    fn quoted(&mut self, quote: char) -> Result<String> {
        let mut text = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let Some(end) = rest.find(quote) else {
                return Err(Error::invalid(format!(
                    "Invalid clause(s) in filter string: {} has no closing {quote}",
                    self.rest
                )));
            };
            text.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            if !rest.starts_with(quote) {
                break;
            }
            text.push(quote);
            rest = &rest[1..];
        }
        self.rest = rest;
        Ok(text)
    }

    fn number_begins(&self, first: char) -> bool {
        let signed = self.rest[first.len_utf8()..].trim_start_matches('.');
        first.is_ascii_digit()
            || matches!(first, '-' | '+' | '.') && signed.starts_with(|c: char| c.is_ascii_digit())
    }

    fn number(&mut self) -> Token {
        let text = self.take(|c| c.is_ascii_alphanumeric() || ".+-_".contains(c));
        match text.parse() {
            Ok(number) => Token::Number(number),
            Err(_) => Token::Word(text.to_owned()),
        }
    }
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || "_.-/:@$".contains(c)
}
