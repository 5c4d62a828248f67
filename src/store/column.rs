//! How values go into columns and come out of them; with `db`, what knows the driver.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use api::{Time, files::Hash};

pub use rusqlite::{Result as RowResult, types::Value};

/// A value that a statement is given.
pub trait Bind {
    fn bind(&self) -> RowResult<ToSqlOutput<'_>>;
}

/// A value that a column holds.
pub trait Column: Sized {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self>;
}

/// The values of a statement's `?1`, `?2` and so on.
pub type Params<'a> = &'a [&'a dyn Bind];

/// Lists the values of a statement, of any types.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::column::Bind),*] as $crate::column::Params<'_>
    };
}
pub(crate) use params;

/// The values of a statement that was put together.
pub fn params_of(values: &[Value]) -> Vec<&dyn Bind> {
    values.iter().map(|value| value as &dyn Bind).collect()
}

/// A row of what a statement answers.
pub struct Row<'a>(pub(super) &'a rusqlite::Row<'a>);

impl<'a> Row<'a> {
    /// The value of a column, counted from zero.
    pub fn get<T: Column>(&self, index: usize) -> RowResult<T> {
        let value = self.get_ref(index)?;
        T::read(value).map_err(|error| self.wrong(index, error))
    }

    /// The same without a copy.
    pub fn get_ref(&self, index: usize) -> RowResult<ValueRef<'a>> {
        self.0.get_ref(index)
    }

    #[cold]
    fn wrong(&self, index: usize, error: FromSqlError) -> rusqlite::Error {
        let kind = self.get_ref(index).map(|value| value.data_type());
        let kind = kind.unwrap_or(rusqlite::types::Type::Null);
        rusqlite::Error::FromSqlConversionFailure(index, kind, Box::new(error))
    }
}

/// One parameter as the driver takes it.
pub(super) struct Bound<'a>(pub(super) &'a dyn Bind);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.bind()
    }
}

/// What is kept as the driver keeps it.
macro_rules! plain {
    ($($Type:ty),*) => {$(
        impl Bind for $Type {
            fn bind(&self) -> RowResult<ToSqlOutput<'_>> {
                self.to_sql()
            }
        }

        impl Column for $Type {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::column_result(value)
            }
        }
    )*};
}
plain!(
    bool,
    f64,
    i32,
    i64,
    u16,
    u32,
    u64,
    usize,
    String,
    Vec<u8>,
    Value
);

/// The same for what is borrowed, which no column gives.
macro_rules! borrowed {
    ($($Type:ty),*) => {$(
        impl Bind for $Type {
            fn bind(&self) -> RowResult<ToSqlOutput<'_>> {
                self.to_sql()
            }
        }
    )*};
}
borrowed!(str, [u8]);

impl<T: Bind + ?Sized> Bind for &T {
    fn bind(&self) -> RowResult<ToSqlOutput<'_>> {
        (*self).bind()
    }
}

impl<T: Bind> Bind for Option<T> {
    fn bind(&self) -> RowResult<ToSqlOutput<'_>> {
        match self {
            Some(value) => value.bind(),
            None => Ok(ToSqlOutput::Borrowed(ValueRef::Null)),
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(None),
            value => T::read(value).map(Some),
        }
    }
}

impl Bind for Time {
    fn bind(&self) -> RowResult<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl Column for Time {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

impl Bind for Hash {
    fn bind(&self) -> RowResult<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl Column for Hash {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        let bytes = bytes.try_into().map_err(|_| FromSqlError::InvalidType)?;
        Ok(Self(bytes))
    }
}
