//! What a search asks of the things it looks for, after parsing and checking: a tree of tests on
//! fields, and an order. How it becomes SQL is told by the kinds of fields.

/// A condition on things whose fields are `F`.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition<F> {
    All(Vec<Condition<F>>),
    Any(Vec<Condition<F>>),
    Not(Box<Condition<F>>),
    Test(F, Test),
}

impl<F> Condition<F> {
    /// Holds for everything.
    pub fn always() -> Self {
        Condition::All(Vec::new())
    }
}

/// What a field's value must be. A field that is absent passes only `Present(false)`.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Number(Comparison, f64),
    Text(Comparison, String),
    /// `%` is any text, `_` any character.
    Like {
        pattern: String,
        ignore_case: bool,
    },
    /// A part of the text is as the regular expression says, which has been checked.
    Matches(String),
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
    Present(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub fn sql(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

/// One key of an order; things without the field come last in both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Order<F> {
    pub field: F,
    pub descending: bool,
}
