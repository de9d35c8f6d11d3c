use std::{borrow::Cow, ops::Range};

use ferrocket_model::{BrokerName, Group, ShortText, Topic};

use crate::{
    DecodeError, HeaderFormat,
    header::{self, FieldIndex, Place},
};

/// Takes the ext fields of a header, one by one, in the byte order of their names.
///
/// The order is what lets a request be signed, and extra fields be merged in, without a map in between.
pub trait FieldSink {
    /// A text.
    fn text(&mut self, name: &'static str, value: &str);
    /// A number.
    fn number(&mut self, name: &'static str, value: i64);
    /// A boolean.
    fn boolean(&mut self, name: &'static str, value: bool) {
        self.text(name, if value { "true" } else { "false" });
    }
}

/// Something that has ext fields.
pub trait WriteFields {
    /// Hands every field to `sink`, in the byte order of the names.
    fn write_fields(&self, sink: &mut dyn FieldSink);
}

/// No ext fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoFields;

impl WriteFields for NoFields {
    fn write_fields(&self, _: &mut dyn FieldSink) {}
}

/// A type that an ext field can hold.
pub trait FieldValue: Sized {
    /// What the field should be, for error texts.
    const EXPECTED: &'static str;
    /// Reads the text of a field.
    fn from_text(text: &str) -> Option<Self>;
    /// The value of a text that is nothing but digits: numbers are read without being text first.
    fn from_digits(digits: u64) -> Option<Self> {
        let _ = digits;
        None
    }
    /// Hands the field to a sink.
    fn write(&self, name: &'static str, sink: &mut dyn FieldSink);
}

macro_rules! number_field {
    ($($type:ty => $expected:literal),*) => {$(
        impl FieldValue for $type {
            const EXPECTED: &'static str = $expected;
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn from_digits(digits: u64) -> Option<Self> {
                Self::try_from(digits).ok()
            }
            fn write(&self, name: &'static str, sink: &mut dyn FieldSink) {
                // Java has no unsigned numbers: what does not fit is cut to its largest.
                sink.number(name, i64::try_from(*self).unwrap_or(i64::MAX));
            }
        }
    )*};
}
number_field!(i32 => "a 32-bit number", i64 => "a 64-bit number", u32 => "a number from 0", u64 => "a number from 0");

impl FieldValue for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_text(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true")) // as Java: anything else is false
    }
    fn write(&self, name: &'static str, sink: &mut dyn FieldSink) {
        sink.boolean(name, *self);
    }
}

macro_rules! text_field {
    ($($type:ty),*) => {$(
        impl FieldValue for $type {
            const EXPECTED: &'static str = "text";
            fn from_text(text: &str) -> Option<Self> {
                Some(text.into())
            }
            fn write(&self, name: &'static str, sink: &mut dyn FieldSink) {
                let text: &str = self.as_str();
                sink.text(name, text);
            }
        }
    )*};
}
text_field!(String, Topic, Group, BrokerName);

impl<T: FieldValue> FieldValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn from_text(text: &str) -> Option<Self> {
        T::from_text(text).map(Some)
    }
    fn write(&self, name: &'static str, sink: &mut dyn FieldSink) {
        if let Some(value) = self {
            value.write(name, sink);
        }
    }
}

/// Name and value of a field, as bytes of UTF-8.
pub(crate) type RawField<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The text of a field.
#[inline]
pub(crate) fn text(value: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(value).map_err(|_| DecodeError::Utf8("an ext field"))
}

/// The text of a field that is nearly always short.
#[inline]
pub(crate) fn short_text(value: &[u8]) -> Result<ShortText, DecodeError> {
    ShortText::try_from(value).map_err(|_| DecodeError::Utf8("an ext field"))
}

/// Finds the fields of a header by their names; the last of several wins. Compiled once, and not once per header.
pub(crate) fn pick<'a>(
    mut fields: Fields<'a>,
    names: &[&str],
    values: &mut [Option<Cow<'a, [u8]>>],
) -> Result<(), DecodeError> {
    while let Some(item) = fields.next_raw() {
        let (name, value) = item?;
        let place = names.iter().position(|known| *known.as_bytes() == *name);
        if let Some(slot) = place.and_then(|place| values.get_mut(place)) {
            *slot = Some(value);
        }
    }
    Ok(())
}

/// Reads a field that must be there. Kept apart: headers have many fields of few types.
#[inline(never)]
pub(crate) fn required<T: FieldValue>(name: &'static str, value: Option<&[u8]>) -> Result<T, DecodeError> {
    read_value(name, value.ok_or(DecodeError::MissingField(name))?)
}

/// Reads a field that may be there.
#[inline(never)]
pub(crate) fn optional<T: FieldValue>(name: &'static str, value: Option<&[u8]>) -> Result<Option<T>, DecodeError> {
    value.map(|value| read_value(name, value)).transpose()
}

/// Reads one field as its type.
#[inline]
pub(crate) fn read_value<T: FieldValue>(name: &'static str, value: &[u8]) -> Result<T, DecodeError> {
    if let Some(value) = digits(value).and_then(T::from_digits) {
        return Ok(value);
    }
    let text = text(value)?;
    T::from_text(text).ok_or_else(|| unreadable(name, text, T::EXPECTED))
}

/// A number of digits alone, and not more of them than always fit.
#[inline]
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0, |number: u64, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    })
}

#[cold]
fn unreadable(name: &'static str, text: &str, expected: &'static str) -> DecodeError {
    DecodeError::Field { name, value: text.chars().take(40).collect(), expected }
}

/// The ext fields of a command that was read: an iterator over names and values, borrowed where nothing was escaped. Unknown
/// ones and duplicates are handed out as they come; a later one wins.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    inner: Inner<'a>,
}

#[derive(Clone, Debug)]
enum Inner<'a> {
    None,
    Noted { header: &'a [u8], places: std::slice::Iter<'a, Place> },
    Json(header::json::FieldReader<'a>),
    Binary(header::binary::FieldReader<'a>),
}

impl<'a> Fields<'a> {
    pub(crate) fn new(
        format: HeaderFormat,
        header: &'a [u8],
        range: Option<Range<usize>>,
        index: &'a FieldIndex,
    ) -> Self {
        let inner = match (range.and_then(|range| header.get(range)), index.places(), format) {
            (None, _, _) => Inner::None,
            (Some(_), Some(places), _) => Inner::Noted { header, places: places.iter() },
            (Some(bytes), None, HeaderFormat::Json) => Inner::Json(header::json::FieldReader::new(bytes)),
            (Some(bytes), None, HeaderFormat::Binary) => Inner::Binary(header::binary::FieldReader::new(bytes)),
        };
        Self { inner }
    }

    /// The next field as bytes, of which only those that somebody wants need to be made text again.
    #[inline]
    pub(crate) fn next_raw(&mut self) -> Option<Result<RawField<'a>, DecodeError>> {
        if let Inner::Noted { header, places } = &mut self.inner {
            let place = places.next()?;
            return Some(Ok((Cow::Borrowed(place.name(header)), Cow::Borrowed(place.value(header)))));
        }
        let bytes = |text: Cow<'a, str>| match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Some(self.next()?.map(|(name, value)| (bytes(name), bytes(value))))
    }

    /// The value of one field; the last of several.
    ///
    /// # Errors
    ///
    /// When the fields cannot be read.
    pub fn find(self, name: &str) -> Result<Option<Cow<'a, str>>, DecodeError> {
        let mut found = None;
        for field in self {
            let (key, value) = field?;
            if key == name {
                found = Some(value);
            }
        }
        Ok(found)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(Cow<'a, str>, Cow<'a, str>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = match &mut self.inner {
            Inner::None => None,
            Inner::Noted { header, places } => places
                .next()
                .map(|place| Ok((Cow::Borrowed(text(place.name(header))?), Cow::Borrowed(text(place.value(header))?)))),
            Inner::Json(reader) => reader.next_field(),
            Inner::Binary(reader) => reader.next_field(),
        };
        if matches!(item, None | Some(Err(_))) {
            self.inner = Inner::None;
        }
        item
    }
}

/// Declares a header: a struct, its constructor from the required fields, and both directions. Fields stand in the byte
/// order of their wire names. `req` fields must be there, `opt` ones may be, and `dft` ones are always written and may be
/// missing when read; `pos` ones are `req`, and Java's negative "nothing" reads as 0.
macro_rules! header_fields {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* $kind:ident $field:ident: $type:ty = $wire:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $crate::field::header_fields!(@type $kind $type),)*
        }

        $crate::field::header_fields!(@new $name [] [] $($kind $field: $type,)*);

        impl $crate::WriteFields for $name {
            fn write_fields(&self, sink: &mut dyn $crate::FieldSink) {
                $($crate::FieldValue::write(&self.$field, $wire, sink);)*
                let _ = sink;
            }
        }

        impl $name {
            #[allow(unused_mut, unused_variables, reason = "headers without fields")]
            pub(crate) fn read_fields(command: &$crate::Command) -> Result<Self, $crate::DecodeError> {
                const NAMES: &[&str] = &[$($wire),*];
                let mut values = [const { None }; NAMES.len()];
                $crate::field::pick(command.fields(), NAMES, &mut values)?;
                let mut values = values.iter().map(|value| value.as_deref());
                Ok(Self { $($field: $crate::field::header_fields!(@take $kind $type, $wire, values.next().flatten()),)* })
            }
        }
    };
    (@type req $type:ty) => { $type };
    (@type dft $type:ty) => { $type };
    (@type pos $type:ty) => { $type };
    (@type opt $type:ty) => { Option<$type> };
    (@take req $type:ty, $wire:literal, $value:expr) => { $crate::field::required::<$type>($wire, $value)? };
    (@take pos $type:ty, $wire:literal, $value:expr) => {
        <$type>::try_from($crate::field::required::<i64>($wire, $value)?).unwrap_or(0)
    };
    (@take dft $type:ty, $wire:literal, $value:expr) => {
        $crate::field::optional::<$type>($wire, $value)?.unwrap_or_default()
    };
    (@take opt $type:ty, $wire:literal, $value:expr) => { $crate::field::optional::<$type>($wire, $value)? };
    (@new $name:ident [$($params:tt)*] [$($inits:tt)*] req $field:ident: $type:ty, $($rest:tt)*) => {
        $crate::field::header_fields!(@new $name [$($params)* $field: impl Into<$type>,] [$($inits)* $field: $field.into(),] $($rest)*);
    };
    (@new $name:ident [$($params:tt)*] [$($inits:tt)*] dft $field:ident: $type:ty, $($rest:tt)*) => {
        $crate::field::header_fields!(@new $name [$($params)*] [$($inits)*] req $field: $type, $($rest)*);
    };
    (@new $name:ident [$($params:tt)*] [$($inits:tt)*] pos $field:ident: $type:ty, $($rest:tt)*) => {
        $crate::field::header_fields!(@new $name [$($params)*] [$($inits)*] req $field: $type, $($rest)*);
    };
    (@new $name:ident [$($params:tt)*] [$($inits:tt)*] opt $field:ident: $type:ty, $($rest:tt)*) => {
        $crate::field::header_fields!(@new $name [$($params)*] [$($inits)* $field: None,] $($rest)*);
    };
    (@new $name:ident [$($params:tt)*] [$($inits:tt)*]) => {
        impl $name {
            /// From the fields that must be there; the others start empty.
            #[allow(clippy::too_many_arguments, clippy::new_without_default, reason = "one argument per required field")]
            pub fn new($($params)*) -> Self {
                Self { $($inits)* }
            }
        }
    };
}
pub(crate) use header_fields;
