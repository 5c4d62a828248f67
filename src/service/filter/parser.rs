//! Reads the filter grammar: clauses joined by AND, OR and NOT, with parentheses. What the fields
//! are and what may be asked of them is not known here.

use super::lexer::{Token, tokens};
use api::{Error, Result};
use store::Comparison;

/// A filter as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Clause(Clause),
}

/// `field operator value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    pub field: Name,
    pub operator: Operator,
    pub value: Value,
}

/// A field as written: what comes before the first dot, and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub entity: Option<String>,
    pub key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Compare(Comparison),
    Like,
    ILike,
    RLike,
    In,
    NotIn,
    IsNull,
    IsNotNull,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(f64),
    Text(String),
    List(Vec<String>),
    /// A word without quotes, which no field takes; kept for the message.
    Bare(String),
    None,
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => write!(f, "'{text}'"),
            Value::List(items) => write!(f, "('{}')", items.join("', '")),
            Value::Bare(text) => f.write_str(text),
            Value::None => Ok(()),
        }
    }
}

/// Clauses in one filter at most, and parentheses within each other.
const CLAUSES: usize = 200;
const DEPTH: usize = 50;

/// Parses a filter; nothing but blanks is no condition at all.
pub fn parse(filter: &str) -> Result<Option<Expression>> {
    let mut parser = Parser {
        tokens: tokens(filter)?.into_iter().peekable(),
        clauses: 0,
    };
    if parser.tokens.peek().is_none() {
        return Ok(None);
    }
    let expression = parser.either(0)?;
    match parser.tokens.next() {
        None => Ok(Some(expression)),
        Some(token) => Err(invalid(format!("unexpected `{token}`"))),
    }
}

fn invalid(problem: impl std::fmt::Display) -> Error {
    Error::invalid(format!("Invalid clause(s) in filter string: {problem}"))
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    clauses: usize,
}

impl Parser {
    fn either(&mut self, depth: usize) -> Result<Expression> {
        let mut parts = vec![self.both(depth)?];
        while self.keyword("OR") {
            parts.push(self.both(depth)?);
        }
        Ok(join(parts, Expression::Or))
    }

    fn both(&mut self, depth: usize) -> Result<Expression> {
        let mut parts = vec![self.factor(depth)?];
        while self.keyword("AND") {
            parts.push(self.factor(depth)?);
        }
        Ok(join(parts, Expression::And))
    }

    fn factor(&mut self, depth: usize) -> Result<Expression> {
        if depth > DEPTH {
            return Err(invalid(format!("more than {DEPTH} levels of parentheses")));
        }
        if self.keyword("NOT") {
            return Ok(Expression::Not(Box::new(self.factor(depth + 1)?)));
        }
        if self.tokens.next_if_eq(&Token::Open).is_some() {
            let inner = self.either(depth + 1)?;
            return match self.tokens.next() {
                Some(Token::Close) => Ok(inner),
                _ => Err(invalid("a parenthesis is not closed")),
            };
        }
        self.clauses += 1;
        if self.clauses > CLAUSES {
            return Err(invalid(format!("more than {CLAUSES} clauses")));
        }
        self.clause().map(Expression::Clause)
    }

    fn clause(&mut self) -> Result<Clause> {
        let field = match self.tokens.next() {
            Some(Token::Word(word)) => name(&word),
            Some(Token::Field(entity, key)) => Name { entity, key },
            Some(Token::Text(text)) => name(&text),
            Some(token) => return Err(invalid(format!("expected a field, found `{token}`"))),
            None => return Err(invalid("expected a clause at the end")),
        };
        let operator = self.operator()?;
        let value = match operator {
            Operator::IsNull | Operator::IsNotNull => Value::None,
            Operator::In | Operator::NotIn => self.list()?,
            _ => self.value()?,
        };
        Ok(Clause {
            field,
            operator,
            value,
        })
    }

    fn operator(&mut self) -> Result<Operator> {
        let Some(token) = self.tokens.next() else {
            return Err(invalid("expected an operator at the end"));
        };
        let text = match &token {
            Token::Operator(text) | Token::Word(text) => text.to_uppercase(),
            _ => String::new(),
        };
        Ok(match text.as_str() {
            "=" => Operator::Compare(Comparison::Equal),
            "!=" => Operator::Compare(Comparison::NotEqual),
            "<" => Operator::Compare(Comparison::Less),
            "<=" => Operator::Compare(Comparison::LessOrEqual),
            ">" => Operator::Compare(Comparison::Greater),
            ">=" => Operator::Compare(Comparison::GreaterOrEqual),
            "LIKE" => Operator::Like,
            "ILIKE" => Operator::ILike,
            "RLIKE" => Operator::RLike,
            "IN" => Operator::In,
            "NOT" if self.keyword("IN") => Operator::NotIn,
            "IS" if self.keyword("NULL") => Operator::IsNull,
            "IS" if self.keyword("NOT") && self.keyword("NULL") => Operator::IsNotNull,
            _ => return Err(invalid(format!("`{token}` is not a valid comparator"))),
        })
    }

    fn value(&mut self) -> Result<Value> {
        match self.tokens.next() {
            Some(Token::Number(number)) => Ok(Value::Number(number)),
            Some(Token::Text(text) | Token::Field(None, text)) => Ok(Value::Text(text)),
            Some(Token::Word(word)) => Ok(Value::Bare(word)),
            Some(Token::Open) => self.items(),
            Some(token) => Err(invalid(format!("expected a value, found `{token}`"))),
            None => Err(invalid("expected a value at the end")),
        }
    }

    fn list(&mut self) -> Result<Value> {
        match self.tokens.next() {
            Some(Token::Open) => self.items(),
            _ => Err(invalid("IN needs a list of quoted values in parentheses")),
        }
    }

    fn items(&mut self) -> Result<Value> {
        let mut items = Vec::new();
        loop {
            match self.tokens.next() {
                Some(Token::Text(text)) => items.push(text),
                _ => return Err(invalid("expected a quoted value in a list")),
            }
            match self.tokens.next() {
                Some(Token::Comma) if self.tokens.next_if_eq(&Token::Close).is_some() => break,
                Some(Token::Comma) => {}
                Some(Token::Close) => break,
                _ => return Err(invalid("a list is not closed")),
            }
        }
        Ok(Value::List(items))
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let matches = |token: &Token| match token {
            Token::Word(word) => word.eq_ignore_ascii_case(keyword),
            _ => false,
        };
        self.tokens.next_if(matches).is_some()
    }
}

fn join(mut parts: Vec<Expression>, joined: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => joined(parts),
    }
}

/// Splits a field at its first dot.
pub fn name(text: &str) -> Name {
    let unquote = |key: &str| {
        let inner = ['`', '"'].iter().find_map(|quote| {
            let inner = key.strip_prefix(*quote)?;
            inner.strip_suffix(*quote)
        });
        inner.unwrap_or(key).to_owned()
    };
    match text.split_once('.') {
        Some((entity, key)) if !text.starts_with(['`', '"']) => Name {
            entity: Some(entity.to_owned()),
            key: unquote(key),
        },
        _ => Name {
            entity: None,
            key: unquote(text),
        },
    }
}
