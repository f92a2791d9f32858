//! Parameters of statements.

/// A bound parameter.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A number, a time, or 0 or 1.
    Int(Option<i64>),
    /// Hours, percents.
    Real(Option<f64>),
    /// Text, or a JSON array.
    Text(Option<String>),
    /// What is no text.
    Bytes(Vec<u8>),
}

macro_rules! value_from {
    ($($from:ty => |$it:ident| $make:expr),+ $(,)?) => {
        $(impl From<$from> for Value {
            fn from($it: $from) -> Self {
                $make
            }
        })+
    };
}

value_from! {
    i64 => |it| Self::Int(Some(it)),
    Option<i64> => |it| Self::Int(it),
    bool => |it| Self::Int(Some(i64::from(it))),
    f64 => |it| Self::Real(Some(it)),
    Option<f64> => |it| Self::Real(it),
    String => |it| Self::Text(Some(it)),
    &String => |it| Self::Text(Some(it.clone())),
    &str => |it| Self::Text(Some(it.to_owned())),
    Option<String> => |it| Self::Text(it),
    Option<&str> => |it| Self::Text(it.map(str::to_owned)),
    &Option<String> => |it| Self::Text(it.clone()),
    Vec<u8> => |it| Self::Bytes(it),
    &[String] => |it| Self::Text(Some(list(it))),
    &[i64] => |it| Self::Text(Some(numbers(it))),
}

/// A list of strings as it is stored.
pub(super) fn list(items: &[String]) -> String {
    serde_json::Value::from(items).to_string()
}

fn numbers(items: &[i64]) -> String {
    serde_json::Value::from(items).to_string()
}

/// `args![a, b]`
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::store::value::Value::from($value)),*]
    };
}
pub(super) use args;

/// A value for a column of a new row.
pub(super) type Column = (&'static str, Value);

/// `columns! { name: value, … }`: values beside the names of their columns.
macro_rules! columns {
    ($($name:ident: $value:expr),* $(,)?) => {
        vec![$((stringify!($name), $crate::store::value::Value::from($value))),*]
    };
}
pub(super) use columns;
