//! Conditions on rows: `col("x") > 10 and not (col('y') == 'a')`.

use super::{cell::Cell, rows::Row};
use api::{Error, Result};

#[derive(Debug, Clone)]
pub enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Compare(Value, Order, Value),
    /// A value that is a truth itself.
    Is(Value),
}

#[derive(Debug, Clone)]
pub enum Value {
    Column(String),
    Literal(Cell),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Equal,
    Unequal,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser {
            tokens: tokens(text)?,
            at: 0,
            text,
        };
        let filter = parser.or()?;
        match parser.peek() {
            None => Ok(filter),
            Some(_) => Err(parser.wrong()),
        }
    }

    /// The columns it asks for.
    pub fn columns(&self, found: &mut Vec<String>) {
        match self {
            Filter::And(a, b) | Filter::Or(a, b) => {
                a.columns(found);
                b.columns(found);
            }
            Filter::Not(inner) => inner.columns(found),
            Filter::Compare(a, _, b) => {
                for value in [a, b] {
                    if let Value::Column(name) = value {
                        found.push(name.clone());
                    }
                }
            }
            Filter::Is(Value::Column(name)) => found.push(name.clone()),
            Filter::Is(Value::Literal(_)) => {}
        }
    }

    pub fn holds(&self, row: &Row) -> bool {
        match self {
            Filter::And(a, b) => a.holds(row) && b.holds(row),
            Filter::Or(a, b) => a.holds(row) || b.holds(row),
            Filter::Not(inner) => !inner.holds(row),
            Filter::Is(value) => value.of(row) == Cell::Bool(true),
            Filter::Compare(a, order, b) => {
                let (a, b) = (a.of(row), b.of(row));
                let found = a.compare(&b);
                match order {
                    Order::Equal => a == b || found.is_some_and(std::cmp::Ordering::is_eq),
                    Order::Unequal => a != b && found.is_none_or(std::cmp::Ordering::is_ne),
                    Order::Less => found.is_some_and(std::cmp::Ordering::is_lt),
                    Order::LessOrEqual => found.is_some_and(std::cmp::Ordering::is_le),
                    Order::More => found.is_some_and(std::cmp::Ordering::is_gt),
                    Order::MoreOrEqual => found.is_some_and(std::cmp::Ordering::is_ge),
                }
            }
        }
    }
}

impl Value {
    fn of(&self, row: &Row) -> Cell {
        match self {
            Value::Column(name) => row.get(name).cloned().unwrap_or(Cell::Missing),
            Value::Literal(cell) => cell.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(Cell),
    Sign(&'static str),
}

const SIGNS: [&str; 13] = [
    "<=", ">=", "==", "!=", "<", ">", "(", ")", "[", "]", "&", "|", "~",
];

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            found.push(Token::Sign(sign));
            sign.len()
        } else if first == '"' || first == '\'' {
            let end = rest[1..].find(first).ok_or_else(|| {
                Error::invalid(format!("A quote in the filter `{text}` is not closed"))
            })?;
            found.push(Token::Text(rest[1..=end].to_owned()));
            end + 2
        } else if first.is_ascii_digit() || "-+.".contains(first) {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && !"-+.".contains(c))
                .unwrap_or(rest.len());
            let number = &rest[..end];
            let whole = number.parse().map(Cell::Int);
            let cell = whole.or_else(|_| number.parse().map(Cell::Float));
            found.push(Token::Number(cell.map_err(|_| {
                Error::invalid(format!("`{number}` in the filter `{text}` is no number"))
            })?));
            end
        } else if first.is_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            found.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            return Err(Error::invalid(format!(
                "`{first}` means nothing in the filter `{text}`"
            )));
        };
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    text: &'a str,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Goes on when the next one is this sign or word.
    fn takes(&mut self, sign: &str, word: &str) -> bool {
        let found = match self.peek() {
            Some(Token::Sign(found)) => *found == sign,
            Some(Token::Word(found)) => found.eq_ignore_ascii_case(word),
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn wrong(&self) -> Error {
        Error::invalid(format!("The filter `{}` is not understood", self.text))
            .hint("Write it as col(\"x\") > 10 and col(\"y\") == \"a\"")
    }

    fn or(&mut self) -> Result<Filter> {
        let mut left = self.and()?;
        while self.takes("|", "or") {
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter> {
        let mut left = self.not()?;
        while self.takes("&", "and") {
            left = Filter::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Filter> {
        if self.takes("~", "not") {
            return Ok(Filter::Not(Box::new(self.not()?)));
        }
        if self.takes("(", "") {
            let inner = self.or()?;
            return if self.takes(")", "") {
                Ok(inner)
            } else {
                Err(self.wrong())
            };
        }
        let left = self.value()?;
        let orders = [
            ("<", Order::Less),
            ("<=", Order::LessOrEqual),
            (">", Order::More),
            (">=", Order::MoreOrEqual),
            ("==", Order::Equal),
            ("!=", Order::Unequal),
        ];
        for (sign, order) in orders {
            if self.takes(sign, "") {
                return Ok(Filter::Compare(left, order, self.value()?));
            }
        }
        Ok(Filter::Is(left))
    }

    fn value(&mut self) -> Result<Value> {
        let token = self.peek().cloned().ok_or_else(|| self.wrong())?;
        self.at += 1;
        Ok(match token {
            Token::Text(text) => Value::Literal(Cell::Text(text)),
            Token::Number(cell) => Value::Literal(cell),
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "true" => Value::Literal(Cell::Bool(true)),
                "false" => Value::Literal(Cell::Bool(false)),
                "none" | "null" => Value::Literal(Cell::Missing),
                "col" => {
                    let open = self.takes("(", "");
                    let name = self.peek().cloned();
                    self.at += 1;
                    match (open, name, self.takes(")", "")) {
                        (true, Some(Token::Text(name)), true) => Value::Column(name),
                        _ => return Err(self.wrong()),
                    }
                }
                _ => return Err(self.wrong()),
            },
            Token::Sign(_) => return Err(self.wrong()),
        })
    }
}
