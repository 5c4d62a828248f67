//! `record!`, `union!`, `choice!`, `words!` and `text!`: a type and its description, written once.
//!
//! The types of the fields say what is required: a plain type is, an `Option`, a `Vec`, a `Map` and
//! a field with a default are not. The comments become the descriptions in the JSON Schema.

/// The name without the `r#` of a Rust keyword.
pub const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// A mapping with known keys: a struct that reads, writes and describes itself.
///
/// ```text
/// record! {
///     /// What it is.
///     Thing = "thing" (read_only: &["id"]) {   // other parts of `Record`
///         ..base: OtherRecord,           // its keys too
///         /// What the key is for.
///         name: String,                  // required
///         size: Option<i64>,             // optional
///         count: i64 = 1,                // 1 when absent
///         tags: Map<Scalar>,             // the user's own keys
///     }
/// }
/// ```
macro_rules! record {
    ($(
        $(#[doc = $doc:literal])*
        $Name:ident = $title:literal $(($($part:ident: $value:expr),* $(,)?))? {
            $(..$base:ident: $Base:ty,)*
            $( $(#[doc = $field_doc:literal])* $field:ident: $type:ty $(= $default:expr)?, )*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::struct_field_names, reason = "the names are those of the files")]
        pub struct $Name {
            $(pub $base: $Base,)*
            $( $(#[doc = $field_doc])* pub $field: $type, )*
        }

        impl $Name {
            #[allow(clippy::needless_update, reason = "a record may set every part")]
            pub fn record() -> &'static $crate::shape::Record {
                use $crate::shape;
                static RECORD: shape::Record = shape::Record {
                    name: $title,
                    doc: concat!($($doc, "\n",)*),
                    bases: &[$(<$Base>::record,)*],
                    fields: &[$(shape::Field {
                        name: $crate::declare::plain_name(stringify!($field)),
                        doc: concat!($($field_doc, "\n",)*),
                        shape: <$type as shape::Described>::SHAPE,
                        required: <$type as shape::Described>::REQUIRED
                            && $crate::declare::nothing!($($default)?),
                        default: $crate::declare::first!(
                            $(Some(|| serde_json::Value::from($default)),)? None
                        ),
                    },)*],
                    $($($part: $value,)*)?
                    ..shape::Record::PLAIN
                };
                &RECORD
            }
        }

        impl $crate::shape::Described for $Name {
            const SHAPE: $crate::shape::Shape =
                $crate::shape::Shape::Record($Name::record);

            fn read(
                value: Option<&serde_json::Value>,
            ) -> Result<Self, $crate::shape::Mismatch> {
                use $crate::shape;
                let value = shape::members(value, $title)?;
                let _ = &value;
                Ok(Self {
                    $($base: <$Base as shape::Described>::read(value)?,)*
                    $($field: {
                        let default: Option<fn() -> serde_json::Value> = $crate::declare::first!(
                            $(Some(|| serde_json::Value::from($default)),)? None
                        );
                        shape::member(value, $crate::declare::plain_name(stringify!($field)), default)?
                    },)*
                })
            }

            fn write(&self) -> Option<serde_json::Value> {
                use $crate::shape;
                #[allow(unused_mut, reason = "a record may have no keys")]
                let mut members = shape::Members::default();
                $(members.take(shape::Described::write(&self.$base));)*
                $(members.put(
                    $crate::declare::plain_name(stringify!($field)),
                    shape::Described::write(&self.$field),
                );)*
                Some(members.value())
            }
        }
    )*};
}

/// The first of its arguments.
macro_rules! first {
    ($first:expr $(, $rest:expr)* $(,)?) => {
        $first
    };
}

/// Whether it has no argument.
macro_rules! nothing {
    () => {
        true
    };
    ($something:expr) => {
        false
    };
}

/// One of several types; the first that fits is meant.
macro_rules! union {
    ($(
        $(#[doc = $doc:literal])*
        $Name:ident = $what:literal $(($($part:ident: $value:expr),* $(,)?))? {
            $($Variant:ident($type:ty),)*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "read once, not kept in numbers")]
        pub enum $Name { $($Variant($type),)* }

        impl $crate::shape::Described for $Name {
            #[allow(clippy::needless_update, reason = "a union may set every part")]
            const SHAPE: $crate::shape::Shape =
                $crate::shape::Shape::Union(&$crate::shape::Union {
                    what: $what,
                    doc: concat!($($doc, "\n",)*),
                    members: &[$(<$type as $crate::shape::Described>::SHAPE,)*],
                    $($($part: $value,)*)?
                    ..$crate::shape::Union::PLAIN
                });

            fn read(
                value: Option<&serde_json::Value>,
            ) -> Result<Self, $crate::shape::Mismatch> {
                // One that knows every key, so that none is lost; else the first that can be read.
                $(
                    if $crate::shape::knows(
                        &<$type as $crate::shape::Described>::SHAPE,
                        value,
                    ) && let Ok(found) = <$type as $crate::shape::Described>::read(value)
                    {
                        return Ok(Self::$Variant(found));
                    }
                )*
                $(
                    if let Ok(found) = <$type as $crate::shape::Described>::read(value) {
                        return Ok(Self::$Variant(found));
                    }
                )*
                Err($crate::shape::Mismatch::wanted($what, value))
            }

            fn write(&self) -> Option<serde_json::Value> {
                match self {
                    $(Self::$Variant(value) => $crate::shape::Described::write(value),)*
                }
            }
        }
    )*};
}

/// One of a few words, as an enum.
macro_rules! choice {
    ($(
        $(#[doc = $doc:literal])*
        $Name:ident = $what:literal { $($Variant:ident = $word:literal,)* }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Name { $($Variant,)* }

        impl $Name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$Variant => $word,)* }
            }
        }

        impl $crate::shape::Described for $Name {
            const SHAPE: $crate::shape::Shape =
                $crate::shape::Shape::Choice(&$crate::shape::Choice {
                    what: $what,
                    words: &[$($word,)*],
                });

            fn read(
                value: Option<&serde_json::Value>,
            ) -> Result<Self, $crate::shape::Mismatch> {
                match value.and_then(serde_json::Value::as_str) {
                    $(Some($word) => Ok(Self::$Variant),)*
                    _ => Err($crate::shape::Mismatch::wanted($what, value)),
                }
            }

            fn write(&self) -> Option<serde_json::Value> {
                Some(self.as_str().into())
            }
        }
    )*};
}

/// One of a few words, as a string: for what the program stores but does not decide by.
macro_rules! words {
    ($(
        $(#[doc = $doc:literal])*
        $Name:ident = $what:literal [$($word:literal),* $(,)?]
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $Name(pub String);

        impl $crate::shape::Described for $Name {
            const SHAPE: $crate::shape::Shape =
                $crate::shape::Shape::Choice(&$crate::shape::Choice {
                    what: $what,
                    words: &[$($word,)*],
                });

            fn read(
                value: Option<&serde_json::Value>,
            ) -> Result<Self, $crate::shape::Mismatch> {
                match value.and_then(serde_json::Value::as_str) {
                    Some(word) if [$($word,)*].contains(&word) => Ok(Self(word.to_owned())),
                    _ => Err($crate::shape::Mismatch::wanted($what, value)),
                }
            }

            fn write(&self) -> Option<serde_json::Value> {
                Some(self.0.clone().into())
            }
        }
    )*};
}

/// A string with a rule: `text! { /// Doc. Name = "what it is", read_function }`.
macro_rules! text {
    ($(
        $(#[doc = $doc:literal])*
        $Name:ident = $what:literal, $read:expr $(, $part:ident: $value:expr)*;
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $Name(pub String);

        impl std::ops::Deref for $Name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl $crate::shape::Described for $Name {
            #[allow(clippy::needless_update, reason = "a text may set every part")]
            const SHAPE: $crate::shape::Shape =
                $crate::shape::Shape::Text(&$crate::shape::Text {
                    what: $what,
                    read: $read,
                    $($part: $value,)*
                    ..$crate::shape::Text::PLAIN
                });

            fn read(
                value: Option<&serde_json::Value>,
            ) -> Result<Self, $crate::shape::Mismatch> {
                match value.and_then(serde_json::Value::as_str) {
                    Some(text) => Ok(Self(text.to_owned())),
                    None => Err($crate::shape::Mismatch::wanted($what, value)),
                }
            }

            fn write(&self) -> Option<serde_json::Value> {
                Some(self.0.clone().into())
            }
        }
    )*};
}

pub(crate) use {choice, first, nothing, record, text, union, words};
