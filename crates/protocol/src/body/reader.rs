use std::borrow::Cow;

use crate::{DecodeError, json::Scanner, limits::MAX_JSON_DEPTH};

/// Reads a JSON body in one pass, as Java's libraries write it: with bare or object keys, single quotes, and a comma before a
/// closing bracket. Nothing is built of what nobody asks for, and nesting is limited.
///
/// Callers take the fields that they know and [`skip`](Self::skip) the others. Closures are `dyn`, so that this is compiled
/// once and not once per body.
pub(crate) struct Reader<'a> {
    scanner: Scanner<'a>,
    depth: usize,
}

/// What is done with one field of an object.
type OnField<'f, 'a> = &'f mut dyn FnMut(&mut Reader<'a>, &str) -> Result<(), DecodeError>;

impl<'a> Reader<'a> {
    /// Reads a body that is one object, and nothing behind it.
    pub(crate) fn read(body: &'a [u8], each: OnField<'_, 'a>) -> Result<(), DecodeError> {
        let text = std::str::from_utf8(body).map_err(|_| DecodeError::Utf8("JSON text"))?;
        let mut reader = Self { scanner: Scanner::new(text), depth: 0 };
        if reader.null() {
            return Err(reader.scanner.error("an object should stand here"));
        }
        reader.object(each)?;
        reader.scanner.blanks();
        if reader.scanner.at < text.len() {
            return Err(reader.scanner.error("nothing should follow here"));
        }
        Ok(())
    }

    /// Every field of an object, in turn. `null` has none.
    pub(crate) fn object(&mut self, each: OnField<'_, 'a>) -> Result<(), DecodeError> {
        self.entries(b'{', b'}', "an object should stand here", &mut |reader| {
            let key = reader.key()?;
            reader.scanner.expect(b':', "a colon should stand here")?;
            each(reader, &key)
        })
    }

    /// Whether a list stands here.
    pub(crate) fn at_list(&mut self) -> bool {
        self.scanner.blanks();
        self.scanner.peek() == Some(b'[')
    }

    /// Every value of a list, in turn. `null` has none.
    pub(crate) fn list(
        &mut self,
        each: &mut dyn FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.entries(b'[', b']', "a list should stand here", each)
    }

    fn entries(
        &mut self,
        open: u8,
        close: u8,
        expected: &'static str,
        each: &mut dyn FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.null() {
            return Ok(());
        }
        self.scanner.expect(open, expected)?;
        self.depth += 1;
        if self.depth > MAX_JSON_DEPTH {
            return Err(self.scanner.error("nested too deeply"));
        }
        while !self.scanner.take(close) {
            each(self)?;
            if !self.scanner.take(b',') {
                self.scanner.expect(close, "a comma or the end should stand here")?;
                break;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// A text; `null` is none.
    pub(crate) fn text(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        if self.null() { Ok(None) } else { Ok(Some(self.scanner.string()?.decode()?)) }
    }

    /// A text, of which `null` is an empty one.
    pub(crate) fn owned_text(&mut self) -> Result<String, DecodeError> {
        Ok(self.text()?.unwrap_or_default().into_owned())
    }

    /// A whole number; `null` is 0.
    pub(crate) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, DecodeError> {
        let value = self.whole()?;
        T::try_from(value).map_err(|_| self.scanner.error("a number of another size should stand here"))
    }

    fn whole(&mut self) -> Result<i64, DecodeError> {
        if self.null() {
            return Ok(0);
        }
        let range = self.scanner.value(self.depth)?;
        let number = std::str::from_utf8(self.scanner.range(range)).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.scanner.error("a whole number should stand before this"))
    }

    /// Passes over a value of any kind.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        self.scanner.blanks();
        match self.scanner.peek() {
            Some(b'{') => self.object(&mut |reader, _| reader.skip()),
            Some(b'[') => self.list(&mut |reader| reader.skip()),
            _ => self.scanner.value(self.depth).map(drop),
        }
    }

    /// Takes a `null`, if one stands here.
    fn null(&mut self) -> bool {
        self.scanner.blanks();
        self.scanner.literal(b"null")
    }

    /// A key as text; of a bare number or an object, the text that stands there.
    fn key(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if self.scanner.at_text() {
            return self.scanner.string()?.decode();
        }
        let range = self.scanner.key(self.depth)?;
        // Pieces of what was UTF-8 as a whole, cut at ASCII.
        std::str::from_utf8(self.scanner.range(range)).map(Cow::Borrowed).map_err(|_| DecodeError::Utf8("JSON text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Result<Vec<String>, DecodeError> {
        let mut found = Vec::new();
        Reader::read(body.as_bytes(), &mut |reader, key| {
            let value = match key {
                "number" => reader.number::<i32>()?.to_string(),
                "text" => format!("{:?}", reader.text()?),
                "list" => {
                    let mut count = 0;
                    reader.list(&mut |reader| {
                        count += 1;
                        reader.skip()
                    })?;
                    count.to_string()
                }
                _ => return reader.skip(),
            };
            found.push(format!("{key}={value}"));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn what_java_writes_is_read_and_what_nobody_knows_is_passed_over() {
        let body = r#" { 0 : {1:'a',{"x":[1,2]}:null,}, 'number':-7, "text":"a\u0042'c" ,"list":[{},[[]],"]",null,],"other":1.5e3,} "#;
        assert_eq!(fields(body).unwrap(), ["number=-7", "text=Some(\"aB'c\")", "list=4"]);
        assert_eq!(fields(r#"{"number":null,"text":null,"list":null}"#).unwrap(), ["number=0", "text=None", "list=0"]);
        assert_eq!(fields("{}").unwrap(), Vec::<String>::new());
        // The last of two counts for who keeps one, as in Java: both are handed out.
        assert_eq!(fields(r#"{"number":1,"number":2}"#).unwrap(), ["number=1", "number=2"]);
    }

    #[test]
    fn what_is_no_body_is_an_error() {
        let wrong = [
            "",
            "null",
            "[]",
            "{",
            "{}x",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1"#,
            r#"{"a":1 2}"#,
            r#"{"a":nul}"#,
            r#"{"list":[1"#,
            r#"{"number":"7"}"#,
            r#"{"number":1.5}"#,
            r#"{"number":3000000000}"#,
            r#"{"number":99999999999999999999}"#,
            r#"{"text":7}"#,
            r#"{"text":"open}"#,
            r#"{"text":"\uD8"}"#,
            r#"{"list":{}}"#,
            r#"{"list":7}"#,
        ];
        for body in wrong {
            assert!(fields(body).is_err(), "{body}");
        }
        assert!(Reader::read(b"{\"text\":\"\xff\"}", &mut |reader, _| reader.skip()).is_err());
    }

    /// R16: the stack is not the sender's to use up.
    #[test]
    fn nesting_is_limited() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(fields(&nested(MAX_JSON_DEPTH - 1)).is_ok());
        assert!(fields(&nested(MAX_JSON_DEPTH)).is_err());
        assert!(fields(&nested(1_000_000)).is_err());
        assert!(fields(&format!("{}1", "{\"a\":".repeat(1_000_000))).is_err());
    }
}
