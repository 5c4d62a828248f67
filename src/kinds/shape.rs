//! The description of a kind of file: which keys it has, what their values may be, what is left out
//! when they are absent.
//!
//! A Rust type carries its own description (`Described`), so the description that checks a file and
//! the struct that the program works with are one text. Everything here is constant: no start-up
//! cost, and types may contain themselves.

use std::{borrow::Cow, collections::BTreeSet, path::Path};

use serde_json::{Map as Object, Value};

use api::Error;

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Anything that YAML can say.
    Any,
    Bool,
    Integer,
    /// An integer from one number to another.
    Within(i64, i64),
    Number,
    /// One value that is no list or mapping, kept as it is.
    Literal,
    /// One value that is no list or mapping, as a string in Python's spelling.
    Scalar,
    /// A version: a string, or a number that becomes one.
    Version,
    Text(&'static Text),
    Choice(&'static Choice),
    List(&'static Shape),
    /// A mapping with keys of the user's own.
    Map(&'static Shape),
    Record(fn() -> &'static Record),
    Union(&'static Union),
    /// The path of a YAML file, replaced by what the file holds.
    Include(&'static Shape),
}

impl Shape {
    /// Whether lines of such a value may hold secrets.
    pub fn is_secret(&self) -> bool {
        match self {
            Shape::Text(text) => text.secret,
            Shape::List(inner) | Shape::Map(inner) | Shape::Include(inner) => inner.is_secret(),
            Shape::Record(record) => record().is_secret(),
            Shape::Union(union) => union.members.iter().any(Shape::is_secret),
            _ => false,
        }
    }

    /// The keys that hold a secret each, however deep.
    pub fn secret_keys(&self) -> BTreeSet<&'static str> {
        let mut keys = BTreeSet::new();
        self.add_secret_keys("", &mut keys, &mut Vec::new());
        keys
    }

    fn add_secret_keys(
        &self,
        key: &'static str,
        keys: &mut BTreeSet<&'static str>,
        seen: &mut Vec<*const Record>,
    ) {
        match self {
            Shape::Text(text) if text.secret => {
                keys.insert(key);
            }
            Shape::List(inner) | Shape::Map(inner) | Shape::Include(inner) => {
                inner.add_secret_keys(key, keys, seen);
            }
            Shape::Union(union) => {
                for member in union.members {
                    member.add_secret_keys(key, keys, seen);
                }
            }
            // Records may hold themselves.
            Shape::Record(record) if !seen.contains(&std::ptr::from_ref(record())) => {
                seen.push(record());
                for field in record().all() {
                    field.shape.add_secret_keys(field.name, keys, seen);
                }
            }
            _ => {}
        }
    }
}

/// A string with a meaning.
#[derive(Debug)]
pub struct Text {
    /// With its article, for messages: `a local path`.
    pub what: &'static str,
    /// Checks the string; `folder` is where its file is. Answers how it is kept.
    pub read: fn(&str, &Path) -> Result<String, Fault>,
    /// For the JSON Schema.
    pub pattern: Option<&'static str>,
    /// Not shown in messages.
    pub secret: bool,
}

impl Text {
    pub const PLAIN: Text = Text {
        what: "a string",
        read: |text, _| Ok(text.to_owned()),
        pattern: None,
        secret: false,
    };
}

/// Why a string was refused.
#[derive(Debug)]
pub struct Fault {
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn into_error(self) -> Error {
        let error = Error::invalid(self.message);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// One of a few words, in any case and style: `ro_mount`, `RoMount` and `RO_MOUNT` are one.
#[derive(Debug)]
pub struct Choice {
    pub what: &'static str,
    pub words: &'static [&'static str],
}

impl Choice {
    /// The word that is meant.
    pub fn find(&self, text: &str) -> Option<&'static str> {
        let wanted = bare(text);
        self.words.iter().copied().find(|word| bare(word) == wanted)
    }
}

fn bare(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// A mapping with known keys.
#[derive(Debug)]
pub struct Record {
    /// For messages, without an article: `command job`.
    pub name: &'static str,
    pub doc: &'static str,
    /// Records whose keys this one has too.
    pub bases: &'static [fn() -> &'static Record],
    pub fields: &'static [Field],
    /// Keys that only the service sets; they are dropped, so what `show` prints can be used again.
    pub read_only: &'static [&'static str],
    /// Those that only the service makes: where such records stand by name, these are dropped.
    pub own: Option<Own>,
    /// Other keys are kept instead of refused.
    pub open: bool,
    /// It holds secrets, and nothing of it is repeated in messages: where a key is misspelt or all stands
    /// on one line, nobody knows which lines they are on.
    pub secret: bool,
    /// Values inside may be expressions such as `${{parent.inputs.x}}`.
    pub bindable: bool,
    /// What cannot be said of one key alone.
    pub rule: Option<Rule>,
    /// The rule holds for the parts that are right, too, when others are wrong.
    pub in_parts: bool,
}

/// By what a record is known that only the service makes.
#[derive(Debug)]
pub struct Own {
    pub key: &'static str,
    pub has: fn(&str) -> bool,
}

/// Looks at a whole record that is right key by key; answers what is wrong where.
pub type Rule = fn(&Object<String, Value>) -> Vec<Wrong>;

/// Something wrong inside of a record.
#[derive(Debug)]
pub struct Wrong {
    /// The keys that lead there.
    pub path: Vec<String>,
    pub fault: Fault,
    /// It can be used all the same.
    pub harmless: bool,
}

impl Wrong {
    pub fn at<S: Into<String>>(path: impl IntoIterator<Item = S>, fault: Fault) -> Self {
        Self {
            path: path.into_iter().map(Into::into).collect(),
            fault,
            harmless: false,
        }
    }

    /// What is said to one who asks for it, of which no file tells the line.
    pub fn into_error(self) -> Error {
        self.fault.into_error().at(self.path.join("."))
    }
}

/// Where a rule finds something wrong.
#[cfg(test)]
pub(crate) fn places(rule: Rule, record: &Value) -> Vec<String> {
    let wrong = rule(record.as_object().expect("a record"));
    wrong.iter().map(|wrong| wrong.path.join(".")).collect()
}

impl Record {
    /// Its name behind the article that it takes; letters that are spoken alone are `MLTable`'s and the
    /// like.
    pub fn named(&self) -> String {
        let spoken = ["ML", "MPI"]
            .iter()
            .any(|begin| self.name.starts_with(begin));
        let vowel = self.name.starts_with(['a', 'e', 'i', 'o', 'A', 'I', 'O']);
        let article = if (vowel || spoken) && !self.name.starts_with("One") {
            "an"
        } else {
            "a"
        };
        format!("{article} {}", self.name)
    }

    pub const PLAIN: Record = Record {
        name: "",
        doc: "",
        bases: &[],
        fields: &[],
        read_only: &[],
        own: None,
        open: false,
        secret: false,
        bindable: false,
        rule: None,
        in_parts: false,
    };

    /// All fields, those of the bases first.
    pub fn all(&self) -> Vec<&'static Field> {
        let bases = self.bases.iter().flat_map(|base| base().all());
        bases.chain(self.fields.iter()).collect()
    }

    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let own = self.fields.iter().find(|field| field.name == name);
        own.or_else(|| self.bases.iter().find_map(|base| base().field(name)))
    }

    pub fn is_read_only(&self, name: &str) -> bool {
        self.read_only.contains(&name) || self.bases.iter().any(|base| base().is_read_only(name))
    }

    pub fn is_secret(&self) -> bool {
        self.secret || self.bases.iter().any(|base| base().is_secret())
    }

    /// The words of a key such as `type`, and whether one must be given.
    pub fn choice(&self, key: &str) -> Option<(&'static Choice, bool)> {
        match self.field(key)? {
            Field {
                shape: Shape::Choice(choice),
                required,
                ..
            } => Some((choice, *required)),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub doc: &'static str,
    pub shape: Shape,
    pub required: bool,
    pub default: Option<fn() -> Value>,
}

impl Field {
    /// How it could look.
    pub fn hint(&self) -> Option<String> {
        let name = self.name;
        match &self.shape {
            Shape::Choice(choice) => Some(format!("Add `{name}: {}`", choice.words[0])),
            Shape::Text(_)
            | Shape::Integer
            | Shape::Within(..)
            | Shape::Number
            | Shape::Union(_) => {
                let doc = self.doc.trim();
                (!doc.is_empty()).then(|| format!("`{name}`: {doc}"))
            }
            _ => None,
        }
    }
}

/// One of several shapes.
///
/// Which is meant follows from the value: string, list or mapping, then the `type` of a mapping,
/// then which one fits.
#[derive(Debug)]
pub struct Union {
    pub what: &'static str,
    pub doc: &'static str,
    pub members: &'static [Shape],
    /// The `type` of a mapping without one.
    pub default_type: Option<&'static str>,
    /// What messages call a value by its key: `Step`.
    pub called: Option<&'static str>,
}

impl Union {
    pub const PLAIN: Union = Union {
        what: "",
        doc: "",
        members: &[],
        default_type: None,
        called: None,
    };

    /// The members, those of unions inside as well.
    pub fn flat(&self) -> Vec<Shape> {
        let mut flat = Vec::new();
        for member in self.members {
            match member {
                Shape::Union(union) => flat.extend(union.flat()),
                member => flat.push(*member),
            }
        }
        flat
    }
}

/// Why a plain value is not what a type reads: a path of keys and what was wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch(pub String);

impl Mismatch {
    #[cold]
    pub fn wanted(what: &str, value: Option<&Value>) -> Self {
        match value {
            None => Self(format!("is missing; it is {what}")),
            Some(value) => Self(format!("is not {what}: {value}")),
        }
    }

    #[cold]
    #[must_use]
    pub fn under(self, key: &str) -> Self {
        match self.0.strip_prefix('`') {
            Some(rest) => Self(format!("`{key}.{rest}")),
            None => Self(format!("`{key}` {}", self.0)),
        }
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A type that knows what its files look like.
///
/// `read` and `write` work on the checked, canonical form (keys in snake case, defaults filled in) and
/// are each other's inverse, but for what an open record keeps without knowing it.
pub trait Described: Sized {
    const SHAPE: Shape;
    /// Whether a record that has a field of this type must give it.
    const REQUIRED: bool = true;
    fn read(value: Option<&Value>) -> Result<Self, Mismatch>;
    /// Nothing for what is absent.
    fn write(&self) -> Option<Value>;
}

/// The value of a record, if it is a mapping.
pub fn members<'a>(value: Option<&'a Value>, name: &str) -> Result<Option<&'a Value>, Mismatch> {
    match value {
        Some(Value::Object(_)) => Ok(value),
        _ => Err(Mismatch::wanted(&format!("a mapping ({name})"), value)),
    }
}

/// Reads one key of a record, or its default.
pub fn member<T: Described>(
    record: Option<&Value>,
    name: &str,
    default: Option<fn() -> Value>,
) -> Result<T, Mismatch> {
    let given = given(record, name, default);
    T::read(given.as_deref()).map_err(|mismatch| mismatch.under(name))
}

// Not inlined, here and below: every key of every record reads and writes itself through these.
#[inline(never)]
fn given<'a>(
    record: Option<&'a Value>,
    name: &str,
    default: Option<fn() -> Value>,
) -> Option<Cow<'a, Value>> {
    match record.and_then(|record| record.get(name)) {
        Some(given) => Some(Cow::Borrowed(given)),
        None => default.map(|default| Cow::Owned(default())),
    }
}

/// A record that is being written: the keys of its bases, then its own that are there.
#[derive(Default)]
pub struct Members(Object<String, Value>);

impl Members {
    /// All that a base has written.
    #[inline(never)]
    pub fn take(&mut self, base: Option<Value>) {
        match base {
            Some(Value::Object(base)) if self.0.is_empty() => self.0 = base,
            Some(Value::Object(base)) => self.0.extend(base),
            _ => {}
        }
    }

    #[inline(never)]
    pub fn put(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value);
        }
    }

    pub fn value(self) -> Value {
        Value::Object(self.0)
    }
}

/// Whether a shape has every key of a mapping. Other values have none.
pub fn knows(shape: &Shape, value: Option<&Value>) -> bool {
    let Some(Value::Object(members)) = value else {
        return true;
    };
    match shape {
        Shape::Record(record) => {
            let record = record();
            record.open || members.keys().all(|key| record.field(key).is_some())
        }
        Shape::Union(union) => union.members.iter().any(|member| knows(member, value)),
        _ => true,
    }
}
